"""Soft labels: a mean opinion score and its spread as probabilities of five levels (DeQA-Score).

The released builder bends a discretised Gaussian with a straight line until its sum is 1 and its mean the label,
then cuts negative probabilities off, which breaks both again. Here the Gaussian is tilted instead, which keeps every
probability positive and both sums exact. Shape letters: S samples, L = 5 levels, worst first.
"""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from pondera.core.records import FIVE_POINT, FloatArray, LabelScale

Density = Literal["pdf", "cdf"]

_LEVEL_L = np.arange(1.0, 6.0)
_NARROW = 0.05  # below this spread the tilted Gaussian equals the two nearest levels to the last bit


def soft_labels(
    mos_S: ArrayLike, std_S: ArrayLike, *, scale: LabelScale = FIVE_POINT, density: Density = "pdf"
) -> FloatArray:
    """Probabilities of the five levels, shape [S, 5], worst first: >= 0, sum 1, mean exactly the label.

    Args:
        mos_S: labels on `scale`.
        std_S: standard deviation of the opinions, same unit, >= 0.
        scale: of the labels; its bounds are the outer levels.
        density: take the Gaussian's height at each level ("pdf", wide spreads) or its mass within half a level of
            it ("cdf", narrow spreads).

    Raises:
        ValueError: a label is off the scale, a spread is negative, a value is not finite, or the shapes differ.

    Source: DeQA-Score, arXiv:2501.11561. Deviation: instead of max(a p + b, 0) the Gaussian is multiplied by
        exp(t level), with t such that the mean is the label: of all distributions with that mean the nearest to the
        Gaussian in KL divergence. `soft_labels_as_released` is the published form.
    """
    mean_S, std_S = _five_point(mos_S, std_S, scale)
    prob_SL = _two_levels(mean_S)
    wide_S = (std_S >= _NARROW) & (mean_S > 1) & (mean_S < 5)
    if wide_S.any():
        prob_SL[wide_S] = _tilted(mean_S[wide_S], _log_gaussian(mean_S[wide_S], std_S[wide_S], density))
    return prob_SL


def soft_labels_as_released(
    mos_S: ArrayLike,
    std_S: ArrayLike,
    *,
    scale: LabelScale = FIVE_POINT,
    density: Density = "pdf",
    narrow: float = 0.2,
    tolerance: float = 0.1,
) -> FloatArray:
    """The released soft labels, shape [S, 5], worst first; with their clamp, so sum and mean may be off.

    Args:
        mos_S: labels on `scale` (the release stretches the observed range to [1, 5] first).
        std_S: standard deviation of the opinions, same unit, > 0.
        scale: of the labels.
        density: "pdf" for KonIQ-10k and KADID-10k, "cdf" for SPAQ.
        narrow: below this spread (on [1, 5]) the two nearest levels share the probability.
        tolerance: the same where the clamped mean is off by more than this.

    Raises:
        ValueError: as in `soft_labels`.

    Source: DeQA-Score, build_soft_labels/gen_soft_label.py (MIT), commit aeb61bd.
    """
    mean_S, std_S = _five_point(mos_S, std_S, scale)
    if (std_S <= 0).any():
        raise ValueError("the released soft labels need a standard deviation > 0; use soft_labels instead")
    prob_SL = np.maximum(linear_correction(mean_S, np.exp(_log_gaussian(mean_S, std_S, density))), 0.0)
    is_two_S = (std_S < narrow) | (np.abs(prob_SL @ _LEVEL_L - mean_S) > tolerance)
    return np.where(is_two_S[:, None], _two_levels_as_released(mean_S), prob_SL)


def linear_correction(mean_S: FloatArray, raw_SL: FloatArray) -> FloatArray:
    """a raw + b per row with sum 1 and the given mean on [1, 5], before any clamp, shape [S, 5]."""
    sum_S, moment_S = raw_SL.sum(axis=1), raw_SL @ _LEVEL_L
    a_S = (mean_S - 3) / (moment_S - 3 * sum_S + 1e-9)  # 1e-9 as released: 0 / 0 at a mean of 3
    return np.asarray(a_S[:, None] * raw_SL + ((1 - a_S * sum_S) / 5)[:, None], dtype=np.float64)


