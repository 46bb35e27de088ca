"""Filters for the form of a completion: can it be read, is it complete, is its score where it can be?"""

from __future__ import annotations

import re

from pondera.core.answers import AnswerFormat, Numbers
from pondera.core.records import FIVE_POINT, LabelScale
from pondera.teach.filters.base import Candidate, Filter

# Words that no English sentence ends with, or hardly: behind them something was cut off.
_OPEN_ENDS = re.compile(
    r"a|an|the|and|or|but|because|although|while|whereas|with|without|of|in|on|at|by|from|into|onto|to|for|"
    r"as|than|that|which|whose|is|are|was|were|be|been|has|have|had|its|their|his|her|this|these|"
    r"every|each|such|very|quite|rather|slightly|most|more|however|therefore|if|when|where|between"
)
_CLOSED_BY = tuple(".!?…)\"'”’]")
_ARTICLE_AND_ADJECTIVE = re.compile(
    r"\b(?:a|an|the|some)\s+(?:slight|strong|heavy|mild|severe|small|large|clear|visible|most|disturbing|main)$", re.I
)


def format_filter() -> Filter:
    """Drops what the parser cannot read: tags, counts, empty thoughts; numbers out of range have their own filter."""

    def check(candidate: Candidate) -> str | None:
        return candidate.answer.error

    return Filter("format", "the completion does not have the form that was asked for", lambda: check)


def range_filter(answer_format: AnswerFormat) -> Filter:
    """Drops answers that are well formed but outside the scale. Runs before the format filter, which drops them too."""

    def check(candidate: Candidate) -> str | None:
        error = candidate.answer.error
        return error if error is not None and " is outside [" in error else None

    body = answer_format.body
    scale = f"the scale {body.low:g} to {body.high:g}" if isinstance(body, Numbers) else "its scale"
    return Filter("score_range", f"a number is outside {scale}", lambda: check)


def length_filter(shortest: int = 8, longest: int = 400) -> Filter:
    """Drops thoughts with fewer or more words than this; an answer without a thought passes.

    Raises:
        ValueError: the bounds are not in order.
    """
    if not 0 <= shortest <= longest:
        raise ValueError(f"need 0 <= shortest <= longest, got {shortest} and {longest}")

    def check(candidate: Candidate) -> str | None:
        if candidate.answer.think is None:
            return None
        count = len(candidate.think.split())
        return None if shortest <= count <= longest else f"{count} words"

    return Filter("length", f"the thought has fewer than {shortest} or more than {longest} words", lambda: check)


def unfinished_filter() -> Filter:
    """Drops thoughts that break off: they end with a comma, a colon, a dash, or a word that wants another one, or their
    last sentence alone has no full stop. Terse teachers leave full stops out altogether, which is no break.
    """

    def check(candidate: Candidate) -> str | None:
        text = candidate.think.strip()
        if not text or text.endswith(_CLOSED_BY):
            return None
        last = text.split()[-1].lower()
        if text[-1] in ",:;-–—" or _OPEN_ENDS.fullmatch(last) or _ARTICLE_AND_ADJECTIVE.search(text) or ". " in text:
            return f"ends with {last!r}"
        return None

    return Filter("unfinished", "the thought breaks off", lambda: check)


def tolerance_filter(tolerance: float, scale: LabelScale = FIVE_POINT) -> Filter:
    """Drops completions whose score is far from the label; unlabelled samples pass.

    Args:
        tolerance: largest |score - MOS|, > 0, on `scale`.
        scale: the scale of the answers.

    Raises:
        ValueError: the tolerance is not positive.
    """
    if not tolerance > 0:
        raise ValueError(f"tolerance must be > 0 (units of the scale), got {tolerance}")

    def check(candidate: Candidate) -> str | None:
        distance = abs(candidate.answer.score - candidate.sample.mos_on(scale))
        return f"{distance:.2f} from the label" if distance > tolerance else None

    return Filter("tolerance", f"the score is more than {tolerance:g} from the label", lambda: check)
