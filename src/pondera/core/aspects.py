"""Aspects of quality and the words that grade them: how a rationale is read back as facts.

A rationale that means something names aspects and grades them. This module is the lexicon both sides share: the
teacher writes with it, the filters and the truthfulness measure read with it. It reads text only; whether the text
is true is for others to find out.
"""

from __future__ import annotations

import re

ASPECTS: tuple[str, ...] = ("sharpness", "noise", "compression", "exposure", "contrast", "colour")
"""What is graded in an image. A grade is quality, never amount: excellent noise is no noise."""

TEMPORAL_ASPECTS: tuple[str, ...] = ("stability", "smoothness", "flicker")
"""What is graded in a video besides: does the camera shake, is motion fluent, does brightness hold?"""

_NAMED = (*ASPECTS, *TEMPORAL_ASPECTS)

GRADES: dict[str, int] = {"bad": 1, "poor": 2, "fair": 3, "good": 4, "excellent": 5}
"""The five-grade quality scale of ITU-R BT.500 and ITU-T P.910."""

GRADE_WORDS: dict[int, str] = {value: word for word, value in GRADES.items()}

_SPELLINGS = {"color": "colour", "colors": "colour", "colours": "colour"}
_ASPECT = rf"(?:{'|'.join((*_NAMED, *_SPELLINGS))})"
_GRADE = rf"(?:{'|'.join(GRADES)})"
_HEDGE = r"(?:very|rather|quite|only|just|still|also|both|all|clearly|really|somewhat|about)"
_LIST = rf"{_ASPECT}(?:(?:\s*,\s*(?:and\s+)?|\s+and\s+|\s*/\s*){_ASPECT})*"
_VERB = r"(?:\s*[:=]\s*|\s+(?:is|are|looks?|seems?|stays?|remains?|counts? as|rated|graded)\s+)"

# "sharpness: poor", "the noise and contrast are still good", "exposure (fair)"
_STATED = re.compile(
    rf"\b(?P<aspects>{_LIST})(?:{_VERB}(?:{_HEDGE}\s+)*(?P<grade>{_GRADE})\b|\s*\(\s*(?P<bracket>{_GRADE})\s*\))", re.I
)
# "poor sharpness", "good noise and contrast"
_ATTRIBUTE = re.compile(rf"(?<!not )(?<!no )\b(?P<grade>{_GRADE})\s+(?P<aspects>{_LIST})\b", re.I)
_NEGATED = re.compile(rf"\b(?:not|never|no|nor)\s+(?:{_HEDGE}\s+)*{_GRADE}\b", re.I)

_FAULT = (
    r"(?:(?:worst|weakest)(?:\s+(?:aspect|part|point|problem|defect))?"
    r"|(?:main|biggest|dominant|dominating|most serious)\s+(?:problem|defect|weakness|fault|issue))"
)
_FAULT_FIRST = re.compile(rf"\b{_FAULT}(?:\s+here)?(?:\s*:\s*|\s+is\s+)(?:the\s+|its\s+)?(?P<aspect>{_ASPECT})\b", re.I)
_ASPECT_FIRST = re.compile(rf"\b(?P<aspect>{_ASPECT})\s+is\s+(?:clearly\s+)?(?:the|its)\s+{_FAULT}\b", re.I)
_NOTHING = re.compile(r"\b(?:nothing|no aspect|no defect)\s+stands\s+out\b", re.I)


def read_grades(text: str) -> dict[str, int]:
    """Grades that a text gives to aspects.

    An aspect is graded when the text pairs it with a grade word: "sharpness: poor", "sharpness is poor",
    "noise and contrast are good", "exposure (fair)", "poor sharpness". A negated grade ("is not poor") says nothing.
    An aspect graded twice keeps its last grade.

    Args:
        text: any text; letter case is free, "color" counts as "colour".

    Returns:
        Grade 1 (bad) to 5 (excellent) by aspect, in the order of `ASPECTS` and `TEMPORAL_ASPECTS`; aspects that are
        not graded are absent.
    """
    text = _NEGATED.sub(" ", text)
    found: list[tuple[int, str, int]] = []
    for match in _STATED.finditer(text):
        found += _graded(match, match["grade"] or match["bracket"])
    # Without the stated pairs, or "noise is good contrast is poor" would also read "good contrast".
    rest = _STATED.sub(lambda match: "." * len(match.group()), text)
    for match in _ATTRIBUTE.finditer(rest):
        found += _graded(match, match["grade"])
    last = {aspect: grade for _, aspect, grade in sorted(found, key=lambda pair: pair[0])}
    return {aspect: last[aspect] for aspect in _NAMED if aspect in last}


def worst_aspect(text: str) -> str | None:
    """The aspect that a text names as the worst.

    Explicit words come first: "the worst aspect is X", "main problem: X", "X is the biggest weakness". Without them it
    is the aspect whose grade is the only lowest one.

    Args:
        text: any text.

    Returns:
        The aspect; None when the text says that nothing stands out, names two different aspects, grades fewer than
        two, or leaves a tie.
    """
    named = {
        aspect_name(match["aspect"]) for pattern in (_FAULT_FIRST, _ASPECT_FIRST) for match in pattern.finditer(text)
    }
    if named:
        return named.pop() if len(named) == 1 else None
    grades = read_grades(text)
    if _NOTHING.search(text) or len(grades) < 2:
        return None
    lowest = [aspect for aspect, grade in grades.items() if grade == min(grades.values())]
    return lowest[0] if len(lowest) == 1 else None


def borne_out_worst_aspect(text: str) -> str | None:
    """The aspect that a text names as the worst, where its own grades bear that out.

    "Noise: excellent, sharpness: excellent. The worst aspect is noise." names one and grades it like the rest: a model
    that has learned the last sentence and not what it stands for.

    Args:
        text: any text.

    Returns:
        As `worst_aspect`; None also when the text grades that aspect no lower than the best, or another one lower.
    """
    worst = worst_aspect(text)
    grades = read_grades(text)
    if worst is None or worst not in grades or len(grades) < 2:
        return worst
    is_lowest = grades[worst] == min(grades.values()) < max(grades.values())
    return worst if is_lowest else None


def aspect_name(word: str) -> str:
    """The aspect under its one spelling.

    Raises:
        ValueError: the word is no aspect.
    """
    name = _SPELLINGS.get(word.strip().lower(), word.strip().lower())
    if name not in _NAMED:
        raise ValueError(f"unknown aspect {word!r}; the aspects are {', '.join(_NAMED)}")
    return name


def _graded(match: re.Match[str], grade: str) -> list[tuple[int, str, int]]:
    """(position, aspect, grade) for every aspect of a matched list."""
    start = match.start("aspects")
    return [
        (start + found.start(), aspect_name(found.group()), GRADES[grade.lower()])
        for found in re.finditer(rf"\b{_ASPECT}\b", match["aspects"], re.I)
    ]
