"""The hint leak filter: thoughts that show that the score was known before anything was seen.

A teacher that has only the picture has no reason to speak of a score that exists already, of what others thought, or
of what it was told. Patterns look for a score to be argued for ("has to fit a high mark"), judgements in the past ("was
scored poorly"), people who judged ("the opinion of the observers"), and instructions ("as I was told"). Besides, words
of rating are suspicious in themselves: descriptions do not need them. A sentence that gives a score of its own is left
to the leak filter. A reference back ("as said above") counts in the first sentence only, where nothing has been said.
"""

from __future__ import annotations

import re

from pondera.teach.filters.base import Candidate, Filter
from pondera.teach.filters.leaks import named_score, named_value
from pondera.teach.filters.text import Phrases, plain

_RATERS = (
    r"(?:crowd|audience|public|viewers?|observers?|raters?|annotators?|participants?|people|humans?|jury|jurors"
    r"|judges|panel(?:l?ists?)?|evaluators?|assessors?|testers?|respondents?|whoever|voters?|reviewers?"
    r"|subjects\s+of\s+the"
    r"|others|(?:those|everyone|everybody|anyone|people)\s+who\s+(?:have\s+)?(?:looked|saw|seen|rated|judged|viewed"
    r"|scored|voted|watched)(?:\s+(?:at\s+)?(?:it|this|that|the\s+\w+))?)"
)
_SCORE = (
    r"(?:scores?|ratings?|mos|marks?|grades?|labels?|answers?|judg(?:e)?ments?|verdicts?|votes?|assessments?"
    r"|evaluations?|opinions?)"
)
_OWN_SCORE = r"(?:scores?|ratings?|marks?|grades?|mos)"  # what a teacher may speak of when it means its own
_EVAL = (
    r"(?:low|lower|lowly|high|higher|poor|poorly|bad|badly|weak|good|well|mediocre|middling|moderate|modest|modestly"
    r"|average|medium|excellent|favou?rabl[ey]|unfavou?rabl[ey]|harsh|harshly|strict|lenient|generous|generously"
    r"|positive|negative|mixed|severe|severely|highly|kindly|fair|disappointing|decent|respectable|lukewarm)"
)
_HELD = (  # what a known score is called
    r"(?:given|provided|stated|assigned|supplied|known|official|expected|reference|target|specified|desired|required"
    r"|recorded|collected|reported|published|true|actual|mean|average|human|subjective|existing|predetermined"
    r"|above-mentioned|aforementioned|said|listed|quoted|associated|attached|accompanying|underlying)"
)
_JUDGED = r"(?:scored|rated|graded|judged|assessed|evaluated|voted|ranked|labelled|labeled|received|reviewed)"
_WAS = r"(?:was|were|has\s+been|have\s+been|had\s+been|got|been)"
_TELL = (
    r"(?:mentioned|stated|given|said|described|indicated|noted|specified|told|informed|instructed|suggested|required"
    r"|requested|provided|announced|listed|shown)"
)
_PERSON = r"(?:i|we)"

