"""Contradictions: a thought against its score, against itself, or against its choice.

Read from a lexicon of our own: grades of aspects, verdicts on the whole ("the overall quality is terrible"), and global
claims of opposite kinds. It sees what is said in its words only; a second opinion can be asked for the rest.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable

from pondera.core.aspects import read_grades, worst_aspect
from pondera.core.records import FIVE_POINT, LabelScale
from pondera.teach.filters.base import Candidate, Filter

_VERDICTS: tuple[tuple[float, str], ...] = (  # on the five-grade scale
    (5.0, r"excellent|outstanding|superb|stunning|flawless|perfect|impeccable|immaculate|pristine|exceptional"
        r"|very high"
        r"|very good"),
    (4.0, r"good|high|great|solid"),
    (3.0, r"fair|acceptable|average|moderate|mediocre|medium|decent"),
    (1.0, r"terrible|awful|horrible|dreadful|abysmal|unusable|very poor|very bad|very low|extremely poor|worthless"
        r"|atrocious"
          r"|unacceptable|ruined|severely degraded|heavily degraded|destroyed"),
    (2.0, r"poor|bad|low|weak|degraded|inferior"),
)  # fmt: skip
_EXTREMES = "|".join(words for value, words in _VERDICTS if value in (1.0, 5.0))
_ANY = "|".join(words for _, words in _VERDICTS)
_MEDIA = r"(?:image|picture|photo(?:graph)?|shot|frame|video|clip)"
_HEDGES = r"(?:(?:clearly|rather|quite|really|truly|technically|simply|of|a|an|so|thus|therefore|overall)\s+){0,3}"
_SUMMARY = r"(?:overall|in summary|in sum|to sum up|in conclusion|all in all|on the whole|everything considered)"
_VERDICT = re.compile(
    rf"\b(?:(?:overall|general|technical|image|picture|video|visual|total)\s+)+quality(?:\s+of\s+(?:the"
    rf"|this)\s+{_MEDIA})?"
    rf"\s+(?:is|looks|seems|remains)\s+{_HEDGES}(?P<a>{_ANY})\b"
    rf"|\b{_SUMMARY},?\s+(?:this|the|it)\s+(?:quality|{_MEDIA}|is)(?:\s+quality)?\s*(?:is|looks"
    rf"|seems)?\s+{_HEDGES}(?P<b>{_ANY})\b"
    rf"|\b{_SUMMARY},?\s+(?:an?)\s+(?P<c>{_ANY})\s+{_MEDIA}"
    rf"|\b(?:this|the|an?|it)\s+(?:{_MEDIA}\s+)?(?:is|looks)\s+{_HEDGES}(?P<d>{_EXTREMES})\b(?!\s+(?:sharp|exposed"
    rf"|clear|lit))"
    rf"|\ban?\s+(?P<e>{_EXTREMES})\s+{_MEDIA}\b"
    rf"|\b(?:tones|everything|edges)[^.]*\bare\s+(?P<f>flawless)\b"
    rf"|\b(?P<g>no\s+(?:visible|technical)\s+defects?\s+at\s+all)\b",
    re.I,
)
_NOT = re.compile(r"\b(?:not|never|hardly|far from|nor|neither|anything but|less than|isn't)\s+(?:\w+\s+){0,2}$", re.I)

_WHOLE = rf"(?:(?:the|this)\s+(?:whole\s+|entire\s+)?(?:{_MEDIA}|scene)|it|the\s+colou?rs|everything)"
_VERY = (
    r"(?:(?:very|also|perfectly|fully|completely|far|heavily|extremely|totally|absolutely|and|vivid|clean|too)\s+){0,3}"
)
_IS = rf"{_WHOLE}\s+(?:is|are|looks?)\s+{_VERY}"
_OPPOSITES = tuple(  # what is said of the whole, and its opposite
    (re.compile(rf"\b(?:{one})\b", re.I), re.compile(rf"\b(?:{other})\b", re.I))
    for one, other in (
        (
            rf"{_IS}(?:sharp|in focus|crisp|tack-sharp)|(?:excellent|perfect) sharpness",
            rf"{_IS}(?:blurred|blurry|out of focus)|(?:strong|heavy|severe) blur (?:across|over|in) the (?:whole"
            rf"|entire)",
        ),
        (rf"{_IS}(?:dark|underexposed)", rf"{_IS}(?:bright|overexposed)"),
        (rf"{_IS}(?:saturated|oversaturated|vivid)", rf"{_IS}(?:desaturated|grey|colou?rless|black and white)"),
        (
            rf"{_IS}(?:noise-free|free of (?:noise|grain)|without (?:any )?(?:noise|grain))|no (?:noise|grain) at all",
            rf"{_IS}(?:noisy|grainy|covered (?:by|with) (?:\w+ )?(?:noise|grain))",
        ),
    )
)
_WEAK = re.compile(
    r"\b(?:slightly|a little|somewhat|a bit|mildly|towards|partly|in part|at the (?:borders?|edges?|corners?))\b", re.I
)

_SAME = re.compile(r"\b(?:equally (?:good|bad)|no difference|both (?:are|look) (?:alike|the same))\b", re.I)
_BETTER = r"(?:better|superior|preferable|the winner|the better(?: one)?)"
_CHOICE = re.compile(
    rf"\b(?:the\s+)?(?P<a>first|second)(?:\s+(?:one|{_MEDIA}))?\s+(?:(?:is|looks|appears)\s+{_HEDGES}"
    rf"(?:clearly\s+|much\s+|slightly\s+)?{_BETTER}|wins)\b"
    rf"|\bquality\s+of\s+the\s+(?P<b>first|second)(?:\s+(?:one|{_MEDIA}))?\s+is\s+{_HEDGES}{_BETTER}\b"
    rf"|\b(?:prefer|choose|favou?r)\s+the\s+(?P<c>first|second)\b",
    re.I,
)


def contradiction_filter(slack: float = 1.5, scale: LabelScale | None = FIVE_POINT) -> Filter:
    """Drops thoughts that contradict their score, themselves or their choice between two.

    A thought that grades at least two aspects contradicts its score when the score lies more than `slack` grades below
    the lowest or above the highest grade, and contradicts itself when another aspect has a lower grade than the worst.
    A verdict on the whole contradicts a score more than `slack` grades away. Two opposite claims about the whole
    contradict each other. In a comparison the choice in words must be the one in the answer.

    Args:
        slack: in grades, >= 0: several fair aspects can make a poor picture.
        scale: the scale of the answers; grades 1 to 5 are spread over it. None: the answers are no scores.

    Raises:
        ValueError: slack is negative.
    """
    if slack < 0:
        raise ValueError(f"slack must be >= 0 (grades), got {slack}")

    def check(candidate: Candidate) -> str | None:
        text = candidate.think
        value = math.nan if scale is None else scale.convert(candidate.answer.score, FIVE_POINT)
        return (
            _against_grades(text, value, slack)
            or _against_verdict(text, value, slack)
            or _against_itself(text)
            or _against_choice(text, candidate.answer.fields.get("better"))
        )

    return Filter("contradiction", "the thought contradicts its answer or itself", lambda: check)


def second_opinion_filter(contradicts: Callable[[Candidate], bool | None]) -> Filter:
    """Drops what somebody else finds contradictory, such as a model asked with the prompt `judge.contradiction`.

    Args:
        contradicts: True drops; False and None (no opinion could be had) pass. Filters run again and again, so it
            should look opinions up that were asked for once.
    """

    def check(candidate: Candidate) -> str | None:
        return "contradictory in a second opinion" if contradicts(candidate) else None

    return Filter("second_opinion", "a second opinion found thought and answer contradictory", lambda: check)


def _against_grades(text: str, value: float, slack: float) -> str | None:
    grades = read_grades(text)
    if len(grades) < 2:
        return None
    low, high = min(grades.values()), max(grades.values())
    worst = worst_aspect(text)
    if worst is not None and grades.get(worst, low) > low:
        return f"calls {worst} the worst but grades another aspect lower"
    if math.isnan(value) or low - slack <= value <= high + slack:
        return None
    return f"grades from {low} to {high}, score {value:g} of 5"


def _against_verdict(text: str, value: float, slack: float) -> str | None:
    if math.isnan(value):
        return None
    for match in _VERDICT.finditer(text):
        words = next(group for group in match.groups() if group)
        before = text[: match.start(match.lastgroup or 0)]
        if not _NOT.search(before) and abs(_verdict_value(words) - value) > slack:
            return f"says {match.group()!r}, score {value:g} of 5"
    return None


def _verdict_value(words: str) -> float:
    return next((value for value, known in _VERDICTS if re.fullmatch(known, words, re.I)), 5.0)


def _against_itself(text: str) -> str | None:
    sentences = [sentence for sentence in re.split(r"[.!?;,]\s", text) if not _WEAK.search(sentence)]
    for pair in _OPPOSITES:
        claims = [next((m.group() for s in sentences if (m := pattern.search(s))), None) for pattern in pair]
        if all(claims):
            return f"says both {claims[0]!r} and {claims[1]!r}"
    return None


def _against_choice(text: str, better: object) -> str | None:
    if better is None:
        return None
    choices = [next(group for group in match.groups() if group).lower() for match in _CHOICE.finditer(text)]
    if choices and choices[-1] != better:
        return f"calls the {choices[-1]} better, answers {better}"
    if not choices and better != "same" and _SAME.search(text):
        return f"finds no difference, answers {better}"
    return None
