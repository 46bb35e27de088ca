"""Filters: which of a teacher's completions may be learned from.

A filter has a name, a reason in words, and a check that says what is wrong with one completion, or None. Filters see
only what was recorded, so changing them costs no new response. They run in order, and the first that objects counts.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pondera.core.answers import Answer, AnswerFormat, Numbers
from pondera.core.aspects import read_grades, worst_aspect
from pondera.core.records import FIVE_POINT, LabelScale, Sample

_DIGIT_WORDS = r"(?:zero|one|two|three|four|five|six|seven|eight|nine|ten)"
_LEAKS = re.compile(
    rf"\b\d+(?:[.,]\d+)?\s*(?:/|out of|of)\s*(?:5|10|100)\b"  # 4/5, 7 out of 10
    rf"|\b[1-5][.,]\d+\b"  # 3.42
    rf"|\b{_DIGIT_WORDS}\s+point\s+{_DIGIT_WORDS}\b"  # four point two
    rf"|\b{_DIGIT_WORDS}\s+out\s+of\s+{_DIGIT_WORDS}\b"
    rf"|\b(?<!frame )(?:score|rating|rate|mos|grade)s?\s*(?:is|of|at|as|:|=|would be|should be)?"
    rf"\s*(?:about\s+|around\s+)?"
    rf"(?:\d|{_DIGIT_WORDS}\b)",
    re.I,
)
_REFUSALS = re.compile(
    r"\b(?:i(?:'m| am) (?:sorry|unable|not able)|i (?:cannot|can't|can not|won't)|as an ai|no image (?:was|is|has been)"
    r"|(?:don't|do not|cannot|can't) see (?:an|any|the) image|please (?:provide|upload|attach))\b",
    re.I,
)


@dataclass(frozen=True)
class Candidate:
    """A recorded completion on its way to become a rationale.

    Args:
        sample: what it is about.
        k: which completion.
        completion: the text.
        answer: the parsed text.
    """

    sample: Sample
    k: int
    completion: str
    answer: Answer

    @property
    def think(self) -> str:
        """The thought, "" without one."""
        return self.answer.think or ""


Check = Callable[[Candidate], str | None]


@dataclass(frozen=True)
class Filter:
    """One reason to drop completions.

    Args:
        name: key in the counts.
        reason: why, for people.
        start: makes a fresh check; filters that compare completions keep what they have seen in it.
    """

    name: str
    reason: str
    start: Callable[[], Check]


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

    bounds = getattr(answer_format.body, "low", None), getattr(answer_format.body, "high", None)
    return Filter("score_range", f"the score is outside the scale {bounds[0]} to {bounds[1]}", lambda: check)


def length_filter(shortest: int = 8, longest: int = 400) -> Filter:
    """Drops thoughts with fewer or more words than this.

    Raises:
        ValueError: the bounds are not in order.
    """
    if not 0 <= shortest <= longest:
        raise ValueError(f"need 0 <= shortest <= longest, got {shortest} and {longest}")

    def check(candidate: Candidate) -> str | None:
        count = len(candidate.think.split())
        return None if shortest <= count <= longest else f"{count} words"

    return Filter("length", f"the thought has fewer than {shortest} or more than {longest} words", lambda: check)


def leak_filter() -> Filter:
    """Drops thoughts that name the score, in digits or words, so that the answer is judged and not copied."""

    def check(candidate: Candidate) -> str | None:
        match = _LEAKS.search(candidate.think)
        return f"says {match.group()!r}" if match else None

    return Filter("score_leak", "the thought names a score", lambda: check)


def refusal_filter() -> Filter:
    """Drops apologies, refusals, and claims that there is no image."""

    def check(candidate: Candidate) -> str | None:
        match = _REFUSALS.search(candidate.completion)
        return f"says {match.group()!r}" if match else None

    return Filter("refusal", "the teacher refused or saw no image", lambda: check)


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


def contradiction_filter(slack: float = 1.5, scale: LabelScale = FIVE_POINT) -> Filter:
    """Drops thoughts whose grades contradict the score or the aspect they name as worst.

    A thought that grades at least two aspects contradicts its score when the score lies more than `slack` grades below
    the lowest or above the highest grade, and contradicts itself when another aspect has a lower grade than the worst.

    Args:
        slack: in grades, >= 0: several fair aspects can make a poor picture.
        scale: the scale of the answers; grades 1 to 5 are spread over it.

    Raises:
        ValueError: slack is negative.
    """
    if slack < 0:
        raise ValueError(f"slack must be >= 0 (grades), got {slack}")

    def check(candidate: Candidate) -> str | None:
        grades = read_grades(candidate.think)
        if len(grades) < 2:
            return None
        low, high = min(grades.values()), max(grades.values())
        worst = worst_aspect(candidate.think)
        if worst is not None and grades.get(worst, low) > low:
            return f"calls {worst} the worst but grades another aspect lower"
        value = scale.convert(candidate.answer.score, FIVE_POINT)
        if math.isnan(value) or low - slack <= value <= high + slack:
            return None
        return f"grades from {low} to {high}, score {candidate.answer.score:g}"

    return Filter("contradiction", "the grades in the thought contradict the score or each other", lambda: check)


def duplicate_filter(similarity: float = 0.9, max_copies: int = 100) -> Filter:
    """Drops near copies among the completions of one sample, and thoughts that return word by word over samples.

    Args:
        similarity: share of common word triples (Jaccard) from which two thoughts of one sample count as one, (0, 1].
        max_copies: how often the very same thought may stand for different samples, >= 1. Not too few: a teacher of few
            words rightly repeats itself on clean pictures.

    Raises:
        ValueError: an argument is out of range.
    """
    if not 0 < similarity <= 1 or max_copies < 1:
        raise ValueError(f"need 0 < similarity <= 1 and max_copies >= 1, got {similarity} and {max_copies}")

    def start() -> Check:
        copies: Counter[str] = Counter()
        seen: dict[str, list[frozenset[tuple[str, ...]]]] = {}

        def check(candidate: Candidate) -> str | None:
            words = re.findall(r"\w+", candidate.think.lower())
            triples = frozenset(zip(words, words[1:], words[2:], strict=False)) or frozenset([tuple(words)])
            others = seen.setdefault(candidate.sample.id, [])
            if any(len(triples & other) >= similarity * len(triples | other) for other in others):
                return "nearly the same thought for the same sample"
            text = " ".join(words)
            if copies[text] >= max_copies:
                return f"the same thought for {max_copies} samples before"
            copies[text] += 1
            others.append(triples)
            return None

        return check

    return Filter("duplicate", "nearly the same thought was kept before", start)


def default_filters(answer_format: AnswerFormat | None = None) -> tuple[Filter, ...]:
    """All filters that need no label, in the order that gives each drop its most telling reason."""
    answer_format = answer_format or AnswerFormat()
    body = answer_format.body
    # The fields of a JSON answer have scales of their own, so its mean contradicts nothing.
    contradiction = (contradiction_filter(scale=LabelScale(body.low, body.high)),) if isinstance(body, Numbers) else ()
    return (
        refusal_filter(),
        range_filter(answer_format),
        format_filter(),
        length_filter(),
        leak_filter(),
        *contradiction,
        duplicate_filter(),
    )


def run_filters(
    candidates: Sequence[Candidate], filters: Sequence[Filter]
) -> tuple[list[Candidate], list[tuple[Candidate, str, str]]]:
    """Pass candidates through filters, in order.

    Returns:
        The candidates that pass, and for each dropped one (candidate, name of the filter, what was wrong).

    Raises:
        ValueError: two filters share a name.
    """
    if len({item.name for item in filters}) != len(filters):
        raise ValueError(f"filters must have different names, got {[item.name for item in filters]}")
    checks = [(item.name, item.start()) for item in filters]
    kept, dropped = [], []
    for candidate in candidates:
        found = ((name, wrong) for name, check in checks if (wrong := check(candidate)) is not None)
        name, wrong = next(found, ("", ""))
        if name:
            dropped.append((candidate, name, wrong))
        else:
            kept.append(candidate)
    return kept, dropped
