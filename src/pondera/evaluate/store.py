"""What systems have said, kept on disk as it comes: append-only, found again by fingerprint and content.

A folder per fingerprint (weights, prompt, preprocessing, mode, versions), in it one JSONL file per process that wrote,
and in that one line per batch: {content: assessment, ...}. So a batch is recorded whole or not at all, no two
processes write into one file, and folders of several machines are merged by copying them together. A database would
need locks, which network file systems do not keep.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import secrets
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any

from pondera.core.records import Assessment, LabelScale, Sample
from pondera.data.presentation import Layout, media_shown
from pondera.errors import DatasetError

UNREADABLE = "unreadable:"
_READERS = 4  # files hashed side by side: hashing waits for the disk more than for the processor
_NUMBERS = ("score", "spread", "seconds")


@dataclass(frozen=True, slots=True)
class Reads:
    """What a system reads of a sample beside the media that are judged.

    Args:
        text: its text, because the prompt asks about it.
        reference: the reference, because the model is shown it.
    """

    text: bool = False
    reference: bool = False

    def part_of(self, sample: Sample) -> Sample:
        """The sample with nothing but what is read, so that no score depends on more than its address says."""
        shown = media_shown(sample, Layout(reference=self.reference)) or sample.media
        return replace(sample, media=shown, text=sample.text if self.text else None)


class AssessmentStore:
    """The assessments of one system.

    Args:
        folder: of the store; several systems share it.
        fingerprint: of the system, all that its scores depend on.

    Raises:
        DatasetError: a file of the store is damaged anywhere but in a last line that was cut off.
    """

    def __init__(self, folder: str | Path, fingerprint: str) -> None:
        if not fingerprint or not fingerprint.isalnum():
            raise ValueError(f"a fingerprint is letters and digits, got {fingerprint!r}")
        self.folder = Path(folder) / fingerprint
        self.fingerprint = fingerprint
        self._known: dict[str, Assessment] = {}
        self._file: IO[str] | None = None
        for path in sorted(self.folder.glob("*.jsonl")):
            self._known |= _read(path)

    def __len__(self) -> int:
        return len(self._known)

    def get(self, key: str) -> Assessment | None:
        """The assessment of this content, without a path; None when it has not been recorded."""
        return self._known.get(key)

    def record(self, assessment_of: Mapping[str, Assessment]) -> None:
        """Write one batch to disk, then know it.

        Raises:
            ValueError: an assessment has another fingerprint than the store: it would be found under a wrong name.
        """
        for assessment in assessment_of.values():
            if assessment.fingerprint != self.fingerprint:
                raise ValueError(
                    f"{assessment.path}: assessed by {assessment.fingerprint!r}, the store is of {self.fingerprint!r}"
                )
        bare = {key: replace(assessment, path="") for key, assessment in assessment_of.items()}
        line = json.dumps({key: item.to_dict() for key, item in bare.items()}, ensure_ascii=False, allow_nan=False)
        file = self._open()
        file.write(line + "\n")
        file.flush()
        os.fsync(file.fileno())  # a machine that stops must not take it back
        self._known |= bare

    def _open(self) -> IO[str]:
        """A file of this process alone: another one's torn last line is never written behind."""
        if self._file is None:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._file = (self.folder / f"{secrets.token_hex(6)}.jsonl").open("x", encoding="utf-8")
        return self._file

    def close(self) -> None:
        """Close the file of this process."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def __enter__(self) -> AssessmentStore:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def content_keys(samples: Sequence[Sample], *, whole_samples: bool = False) -> list[str]:
    """What each sample shows, as a hash: the same file under another name has the same key.

    Args:
        samples: N samples.
        whole_samples: the system reads all media of a sample and its text; otherwise the main file alone. A sample
            that has nothing else has the same key either way.

    Returns:
        N keys. For a file that cannot be opened, "unreadable:" and its path stand in place of its content, so that it
        is tried again once it can.
    """
    paths = {path for s in samples for path in ([m.path for m in s.media] if whole_samples else [s.main_path])}
    with ThreadPoolExecutor(_READERS) as pool:
        digest_of = dict(zip(sorted(paths), pool.map(_file_digest, sorted(paths)), strict=True))
    return [_key(sample, digest_of) if whole_samples else digest_of[sample.main_path] for sample in samples]


def _key(sample: Sample, digest_of: Mapping[str, str]) -> str:
    if sample.text is None and [media.role for media in sample.media] == ["test"]:
        return digest_of[sample.main_path]
    content = [[(media.role, digest_of[media.path]) for media in sample.media], sample.text]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()


def _file_digest(path: str) -> str:
    try:
        with Path(path).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return f"{UNREADABLE}{path}"


def _read(path: Path) -> dict[str, Assessment]:
    found: dict[str, Assessment] = {}
    lines = path.read_text(encoding="utf-8", errors="replace").split("\n")
    for number, text in enumerate(lines, start=1):
        try:
            batch = json.loads(text) if text else {}
            found |= {key: _revive(values) for key, values in batch.items()}
        except (ValueError, TypeError, AttributeError, KeyError) as error:
            if number == len(lines) and isinstance(error, json.JSONDecodeError):  # its process was killed as it wrote
                break
            why = f"no {error}" if isinstance(error, KeyError) else str(error)
            raise DatasetError(
                f"{path}:{number}: not a batch of assessments ({why}); remove this line, its images are then scored "
                "again"
            ) from None
    return found


def _revive(values: dict[str, Any]) -> Assessment:
    numbers = {name: math.nan if values[name] is None else float(values[name]) for name in _NUMBERS}
    return Assessment(**{**values, **numbers, "scale": LabelScale(*values["scale"])})
