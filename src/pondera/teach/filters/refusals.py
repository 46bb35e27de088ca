"""The refusal filter: apologies, refusals, and claims that there is no image."""

from __future__ import annotations

import re

from pondera.teach.filters.base import Candidate, Filter
from pondera.teach.filters.text import Phrases, plain

_MEDIA = r"(?:image|picture|photo(?:graph)?|file|video|clip|attachment|media|visual(?:s|\s+(?:content|input|data))?)"
_NO_MEDIA = rf"{_MEDIA}s?\b(?!\s*(?:noise|grain|defects?|blur|artefacts?|artifacts?|flaws?|quality|element|detail|'s))"
_CANNOT = (
    r"(?:cannot|can't|can\s+not|could\s+not|couldn't|am\s+unable\s+to|am\s+not\s+able\s+to|'m\s+unable\s+to"
    r"|'m\s+not\s+able\s+to|am\s+not\s+allowed\s+to|'m\s+not\s+allowed\s+to|may\s+not|am\s+not\s+in\s+a\s+position\s+to"
    r"|do\s+not\s+feel\s+able\s+to|am\s+not\s+(?:permitted|equipped|designed|programmed)\s+to"
    r"|'m\s+not\s+(?:permitted|equipped|designed|programmed)\s+to)"
)
# Seeing no noise is an observation, seeing no image is a refusal: the object decides.
_TASK = (
    r"(?:help|assist|provide(?!\s+(?:\w+\s+)?(?:more|further|additional|specific|precise|exact))|comply|comment|view"
    r"|access|open|process|analy[sz]e|assess|evaluate|judge|rate|describe"
    r"|determine|perceive|give\s+(?:you\s+)?an?\s+(?:rating|score|evaluation|assessment|opinion|judg)|offer\s+an?"
    r"|continue|fulfil|answer|display|load|retrieve|download"
    rf"|(?:see|look\s+at|make\s+out|find|detect|identify|read|locate)\s+(?:the|this|that|your|any|an?)\s+"
    rf"(?:attached\s+|actual\s+)?{_NO_MEDIA})"
)
_REFUSALS = Phrases(
    (
        r"^\W*(?:sorry|apologies|regrettably|my apologies)\b",
        r"\bi(?:\s+am|'m)\s+(?:very\s+|so\s+|really\s+)?sorry\b"
        r"|\bi\s+(?:do\s+|must\s+|have\s+to\s+)?apologi[sz]e\b",
        rf"\bi\s*(?:{_CANNOT})\s+(?:\w+ly\s+|even\s+)?{_TASK}\b",
        r"\bi\s+(?:won't|will\s+not|must\s+decline|have\s+to\s+decline|decline|refuse|(?:would\s+)?prefer\s+not"
        r"|(?:would|'d)\s+rather\s+not)\b|\bi'd\s+(?:prefer|rather)\s+not\b",
        r"\bi(?:'m|\s+am)\s+(?:not|un)\s*comfortable\b|\bi(?:'m|\s+am)\s+uncomfortable\b",
        rf"\bi\s+(?:don't|do\s+not|lack|can't|have\s+no|never)\s+(?:have\s+|actually\s+|really\s+)*(?:the\s+|an?y?\s+)?"
        rf"(?:access|eyes|ability|means\s+of\s+seeing|way\s+(?:of|to)\s+(?:see|look|view|access)\w*|(?:see|saw|find"
        rf"|received?)\s+(?:an?|any|the|your)\s+{_NO_MEDIA})",
        r"\bas\s+an?\s+(?:ai|(?:large\s+)?language\s+model|text[-\s](?:based|only)|artificial|virtual\s+assistant)\b"
        r"|\bi(?:'m|\s+am)\s+(?:just\s+|only\s+)?an?\s+(?:ai|(?:large\s+)?language\s+model|text[-\s](?:based|only))\b",
        r"\b(?:only|just)\s+(?:able\s+to\s+)?(?:process|handle|read|work\s+with|understand|deal\s+with|accept"
        r"|receive)s?\s+"
        r"(?:written\s+)?(?:text|words|language)\b|\b(?:text|language)[-\s]only\s+(?:model|assistant|system|input)\b",
        rf"\bno\s+(?:\w+\s+)?{_NO_MEDIA}\s*(?:,|was|is|has\s+been|were|have\s+been|came|arrived|can\s+be\s+(?:seen"
        rf"|found"
        rf"|opened)|could\s+be|here\b|to\s+(?:look|judge|assess|rate|evaluate)|reached)(?!\s*(?:free|without|perfect))",
        rf"\bthere\s+(?:is|was|seems\s+to\s+be|appears\s+to\s+be)\s+no(?:thing|\s+(?:\w+\s+)?{_MEDIA})\s+"
        r"(?:attached|provided|here|to\s+(?:look|judge|assess|rate|evaluate|see|view)|in\s+(?:this|the|your)\s+"
        r"(?:message|conversation|request|chat))\b(?!\s+speak)",
        r"\bplease\s+(?:\w+ly\s+)?(?:provide|upload|attach|share|send|resend|re-?upload|supply|paste|try)\b"
        r"|\b(?:send|upload|attach|share)\s+(?:it|the\s+\w+|me\s+the\s+\w+|another)\s+(?:again|once\s+more|here)\b"
        r"|\bcould\s+you\s+(?:please\s+)?(?:send|upload|attach|share|provide|resend|re-?upload)\b",
        rf"\bwithout\s+(?:seeing|access\s+to|being\s+able\s+to\s+see|having\s+seen|a\s+look\s+at|looking\s+at"
        rf"|an?\s+actual)"
        rf"\s*(?:the|an|any|this)?\s*{_NO_MEDIA}",
        rf"\b(?:{_MEDIA}\s+)?(?:url|link)\s+(?:appears|seems|is)\s+(?:to\s+be\s+)?(?:broken|invalid|dead|expired)",
        rf"\b(?:content|{_MEDIA}|request)\s+(?:was|is|has\s+been|had\s+been)\s+(?:blocked|withheld|removed|flagged"
        r"|filtered|rejected|refused)\b",
        rf"\b{_MEDIA}\s+(?:did\s+not|didn't|failed\s+to|does\s+not|doesn't|could\s+not|couldn't|cannot|can't)\s+"
        r"(?:seem\s+to\s+|be\s+)?(?:load|arrive|open|opened|loaded|displayed?|come\s+through|read\s+in|render|retrieved"
        r"|accessed|decoded|processed|found)",
        rf"\b{_MEDIA}\s+(?:is|seems|appears)\s+(?:to\s+be\s+)?(?:missing(?=\s*(?:[.,;]|$|here|and\b|so\b|on\b))"
        r"|unavailable|not\s+(?:available|attached|there"
        r"|accessible|included|visible\s+to\s+me)|inaccessible)",
        r"\b(?:my|the|our|its|company|content|usage|safety)\s+(?:guidelines|polic(?:y|ies)|rules|terms)\s+(?:do|does|on"
        r"|about|prevents?|prohibits?|forbids?|against|here|keep|stop)\b",
        r"\b(?:violat\w+|against|breach\w*|conflict\w*\s+with)\s+(?:the\s+|my\s+|our\s+|any\s+|some\s+|certain\s+)?"
        r"(?:\w+\s+)?(?:polic(?:y|ies)|guidelines|rules|terms(?:\s+of\s+(?:use|service))?)\b(?!\s+of\s+(?:composition"
        r"|thirds))",
        r"\b(?:safety|content|usage)\s+(?:polic(?:y|ies)|rules|guidelines|filter|system|reasons)\b",
        r"\bno\s+(?:evaluation|rating|assessment|judg(?:e)?ment|score|verdict|analysis|statement)\s+(?:\w+\s+){0,4}?"
        r"(?:can|will|is|could|shall)\s+(?:be\s+)?(?:given|made|provided|possible|offered|issued|returned|passed)\b",
        r"\b(?:not|im)\s*possible\s+(?:for\s+me\s+)?to\s+(?:(?:give|make|provide|offer)\s+(?:you\s+)?(?:an?|any)\s+"
        r"(?:\w+\s+){0,2}(?:evaluation|rating|assessment|judg(?:e)?ment|score|verdict|opinion|analysis)"
        r"|(?:assess|judge|rate|evaluate)\s+(?:it|this|the\s+(?:image|picture|photo\w*|quality|video|clip)))\b",
        r"\b(?:judg(?:e)?ment|evaluation|assessment|rating|analysis)\s+(?:of\s+(?:this|the|it)\s+\w+\s+)?"
        r"(?:is|would\s+be)\s+(?:not\s+possible|impossible|unavailable|declined)\b",
        r"\b(?:beyond|outside|exceeds?)\s+(?:of\s+)?(?:my|the\s+scope\s+of\s+my)\s+(?:capabilit|abilit|scope|competence"
        r"|remit)|\bnot\s+able\s+to\s+(?:view|see|process)\s+"
        rf"{_MEDIA}s?\b",
        r"\b(?:nothing|no\s+\w+|not|never|n't)\s+(?:\w+\s+){0,2}?(?:attached|uploaded|been\s+(?:given|sent|shown"
        r"|provided)"
        r"|come\s+through|sent\s+along|received)\b(?!\s+to\s+the\s+\w+)",
        r"\b(?:upload|download|transfer|transmission|attachment|attaching)\s+(?:of\s+\w+\s+)?(?:\w+\s+)?(?:failed"
        r"|is\s+missing"
        r"|was\s+incomplete|did\s+not|didn't|seems|broke|must\s+have)\b",
        r"\b(?:nothing|anything)\s+(?:here\s+)?(?:for\s+me\s+)?to\s+(?:inspect|judge|assess|evaluate|rate"
        r"|go\s+(?:on|by))\b",
        r"\bi(?:'m|\s+am)\s+not\s+going\s+to\s+(?:evaluate|rate|judge|assess|comment|describe|answer|do)\b",
        r"\bno\s+basis\s+for\s+(?:an?y?\s+)?(?:\w+\s+)?(?:judg(?:e)?ment|evaluation|assessment|verdict|rating)\b",
        r"\b(?:content|usage|policy|safety)\s+(?:restrictions?|reasons?|concerns?"
        r"|limitations?|constraints?|considerations)\b",
        r"\b(?:something|not\s+something|nothing)\s+(?:that\s+)?(?:i|this\s+(?:system|model"
        r"|assistant))\s+(?:would\s+rather"
        r"|will|can|could|am\s+able\s+to|do|does)\b",
        rf"\b{_MEDIA}s?\s+(?:is|are)\s+not\s+something\b|\b(?:this|the|our)\s+(?:system|model|assistant)\s+(?:cannot"
        rf"|can't"
        rf"|does\s+not|is\s+not\s+able|is\s+unable)\b",
        # words of somebody who did not look
        r"\b(?:i|we)\s+(?:will\s+|would\s+|can\s+only\s+|have\s+to\s+|must\s+|shall\s+|simply\s+|just\s+)*(?:assume"
        r"|guess"
        r"|presume|imagine)\s+(?:that\s+)?(?:an?\s+|the\s+|some\s+)?(?:\w+\s+)?(?:quality|level|value|result|typical"
        r"|average"
        r"|default)\b",
        r"\b(?:let\s+(?:us|me|'s)\s+(?:assume|guess|suppose|imagine)|is\s+(?:only\s+|just\s+|merely\s+"
        r"|pure\s+)*(?:an?\s+)?"
        r"(?:guess(?:work)?|assumption|speculation)|rests?\s+on\s+(?:probability|assumptions?|chance|guesswork))\b",
        r"\b(?:fall(?:ing|s)?|fell)\s+back\s+(?:to|on)\b|\bin\s+(?:general|abstract)\s+terms\b",
        r"\b(?:could\s+not|cannot|can't|couldn't|unable\s+to|failed\s+to)\s+(?:decode|parse|fetch|open"
        r"|retrieve)\s+(?:the\s+)?"
        r"(?:image|picture|photo|file|data|attachment|content)\b",
        r"\b(?:link|url)\s+(?:leads|points|goes|returns|does\s+not|gives\s+an)\b",
        r"\b(?:among|within|part\s+of|beyond)\s+my\s+(?:abilities|skills|capabilities|powers|means|gifts)\b",
        r"\b(?:i|we)\s+(?:don't|do\s+not|never|won't|will\s+not|cannot|can't|may\s+not)\s+(?:evaluate|rate|judge"
        r"|assess|comment"
        r"|review|score|grade)\b",
        r"\bwithout\s+(?:the|any|an)\s+(?:actual\s+|real\s+)?(?:pixels|image|picture|photograph)\b",
        r"\b(?:middle|average|medium|neutral|default)\s+(?:value|result|reply|answer)\s+(?:is|was|will\s+be|for|instead"
        r"|must|seems)\b",
        r"\b(?:neutral|default|placeholder|dummy)\s+(?:default\s+)?(?:evaluation|rating|score|answer|value"
        r"|judg(?:e)?ment"
        r"|response)\b",
    )
)  # fmt: skip


def refusal_filter() -> Filter:
    """Drops apologies, refusals, and claims that there is no image."""

    def check(candidate: Candidate) -> str | None:
        said = _REFUSALS.find(plain(re.sub(r"</?(?:think|answer)>", "\n", candidate.completion)).lower())
        return None if said is None else f"says {said!r}"

    return Filter("refusal", "the teacher refused or saw no image", lambda: check)
