"""Mean opinions where nobody is rejected and careless subjects weigh less: bias and inconsistency, estimated together.

Shape letters as in `opinions`: N stimuli, U subjects.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from pondera.core.opinions import MeanOpinions, interval_of, masked_mean, opinion_table, subject_bias
from pondera.core.records import FloatArray

_TINY = 1e-8  # keeps the weight of a subject finite who agrees with the panel to the last bit
_CONVERGED = 1e-8  # length of the last change of all means
_MOST_ROUNDS = 1000


@dataclass(frozen=True)
class WeighedOpinions:
    """Means of a panel and what was found about its subjects.

    Args:
        means: per stimulus; the deviation and the interval are those of the opinions without bias, around the weighted
            mean.
        bias_U: how far a subject votes above the panel; they add up to 0.
        inconsistency_U: standard deviation of what a subject's bias does not explain; the weight is 1 / its square.
    """

    means: MeanOpinions
    bias_U: FloatArray
    inconsistency_U: FloatArray


def weigh_subjects(opinion_NU: FloatArray, *, confidence: float = 0.95) -> WeighedOpinions:
    """Model an opinion as quality of the stimulus + bias of the subject + noise of the subject, and solve in turns.

    Args:
        opinion_NU: opinions, NaN where missing.
        confidence: of the intervals.

    Raises:
        ValueError: the table is not two-dimensional, or confidence is not between 0 and 1.

    Source: ITU-T P.910 (2022), annex on alternating projection, and Li, Bampis, Krasula, Janowski and Katsavounidis,
        "A simple model for subject behavior in subjective experiments", 2020; constants as in the public program
        itut_p910_demo of github.com/Netflix/sureal (526715c). Deviation: deviation and interval are taken around the
        label, with divisor n - 1 and Student's t; that program takes them around the residuals' own mean, with n.

    In a small panel one subject can end with inconsistency 0 and decide alone; the figures show it.
    """
    opinion_NU = opinion_table(opinion_NU)
    quality_N, bias_U = masked_mean(opinion_NU, axis=1), subject_bias(opinion_NU)
    inconsistency_U = np.full_like(bias_U, math.nan)
    for _ in range(_MOST_ROUNDS):
        inconsistency_U = np.sqrt(_variance_of_subjects(opinion_NU - quality_N[:, None] - bias_U))
        before_N, quality_N = quality_N, _weighted(opinion_NU - bias_U, 1 / (inconsistency_U**2 + _TINY))
        bias_U = masked_mean(opinion_NU - quality_N[:, None], axis=0)
        if np.nansum((quality_N - before_N) ** 2) < _CONVERGED**2:
            break
    shift = float(np.nanmean(bias_U)) if np.isfinite(bias_U).any() else 0.0
    bias_U, quality_N = bias_U - shift, quality_N + shift
    return WeighedOpinions(interval_of(opinion_NU - bias_U, quality_N, confidence), bias_U, inconsistency_U)


def _variance_of_subjects(rest_NU: FloatArray) -> FloatArray:
    return masked_mean((rest_NU - masked_mean(rest_NU, axis=0)) ** 2, axis=0)


def _weighted(opinion_NU: FloatArray, weight_U: FloatArray) -> FloatArray:
    """Weighted mean of each stimulus' opinions; NaN where there is none."""
    weight_NU = np.where(np.isfinite(opinion_NU), weight_U, 0.0)
    total_N = weight_NU.sum(axis=1)
    summed_N = np.nansum(np.where(weight_NU > 0, opinion_NU * weight_NU, 0.0), axis=1)
    return np.asarray(summed_N / np.where(total_N > 0, total_N, math.nan))
