"""An opinion-unaware rank reward: the level of a distortion put there on purpose replaces the opinions of people."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from pondera.core.pool import BoolArray, Pool
from pondera.core.records import FloatArray
from pondera.core.rewards.base import Term, one_of, positive, register, scored
from pondera.core.rewards.fidelity import thurstone_fidelity


@register
@dataclass(frozen=True)
class LevelRank(Term):
    """Fidelity of the predicted order to the order of distortion levels; no MOS is read.

    Levels of different contents or distortions compare only loosely, so name the target that compared samples must
    share (a content or distortion id). Samples without a level, or without that target, are not compared; their
    valid roll-outs, and all that have nothing to be compared with, earn 0.5.

    Args:
        level: name of the target with the level; a higher level is worse.
        within: name of the target that compared samples must share; "" compares all.
        ties: equal levels are left out (`skip`), or count as an even chance (`half`).
        eps_variance: added to the variance of the difference, > 0.

    Raises:
        ValueError: a parameter is outside its range.
    """

    name = "level_rank"
    formula = "fidelity (see there) with p* = 1 for level_i < level_j, 0 for level_i > level_j"
    source = (
        "HiRQA arXiv:2508.15130 ranks by level without MOS but publishes no formula; the fidelity form is ours "
        "(EvoQuality trains on pseudo-preferences the same way)"
    )
    range = "0.002..1.001; 0.5 where there is nothing to compare"
    branch = "preference"
    min_samples = 2

    level: str = "level"
    within: str = ""
    ties: Literal["skip", "half"] = "skip"
    eps_variance: float = 1e-6

    def __post_init__(self) -> None:
        one_of(self, "ties", Literal["skip", "half"])
        positive(self, eps_variance=self.eps_variance)

    def __call__(self, pool: Pool) -> FloatArray:
        """Rewards [S, K]; 0 where invalid or not present."""
        level_S = np.array([_level(target, self.level) for target in pool.target_S])
        has_level_S = np.isfinite(level_S)
        level_S = np.where(has_level_S, level_S, 0.0)
        better_SS = np.sign(level_S[None, :] - level_S[:, None])
        allowed_SS = has_level_S[:, None] & has_level_S[None, :] & self._share_group(pool)
        if self.ties == "skip":
            allowed_SS &= better_SS != 0
        return thurstone_fidelity(
            pool.score_SK,
            scored(pool),
            (better_SS + 1) / 2,
            allowed_SS,
            ddof=1,
            eps_variance=self.eps_variance,
            eps_root=1e-6,
        )

    def _share_group(self, pool: Pool) -> BoolArray:
        if not self.within:
            return np.ones((pool.num_samples, pool.num_samples), dtype=bool)
        names = [str(target.get(self.within, "")) for target in pool.target_S]
        # A missing name gets a number of its own, so it equals no other.
        index = {name: i for i, name in enumerate(dict.fromkeys(names))}
        group_S = np.array([index[name] if name else -1 - s for s, name in enumerate(names)])
        return np.asarray(group_S[:, None] == group_S[None, :])


def _level(target: Mapping[str, Any], name: str) -> float:
    value = target.get(name)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return math.nan
    return float(value)
