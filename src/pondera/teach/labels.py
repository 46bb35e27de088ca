"""Answers that say a sample's labels, and the filter that compares an answer with them."""

from __future__ import annotations

import json
import math
from typing import Any

from pondera.core.answers import AnswerFormat, BoxesField, ClassField, Json, LabelsField, NumberField
from pondera.core.records import LabelScale, Sample
from pondera.core.rewards.grounding import grounding_parts
from pondera.errors import TeacherError
from pondera.teach.filters.base import Candidate, Filter

_LEAST_F1 = 0.5  # of named causes: more right than wrong


def label_answer(sample: Sample, form: AnswerFormat) -> str:
    """The answer block that says the labels of a sample: numbers with two decimals, or JSON.

    Args:
        sample: with `mos` where the form asks for one number, with `targets` where it asks for JSON fields.
        form: of the answer.

    Raises:
        TeacherError: the sample has no label for what the form asks.
    """
    return f"<answer>{_label_body(sample, form)}</answer>"


def label_filter(tolerance: float, form: AnswerFormat) -> Filter:
    """Drops answers that disagree with the labels: a number farther than the tolerance, another class, fewer than half
    of the causes right (F1), or boxes that do not all find their match. What has no label passes.

    Args:
        tolerance: largest difference of a number, in units of the form's scale, > 0.
        form: of the answers.

    Raises:
        ValueError: the tolerance is not positive.
    """
    if not tolerance > 0:
        raise ValueError(f"tolerance must be > 0 (units of the scale), got {tolerance}")
    scale = form.scale

    def check(candidate: Candidate) -> str | None:
        sample, answer = candidate.sample, candidate.answer
        if sample.task == "score" and scale is not None and sample.mos is not None:
            distance = abs(answer.score - sample.mos_on(scale))
            return f"{distance:.2f} from the label" if distance > tolerance else None
        for name, spec in form.body.schema.items() if isinstance(form.body, Json) else ():
            if name in sample.targets and not _agrees(answer.fields.get(name), spec, sample, name, tolerance):
                return f"{name} is {answer.fields.get(name)!r}, its label {sample.targets[name]!r}"
        return None

    return Filter("label", "the answer disagrees with the label", lambda: check)


def _label_body(sample: Sample, form: AnswerFormat) -> str:
    body = form.body
    if isinstance(body, Json):
        return json.dumps({name: _label_field(sample, name, body) for name in body.schema})
    if body.n != 1 or sample.mos is None:
        labels = "no mos" if sample.mos is None else "one mos"
        raise TeacherError(f"sample {sample.id!r} has {labels}, and the answer asks for {body.n} numbers")
    prefix = f"{body.prefix} " if body.prefix else ""
    return f"{prefix}{sample.mos_on(LabelScale(body.low, body.high)):.2f}"


def _label_field(sample: Sample, name: str, body: Json) -> Any:
    spec, value = body.schema[name], sample.targets.get(name)
    if isinstance(spec, NumberField):
        if value is None and sample.task == "score" and len(body.schema) == 1:
            value = sample.mos
        if value is not None:
            return round(_on_scale(float(value), sample, spec), 2)
    elif value is not None:
        return value
    elif isinstance(spec, ClassField) and "null" in spec.options:
        return "null"
    raise TeacherError(f"sample {sample.id!r} has no label {name!r} in its targets, which the answer asks for")


def _agrees(found: Any, spec: Any, sample: Sample, name: str, tolerance: float) -> bool:
    label = sample.targets[name]
    if isinstance(spec, NumberField):
        return abs(float(found) - _on_scale(float(label), sample, spec)) <= tolerance
    if isinstance(spec, ClassField):
        return str(found).strip().lower() == str(label).strip().lower()
    if isinstance(spec, LabelsField):
        right = len({str(x).lower() for x in found} & {str(x).lower() for x in label})
        return len(found) + len(label) == 0 or 2 * right / (len(found) + len(label)) > _LEAST_F1
    assert isinstance(spec, BoxesField)
    return math.isclose(grounding_parts(found, label)[1], 1.0)


def _on_scale(value: float, sample: Sample, spec: NumberField) -> float:
    """A label on the scale of the answer's number; without a scale of its own it is on it already."""
    return value if sample.scale is None else float(sample.scale.convert(value, LabelScale(spec.low, spec.high)))
