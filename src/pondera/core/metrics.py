"""Metrics of predicted scores against labels: one summary with intervals, per dataset, per subset and overall.

The parts live in files of their own: `correlation` and `kendall` (coefficients), `logistic` (fits), `bootstrap`
(intervals, paired test), `distributions` (votes). SRCC and KRCC are on raw scores always.
Shape letters: N rows, B resamples.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from pondera.core.bootstrap import (
    bootstrap_correlations,
    cluster_index,
    paired_replicates,
    percentile_interval,
    sign_p_value,
)
from pondera.core.correlation import IntArray, is_defined, outlier_ratio, paired_rows, plcc, ranks, rmse, srcc
from pondera.core.distributions import js_divergence, kl_divergence, wasserstein_distance
from pondera.core.kendall import krcc, krcc_interval, krcc_with_error, pairwise_accuracy
from pondera.core.logistic import LogisticFit, fit_logistic
from pondera.core.records import FloatArray

__all__ = [
    "CORRELATIONS",
    "FEWEST_CONTENTS",
    "LogisticFit",
    "compare_groups",
    "fit_logistic",
    "has_intervals",
    "js_divergence",
    "jsonable",
    "kl_divergence",
    "krcc",
    "outlier_ratio",
    "pairwise_accuracy",
    "plcc",
    "ranks",
    "rmse",
    "srcc",
    "summarise",
    "summarise_groups",
    "wasserstein_distance",
]

FEWEST_CONTENTS = 5  # behind an interval
CORRELATIONS = ("srcc", "plcc", "plcc_4p", "plcc_5p", "krcc")
_INTERVALS = (*CORRELATIONS, "rmse")
_AVERAGED = (*_INTERVALS, "pairwise_accuracy", "outlier_ratio")
_ROWS_PER_PARAMETER = 5  # with fewer, a curve can follow single rows


@dataclass(frozen=True)
class _Resampling:
    """How intervals are made."""

    num_resamples: int
    confidence: float
    seed: int | Sequence[int]

    def __post_init__(self) -> None:
        if self.num_resamples < 0 or not 0 < self.confidence < 1:
            raise ValueError(
                f"need num_resamples >= 0 and 0 < confidence < 1, got {self.num_resamples} and {self.confidence}"
            )


@dataclass
class _Part:
    """A summary with what is needed to average it with others."""

    summary: dict[str, Any]
    replicates: dict[str, FloatArray] = field(default_factory=dict)
    krcc_error: float = math.nan


def summarise(
    score: ArrayLike,
    mos: ArrayLike,
    *,
    mos_std: ArrayLike | None = None,
    cluster: Sequence[object] | None = None,
    num_resamples: int = 1000,
    confidence: float = 0.95,
    seed: int | Sequence[int] = 0,
) -> dict[str, Any]:
    """All metrics of one set of predictions.

    Args:
        score: raw scores, higher is better; NaN or infinite where no valid answer was given.
        mos: labels; NaN where unlabelled.
        mos_std: standard deviation of the opinions, for the outlier ratio.
        cluster: content of each row; intervals then draw contents, not rows.
        num_resamples: bootstrap resamples; 0 leaves the intervals NaN.
        confidence: of the intervals.
        seed: of the bootstrap.

    Returns:
        `n` (rows with a label and a valid score: those the metrics are computed on), `n_invalid` (labelled rows
        without a valid score), `n_unlabelled`, `n_clusters`; `srcc`, `plcc`, `plcc_4p`, `plcc_5p`, `krcc`, `rmse`
        (on the 4-parameter fit), each with `_ci` = [low, high]; `pairwise_accuracy`, `outlier_ratio`; `notes`.
        What is undefined is NaN and has a note, as are intervals of fewer than `FEWEST_CONTENTS` contents. The order of
        the rows does not matter.

    Raises:
        ValueError: lengths differ, or num_resamples or confidence is out of range.
    """
    return _measure(score, mos, mos_std, cluster, _Resampling(num_resamples, confidence, seed)).summary


def summarise_groups(
    score: ArrayLike,
    mos: ArrayLike,
    *,
    dataset: Sequence[str] | None = None,
    subset: Sequence[str | None] | None = None,
    mos_std: ArrayLike | None = None,
    cluster: Sequence[object] | None = None,
    num_resamples: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
) -> dict[str, Any]:
    """Summaries per dataset, per subset, and overall.

    Labels of different datasets are not on one scale, so overall is the plain mean over datasets (macro), never a
    correlation of all rows pooled. With one dataset overall is that dataset.

    Args:
        score: as in `summarise`, like the remaining arguments.
        mos: labels, each dataset on its own scale.
        dataset: name of the set of each row.
        subset: named part of the set, None or "" for none.
        mos_std: as in `summarise`.
        cluster: content of each row; contents of different datasets are never the same.
        num_resamples: as in `summarise`.
        confidence: as in `summarise`.
        seed: as in `summarise`; each set draws its own numbers from it and its name.

    Returns:
        `overall`, `datasets` by name, `subsets` by "dataset/subset"; each as from `summarise`. Overall also has
        `aggregation`, in words.
    """
    score_N, mos_N = paired_rows(score, mos)
    std_N = None if mos_std is None else np.asarray(mos_std, dtype=np.float64)
    name_N = np.asarray(["default"] * mos_N.size if dataset is None else [str(d) for d in dataset], dtype=object)
    part_N = np.asarray([""] * mos_N.size if subset is None else [s or "" for s in subset], dtype=object)
    cluster_N = None if cluster is None else np.asarray(cluster, dtype=object)

    def part(row_N: IntArray, name: str) -> _Part:
        resampling = _Resampling(num_resamples, confidence, (seed, zlib.crc32(name.encode())))
        part_std_N = None if std_N is None else std_N[row_N]
        part_cluster_N = None if cluster_N is None else list(cluster_N[row_N])
        return _measure(score_N[row_N], mos_N[row_N], part_std_N, part_cluster_N, resampling)

    row_of = {name: np.flatnonzero(name_N == name) for name in sorted(set(name_N))}
    parts = {name: part(row_N, name) for name, row_N in row_of.items()}
    subsets = {}
    for name, row_N in row_of.items():
        for label in sorted(set(part_N[row_N]) - {""}):
            key = f"{name}/{label}"
            subsets[key] = part(row_N[part_N[row_N] == label], key).summary
    overall = _macro(parts, confidence)
    return {"overall": overall, "datasets": {name: p.summary for name, p in parts.items()}, "subsets": subsets}


def compare_groups(
    first: ArrayLike,
    second: ArrayLike,
    mos: ArrayLike,
    *,
    dataset: Sequence[str] | None = None,
    cluster: Sequence[object] | None = None,
    num_resamples: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
) -> dict[str, Any]:
    """Paired test of two models on the same rows: second minus first, with interval and p.

    Rows where either model has no valid score are left out for both, and counted.

    Args:
        first: scores of the first model (the baseline).
        second: scores of the second model.
        mos: labels.
        dataset: name of the set of each row; differences are averaged over sets.
        cluster: content of each row.
        num_resamples: bootstrap resamples, the same draws for both models.
        confidence: of the interval.
        seed: of the bootstrap.

    Returns:
        `n`, `n_dropped`, and for `srcc` and `plcc` `{first, second, difference, ci, p}`; p is two-sided, from the
        share of resamples on the other side of zero. `datasets`: by name `{n, srcc, plcc}` of each set alone. Interval
        and p are NaN where a set has fewer than `FEWEST_CONTENTS` contents.

    Raises:
        ValueError: lengths differ.
    """
    first_N, mos_N = paired_rows(first, mos)
    second_N, _ = paired_rows(second, mos)
    used_N = np.isfinite(first_N) & np.isfinite(second_N) & np.isfinite(mos_N)
    name_N = np.asarray(["default"] * mos_N.size if dataset is None else [str(d) for d in dataset], dtype=object)
    found: dict[str, dict[str, tuple[float, float, FloatArray]]] = {}
    number: dict[str, int] = {}
    for name in sorted(set(name_N[used_N])):
        row_N = np.flatnonzero(used_N & (name_N == name))
        label_N = None if cluster is None else [cluster[int(row)] for row in row_N]
        number[name] = row_N.size
        found[name] = paired_replicates(
            first_N[row_N],
            second_N[row_N],
            mos_N[row_N],
            cluster_N=cluster_index(label_N, row_N.size),
            num_resamples=num_resamples,
            seed=(seed, zlib.crc32(name.encode())),
        )
        if len(set(row_N if label_N is None else label_N)) < FEWEST_CONTENTS:
            found[name] = {
                key: (one, two, np.full(num_resamples, math.nan)) for key, (one, two, _) in found[name].items()
            }
    labelled = int(np.isfinite(mos_N).sum())
    result: dict[str, Any] = {"n": int(used_N.sum()), "n_dropped": labelled - int(used_N.sum())}
    for key in ("srcc", "plcc"):
        result[key] = _difference([values[key] for values in found.values()], confidence)
    result["datasets"] = {
        name: {"n": number[name], **{key: _difference([values[key]], confidence) for key in ("srcc", "plcc")}}
        for name, values in found.items()
    }
    return result


def jsonable(value: Any) -> Any:
    """The same structure in plain JSON types; NaN and infinities become None."""
    if isinstance(value, Mapping):
        return {str(key): jsonable(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, np.ndarray)):
        return [jsonable(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def _measure(
    score: ArrayLike,
    mos: ArrayLike,
    mos_std: ArrayLike | None,
    cluster: Sequence[object] | None,
    resampling: _Resampling,
) -> _Part:
    score_N, mos_N = paired_rows(score, mos)
    cluster_N = cluster_index(cluster, score_N.size)
    labelled_N = np.isfinite(mos_N)
    used_N = labelled_N & np.isfinite(score_N)
    std_N = None if mos_std is None else paired_rows(mos_std, mos_N)[0][used_N]
    kept_N = None if cluster_N is None else np.unique(cluster_N[used_N], return_inverse=True)[1].astype(np.int64)
    num_used = int(used_N.sum())
    summary: dict[str, Any] = {
        "n": num_used,
        "n_invalid": int(labelled_N.sum()) - num_used,
        "n_unlabelled": int((~labelled_N).sum()),
        "n_clusters": num_used if kept_N is None else int(kept_N.max(initial=-1)) + 1,
    }
    part = _Part(summary)
    score_N, mos_N = score_N[used_N], mos_N[used_N]
    fitted = _points(part, score_N, mos_N, std_N, kept_N)
    _resample(part, score_N, mos_N, kept_N, fitted=fitted, resampling=resampling)
    _intervals(part, resampling)
    return part


def _points(
    part: _Part, score_N: FloatArray, mos_N: FloatArray, std_N: FloatArray | None, cluster_N: IntArray | None
) -> dict[str, FloatArray]:
    """Fill in the point estimates; return the fitted predictions by name."""
    fits = {f"plcc_{k}p": fit_logistic(score_N, mos_N, num_parameters=k) for k in (4, 5)}
    fitted = {name: fit.fitted_N for name, fit in fits.items() if fit.coefficient_L}
    tau, error = krcc_with_error(score_N, mos_N, cluster_N)
    part.krcc_error = error if has_intervals(part.summary) else math.nan
    predicted_N = fitted.get("plcc_4p")
    if predicted_N is None and score_N.size and np.ptp(score_N) == 0:
        predicted_N = np.full(mos_N.size, mos_N.mean())  # the best curve through one score is the mean label
    no_std = predicted_N is None or std_N is None
    part.summary |= {
        "srcc": srcc(score_N, mos_N),
        "plcc": plcc(score_N, mos_N),
        "plcc_4p": fits["plcc_4p"].plcc,
        "plcc_5p": fits["plcc_5p"].plcc,
        "krcc": tau,
        "rmse": math.nan if predicted_N is None else rmse(predicted_N, mos_N),
        "pairwise_accuracy": pairwise_accuracy(score_N, mos_N),
        "outlier_ratio": math.nan if no_std else outlier_ratio(predicted_N, mos_N, std_N),  # type: ignore[arg-type]
        "notes": _notes(part.summary, score_N, mos_N, fits),
    }
    return fitted


def _notes(
    summary: Mapping[str, Any], score_N: FloatArray, mos_N: FloatArray, fits: Mapping[str, LogisticFit]
) -> list[str]:
    notes = []
    if summary["n_invalid"]:
        notes.append(f"labelled rows without a valid score, left out: {summary['n_invalid']}")
    if score_N.size < 2:
        return [*notes, "fewer than two rows: nothing to correlate"]
    if np.ptp(score_N) == 0:
        notes.append("all scores are equal: correlations are undefined, RMSE is that of the mean label")
    if np.ptp(mos_N) == 0:
        notes.append("all labels are equal: correlations are undefined")
    if is_defined(score_N, mos_N):
        notes += [f"{fit.num_parameters}-parameter fit: {fit.note}" for fit in fits.values() if fit.note]
        if score_N.size < _ROWS_PER_PARAMETER * max(fit.num_parameters for fit in fits.values()):
            notes.append(f"fits to {score_N.size} rows follow single ones: read the raw PLCC")
    if not has_intervals(summary):
        notes.append(f"{summary['n_clusters']} contents, fewer than {FEWEST_CONTENTS}: no interval")
    return notes


def has_intervals(summary: Mapping[str, Any]) -> bool:
    """Whether a summary has enough contents for intervals: drawn from two or three, they would look like certainty."""
    return bool(summary["n_clusters"] >= FEWEST_CONTENTS)


def _resample(
    part: _Part,
    score_N: FloatArray,
    mos_N: FloatArray,
    cluster_N: IntArray | None,
    *,
    fitted: Mapping[str, FloatArray],
    resampling: _Resampling,
) -> None:
    """Fill in the resampled values, fits held fixed; none where a correlation is missing or contents are few."""
    if not (is_defined(score_N, mos_N) and resampling.num_resamples and has_intervals(part.summary)):
        return
    part.replicates = bootstrap_correlations(
        score_N,
        mos_N,
        cluster_N=cluster_N,
        fitted=fitted,
        error_N=fitted["plcc_4p"] - mos_N if "plcc_4p" in fitted else None,
        num_resamples=resampling.num_resamples,
        seed=resampling.seed,
    )


def _intervals(part: _Part, resampling: _Resampling) -> None:
    """Fill in the intervals; KRCC's is analytic."""
    for name in _INTERVALS:
        replicates_B = part.replicates.get(name, np.zeros(0))
        part.summary[f"{name}_ci"] = percentile_interval(replicates_B, confidence=resampling.confidence)
    if resampling.num_resamples:
        krcc_ci = krcc_interval(part.summary["krcc"], part.krcc_error, confidence=resampling.confidence)
        part.summary["krcc_ci"] = krcc_ci


