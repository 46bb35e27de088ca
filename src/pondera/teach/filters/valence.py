"""Whether a text speaks well or badly of a picture: how many of its clauses praise, and how many blame.

Read from the lexicon of damage (`pondera.teach.filters.mentions`) and from words of general praise and blame. A
negation turns a word round ("nothing is right", "no fault"); hedged, conditional and intended things count on neither
side, nor does what is said of the background.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from pondera.teach.filters.mentions import clauses, read_clause

_BLAME = re.compile(
    r"\b(?:eyesore|worst|dismal|awful|terribl[ey]|horribl[ey]|dreadful|abysmal|atrocious|appalling|ugly|hideous"
    r"|unusable|worthless"
    r"|useless|ruined|spoil(?:ed|t)|spoils|wrecked|botched|disaster\w*|catastroph\w+|mess|failure|fails|unwatchable"
    r"|unacceptable|intolerable|poor(?:ly)?|bad(?:ly)?|disappointing|unpleasant|annoying|disturbing|offensive|wretched"
    r"|hopeless|miserable|lousy|rubbish|garbage|unrecogni[sz]able|illegible|eaten|destroy\w*|gone|lost|missing|broken"
    r"|mangled|shredded|mush\w*|muddy|mud|drown\w*|crippl\w+|degrad\w+|distort\w+|diminish\w*|obscur\w+"
    r"|impair\w*|detract\w*|compromis\w+|worsen\w*|exacerbat\w+|hamper\w*|marred|suffers?|lacks?|lacking|hard\s+to"
    r"\s+(?:see|read|make\s+out|recogni[sz]e|discern|look)|difficult\s+to\s+(?:see|read|discern|make\s+out"
    r"|recogni[sz]e)"
    r"|barely\s+(?:visible|readable|recogni[sz]able))\b"
    r"|\b(?:hardly|barely|scarcely)\s+anything\s+(?:can|is|could)\b|\bnothing\s+(?:can|could)\s+be\s+(?:recogni|made"
    r"|seen|read)"
    r"|\beverything\s+(?:about\s+it\s+)?is\s+wrong\b",
)
_PRAISE = re.compile(
    r"\b(?:excellent(?:ly)?|outstanding|superb(?:ly)?|stunning|flawless(?:ly)?|perfect(?:ly)?|impeccabl[ey]"
    r"|beautiful(?:ly)?"
    r"|wonderful(?:ly)?|gorgeous|pristine|immaculate(?:ly)?|(?:razor|tack|pin)[- ]sharp|crisp(?:ly)?|clean(?:ly)?"
    r"|natural"
    r"|rich|vivid|vibrant|clear(?:ly)?|sharp|pleasing|pleasant|delightful|splendid|magnificent|brilliant(?:ly)?|lovely"
    r"|professional|exemplary|masterful|a\s+joy|a\s+pleasure|faithful(?:ly)?|fine(?:ly)?(?!\s+(?:detail|texture"
    r"|grain))|well[- ]\w+|good|great|smooth"
    r"|detailed|accurate|true\s+to\s+life|lifelike|right|balanced|harmonious|exquisite|remarkable|nailed|spot[\s-]on"
    r"|on\s+point|even(?=\s*(?:[.,;]|$|and)))\b"
    r"|\bnothing\s+(?:distracts|disturbs|jars|is\s+(?:amiss|missing|wrong|lost)|to\s+(?:fault|criticise|complain))\b"
    r"|\bevery\s+\w+\s+(?:is|can\s+be)\s+(?:visible|seen|counted|resolved|drawn|rendered|distinguishable)\b",
)
_NEGATED = re.compile(
    r"\b(?:no|not|never|nothing|neither|nor|hardly|barely|without|free\s+(?:of|from)|far\s+from|anything\s+but|cannot"
    r"|can't|isn't|aren't|none|nobody|no\s+longer|little|few|scarcely)\s+(?:\w+\s+){0,3}$",
)
_NEUTRAL = re.compile(  # conditional, intended or hedged
    r"\b(?:would\s+(?:be|have|look)|could\s+(?:be|have)|might|if|unless|were\s+it|otherwise|almost|nearly|on\s+purpose"
    r"|intend\w*|intention\w*|deliberate\w*|artistic\w*|choice|wanted|background|backdrop|bokeh|depth\s+of\s+field"
    r"|slight\w*|a\s+little|somewhat|mild\w*|a\s+bit|faint\w*|minor|weak|subtle|some|a\s+touch|a\s+trace|only"
    r"|at\s+first)\b",
)


@dataclass(frozen=True, slots=True)
class Valence:
    """How many clauses of a text praise and blame.

    Args:
        praise: clauses that find something good, or damage absent.
        blame: clauses that find something bad.
        is_strong: whether some blame is strong ("heavily", "ruined").
    """

    praise: int = 0
    blame: int = 0
    is_strong: bool = False


def read_valence(text: str) -> Valence:
    """Praise and blame of a text; a clause with both counts on both sides.

    Args:
        text: any text in English.
    """
    praise = blame = 0
    is_strong = False
    for clause in clauses(text.lower()):
        if _NEUTRAL.search(clause):
            continue
        severities = [mention.severity for mention in read_clause(clause)]
        good, no_good = _said(_PRAISE, clause)
        bad, no_bad = _said(_BLAME, clause)
        praise += good or no_bad or 0.0 in severities
        blame += bad or no_good or any(severity >= 3 for severity in severities)
        is_strong = is_strong or any(severity > 4 for severity in severities)
    return Valence(praise, blame, is_strong)


def _said(words: re.Pattern[str], clause: str) -> tuple[bool, bool]:
    """Whether a clause holds such a word as it stands, and whether it holds one negated."""
    negated = [_NEGATED.search(clause[: match.start()]) is not None for match in words.finditer(clause)]
    return False in negated, True in negated
