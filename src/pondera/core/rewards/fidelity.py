"""The fidelity rank reward: does a score order its sample against the others as people did?

A roll-out's score is compared with the mean score of every other sample under Thurstone's model; the fidelity measure
compares the resulting probability with the true preference. A random ranker earns about 0.71, not 0.5.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from pondera.core.pool import BoolArray, Pool
from pondera.core.records import FloatArray
from pondera.core.rewards.base import NO_COMPARISON, Term, labelled, not_negative, one_of, positive, register
from pondera.core.rewards.comparisons import group_moments, mean_over_others


@register
@dataclass(frozen=True)
class Fidelity(Term):
    """Fidelity of the Thurstone preference probabilities against every other sample.

    A sample with one valid roll-out has variance 0 (the released code divides by zero). A roll-out with no other
    sample to be compared with earns 0.5.

    Args:
        ties: truth of equal labels: `half` = 0.5; `greater_equal` = 1 for both (Aes-R1 as released).
        variance: `unbiased` (divisor n - 1) or `population` variance of each group's scores.
        eps_variance: added to the variance of the difference, > 0.
        eps_root: added under both roots, >= 0.
        decimals: round to so many; None = no rounding.

    Raises:
        ValueError: a parameter is outside its range.
    """

    name = "fidelity"
    formula = (
        "mean over j != i of sqrt(p p* + e) + sqrt((1 - p)(1 - p*) + e), "
        "p = Phi((q_ik - mean_j) / sqrt(var_i + var_j + eps)), p* = 1, 0.5, 0 for y_i >, =, < y_j"
    )
    source = "VisualQuality-R1 arXiv:2505.14460 (code; there pairs stay on one device); Aes-R1 arXiv:2509.21871 (ties)"
    range = "0.002..1.001 (eps_root 1e-6); 0.5 where there is nothing to compare"
    defect = (
        "Aes-R1 counts equal labels as better both ways (ties='greater_equal'); "
        "one roll-out or one sample gives NaN in the released code, here variance 0 and 0.5"
    )
    branch = "preference"
    min_samples = 2

    ties: Literal["half", "greater_equal"] = "half"
    variance: Literal["unbiased", "population"] = "unbiased"
    eps_variance: float = 1e-6
    eps_root: float = 1e-6
    decimals: int | None = None

    def __post_init__(self) -> None:
        one_of(self, "ties", Literal["half", "greater_equal"])
        one_of(self, "variance", Literal["unbiased", "population"])
        positive(self, eps_variance=self.eps_variance)
        not_negative(self, eps_root=self.eps_root, decimals=self.decimals or 0)

    def __call__(self, pool: Pool) -> FloatArray:
        """Rewards [S, K]; 0 where invalid, not present or without a label."""
        mask_SK = labelled(pool)
        mos_S = np.where(np.isfinite(pool.mos_S), pool.mos_S, 0.0)
        gap_SS = mos_S[:, None] - mos_S[None, :]
        truth_SS = (gap_SS >= 0).astype(np.float64) if self.ties == "greater_equal" else (np.sign(gap_SS) + 1) / 2
        reward_SK = thurstone_fidelity(
            pool.score_SK,
            mask_SK,
            truth_SS,
            np.ones_like(gap_SS, dtype=bool),
            ddof=1 if self.variance == "unbiased" else 0,
            eps_variance=self.eps_variance,
            eps_root=self.eps_root,
        )
        return reward_SK if self.decimals is None else np.round(reward_SK, self.decimals)


def thurstone_fidelity(
    score_SK: FloatArray,
    mask_SK: BoolArray,
    truth_SS: FloatArray,
    allowed_SS: BoolArray,
    *,
    ddof: int,
    eps_variance: float,
    eps_root: float,
) -> FloatArray:
    """Mean fidelity of every masked roll-out against the samples it may be compared with.

    Args:
        score_SK: scores.
        mask_SK: cells that take part.
        truth_SS: true probability that the row's sample is better than the column's, in [0, 1].
        allowed_SS: which samples may be compared.
        ddof: divisor of the group variance is n - ddof.
        eps_variance: added to the variance of the difference.
        eps_root: added under both roots.

    Returns:
        [S, K]; 0 outside the mask, NO_COMPARISON where there is nothing to compare.
    """
    from scipy.special import ndtr

    mean_S, variance_S = group_moments(score_SK, mask_SK, ddof=ddof)
    filled_SK = np.where(mask_SK, score_SK, 0.0)

    def kernel(rows: slice) -> FloatArray:
        spread_RS = np.sqrt(variance_S[rows, None] + variance_S[None, :] + eps_variance)
        p_RKS = ndtr((filled_SK[rows, :, None] - mean_S) / spread_RS[:, None, :])
        truth_R1S = truth_SS[rows, None, :]
        value_RKS: FloatArray = np.sqrt(p_RKS * truth_R1S + eps_root) + np.sqrt(
            (1 - p_RKS) * (1 - truth_R1S) + eps_root
        )
        return value_RKS

    return mean_over_others(kernel, mask_SK, allowed_SS, neutral=NO_COMPARISON)
