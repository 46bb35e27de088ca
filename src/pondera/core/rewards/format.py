"""The format reward: did the completion have the form that was asked for?

`tolerant` asks the parser, which is strict in structure and free in white space. The other kinds are the published
patterns of single systems, re-written from their descriptions: some demand newlines, some only count tags.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from pondera.core.pool import Pool
from pondera.core.records import FloatArray
from pondera.core.rewards.base import Term, one_of, readable, register

FormatKind = Literal[
    "tolerant",
    "think_answer",
    "answer_only",
    "preresq-r1-image",
    "preresq-r1-video",
    "q-insight",
    "omniquality-r",
    "refine-iqa",
    "q-ponder",
]

_NUMBER = r"\d+(?:\.\d+)?"
_THINK = r"<think>.*?</think>\s*"
_PATTERNS: dict[str, re.Pattern[str]] = {
    # VisualQuality-R1, VQ-Insight, Q-Hawkeye, Aes-R1, VQAThinker: two blocks, white space between, nothing around.
    "think_answer": re.compile(_THINK + r"<answer>.*?</answer>", re.DOTALL),
    # MR-IQA's default prompt asks for no thought.
    "answer_only": re.compile(r"\s*<answer>.*?</answer>\s*", re.DOTALL),
    # PreResQ-R1, images: four numbers with a newline behind each, and a fifth number.
    "preresq-r1-image": re.compile(
        _THINK + rf"<answer>\s*(?:{_NUMBER}[ \t\r]*\n\s*){{4}}{_NUMBER}\s*</answer>", re.DOTALL
    ),
    # PreResQ-R1, videos: two numbers, a newline behind each.
    "preresq-r1-video": re.compile(_THINK + rf"<answer>\s*(?:{_NUMBER}[ \t\r]*\n\s*){{2}}</answer>", re.DOTALL),
    # Q-Insight: every tag on its own line, one flat JSON object.
    "q-insight": re.compile(r"<think>\n.*?\n</think>\n<answer>\n\{[^{}]*\}\n</answer>", re.DOTALL),
    # Refine-IQA: the number stands behind "Score:".
    "refine-iqa": re.compile(_THINK + rf"<answer>\s*Score:\s*{_NUMBER}\s*</answer>", re.DOTALL),
    # Q-Ponder-style (ours): one digit and at most two decimals.
    "q-ponder": re.compile(r"\s*<think>.+?</think>\s*<answer>\s*\d(?:\.\d{1,2})?\s*</answer>\s*", re.DOTALL),
}
_FOUR_TAGS = ("<think>", "</think>", "<answer>", "</answer>")


@register
@dataclass(frozen=True)
class Format(Term):
    """1 for a completion of the right form, 0 otherwise.

    An answer that the parser cannot read earns 0 whatever the pattern says: the released codes pay the format
    reward for some unreadable answers, which is the one deviation here.

    Args:
        kind: `tolerant` = the parser's verdict; else the published pattern of a system.

    Raises:
        ValueError: the kind is unknown.
    """

    name = "format"
    formula = "1 if the completion matches the form, else 0"
    source = (
        "Q-Insight arXiv:2503.22679, VisualQuality-R1 arXiv:2505.14460, PreResQ-R1 arXiv:2511.05393 and others (code); "
        "patterns re-written; unreadable answers earn 0 under every kind"
    )
    range = "0 or 1"
    defect = (
        "strict patterns refuse right answers for their white space (Q-Insight demands newlines); "
        "kind='tolerant' is the default, the system's own name brings its pattern back"
    )
    branch = "format"

    kind: FormatKind = "tolerant"

    def __post_init__(self) -> None:
        one_of(self, "kind", FormatKind)

    def __call__(self, pool: Pool) -> FloatArray:
        """1.0 or 0.0 for each cell, [S, K]; 0 where invalid or not present."""
        readable_SK = readable(pool)
        if self.kind == "tolerant":
            return readable_SK.astype(np.float64)
        matches = _matcher(self.kind)
        reward_SK = np.zeros(readable_SK.shape)
        for s, k in np.argwhere(readable_SK):
            reward_SK[s, k] = matches(pool.text_SK[s][k])
        return reward_SK


def _matcher(kind: str) -> Callable[[str], bool]:
    if kind == "omniquality-r":
        return lambda text: all(text.count(tag) == 1 for tag in _FOUR_TAGS)
    pattern = _PATTERNS[kind]
    return lambda text: pattern.fullmatch(text) is not None
