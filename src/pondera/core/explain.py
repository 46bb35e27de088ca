"""Explain logged completions: what a system would have read, paid and learned from them.

A group is the completions of one (step, sample), a pool the groups of one (step, dataset). Two questions about one
sample (two tasks) are two groups.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pondera.core.pool import Pool
from pondera.core.records import FloatArray, Sample
from pondera.core.system import Judged, System
from pondera.errors import ConfigError, ManifestError

KEYS = ("step", "sample", "dataset", "task", "mos", "mos_std", "scale", "targets", "side", "num_tokens", "completion")
# What a run, or an earlier explanation, wrote beside them: results, recomputed here and therefore not read.
RECORDED = ("media", "k", "valid", "values", "terms", "reward", "advantage")

GroupKey = tuple[int, str, str, str]


@dataclass(frozen=True)
class Line:
    """One logged completion.

    Args:
        number: line in its file, from 1.
        step: global step.
        name: sample as written, text or whole number.
        sample: labels.
        labels: the labels as written, to compare lines of one group.
        side: numbers only the engine can compute; NaN for null.
        num_tokens: length in tokens; white-space words when the line has none.
        completion: the text.
    """

    number: int
    step: int
    name: str | int
    sample: Sample
    labels: Mapping[str, Any]
    side: Mapping[str, float]
    num_tokens: int
    completion: str

    @property
    def group(self) -> GroupKey:
        """Lines with the same one are completions of one prompt."""
        return (self.step, self.sample.dataset, self.sample.id, self.sample.task)


def read_lines(texts: Iterable[str], system: System, *, name: str) -> list[Line]:
    """Read logged completions.

    Args:
        texts: lines of a JSONL file; blank ones are skipped.
        system: gives the scale of labels that come without one, and the tasks that it handles.
        name: of the file, for messages.

    Raises:
        ManifestError: a line is wrong (named by file and line), or two lines of a group disagree about their labels.
    """
    lines: list[Line] = []
    first: dict[GroupKey, Line] = {}
    for number, text in enumerate(texts, start=1):
        if not text.strip():
            continue
        try:
            line = _parse_line(text, number, system)
        except (ValueError, ConfigError) as error:
            raise ManifestError(f"{name}:{number}: {error}") from None
        known = first.setdefault(line.group, line)
        if known.labels != line.labels:
            key = next(k for k in line.labels if known.labels[k] != line.labels[k])
            raise ManifestError(
                f"{name}:{number}: {key!r} of sample {line.name!r} is {line.labels[key]!r}, but {known.labels[key]!r} "
                f"on line {known.number} of the same group; completions of one sample share their labels"
            )
        lines.append(line)
    if not lines:
        raise ManifestError(f"{name}: no line with a completion; one JSON object a line is expected")
    return lines


def explain(
    lines: Sequence[Line], system: System, *, name: str, stage: str = "", raw: bool = False
) -> list[dict[str, Any]]:
    """Judge logged completions.

    Args:
        lines: from `read_lines`.
        system: rewards and advantages.
        name: of the file, for messages.
        stage: name of the training stage.
        raw: report the terms without their weights.

    Returns:
        One record a line, in the same order: step, sample, k, valid, values, terms, reward, advantage. `reward` is
        the total that the system optimises; the weighted terms of a valid completion add up to it. NaN is None; an
        invalid completion has no terms (None each), a term that was left out for want of side arrays is None too.

    Raises:
        ManifestError: a pool cannot be judged (labels or side arrays are missing).
    """
    records: dict[int, dict[str, Any]] = {}
    pools: dict[tuple[int, str], list[Line]] = {}
    for line in lines:
        pools.setdefault((line.step, line.sample.dataset), []).append(line)
    for (step, dataset), members in pools.items():
        groups = _groups(members)
        try:
            pool = _pool(groups, system, step=step, stage=stage)
            judged = system.judge(pool)
        except ValueError as error:
            raise ManifestError(f"{name}: step {step}, dataset {dataset!r}: {error}") from None
        for s, group in enumerate(groups):
            labels = system.labels_of(group[0].sample.task)
            for k, line in enumerate(group):
                records[line.number] = _record(line, pool, judged, labels, s, k, raw=raw)
    return [records[line.number] for line in lines]


def side_names(lines: Iterable[Line]) -> tuple[str, ...]:
    """Names of all side arrays of the lines, in order of appearance."""
    return tuple(dict.fromkeys(name for line in lines for name in line.side))


def to_json(records: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """One JSON object a record."""
    return (json.dumps(record, ensure_ascii=False, allow_nan=False) for record in records)


def to_table(records: Sequence[Mapping[str, Any]]) -> str:
    """Records as aligned text: one row a completion, one column a term."""
    if not records:
        return ""
    terms = list(dict.fromkeys(term for record in records for term in record["terms"]))
    rows = [["step", "sample", "k", "values", *terms, "reward", "advantage"]]
    for record in records:
        values = " ".join(f"{value:g}" for value in record["values"]) if record["valid"] else "invalid"
        numbers = [*(record["terms"].get(term) for term in terms), record["reward"], record["advantage"]]
        rows.append([str(record["step"]), str(record["sample"]), str(record["k"]), values, *map(_cell, numbers)])
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join("  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)


def _cell(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def _parse_line(text: str, number: int, system: System) -> Line:
    try:
        data = json.loads(text, parse_constant=_no_constant)
    except json.JSONDecodeError as error:
        raise ValueError(f"not JSON ({error.msg} at column {error.colno}); one object a line") from None
    if not isinstance(data, dict):
        raise ValueError(f"a line is one JSON object, got {type(data).__name__}")
    if unknown := sorted(set(data) - set(KEYS) - set(RECORDED)):
        raise ValueError(f"unknown key {unknown[0]!r}; known are {', '.join(KEYS)}")
    for key in ("sample", "dataset", "completion"):
        if data.get(key) is None:
            raise ValueError(f"{key!r} is missing")
    if not isinstance(data["completion"], str):
        raise ValueError(f"'completion' must be text, got {data['completion']!r}")
    sample = _sample(data, system)
    system.format_of(sample.task)
    tokens = _whole("num_tokens", data.get("num_tokens"), default=len(data["completion"].split()))
    labels = {key: data.get(key) for key in ("mos", "mos_std", "scale", "targets")}
    step = _whole("step", data.get("step"), default=0)
    return Line(number, step, data["sample"], sample, labels, _side(data.get("side")), tokens, data["completion"])


def _sample(data: Mapping[str, Any], system: System) -> Sample:
    """The labels as a sample, checked as in a manifest."""
    identity = data["sample"]
    if isinstance(identity, bool) or not isinstance(identity, (str, int)):
        raise ValueError(f"'sample' must be text or a whole number, got {identity!r}")
    scale = data.get("scale")
    if scale is None:
        scale = [system.scale.low, system.scale.high]
    keys = ("dataset", "task", "mos", "mos_std", "targets")
    # A sample without a file: the id stands in for the media that a manifest line must have.
    return Sample.from_dict(
        {
            "id": f"{identity}" or "-",
            "media": ["-"],
            "scale": scale,
            **{key: data.get(key) for key in keys if key in data},
        }
    )


def _whole(key: str, value: Any, *, default: int) -> int:
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ValueError(f"{key!r} must be a whole number >= 0, got {value!r}")
    return value


def _side(value: Any) -> dict[str, float]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise ValueError(f"'side' must be an object of numbers, got {value!r}")
    side = {}
    for name, number in value.items():
        if number is not None and (isinstance(number, bool) or not isinstance(number, (int, float))):
            raise ValueError(f"side.{name} must be a number or null, got {number!r}")
        side[name] = math.nan if number is None else float(number)
    return side


def _no_constant(constant: str) -> float:
    raise ValueError(f"{constant} is not JSON; write null")


def _groups(lines: Sequence[Line]) -> list[list[Line]]:
    groups: dict[GroupKey, list[Line]] = {}
    for line in lines:
        groups.setdefault(line.group, []).append(line)
    return list(groups.values())


def _pool(groups: Sequence[Sequence[Line]], system: System, *, step: int, stage: str) -> Pool:
    names = side_names(line for group in groups for line in group)
    return system.pool(
        [group[0].sample for group in groups],
        [[line.completion for line in group] for group in groups],
        num_tokens_SK=[[line.num_tokens for line in group] for group in groups],
        side={name: _side_array(groups, name) for name in names},
        stage=stage,
        step=step,
    )


def _side_array(groups: Sequence[Sequence[Line]], name: str) -> FloatArray:
    array_SK = np.full((len(groups), max(map(len, groups))), np.nan)
    for s, group in enumerate(groups):
        array_SK[s, : len(group)] = [line.side.get(name, math.nan) for line in group]
    return array_SK


def _record(
    line: Line, pool: Pool, judged: Judged, labels: Sequence[str], s: int, k: int, *, raw: bool
) -> dict[str, Any]:
    is_valid = bool(pool.valid_SK[s, k])
    source = judged.raw if raw else judged.terms
    return {
        "step": line.step,
        "sample": line.name,
        "k": k,
        "valid": is_valid,
        "values": list(pool.answer_SK[s][k].values),
        "terms": {n: float(source[n][s, k]) if is_valid and n in source else None for n in labels},
        "reward": _finite(judged.reward_SK[s, k]),
        "advantage": _finite(judged.advantage_SK[s, k]),
    }


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
