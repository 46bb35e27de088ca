"""Files that keep what was paid for: a line each, whole, with the operating system at once, by one writer at a time."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from pondera.errors import TeacherError

_LOCK_TRIES, _LOCK_WAIT_S = 4, 0.05  # `is_being_written` holds the lock for a moment


class LineWriter:
    """Adds lines; each is handed to the operating system before `add` returns."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def add(self, record: Mapping[str, Any]) -> None:
        """Append one record."""
        self._file.write(json.dumps(record, ensure_ascii=False).encode() + b"\n")
        self._file.flush()


@contextmanager
def appending(path: Path) -> Iterator[LineWriter]:
    """Open a file to add lines; a torn last line is cut off first.

    Raises:
        TeacherError: another run is writing to it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as file:
        _lock(path, file)
        _cut_torn_line(path, file)
        yield LineWriter(file)


def whole_lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Lines with their numbers, from 1; none of a missing file.

    A last line without its end is what a kill leaves behind: it is left out here and cut off by `appending`.
    """
    if not path.exists():
        return
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if line.endswith(b"\n"):
                yield number, line


def is_being_written(path: Path) -> bool | None:
    """Whether a run on this machine has the file open through `appending`; None where that cannot be known."""
    if os.name == "nt":
        return None
    if not path.exists():
        return False
    import fcntl

    with path.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


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

    for number in range(1, _LOCK_TRIES + 1):
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if number < _LOCK_TRIES:
                time.sleep(_LOCK_WAIT_S)
    raise TeacherError(f"{path}: another run is writing to it; wait for it, or choose another --out")
