"""Leaks: thoughts that name the score, or show that it was known beforehand.

A thought that says its score teaches to copy a number, not to judge. The patterns know digits, number words, stars and
ratings in words; numbers of things ("three red doors"), units, apertures and frame rates pass. Riddles get through.
"""

from __future__ import annotations

import re
import unicodedata

from pondera.teach.filters.base import Candidate, Filter

_WORD = r"(?:zero|one|two|three|four|five|six|seven|eight|nine|ten)"
_NUMBER = (
    rf"(?:\d+(?:[.,]\d+)?(?![\d\w])|{_WORD}(?:[\s.-]+point(?:[\s-]+{_WORD})+)?(?:\s+and\s+a\s+half)?\b(?!-)"
    rf"|{_WORD}\.{_WORD}\b)"
)
# A number is a verdict when no noun follows: "a three, since", "a three because" but not "a three point light".
_NO_NOUN = (
    r"(?=\s*(?:[.,;:!?)]|$|%|per\s?cent\b|(?:because|since|as|for|and|but|or|at|on|out|of|from|with|thanks|seems?"
    r"|is|was"
    r"|would|reflects?|fits|it|overall|maybe|perhaps|given|if|when|to)\b))"
)
_UNITS = (
    r"(?:m|mm|cm|km|s|ms|mp|k|x|×|ev|hz|khz|fps|mbps|gb|mb|bits?|megapixels?|megabits?|stops?|million|met(?:re|er)s?"
    r"|seconds?|minutes?|hours?|times|inch(?:es)?|feet|years?|degrees?|pm|am)\b"
)
_RATER = r"(?:scor(?:e|es|ing)|ratings?|rate[sd]?|mos|grading|graded)"
_LINK = (
    r"(?:\s*[:=–-]\s*|\s+(?:is|of|at|as|it|lies|are|be|would|should|could|will|must|might|therefore|slightly|well"
    r"|just|about"
    r"|around|above|below|near|by|to|under|over|roughly|only|a|an|level|the|this|image|picture|final)\b)"
)
_GIVE = (
    r"(?:gi(?:ve|ves|ving|ven)|gave|deserves?|earns?|gets?|assign(?:s|ed|ing)?|worth|reach(?:es)?|lands?"
    r"|go(?:es)? with|say"
    r"|settles?|award(?:s|ed)?|merits?|call it|put it|place it|it is|it's|this is|that is)"
)
_LEAKS = re.compile(
    "|".join(
        (
            rf"\b{_NUMBER}\s*(?:/|out\s+of)\s*(?:5|10|100|five|ten|a hundred|one hundred)\b",
            rf"\b\d+(?:[.,]\d+)?\s+of\s+(?:5|10|100)\b{_NO_NOUN}",
            rf"(?<![\w/.,:])[1-5][.,]\d{{1,2}}(?!\d|[.,:/]\d|\s*{_UNITS})",
            rf"\b{_WORD}[\s-]+point(?:[\s-]+{_WORD})+\b|\b{_WORD}\.{_WORD}\b",
            rf"\b{_WORD}\s+and\s+a\s+half\b{_NO_NOUN}",
            rf"\b(?:\d|{_WORD})-stars?\b",
            rf"\b{_NUMBER}\s*(?:stars?(?!\s+(?:in|over|above|on|at)\b)|points(?!\s+(?:of|in|on|where)\b))\b",
            rf"\b{_RATER}\b{_LINK}{{0,5}}\s*{_NUMBER}",
            rf"\b(?:quality|answer|value|verdict|mark|grade|final|sharpness|noise|colou?r|contrast|composition)s?\b"
            rf"{_LINK}{{0,4}}\s*{_NUMBER}{_NO_NOUN}",
            rf"\b{_GIVE}\s+(?:(?:it|this|that|them|the\s+\w+|at|on|only|just|a|an|about|around|roughly|almost"
            rf"|maybe)\s+)*"
            rf"{_NUMBER}{_NO_NOUN}",
            rf"\bbetween\s+{_NUMBER}\s+and\s+{_NUMBER}{_NO_NOUN}",
            # "a low one" is no number
            rf"\b(?:a|an)\s+(?:(?:solid|near-perfect|perfect|decent|clear|strong|weak|good|full|clean|bare|plain"
            rf"|fair|high|low|safe)\s+)?"
            rf"(?!one\b){_NUMBER}{_NO_NOUN}",
            rf"\blevel\s+{_NUMBER}\s*(?:image|picture|photo\w*|quality|[.,;]|$)",
            r"\b(?:highest|lowest|best|top|maximum|minimum|perfect|full|worst)\s+(?:possible\s+)?(?:scores?"
            r"|ratings?|marks?)\b",
            rf"\b(?:{_WORD}|\d+)[\s-]point\s+scale|\bscale\s+(?:of|from)\s+{_NUMBER}",
            r"\bout\s+of\s+(?:a\s+)?(?:possible\s+)?(?:5|10|100|five|ten|hundred)\b",
            r"\b(?:low|lower|mid|middle|high|upper)[\s-](?:ones|twos|threes|fours|fives|\d0s)\b",
            r"\bsteps?\s+(?:below|above|under|from)\s+the\s+(?:top|bottom|best|worst|middle)\b",
            r"[★☆⭐]",
        )
    ),
    re.I,
)
# Rates that are no ratings, and times of day; they are taken out before the patterns look.
_INNOCENT = re.compile(
    r"\b(?:frame|bit|refresh|sampling|data|shutter|heart|error)[\s-]?rates?(?:\s+of)?\s+\S+"
    rf"|\b(?:quarter|half|ten|five|twenty)\s+(?:past|to)\s+{_WORD}\b|\b\d{{1,2}}:\d{{2}}\b"
    rf"|\b{_WORD}[\s-]point\s+(?:light|perspective)\w*",
    re.I,
)

