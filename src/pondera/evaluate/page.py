"""From evaluations to the HTML report: choose the gallery, hand plain records to `pondera.report`."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pondera.evaluate.predictions import Row
from pondera.evaluate.run import Evaluation
from pondera.report import GalleryEntry, GalleryItem, System, render_report


def write_report(
    path: str | Path,
    evaluations: Sequence[Evaluation],
    *,
    title: str,
    comparisons: Sequence[Mapping[str, Any]] = (),
    curves: Mapping[str, Sequence[Mapping[str, float]]] | None = None,
    truthfulness: Mapping[str, Mapping[str, Any]] | None = None,
    environment: Mapping[str, Any] | None = None,
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
        gallery=choose_gallery(evaluations, gallery_size),
        truthfulness=truthfulness or {},
        environment=environment or {},
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    partial.write_text(page, encoding="utf-8")
    partial.replace(path)
    return path


def choose_gallery(evaluations: Sequence[Evaluation], size: int) -> list[GalleryItem]:
    """Images for the page: evenly over the labels, then the largest errors of the last system."""
    rows = [row for row in evaluations[-1].rows if math.isfinite(row["mos"])]
    rows.sort(key=lambda row: (_place(row, row["mos"]), row["sample"]))
    num_even = min(len(rows), (size + 1) // 2)
    even = [rows[i] for i in np.linspace(0, len(rows) - 1, num_even).round().astype(int)] if num_even else []
    shown = {row["sample"] for row in even}
    rest = [row for row in rows if row["sample"] not in shown and row["valid"]]
    rest.sort(key=lambda row: (-abs(_place(row, row["score"]) - _place(row, row["mos"])), row["sample"]))
    mistakes = rest[: size - num_even]
    index = [{row["sample"]: row for row in e.rows} for e in evaluations]
    names = [e.name for e in evaluations]
    return [
        _item(
            row,
            why,
            [
                (name, rows_of[row["sample"]])
                for name, rows_of in zip(names, index, strict=True)
                if row["sample"] in rows_of
            ],
        )
        for chosen, why in ((even, ""), (mistakes, "large error"))
        for row in chosen
    ]


def _place(row: Row, value: float) -> float:
    """Where a value lies on its scale, 0 to 1: labels of different datasets are compared by it."""
    return float((value - row["scale_low"]) / (row["scale_high"] - row["scale_low"]))


def _item(row: Row, why: str, said: Sequence[tuple[str, Row]]) -> GalleryItem:
    defects = ", ".join(f"{d['type'].replace('_', ' ')}, level {d['level']}" for d in row["distortions"])
    return GalleryItem(
        path=row["path"],
        title=row["sample"],
        mos=row["mos"],
        scale=(row["scale_low"], row["scale_high"]),
        note="; ".join(part for part in (defects, why) if part),
        entries=tuple(
            GalleryEntry(name, entry["score"], entry["reasoning"], entry["aspects"], entry["valid"], entry["error"])
            for name, entry in said
        ),
    )
