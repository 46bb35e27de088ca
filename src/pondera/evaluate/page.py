"""From evaluations to the HTML report: choose the gallery, hand plain records to `pondera.report`."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pondera.data.video import is_video_file, sample_clip
from pondera.evaluate.diagnosis import place
from pondera.evaluate.percentiles import ReferenceSet, percentile_of
from pondera.evaluate.predictions import Row
from pondera.evaluate.run import Evaluation
from pondera.report import GalleryEntry, GalleryItem, System, render_report
from pondera.report.results import Results

_CLIP_LIMIT_S = 20.0  # seconds that one clip of the gallery may take


def write_report(
    path: str | Path,
    evaluations: Sequence[Evaluation],
    *,
    title: str,
    comparisons: Sequence[Mapping[str, Any]] = (),
    curves: Mapping[str, Sequence[Mapping[str, float]]] | None = None,
    truthfulness: Mapping[str, Mapping[str, Any]] | None = None,
    environment: Mapping[str, Any] | None = None,
    results: Results | None = None,
    reference: ReferenceSet | None = None,
    gallery_size: int = 12,
) -> Path:
    """Write one self-contained HTML page about some systems on the same samples.

    Args:
        path: of the page; its folder is made where missing.
        evaluations: the last one is the system the page is about; the gallery is chosen by it.
        title: of the page.
        comparisons: from `compare_systems`.
        curves: training curves, see `report.read_curves`.
        truthfulness: from `aspect_truthfulness`, by system name.
        environment: versions, commit, seeds, machine.
        results: ours and published ones by test set.
        reference: set that the scores in the gallery get a percentile of.
        gallery_size: images shown, half over the range of labels, half the worst mistakes.

    Raises:
        ValueError: there is no evaluation.
        MissingExtra: Jinja is not installed.
    """
    if not evaluations:
        raise ValueError("a report needs at least one evaluation")
    path = Path(path)
    page = render_report(
        title=title,
        protocol={e.name: e.protocol for e in evaluations},
        systems=[System(e.name, e.metrics, e.rows) for e in evaluations],
        comparisons=comparisons,
        curves=curves or {},
        gallery=choose_gallery(evaluations, gallery_size, reference),
        truthfulness=truthfulness or {},
        environment=environment or {},
        results=results,
        warnings=_warnings(evaluations),
        reference_set=reference.name if reference else "",
        still_of=middle_frame if any(is_video_file(row["path"]) for row in evaluations[-1].rows) else None,
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    partial.write_text(page, encoding="utf-8")
    partial.replace(path)
    return path


def middle_frame(path: str) -> NDArray[np.uint8]:
    """The picture in the middle of a clip, uint8 [H, W, 3].

    Raises:
        MediaError: the clip cannot be read.
        MissingExtra: PyAV is not installed.
    """
    (frame,) = sample_clip(path, 1, limit_s=_CLIP_LIMIT_S).frames
    return frame.image


def choose_gallery(
    evaluations: Sequence[Evaluation], size: int, reference: ReferenceSet | None = None
) -> list[GalleryItem]:
    """Images for the page: evenly over the labels, then the largest errors of the last system.

    Scores of the system that made the reference set get their percentile in it.
    """
    rows = [row for row in evaluations[-1].rows if math.isfinite(row["mos"])]
    rows.sort(key=lambda row: (place(row, row["mos"]), row["sample"]))
    num_even = min(len(rows), (size + 1) // 2)
    even = [rows[i] for i in np.linspace(0, len(rows) - 1, num_even).round().astype(int)] if num_even else []
    shown = {_key(row) for row in even}
    rest = [row for row in rows if _key(row) not in shown and row["valid"]]
    rest.sort(key=lambda row: (-abs(place(row, row["score"]) - place(row, row["mos"])), row["sample"]))
    mistakes = rest[: size - num_even]
    index = [{_key(row): row for row in e.rows} for e in evaluations]
    names = [e.name for e in evaluations]
    return [
        _item(
            row,
            why,
            [(name, rows_of[_key(row)]) for name, rows_of in zip(names, index, strict=True) if _key(row) in rows_of],
            reference,
        )
        for chosen, why in ((even, ""), (mistakes, "large error"))
        for row in chosen
    ]


def _key(row: Row) -> tuple[str, str]:
    return row["dataset"], row["sample"]


def _warnings(evaluations: Sequence[Evaluation]) -> list[str]:
    """What has to stand above the numbers."""
    found = []
    for e in evaluations:
        found += [
            f"{e.name} has seen content of this test in training. {leak}." for leak in e.protocol.get("leakage", ())
        ]
        found += [f"{e.name} was asked another question. {other}." for other in e.protocol.get("other_question", ())]
    missing = {
        f"{name}: {count} samples of the protocol"
        for e in evaluations
        for name, count in e.protocol.get("incomplete", {}).items()
    }
    return found + sorted(missing)


def _item(row: Row, why: str, said: Sequence[tuple[str, Row]], reference: ReferenceSet | None) -> GalleryItem:
    defects = ", ".join(f"{d['type'].replace('_', ' ')}, level {d['level']}" for d in row["distortions"])
    return GalleryItem(
        path=row["path"],
        title=row["sample"],
        mos=row["mos"],
        scale=(row["scale_low"], row["scale_high"]),
        note="; ".join(part for part in (defects, why) if part),
        entries=tuple(
            GalleryEntry(
                name,
                entry["score"],
                entry["reasoning"],
                entry["aspects"],
                entry["valid"],
                entry["error"],
                percentile_of(entry, reference) if reference else math.nan,
            )
            for name, entry in said
        ),
    )
