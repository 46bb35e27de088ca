"""Pairs of rows: Kendall's tau-b, its standard error, and pairwise accuracy, all in O(N log^2 N).

Everything rests on one count per row: how many other rows it is ordered with in agreement with the labels, minus
how many against. SciPy returns the total only; the standard error needs the rows.
Shape letters: N rows, G groups of equal keys.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from pondera.core.correlation import IntArray, group_starts, is_defined, paired_rows
from pondera.core.records import FloatArray


def krcc(score_N: ArrayLike, mos_N: ArrayLike) -> float:
    """Kendall's tau-b of raw scores and labels.

    Returns:
        A number in [-1, 1]; NaN with fewer than two rows, a constant input or any value that is not finite.

    Raises:
        ValueError: the shapes differ.
    """
    return krcc_with_error(score_N, mos_N)[0]


def krcc_with_error(score_N: ArrayLike, mos_N: ArrayLike, cluster_N: IntArray | None = None) -> tuple[float, float]:
    """Kendall's tau-b and its standard error.

    Args:
        score_N: raw scores.
        mos_N: labels.
        cluster_N: number of the content each row belongs to; rows of one content are not independent. None: each
            row is its own.

    Returns:
        (tau, standard error); NaN where undefined (error: fewer than two clusters).

    Source: Kendall 1945 for tau-b; the error is the sandwich estimate from the influence of each row on the three
        pair counts (Hoeffding's U-statistic projection with the delta method), summed within clusters.
    """
    score_N, mos_N = paired_rows(score_N, mos_N)
    if not is_defined(score_N, mos_N):
        return math.nan, math.nan
    n = score_N.size
    agree_N = agreements(score_N, mos_N) / n
    untied_x_N, untied_y_N = _untied(score_N) / n, _untied(mos_N) / n
    agree, untied_x, untied_y = agree_N.mean(), untied_x_N.mean(), untied_y_N.mean()
    tau = agree / math.sqrt(untied_x * untied_y)
    influence_N = 2 * (agree_N - agree) / math.sqrt(untied_x * untied_y)
    influence_N = influence_N - tau * ((untied_x_N - untied_x) / untied_x + (untied_y_N - untied_y) / untied_y)
    return float(np.clip(tau, -1.0, 1.0)), _clustered_error(influence_N, cluster_N)


def krcc_interval(tau: float, error: float, *, confidence: float = 0.95) -> list[float]:
    """Interval of tau from its standard error, on Fisher's z scale so that it stays inside [-1, 1]."""
    if math.isnan(tau) or math.isnan(error):
        return [math.nan, math.nan]
    if abs(tau) >= 1 or error == 0:
        return [tau, tau]
    from statistics import NormalDist

    reach = NormalDist().inv_cdf(0.5 + confidence / 2) * error / (1 - tau**2)
    return [math.tanh(math.atanh(tau) - reach), math.tanh(math.atanh(tau) + reach)]


def pairwise_accuracy(score_N: ArrayLike, mos_N: ArrayLike) -> float:
    """Share of the pairs with different labels that the scores put in the right order; a tied score counts half.

    Returns:
        A number in [0, 1], 0.5 for constant scores; NaN when no two labels differ or a value is not finite.

    Raises:
        ValueError: the shapes differ.
    """
    score_N, mos_N = paired_rows(score_N, mos_N)
    if score_N.size < 2 or not (np.isfinite(score_N).all() and np.isfinite(mos_N).all()):
        return math.nan
    num_pairs = int(_untied(mos_N).sum())
    if num_pairs == 0:
        return math.nan
    return 0.5 + 0.5 * int(agreements(score_N, mos_N).sum()) / num_pairs


def agreements(x_N: FloatArray, y_N: FloatArray) -> IntArray:
    """Per row: sum over the other rows of sign(x - x') * sign(y - y').

    Two different ranks of x differ first at one highest bit. Bit by bit, the rows that agree above it form a block
    whose two halves are compared through running counts in the order of y. Rows of equal x never meet.
    """
    rank_x_N = np.unique(x_N, return_inverse=True)[1].astype(np.int64)
    rank_y_N = np.unique(y_N, return_inverse=True)[1].astype(np.int64)
    total_N = np.zeros(x_N.size, dtype=np.int64)
    for bit in range(int(rank_x_N.max(initial=0)).bit_length()):
        total_N += _agreements_at(bit, rank_x_N, rank_y_N)
    return total_N


def _agreements_at(bit: int, rank_x_N: IntArray, rank_y_N: IntArray) -> IntArray:
    """The part of `agreements` that is decided by this bit of the rank of x."""
    key_N = (rank_x_N >> (bit + 1)) * (int(rank_y_N.max()) + 1) + rank_y_N
    order_N = np.argsort(key_N)
    is_upper_N = ((rank_x_N >> bit) & 1)[order_N]
    tie_N = _spans(key_N[order_N])
    block_N = _spans((rank_x_N >> (bit + 1))[order_N])
    sum_N = np.zeros(x_size := rank_x_N.size, dtype=np.int64)
    for side in (0, 1):
        running = np.concatenate([[0], np.cumsum(is_upper_N != side)])  # rows of the other side so far
        below_N = running[tie_N[0]] - running[block_N[0]]
        above_N = running[block_N[1]] - running[tie_N[1]]
        mine_N = is_upper_N == side
        sum_N[mine_N] = ((below_N - above_N) * (1 if side else -1))[mine_N]
    out_N = np.empty(x_size, dtype=np.int64)
    out_N[order_N] = sum_N
    return out_N


def _spans(sorted_N: IntArray) -> tuple[IntArray, IntArray]:
    """For each position, where its run of equal values begins and ends."""
    start_G = group_starts(sorted_N)
    count_G = np.diff(start_G, append=sorted_N.size)
    return np.repeat(start_G, count_G), np.repeat(start_G + count_G, count_G)


def _untied(value_N: FloatArray) -> IntArray:
    """Per row: how many rows have another value."""
    _, group_N, count_G = np.unique(value_N, return_inverse=True, return_counts=True)
    return np.asarray(value_N.size - count_G[group_N], dtype=np.int64)


def _clustered_error(influence_N: FloatArray, cluster_N: IntArray | None) -> float:
    sum_G = influence_N if cluster_N is None else np.bincount(cluster_N, weights=influence_N)
    if sum_G.size < 2:
        return math.nan
    return math.sqrt(float(sum_G @ sum_G) * sum_G.size / (sum_G.size - 1)) / influence_N.size
