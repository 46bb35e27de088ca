"""Importers for data of one's own without a table: a folder, a DeQA-style JSON file."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pondera.core.records import FIVE_POINT, Media, Sample
from pondera.data.adapters.base import on_scale
from pondera.data.adapters.tables import Row, json_entries
from pondera.data.images import list_media
from pondera.data.importers.fields import media_kind
from pondera.data.video.container import is_video_file
from pondera.errors import DatasetError


def folder_samples(folder: Path, *, dataset: str) -> Iterator[Sample]:
    """Images and videos below a folder, without labels; the first folder below it becomes the subset.

    Raises:
        DatasetError: the folder is not there, or holds none.
    """
    if not folder.is_dir():
        raise DatasetError(f"{folder}: no such folder")
    files = {path for path in list_media([folder]) if path.is_file()}  # of an empty folder it lists the folder
    files |= {path for path in folder.rglob("*") if is_video_file(path)}
    if not files:
        raise DatasetError(f"{folder}: no images or videos in it")
    for path in sorted(files):
        place = path.relative_to(folder)
        yield Sample(
            id=f"{dataset}/{place.as_posix()}",
            media=(Media(path.as_posix()),),
            kind=media_kind(path),
            dataset=dataset,
            subset=place.parts[0] if len(place.parts) > 1 else None,
        )


def deqa_samples(file: Path, *, dataset: str, media: Path) -> Iterator[Sample]:
    """Samples from a JSON list as DeQA-Score publishes them (Data-DeQA-Score).

    The label is `gt_score_norm`, 1..5, higher is better: the owner stretched the observed range of each set.
    `level_probs`, excellent first, becomes `votes`, worst first. A file called train_... or test_... has that split.
    Source: layout from zhiyuanyou/DeQA-Score, build_soft_labels/gen_soft_label.py.

    Raises:
        DatasetError: the file is missing or an entry is wrong.
    """
    if not file.is_file():
        raise DatasetError(
            f"{file}: no such file. It is one of https://huggingface.co/datasets/zhiyuanyou/Data-DeQA-Score"
        )
    split = next((name for name in ("train", "test") if file.name.startswith(f"{name}_")), None)
    for number, entry in enumerate(json_entries(file), start=1):
        row = Row(file, number, {key: str(entry.get(key, "")) for key in ("image", "gt_score_norm", "std_norm")})
        yield Sample(
            id=f"{dataset}/{row.text('image')}",
            media=(Media((media / row.text("image")).as_posix()),),
            dataset=dataset,
            mos=on_scale(row.number("gt_score_norm"), FIVE_POINT, row),
            mos_std=row.number("std_norm", low=0.0) if row.has("std_norm") else None,
            scale=FIVE_POINT,
            votes=_votes(row, entry.get("level_probs")),
            split=split,
        )


def _votes(row: Row, levels: Any) -> tuple[float, ...] | None:
    """Shares of the five levels, worst first; None where the entry has none."""
    if levels is None:
        return None
    is_share = isinstance(levels, list) and all(
        isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < math.inf for value in levels
    )
    if not is_share or len(levels) != 5 or not any(levels):
        raise DatasetError(
            f"{row.where} (entry): level_probs is {levels!r}, expected five shares of 0 or more; correct the entry"
        )
    return tuple(map(float, reversed(levels)))
