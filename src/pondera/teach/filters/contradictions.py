"""Contradictions: a thought against its score, against itself, or against its choice.

Read from a lexicon of our own: grades of aspects, verdicts on the whole ("the overall quality is terrible"), texts that
only praise or only blame, and global claims of opposite kinds. It sees what is said in its words only; a second opinion
can be asked for the rest.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence

from pondera.core.aspects import read_grades, worst_aspect
from pondera.core.records import FIVE_POINT, LabelScale
from pondera.teach.filters.base import Candidate, Filter
from pondera.teach.filters.mentions import severity_as_grade, stated_severities
from pondera.teach.filters.valence import read_valence

_VERDICTS: tuple[tuple[float, str], ...] = (  # on the five-grade scale
    (5.0, r"excellent|outstanding|superb|stunning|flawless|perfect|impeccable|immaculate|pristine|exceptional"
        r"|very high"
        r"|very good"),
    (4.0, r"good|high|great|solid"),
    (3.0, r"fair|acceptable|average|moderate|mediocre|medium|decent"),
    (1.0, r"terrible|awful|horrible|dreadful|abysmal|unusable|very poor|very bad|very low|extremely poor|worthless"
        r"|atrocious"
          r"|unacceptable|ruined|worst|severely degraded|heavily degraded|destroyed"),
    (2.0, r"poor|bad|low|weak|degraded|inferior"),
)  # fmt: skip
_EXTREMES = "|".join(words for value, words in _VERDICTS if value in (1.0, 5.0))
_ANY = "|".join(words for _, words in _VERDICTS)
_MEDIA = r"(?:image|picture|photo(?:graph)?|shot|frame|video|clip)"
_HEDGES = r"(?:(?:clearly|rather|quite|really|truly|technically|simply|of|a|an|so|thus|therefore|overall)\s+){0,3}"
_SUMMARY = r"(?:overall|in summary|in sum|to sum up|in conclusion|all in all|on the whole|everything considered)"
_NEGATABLE = rf"(?:(?:not|never|hardly|far\s+from|anything\s+but)\s+)?{_HEDGES}"
_VERDICT = re.compile(
    rf"\b(?:(?:overall|general|technical|image|picture|video|visual|total)\s+)+quality(?:\s+of\s+(?:the"
    rf"|this)\s+{_MEDIA})?"
    rf"\s+(?:is|looks|seems|remains)\s+{_NEGATABLE}(?P<a>{_ANY})\b"
    rf"|\b{_SUMMARY},?\s+(?:this|the|it)\s+(?:quality|{_MEDIA}|is)(?:\s+quality)?\s*(?:is|looks"
    rf"|seems)?\s+{_NEGATABLE}(?P<b>{_ANY})\b"
    rf"|\b{_SUMMARY},?\s+(?:an?)\s+(?P<c>{_ANY})\s+{_MEDIA}"
    rf"|\b(?:this|the|an?|it)\s+(?:{_MEDIA}\s+)?(?:is|looks)\s+{_NEGATABLE}(?P<d>{_EXTREMES})\b(?!\s+(?:sharp|exposed"
    rf"|clear|lit))"
    rf"|\ban?\s+(?P<e>{_EXTREMES})\s+{_MEDIA}\b"
    rf"|\b(?:tones|everything|edges)[^.]*\bare\s+(?P<f>flawless)\b"
    rf"|\bone\s+of\s+the\s+(?P<h>worst|best)\s+(?:\w+\s+)?{_MEDIA}s\b"
    rf"|\b(?P<i>as\s+good\s+as\s+(?:\w+\s+){{0,5}}(?:gets|can\s+get|can\s+be))\b"
    rf"|\b(?P<g>no\s+(?:visible|technical)\s+defects?\s+at\s+all)\b",
)
_NOT = re.compile(r"\b(?:not|never|hardly|far from|nor|neither|anything but|less than|isn't)\s+(?:\w+\s+){0,2}$")

_UNREAL = re.compile(r"\b(?:otherwise|would|could|might|if|almost|nearly|once|been)\s+(?:\w+\s+){0,3}$")
_UNLESS = re.compile(r"\s*(?:\w+\s+){0,2},?\s*(?:if|were|but\s+for|except|apart|ruined|spoil|marred|let\s+down)\b")
# What a negation leaves: "not good" is fair at best, "not bad" fair at least; "not excellent" says little.
_NEGATED_VALUES = {4.0: 2.5, 2.0: 3.5}
_ONLY_BLAMED, _ONLY_PRAISED, _STRONGLY_BLAMED = 2.75, 3.25, 2.5  # what such texts mean at best, or at worst, in grades
_ALONE, _MANY, _OUTWEIGHS = 2, 4, 4  # clauses that say something with none, or a quarter as many, on the other side

_ASPECT_OF_PART = {"saturation": "colour", "granularity": "noise", "fluency": "smoothness", "color": "colour"}
_PART_SLACK = 1.0  # more for a part: damage of one place may be forgiven

_WHOLE = rf"(?:(?:the|this)\s+(?:whole\s+|entire\s+)?(?:{_MEDIA}|scene)|it|the\s+colou?rs|everything)"
_VERY = (
    r"(?:(?:very|also|perfectly|fully|completely|far|heavily|extremely|totally|absolutely|and|vivid|clean|too)\s+){0,3}"
)
_IS = rf"{_WHOLE}\s+(?:is|are|looks?)\s+{_VERY}"
_OPPOSITES = tuple(  # what is said of the whole, and its opposite
    (re.compile(rf"\b(?:{one})\b"), re.compile(rf"\b(?:{other})\b"))
    for one, other in (
        (
            rf"{_IS}(?:sharp|in focus|crisp|tack-sharp|clear(?! (?:of|that|why|how|from)))|(?:excellent"
            rf"|perfect) sharpness",
            rf"{_IS}(?:blurred|blurry|out of focus|unsharp)|(?:strong|heavy|severe) blur (?:across|over"
            rf"|in) the (?:whole"
            rf"|entire)",
        ),
        (rf"{_IS}(?:dark|underexposed)", rf"{_IS}(?:bright|overexposed)"),
        (rf"{_IS}(?:saturated|oversaturated|vivid)", rf"{_IS}(?:desaturated|grey|colou?rless|black and white)"),
        (
            rf"{_IS}(?:still|steady|stable)",
            rf"{_IS}(?:shaky|unsteady|unstable)|(?:shakes?|shaking|trembles?) from start to end|{_WHOLE} (?:shakes"
            rf"|trembles)"
            rf"|makes (?:the )?(?:whole|entire) {_MEDIA} (?:unsteady|shaky)",
        ),
        (
            r"edges (?:are|look) (?:\w+ )?(?:razor-|tack-|pin-)?sharp|every edge is (?:\w+-?)?sharp",
            r"no edge (?:[^.;]{0,20})?is (?:\w+ )?sharp|(?:all|the) edges are (?:all )?(?:blurred|blurry|smeared)",
        ),
        (
            r"colou?rs (?:are|look) (?:very )?(?:natural|lively|vivid|rich|bright|lush|strong)",
            rf"{_IS}(?:in )?(?:black and white|monochrome|colou?rless|desaturated)",
        ),
        (
            rf"{_IS}(?:noise-free|free of (?:noise|grain)|without (?:any )?(?:noise|grain))|no (?:noise|grain) at all",
            rf"{_IS}(?:noisy|grainy|covered (?:by|with) (?:\w+ )?(?:noise|grain))"
            r"|(?:noise|grain) (?:covers|fills|spoils|sits on) (?:everything|all|the (?:whole|entire))",
        ),
    )
)
_WEAK = re.compile(
    r"\b(?:slightly|a little|somewhat|a bit|mildly|towards|partly|in part|at the (?:borders?|edges?|corners?)"
    r"|at first(?: sight| glance)?|at (?:page|thumbnail|normal|reduced) size|from afar|would|could|if)\b",
)

_SAME = re.compile(r"\b(?:equally (?:good|bad)|no difference|both (?:are|look) (?:alike|the same))\b")
_BETTER = r"(?:better|superior|preferable|the winner|the better(?: one)?)"
_CHOICE = re.compile(
    rf"\b(?:the\s+)?(?P<a>first|second)(?:\s+(?:one|{_MEDIA}))?\s+(?:(?:is|looks|appears)\s+{_HEDGES}"
    rf"(?:clearly\s+|much\s+|slightly\s+)?{_BETTER}|wins)\b"
    rf"|\bquality\s+of\s+the\s+(?P<b>first|second)(?:\s+(?:one|{_MEDIA}))?\s+is\s+{_HEDGES}{_BETTER}\b"
    rf"|\b(?:prefer|choose|favou?r)\s+the\s+(?P<c>first|second)\b",
)
_WORSE = re.compile(
    rf"\b(?:the\s+)?(?P<a>first|second)(?:\s+(?:one|{_MEDIA}))?\s+(?:(?:is|looks|appears)\s+{_HEDGES}(?:clearly\s+"
    rf"|much\s+"
    r"|slightly\s+)?(?:worse|inferior|the\s+(?:worse|weaker|loser)|of\s+lower\s+quality)|(?:clearly\s+)?loses"
    r"|falls\s+behind)\b",
)
_OTHER = {"first": "second", "second": "first"}


def contradiction_filter(
    slack: float = 1.5, scale: LabelScale | None = FIVE_POINT, names: Sequence[str] = ()
) -> Filter:
    """Drops thoughts that contradict their score, themselves or their choice between two.

    A thought that grades at least two aspects contradicts its score when the score lies more than `slack` grades below
    the lowest or above the highest grade, and contradicts itself when another aspect has a lower grade than the worst.
    A verdict on the whole contradicts a score more than `slack` grades away, a thought that only blames one far above
    fair, a thought that only praises one far below. Where an answer has a number for an aspect, strong words about that
    aspect contradict it. Two opposite claims about the whole contradict each other. In a comparison the choice in words
    must be the one in the answer.

    Args:
        slack: in grades, >= 0: several fair aspects can make a poor picture.
        scale: the scale of the answers; grades 1 to 5 are spread over it. None: the answers are no scores.
        names: of the numbers of an answer, in their order, where they have names; all are on `scale`.

    Raises:
        ValueError: slack is negative.
    """
    if slack < 0:
        raise ValueError(f"slack must be >= 0 (grades), got {slack}")

    def to_grade(number: float) -> float:
        return math.nan if scale is None else float(scale.convert(number, FIVE_POINT))

    def check(candidate: Candidate) -> str | None:
        text, answer = candidate.think.lower(), candidate.answer  # all patterns here are for lower case
        value = to_grade(answer.score)
        return (
            _against_grades(text, value, slack)
            or _against_verdict(text, value, slack)
            or _against_valence(text, value, slack)
            or _against_parts(text, names, [to_grade(number) for number in answer.values], slack)
            or _against_itself(text)
            or _against_choice(text, answer.fields.get("better"))
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
        if _UNREAL.search(before) or _UNLESS.match(text[match.end() :]):
            continue
        meant: float | None = _verdict_value(words)
        if _NOT.search(before):
            meant = _NEGATED_VALUES.get(meant or 0.0)
            if meant is None or (value - meant) * (meant - 3) > 0:  # "not good" allows every lower score
                continue
        if meant is not None and abs(meant - value) > slack:
            return f"says {match.group()!r}, score {value:g} of 5"
    return None


def _against_valence(text: str, value: float, slack: float) -> str | None:
    if not (
        value > _STRONGLY_BLAMED + slack or value < _ONLY_PRAISED - slack
    ):  # no text contradicts these, NaN included
        return None
    valence = read_valence(text)
    if _is_one_sided(valence.blame, valence.praise):
        best = _STRONGLY_BLAMED if valence.is_strong else _ONLY_BLAMED
        return f"finds hardly anything but faults, score {value:g} of 5" if value > best + slack else None
    if _is_one_sided(valence.praise, valence.blame) and value < _ONLY_PRAISED - slack:
        return f"finds hardly anything but good, score {value:g} of 5"
    return None


def _is_one_sided(count: int, opposed: int) -> bool:
    return (count >= _ALONE and not opposed) or (count >= _MANY and count >= _OUTWEIGHS * opposed)


def _against_parts(text: str, names: Sequence[str], grades: Sequence[float], slack: float) -> str | None:
    severities = stated_severities(text) if names else {}
    for name, given in zip(names, grades, strict=False):  # an unreadable answer has no numbers
        severity = severities.get(_ASPECT_OF_PART.get(name.lower(), name.lower()))
        if severity is None:
            continue
        meant = severity_as_grade(severity)
        if abs(meant - given) > slack + _PART_SLACK:
            return f"words for {name} mean {meant:g} of 5, the answer gives it {given:g}"
    return None


def _verdict_value(words: str) -> float:
    return next((value for value, known in _VERDICTS if re.fullmatch(known, words)), 5.0)


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
    chosen = [(m.start(), next(group for group in m.groups() if group)) for m in _CHOICE.finditer(text)]
    chosen += [(match.start(), _OTHER[match["a"]]) for match in _WORSE.finditer(text)]
    choices = [choice for _, choice in sorted(chosen)]
    if choices and choices[-1] != better:
        return f"calls the {choices[-1]} better, answers {better}"
    if not choices and better != "same" and _SAME.search(text):
        return f"finds no difference, answers {better}"
    return None
