"""From measures to defects: how strongly an image shows each of thirteen kinds of damage, and what that grades.

Every measure becomes a z-score against pristine photographs; a defect is one of them, or a combination that leaves
its look-alikes out. Its z-score is placed on a ladder: the median z-scores of known damage of levels 1 to 5. So a
severity is a level: 0 nothing, 1 just visible, 5 extreme. No opinion score enters anywhere. The constants stand in
`pondera.teach.statistics`, made by `benchmarks/fit_measuring_teacher.py` from the training photographs.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from pondera.core.aspects import ASPECTS
from pondera.teach.statistics import LADDERS, PRISTINE

ASPECT_OF: dict[str, str] = {
    "grain": "noise",
    "specks": "noise",
    "blur": "sharpness",
    "blocks": "compression",
    "smear": "compression",
    "bands": "compression",
    "dark": "exposure",
    "bright": "exposure",
    "dull": "contrast",
    "harsh": "contrast",
    "pale": "colour",
    "vivid": "colour",
    "cast": "colour",
}
"""Defects, and the aspect that each belongs to."""

DISTORTIONS_OF: dict[str, tuple[str, ...]] = {
    "grain": ("gaussian_noise", "shot_noise"),
    "specks": ("impulse_noise",),
    "blur": ("gaussian_blur", "motion_blur", "defocus_blur", "downscale"),
    "blocks": ("jpeg", "webp"),
    "smear": ("jpeg", "webp"),
    "bands": ("banding",),
    "dark": ("darken",),
    "bright": ("brighten",),
    "dull": ("low_contrast",),
    "harsh": ("high_contrast",),
    "pale": ("desaturate",),
    "vivid": ("oversaturate",),
    "cast": ("colour_cast",),
}
"""The distortion types (`pondera.data.distortions`) whose levels make a defect's ladder."""

WORST_LEVEL = 5.0


def defect_scores(measures: Mapping[str, float]) -> dict[str, float]:
    """How far an image lies from pristine photographs in the direction of each defect.

    Args:
        measures: as `pondera.teach.measures.measure` gives them.

    Returns:
        Standard deviations of pristine photographs by defect; positive is towards the defect.
    """
    z = {name: (measures[name] - mean) / std for name, (mean, std) in PRISTINE.items()}
    amounts = (z["colourfulness"], z["colour_by_spread"], z["colour_by_mean"])
    return {
        "grain": z["noise_sigma"],
        "specks": z["speck_share"],
        "blur": -z["edge_slope"],
        "blocks": z["block_step"],
        # Codecs clear away fine texture and keep edges; blur takes both, darkness and low contrast shrink texture.
        "smear": -z["noise_sigma"] - 0.3 * max(0.0, -z["edge_slope"]) + 0.4 * min(0.0, z["luma_spread"]),
        # Few photons make few values too, but noise goes with them.
        "bands": z["false_contours"] - 4 * max(0.0, z["noise_sigma"] - 2),
        "dark": -z["mean_luma"],
        "bright": z["mean_luma"],
        # A darker or brighter picture loses one kind of contrast, a flat one loses both.
        "dull": -max(z["luma_spread"], z["luma_span"]),
        "harsh": z["clipped_ends"],
        # Likewise for colour: exposure and contrast move only some of the three.
        "pale": -max(amounts),
        "vivid": min(amounts),
        # Tinted edges alone may be a red flower, greys without tint go with clipped ones; a cast shows in both.
        "cast": (z["edge_tint"] + z["neutral_tint"]) / 2,
    }


def severities(measures: Mapping[str, float]) -> dict[str, float]:
    """Strength of each defect on the scale of the distortion levels.

    What nine of ten pristine photographs stay below is severity 0; from there the ladder is linear between levels.

    Returns:
        Severity in [0, 5] by defect, in the order of `ASPECT_OF`.
    """
    found = {}
    for defect, score in defect_scores(measures).items():
        ladder = LADDERS[defect]
        rungs = [(ladder[0], 0.0)] + [(z, float(level)) for level, z in enumerate(ladder) if level and z > ladder[0]]
        found[defect] = float(np.interp(score, [z for z, _ in rungs], [level for _, level in rungs]))
    return found


def aspect_severities(severity_of: Mapping[str, float]) -> dict[str, float]:
    """The strongest defect of each aspect, in the order of `ASPECTS`."""
    return {aspect: max(severity_of[d] for d, owner in ASPECT_OF.items() if owner == aspect) for aspect in ASPECTS}


def grade(severity: float) -> int:
    """Severity 0..5 as a grade 5..1: four grades over five levels, to the nearest (half a grade goes down)."""
    return max(1, int(np.ceil(4.5 - 0.8 * severity)))


def score(aspect_severity: Mapping[str, float]) -> float:
    """Overall quality from the severities of the aspects: 1.00 to 5.00.

    The worst aspect costs 0.8 a level, and every other aspect a fifth of that. Own rule, simple on purpose: it takes
    level 3 of every kind of damage for equally bad, which people do not, and knows nothing of where the damage lies.
    """
    worst, *others = sorted(aspect_severity.values(), reverse=True)
    return round(max(1.0, 5.0 - 0.8 * (worst + 0.2 * sum(others))), 2)
