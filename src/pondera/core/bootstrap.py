"""Bootstrap intervals, clustered where contents repeat, and the paired test of two models.

A resample is not copied: it is a weight per row (how often its cluster was drawn), and every statistic is computed
from the weights for a whole chunk of resamples at once. So a million rows take no more memory than ten thousand.
Logistic fits are held fixed. Shape letters: N rows, G clusters, B resamples of one chunk, T groups of tied values.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pondera.core.correlation import IntArray, group_starts, plcc, srcc
from pondera.core.records import FloatArray

Weights = FloatArray | NDArray[np.uint16]

_CELLS = 1_000_000  # weights held at a time: 8 MB each array
_TOGETHER = 16  # resamples whose sums are taken at once
_BLOCK = 16_384  # rows of such a sum: 2 MB of weights


def cluster_index(label_N: Sequence[object] | NDArray[np.generic] | None, num_rows: int) -> IntArray | None:
    """Number the contents by their sorted names; None when every row is its own.

    Raises:
        ValueError: there is not one label per row.
    """
    if label_N is None:
        return None
    if len(label_N) != num_rows:
        raise ValueError(f"need one cluster per row, got {len(label_N)} for {num_rows} rows")
    number_N = np.unique(np.asarray([str(label) for label in label_N]), return_inverse=True)[1]
    return None if number_N.max(initial=-1) + 1 == num_rows else number_N.astype(np.int64)


def resample_weights(
    num_rows: int, cluster_N: IntArray | None, *, num_resamples: int, seed: int | Sequence[int]
) -> Iterator[FloatArray]:
    """Yield chunks of weights [B, N]: how often each row's cluster was drawn, with replacement, G times.

    Args:
        num_rows: N.
        cluster_N: numbers 0 to G - 1 per row, or None: rows are drawn one by one.
        num_resamples: how many in all.
        seed: of the generator; the same seed gives the same draws.
    """
    for count_BN in resample_counts(num_rows, cluster_N, num_resamples=num_resamples, seed=seed):
        yield count_BN.astype(np.float64)


def resample_counts(
    num_rows: int, cluster_N: IntArray | None, *, num_resamples: int, seed: int | Sequence[int]
) -> Iterator[NDArray[np.uint16]]:
    """The weights of `resample_weights` as small integers: looking rows up in another order then stays in the cache.

    Arguments as there. No cluster is drawn 65,536 times: the chance is below 1 in 65,536 factorial.
    """
    rng = np.random.default_rng(seed)
    num_clusters = num_rows if cluster_N is None else int(cluster_N.max()) + 1
    chunk = max(1, _CELLS // max(num_rows, 1))
    for first in range(0, num_resamples, chunk):
        size = min(chunk, num_resamples - first)
        drawn = rng.integers(0, num_clusters, size=(size, num_clusters), dtype=np.int32).astype(np.int64)
        drawn += num_clusters * np.arange(size)[:, None]
        count_BG = np.bincount(drawn.ravel(), minlength=size * num_clusters).reshape(size, num_clusters)
        small_BG = count_BG.astype(np.uint16)
        yield small_BG if cluster_N is None else small_BG.take(cluster_N, axis=1)


@dataclass(frozen=True)
class Ties:
    """The order of one column, worked out once: which rows share a rank.

    Args:
        order_N: rows in rising order; None when they stand so already.
        start_T: where each run of equal values begins in that order; None when all values differ.
        group_N: run of each row; None when row and run are the same.
    """

    order_N: IntArray | None
    start_T: IntArray | None
    group_N: IntArray | None

    @classmethod
    def of(cls, value_N: FloatArray) -> Ties:
        """Sort a column of finite numbers."""
        is_sorted = bool((value_N[1:] >= value_N[:-1]).all())
        order_N = None if is_sorted else np.argsort(value_N, kind="stable")
        start_T = group_starts(value_N if order_N is None else value_N[order_N])
        if is_sorted and start_T.size == value_N.size:
            return cls(None, None, None)
        group_N = np.empty(value_N.size, dtype=np.int64)
        count_T = np.diff(start_T, append=value_N.size)
        group_N[slice(None) if order_N is None else order_N] = np.repeat(np.arange(start_T.size), count_T)
        return cls(order_N, start_T if start_T.size < value_N.size else None, group_N)

    def centred_ranks(self, weight_BN: Weights) -> tuple[FloatArray, FloatArray]:
        """Mid-ranks inside each weighted resample, minus their mean, [B, N]; and their sum of squares [B]."""
        weight_BT: Weights = weight_BN if self.order_N is None else weight_BN.take(self.order_N, axis=1)
        if self.start_T is not None:
            weight_BT = np.add.reduceat(weight_BT, self.start_T, axis=1, dtype=np.float64)
        rank_BT: FloatArray = np.cumsum(weight_BT, axis=1, dtype=np.float64)
        total_B1 = rank_BT[:, -1:].copy()
        rank_BT -= 0.5 * weight_BT
        rank_BT -= 0.5 * total_B1
        squares_B = np.einsum("bt,bt->b", weight_BT * rank_BT, rank_BT)
        return rank_BT if self.group_N is None else np.take(rank_BT, self.group_N, axis=1), squares_B


def weighted_srcc(weight_BN: Weights, first: Ties, second: Ties) -> FloatArray:
    """SRCC of each resample [B], ranks and ties taken inside the resample; NaN where one side is constant."""
    x_BN, xx_B = first.centred_ranks(weight_BN)
    y_BN, yy_B = second.centred_ranks(weight_BN)
    y_BN = y_BN * weight_BN
    return _ratio(np.einsum("bn,bn->b", x_BN, y_BN), xx_B, yy_B)


def moments(x_N: FloatArray, y_N: FloatArray) -> FloatArray:
    """Columns [N, 6] whose weighted sums give the PLCC of a resample, see `weighted_plcc`."""
    x_N, y_N = _standard(x_N), _standard(y_N)
    return np.stack([np.ones_like(x_N), x_N, y_N, x_N * x_N, y_N * y_N, x_N * y_N], axis=1)


def weighted_plcc(weight_BN: FloatArray, moment_N6: FloatArray) -> FloatArray:
    """PLCC of each resample [B]; NaN where one side is constant."""
    n, x, y, xx, yy, xy = (weight_BN @ moment_N6).T
    return _ratio(xy - x * y / n, xx - x * x / n, yy - y * y / n)


def bootstrap_correlations(
    score_N: FloatArray,
    mos_N: FloatArray,
    *,
    cluster_N: IntArray | None = None,
    fitted: Mapping[str, FloatArray] | None = None,
    error_N: FloatArray | None = None,
    num_resamples: int = 1000,
    seed: int | Sequence[int] = 0,
) -> dict[str, FloatArray]:
    """Resampled values of `srcc` and `plcc`, of the PLCC of fitted curves, and of `rmse`.

    Args:
        score_N: raw scores, finite, not constant.
        mos_N: labels, finite, not constant.
        cluster_N: content of each row, see `cluster_index`.
        fitted: further predictions by name; each gives the resampled PLCC under that name.
        error_N: errors on the fitted scale; gives `rmse`.
        num_resamples: B in all.
        seed: same seed, same values.

    Returns:
        Arrays of length num_resamples by name.
    """
    order_N = np.lexsort((mos_N, score_N) if cluster_N is None else (cluster_N, mos_N, score_N))
    score_N, mos_N = score_N[order_N], mos_N[order_N]
    cluster_N = None if cluster_N is None else cluster_N[order_N]
    predicted = {"plcc": score_N} | {name: value_N[order_N] for name, value_N in (fitted or {}).items()}
    sums = _Sums(predicted, mos_N, None if error_N is None else error_N[order_N])
    ties = Ties.of(score_N), Ties.of(mos_N)
    rank_B: list[FloatArray] = []
    total_BM: list[FloatArray] = []
    waiting: list[NDArray[np.uint16]] = []
    for count_BN in resample_counts(score_N.size, cluster_N, num_resamples=num_resamples, seed=seed):
        rank_B.append(weighted_srcc(count_BN, *ties))
        waiting.append(count_BN)
        if sum(map(len, waiting)) >= _TOGETHER:
            total_BM.append(sums.totals(np.concatenate(waiting)))
            waiting = []
    if waiting:
        total_BM.append(sums.totals(np.concatenate(waiting)))
    return {"srcc": np.concatenate(rank_B), **sums.statistics(np.concatenate(total_BM))}


class _Sums:
    """Weighted sums of all columns in one pass, M of them: what two predictions share is summed once."""

    def __init__(self, predicted: Mapping[str, FloatArray], mos_N: FloatArray, error_N: FloatArray | None) -> None:
        self.names = list(predicted)
        y_N = _standard(mos_N)
        columns = [np.ones_like(y_N), y_N, y_N * y_N]
        for x_N in map(_standard, predicted.values()):
            columns += [x_N, x_N * x_N, x_N * y_N]
        self.has_error = error_N is not None
        if error_N is not None:
            columns.append(error_N**2)
        self.column_MN = np.stack(columns)

    def totals(self, count_BN: NDArray[np.uint16]) -> FloatArray:
        """Sums [B, M], block by block, so that weights and columns of a block are in the cache together."""
        total_BM = np.zeros((len(count_BN), len(self.column_MN)))
        for first in range(0, count_BN.shape[1], _BLOCK):
            block = slice(first, first + _BLOCK)
            total_BM += count_BN[:, block].astype(np.float64) @ self.column_MN[:, block].T
        return total_BM

    def statistics(self, total_BM: FloatArray) -> dict[str, FloatArray]:
        """PLCC by name, and `rmse` where errors were given."""
        n, y, yy = total_BM[:, :3].T
        found = {}
        for i, name in enumerate(self.names):
            x, xx, xy = total_BM[:, 3 + 3 * i : 6 + 3 * i].T
            found[name] = _ratio(xy - x * y / n, xx - x * x / n, yy - y * y / n)
        return found | ({"rmse": np.sqrt(total_BM[:, -1] / n)} if self.has_error else {})


def percentile_interval(value_B: FloatArray, *, confidence: float = 0.95) -> list[float]:
    """[low, high] that holds the middle share of the resampled values; NaN resamples are left out."""
    value_B = value_B[np.isfinite(value_B)]
    if value_B.size == 0:
        return [math.nan, math.nan]
    tail = (1 - confidence) / 2
    low, high = np.quantile(value_B, [tail, 1 - tail])
    return [float(low), float(high)]


def bootstrap_mean(
    value_N: ArrayLike, *, cluster_N: IntArray | None = None, num_resamples: int = 1000, seed: int | Sequence[int] = 0
) -> FloatArray:
    """Resampled means of a column, clusters drawn whole; empty when there are no rows."""
    value_N = np.asarray(value_N, dtype=np.float64)
    if value_N.size == 0:
        return np.zeros(0)
    order_N = np.lexsort((value_N,) if cluster_N is None else (value_N, cluster_N))
    cluster_N = None if cluster_N is None else cluster_N[order_N]
    chunks = resample_weights(value_N.size, cluster_N, num_resamples=num_resamples, seed=seed)
    return np.concatenate([w_BN @ value_N[order_N] / w_BN.sum(axis=1) for w_BN in chunks])


def paired_replicates(
    first_N: FloatArray,
    second_N: FloatArray,
    mos_N: FloatArray,
    *,
    cluster_N: IntArray | None = None,
    num_resamples: int = 1000,
    seed: int | Sequence[int] = 0,
) -> dict[str, tuple[float, float, FloatArray]]:
    """(value of the first, value of the second, resampled second - first) for `srcc` and `plcc`.

    Both models see the same draws, so what is hard about a content cancels.

    Args:
        first_N: scores of the first model, finite.
        second_N: scores of the second model for the same rows, finite.
        mos_N: labels.
        cluster_N: content of each row.
        num_resamples: how many.
        seed: same seed, same values.
    """
    keys = (mos_N, second_N, first_N) if cluster_N is None else (cluster_N, mos_N, second_N, first_N)
    order_N = np.lexsort(keys)
    first_N, second_N, mos_N = first_N[order_N], second_N[order_N], mos_N[order_N]
    cluster_N = None if cluster_N is None else cluster_N[order_N]
    ties = Ties.of(first_N), Ties.of(second_N), Ties.of(mos_N)
    before_N6, after_N6 = moments(first_N, mos_N), moments(second_N, mos_N)
    rank_B, linear_B = [], []
    for weight_BN in resample_weights(mos_N.size, cluster_N, num_resamples=num_resamples, seed=seed):
        rank_B.append(weighted_srcc(weight_BN, ties[1], ties[2]) - weighted_srcc(weight_BN, ties[0], ties[2]))
        linear_B.append(weighted_plcc(weight_BN, after_N6) - weighted_plcc(weight_BN, before_N6))
    return {
        "srcc": (srcc(first_N, mos_N), srcc(second_N, mos_N), np.concatenate(rank_B)),
        "plcc": (plcc(first_N, mos_N), plcc(second_N, mos_N), np.concatenate(linear_B)),
    }


def sign_p_value(difference_B: FloatArray) -> float:
    """Two-sided p of "no difference": twice the share of resamples on the rarer side of zero.

    One is added to both counts, so that p is never 0 with finitely many resamples. NaN without resamples.
    """
    difference_B = difference_B[np.isfinite(difference_B)]
    if difference_B.size == 0:
        return math.nan
    rarer = min(int((difference_B <= 0).sum()), int((difference_B >= 0).sum()))
    return min(1.0, 2 * (rarer + 1) / (difference_B.size + 1))


def _standard(value_N: FloatArray) -> FloatArray:
    """Centred and scaled to at most 1: sums of squares then lose no digits."""
    value_N = value_N - value_N.mean()
    largest = float(np.abs(value_N).max(initial=0.0))
    return value_N / largest if largest > 0 else value_N


def _ratio(xy_B: FloatArray, xx_B: FloatArray, yy_B: FloatArray) -> FloatArray:
    product_B = xx_B * yy_B
    # Rounding leaves about 1e-16 per row where a resample is constant; a real spread is far above it.
    is_defined_B = (xx_B > 1e-12) & (yy_B > 1e-12)
    root_B = np.sqrt(np.where(is_defined_B, product_B, 1.0))
    return np.where(is_defined_B, np.clip(xy_B / root_B, -1.0, 1.0), math.nan)
