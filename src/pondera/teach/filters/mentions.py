"""What a text says is wrong with an image: which kind of damage, how strongly, and where.

A lexicon of our own over the kinds of damage of `pondera.teach.defects`. It reads clause by clause: "no noise" denies,
"slightly soft" is weak, "the sky is noisy" names a place. It knows words, not sentences: irony, comparisons and
what-ifs are read as statements. Grades ("sharpness is poor") are read by `pondera.core.aspects` and count as mentions.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from pondera.core.aspects import GRADES, read_grades
from pondera.teach.defects import ASPECT_OF

_HUE = r"(?:green|blue|red|yellow|orange|magenta|purple|pink|cyan|violet)(?:ish)?"

# More special kinds first: a match is taken out of the text, so that "mosquito noise" is no noise any more.
_PATTERNS: dict[str, str] = {
    "harsh": r"harsh\w*|block(?:ed)? (?:up )?(?:shadows|blacks)|burnt lights|(?:too|very) contrasty|too much contrast"
    r"|contrast is (?:too )?(?:high|strong|hard)|middle tones are missing",
    "blocks": r"mosquito[ -]?(?:noise|like)?\w*|block(?:s|y|ing|iness)\b|macro-?block\w*|pixel(?:l?at\w+)|mosaic"
    r"|square (?:patches|tiles|blocks)|(?:full of|into|of small) squares|ringing"
    r"|compress\w+|cod(?:ing|er|ec|ecs)\b|encod\w+|jpeg|artefacts?|artifacts?",
    "smear": r"plastic|waxy|pulp|cleared away|smeared together|smoothed (?:away|out|over)|wiped away"
    r"|painted over|like (?:a |an )?(?:water-?colou?r|oil painting)"
    r"|(?:texture|detail) (?:is|are|was|has been) (?:\w+ )?(?:washed out|cleared away|wiped out)",
    "bands": r"band(?:s|ing|ed)\b|posteri[sz]\w+|false contours?|(?:into|visible|few) (?:visible )?steps|tone steps"
    r"|reduced to a few",
    "specks": r"specks?\b|(?:black|white)(?: and (?:black|white))? (?:dots|pixels)"
    r"|salt[ -]and[ -]pepper|impuls\w+|isolated dots|wrong pixels|hot pixels|sprinkled",
    "grain": r"nois[ey]\w*|grain\w*|speckl\w+",
    "blur": r"blurr?\w*|out[ -]of[ -]focus|defocus\w*|unsharp\w*|smear\w*|camera shake|hazy edges"
    r"|soft(?:ness)?\b(?! (?:light|lighting|tones?|colou?rs?|shadows?|transition|and even))"
    r"|(?:lost|lack(?:s|ing)?|missing) (?:of )?(?:fine )?(?:detail|definition|sharpness|clarity|focus)"
    r"|indistinct\w*|not (?:\w+ )?sharp|low (?:sharpness|clarity)",
    "dark": r"under-?expos\w+|\bdark(?:ness|ened)\b|dim(?:ly)?\b|gloom\w*|black picture"
    r"|(?:too|so|very|\w+ly|quite|rather|somewhat|a little) dark|(?:image|picture|photo|scene|frame) (?:is|looks) dark"
    r"|light is \S+ missing|light is (?:far |much )?too low|shadows? swallows?|drowns? in shadows?",
    "bright": r"over-?expos\w+|too bright|burnt[ -]out|blown(?:[ -]out)?|washed out to white"
    r"|highlights? (?:is|are) (?:\w+ )?(?:washed out|clipped|lost)",
    "dull": r"(?:tones?|contrast|picture|image) (?:is|are|looks?) (?:\w+ )?(?:flat|dull|low|weak)|low[ -]contrast"
    r"|without depth|foggy|milky|grey veil|haz[ey]\w*|all is grey|flattened?",
    "pale": r"pale\w*|faded?|desaturat\w+|colou?rless|greyish|towards grey|almost to grey"
    r"|(?:hues|colou?rs) (?:is|are) (?:\w+ )?(?:washed out|weak|gone)",
    "vivid": r"over-?saturat\w+|(?:too|very|highly|overly) saturated|unnatural\w* (?:boosted|vivid|strong)"
    r"|too vivid|glaring|garish|artificial|gaudy"
    r"|(?:hues|colou?rs) (?:is|are) (?:\w+ )?too strong",
    "cast": r"casts?\b|ting(?:e|ed)\b|tint\w*|white balance|colou?r shift"
    rf"|(?:sickly|unnatural) (?:{_HUE} )?(?:tone|hue|shade|veil|glow)\b"
    rf"|(?:strong|slight|overall|distinct|heavy|faint|general|strange|odd) {_HUE} (?:tone|hue|shade|veil|glow)\b"
    rf"|(?:too|everything is|all is|turned|shifted (?:to|towards?)) {_HUE}\b",
}
_KINDS = {kind: re.compile(rf"\b(?:{pattern})") for kind, pattern in _PATTERNS.items()}  # for text in lower case

# What is said of an aspect by somebody who finds nothing wrong with it.
_PRAISE = {
    "sharpness": r"crisp\w*|(?:perfectly |very |pin-?)sharp|is sharp|sharp (?:edges|detail)|in focus|edges are clean",
    "noise": r"clean (?:surfaces|shadows|tones|and)|smooth (?:surfaces|sky|areas)|is (?:smooth|quiet)|noise[ -]free",
    "compression": r"free of (?:coding|compression)",
    "exposure": r"well[ -]exposed|exposure is (?:right|good|fine|excellent|balanced|perfect)|light is balanced"
    r"|balanced light",
    "contrast": r"full tones|tones reach|contrast is (?:right|fine|perfect)|deep blacks?",
    "colour": r"(?:natural|rich|true|beautiful) (?:hues|colou?rs)"
    r"|(?:hues|colou?rs) are (?:\w+ and )?(?:natural|right|rich|true)",
}
_PRAISED = {aspect: re.compile(rf"\b(?:{pattern})") for aspect, pattern in _PRAISE.items()}

_CLAUSE = re.compile(
    r"[.;:!?]\s|,\s(?:but|while|and|yet|whereas|though|which|otherwise)\s|,\s|\s(?:but|while|whereas)\s"
)
_DENIAL = re.compile(
    r"\b(?:no|not|never|without|free (?:of|from)|nor|neither|none|lack of|lacks|absence of|hardly any|nothing (?:is"
    r"|looks|seems)|cannot see any"
    r"|can't see any|unable to find)\s+(?:\w+\s+){0,3}$",
)
_DENIED_BEHIND = re.compile(r"^\s*(?:-free|(?:is|are) (?:absent|not visible|low|hardly visible|no problem))\b")
_STRENGTHS: tuple[tuple[float, re.Pattern[str]], ...] = (
    (5.0, re.compile(r"\b(?:extreme\w*|totally|completely|entirely|all over|destroy\w*|ruin\w*|beyond)\b")),
    (
        4.5,
        re.compile(r"\b(?:heav\w+|strong\w*|sever\w+|badly|far too|massive\w*|very|much|terribl\w+|drowns?)\b"),
    ),
    (
        1.5,
        re.compile(
            r"\b(?:slight\w*|a little|little|somewhat|mild\w*|a bit|faint\w*|hardly|barely|minor|weak|subtle|some"
            r"|a touch)\b",
        ),
    ),
)
_PLAIN_STRENGTH = 3.0  # "clearly", "visibly", or no word at all
_GRADE = re.compile(rf"\b(?:{'|'.join(GRADES)})\b", re.I)
_GRADE_STEP = 1.25  # grades 5 to 1 over severities 0 to 5

_PLACES: dict[str, str] = {
    "left": r"left",
    "right": r"right(?! (?:amount|exposure|balance))(?:-hand)?",
    "top": r"top|upper|above",
    "bottom": r"bottom|lower|below",
    "centre": r"centre|center|middle(?! tones?)",
}
_PLACED = {
    name: re.compile(rf"\b(?:in|at|on|towards?|of|near|from)\s+the\s+(?:\w+\s+)?(?:{p})\b|\b(?:{p})\s+"
                     r"(?:half|part|side|corner|third|quarter|edge|area|region|border|centre|left|right)\b", re.I)
    for name, p in _PLACES.items()
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Mention:
    """One statement about damage.

    Args:
        aspect: as in `core.aspects.ASPECTS`.
        kind: as in `teach.defects.ASPECT_OF`; None where only the aspect was graded or praised.
        severity: 0 (denied or praised) to 5 (extreme); words without a strength count 3.
        places: left, right, top, bottom, centre, as far as the clause names them.
    """

    aspect: str
    kind: str | None
    severity: float
    places: frozenset[str] = frozenset()


def read_mentions(text: str) -> list[Mention]:
    """Everything a text says about damage, in the order of its clauses; grades come last.

    Args:
        text: any text in English.
    """
    found = [mention for clause in clauses(text) for mention in read_clause(clause)]
    return found + [Mention(aspect, None, _GRADE_STEP * (5 - grade)) for aspect, grade in read_grades(text).items()]


def stated_severities(text: str) -> dict[str, float]:
    """How bad a text says each aspect is: 0 nothing wrong, 5 extreme; aspects that it does not speak of are absent.

    A grade counts before words, because it is the text's own summary; of several words the strongest counts.
    """
    severities: dict[str, float] = {}
    for mention in read_mentions(text):
        severities[mention.aspect] = max(severities.get(mention.aspect, 0.0), mention.severity)
    graded = {aspect: _GRADE_STEP * (5 - grade) for aspect, grade in read_grades(text).items()}
    return severities | graded


def severity_as_grade(severity: float) -> float:
    """The grade, 1 to 5, that a stated severity, 0 to 5, means."""
    return 5 - severity / _GRADE_STEP


def stated_kinds(text: str) -> set[str]:
    """The kinds of damage that a text claims to see."""
    return {mention.kind for mention in read_mentions(text) if mention.kind is not None and mention.severity > 0}


def clauses(text: str) -> list[str]:
    """The parts of a text that each say one thing, roughly: what stands between its stops, commas and contrasts."""
    return _CLAUSE.split(text)


def read_clause(clause: str) -> list[Mention]:
    """What one clause says about damage, in its order, without grades."""
    rest = _without_grades(clause).lower()
    found: list[tuple[int, Mention]] = []
    for kind, pattern in _KINDS.items():
        matches = list(pattern.finditer(rest))
        for match in matches:
            severity = _severity(rest[: match.start()], match.group(), rest[match.end() :])
            places = _places(clause) if severity else frozenset[str]()
            found.append((match.start(), Mention(ASPECT_OF[kind], kind, severity, places)))
        if matches:
            rest = pattern.sub(lambda match: "_" * len(match.group()), rest)
    for aspect, pattern in _PRAISED.items():
        found += [(m.start(), Mention(aspect, None, 0.0)) for m in pattern.finditer(rest) if not _is_negated(rest, m)]
    return [mention for _, mention in sorted(found, key=lambda pair: pair[0])]


def _places(clause: str) -> frozenset[str]:
    return frozenset(name for name, pattern in _PLACED.items() if pattern.search(clause))


def _severity(before: str, word: str, behind: str) -> float:
    if _DENIAL.search(before) or _DENIED_BEHIND.search(behind):
        return 0.0
    # Behind an "and" another thing begins: "slightly soft edges and heavy banding".
    near = [
        *before.rsplit(" and ", maxsplit=1)[-1].split()[-5:],
        word,
        *behind.split(" and ", maxsplit=1)[0].split()[:5],
    ]
    return next((strength for strength, pattern in _STRENGTHS if pattern.search(" ".join(near))), _PLAIN_STRENGTH)


def _is_negated(text: str, match: re.Match[str]) -> bool:
    return _DENIAL.search(text[: match.start()]) is not None


def _without_grades(clause: str) -> str:
    """Aspect names beside their grades are no mentions of damage: "noise is excellent", "good noise"."""
    if not _GRADE.search(clause) or not read_grades(clause):  # the first is cheap
        return clause
    return re.sub(r"\b(?:sharpness|noise|compression|exposure|contrast|colou?r)\b", "_", clause, flags=re.I)
