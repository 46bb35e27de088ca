"""What rank terms share: group statistics, order statistics, and means over the other samples.

Shape letters: S samples, K completions, R rows of a chunk, A places in a group of A valid roll-outs. The masks say
which cells take part: whatever is outside them never enters a statistic or a pairing.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from pondera.core.pool import BoolArray
from pondera.core.records import FloatArray

_CHUNK = 1 << 19  # comparisons at a time: 4 MB an array, so the temporaries of a kernel stay in the cache's reach


def group_moments(score_SK: FloatArray, mask_SK: BoolArray, *, ddof: int) -> tuple[FloatArray, FloatArray]:
    """Mean and variance of each group over the masked cells.

    Args:
        score_SK: scores; anything outside the mask.
        mask_SK: cells that count.
        ddof: 1 = unbiased variance, 0 = population variance.

    Returns:
        mean_S (0 for an empty group) and variance_S (0 for groups of ddof or fewer).
    """
    count_S = mask_SK.sum(axis=1)
    filled_SK = np.where(mask_SK, score_SK, 0.0)
    mean_S = filled_SK.sum(axis=1) / np.maximum(count_S, 1)
    square_SK = np.where(mask_SK, filled_SK - mean_S[:, None], 0.0) ** 2
    return mean_S, square_SK.sum(axis=1) / np.maximum(count_S - ddof, 1)


def mean_over_others(
    kernel: Callable[[slice], FloatArray], mask_SK: BoolArray, allowed_SS: BoolArray, *, neutral: float
) -> FloatArray:
    """Average a comparison over the other samples, in chunks of rows.

    Args:
        kernel: rows -> finite values [R, K, S] of comparing roll-out (r, k) with sample s.
        mask_SK: cells that take part.
        allowed_SS: which samples may be compared; the diagonal and samples without a masked cell are left out here.
        neutral: value of a masked cell that has nothing to be compared with.

    Returns:
        [S, K]; 0 outside the mask.
    """
    num_samples, group_size = mask_SK.shape
    has_S = mask_SK.sum(axis=1) > 0
    weight_SS = np.asarray(allowed_SS & has_S[None, :] & ~np.eye(num_samples, dtype=bool))
    mean_SK = np.zeros(mask_SK.shape)
    for rows in chunks(num_samples, group_size * num_samples):
        weight_RS = weight_SS[rows].astype(np.float64)
        total_RK = np.matmul(kernel(rows), weight_RS[:, :, None])[:, :, 0]
        count_R1 = weight_RS.sum(axis=1, keepdims=True)
        mean_SK[rows] = np.where(count_R1 > 0, total_RK / np.maximum(count_R1, 1.0), neutral)
    return np.where(mask_SK, mean_SK, 0.0)


def chunks(num_rows: int, row_size: int) -> list[slice]:
    """Slices of rows that keep a chunk of rows x row_size near `_CHUNK` numbers."""
    step = max(1, _CHUNK // max(row_size, 1))
    return [slice(start, min(start + step, num_rows)) for start in range(0, num_rows, step)]


def sorted_groups(score_SK: FloatArray, mask_SK: BoolArray) -> tuple[FloatArray, NDArray[np.intp], NDArray[np.intp]]:
    """Sort each group's masked scores.

    Returns:
        sorted_SK (NaN behind the last masked score), order_SK (cell at each place; stable), count_S.
    """
    masked_SK = np.where(mask_SK, score_SK, np.inf)
    order_SK = np.argsort(masked_SK, axis=1, kind="stable")
    # An unmasked cell must not stand before a masked one: +inf ties only with other unmasked cells.
    count_S = mask_SK.sum(axis=1)
    sorted_SK = np.take_along_axis(masked_SK, order_SK, axis=1)
    is_behind_SK = np.arange(mask_SK.shape[1]) >= count_S[:, None]
    return np.where(is_behind_SK, np.nan, sorted_SK), order_SK, count_S


def at_places(sorted_SK: FloatArray, count_S: NDArray[np.intp], num_places: int) -> FloatArray:
    """Every group's order statistics at the quantiles of a group of `num_places` roll-outs.

    Place j of A is the quantile j / (A - 1) (0.5 for A = 1), linearly interpolated between order statistics. For a
    group of exactly A scores this is its sorted scores, to the last bit.

    Returns:
        [S, A]; NaN for groups without a score.
    """
    steps = max(num_places - 1, 1)
    place_A = np.arange(num_places) if num_places > 1 else np.array([0.5])
    # Multiply before dividing: j * (A - 1) / (A - 1) is exactly j, so equal counts are never interpolated.
    position_SA = place_A[None, :] * np.maximum(count_S - 1, 0)[:, None] / steps
    low_SA = np.floor(position_SA).astype(np.intp)
    high_SA = np.minimum(low_SA + 1, np.maximum(count_S - 1, 0)[:, None])
    low_value_SA = np.take_along_axis(sorted_SK, low_SA, axis=1)
    high_value_SA = np.take_along_axis(sorted_SK, high_SA, axis=1)
    return low_value_SA + (position_SA - low_SA) * (high_value_SA - low_value_SA)


def to_rollouts(
    place_SK: FloatArray, sorted_SK: FloatArray, order_SK: NDArray[np.intp], mask_SK: BoolArray, *, share_ties: bool
) -> FloatArray:
    """Bring values of places back to the roll-outs that stand there.

    Args:
        place_SK: value of every place; anything behind the last one.
        sorted_SK: the sorted scores, NaN behind the last one.
        order_SK: cell at each place.
        mask_SK: cells that take part.
        share_ties: equal scores share the mean of their places; otherwise the stable order decides.

    Returns:
        [S, K]; 0 outside the mask.
    """
    value_SK = np.where(np.isnan(sorted_SK), 0.0, place_SK)
    if share_ties:
        same_SKK = (sorted_SK[:, :, None] == sorted_SK[:, None, :]).astype(np.float64)
        size_SK = np.maximum(same_SKK.sum(axis=2), 1.0)
        value_SK = np.matmul(same_SKK, value_SK[:, :, None])[:, :, 0] / size_SK
    out_SK = np.zeros(mask_SK.shape)
    np.put_along_axis(out_SK, order_SK, value_SK, axis=1)
    return np.where(mask_SK, out_SK, 0.0)
