"""Rewards on the form of the text: its length and its repetitions."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Literal

import numpy as np

from pondera.core.pool import Pool
from pondera.core.records import FloatArray
from pondera.core.rewards.base import Term, needs_of, one_of, positive, readable, register


@register
@dataclass(frozen=True)
class LengthBonus(Term):
    """A bonus for completions of moderate length.

    Args:
        bonus: what is paid, > 0.
        low: shortest length in tokens.
        high: longest length in tokens, > low.
        inclusive: whether low and high themselves count.
        kernel: reward that a roll-out must reach first; None = none.
        above: its own kernel reward must be greater; read only where there is a kernel.
        at_least: pay only groups in which so many roll-outs qualify, >= 1.

    Raises:
        ValueError: a parameter is outside its range.
    """

    name = "length_bonus"
    formula = "bonus [low < tokens < high] [kernel > above] [qualifying roll-outs of the group >= at_least]"
    source = (
        "VQ-Insight arXiv:2506.18564 (paper: 0.1, strict, for all; code: 0.2, inclusive, accuracy above 0.1, more than "
        "one such roll-out)"
    )
    range = "0 or bonus"
    defect = (
        "paper and code differ; the defaults are the paper's, the code's are bonus=0.2, inclusive, above, at_least=2"
    )

    bonus: float = 0.1
    low: int = 320
    high: int = 512
    inclusive: bool = False
    kernel: Term | None = None
    above: float = 0.1
    at_least: int = 1

    def __post_init__(self) -> None:
        positive(self, bonus=self.bonus, at_least=self.at_least)
        if not 0 <= self.low < self.high:
            raise ValueError(f"length_bonus needs 0 <= low < high (tokens), got {self.low} and {self.high}")
        needs_of(self, self.kernel)

    def __call__(self, pool: Pool) -> FloatArray:
        """Bonuses [S, K]; 0 where invalid or not present."""
        length_SK = pool.num_tokens_SK
        if self.inclusive:
            earns_SK = (length_SK >= self.low) & (length_SK <= self.high)
        else:
            earns_SK = (length_SK > self.low) & (length_SK < self.high)
        earns_SK &= readable(pool)
        if self.kernel is not None:
            earns_SK &= self.kernel(pool) > self.above
        earns_SK &= earns_SK.sum(axis=1, keepdims=True) >= self.at_least
        return np.where(earns_SK, self.bonus, 0.0)


@register
@dataclass(frozen=True)
class RepetitionPenalty(Term):
    """A cost for words, and characters, that stand too often in one part of the completion.

    Args:
        part: the `answer` block or the `think` block; a completion without a think block pays nothing there.
        limit: occurrences that are free, >= 0.
        strength: cost of one occurrence of a repeated word or character, > 0.
        lowest: the penalty goes no lower, < 0.
        characters: count repeated characters too; in a think block they always repeat, so leave it off there.

    Raises:
        ValueError: a parameter is outside its range.
    """

    name = "repetition_penalty"
    formula = "max(lowest, -strength * sum of the counts of all words, and characters, that occur > limit times)"
    source = "Q-Hawkeye arXiv:2601.22920 (code: answer text, limit 5, 0.25, lowest -2)"
    range = "lowest..0"
    defect = (
        "without an answer tag the released code counts over the whole completion and nearly always pays the lowest "
        "value; here such a completion is invalid and earns its preset's floor"
    )

    part: Literal["answer", "think"] = "answer"
    limit: int = 5
    strength: float = 0.25
    lowest: float = -2.0
    characters: bool = True

    def __post_init__(self) -> None:
        one_of(self, "part", Literal["answer", "think"])
        positive(self, strength=self.strength)
        if self.limit < 0 or not self.lowest < 0:
            raise ValueError(f"repetition_penalty needs limit >= 0 and lowest < 0, got {self.limit} and {self.lowest}")

    def __call__(self, pool: Pool) -> FloatArray:
        """Penalties <= 0, [S, K]; 0 where invalid or not present."""
        readable_SK = readable(pool)
        penalty_SK = np.zeros(readable_SK.shape)
        for s, k in np.argwhere(readable_SK):
            answer = pool.answer_SK[s][k]
            text = (answer.body if self.part == "answer" else answer.think) or ""
            penalty_SK[s, k] = max(self.lowest, -self.strength * self._repeated(text))
        return penalty_SK

    def _repeated(self, text: str) -> int:
        counts = list(Counter(text.split()).values())
        if self.characters:
            counts += Counter(text).values()
        return sum(count for count in counts if count > self.limit)