_RATERS = (
    r"(?:crowd|audience|viewers?|observers?|raters?|annotators?|participants?|people|humans?|jury|jurors|judges"
    r"|panel|evaluators?)"
)
_SCORE = r"(?:scores?|ratings?|mos|marks?|grades?|labels?|answers?|values?|judg(?:e)?ments?|verdicts?)"
_HINTS = re.compile(
    "|".join(
        (
            rf"\b(?:given|provided|stated|assigned|supplied|known|official|expected|reference|target|specified)\s+"
            rf"(?:quality\s+|overall\s+)?{_SCORE}\b",
            rf"\b{_SCORE}\s+(?:that|which)?\s*(?:I|we|was|is|were|has been|had been)\s+(?:was\s+|were\s+|am\s+)?"
            r"(?:given|provided|supplied|stated|assigned|told)\b",
            rf"\b{_RATERS}\s+(?:(?:have|has|had|must|also|probably|clearly)\s+)*"
            r"(?:gave|given|rated|scored|judged|liked|disliked|awarded|thought|marked|voted|agreed|reported)\b",
            rf"\b{_SCORE}\s+(?:is|was|seems)\s+(?:justified|deserved|explained|understandable)\b",
            rf"\b{_SCORE}\s+(?:provided|given|supplied|stated)\b",
            rf"\b{_RATERS}\s+(?:of|in)\s+the\s+(?:study|test|survey)\b",
            r"\b(?:described|told|given|said)\s+to\s+me\b",
            rf"\b{_RATERS}['’]s?\s+(?:average\s+|overall\s+)?(?:{_SCORE}|opinions?)\b",
            r"\b(?:human\s+raters?|raters|annotators|evaluators|the\s+jury|the\s+panel\s+(?:was|is|gave|had|found"
            r"|liked))\b",
            rf"\b{_SCORE}\s+(?:from|by|of)\s+(?:the\s+|those\s+)?{_RATERS}\b",
            r"\bground[\s-]truth\b|\bmean opinion\b|\bsubjective (?:test|study|experiment|score|rating)\b|\bMOS\b",
            r"\b(?:the|a|this|your)\s+hint\b|\baccording to the (?:score|rating|label|hint)\b",
            r"\b(?:mentioned|stated|given|said|described|indicated|noted)\s+in\s+(?:the|your)\s+(?:prompt|task"
            r"|instructions?)\b",
            r"\bI\s+(?:was|am|have been)\s+(?:told|given|informed)\b|\b(?:you|they)\s+(?:said|told|gave|stated)\b",
            rf"\b(?:knowing|given|justif(?:y|ies|ied|ying)|repeat)\s+(?:the|this|that"
            rf"|such an?)\s+(?:\w+\s+)?{_SCORE}\b",
        )
    ),
    re.I,
)
_DECIMAL = re.compile(r"(?<![\d.,/])\d+(?:[.,]\d+)?(?![\d]|[.,]\d)")


def leak_filter() -> Filter:
    """Drops thoughts that name the score, in digits or words, so that the answer is judged and not copied."""

    def check(candidate: Candidate) -> str | None:
        text = _plain(candidate.think)
        match = _LEAKS.search(_INNOCENT.sub(" ", text))
        if match:
            return f"says {match.group().strip()!r}"
        return _names(text, candidate.answer.score)

    return Filter("score_leak", "the thought names a score", lambda: check)


def hint_filter() -> Filter:
    """Drops thoughts that show that the score was known: they mention raters, a given score, or the label itself.

    Harmless for teachers that saw no score: they have no reason to speak of one.
    """

    def check(candidate: Candidate) -> str | None:
        text = _plain(candidate.think)
        match = _HINTS.search(text)
        if match:
            return f"says {match.group().strip()!r}"
        mos = candidate.sample.mos
        return None if mos is None else _names(text, mos)

    return Filter("hint_leak", "the thought shows that the score was known", lambda: check)


def _plain(text: str) -> str:
    """One spelling for full-width digits, typographic quotes and invisible characters between letters."""
    text = unicodedata.normalize("NFKC", text)
    return "".join(char for char in text if unicodedata.category(char) != "Cf")


def _names(text: str, value: float) -> str | None:
    """Whether a number with a decimal stands in the text that is this value to the digits shown.

    Whole numbers are left out: they count things.
    """
    for match in _DECIMAL.finditer(text):
        digits = match.group().replace(",", ".")
        decimals = len(digits.partition(".")[2])
        if decimals and float(digits) == round(value, decimals) and not re.match(rf"\s*{_UNITS}", text[match.end() :]):
            return f"says {match.group()!r}"
    return None
