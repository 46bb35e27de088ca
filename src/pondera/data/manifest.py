"""Manifests: one sample a line, JSONL. Errors name file, line, value and way out."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from pondera.core.records import Media, Sample
from pondera.data.text_files import opened
from pondera.errors import ManifestError


def read_manifest(path: str | Path, *, split: str | None = None) -> list[Sample]:
    """Read a manifest; media paths become relative to the working directory (or stay absolute).

    Args:
        path: a JSONL file.
        split: keep only this split.

    Raises:
        ManifestError: the file is missing, or a line is wrong (named by file and line).
    """
    path = Path(path)
    if not path.is_file():
        raise ManifestError(f"{path}: no such manifest. Make one with pondera data import, synthesize or clips")
    samples: list[Sample] = []
    line_of: dict[str, int] = {}
    with opened(path, ManifestError) as file:
        for number, text in enumerate(file, start=1):
            if not text.strip():
                continue
            sample = _parse_line(path, number, text)
            if sample.id in line_of:
                raise ManifestError(
                    f"{path}:{number}: id {sample.id!r} stands already on line {line_of[sample.id]}; ids are unique"
                )
            line_of[sample.id] = number
            if split is None or sample.split == split:
                samples.append(_rebase(sample, path.parent))
    return samples


def write_manifest(path: str | Path, samples: Iterable[Sample]) -> int:
    """Write a manifest, media paths relative to it; the file appears only when it is complete.

    Returns:
        How many samples were written.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    count = 0
    with partial.open("w", encoding="utf-8") as file:
        for sample in samples:
            media = tuple(replace(m, path=_relative(m.path, path.parent)) for m in sample.media)
            file.write(json.dumps(replace(sample, media=media).to_dict(), ensure_ascii=False) + "\n")
            count += 1
    partial.replace(path)
    return count


def _parse_line(path: Path, number: int, text: str) -> Sample:
    try:
        line: Any = json.loads(text)
    except json.JSONDecodeError as error:
        raise ManifestError(
            f"{path}:{number}: not JSON ({error.msg} at column {error.colno}); one object a line"
        ) from None
    if not isinstance(line, dict):
        raise ManifestError(f"{path}:{number}: a line is one JSON object, got {type(line).__name__}")
    try:
        return Sample.from_dict(line)
    except ValueError as error:
        raise ManifestError(f"{path}:{number}: {error}") from None


def _rebase(sample: Sample, folder: Path) -> Sample:
    return replace(sample, media=tuple(Media(str(folder / m.path), m.role) for m in sample.media))


def _relative(media: str, folder: Path) -> str:
    try:
        return Path(os.path.relpath(media, folder)).as_posix()
    except ValueError:  # another drive on Windows
        return Path(media).resolve().as_posix()
