"""From the opinions of single subjects to mean opinion scores: screening, bias removal, intervals.

The opinions of a study stand in one table with a row per stimulus and a column per subject; NaN where a subject did
not rate a stimulus. Shape letters: N stimuli, U subjects.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pondera.core.correlation import plcc
from pondera.core.records import FloatArray

# Held against two public programs: github.com/Netflix/sureal (526715c), which has all constants of BT.500's rule, and
# screening.m of M. Pinson, NTIA/ITS: its part "Fourth" for BT.500-12, "First" for the correlation.
_OUTSIDE = 0.05  # BT.500: share of extreme opinions above which a subject is looked at
_LOPSIDED = 0.3  # BT.500: a subject extreme mostly to one side is strict or generous, not careless
_LEAST_CORRELATION = 0.75  # screening.m, after the VQEG HDTV test plan, Annex I: with the means, over stimuli


@dataclass(frozen=True)
class MeanOpinions:
    """What a panel said about each stimulus.

    Args:
        mos_N: mean opinion; NaN without opinions.
        std_N: standard deviation of the opinions, divisor n - 1; NaN with fewer than two.
        reach_N: half width of the confidence interval of the mean, from Student's t; NaN with fewer than two.
        count_N: opinions.
    """

    mos_N: FloatArray
    std_N: FloatArray
    reach_N: FloatArray
    count_N: NDArray[np.int64]


@dataclass(frozen=True)
class Screening:
    """Which subjects a rule would leave out, and the figures it looked at.

    Args:
        is_rejected_U: one truth value per subject.
        figures: by name, one number per subject; NaN where it is undefined.
    """

    is_rejected_U: NDArray[np.bool_]
    figures: dict[str, FloatArray]


def mean_opinions(opinion_NU: FloatArray, *, confidence: float = 0.95) -> MeanOpinions:
    """Mean, standard deviation, interval and count per stimulus.

    Args:
        opinion_NU: opinions, NaN where missing.
        confidence: of the interval.

    Raises:
        ValueError: the table is not two-dimensional, or confidence is not between 0 and 1.

    Source: ITU-R BT.500-14, part 1, annex on the analysis of results. Deviation: Student's t in place of 1.96, which
        is too narrow below some 30 subjects.
    """
    opinion_NU = opinion_table(opinion_NU)
    return interval_of(opinion_NU, masked_mean(opinion_NU, axis=1), confidence)


def interval_of(opinion_NU: FloatArray, mos_N: FloatArray, confidence: float) -> MeanOpinions:
    """Deviation, interval and count around given means; arguments as in `mean_opinions`."""
    from scipy.special import stdtrit

    if not 0 < confidence < 1:
        raise ValueError(f"confidence must lie between 0 and 1, got {confidence}")
    count_N = np.isfinite(opinion_NU).sum(axis=1)
    square_N = np.nansum((opinion_NU - mos_N[:, None]) ** 2, axis=1)
    freedom_N = np.where(count_N > 1, count_N - 1.0, math.nan)
    std_N = np.sqrt(square_N / freedom_N)
    reach_N = stdtrit(freedom_N, 0.5 + confidence / 2) * std_N / np.sqrt(np.maximum(count_N, 1))
    return MeanOpinions(mos_N, std_N, reach_N, count_N)


def subject_bias(opinion_NU: FloatArray) -> FloatArray:
    """How far each subject votes above the panel, on average over the stimuli that the subject rated, [U].

    Source: ITU-T P.913 (2021), clause on subject bias (after Janowski and Pinson 2015). NaN for a subject without
        opinions. The mean of a stimulus is that of the opinions it has; where subjects rate different stimuli, the
        bias of those who met a strict panel is estimated too high.
    """
    opinion_NU = opinion_table(opinion_NU)
    return masked_mean(opinion_NU - masked_mean(opinion_NU, axis=1)[:, None], axis=0)


def remove_bias(opinion_NU: FloatArray) -> FloatArray:
    """The opinions with each subject's bias taken off, [N, U]; they may leave the scale by a little."""
    return opinion_table(opinion_NU) - subject_bias(opinion_NU)


