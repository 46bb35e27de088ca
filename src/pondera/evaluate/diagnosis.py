"""Where the errors are: calibration, uncertainty against error, reasoning against score, breakdown by distortion.

Labels of different datasets are compared by their place on the scale, 0 (worst) to 1 (best). Only rows with a label
and a valid score count here; what was left out is counted elsewhere.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from pondera.core.metrics import has_intervals, plcc, srcc, summarise_groups
from pondera.core.records import FIVE_POINT, LabelScale
from pondera.evaluate.predictions import Row

NUM_BINS = 10
CONTRADICTION = 1.5  # grades and score that lie further apart, in steps of the five-grade scale, cannot both be meant


def diagnose(rows: Sequence[Row], *, num_resamples: int = 1000, seed: int = 0) -> dict[str, Any]:
    """All diagnoses of a predictions table.

    Returns:
        `calibration` from `calibration`; `uncertainty` from `uncertainty_against_error`, {} in modes without a
        spread; `reasoning` from `reasoning_against_score`, {} where no reasoning grades an aspect; `distortions`:
        metrics by "dataset/type" of the samples with one distortion, {} without them.
    """
    used = [row for row in rows if row["valid"] and math.isfinite(row["mos"])]
    return {
        "calibration": calibration(used),
        "uncertainty": uncertainty_against_error(used),
        "reasoning": reasoning_against_score(used),
        "distortions": _by_distortion(rows, num_resamples, seed),
    }


def within_subsets(metrics: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    """Mean SRCC and PLCC over the subsets of each dataset that has several with enough contents for an interval.

    Where subsets differ in mean quality, knowing the subset alone gives a high correlation over all rows; inside the
    subsets it gives none.

    Args:
        metrics: `subsets` by "dataset/subset", see `core.metrics.summarise_groups`.

    Returns:
        By dataset `{num_subsets, srcc, plcc}`; NaN where a subset has none.
    """
    parts: dict[str, list[Mapping[str, float]]] = {}
    for key, summary in metrics["subsets"].items():
        dataset = max((name for name in metrics["datasets"] if key.startswith(f"{name}/")), key=len)
        if has_intervals(summary):
            parts.setdefault(dataset, []).append(summary)
    return {
        dataset: {"num_subsets": len(some), **{key: float(np.mean([s[key] for s in some])) for key in ("srcc", "plcc")}}
        for dataset, some in parts.items()
        if len(some) > 1
    }


def calibration(rows: Sequence[Row]) -> dict[str, Any]:
    """Does a score mean what it says? Mean label of the rows with similar scores.

    Args:
        rows: with a label and a valid score.

    Returns:
        `bias` (mean of score minus label) and `error` (mean absolute gap of the bins, weighted by their rows), both
        as shares of the scale; `bins` of equally many rows, each `{n, score, mos}`, places on the scale.
    """
    score_N, mos_N = _places(rows, "score"), _places(rows, "mos")
    bins = [
        {"n": int(row_n.size), "score": float(score_N[row_n].mean()), "mos": float(mos_N[row_n].mean())}
        for row_n in _equal_bins(score_N)
    ]
    gap = sum(b["n"] * abs(b["score"] - b["mos"]) for b in bins)
    return {
        "bias": float((score_N - mos_N).mean()) if rows else math.nan,
        "error": gap / len(rows) if rows else math.nan,
        "bins": bins,
    }


def uncertainty_against_error(rows: Sequence[Row]) -> dict[str, Any]:
    """Is the system wrong where it says that it is unsure?

    Args:
        rows: with a label and a valid score; those without a spread are left out.

    Returns:
        `n`; `srcc` of spread and absolute error; `within_spread` and `within_two_spreads`: shares of labels no
        further than one or two spreads from the score (0.68 and 0.95 where the spread is the standard deviation of a
        normal error); `bins` of equally many rows by rising spread, each `{n, spread, error}`, shares of the scale.
        {} where fewer than two rows have a spread.
    """
    rows = [row for row in rows if math.isfinite(row["spread"])]
    if len(rows) < 2:
        return {}
    width_N = np.array([row["scale_high"] - row["scale_low"] for row in rows])
    spread_N = np.array([row["spread"] for row in rows]) / width_N
    error_N = np.abs(_places(rows, "score") - _places(rows, "mos"))
    return {
        "n": len(rows),
        "srcc": srcc(spread_N, error_N),
        "within_spread": float((error_N <= spread_N).mean()),
        "within_two_spreads": float((error_N <= 2 * spread_N).mean()),
        "bins": [
            {"n": int(row_n.size), "spread": float(spread_N[row_n].mean()), "error": float(error_N[row_n].mean())}
            for row_n in _equal_bins(spread_N)
        ],
    }


def reasoning_against_score(rows: Sequence[Row]) -> dict[str, Any]:
    """Do the grades in the reasoning agree with the score below it?

    Args:
        rows: with a label and a valid score; those whose reasoning grades no aspect are left out.

    Returns:
        `n`, `num_silent` (rows left out); `srcc` and `plcc` of the mean grade with the score; `srcc_mos`, of the mean
        grade with the label; `contradictions`: share of rows where mean grade and score, on the five-grade scale,
        are more than `CONTRADICTION` apart. {} where fewer than two rows have a grade.
    """
    graded = [row for row in rows if row["aspects"]]
    if len(graded) < 2:
        return {}
    grade_N = np.array([sum(row["aspects"].values()) / len(row["aspects"]) for row in graded])
    score_N, mos_N = _places(graded, "score"), _places(graded, "mos")
    on_grades_N = LabelScale(0.0, 1.0).convert(score_N, FIVE_POINT)
    return {
        "n": len(graded),
        "num_silent": len(rows) - len(graded),
        "srcc": srcc(grade_N, score_N),
        "plcc": plcc(grade_N, score_N),
        "srcc_mos": srcc(grade_N, mos_N),
        "contradictions": float((np.abs(grade_N - on_grades_N) > CONTRADICTION).mean()),
    }


def place(row: Row, value: float) -> float:
    """Where a value lies on the scale of its row, 0 to 1."""
    return float((value - row["scale_low"]) / (row["scale_high"] - row["scale_low"]))


def _places(rows: Sequence[Row], name: str) -> np.ndarray:
    return np.array([place(row, row[name]) for row in rows], dtype=np.float64)


def _equal_bins(value_N: np.ndarray) -> list[np.ndarray]:
    """Row numbers by rising value in at most `NUM_BINS` parts of equal size; equal values stay together."""
    order_N = np.argsort(value_N, kind="stable")
    cuts = {round(i * value_N.size / NUM_BINS) for i in range(1, NUM_BINS)}
    sorted_N = value_N[order_N]
    moved = {int(np.searchsorted(sorted_N, sorted_N[cut])) for cut in cuts if 0 < cut < value_N.size}
    return [part for part in np.split(order_N, sorted(moved)) if part.size]


def _by_distortion(rows: Sequence[Row], num_resamples: int, seed: int) -> dict[str, Any]:
    """Samples with one distortion, by its type, as the subsets of their dataset."""
    single = [row for row in rows if len(row["distortions"]) == 1]
    summaries: dict[str, Any] = summarise_groups(
        [row["score"] if row["valid"] else math.nan for row in single],
        [row["mos"] for row in single],
        dataset=[row["dataset"] for row in single],
        subset=[row["distortions"][0]["type"] for row in single],
        cluster=[row["reference"] for row in single],
        num_resamples=num_resamples,
        seed=seed,
    )["subsets"]
    return summaries
