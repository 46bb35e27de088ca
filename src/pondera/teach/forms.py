"""What the measuring teacher answers in each form of a prompt: one number, five aspects, JSON, a comparison.

It measures the same pixels for all of them; only the question differs. Each rule is simple and ours: it makes a small
model speak in the form of a published system, with an opinion that reinforcement can correct.
Shape letters: H height, W width, C channels.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pondera.core.answers import AnswerFormat, ClassField, Json, NumberField, Numbers
from pondera.core.aspects import GRADE_WORDS
from pondera.core.presets.images import CHOICES, SEVERITIES
from pondera.core.presets.preresq import ASPECTS as FIVE
from pondera.core.records import FIVE_POINT, LabelScale
from pondera.errors import TeacherError
from pondera.teach import defects, wording
from pondera.teach.measures import measure

Severities = Mapping[str, float]

DEFECTS_OF = {
    "saturation": ("pale", "vivid", "cast"),
    "granularity": ("grain", "specks", "blocks", "bands"),
    "sharpness": ("blur", "smear"),
}
"""The defects that PreResQ-R1's first three aspects are graded by; foreground and background are graded by all."""

CLASS_OF = {"grain": "noise", "specks": "noise", "blocks": "compression", "smear": "compression"}
CLASS_OF |= {"bands": "compression", "blur": "blur", "dark": "darken"}
"""Q-Insight's class of a defect."""

_SEEN = 0.5  # a severity below half a level is no degradation
SAME = 0.25  # a difference of scores below this is none


@dataclass(frozen=True)
class Evidence:
    """Severities of the defects of one image.

    Args:
        whole: of the image.
        foreground: of its middle, half as wide and half as high; empty where nobody asks.
        background: of its left and right quarters, the worse of each defect; empty where nobody asks.
    """

    whole: Severities
    foreground: Severities
    background: Severities


def look(image_HWC: NDArray[np.uint8], form: AnswerFormat) -> Evidence:
    """Measure what a form asks about."""
    whole = defects.severities(measure(image_HWC))
    if not _asks_five(form):
        return Evidence(whole, {}, {})
    height, width = image_HWC.shape[:2]
    middle = image_HWC[height // 4 : max(1, height - height // 4), width // 4 : max(1, width - width // 4)]
    sides = [image_HWC[:, : max(1, width // 4)], image_HWC[:, -max(1, width // 4) :]]
    left, right = (defects.severities(measure(np.ascontiguousarray(side))) for side in sides)
    background = {name: max(left[name], right[name]) for name in left}
    return Evidence(whole, defects.severities(measure(np.ascontiguousarray(middle))), background)


def completion(seen: Sequence[Evidence], form: AnswerFormat, key: str) -> str:
    """Thought and answer in the form of a prompt.

    Args:
        seen: one image, or the two that are compared.
        form: of the answer.
        key: decides the wording.

    Raises:
        TeacherError: the teacher has no answer of this form.
    """
    body = _answer(seen, form)
    return spoken(form, wording.thought(seen[0].whole, key) if len(seen) == 1 else _comparing(seen), body)


def better_of(first: float, second: float) -> str:
    """The choice between two scores from 1 to 5."""
    return CHOICES[2] if abs(first - second) < SAME else CHOICES[0] if first > second else CHOICES[1]


def spoken(form: AnswerFormat, thought: str, body: str) -> str:
    """Thought and answer between the tags of a form; without the thought where it wants none."""
    if form.think == "absent":
        return f"<answer>{body}</answer>"
    return f"{'' if form.think == 'opened' else '<think>'}{thought}</think><answer>{body}</answer>"


def _answer(seen: Sequence[Evidence], form: AnswerFormat) -> str:
    body = form.body
    if len(seen) == 2 and isinstance(body, Json) and set(body.schema) == {"choice"}:
        return json.dumps({"choice": _choice(seen)})
    if len(seen) == 1 and isinstance(body, Numbers):
        if _asks_five(form):
            return "\n".join(f"{value:.2f}" for value in _five(seen[0]))
        if body.n == 1:
            prefix = f"{body.prefix} " if body.prefix else ""
            return f"{prefix}{_score(seen[0].whole, LabelScale(body.low, body.high)):.2f}"
    if len(seen) == 1 and isinstance(body, Json):
        if set(body.schema) == {"distortion_class", "severity"}:
            return json.dumps(_degradation(seen[0].whole, body))
        [spec, *more] = body.schema.values()
        if not more and isinstance(spec, NumberField):
            value = _score(seen[0].whole, LabelScale(spec.low, spec.high))
            return json.dumps({next(iter(body.schema)): round(value, 2)})
    raise TeacherError(
        f"the measuring teacher has no answer of the form {body}; it gives one number, PreResQ-R1's five, or "
        "Q-Insight's JSON (rating, degradation, comparison). Take the answers from the labels, or ask another teacher"
    )


def _asks_five(form: AnswerFormat) -> bool:
    return isinstance(form.body, Numbers) and form.body.names == FIVE


def _score(severity_of: Severities, scale: LabelScale) -> float:
    return float(FIVE_POINT.convert(defects.score(defects.aspect_severities(severity_of)), scale))


def _five(seen: Evidence) -> list[float]:
    """Saturation, granularity and sharpness cost 0.8 a level of their worst defect, as the overall score does."""
    named = [max(1.0, 5.0 - 0.8 * max(seen.whole[d] for d in DEFECTS_OF[aspect])) for aspect in FIVE[:3]]
    return named + [_score(part, FIVE_POINT) for part in (seen.foreground, seen.background)]


def _degradation(severity_of: Severities, body: Json) -> dict[str, str]:
    worst = max(CLASS_OF, key=lambda name: severity_of[name])
    if severity_of[worst] < _SEEN:
        found = {"distortion_class": "null", "severity": "null"}
    else:
        level = min(5, max(1, round(severity_of[worst])))
        found = {"distortion_class": CLASS_OF[worst], "severity": SEVERITIES[level - 1]}
    for name, spec in body.schema.items():
        if not isinstance(spec, ClassField) or (spec.options and found[name] not in spec.options):
            raise TeacherError(f"the measuring teacher says {name} {found[name]!r}, which the prompt does not offer")
    return found


def _choice(seen: Sequence[Evidence]) -> str:
    a, b = (_score(evidence.whole, FIVE_POINT) for evidence in seen)
    return better_of(a, b)


def _comparing(seen: Sequence[Evidence]) -> str:
    """The worst aspect of both, with its grade."""
    parts = []
    for name, evidence in zip("AB", seen, strict=True):
        severity_of = defects.aspect_severities(evidence.whole)
        worst = max(severity_of, key=lambda aspect: severity_of[aspect])
        parts.append(f"In image {name} the worst aspect is {worst}: {GRADE_WORDS[defects.grade(severity_of[worst])]}.")
    return " ".join(parts)
