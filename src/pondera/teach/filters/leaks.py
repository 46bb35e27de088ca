"""The score leak filter: thoughts that name their score, in whatever way.

A thought that says its score teaches to copy a number, not to judge. Three kinds of patterns know it: forms that are
scores wherever they stand (`4/5`, `B minus`, `the top of the scale`), numbers behind or before a word of judging
(`a score of four`), and bare numbers in the place of a verdict (`around three, since ...`). A number of things
("three red doors", "two of them"), a unit, an aperture or a time of day is none. Riddles get through.
"""

from __future__ import annotations

import re

from pondera.teach.filters.base import Candidate, Filter
from pondera.teach.filters.text import Phrases, plain

_WORD = r"(?:zero|one|two|three|four|five|six|seven|eight|nine|ten)"
_TENS = r"(?:(?:twen|thir|for|fif|six|seven|eigh|nine)ty(?:[\s-](?:one|two|three|four|five|six|seven|eight|nine))?)"
_NUMBER = (
    rf"(?:\d+(?:[.,]\d+)?(?![\d\w])|{_WORD}(?:[\s.-]+point(?:[\s-]+{_WORD})+)?(?:\s+and\s+a\s+(?:half|bit))?\b(?!-)"
    rf"|{_WORD}\.{_WORD}\b|{_TENS}\b)"
)
_SMALL = rf"(?:[1-5](?:\.\d+)?(?![\d\w.,]*\d)|(?!one\b){_WORD}(?:\s+and\s+a\s+half)?\b(?!-))"  # "one" is a pronoun
# A number is a verdict when no noun follows: "a three, since", "a three because" but not "a three point light".
_NO_NOUN = (
    r"(?=\s*(?:[.,;:!?)\"'”’—–]|$|%|per\s?cent\b|(?:because|since|as|for|and|but|or|at|on|in|out|of|from|with"
    r"|without|by"
    r"|than|due|despite|although|though|thanks|seems?|feels?|sounds?|looks?|is|was|would|might|may|could|should|can"
    r"|will|reflects?|fits|it|overall|maybe|perhaps|given|considering|if|were|not|minus|plus|when|while|so|to|here"
    r"|again|rather|really|i)\b))"
)
# Stronger: behind these not even a list of things goes on ("two in front, three behind").
_CLOSED = (
    r"(?=\s*(?:[.,;:!?)\"'”’—–]|$|(?:because|since|as|it\s+is|seems?|feels?|sounds?|is\s+(?:what|my|right|about)"
    r"|would|might|could|should|overall|or\s+so|or\s+thereabouts|or\s+(?:a\s+(?:bit|little|touch)\s+)?(?:less|more"
    r"|better|worse|below|above|lower|higher)|at\s+(?:best|most|least|the\s+(?:very\s+)?(?:best|most|least))"
    r"|in\s+my|in\s+total|to\s+me|for\s+me|from\s+me|thanks|due|given|considering|if|were|then|again|tops)\b))"
)
_VERDICT_END = (  # behind a number that stands first: "Four, because ..."; but not "Three, at the left, are ..."
    r"(?=\s*(?:[.;!]|$)|\s*,\s+(?:because|since|as|for|due|thanks|given|no|not|maybe|perhaps|i|at\s+(?:best|most)"
    r"|held|owing"
    r"|despite|although|though)\b|\s+(?:because|since|it\s+is|seems?|feels?|sounds?|is\s+(?:what|my|right|about)|would"
    r"|might|could|should|overall|or\s+so|for\s+me|from\s+me|to\s+me|in\s+my|at\s+(?:best|most|least"
    r"|the\s+(?:very\s+)?(?:best|most|least)))\b)"
)
_UNITS = (
    r"(?:m|mm|cm|km|µm|s|ms|mp|k|x|×|ev|hz|khz|fps|mbps|gb|mb|kg|g|l|bits?|(?:mega|giga)?pixels?|megabits?|stops?"
    r"|f-stops?|million|(?:kilo|centi|milli)?met(?:re|er)s?|kilo(?:gram)?s?|tonn?e?s?|lit(?:re|er)s?|seconds?|minutes?"
    r"|hours?|days?|weeks?|times|inch(?:es)?|feet|foot|miles?|years?|degrees?|diopt(?:re|er)s?|pm|am)\b"
)
_RATER = r"(?:scor(?:e|es|ed|ing)|ratings?|rate[sd]?|rank(?:s|ed|ing)?|mos|grading|graded)"
_LINK = (
    r"(?:\s*[:=–~≈-]\s*|\s+(?:is|of|at|as|it|lies|sits|are|be|being|would|should|could|will|must|might|therefore"
    r"|slightly|well|just|about|around|above|below|near|nearly|almost|by|to|under|over|roughly|approximately|only|a|an"
    r"|level|the|this|that|image|picture|photo|shot|final|comes|equals|closer|more|less|than|like|somewhere)\b)"
)
_GIVE = (
    r"(?:gi(?:ve|ves|ving|ven)|gave|deserves?|earns?|gets?|assign(?:s|ed|ing)?|worth|reach(?:es)?|lands?"
    r"|(?:go|goes|going)\s+(?:with|for)|say|settles?|award(?:s|ed)?|merits?|call(?:s|ing)?\s+it|put(?:s|ting)?\s+it"
    r"|plac(?:e|es|ing)\s+it|mak(?:e|es|ing)\s+it|it is|it's|this is|that is|that's|amounts?\s+to|averages?(?:\s+to)?"
    r"|comes?\s+(?:out\s+)?(?:to|at)|ends?\s+up|adds?\s+up\s+to|equals|justif(?:y|ies)|warrants?|choose|pick|vote\s+for"
    r"|opt(?:ing)?\s+for)"
)
_OF_SCALE = r"of\s+(?:the|this|my|our|that)\s+(?:\w+\s+)?(?:scale|scoring|rating|grading)\b"
_STEP = r"(?:steps?|notch(?:es)?|rungs?|grades?|points?|levels?|class(?:es)?|categor(?:y|ies)|tiers?|marks?)"
_ORDINAL = r"(?:second|third|fourth|2nd|3rd|4th|middle)"
_FRACTION = (
    rf"(?:(?:{_WORD}|a)[\s-]+(?:half|halves|thirds?|quarters?|fifths?|tenths?)|half(?:way)?|(?<![\d/])\d/\d(?![\d/]))"
)

