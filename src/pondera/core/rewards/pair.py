"""Pair rewards against the other samples' mean scores: order only (binary), or order and distance (margin)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from pondera.core.pool import BoolArray, Pool
from pondera.core.records import FloatArray
from pondera.core.rewards.base import NO_COMPARISON, Term, labelled, one_of, positive, register
from pondera.core.rewards.comparisons import group_moments, mean_over_others

_ROUNDING = 1e-9


@register
@dataclass(frozen=True)
class BinaryPair(Term):
    """Share of the other samples that a score stands on the right side of.

    Args:
        ties: `half` = a tie on one side only (scores or labels) is worth 0.5; `strict` = it is worth 0. A tie on
            both sides is right.

    Raises:
        ValueError: `ties` is unknown.
    """

    name = "binary_pair"
    formula = "mean over j != i of [sign(q_ik - mean_j) = sign(y_i - y_j)], 0.5 for a one-sided tie"
    source = "VisualQuality-R1 arXiv:2505.14460 (ablation: binary instead of fidelity); the treatment of ties is ours"
    range = "0..1; 0.5 where there is nothing to compare"
    branch = "preference"
    min_samples = 2

    ties: Literal["half", "strict"] = "half"

    def __post_init__(self) -> None:
        one_of(self, "ties", Literal["half", "strict"])

    def __call__(self, pool: Pool) -> FloatArray:
        """Rewards [S, K]; 0 where invalid, not present or without a label."""
        mask_SK, score_SK, mos_S = _inputs(pool)
        mean_S, _ = group_moments(score_SK, mask_SK, ddof=1)

        def kernel(rows: slice) -> FloatArray:
            margin_RKS = score_SK[rows, :, None] - mean_S
            # The mean of equal scores is off by a rounding error: that is a tie, not an order.
            order_RKS = np.where(np.abs(margin_RKS) < _ROUNDING, 0.0, np.sign(margin_RKS))
            truth_RS = np.sign(mos_S[rows, None] - mos_S[None, :])
            distance_RKS: FloatArray = np.abs(order_RKS - truth_RS[:, None, :])
            if self.ties == "strict":
                return np.where(distance_RKS == 0, 1.0, 0.0)
            return np.asarray(1.0 - distance_RKS / 2)

        allowed_SS = np.ones((pool.num_samples, pool.num_samples), dtype=bool)
        return mean_over_others(kernel, mask_SK, allowed_SS, neutral=NO_COMPARISON)


@register
@dataclass(frozen=True)
class Margin(Term):
    """A bell around the true difference to every other sample; adding a constant to all scores changes nothing.

    Args:
        width: `unit` = one width for all pairs; `annotator` = sqrt(std_i^2 + std_j^2) of the opinions.
        unit: that one width, in label units, > 0; unused with `annotator`.
        floor_width: smallest width with `annotator`, > 0.

    Raises:
        ValueError: a parameter is outside its range; or, when called with `annotator`, a labelled sample has no
            standard deviation.
    """

    name = "margin"
    formula = "mean over j != i of exp(-0.5 (((q_ik - mean_j) - (y_i - y_j)) / s_ij)^2)"
    source = "MR-IQA arXiv:2606.29760 (code: unit = 1; sigma mode with the annotators' std, floor 1e-4)"
    range = "0..1; 0.5 where there is nothing to compare"
    branch = "preference"
    min_samples = 2

    width: Literal["unit", "annotator"] = "unit"
    unit: float = 1.0
    floor_width: float = 1e-4

    def __post_init__(self) -> None:
        one_of(self, "width", Literal["unit", "annotator"])
        positive(self, unit=self.unit, floor_width=self.floor_width)

    def __call__(self, pool: Pool) -> FloatArray:
        """Rewards [S, K]; 0 where invalid, not present or without a label."""
        mask_SK, score_SK, mos_S = _inputs(pool)
        mean_S, _ = group_moments(score_SK, mask_SK, ddof=1)
        variance_S = self._opinion_variance(pool, mask_SK) if self.width == "annotator" else None

        def kernel(rows: slice) -> FloatArray:
            truth_RS = mos_S[rows, None] - mos_S[None, :]
            error_RKS = (score_SK[rows, :, None] - mean_S) - truth_RS[:, None, :]
            if variance_S is None:
                return np.exp(-0.5 * (error_RKS / self.unit) ** 2)
            width_RS = np.maximum(np.sqrt(variance_S[rows, None] + variance_S[None, :]), self.floor_width)
            return np.exp(-0.5 * (error_RKS / width_RS[:, None, :]) ** 2)

        allowed_SS = np.ones((pool.num_samples, pool.num_samples), dtype=bool)
        return mean_over_others(kernel, mask_SK, allowed_SS, neutral=NO_COMPARISON)

    def _opinion_variance(self, pool: Pool, mask_SK: BoolArray) -> FloatArray:
        takes_part_S = mask_SK.any(axis=1)
        for s in np.flatnonzero(takes_part_S & ~np.isfinite(pool.mos_std_S)):
            raise ValueError(
                f"reward term 'margin' with width='annotator' needs the standard deviation of the opinions, but sample "
                f"{pool.sample_S[s]!r} has none: add mos_std to the manifest, or use width='unit'"
            )
        return np.where(takes_part_S, pool.mos_std_S, 0.0) ** 2


def _inputs(pool: Pool) -> tuple[BoolArray, FloatArray, FloatArray]:
    """Mask, and scores and labels with 0 where they are missing (NaN must not reach the sums)."""
    mask_SK = labelled(pool)
    mos_S = np.where(np.isfinite(pool.mos_S), pool.mos_S, 0.0)
    return mask_SK, np.where(mask_SK, pool.score_SK, 0.0), mos_S
