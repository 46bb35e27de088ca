"""The measuring teacher's words about a video: how it runs, then how its pictures look; few words, all measured.

Like `pondera.teach.wording`, from which the pictures' half is taken: an opening for the dominating defect and its
strength, a grade for each aspect, the worst of them. No number stands in the thought.
"""

from __future__ import annotations

import random
from collections.abc import Mapping

from pondera.core.aspects import GRADE_WORDS, TEMPORAL_ASPECTS
from pondera.teach.defects import ASPECT_OF, grade
from pondera.teach.wording import NOTHING, OPENINGS, STRENGTH

VERSION = 1  # raised with every change of the words

SPATIAL_ASPECTS = ("sharpness", "noise", "compression")
"""What is graded in the pictures of a video; exposure and colour are left to the image teacher."""

CLEAN = ("The video runs smoothly and looks clear.", "A calm and clear video.", "No defect is visible in this video.")

TEMPORAL_OPENINGS: dict[str, tuple[str, ...]] = {
    "stability": ("The camera is {much} shaky.", "The picture {much} trembles.", "Shake {much} disturbs the view."),
    "smoothness": (
        "Motion is {much} broken, pictures stand still or are missing.",
        "The video {much} stutters.",
        "Motion is {much} uneven and halting.",
    ),
    "flicker": ("Brightness {much} flickers.", "The light is {much} restless.", "The video {much} flashes."),
}
"""`{much}` is filled by the strength, as in `wording.OPENINGS`."""


def video_thought(severity_of: Mapping[str, float], spatial_of: Mapping[str, float], key: str) -> str:
    """The think part: about 30 words.

    Args:
        severity_of: severity of every aspect in `TEMPORAL_ASPECTS` and `SPATIAL_ASPECTS`, 0 to 5.
        spatial_of: severity of every defect of the pictures, as `defects.severities` gives them.
        key: decides the wording; the same key and severities give the same text.

    Returns:
        Opening, the graded aspects (how it runs, then how it looks), and the worst one, or that nothing stands out
        when every grade is good or better.
    """
    generator = random.Random(key)  # a string seeds through SHA-512: the same on every machine
    grades = {aspect: grade(severity_of[aspect]) for aspect in (*TEMPORAL_ASPECTS, *SPATIAL_ASPECTS)}
    worst = max(grades, key=lambda aspect: severity_of[aspect])
    is_clean = grades[worst] >= 4
    opening = generator.choice(CLEAN) if is_clean else _opening(severity_of[worst], spatial_of, worst, generator)
    halves = [
        ", ".join(f"{aspect} is {GRADE_WORDS[grades[aspect]]}" for aspect in aspects)
        for aspects in (TEMPORAL_ASPECTS, SPATIAL_ASPECTS)
    ]
    graded = ". ".join(half[0].upper() + half[1:] for half in halves)
    return f"{opening} {graded}. {NOTHING if is_clean else f'The worst aspect is {worst}.'}"


def _opening(severity: float, spatial_of: Mapping[str, float], worst: str, generator: random.Random) -> str:
    texts = TEMPORAL_OPENINGS.get(worst)
    if texts is None:
        defects = [defect for defect, aspect in ASPECT_OF.items() if aspect == worst]
        texts = OPENINGS[max(defects, key=lambda name: spatial_of[name])]
    words = next(words for limit, words in STRENGTH if severity <= limit)
    return generator.choice(texts).format(much=generator.choice(words))
