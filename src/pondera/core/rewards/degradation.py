"""Exact-match rewards for questions other than the score: what is wrong with it, how badly, and which is better."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from pondera.core.pool import Pool
from pondera.core.records import FloatArray
from pondera.core.rewards.base import Term, not_negative, readable, register


@register
@dataclass(frozen=True)
class Degradation(Term):
    """Credit for the class of a degradation, and more for its severity once the class is right.

    Samples without a class in their targets earn 0 (another task). A target without a severity, such as a clean
    image, asks for none: the right class earns everything.

    Args:
        class_field: name of the class in answer and targets.
        severity_field: name of the severity in answer and targets.
        class_reward: for the class, >= 0.
        severity_reward: on top for the severity, >= 0.

    Raises:
        ValueError: a reward is negative.
    """

    name = "degradation"
    formula = "class_reward [class right] + severity_reward [class and severity right]"
    source = "Q-Insight arXiv:2503.22679 (code: 0.25 + 0.75)"
    range = "0..1 with the defaults"

    class_field: str = "distortion_class"
    severity_field: str = "severity"
    class_reward: float = 0.25
    severity_reward: float = 0.75

    def __post_init__(self) -> None:
        not_negative(self, class_reward=self.class_reward, severity_reward=self.severity_reward)

    def __call__(self, pool: Pool) -> FloatArray:
        """Rewards [S, K]; 0 where invalid, not present or without a target."""
        readable_SK = readable(pool)
        reward_SK = np.zeros(readable_SK.shape)
        for s, k in np.argwhere(readable_SK):
            target, fields = pool.target_S[s], pool.answer_SK[s][k].fields
            if not _same(fields.get(self.class_field), target.get(self.class_field)):
                continue
            reward_SK[s, k] = self.class_reward
            severity = target.get(self.severity_field)
            if severity is None or _same(fields.get(self.severity_field), severity):
                reward_SK[s, k] += self.severity_reward
        return reward_SK


@register
@dataclass(frozen=True)
class Comparison(Term):
    """1 for naming the better one (or a tie) as the label does.

    Args:
        field: name of the choice in answer and targets.
    """

    name = "comparison"
    formula = "1 if the named choice equals the label, else 0"
    source = "Q-Insight arXiv:2503.22679 (code: Image A, Image B, Similar); VQ-Insight arXiv:2506.18564 (paper)"
    range = "0 or 1"

    field: str = "choice"

    def __call__(self, pool: Pool) -> FloatArray:
        """Rewards [S, K]; 0 where invalid, not present or without a target."""
        readable_SK = readable(pool)
        reward_SK = np.zeros(readable_SK.shape)
        for s, k in np.argwhere(readable_SK):
            reward_SK[s, k] = _same(pool.answer_SK[s][k].fields.get(self.field), pool.target_S[s].get(self.field))
        return reward_SK


def _same(found: Any, expected: Any) -> bool:
    """Equal but for letter case and outer white space; a missing label equals nothing."""
    if found is None or expected is None:
        return False
    return str(found).strip().lower() == str(expected).strip().lower()