def expected_score(prob_SL: ArrayLike, *, scale: LabelScale = FIVE_POINT) -> FloatArray:
    """The inverse: the mean of level probabilities, on `scale`, shape [S].

    Args:
        prob_SL: probabilities, worst level first; rows are taken as they are, not normalised.
        scale: of the result.

    Raises:
        ValueError: not a table with five columns.
    """
    prob_SL = np.asarray(prob_SL, dtype=np.float64)
    if prob_SL.ndim != 2 or prob_SL.shape[1] != 5:
        raise ValueError(f"need a table of five level probabilities per row, got shape {prob_SL.shape}")
    return np.asarray(FIVE_POINT.convert(prob_SL @ _LEVEL_L, scale), dtype=np.float64)


def _five_point(mos_S: ArrayLike, std_S: ArrayLike, scale: LabelScale) -> tuple[FloatArray, FloatArray]:
    mos_S, std_S = np.asarray(mos_S, dtype=np.float64), np.asarray(std_S, dtype=np.float64)
    if mos_S.ndim != 1 or mos_S.shape != std_S.shape:
        raise ValueError(f"labels and spreads must be two lists of one length, got {mos_S.shape} and {std_S.shape}")
    bad_S = ~((mos_S >= scale.low) & (mos_S <= scale.high) & (std_S >= 0) & np.isfinite(std_S))
    if bad_S.any():
        row = int(np.flatnonzero(bad_S)[0])
        raise ValueError(
            f"row {row}: label {mos_S[row]} with spread {std_S[row]}; labels lie on [{scale.low:g}, {scale.high:g}] "
            "and spreads are >= 0"
        )
    return np.clip(scale.convert(mos_S, FIVE_POINT), 1.0, 5.0), scale.convert_std(std_S, FIVE_POINT)


def _log_gaussian(mean_S: FloatArray, std_S: FloatArray, density: Density) -> FloatArray:
    z_SL = (_LEVEL_L - mean_S[:, None]) / std_S[:, None]
    if density == "pdf":
        return -(z_SL**2) / 2 - np.log(std_S * math.sqrt(2 * math.pi))[:, None]
    if density != "cdf":
        raise ValueError(f"density must be pdf or cdf, got {density!r}")
    from scipy.special import ndtr

    half_S1 = 0.5 / std_S[:, None]
    near_SL = -np.abs(z_SL)  # the lower tail keeps its digits
    mass_SL = np.asarray(ndtr(near_SL + half_S1) - ndtr(near_SL - half_S1), dtype=np.float64)
    return np.log(np.maximum(mass_SL, 1e-300))


def _tilted(mean_S: FloatArray, log_SL: FloatArray) -> FloatArray:
    """exp(log p + t level), normalised, with t found by bisection: the mean rises with t."""
    limit_S = np.full(mean_S.size, 4000.0)  # floor of the log density (-691) and 1 / _NARROW^2 both fit twice
    low_S, high_S = -limit_S, limit_S
    for _ in range(120):
        middle_S = (low_S + high_S) / 2
        too_low_S = _softmax(log_SL + middle_S[:, None] * _LEVEL_L) @ _LEVEL_L < mean_S
        low_S, high_S = np.where(too_low_S, middle_S, low_S), np.where(too_low_S, high_S, middle_S)
    return _softmax(log_SL + ((low_S + high_S) / 2)[:, None] * _LEVEL_L)


def _softmax(log_SL: FloatArray) -> FloatArray:
    weight_SL = np.exp(log_SL - log_SL.max(axis=1, keepdims=True))
    return np.asarray(weight_SL / weight_SL.sum(axis=1, keepdims=True), dtype=np.float64)


def _two_levels(mean_S: FloatArray) -> FloatArray:
    """The two nearest levels share the probability so that the mean is exact."""
    lower_S = np.clip(np.floor(mean_S), 1, 4)
    prob_SL = np.zeros((mean_S.size, 5))
    row_S, column_S = np.arange(mean_S.size), lower_S.astype(np.int64) - 1
    prob_SL[row_S, column_S] = 1 - (mean_S - lower_S)
    prob_SL[row_S, column_S + 1] = mean_S - lower_S
    return prob_SL


def _two_levels_as_released(mean_S: FloatArray) -> FloatArray:
    """The release widens each interval by 1e-8 on both sides and shares by the widened distances."""
    lower_S = np.clip(np.ceil(mean_S - 1e-8) - 1, 1, 4)
    prob_SL = np.zeros((mean_S.size, 5))
    row_S, column_S = np.arange(mean_S.size), lower_S.astype(np.int64) - 1
    share_S = (mean_S - lower_S + 1e-8) / (1 + 2e-8)
    prob_SL[row_S, column_S] = 1 - share_S
    prob_SL[row_S, column_S + 1] = share_S
    return prob_SL
