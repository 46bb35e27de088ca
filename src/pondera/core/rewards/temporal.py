"""The temporal consistency bonus: do frames in their order earn more than frames out of order?

The engine generates a second set of completions for perturbed frames and supplies their rewards as a side array.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from pondera.core.pool import Pool
from pondera.core.records import FloatArray
from pondera.core.rewards.base import Term, needs_of, one_of, positive, readable, register
from pondera.core.rewards.score import RelativeError


@register
@dataclass(frozen=True)
class TemporalBonus(Term):
    """A bonus where the reward for ordered frames holds against `ratio` times the reward for perturbed ones.

    Means run over the valid roll-outs on the ordered side and over the numbers present (not NaN) on the perturbed
    side; the sides may differ in size. Without a perturbed roll-out there is no bonus.

    Args:
        kernel: the reward that is compared.
        side_name: side array with that reward for the perturbed frames.
        scope: compare the means of each `sample`, or of the whole `batch` (released).
        ratio: factor on the perturbed side, > 0.
        strict: the ordered mean must be greater; otherwise equal is enough (released).
        bonus: what is paid, > 0.
        above: only to roll-outs whose own reward is greater; None = to all valid ones.

    Raises:
        ValueError: a parameter is outside its range; or, when called, the side array is missing.
    """

    name = "temporal_bonus"
    formula = "bonus [mean ordered > ratio * mean perturbed] [own reward > above]"
    source = (
        "VQ-Insight arXiv:2506.18564 (paper: per sample, 0.8, strict; code: per device batch, >=, above 0.1); "
        "VQAThinker arXiv:2508.06051 (code: batch, ratio 1, >=, above 0.5 for rank and 0.9 for score)"
    )
    range = "0 or bonus"
    defect = (
        "compared over the batch one sample's gain pays for another's loss (scope='batch'), and a tie at 0 passes "
        "(strict=False); the batch is the pool here, one device's share in the released code"
    )

    kernel: Term = field(default_factory=RelativeError)
    side_name: str = "perturbed_reward"
    scope: Literal["sample", "batch"] = "sample"
    ratio: float = 0.8
    strict: bool = True
    bonus: float = 0.3
    above: float | None = None

    needs_side = ("perturbed_reward",)

    def __post_init__(self) -> None:
        one_of(self, "scope", Literal["sample", "batch"])
        positive(self, ratio=self.ratio, bonus=self.bonus)
        needs_of(self, self.kernel, side=(self.side_name,))

    def __call__(self, pool: Pool) -> FloatArray:
        """Bonuses [S, K]; 0 where invalid or not present."""
        readable_SK = readable(pool)
        perturbed_SK = self.side(pool, self.side_name)
        ordered_SK = self.kernel(pool)
        ordered_S1 = self._means(np.where(readable_SK, ordered_SK, np.nan))
        perturbed_S1 = self.ratio * self._means(perturbed_SK)
        # NaN (nothing to compare) compares as False: no bonus.
        holds_S1 = ordered_S1 > perturbed_S1 if self.strict else ordered_S1 >= perturbed_S1
        earns_SK = readable_SK & holds_S1
        if self.above is not None:
            earns_SK &= ordered_SK > self.above
        return np.where(earns_SK, self.bonus, 0.0)

    def _means(self, reward_SK: FloatArray) -> FloatArray:
        """Mean of the numbers present, [S, 1], of each sample or of the whole pool; NaN where there is none."""
        axis = 1 if self.scope == "sample" else None
        count = np.isfinite(reward_SK).sum(axis=axis, keepdims=True)
        total = np.where(np.isfinite(reward_SK), reward_SK, 0.0).sum(axis=axis, keepdims=True)
        mean = np.where(count > 0, total / np.maximum(count, 1), np.nan)
        return np.broadcast_to(mean, (reward_SK.shape[0], 1))
