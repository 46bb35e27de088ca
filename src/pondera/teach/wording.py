"""The measuring teacher's words: a short, varied and truthful rationale from severities.

Everything it says is a measured fact in words: one opening sentence for the dominating defect and its strength, a grade
for each of the six aspects, and the worst of them. Few words, for readers as small as the nano model; no numbers inside
the thought, so that the answer is not copied.
"""

from __future__ import annotations

import random
from collections.abc import Mapping

from pondera.core.aspects import ASPECTS, GRADE_WORDS
from pondera.teach.defects import ASPECT_OF, aspect_severities, grade

VERSION = 1  # raised with every change of the words

CLEAN = (
    "A clean and natural picture.",
    "This photograph looks clear and natural.",
    "The picture is clear, with fine detail and natural tones.",
    "No defect is visible at first glance.",
    "A pleasant image with crisp edges and calm surfaces.",
)

# "{much}" is filled by the strength; every sentence must read well with each word of STRENGTH.
OPENINGS: dict[str, tuple[str, ...]] = {
    "grain": (
        "The picture is {much} noisy, with random grain on smooth surfaces.",
        "Fine grain {much} covers the flat areas.",
        "Smooth areas look {much} rough and grainy.",
        "Random grain {much} disturbs the whole picture.",
    ),
    "specks": (
        "Bright and dark specks are {much} scattered over the picture.",
        "The picture is {much} sprinkled with single wrong pixels.",
        "Isolated dots {much} disturb the surfaces.",
    ),
    "blur": (
        "Edges are {much} blurred and fine detail is lost.",
        "The picture looks {much} soft, as if out of focus.",
        "Fine detail is {much} smeared and edges are soft.",
        "Blur {much} hides the fine structures.",
    ),
    "blocks": (
        "A grid of blocks is {much} visible.",
        "The picture is {much} broken into square blocks.",
        "Coding blocks {much} disturb the smooth areas.",
    ),
    "smear": (
        "Fine texture is {much} washed out while edges stay.",
        "Surfaces look {much} like plastic, as after strong coding.",
        "Coding has {much} cleared away the fine texture.",
    ),
    "bands": (
        "Smooth areas are {much} broken into steps.",
        "False contours {much} cross the smooth areas.",
        "Tones are {much} reduced to a few steps.",
    ),
    "dark": (
        "The picture is {much} too dark.",
        "Light is {much} missing and shadows swallow detail.",
        "The scene is {much} underexposed.",
    ),
    "bright": (
        "The picture is {much} too bright.",
        "Highlights are {much} washed out to white.",
        "The scene is {much} overexposed.",
    ),
    "dull": (
        "The tones are {much} flat, without depth.",
        "The picture looks {much} foggy and grey.",
        "Black and white are {much} missing, all is grey.",
    ),
    "harsh": (
        "The tones are {much} harsh, with blocked shadows and burnt lights.",
        "Shadows and highlights are {much} clipped.",
        "The picture looks {much} hard, middle tones are missing.",
    ),
    "pale": (
        "The hues are {much} pale.",
        "The picture is {much} faded towards grey.",
        "Hues are {much} washed out.",
    ),
    "vivid": (
        "The hues are {much} too strong.",
        "Hues look {much} artificial and glaring.",
        "The picture is {much} too vivid.",
    ),
    "cast": (
        "A tint {much} covers the whole picture.",
        "The white balance is {much} wrong.",
        "Even grey surfaces are {much} tinted.",
    ),
}

STRENGTH = (  # up to this severity, these words
    (2.5, ("slightly", "a little", "somewhat")),
    (3.75, ("clearly", "visibly")),
    (5.0, ("heavily", "strongly", "severely")),
)

STYLES = ("{aspect} is {grade}", "{aspect}: {grade}")
"""How a grade is written; one style a rationale. The aspect comes first, so that the grade can depend on it."""

ORDERS = (ASPECTS, ASPECTS[::-1])
"""In which order the aspects are graded. With all 720, the smallest model spends itself on guessing the order."""

NOTHING = "Nothing stands out."


def thought(severity_of: Mapping[str, float], key: str) -> str:
    """The think part: 20 to 36 words.

    Args:
        severity_of: severity of every defect, as `severities` gives them.
        key: decides wording and order; the same key and severities give the same text.

    Returns:
        Opening, the six graded aspects in one of two orders, and the worst aspect, or that nothing stands out when
        every grade is good or better.
    """
    generator = random.Random(key)  # a string seeds through SHA-512: the same on every machine
    aspect_severity = aspect_severities(severity_of)
    grades = {aspect: grade(severity) for aspect, severity in aspect_severity.items()}
    worst = max(aspect_severity, key=lambda aspect: aspect_severity[aspect])
    is_clean = grades[worst] >= 4
    opening = generator.choice(CLEAN) if is_clean else _opening(severity_of, worst, generator)
    order = generator.choice(ORDERS)
    style = generator.choice(STYLES)
    graded = ", ".join(style.format(aspect=aspect, grade=GRADE_WORDS[grades[aspect]]) for aspect in order)
    closing = NOTHING if is_clean else f"The worst aspect is {worst}."
    return f"{opening} {graded[0].upper()}{graded[1:]}. {closing}"


def _opening(severity_of: Mapping[str, float], worst: str, generator: random.Random) -> str:
    defects = [defect for defect, aspect in ASPECT_OF.items() if aspect == worst]
    defect = max(defects, key=lambda name: severity_of[name])
    words = next(words for limit, words in STRENGTH if severity_of[defect] <= limit)
    return generator.choice(OPENINGS[defect]).format(much=generator.choice(words))


def vocabulary() -> set[str]:
    """All distinct words that rationales are made of, lower case, without punctuation."""
    strengths = [word for _, words in STRENGTH for word in words]
    openings = [text.format(much=word) for texts in OPENINGS.values() for text in texts for word in strengths]
    texts = [*CLEAN, *openings, *ASPECTS, *GRADE_WORDS.values(), *STYLES, NOTHING, "The worst aspect is noise."]
    words = (word.strip(".,:").lower() for text in texts for word in text.split())
    return {word for word in words if word and "{" not in word}
