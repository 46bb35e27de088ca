"""Score rewards: how near is a score to the label? Each is a kernel of the error, applied cell by cell.

`value` is the kernel on plain arrays, so that `dimensions` can reuse it for any named target. Constants are in units
of the working scale.
"""

from __future__ import annotations

import re
from abc import abstractmethod
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from pondera.core.pool import Pool
from pondera.core.records import FloatArray
from pondera.core.rewards.base import Term, labelled, needs_of, not_negative, one_of, positive, readable, register


class ScoreTerm(Term):
    """A term that looks at one score and its label only."""

    branch = "preference"

    @abstractmethod
    def value(self, score: FloatArray, label: FloatArray) -> FloatArray:
        """The kernel: finite scores and labels of one shape in, rewards of that shape out."""

    def __call__(self, pool: Pool) -> FloatArray:
        """The kernel of every labelled cell, [S, K]; 0 where invalid, not present or without a label."""
        mask_SK = labelled(pool)
        mos_SK = np.broadcast_to(pool.mos_S[:, None], mask_SK.shape)
        reward_SK = np.zeros(mask_SK.shape)
        reward_SK[mask_SK] = self.value(pool.score_SK[mask_SK], mos_SK[mask_SK])
        return reward_SK


@register
@dataclass(frozen=True)
class Gaussian(ScoreTerm):
    """A bell around the label.

    Args:
        sigma: width, > 0; the reward is 0.5 at an error of 1.18 sigma.
        offset: added to the kernel, >= 0.
        decimals: round to so many; None = no rounding.

    Raises:
        ValueError: sigma is not positive, offset or decimals are negative.
    """

    name = "gaussian"
    formula = "exp(-(q - y)^2 / (2 sigma^2)) + offset"
    source = (
        "OmniQuality-R arXiv:2510.10609 (sigma 0.8 on 0..5), VQAThinker arXiv:2508.06051 (0.5 on 1..5), "
        "Aes-R1 arXiv:2509.21871 (0.1 on 0..1, offset 1e-5, 4 decimals)"
    )
    range = "0..1 (+ offset)"

    sigma: float = 0.5
    offset: float = 0.0
    decimals: int | None = None

    def __post_init__(self) -> None:
        positive(self, sigma=self.sigma)
        not_negative(self, offset=self.offset, decimals=self.decimals or 0)

    def value(self, score: FloatArray, label: FloatArray) -> FloatArray:
        """exp(-(score - label)^2 / (2 sigma^2)) + offset."""
        reward = np.exp(-0.5 * ((score - label) / self.sigma) ** 2) + self.offset
        return reward if self.decimals is None else np.round(reward, self.decimals)


@register
@dataclass(frozen=True)
class Laplace(ScoreTerm):
    """An exponential decay with the absolute error: a peak at the label, heavier tails than the Gaussian.

    Args:
        tau: decay length, > 0.
        clamp: bounds that score and label are moved into first; None = none.

    Raises:
        ValueError: tau is not positive, or the bounds are in the wrong order.
    """

    name = "laplace"
    formula = "exp(-|q - y| / tau)"
    source = "Q-Hawkeye arXiv:2601.22920 (code: tau 0.3, both clamped to 1..5)"
    range = "0..1"

    tau: float = 0.3
    clamp: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        positive(self, tau=self.tau)
        if self.clamp is not None and not (len(self.clamp) == 2 and self.clamp[0] < self.clamp[1]):
            raise ValueError(f"laplace.clamp must be (low, high) with low < high, got {self.clamp}")

    def value(self, score: FloatArray, label: FloatArray) -> FloatArray:
        """exp(-|score - label| / tau), both clamped first where asked."""
        if self.clamp is not None:
            score, label = np.clip(score, *self.clamp), np.clip(label, *self.clamp)
        return np.exp(-np.abs(score - label) / self.tau)


@register
@dataclass(frozen=True)
class Threshold(ScoreTerm):
    """1 for an error below a limit, 0 otherwise.

    Args:
        limit: largest error that is right, > 0.
        inclusive: whether an error of exactly the limit is right.

    Raises:
        ValueError: the limit is not positive.
    """

    name = "threshold"
    formula = "1 if |q - y| < limit (<= if inclusive), else 0"
    source = "Q-Insight arXiv:2503.22679 (0.35, strict), Refine-IQA arXiv:2508.03763 (code: 0.5, inclusive)"
    range = "0 or 1"

    limit: float = 0.35
    inclusive: bool = False

    def __post_init__(self) -> None:
        positive(self, limit=self.limit)

    def value(self, score: FloatArray, label: FloatArray) -> FloatArray:
        """1.0 within the limit, 0.0 beyond."""
        error = np.abs(score - label)
        return np.asarray(error <= self.limit if self.inclusive else error < self.limit, dtype=np.float64)


