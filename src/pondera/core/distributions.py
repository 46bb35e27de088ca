"""Distances between a predicted distribution over levels and the votes of people.

Shape letters: S samples, C levels.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from pondera.core.records import FloatArray


def kl_divergence(predicted_SC: ArrayLike, votes_SC: ArrayLike, *, eps: float = 1e-6) -> FloatArray:
    """KL(votes || predicted) in nats, shape [S], >= 0.

    Args:
        predicted_SC: probabilities or counts; each row is normalised.
        votes_SC: histogram of the votes, same shape; each row is normalised.
        eps: share of the uniform distribution mixed into the prediction, so that a level that was ruled out and
            then voted for costs much, not infinitely much.

    Raises:
        ValueError: shapes differ, a value is negative or not finite, a row is empty, or eps is outside (0, 1).
    """
    if not 0 < eps < 1:
        raise ValueError(f"eps must lie in (0, 1), got {eps}")
    predicted_SC, votes_SC = _histograms(predicted_SC, votes_SC)
    return _kl(votes_SC, (1 - eps) * predicted_SC + eps / predicted_SC.shape[1])


def js_divergence(predicted_SC: ArrayLike, votes_SC: ArrayLike) -> FloatArray:
    """Jensen-Shannon divergence in nats, shape [S], in [0, ln 2]; symmetric.

    Raises:
        ValueError: as in `kl_divergence`.

    Source: Lin 1991. Deviation: none; some libraries report its square root.
    """
    predicted_SC, votes_SC = _histograms(predicted_SC, votes_SC)
    middle_SC = (predicted_SC + votes_SC) / 2
    return np.clip((_kl(predicted_SC, middle_SC) + _kl(votes_SC, middle_SC)) / 2, 0.0, np.log(2))


def wasserstein_distance(predicted_SC: ArrayLike, votes_SC: ArrayLike, *, spacing: float = 1.0) -> FloatArray:
    """Earth mover's distance between histograms on equally spaced levels, shape [S], in units of the scale.

    Args:
        predicted_SC: probabilities or counts.
        votes_SC: histogram of the votes, same shape.
        spacing: distance of two neighbouring levels on the scale.

    Raises:
        ValueError: as in `kl_divergence`.
    """
    predicted_SC, votes_SC = _histograms(predicted_SC, votes_SC)
    gap_SC = np.abs(np.cumsum(predicted_SC - votes_SC, axis=1)[:, :-1])
    return np.asarray(spacing * gap_SC.sum(axis=1), dtype=np.float64)


def _kl(p_SC: FloatArray, q_SC: FloatArray) -> FloatArray:
    with np.errstate(divide="ignore", invalid="ignore"):
        term_SC = np.where(p_SC > 0, p_SC * np.log(p_SC / q_SC), 0.0)
    return np.maximum(np.asarray(term_SC.sum(axis=1), dtype=np.float64), 0.0)


def _histograms(predicted_SC: ArrayLike, votes_SC: ArrayLike) -> tuple[FloatArray, FloatArray]:
    predicted_SC = np.asarray(predicted_SC, dtype=np.float64)
    votes_SC = np.asarray(votes_SC, dtype=np.float64)
    if predicted_SC.ndim != 2 or predicted_SC.shape != votes_SC.shape:
        raise ValueError(f"need two tables [samples, levels], got {predicted_SC.shape} and {votes_SC.shape}")
    for name, table_SC in (("predicted", predicted_SC), ("votes", votes_SC)):
        bad_S = ~np.isfinite(table_SC).all(axis=1) | (table_SC < 0).any(axis=1) | (table_SC.sum(axis=1) <= 0)
        if bad_S.any():
            row = int(np.flatnonzero(bad_S)[0])
            raise ValueError(f"{name} row {row} is no histogram: {table_SC[row]}; need numbers >= 0, not all zero")
    return predicted_SC / predicted_SC.sum(axis=1, keepdims=True), votes_SC / votes_SC.sum(axis=1, keepdims=True)
