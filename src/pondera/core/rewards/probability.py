"""The probability-difference reward: did thinking make the right answer more likely?"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from pondera.core.pool import Pool
from pondera.core.records import FloatArray
from pondera.core.rewards.base import Term, needs_of, readable, register
from pondera.core.rewards.format import Format
from pondera.core.rewards.score import Threshold


def _released_accuracy() -> Threshold:
    return Threshold(limit=0.5, inclusive=True)


@register
@dataclass(frozen=True)
class ProbabilityDifference(Term):
    """A bonus for the gain in probability of the true first decimal through the thought.

    Only a roll-out that is right and well-formed earns it; the two rule rewards themselves are separate terms. The
    engine writes the label's digits over the answer's and reads the probability of the first decimal, once behind
    the thought and once without one.

    Args:
        accuracy: rule reward of the answer, 1 = right.
        form: rule reward of the form, 1 = right.

    Raises:
        ValueError: when called, a side array is missing.
    """

    name = "probability_difference"
    formula = "clamp(p_think - p_nothink, 0, 1) * floor((accuracy + form) / 2)"
    source = "Refine-IQA arXiv:2508.03763 (code: accuracy 1 within 0.5, inclusive; the run name says 0.35)"
    range = "0..1"

    accuracy: Term = field(default_factory=_released_accuracy)
    form: Term = field(default_factory=Format)

    needs_side = ("p_think", "p_nothink")

    def __post_init__(self) -> None:
        needs_of(self, self.accuracy, self.form, side=("p_think", "p_nothink"))

    def __call__(self, pool: Pool) -> FloatArray:
        """Bonuses [S, K]; 0 where invalid, not present, or where a probability is NaN."""
        gain_SK = self.side(pool, "p_think") - self.side(pool, "p_nothink")
        is_right_SK = np.floor((self.accuracy(pool) + self.form(pool)) / 2) >= 1
        gain_SK = np.clip(np.where(np.isnan(gain_SK), 0.0, gain_SK), 0.0, 1.0)
        return np.where(readable(pool) & is_right_SK, gain_SK, 0.0)