_ALWAYS = (  # scores wherever they stand
    rf"\b{_NUMBER}\s*(?:/|out\s+of)\s*(?:5|10|100|five|ten|a hundred|one hundred)\b",
    r"\bout\s+of\s+(?:a\s+)?(?:possible\s+|maximum\s+)?(?:5|10|100|five|ten|hundred)\b",
    rf"\b\d+(?:[.,]\d+)?\s+of\s+(?:5|10|100)\b{_NO_NOUN}",
    rf"(?<![\w/.,:])[1-5][.,]\d{{1,2}}(?!\d|[.,:/]\d|\s*-?{_UNITS})",
    rf"\b{_WORD}[\s-]+point(?:[\s-]+{_WORD})+\b|\b{_WORD}\.{_WORD}\b",
    rf"\b{_WORD}\s+and\s+(?:a\s+half|(?:a|one|three)\s+quarters?)\b{_NO_NOUN}",
    rf"\b{_WORD}\s+(?:fifths|tenths|hundredths)\b",
    r"\b(?:near|close\s+to|short\s+of|shy\s+of|at|reach(?:es)?|approach(?:es)?|almost|nearly)\s+(?:the|its)\s+"
    r"(?:maximum|minimum|top\s+(?:end|mark|score)|ceiling)\b(?!\s+(?:of\s+the\s+(?:frame|image|lens)|aperture|zoom))",
    r"\b(?:upper|lower|top|bottom)\s+(?:quartile|quarter|third|half|end)\s+of\s+(?:the|any|my)\s+(?:scale|range"
    r"|ratings?)\b",
    rf"\b(?!one\b){_WORD}[\s-](?:region|range|territory|zone|bracket|area)\b",
    rf"(?<![\w.])(?:[1-5]|{_WORD})[\s-]?ish\b|(?<![\w.])[1-5]\s?\+(?!\s?\w)",
    r"[★☆⭐🌟]",
    rf"\b(?:\d|{_WORD}|half)[\s-](?:a[\s-])?stars?\b(?!\s+(?:in|over|above|on|at|are|shine|twinkle|trails?)\b)",
    rf"\b{_NUMBER}\s*(?:points?(?!\s+(?:of|in|on|where|light|perspective|to)\b))\b(?<!one point)",
    rf"\b(?:{_WORD}|\d+)[\s-](?:point|grade|step|level|star)\s+(?:scale|rating|system)\b",
    rf"\bscale\s+(?:of|from)\s+{_NUMBER}|\b(?:1|one|zero|0)\s*(?:to|-|–|through)\s*(?:5|five|10|ten|100){_CLOSED}",
    rf"\b(?:{_ORDINAL}|next)\s+(?:of|out\s+of)\s+(?:five|5|ten|10)\b",
    # places on a scale
    r"\b(?:top|bottom|middle|cent(?:re|er)|upper|lower|high|low|best|worst|ends?|half|third|quarter|midpoint|part"
    rf"|region|side|rungs?|steps?)(?:\s+\w+){{0,2}}\s+{_OF_SCALE}",
    rf"{_FRACTION}\s+(?:{_OF_SCALE}|(?:up|down|along|of)\s+(?:the\s+)?(?:scale|way\s+(?:up|to\s+the\s+top)|maximum"
    r"|full\s+(?:score|marks?)|marks?|points|possible))",
    r"\bmid(?:dle)?[\s-]?(?:scale|range\s+(?:score|rating|mark))\b",
    r"\b(?:highest|lowest|best|top|maximum|minimum|perfect|full|worst|bottom|near-perfect|maximal|minimal)\s+"
    r"(?:possible\s+)?(?:quality\s+)?(?:scores?|ratings?|marks?|grades?|categor(?:y|ies)|tier|rung|step|rank|class)\b",
    rf"\b(?:{_ORDINAL}[\s-](?:best|highest|lowest|worst)|{_ORDINAL})\s+(?:possible\s+)?(?:quality\s+)?"
    r"(?:scores?|ratings?|marks?|grades?|categor(?:y|ies)|tier|rung|class)\b",
    rf"\b(?:one|two|half\s+an?|a|an?\s+half|\d)\s+(?:small\s+|full\s+|whole\s+)?{_STEP}\s+(?:below|above|under|over"
    r"|short\s+of|away\s+from|from|off|less|removed|deducted|down)\b(?!\s+(?:the\s+)?(?:horizon|eyes?|ground|water))",
    r"\bsteps?\s+(?:below|above|under|from)\s+(?:the\s+)?(?:top|bottom|best|worst|middle|perfect(?:ion)?)\b",
    r"\b(?:los|drop|cost|deduct|remov|tak|dock|knock|subtract)(?:e|es|ed|ing|s|t|ting)?\s+(?:it\s+|off\s+|away\s+)*"
    r"(?:an?|one|half\s+a|two|three|\d)\s+(?:full\s+|whole\s+|half\s+)?(?:stars?|points?|marks?|grades?)\b(?!\s+of\b)",
    rf"\b(?:subtract(?:ing)?|deduct(?:ing)?|minus|dock(?:ing)?|knock(?:ing)?\s+off|tak(?:e|ing)\s+off)\s+"
    rf"(?:{_NUMBER}|half){_NO_NOUN}",
    r"\b(?:low|lower|mid|middle|high|upper)[\s-](?:ones|twos|threes|fours|\d0?s|(?:twent|thirt|fort|fift|sixt|sevent"
    r"|eight|ninet)ies)\b|\b(?:in|into|among)\s+the\s+(?:(?:low|mid|high|upper|solid)[\s-])?(?:twos|threes|fours"
    r"|fives|\d0?s)\b",
    rf"\b(?:mid|low|lower|upper)[\s-](?:[1-5]|(?!one\b){_WORD}){_NO_NOUN}",
    rf"\b(?:high|low|mid|solid|strong|weak|good)-(?:[1-5](?![\w.])|(?!one\b){_WORD}\b)",
    rf"\b(?:excellent|good|fair|poor|bad)\s+(?:is|=|being|means|stands\s+for)\s+{_NUMBER}{_NO_NOUN}",
    r"(?<=[.!?])\s+one(?=\.\s)",
)  # fmt: skip
_JUDGED = (  # numbers with a word of judging
    rf"\b{_RATER}\b{_LINK}{{0,6}}\s*{_NUMBER}",
    rf"\b(?:quality|answer|value|verdict|mark|grade|final|sharpness|noise|colou?r|contrast|composition|exposure"
    rf"|aesthetics|evaluation|assessment|result|number|figure|judg(?:e)?ment|total|overall|average)s?\b"
    rf"{_LINK}{{0,4}}\s*{_NUMBER}{_NO_NOUN}(?!\s+of\s+the)",
    rf"\b{_GIVE}\s+(?:(?:it|this|that|them|the\s+\w+|at|on|only|just|a|an|about|around|roughly|almost|maybe|up|with"
    rf"|as|perhaps|nearly|solid|clear|strong|weak)\s+)*{_NUMBER}{_NO_NOUN}(?!\s+of\s+the)",
    rf"\bbetween\s+(?:an?\s+)?{_NUMBER}\s+and\s+(?:an?\s+)?{_NUMBER}{_NO_NOUN}",
    # "a low one" is no number
    rf"\b(?:a|an)\s+(?:(?:(?:very|fairly|rather|quite)\s+)?(?:solid|near-perfect|perfect|decent|clear|strong|weak|good"
    rf"|full|clean|bare|plain|fair|high|low|safe|firm|straight|generous|flat|mere|meagre|meager|respectable|comfortable"
    rf"|scant|shaky|poor|confident|honest|round|near|big|fat|lowly|rare|true|mild|lukewarm|deserved|well-earned)\s+)?"
    rf"(?!one\b)(?!high\s+five){_NUMBER}{_NO_NOUN}",
    rf"\b(?:level|grade|quality|category|class|tier|rank)\s+(?:number\s+)?{_NUMBER}\s*(?:image|picture|photo\w*|shot"
    rf"|quality|material|[.,;]|$)",
    rf"\b{_NUMBER}\s*(?:%|per\s?cent\b|percent\b|pct\b)\s*(?:quality|good|perfect|of\s+(?:the\s+)?(?:maximum|scale"
    rf"|best|possible|full|marks|points|ideal|perfect(?:ion)?))",
    rf"\b(?:quality|score|rating|worth|give|deserves?|verdict|grade|mark|call\s+it|i'd\s+say|i\s+would\s+say|overall)\b"
    rf"[^.;!?%]{{0,30}}?\b{_NUMBER}\s*(?:%|per\s?cent\b|percent\b|pct\b)(?!\s+(?:of\s+the\s+(?:frame|image|picture|area"
    rf"|sky|pixels)|crop|zoom|view|larger|smaller|brighter|darker))",
)  # fmt: skip
_LEAKS = Phrases((*_ALWAYS, *_JUDGED))
# A number that nothing follows is a verdict, unless something before it says that things are counted or named.
_BARE = re.compile(rf"(?:(?P<first>^|[.;:!?—–]\s)\W*|\b){_SMALL}{_CLOSED}", re.M)
_COUNTED = re.compile(
    r"(?:\b(?:the|these|those|all|both|other|others|another|last|first|next|any|every|each|them|us|of|and|or|in|into|by"
    r"|are|is|was|were|has|have|had|with|without|see|sees|seen|count|counts|counted|shows?|shown|showing|holds?"
    r"|contains?"
    r"|includes?|depicts?|features?|asks?|asked|asking|for|instead|only|just|exactly|than|other|says|reads|reading"
    r"|marked|images?|pictures?|photo(?:graph)?s?|shots?|frames?|clips?|videos?"
    r"|numbered|labelled|labeled|wears?|wearing|carr(?:y|ies)|displays?|at|to|from|until|till|after|before|past|version"
    r"|plus|minus|my|his|her|their|our|no|not|yes|two|three|four|five|six|seven|eight|nine|ten|image|picture|photo"
    r"|frame|sample|scene|shot|view|item|camera|\d+)\s+"
    r"|[-–/,&#.\d^=_]\s*)$"
)
# Of these words, some also lead to verdicts: "at a three", "lower than three", "not four", "only two".
_ESTIMATED = re.compile(
    r"\b(?:(?:lower|higher|better|worse|beyond|above|below|under|over|more|less)\s+than|instead\s+of|close(?:r)?\s+to"
    r"|near(?:er)?\s+to|up\s+to|down\s+to|comes?\s+to|amounts?\s+to|lands?\s+at|ends?\s+(?:up\s+)?(?:at|with)"
    r"|sits?\s+at"
    r"|stands?\s+at|settles?\s+(?:at|for|on)|say|of\s+a|worth|is\s+about|it\s+is|i\s+(?:say|think|choose|pick"
    r"|settle\s+on))"
    r"\s+$"
)
# Case tells a grade from an article: "a B minus", "grade A", "C+". "A plus" may begin a sentence.
_LETTERS = re.compile(
    r"(?<![\w-])[A-F](?:\s?[+−](?!\w)|-(?![\w-])|[\s-](?:plus|minus)\b)(?<!A plus)"
    r"|\b[A-F]-(?:level|grade|class|tier)\b"
    r"|\b(?:[Aa]n?|[Gg]rade|[Mm]arks?|[Gg]raded|[Rr]ated|[Dd]eserves|[Gg]ets|[Mm]erits|[Ee]arns|[Ww]orth)\s+"
    r"(?:(?:an?|solid|clear|straight|good|strong|weak|flat|plain|bare|low|high)\s+)*[A-F]"
    r"(?=\s*(?:[.,;:!?)]|$)|\s+(?:for|because|since|at|in\s+my|overall|grade|rating|mark|level|given|thanks|due|than"
    r"|and"
    r"|or|to|on\s+(?:the|any|my))\b)"
    r"|\b(?:[Gg]rade|[Ll]evel|[Cc]ategory|[Cc]lass|[Ss]core|[Rr]ating|[Qq]uality)\s+(?:of\s+)?(?:III?|I?V)\b(?!\.\w)"
)
# Rates that are no ratings, times of day, and names with numbers; they are taken out before the patterns look.
_INNOCENT = Phrases(
    (
        r"\b(?:frame|bit|refresh|sampling|data|shutter|heart|error)[\s-]?rates?(?:\s+of)?\s+\S+",
        rf"\b(?:quarter|half|ten|five|twenty)\s+(?:past|to)\s+{_WORD}\b",
        r"\b\d{1,2}:\d{2}\b",
        rf"\b(?:at|before|after|past|until|till|from)\s+{_NUMBER}\s+(?:o'?clock|in\s+the\s+(?:morning|afternoon"
        rf"|evening)"
        r"|at\s+night|p\.?m|a\.?m)\b",
        rf"\b{_WORD}[\s-]point\s+(?:light|perspective)\w*",
        r"\b(?:f|aperture|wide\s+open|stopped\s+down|gamma|version|usb|ratio|radius|sigma|factor|iso|lens(?:es)?"
        r"|focal\s+length|magnification|zoom|diopt(?:re|er)|channel|chapter|page|table|room|gate|platform|bus|tram"
        r"|jersey"
        r"|bib|shirt|exit|figure|number|no\.|nr\.?|route|track|lane|pier|apollo|player|floor|size|hole|lap|race|door"
        r"|house)\s*(?:is|of|at|to|/|:|=)?\s*(?:about\s+|around\s+|f/?\s?)?\d+(?:[.,]\d+)?(?:\s*(?:to|:|-)\s*\d+"
        r"(?:[.,]\d+)?)?",
        rf"\b(?:bus|tram|table|page|room|gate|platform|jersey|bib|player|floor|number|lane|track|exit"
        rf"|hole)\s+{_WORD}\b",
        r"\b\d+(?:[.,]\d+)?\s*(?::|x|×)\s*\d+(?:[.,]\d+)?",
        r"\b(?:group|set|row|party|family|team|crew|pair|couple|series|stack|cluster|trio|line|cast|choir|band|game"
        r"|pack"
        rf"|herd|mother|father|crowd)\s+of\s+(?:the\s+)?{_NUMBER}",
        r"\b(?:in|into|by)\s+(?:twos|threes|fours|two|three|four)\b(?!\s*(?:because|since))",
        r"\bon\s+all\s+fours\b",
        r"\b(?:musical|sheet|film|orchestral|piano|football|match)\s+scores?\b",
    )
)
_QUOTED = r"(?:\"[^\"]*\"|“[^”]*”|(?<!\w)'[^']{1,80}'(?!\w))"
_INSCRIPTION = re.compile(  # what stands in the picture
    r"\b(?:reads?|reading|says?|saying|states?|stating|sign|label|text|caption|inscription|lettering|poster|plate"
    r"|titled?"
    r"|called|named|words?|numbers?|shows|showing|screen|display)\b[^.;!?\"'“]{0,25}" + _QUOTED
)
_QUOTATION = re.compile(r"\"[^\"]*\s[^\"]*\"|“[^”]*\s[^”]*”")  # of several words: a name such as "Saga 2"
_LIST_MARK = re.compile(r"(?:^|(?<=[.;:])\s|\n)\s*\(?([1-9])[.)]\s+(?=\D)|\(([1-9])\)")
_DECIMAL = re.compile(r"(?<![\d.,/])\d+(?:[.,]\d+)?(?![\d]|[.,]\d)")


