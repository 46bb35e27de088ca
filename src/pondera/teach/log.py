"""The response log: every response on its own line, written before anything else happens to it.

Lines are keyed by what a response depends on (sample, media, teacher, k, seed), so that work already paid for is found
again whatever else changed, and never asked for twice.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields
from io import FileIO
from pathlib import Path
from typing import Any, BinaryIO

from pondera.errors import TeacherError
from pondera.teach.base import TeacherResponse

_FIELDS = {f.name for f in fields(TeacherResponse)}


def response_key(sample: str, media: str, teacher: str, k: int, seed: int) -> str:
    """The address of a response: 32 hex digits.

    Args:
        sample: id of the sample.
        media: `digest_sample` of the sample.
        teacher: fingerprint.
        k: which completion.
        seed: of the run.
    """
    return hashlib.sha256(json.dumps([sample, media, teacher, k, seed]).encode()).hexdigest()[:32]


def read_log(path: Path) -> dict[str, TeacherResponse]:
    """All responses of a log by key; of equal keys the first counts. A missing log is empty.

    A last line without its end is what a kill leaves behind: it is ignored here and cut off by `appending`.

    Raises:
        TeacherError: a complete line is not a response (named by file and line).
    """
    found: dict[str, TeacherResponse] = {}
    if not path.exists():
        return found
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if line.endswith(b"\n"):
                key, response = _parse_line(path, number, line)
                found.setdefault(key, response)
    return found


@contextmanager
def appending(path: Path) -> Iterator[LogWriter]:
    """Open a log to add responses; a torn last line is cut off first.

    Raises:
        TeacherError: another run is writing to it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as file:
        _lock(path, file)
        _cut_torn_line(path, file)
        yield LogWriter(file)


class RequestJournal:
    """The keys of requests in the order in which they went out, one a line: what a kill wasted can be counted.

    Args:
        path: the file; it need not exist.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: FileIO | None = None

    def add(self, key: str) -> None:
        """Note a request before it goes out; the line is with the operating system when this returns."""
        if self._file is None:  # kept open: opening it costs more than the line
            self._file = FileIO(self._path, "ab")
        self._file.write(f"{key}\n".encode("ascii"))

    def close(self) -> None:
        """Close the file; a later `add` opens it again."""
        file, self._file = self._file, None
        if file is not None:
            file.close()

    def count(self, keys: Collection[str]) -> tuple[int, int]:
        """Requests for these keys, and how many of them repeated an earlier one that brought nothing."""
        if not self._path.exists():
            return 0, 0
        with self._path.open(encoding="ascii", errors="replace") as file:
            sent = Counter(key for line in file if (key := line.rstrip("\n")) in keys)
        return sent.total(), sent.total() - len(sent)


class LogWriter:
    """Adds lines; each is handed to the operating system before `add` returns."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def add(self, key: str, response: TeacherResponse) -> None:
        """Append one response under its key."""
        line = json.dumps({"key": key, **response.to_dict()}, ensure_ascii=False)
        self._file.write(line.encode() + b"\n")
        self._file.flush()


def _parse_line(path: Path, number: int, line: bytes) -> tuple[str, TeacherResponse]:
    try:
        content: Mapping[str, Any] = json.loads(line)
        if set(content) != _FIELDS | {"key"}:
            raise ValueError(f"keys {sorted(content)}")
        return content["key"], TeacherResponse(**{name: content[name] for name in _FIELDS})
    except (ValueError, TypeError) as error:
        raise TeacherError(f"{path}:{number}: not a recorded response ({error}); restore or delete this line") from None


def _cut_torn_line(path: Path, file: BinaryIO) -> None:
    size = path.stat().st_size
    with path.open("rb") as reader:
        end = size
        while end > 0:
            start = max(0, end - 65536)
            reader.seek(start)
            at = reader.read(end - start).rfind(b"\n")
            if at >= 0:
                end = start + at + 1
                break
            end = start
    if end < size:
        file.truncate(end)


def _lock(path: Path, file: BinaryIO) -> None:
    """Keep a second run away; the lock goes with the process. Windows has no such lock here."""
    if os.name == "nt":
        return
    import fcntl

    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise TeacherError(f"{path}: another run is writing to it; wait for it, or choose another --out") from None
