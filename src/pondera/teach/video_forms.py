"""What the measuring teacher answers about videos in each form of a prompt: numbers, a comparison, Q-Save's JSON.

It measures the same file for all of them; only the question differs. Each rule is simple and ours, as for images
(`pondera.teach.forms`). How well a video agrees with a text cannot be measured on it: forms that ask are refused.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pondera.core.answers import AnswerFormat, ClassField, Json, Numbers
from pondera.core.aspects import GRADE_WORDS, TEMPORAL_ASPECTS
from pondera.core.presets.images import CHOICES
from pondera.core.records import FIVE_POINT, LabelScale
from pondera.errors import TeacherError
from pondera.teach import defects, video_wording
from pondera.teach.forms import better_of, spoken

_FAIR = 3  # a grade that names a cause, as it keeps a thought from saying that nothing stands out


@dataclass(frozen=True)
class VideoFindings:
    """What was measured on one video, as severities: 0 nothing, 1 just visible, 5 extreme.

    Args:
        aspects: of every aspect that is graded.
        spatial: of every defect of the pictures.
    """

    aspects: Mapping[str, float]
    spatial: Mapping[str, float]

    @property
    def whole(self) -> float:
        """All aspects together, 1.00 to 5.00, by the image teacher's rule."""
        return defects.score(self.aspects)

    @property
    def details(self) -> float:
        """The pictures alone."""
        return self._of(video_wording.SPATIAL_ASPECTS)

    @property
    def course(self) -> float:
        """The course in time alone."""
        return self._of(TEMPORAL_ASPECTS)

    @property
    def causes(self) -> list[str]:
        """The aspects that are fair or worse, the worst first."""
        worst_first = sorted(self.aspects, key=lambda name: -self.aspects[name])
        return [name for name in worst_first if defects.grade(self.aspects[name]) <= _FAIR]

    def _of(self, names: Sequence[str]) -> float:
        return defects.score({name: self.aspects[name] for name in names})


_FIELDS: Mapping[str, Callable[[VideoFindings], Any]] = {
    "visual": lambda found: found.details,
    "dynamic": lambda found: found.course,
    "attribution": lambda found: found.causes,
}
"""Q-Save's fields; its alignment is about a text."""


def refuse_unanswered(form: AnswerFormat) -> None:
    """Stop before anything is measured.

    Raises:
        TeacherError: the teacher has no answer of this form.
    """
    if not (_asks_numbers(form) or _asks_choice(form) or _asks_fields(form)):
        raise TeacherError(
            f"the measuring teacher has no answer of the form {form.body} about videos; it gives one or two numbers "
            "(two: the whole and the details), the choice of a comparison, or Q-Save's visual, dynamic and "
            "attribution. Agreement with a text cannot be measured. Name another prompt, such as quality.video, or "
            "another teacher"
        )


def num_shown(form: AnswerFormat) -> int:
    """How many videos the form is about."""
    return 2 if _asks_choice(form) else 1


def completion(seen: Sequence[VideoFindings], form: AnswerFormat, key: str) -> str:
    """Thought and answer in the form of a prompt.

    Args:
        seen: one video, or the two that are compared.
        form: of the answer.
        key: decides the wording.

    Raises:
        TeacherError: the teacher has no answer of this form, or not about this number of videos.
    """
    refuse_unanswered(form)
    if len(seen) != num_shown(form):
        raise TeacherError(f"the form {form.body} is about {num_shown(form)} video(s), and {len(seen)} are shown")
    first = seen[0]
    thought = video_wording.video_thought(first.aspects, first.spatial, key) if len(seen) == 1 else _comparing(seen)
    return spoken(form, thought, _answer(seen, form))


def _answer(seen: Sequence[VideoFindings], form: AnswerFormat) -> str:
    body = form.body
    if isinstance(body, Numbers):
        scale = LabelScale(body.low, body.high)
        numbers = [FIVE_POINT.convert(value, scale) for value in (seen[0].whole, seen[0].details)[: body.n]]
        return "\n".join(f"{body.prefix} {number:.2f}".strip() for number in numbers)
    if len(seen) == 2:
        return json.dumps({"choice": better_of(seen[0].whole, seen[1].whole)})
    return json.dumps({name: _FIELDS[name](seen[0]) for name in body.schema})


def _comparing(seen: Sequence[VideoFindings]) -> str:
    """The worst aspect of both, with its grade, or that nothing stands out."""
    parts = []
    for name, found in zip("AB", seen, strict=True):
        worst = max(found.aspects, key=lambda aspect: found.aspects[aspect])
        grade = GRADE_WORDS[defects.grade(found.aspects[worst])]
        said = f"the worst aspect is {worst}: {grade}" if found.causes else "nothing stands out"
        parts.append(f"In video {name} {said}.")
    return " ".join(parts)


def _asks_numbers(form: AnswerFormat) -> bool:
    return isinstance(form.body, Numbers) and form.body.n <= 2


def _asks_choice(form: AnswerFormat) -> bool:
    body = form.body
    if not isinstance(body, Json) or set(body.schema) != {"choice"}:
        return False
    spec = body.schema["choice"]
    return isinstance(spec, ClassField) and set(CHOICES) <= set(spec.options)


def _asks_fields(form: AnswerFormat) -> bool:
    body = form.body
    return (
        isinstance(body, Json) and bool(body.schema) and set(body.schema) <= set(_FIELDS) and form.scale == FIVE_POINT
    )