@register
@dataclass(frozen=True)
class Linear(ScoreTerm):
    """A straight fall with the absolute error.

    Args:
        width: error at which the reward is 0, > 0.
        floor_at_zero: larger errors earn 0; otherwise they go below.

    Raises:
        ValueError: the width is not positive.
    """

    name = "linear"
    formula = "1 - |q - y| / width, not below 0 if floor_at_zero"
    source = "VQ-Insight arXiv:2506.18564 (paper: 1 - |y - q|), OmniQuality-R (code, selectable: 1 - |e| / e_max)"
    range = "0..1; below 0 without the floor"

    width: float = 1.0
    floor_at_zero: bool = True

    def __post_init__(self) -> None:
        positive(self, width=self.width)

    def value(self, score: FloatArray, label: FloatArray) -> FloatArray:
        """1 - |score - label| / width."""
        reward = 1.0 - np.abs(score - label) / self.width
        return np.maximum(reward, 0.0) if self.floor_at_zero else reward


@register
@dataclass(frozen=True)
class RelativeError(ScoreTerm):
    """Error relative to the label. The same absolute error costs more on a bad sample than on a good one.

    A label of 0 has no relative error: there an exact hit earns 1 and anything else 0, the limit of the formula.
    """

    name = "relative_error"
    formula = "1 - min(1, |q - y| / |y|)"
    source = "VQ-Insight (code; labels 0..100; the paper has 1 - |y - q|, see `linear`); the case y = 0 is ours"
    range = "0..1"

    def value(self, score: FloatArray, label: FloatArray) -> FloatArray:
        """1 - min(1, |score - label| / |label|)."""
        error, size = np.abs(score - label), np.abs(label)
        # Above the label's size the quotient is 1 anyway: dividing only below it is safe for a label of 0.
        ratio = np.divide(error, size, out=np.ones_like(error), where=(error < size))
        return np.where(error == 0, 1.0, 1.0 - ratio)


@register
@dataclass(frozen=True)
class Binary(ScoreTerm):
    """Right or wrong, with an optional second step for near misses.

    Args:
        limit: errors below it are right, > 0.
        near_limit: errors from `limit` to below it are near; None = no second step.
        near_reward: what a near miss earns, in [0, 1].

    Raises:
        ValueError: the limits are not positive and rising, or the near reward is outside [0, 1].
    """

    name = "binary"
    formula = "1 if |q - y| < limit, near_reward if |q - y| < near_limit, else 0"
    source = "OmniQuality-R (code, selectable: 0.3); Aes-R1 (ablation: 1 below 0.07, 0.5 below 0.1)"
    range = "0..1"

    limit: float = 0.3
    near_limit: float | None = None
    near_reward: float = 0.5

    def __post_init__(self) -> None:
        positive(self, limit=self.limit)
        if self.near_limit is not None and not self.near_limit > self.limit:
            raise ValueError(f"binary.near_limit must be > limit = {self.limit}, got {self.near_limit}")
        if not 0.0 <= self.near_reward <= 1.0:
            raise ValueError(f"binary.near_reward must be in [0, 1], got {self.near_reward}")

    def value(self, score: FloatArray, label: FloatArray) -> FloatArray:
        """1.0, near_reward or 0.0."""
        error = np.abs(score - label)
        near = 0.0 if self.near_limit is None else np.where(error < self.near_limit, self.near_reward, 0.0)
        return np.where(error < self.limit, 1.0, near)


@register
@dataclass(frozen=True)
class TwoDecimals(Term):
    """A score reward, reduced where the answer was written too coarsely.

    Args:
        kernel: the score reward.
        factor: what a coarse answer keeps, in [0, 1].
        read: `text` counts the decimals as written; `float` counts them after trailing zeros are gone (released).

    Raises:
        ValueError: the factor is outside [0, 1], or `read` is unknown.
    """

    name = "two_decimals"
    formula = "kernel * (factor if a number of the answer has fewer than two decimals, else 1)"
    source = "VQAThinker arXiv:2508.06051 (code: Gaussian sigma 0.5, factor 0.8)"
    range = "as the kernel"
    defect = (
        "the released code looks at the parsed float, where 3.40 is 3.4 and loses 20%; "
        "read='float' brings it back, the default counts the decimals in the text"
    )
    branch = "preference"

    kernel: Term = field(default_factory=Gaussian)
    factor: float = 0.8
    read: Literal["text", "float"] = "text"

    def __post_init__(self) -> None:
        one_of(self, "read", Literal["text", "float"])
        if not 0.0 <= self.factor <= 1.0:
            raise ValueError(f"two_decimals.factor must be in [0, 1], got {self.factor}")
        needs_of(self, self.kernel)

    def __call__(self, pool: Pool) -> FloatArray:
        """The kernel's reward, times `factor` where coarse; 0 where invalid."""
        reward_SK = np.array(self.kernel(pool))
        for s, k in np.argwhere(readable(pool)):
            if self._is_coarse(pool, int(s), int(k)):
                reward_SK[s, k] *= self.factor
        return reward_SK

    def _is_coarse(self, pool: Pool, s: int, k: int) -> bool:
        answer = pool.answer_SK[s][k]
        if self.read == "float":
            return any(_decimals(str(value).rstrip("0")) < 2 for value in answer.values)
        text = answer.body if answer.body is not None else pool.text_SK[s][k]
        numbers = _WRITTEN_NUMBER.findall(text)
        return not numbers or any(_decimals(number) < 2 for number in numbers)


_WRITTEN_NUMBER = re.compile(r"\d+(?:\.\d*)?|\.\d+")


def _decimals(number: str) -> int:
    return len(number.partition(".")[2])