def leak_filter() -> Filter:
    """Drops thoughts that name the score, in digits or words, so that the answer is judged and not copied."""

    def check(candidate: Candidate) -> str | None:
        return named_score(candidate.think) or named_value(candidate.think, candidate.answer.score)

    return Filter("score_leak", "the thought names a score", lambda: check)


def named_score(text: str) -> str | None:
    """The words in which a text names a score, None where it does not.

    Args:
        text: any text in English.
    """
    text = _without_list_marks(plain(text))
    innocent = _INNOCENT.blank(_INSCRIPTION.sub(" _ ", text.lower()))
    said = _LEAKS.find(innocent) or _bare_number(innocent)
    if said is None and (letter := _LETTERS.search(text)):
        said = letter.group().strip()
    return None if said is None else f"says {said!r}"


def _bare_number(lower_text: str) -> str | None:
    lower_text = _QUOTATION.sub(" _ ", lower_text)
    for match in _BARE.finditer(lower_text):
        before = lower_text[max(0, match.start() - 40) : match.start()]
        is_first = match["first"] is not None
        if is_first and not re.match(_VERDICT_END, lower_text[match.end() :]):
            continue  # "Three, at the left, are sharp"
        if is_first or not _COUNTED.search(before) or _ESTIMATED.search(before):
            return match.group().strip()
    return None


def named_value(text: str, value: float) -> str | None:
    """Whether a number with a decimal stands in the text that is this value to the digits shown.

    Whole numbers are left out: they count things.
    """
    text = plain(text)
    for match in _DECIMAL.finditer(text):
        digits = match.group().replace(",", ".")
        decimals = len(digits.partition(".")[2])
        if (
            decimals
            and float(digits) == round(value, decimals)
            and not re.match(rf"\s*{_UNITS}", text[match.end() :], re.I)
        ):
            return f"says {match.group()!r}"
    return None


def _without_list_marks(text: str) -> str:
    """Drop "1." and "(2)" where they number the parts of a list: there are at least two, and the first is 1."""
    marks = [match[1] or match[2] for match in _LIST_MARK.finditer(text)]
    return _LIST_MARK.sub(" ", text) if {"1", "2"} <= set(marks) else text
