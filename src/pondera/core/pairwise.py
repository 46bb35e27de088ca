"""From pairwise votes to scores with intervals: Bradley-Terry and Thurstone's case V, by maximum likelihood.

Both models say that the better a stimulus is, the more often it wins, P(i beats j) = F(c (s_i - s_j)); F is the
logistic or the normal distribution function. Scores are in just-objectionable differences: c is such that one unit
means 75 % of the votes, in both models. Shape letter: N stimuli.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import Literal

import numpy as np

from pondera.core.correlation import IntArray
from pondera.core.records import FloatArray

PairwiseModel = Literal["bradley-terry", "thurstone"]

_UNIT = {"bradley-terry": math.log(3), "thurstone": NormalDist().inv_cdf(0.75)}  # logit and probit of 75 %
_MAX_STEPS = 200


@dataclass(frozen=True)
class PairwiseScores:
    """Scores of a set of stimuli.

    Args:
        score_N: higher is better; their mean is 0, one unit is a preference of 75 %.
        error_N: standard error of each score against the mean of all.
        low_N: lower end of the confidence interval.
        high_N: upper end.
        count_N: votes each stimulus took part in.
    """

    score_N: FloatArray
    error_N: FloatArray
    low_N: FloatArray
    high_N: FloatArray
    count_N: FloatArray


def pairwise_scores(
    win_NN: FloatArray,
    *,
    model: PairwiseModel = "bradley-terry",
    pseudo_votes: float = 0.0,
    confidence: float = 0.95,
) -> PairwiseScores:
    """The scores that make the votes most likely.

    Args:
        win_NN: [i, j] is how often i was preferred to j; a tie counts half for each. The diagonal is 0.
        model: `bradley-terry` (logistic) or `thurstone` (case V: normal, one variance for all, no correlation).
        pseudo_votes: votes added each way to every pair that was compared. Above 0, stimuli that always won or always
            lost get finite scores, all scores shrink towards each other, and intervals count these votes as real.
        confidence: of the intervals, which are score +- z standard errors (Fisher information at the maximum).

    Raises:
        ValueError: the table is not square, negative or not finite; or no finite scores exist: see `winning_groups`.

    Source: Bradley and Terry 1952; Thurstone 1927 (case V); the unit as in Perez-Ortiz and Mantiuk 2017. Existence of
        the maximum: Ford 1957.
    """
    win_NN = _checked(win_NN)
    if pseudo_votes < 0 or not 0 < confidence < 1:
        raise ValueError(f"need pseudo_votes >= 0 and 0 < confidence < 1, got {pseudo_votes} and {confidence}")
    win_NN = with_pseudo_votes(win_NN, pseudo_votes)
    num_groups = int(winning_groups(win_NN).max(initial=-1)) + 1
    if num_groups != 1:
        raise ValueError(
            f"the votes fall into {num_groups} groups with no way back from a worse to a better one, so that the "
            "distance between them is infinite or unknown"
        )
    score_N, information_NN = _maximise(win_NN, model)
    # The information knows nothing of a common shift; its pseudo-inverse is the covariance around the mean score.
    error_N = np.sqrt(np.maximum(np.diag(np.linalg.pinv(information_NN, hermitian=True)), 0.0))
    reach_N = NormalDist().inv_cdf(0.5 + confidence / 2) * error_N
    count_N = (win_NN + win_NN.T).sum(axis=1)
    return PairwiseScores(score_N, error_N, score_N - reach_N, score_N + reach_N, count_N)


def with_pseudo_votes(win_NN: FloatArray, pseudo_votes: float) -> FloatArray:
    """The table with so many votes (>= 0) added each way to every pair that was compared, [N, N]."""
    return win_NN + pseudo_votes * (win_NN + win_NN.T > 0)


def winning_groups(win_NN: FloatArray) -> IntArray:
    """Group of each stimulus, [N]: inside a group one gets from any stimulus to any other along wins.

    Only with a single group do finite scores exist: otherwise some stimuli won all their votes against the rest, or
    were never compared with it.
    """
    from scipy.sparse.csgraph import connected_components

    win_NN = _checked(win_NN)
    group_N = connected_components(win_NN > 0, directed=True, connection="strong")[1]
    return np.asarray(group_N, dtype=np.int64)


def _checked(win_NN: FloatArray) -> FloatArray:
    win_NN = np.asarray(win_NN, dtype=np.float64)
    if win_NN.ndim != 2 or win_NN.shape[0] != win_NN.shape[1]:
        raise ValueError(f"wins must be a square table, got shape {win_NN.shape}")
    if not (np.isfinite(win_NN).all() and (win_NN >= 0).all()) or np.diag(win_NN).any():
        raise ValueError("wins must be finite and not negative, and 0 on the diagonal")
    return win_NN


def _maximise(win_NN: FloatArray, model: PairwiseModel) -> tuple[FloatArray, FloatArray]:
    """Newton's method with halved steps on a concave likelihood; (scores, information) at the maximum."""
    score_N = np.zeros(len(win_NN))
    value, slope_N, information_NN = _likelihood(win_NN, score_N, model)
    for _ in range(_MAX_STEPS):
        # Adding 1 everywhere fixes the free shift and leaves the direction as it is: the slopes sum to 0.
        step_N = np.linalg.solve(information_NN + 1.0, slope_N)
        gain = float(slope_N @ step_N)
        if gain < 1e-16 * max(1.0, abs(value)):
            break
        size = 1.0
        while (new := _likelihood(win_NN, score_N + size * step_N, model))[0] < value and size > 1e-8:
            size /= 2
        score_N = score_N + size * step_N
        value, slope_N, information_NN = new
    return score_N - score_N.mean(), information_NN


def _likelihood(win_NN: FloatArray, score_N: FloatArray, model: PairwiseModel) -> tuple[float, FloatArray, FloatArray]:
    """Log-likelihood, its gradient [N] and its information (minus the second derivatives) [N, N]."""
    unit = _UNIT[model]
    z_NN = unit * (score_N[:, None] - score_N)
    log_p_NN, first_NN, second_NN = (_log_logistic if model == "bradley-terry" else _log_normal)(z_NN)
    pull_NN = unit * win_NN * first_NN
    weight_NN = unit**2 * win_NN * second_NN
    weight_NN = weight_NN + weight_NN.T
    information_NN = np.diag(weight_NN.sum(axis=1)) - weight_NN
    return float((win_NN * log_p_NN).sum()), pull_NN.sum(axis=1) - pull_NN.sum(axis=0), information_NN


def _log_logistic(z_NN: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """log F, its slope, and minus its second derivative, of the logistic distribution."""
    from scipy.special import expit

    p_NN = expit(z_NN)
    return -np.logaddexp(0.0, -z_NN), 1.0 - p_NN, p_NN * (1.0 - p_NN)


def _log_normal(z_NN: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """log F, its slope, and minus its second derivative, of the normal distribution."""
    from scipy.special import log_ndtr

    log_p_NN = log_ndtr(z_NN)
    slope_NN = np.exp(-0.5 * z_NN**2 - log_p_NN) / math.sqrt(2 * math.pi)  # the inverse Mills ratio
    return log_p_NN, slope_NN, slope_NN * (z_NN + slope_NN)
