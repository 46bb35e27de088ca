"""Rank and linear correlation on NumPy alone. Shape letter: N = rows (one prediction and one label each).

SciPy has all three coefficients. They are written out here because the bootstrap needs the same arithmetic on
weighted rows, a million at a time, and because a constant or NaN input has to give an answer, not a warning.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pondera.core.records import FloatArray

IntArray = NDArray[np.int64]


def ranks(value_N: ArrayLike) -> FloatArray:
    """Ranks from 1 to N; equal values share the mean of their ranks.

    Args:
        value_N: finite numbers, shape [N].
    """
    value_N = np.asarray(value_N, dtype=np.float64)
    order_N = np.argsort(value_N, kind="stable")
    start_G = group_starts(value_N[order_N])
    count_G = np.diff(start_G, append=value_N.size)
    rank_N = np.empty(value_N.size)
    rank_N[order_N] = np.repeat(start_G + (count_G + 1) / 2, count_G)
    return rank_N


def group_starts(sorted_N: NDArray[np.generic]) -> IntArray:
    """Where each run of equal values begins in a sorted array."""
    if sorted_N.size == 0:
        return np.zeros(0, dtype=np.int64)
    return np.flatnonzero(np.concatenate([[True], sorted_N[1:] != sorted_N[:-1]]))


def plcc(score_N: ArrayLike, mos_N: ArrayLike) -> float:
    """Pearson's linear correlation of raw scores and labels.

    Returns:
        A number in [-1, 1]; NaN with fewer than two rows, a constant input or any value that is not finite.

    Raises:
        ValueError: the shapes differ.
    """
    score_N, mos_N = paired_rows(score_N, mos_N)
    if not is_defined(score_N, mos_N):
        return math.nan
    return _pearson(score_N, mos_N)


def srcc(score_N: ArrayLike, mos_N: ArrayLike) -> float:
    """Spearman's rank correlation of raw scores and labels; ties share their mean rank.

    Always on raw scores: a logistic fit that happens to fall would turn the sign round unseen.

    Returns:
        A number in [-1, 1]; NaN with fewer than two rows, a constant input or any value that is not finite.

    Raises:
        ValueError: the shapes differ.
    """
    score_N, mos_N = paired_rows(score_N, mos_N)
    if not is_defined(score_N, mos_N):
        return math.nan
    return _pearson(ranks(score_N), ranks(mos_N))


def rmse(predicted_N: ArrayLike, mos_N: ArrayLike) -> float:
    """Root of the mean squared error, divisor N; NaN without rows or with a value that is not finite.

    Raises:
        ValueError: the shapes differ.
    """
    predicted_N, mos_N = paired_rows(predicted_N, mos_N)
    if mos_N.size == 0:
        return math.nan
    return float(np.sqrt(np.mean((predicted_N - mos_N) ** 2)))


def outlier_ratio(
    predicted_N: ArrayLike, mos_N: ArrayLike, mos_std_N: ArrayLike, *, votes_N: ArrayLike | None = None
) -> float:
    """Share of rows whose prediction misses the label by more than twice its uncertainty.

    Args:
        predicted_N: predictions on the label's scale (after the logistic fit).
        mos_N: mean opinion scores.
        mos_std_N: standard deviation of the opinions behind each label; rows without one are left out.
        votes_N: opinions behind each label. With them the uncertainty is the standard error std / sqrt(votes).

    Returns:
        A number in [0, 1]; NaN when no row has a standard deviation.

    Source: VQEG FR-TV final report (2000), metric 3, uses twice the standard error. Deviation: where the number of
        votes is unknown the threshold is twice the standard deviation itself, which is far wider.
    """
    predicted_N, mos_N = paired_rows(predicted_N, mos_N)
    spread_N = np.asarray(mos_std_N, dtype=np.float64)
    if votes_N is not None:
        spread_N = spread_N / np.sqrt(np.asarray(votes_N, dtype=np.float64))
    known_N = np.isfinite(spread_N) & np.isfinite(predicted_N) & np.isfinite(mos_N)
    if not known_N.any():
        return math.nan
    return float(np.mean(np.abs(predicted_N - mos_N)[known_N] > 2 * spread_N[known_N]))


def paired_rows(score_N: ArrayLike, mos_N: ArrayLike) -> tuple[FloatArray, FloatArray]:
    """Both inputs as float arrays of one common shape [N]."""
    score_N = np.asarray(score_N, dtype=np.float64)
    mos_N = np.asarray(mos_N, dtype=np.float64)
    if score_N.ndim != 1 or score_N.shape != mos_N.shape:
        raise ValueError(f"scores and labels must be two lists of one length, got {score_N.shape} and {mos_N.shape}")
    return score_N, mos_N


def is_defined(score_N: FloatArray, mos_N: FloatArray) -> bool:
    """Whether a correlation exists: two rows or more, all finite, neither side constant."""
    if score_N.size < 2 or not (np.isfinite(score_N).all() and np.isfinite(mos_N).all()):
        return False
    return bool(np.ptp(score_N) > 0 and np.ptp(mos_N) > 0)


def _pearson(x_N: FloatArray, y_N: FloatArray) -> float:
    x_N, y_N = x_N - x_N.mean(), y_N - y_N.mean()
    x_N, y_N = x_N / np.abs(x_N).max(), y_N / np.abs(y_N).max()  # squares of 1e-200 would vanish
    return float(np.clip(x_N @ y_N / math.sqrt(float(x_N @ x_N) * float(y_N @ y_N)), -1.0, 1.0))