_HINTS = Phrases(
    (
        # a score taken for granted
        rf"\b{_HELD}\s+(?:quality\s+|overall\s+|final\s+)?{_SCORE}\b",
        rf"\b(?:the|this|that|such\s+an?|its|their|his|your|those|these)\s+(?:\w+ly\s+|rather\s+|quite\s+|very\s+"
        rf"|so\s+)*{_EVAL}\s+(?:quality\s+|overall\s+)?(?:scores?|ratings?|mos|marks?(?!\s+(?:on|in|at|left))|grades?"
        r"(?!\s+(?:of|paper|steel))|verdicts?|opinions?|votes?|assessments?|evaluations?|reception|judg(?:e)?ments?)\b",
        rf"\bso\s+(?:low|high|poor|good|bad|harsh|modest)\s+an?\s+{_SCORE}\b",
        rf"\b{_SCORE}\s+(?:that|which)?\s*(?:i|we|was|is|were|has been|had been)\s+(?:was\s+|were\s+|am\s+)?"
        r"(?:given|provided|supplied|stated|assigned|told|shown)\b",
        rf"\b{_SCORE}\s+(?:is|was|seems|are|were|looks)\s+(?:\w+ly\s+|quite\s+)?(?:justified|deserved|explained"
        r"|understandable|plausible|no\s+surprise|fair\s+enough|comprehensible|warranted|to\s+be\s+expected)\b",
        rf"\b{_SCORE}\s+(?:provided|given|supplied|stated|assigned)\b",
        # a score to be argued for
        rf"\b(?:justif(?:y|ies|ied|ying)|rationali[sz](?:e|es|ing)|account(?:s|ed|ing)?\s+for|explain(?:s|ed|ing)?"
        rf"|support(?:s|ed|ing)?|back(?:s|ed|ing)?\s+up|fit(?:s|ted|ting)?|match(?:es|ed|ing)?|confirm(?:s|ed|ing)?"
        rf"|agree(?:s|d|ing)?\s+with|consistent\s+with|compatible\s+with|in\s+(?:line|keeping|agreement"
        rf"|accord(?:ance)?)"
        rf"\s+with|correspond(?:s|ed|ing)?\s+(?:to|with)|square(?:s)?\s+with|behind|reasons?\s+for|repeat(?:s|ing)?"
        rf"|arriv(?:e|es|ing)\s+at|contradict(?:s|ed|ing)?|tall(?:y|ies)\s+with|bear(?:s)?\s+out|echo(?:es)?)\s+"
        rf"(?:the|this|that|such\s+an?|its|an?|your|so)\s+(?:\w+\s+){{0,2}}{_SCORE}\b(?!\s+(?:of\s+the\s+(?:door|box"
        r"|bottle)|on\s+the))",
        rf"\b(?:knowing|given|considering|from|by|despite|in\s+spite\s+of|in\s+view\s+of|judging\s+by|according\s+to"
        rf"|as\s+per)\s+(?:the|this|that|such\s+an?|its|your)\s+(?:\w+\s+)?{_OWN_SCORE}\b(?!\s+(?:on|of\s+the|in))",
        r"\b(?:explanation|reasoning|description|argument|text|words)\s+(?:has|have|needs?|must|should)\s+"
        r"(?:to\s+)?(?:fit|match|agree|support|lead|end|justify|explain|arrive|point)\b",
        rf"\b{_PERSON}\s+(?:have|need|must|am\s+(?:asked|supposed|expected|required|meant)|was\s+(?:asked|told)|should"
        r"|had|ought|want)\s+(?:to\s+)?(?:explain|justify|find\s+(?:out\s+)?(?:reasons|why|arguments)|argue|account"
        r"|defend|rationali[sz]e|support|reach|arrive|repeat|land\s+at|end\s+up|stick\s+to|stay\s+close)\b",
        r"\b(?:my\s+task|the\s+task|the\s+job|my\s+job)\s+(?:is|was)\s+(?:now\s+)?to\s+(?:explain|justify|find"
        r"|argue|say|account)\b",
        # judgements in the past
        rf"\b{_WAS}\s+(?:\w+ly\s+|so\s+|rather\s+)*{_JUDGED}\s+(?:as\s+|so\s+|quite\s+|rather\s+|very\s+|to\s+be\s+"
        rf"|an?\s+|such\s+|this\s+|that\s+|only\s+|on\s+the\s+)*(?:{_EVAL}|way|side|quality|image|picture)\b",
        rf"\b(?:so|this|that|rather|quite|very)\s+(?:poorly|badly|low|lowly|highly|harshly|well"
        rf"|modestly)\s+{_JUDGED}\b",
        rf"\bwhy\s+(?:the|this|that|it|its|they|so\s+many|most|an?|{_RATERS})\b(?:\s+\w+){{0,4}}?\s+(?:{_JUDGED}"
        rf"|score|rating"
        r"|mark|grade|opinion|vote|liked?|disliked|did\s+not\s+like|didn't\s+like|preferred|failed\s+to\s+please)\b",
        rf"\b(?:has|have|had|it|image|picture|photo|shot|clip|video)\s+(?:\w+ly\s+)?(?:received|got|earned|obtained"
        rf"|achieved|attracted|collected|scored|gained|been\s+given)\s+(?:an?\s+|such\s+an?\s+|its\s+|this\s+|that\s+"
        rf"|so\s+|only\s+|quite\s+|rather\s+)*(?:{_EVAL}|scores?|ratings?|marks?|grades?|votes?|few\s+points)\b",
        # people who judged
        rf"\b{_RATERS}\s+(?:(?:have|has|had|must|also|probably|clearly|apparently|evidently|seem(?:s|ed)?\s+to|will"
        rf"|all|mostly|generally|did\s+not|didn't|were|was|not)\s+)*"
        r"(?:gave|given|rate|rated|scored|judged|liked?|disliked|awarded|thought|marked|voted|agreed|reported|felt"
        r"|considered|complained|objected|preferred|impressed|disappointed|pleased|unimpressed|harsh|strict|kind"
        r"|generous|displeased|dissatisfied|satisfied|divided|right\s+to|(?:found|called|saw|ranked|graded)\s+"
        r"(?:it|this|that|the\s+(?:image|picture|photo\w*|shot|quality|clip|video)))\b",
        r"\b(?:viewers?|observers?|raters?|participants|the\s+public|the\s+audience|testers?|assessors?|others"
        r"|people)\s+"
        r"(?:\w+ly\s+)?(?:had\s+(?:trouble|problems|difficult\w+|reservations|objections|no\s+\w+)|took\s+(?:offence"
        r"|issue"
        r"|exception)|were\s+(?:not\s+)?(?:\w+ly\s+)?(?:fond|troubled|bothered|put\s+off|convinced|taken|critical)"
        r"|saw\s+it)\b",
        r"\b(?:troubled|bothered|pleased|disturbed|annoyed|convinced|impressed|put\s+off)\s+(?:the\s+|most\s+|many\s+"
        r"|any(?:body|one)?\s*|every(?:body|one)\s*|no(?:body|\s+one)\s*|its\s+|those\s+)(?:viewers|observers|raters"
        r"|people"
        r"|participants|audience|public|much|who)?\b(?<!the\s)",
        rf"\b{_RATERS}\s+(?:of|in)\s+the\s+(?:study|test|survey|experiment)\b",
        rf"\b{_RATERS}'s?\s+(?:average\s+|overall\s+|low\s+|high\s+)?(?:{_SCORE}|impressions?|tastes?|reactions?)\b",
        rf"\b(?:{_SCORE}|impression|taste|reaction|consensus|reception)\s+(?:from|by|of|among|with)\s+(?:the\s+"
        rf"|those\s+"
        rf"|most\s+|all\s+|other\s+|many\s+)?{_RATERS}\b(?!\s+(?:in\s+the\s+(?:picture|image|photo)))",
        r"\b(?:human\s+raters?|raters|annotators|evaluators|the\s+jury|the\s+panel\s+(?:was|is|gave|had|found"
        r"|liked))\b",
        r"\b(?:general|popular|public|common|majority|prevailing|collective)\s+(?:opinion|verdict|vote|judg(?:e)?ment"
        r"|consensus)\b|\bconsensus\s+(?:score|rating|opinion|on|about)\b",
        r"\bground[\s-]truth\b|\bmean\s+opinion\b|\bsubjective\s+(?:test|study|experiment|score|rating)\b|\bmos\b",
        # instructions, and what they said
        r"\b(?:the|a|this|your|that)\s+hints?\b(?!\s+of\b)|\baccording\s+to\s+the\s+(?:score|rating|label|hint|prompt"
        r"|instructions?|information)\b",
        r"\bhints?\s+(?:says?|said|tells?|told|suggests?|given|provided)\b",
        rf"\b{_TELL}\s+(?:in|by)\s+(?:the|your|this)\s+(?:prompt|task|instructions?|question|request|user"
        r"|description|message|input)\b",
        r"\b(?:described|told|given|said|known|reported|announced)\s+to\s+(?:me|us)\b",
        rf"\b{_PERSON}\s+(?:was|were|am|are|have\s+been|had\s+been)\s+(?:already\s+)?(?:told|given|informed"
        rf"|shown the)\b",
        rf"\b{_PERSON}\s+(?:already\s+)?(?:know|knew)\s+(?:already\s+|beforehand\s+|in\s+advance\s+)*(?:that|how|the|it"
        r"|from\s+the)\b",
        r"\b(?:you|they|the\s+user|user)\s+(?:said|told|gave|stated|mentioned|provided|indicated|want(?:s|ed)?\s+me)\b",
        r"\b(?:information|number|value|data|context|quality\s+level)\s+(?:that\s+)?(?:i\s+(?:was|have\s+been)\s+)?"
        r"(?:given|provided|supplied)\s+(?:to\s+me|beforehand|in\s+advance|with\s+(?:it|the)|above|before)\b",
        r"\b(?:prompt|question|task|instructions?|request)\s+(?:says?|states?|tells?|claims?|gives?|mentions?"
        r"|implies|suggests?|calls?)\s+(?:\w+\s+){0,5}(?:score|rating|quality|good|bad|poor|low|high|mark)\b",
        rf"\b(?:is|are|was|were)\s+(?:said|known|reported|supposed|considered|believed|meant|claimed|stated"
        rf"|told)\s+to\s+"
        rf"(?:be|have)\s+(?:of\s+|an?\s+)?(?:\w+\s+)?{_EVAL}\b",
        # arguments for a verdict; "which explains the tint" speaks of the picture
        r"\b(?:explain(?:s|ed|ing)?|account(?:s|ed|ing)?\s+for|justif(?:y|ies|ied|ying)|warrants?|supports?"
        r"|confirms?|bears?"
        r"\s+out|underlines?|backs?\s+up)\s+(?:so\s+(?:low|high|good|bad|poor)|the\s+(?:\w+\s+)?(?:result|quality"
        r"|number"
        r"|outcome))\b",
        r"\b(?:explanation|justification|reasons?|arguments?)\s+(?:for|behind)\s+the\s+(?:\w+\s+)?(?:result|quality"
        r"|number"
        r"|outcome)\b",
        r"\b(?:is|are|seems?|was|were)\s+(?:\w+ly\s+|quite\s+|very\s+)*(?:understandable|comprehensible|deserved)\b",
        r"\bwhat\s+it\s+deserves\b|\bdeserves?\s+(?:it|this|that)\b",
        rf"\b(?:agrees?|agreeing|agreement|accords?|accordance|tallies|chimes|concurs?|coincides?|line"
        rf"|keeping)\s+with\s+"
        rf"(?:the\s+|that\s+of\s+the\s+|what\s+)?(?:{_RATERS}|others|number|value|quality)\b",
        rf"\b{_EVAL}\s+(?:numbers?(?!\s+of)|marks\s+(?:all|across|from|by|for))\b",
        r"\b(?:given|stated|supplied|indicated|said|assigned|specified|provided)\s+quality\b",
        r"\b(?:the\s+(?:panel|jury|crowd|public|audience|judges|group|majority)|viewers|observers|people"
        r"|they)(?:'s)?\s+"
        r"(?:reaction|response|verdict|dislike|approval|choice|taste|impression)\b",
        r"\b(?:question|prompt|task|request|instructions?)\s+(?:already\s+|itself\s+|clearly\s+)*(?:reveals?|implies"
        r"|suggests?"
        r"|hints?|indicates?|gives?\s+(?:it\s+)?away|lets?|presupposes?|makes?\s+(?:it\s+)?clear)\b",
        r"\b(?:must|may|might|could)\s+have\s+(?:been\s+)?(?:put\s+off|disliked|liked|displeased|pleased|impressed"
        r"|annoyed"
        r"|bothered|troubled|disappointed)\b",
        r"\b(?:already\s+known|known\s+about\s+(?:its|the)\s+quality|known\s+quality)\b",
        r"\b(?:value|number|figure|level)\s+(?:in|from|of)\s+the\s+(?:question|prompt|task|request|instructions?)\b",
        r"\b(?:supplied|provided|stated|specified|given)\s+(?:numbers?|values?|figures?|levels?)\b(?!\s+of)",
        rf"\b(?:did|does|do|fared|performed|came\s+off|went\s+down)\s+(?:not\s+)?(?:so\s+|very\s+|quite\s+|rather\s+)*"
        rf"(?:well|badly|poorly)\s+(?:in|with|among|on)\s+(?:the\s+)?(?:ratings?|scoring|test|study|survey"
        rf"|{_RATERS})\b",
        r"\bknown\s+(?:in\s+advance|beforehand)\b|\b(?:in\s+advance|beforehand)\s+(?:that|as)\b",
    )
)  # fmt: skip
# "as indicated by the shadows" speaks of the picture
# Words of rating, which assessments do not need. "My rating" is the teacher's own; in a match, a score is one of goals.
_RATING = re.compile(
    r"\b(?:ratings?|scores?|scored|marks?\s+(?:it|that\s+it|which\s+it)|annotations?|verdicts?|votes?|opinions?"
    r"|raters?|annotators?|respondents?|(?:test|study)\s+(?:persons?|subjects?|participants?)|surveyed|questionnaires?"
    r"|ballots?|mos|(?:their|its|modest|low|high|poor|warm|cool|lukewarm)\s+(?:appreciation|reputation|reception))\b"
)
_OWN = re.compile(
    r"\b(?:players?|teams?|game|match|goals?|my|i|i'd|i'll|i'm|we|one|would|could|should|will|may|might|must|can"
    r"|deserv\w+|warrants?|calls\s+for|merits?)\b"
    r"|\b(?:a|an)\s+(?:\w+\s+)?(?:rating|score|verdict|judg(?:e)?ment|evaluation)\b|^\W*(?:\w+\s+){0,2}(?:verdict"
    r"|rating"
    r"|evaluation|judg(?:e)?ment|score)\s*[:=–-]"
)
_BACK = re.compile(
    rf"\b(?:as|like)\s+(?:was\s+|already\s+|has\s+been\s+)*{_TELL}\b(?!\s+by\b)|\b(?:already|previously)\s+{_TELL}\b"
    rf"|\b{_TELL}\s+(?:above|before|beforehand|earlier|in\s+advance|at\s+the\s+(?:start|beginning|outset))\b",
    re.I,
)
# Words of the picture, not of a study: they are taken out before the patterns look.
_INNOCENT = Phrases(
    (
        r"\b(?:musical|sheet|film|orchestral|piano|football|match)\s+scores?\b",
        r"\brating\s+plates?\b",
        r"\blabels?\s+(?:on|of)\s+(?:the|a|an|its|each)\s+\w+",
        r"\b(?:a|the|electronic|digital|live|current)\s+scores?\s*(?:board|sheet|card|line|on|of\s+the\s+(?:game"
        r"|match))",
        r"\bscore\s?(?:board|sheet|card|line)s?\b",
        r"\bscored\s+(?:by|with|into|lines?|goals?|surface)\b",
        r"\b(?:star|guest|hotel|film|age|energy|fire)\s+ratings?\b(?=\s+(?:sign|plate|label|board))",
        r"\bratings\s+of\s+film\b",
        r"\b(?:door|glass|solar|control|wood(?:en)?|side|back)\s+panels?\b",
        r"\bpanel\s+of\s+(?:the\s+)?(?:door|car|wood|glass|fence)\b",
        r"\b(?:pencil|chalk|skid|scratch|burn|water|brush|tyre)\s+marks?\b",
        r"\bmarks?\s+(?:on|in|of)\s+(?:the|his|her|its)\s+\w+",
        r"\bthe\s+judges?\s+(?:in|wears?|sits?)\b",
    )
)


def hint_filter() -> Filter:
    """Drops thoughts that show that the score was known: they mention raters, a given score, or the label itself.

    Harmless for teachers that saw no score: they have no reason to speak of one.
    """

    def check(candidate: Candidate) -> str | None:
        said = known_score(candidate.think)
        mos = candidate.sample.mos
        return said if said is not None or mos is None else named_value(candidate.think, mos)

    return Filter("hint_leak", "the thought shows that the score was known", lambda: check)


def known_score(text: str) -> str | None:
    """The words that show that a score was known, None where none do.

    Args:
        text: any text in English.
    """
    text = _INNOCENT.blank(plain(text).lower())
    sentences = re.split(r"[.!?;]\s", text)
    said = _HINTS.find(text) or next((word for sentence in sentences if (word := _rating_of_others(sentence))), None)
    if said is None and (back := _BACK.search(sentences[0])):
        said = back.group()
    return None if said is None else f"says {said!r}"


def _rating_of_others(sentence: str) -> str | None:
    match = _RATING.search(sentence)
    is_own = match is not None and (_OWN.search(sentence) is not None or named_score(sentence) is not None)
    return None if match is None or is_own else match.group()
