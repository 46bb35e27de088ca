"""Samples for other tasks, derived from a manifest whose distortions are known: nothing is looked at or asked.

`degradation`: which distortion, how severe (Q-Insight's five classes and six words). `compare`: which of two versions
of one content is better. `grounding`: where is it distorted. `levels`: the score task with the level of the distortion
as a further target, which opinion-unaware rewards rank by. `multi`: the quality of a clip's pictures, that of its
course in time, and what was done to it. The files are those of the manifest.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from pondera.core.presets.images import CHOICES, SEVERITIES
from pondera.core.records import FIVE_POINT, Media, Sample, Task
from pondera.data.temporal_distortions import TEMPORAL_DISTORTIONS
from pondera.errors import DatasetError

CLASS_OF = {
    "gaussian_noise": "noise",
    "shot_noise": "noise",
    "impulse_noise": "noise",
    "jpeg": "compression",
    "webp": "compression",
    "gaussian_blur": "blur",
    "motion_blur": "blur",
    "defocus_blur": "blur",
    "downscale": "blur",
    "darken": "darken",
}
"""Q-Insight's class of our distortion types; it has none for the others (brightness, contrast, colour, banding)."""

_ASPECT_OF = {name: kind.aspect for name, kind in TEMPORAL_DISTORTIONS.items()}

SIMILAR = 0.25  # difference of scores on 1..5 below which two images count as similar: our choice


def derive(samples: Sequence[Sample], kind: str, *, seed: int = 0) -> list[Sample]:
    """Samples of another task.

    Args:
        samples: of the task `score`, with known distortions; those that the task says nothing about are left out.
        kind: degradation, compare, grounding, levels or multi.
        seed: of the pairs that are compared, >= 0.

    Returns:
        Samples with ids `<id>#<kind>` (of pairs `<id>+<id>#compare`) and the labels in `targets`; split, reference,
        subset and dataset are kept. Opinion scores stay only where they are asked for (`levels`).

    Raises:
        DatasetError: no sample fits; the message says what is needed.
        ValueError: there is no such kind.
    """
    if kind not in KINDS:
        raise ValueError(f"kind must be one of {', '.join(KINDS)}, got {kind!r}")
    make, needs = KINDS[kind]
    found = list(make([sample for sample in samples if sample.task == "score"], seed))
    if not found:
        raise DatasetError(f"no sample fits the task {kind!r}: it needs {needs}")
    return found


def _degradations(samples: Sequence[Sample], seed: int) -> Iterator[Sample]:
    for sample in samples:
        if not sample.distortions:
            yield _asked(sample, "degradation", {"distortion_class": "null"})  # a clean image has no severity
        elif (single := _single(sample)) is not None and single[0] in CLASS_OF:
            kind, level = single
            targets = {"distortion_class": CLASS_OF[kind], "severity": SEVERITIES[level - 1]}
            yield _asked(sample, "degradation", targets)


def _comparisons(samples: Sequence[Sample], seed: int) -> Iterator[Sample]:
    """Each labelled sample beside one other version of its content."""
    versions: dict[tuple[str, str, str | None], list[Sample]] = defaultdict(list)
    for sample in samples:
        if sample.mos is not None:
            versions[sample.dataset, sample.content, sample.split].append(sample)
    generator = np.random.default_rng(seed)
    for group in versions.values():
        if len(group) < 2:
            continue
        # A cycle through a shuffled list: everybody stands first once and second once, never beside itself.
        order = generator.permutation(len(group))
        for here, there in zip(order, np.roll(order, -1), strict=True):
            yield _pair(group[here], group[there])


def _pair(a: Sample, b: Sample) -> Sample:
    margin = a.mos_on(FIVE_POINT) - b.mos_on(FIVE_POINT)
    choice = CHOICES[2] if abs(margin) < SIMILAR else CHOICES[0] if margin > 0 else CHOICES[1]
    media = (Media(a.path()), Media(b.path(), "other"))
    pair = _asked(a, "compare", {"choice": choice})
    return replace(pair, id=f"{a.id}+{b.id}#compare", media=media, distortions=(), meta={"from": [a.id, b.id]})


def _groundings(samples: Sequence[Sample], seed: int) -> Iterator[Sample]:
    """Samples that are damaged in places only, and clean ones."""
    for sample in samples:
        if all(distortion.box is not None for distortion in sample.distortions):
            boxes = [
                {"bbox_2d": list(d.box), "type": d.type, "level": d.level}
                for d in sample.distortions
                if d.box is not None
            ]
            yield _asked(sample, "grounding", {"boxes": boxes})


def _levels(samples: Sequence[Sample], seed: int) -> Iterator[Sample]:
    """Clean samples, and those with one distortion of the whole image."""
    for sample in samples:
        level = 0 if not sample.distortions else (_single(sample) or ("", None))[1]
        if level is not None:
            yield replace(sample, id=f"{sample.id}#levels", targets={**sample.targets, "level": level})


def _dimensions(samples: Sequence[Sample], seed: int) -> Iterator[Sample]:
    """Clips whose pictures and course in time are labelled apart; what was done to them is the attribution."""
    for sample in samples:
        aspects = [_ASPECT_OF.get(distortion.type) for distortion in sample.distortions]
        if sample.kind == "video" and {"spatial", "temporal"} <= set(sample.targets) and None not in aspects:
            targets = {"visual": sample.targets["spatial"], "dynamic": sample.targets["temporal"]}
            asked = _asked(sample, "multi", {**targets, "attribution": sorted(set(filter(None, aspects)))})
            yield replace(asked, scale=sample.scale)


def _single(sample: Sample) -> tuple[str, int] | None:
    """Type and level of the only distortion of the whole image."""
    if len(sample.distortions) != 1 or sample.distortions[0].box is not None:
        return None
    return sample.distortions[0].type, sample.distortions[0].level


def _asked(sample: Sample, task: Task, targets: dict[str, Any]) -> Sample:
    return replace(
        sample,
        id=f"{sample.id}#{task}",
        task=task,
        mos=None,
        mos_std=None,
        scale=None,
        votes=None,
        rationale=None,
        targets=targets,
        meta={"from": sample.id},
    )


KINDS: dict[str, tuple[Callable[[Sequence[Sample], int], Iterator[Sample]], str]] = {
    "degradation": (_degradations, "clean images, or one distortion of the whole image of Q-Insight's classes"),
    "compare": (_comparisons, "two labelled versions of one content (`reference`) in one split"),
    "grounding": (_groundings, "clean images, or distortions that have a box"),
    "levels": (_levels, "clean images, or one distortion of the whole image"),
    "multi": (_dimensions, "clips with targets spatial and temporal, as `pondera data clips` makes them"),
}
"""How each kind is derived, and what it needs."""