def _macro(parts: Mapping[str, _Part], confidence: float) -> dict[str, Any]:
    """The plain mean over datasets, which are independent of one another."""
    if len(parts) == 1:
        ((name, part),) = parts.items()
        return {**part.summary, "aggregation": f"the one dataset {name}"}
    summaries = [part.summary for part in parts.values()]
    overall: dict[str, Any] = {
        key: sum(s[key] for s in summaries) for key in ("n", "n_invalid", "n_unlabelled", "n_clusters")
    }
    for key in _AVERAGED:
        overall[key] = float(np.mean([s[key] for s in summaries])) if summaries else math.nan
    for key in _INTERVALS:
        replicates = [part.replicates.get(key, np.zeros(0)) for part in parts.values()]
        complete = bool(replicates) and all(r.size for r in replicates)
        mean_B = np.mean(replicates, axis=0) if complete else np.zeros(0)
        overall[f"{key}_ci"] = percentile_interval(mean_B, confidence=confidence)
    errors = [part.krcc_error for part in parts.values()]
    reach = NormalDist().inv_cdf(0.5 + confidence / 2) * math.sqrt(sum(e * e for e in errors)) / max(len(errors), 1)
    tau = overall["krcc"]
    overall["krcc_ci"] = (
        [max(-1.0, tau - reach), min(1.0, tau + reach)] if math.isfinite(tau + reach) else [math.nan] * 2
    )
    overall["notes"] = [f"{name}: {note}" for name, part in parts.items() for note in part.summary["notes"]]
    overall["aggregation"] = f"mean over {len(parts)} datasets"
    return overall


def _difference(values: Sequence[tuple[float, float, FloatArray]], confidence: float) -> dict[str, Any]:
    if not values:
        return {"first": math.nan, "second": math.nan, "difference": math.nan, "ci": [math.nan] * 2, "p": math.nan}
    first, second = (float(np.mean([value[i] for value in values])) for i in (0, 1))
    difference_B = np.mean([value[2] for value in values], axis=0)
    if math.isnan(second - first):
        difference_B = np.zeros(0)
    return {
        "first": first,
        "second": second,
        "difference": second - first,
        "ci": percentile_interval(difference_B, confidence=confidence),
        "p": sign_p_value(difference_B),
    }
