"""Answer formats and their parser: the one place where text becomes numbers, in training and in inference alike.

An answer is an optional think part and one `<answer>...</answer>` block. The structure is strict, white space is
free. Numbers are taken from inside the block only. Whatever does not fit is *invalid*: it has no values and a NaN
score, and says why. A number is never invented.
"""

from __future__ import annotations

import itertools
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from pondera.core.records import LabelScale

ThinkPart = Literal["required", "absent", "opened"]

_NUMBER = re.compile(r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)")
_TAG = re.compile(r"</?(?:think|answer)>")
_STRUCTURE = {
    "required": ("<think>", "</think>", "<answer>", "</answer>"),
    "absent": ("<answer>", "</answer>"),
    "opened": ("</think>", "<answer>", "</answer>"),
}


@dataclass(frozen=True, slots=True)
class Numbers:
    """A body of exactly `n` numbers, one a line.

    Args:
        n: how many, >= 1.
        low: smallest value allowed.
        high: largest value allowed.
        prefix: text that must stand before each number, such as "Score:"; letter case and white space are free.
        names: what the numbers mean, for reports; empty, or n names.
    """

    n: int = 1
    low: float = 1.0
    high: float = 5.0
    prefix: str = ""
    names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.n < 1 or not self.low < self.high or len(self.names) not in (0, self.n):
            raise ValueError(f"need n >= 1, low < high and either no names or n of them, got {self}")


@dataclass(frozen=True, slots=True)
class NumberField:
    """A JSON number in [low, high]. A number written as a string counts too: models do that."""

    low: float
    high: float


@dataclass(frozen=True, slots=True)
class ClassField:
    """A JSON string out of `options`, letter case and outer white space free."""

    options: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class LabelsField:
    """A JSON list of strings; out of `options` where they are given."""

    options: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class BoxesField:
    """A JSON list of `{"bbox_2d": [left, top, right, bottom], "type": ..., "level": ...}`; type and level optional."""


JsonField = NumberField | ClassField | LabelsField | BoxesField


@dataclass(frozen=True, slots=True)
class Json:
    """A body of one JSON object with exactly these fields; the numbers, in this order, are the answer's values."""

    schema: Mapping[str, JsonField]


@dataclass(frozen=True, slots=True)
class Answer:
    """What a completion says.

    Args:
        values: the numbers, empty when invalid.
        score: mean of the values; NaN when invalid or when the format asks for no number.
        fields: every field of a JSON body by name; empty for numbers.
        think: the text of the think part, None where there is none.
        body: the text inside the answer block, None where it could not be found.
        error: why the answer is invalid, None when it is valid.
    """

    values: tuple[float, ...] = ()
    score: float = math.nan
    fields: Mapping[str, Any] = field(default_factory=dict)
    think: str | None = None
    body: str | None = None
    error: str | None = None

    @property
    def is_valid(self) -> bool:
        """Whether the completion had the form that was asked for."""
        return self.error is None


@dataclass(frozen=True, slots=True)
class AnswerFormat:
    """The form a completion must have.

    Args:
        body: what stands inside the answer block.
        think: `required`: `<think>...</think>` first; `absent`: no think part; `opened`: the prompt ended with
            `<think>`, so the completion starts inside it.
        lenient: let text around the blocks and an empty thought pass, as released parsers do; values still come from
            inside the answer block only.
    """

    body: Numbers | Json = Numbers()
    think: ThinkPart = "required"
    lenient: bool = False

    @property
    def scale(self) -> LabelScale | None:
        """The scale that all its numbers share; None where it asks for none, or for numbers on several scales."""
        if isinstance(self.body, Numbers):
            return LabelScale(self.body.low, self.body.high)
        bounds = {(spec.low, spec.high) for spec in self.body.schema.values() if isinstance(spec, NumberField)}
        return LabelScale(*bounds.pop()) if len(bounds) == 1 else None

    def without_thinking(self) -> AnswerFormat:
        """The same body with no think part: what the fast mode asks for."""
        return replace(self, think="absent")

    def parse(self, text: str) -> Answer:
        """Read a completion. Never raises on bad text: an invalid answer is data.

        Args:
            text: the completion as generated, without special tokens.

        Returns:
            The answer; `error` says what is wrong with an invalid one.
        """
        expected = _STRUCTURE[self.think]
        tags = list(_TAG.finditer(text))
        if tuple(tag.group() for tag in tags) != expected:
            found = " ".join(tag.group() for tag in tags) or "none"
            return Answer(error=f"expected the tags {' '.join(expected)} once each in this order, found {found}")
        gaps = [text[a.end() : b.start()] for a, b in itertools.pairwise(tags)]
        outside = [text[tags[-1].end() :]]
        think: str | None = None
        if self.think == "opened":
            think = text[: tags[0].start()].strip()
            outside.append(gaps[0])
        else:
            outside.append(text[: tags[0].start()])
        if self.think == "required":
            think = gaps[0].strip()
            outside.append(gaps[1])
        body = gaps[-1].strip()
        if not self.lenient and any(part.strip() for part in outside):
            return Answer(think=think, body=body, error="text outside the think and answer blocks")
        if think == "" and not self.lenient:
            return Answer(think=think, body=body, error="the think block is empty")
        return self._parse_body(body, think)

    def _parse_body(self, body: str, think: str | None) -> Answer:
        fields: dict[str, Any] = {}
        try:
            if isinstance(self.body, Numbers):
                values = _parse_numbers(body, self.body)
            else:
                fields = _parse_json(body, self.body)
                values = tuple(fields[k] for k, spec in self.body.schema.items() if isinstance(spec, NumberField))
        except ValueError as error:
            return Answer(think=think, body=body, error=str(error))
        score = sum(values) / len(values) if values else math.nan
        return Answer(values=values, score=score, fields=fields, think=think, body=body)