def screen_by_extremes(opinion_NU: FloatArray) -> Screening:
    """The rule of BT.500: reject who is often far from the panel, and to both sides.

    Far is 2 standard deviations of the stimulus' opinions where their kurtosis is between 2 and 4 (near normal), and
    sqrt(20) elsewhere. With P opinions far above and Q far below out of n, a subject is rejected when
    (P + Q) / n > 0.05 and |P - Q| / (P + Q) < 0.3.

    Returns:
        Figures `extreme` = (P + Q) / n and `lopsided` = |P - Q| / (P + Q).

    Source: ITU-R BT.500-14, screening of the observers (kurtosis with divisor n, deviation with n - 1, as in
        screening.m; sureal divides by n in both). Stimuli whose opinions are all equal are left out: every opinion
        lies at the mean there.
    """
    opinion_NU = opinion_table(opinion_NU)
    opinions = mean_opinions(opinion_NU)
    centred_NU = opinion_NU - opinions.mos_N[:, None]
    variance_N = masked_mean(centred_NU**2, axis=1)
    has_spread_N = variance_N > 0
    kurtosis_N = masked_mean(centred_NU**4, axis=1) / np.where(has_spread_N, variance_N, math.nan) ** 2
    is_normal_N = (kurtosis_N >= 2) & (kurtosis_N <= 4)
    limit_N = np.where(has_spread_N, np.where(is_normal_N, 2.0, math.sqrt(20)) * opinions.std_N, math.inf)
    above_U = (centred_NU >= limit_N[:, None]).sum(axis=0)
    below_U = (centred_NU <= -limit_N[:, None]).sum(axis=0)
    far_U = above_U + below_U
    extreme_U = far_U / _at_least_one(np.isfinite(opinion_NU).sum(axis=0))
    lopsided_U = np.abs(above_U - below_U) / _at_least_one(far_U)
    return Screening((extreme_U > _OUTSIDE) & (lopsided_U < _LOPSIDED), {"extreme": extreme_U, "lopsided": lopsided_U})


def screen_by_correlation(opinion_NU: FloatArray, *, threshold: float = _LEAST_CORRELATION) -> Screening:
    """Reject, one after another, the subject who agrees least with the panel's means, while below the threshold.

    The means are taken anew after each rejection, and contain the subject's own opinions.

    Args:
        opinion_NU: opinions, NaN where missing.
        threshold: least Pearson correlation over the stimuli that the subject rated.

    Returns:
        Figure `correlation`: with the means of the panel as it was when the subject was last judged; NaN where a
        subject rated fewer than two stimuli or gave one answer only. Such a subject is rejected: nothing can be learned
        from one who always says the same.

    Raises:
        ValueError: the table is not two-dimensional, or the threshold is not in [-1, 1].

    Source: the VQEG HDTV test plan, Annex I, as in the public screening.m of M. Pinson (NTIA/ITS): correlation with
        the means over all stimuli, rejected below 0.75. ITU-T P.913 describes screening by correlation; its text was
        not available to us. Deviations: that program judges everybody once, against the means of the full panel; here
        the worst goes first, and the others are judged anew. The rule of the VQEG multimedia test plan, which also
        asks for 0.8 over the means of the treatments, is left out, because a study file names no treatments.
    """
    opinion_NU = opinion_table(opinion_NU)
    if not -1 <= threshold <= 1:
        raise ValueError(f"threshold must lie in [-1, 1], got {threshold}")
    is_rejected_U = np.zeros(opinion_NU.shape[1], dtype=bool)
    correlation_U = np.full(opinion_NU.shape[1], math.nan)
    while not is_rejected_U.all():
        kept = np.flatnonzero(~is_rejected_U)
        mean_N = masked_mean(opinion_NU[:, kept], axis=1)
        correlation_U[kept] = [_correlation(opinion_NU[:, u], mean_N) for u in kept]
        agreement = np.where(np.isnan(correlation_U[kept]), -math.inf, correlation_U[kept])
        if agreement.min() >= threshold:
            break
        is_rejected_U[kept[agreement.argmin()]] = True
    return Screening(is_rejected_U, {"correlation": correlation_U})


def opinion_table(opinion_NU: FloatArray) -> FloatArray:
    """The table as float64.

    Raises:
        ValueError: it is not two-dimensional.
    """
    opinion_NU = np.asarray(opinion_NU, dtype=np.float64)
    if opinion_NU.ndim != 2:
        raise ValueError(f"opinions must be [stimuli, subjects], got shape {opinion_NU.shape}")
    return opinion_NU


def masked_mean(value: FloatArray, axis: int) -> FloatArray:
    """Mean without the NaN; NaN, and no warning, where nothing else stands."""
    count = np.isfinite(value).sum(axis=axis)
    return np.asarray(np.nansum(value, axis=axis) / np.where(count > 0, count, math.nan))


def _at_least_one(count: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.maximum(count, 1)


def _correlation(opinion_N: FloatArray, mean_N: FloatArray) -> float:
    is_rated_N = np.isfinite(opinion_N)
    return plcc(opinion_N[is_rated_N], mean_N[is_rated_N])