def _in_range(value: float, low: float, high: float) -> float:
    if not low <= value <= high:  # NaN fails too
        raise ValueError(f"{value:g} is outside [{low:g}, {high:g}]")
    return value


def _parse_numbers(body: str, spec: Numbers) -> tuple[float, ...]:
    lines = [line.strip() for line in body.splitlines() if line.strip()]
    if len(lines) != spec.n:
        raise ValueError(f"expected {spec.n} lines with a number, found {len(lines)}")
    values = []
    for line in lines:
        text = line
        if spec.prefix:
            if not text.lower().startswith(spec.prefix.lower()):
                raise ValueError(f"expected {spec.prefix!r} before the number, found {line!r}")
            text = text[len(spec.prefix) :].strip()
        if not _NUMBER.fullmatch(text):
            raise ValueError(f"expected one number a line, found {line!r}")
        values.append(_in_range(float(text), spec.low, spec.high))
    return tuple(values)


def _parse_json(body: str, spec: Json) -> dict[str, Any]:
    try:
        data = json.loads(body, object_pairs_hook=_unique_keys, parse_constant=_no_constant)
    except (json.JSONDecodeError, RecursionError) as error:
        raise ValueError(f"the answer is not JSON: {error}") from None
    if not isinstance(data, dict) or set(data) != set(spec.schema):
        found = sorted(data) if isinstance(data, dict) else type(data).__name__
        raise ValueError(f"expected the keys {sorted(spec.schema)}, found {found}")
    return {key: _parse_field(key, data[key], field_spec) for key, field_spec in spec.schema.items()}


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    keys = [key for key, _ in pairs]
    if len(set(keys)) != len(keys):
        raise ValueError(f"a key stands twice in {keys}")
    return dict(pairs)


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is not a number")


def _parse_field(key: str, value: Any, spec: JsonField) -> Any:
    if isinstance(spec, NumberField):
        if isinstance(value, str) and _NUMBER.fullmatch(value.strip()):
            value = float(value)
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise ValueError(f"{key!r} must be a number, found {value!r}")
        return _in_range(float(value), spec.low, spec.high)
    if isinstance(spec, ClassField):
        return _option(key, value, spec.options)
    if not isinstance(value, list):
        raise ValueError(f"{key!r} must be a list, found {value!r}")
    if isinstance(spec, LabelsField):
        return [_option(key, label, spec.options) for label in value]
    return [_parse_box(key, box) for box in value]


def _option(key: str, value: Any, options: tuple[str, ...]) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{key!r} must be text, found {value!r}")
    for option in options:
        if value.strip().lower() == option.lower():
            return option
    if options:
        raise ValueError(f"{key!r} must be one of {', '.join(options)}, found {value!r}")
    return value.strip()


def _parse_box(key: str, value: Any) -> dict[str, Any]:
    corners = value.get("bbox_2d") if isinstance(value, dict) else None
    if not isinstance(corners, list) or len(corners) != 4 or not all(_is_finite_number(c) for c in corners):
        raise ValueError(f"{key!r} must hold objects with bbox_2d: [left, top, right, bottom], found {value!r}")
    left, top, right, bottom = corners
    if not (left < right and top < bottom):
        raise ValueError(f"{key!r} holds an empty box {corners}")
    return dict(value)


def _is_finite_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
