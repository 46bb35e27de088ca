"""Completions that systems can read, and pools of them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np

from pondera.core.answers import AnswerFormat, ClassField, LabelsField, NumberField, Numbers
from pondera.core.pool import Pool
from pondera.core.presets import get_preset, get_system, list_systems
from pondera.core.records import Sample
from pondera.core.system import System

INVALID = "I would say 4,20 and I am done 9"
LABELS = ("blur", "noise", "flicker")


def cases() -> list[tuple[str, str | None, str]]:
    """Every (name with suffix, stage, task) that exists."""
    found = []
    for base in list_systems():
        preset = get_preset(base)
        names = [base] if preset.unreleased else [base, f"{base}@as_released"]
        for name in names:
            released = name != base and preset.released_stages is not None
            stages = preset.released_stages if released else preset.stages
            for stage in stages or (None,):
                found += [(name, stage, task) for task in get_system(name, stage).tasks]
    return found


def completion(form: AnswerFormat, numbers: Sequence[float], *, choice: int = 0) -> str:
    """A completion of the form, written so that every released pattern accepts it."""
    if isinstance(form.body, Numbers):
        body = "\n".join(f"{form.body.prefix} {_written(number)}".strip() for number in numbers)
    else:
        fields: dict[str, Any] = {}
        left = iter(numbers)
        for key, spec in form.body.schema.items():
            if isinstance(spec, NumberField):
                fields[key] = round(float(next(left)), 8)
            elif isinstance(spec, ClassField):
                options = spec.options or ("blur", "noise")
                fields[key] = options[choice % len(options)]
            elif isinstance(spec, LabelsField):
                fields[key] = list(LABELS[: choice % 4])
            else:
                fields[key] = [{"bbox_2d": [0, 0, 10, 10 + choice], "type": "blur", "level": 1 + choice % 5}]
        body = json.dumps(fields)
    think = "<think>\nthe edges are soft\n</think>\n" if form.think == "required" else ""
    return f"{think}<answer>\n{body}\n</answer>"


def _written(number: float) -> str:
    """Two decimals where they are enough; random numbers need more, or their means would tie now and then."""
    return f"{number:.2f}" if round(number, 2) == number else f"{number:.8f}"


def count_numbers(form: AnswerFormat) -> int:
    """How many numbers an answer of the form holds."""
    if isinstance(form.body, Numbers):
        return form.body.n
    return sum(isinstance(spec, NumberField) for spec in form.body.schema.values())


def labelled_samples(system: System, task: str, mos: Sequence[float], rng: np.random.Generator) -> list[Sample]:
    """Samples with every label that a term may ask for."""
    scale = system.scale
    samples = []
    for index, value in enumerate(mos):
        names = ("spatial", "temporal", "consistency", "color", "noise", "artifact", "blur", "visual", "dynamic")
        targets: dict[str, Any] = {name: float(rng.uniform(scale.low, scale.high)) for name in (*names, "alignment")}
        targets |= {"distortion_class": "blur", "severity": "slight", "choice": "Image A", "level": index % 3}
        targets |= {"attribution": ["blur"], "boxes": [{"bbox_2d": [0, 0, 10, 10], "type": "blur", "level": 2}]}
        samples.append(Sample(str(index), (), task=task, mos=float(value), mos_std=0.5, scale=scale, targets=targets))
    return samples


def random_texts(
    system: System, task: str, num_samples: int, group_size: int, rng: np.random.Generator, *, distinct: bool
) -> list[list[str]]:
    """Valid completions; without ties where asked (released codes order ties by their place in a list)."""
    form, scale = system.format_of(task), system.scale
    n = count_numbers(form)
    texts = []
    for _ in range(num_samples):
        if distinct:
            number_Kn = rng.uniform(scale.low, scale.high, (group_size, n))
        else:
            number_Kn = scale.low + scale.width * rng.integers(0, 5, (group_size, n)) / 4
        texts.append([completion(form, number_Kn[k], choice=int(rng.integers(0, 6))) for k in range(group_size)])
    return texts


def side_arrays(system: System, shape: tuple[int, int], rng: np.random.Generator) -> dict[str, np.ndarray]:
    """The side arrays that the system cannot do without."""
    return {name: rng.uniform(0, 1, shape) for name in system.needs_side}


def random_pool(
    system: System, task: str, num_samples: int, group_size: int, seed: int, *, distinct: bool
) -> tuple[list[Sample], list[list[str]], dict[str, np.ndarray]]:
    """Samples, valid completions and side arrays."""
    rng = np.random.default_rng(seed)
    if distinct:
        mos = rng.uniform(system.scale.low, system.scale.high, num_samples)
    else:
        mos = system.scale.low + system.scale.width * rng.integers(0, 5, num_samples) / 4
    samples = labelled_samples(system, task, mos, rng)
    texts = random_texts(system, task, num_samples, group_size, rng, distinct=distinct)
    return samples, texts, side_arrays(system, (num_samples, group_size), rng)


def score_pool(system: System, scores: Sequence[Sequence[float]], mos: Sequence[float], **kwargs: Any) -> Pool:
    """A pool of single scores for the task `score`; `mos_std` and side arrays by keyword."""
    std = kwargs.pop("mos_std", [0.5] * len(mos))
    samples = [
        Sample(str(i), (), mos=m, mos_std=d, scale=system.scale) for i, (m, d) in enumerate(zip(mos, std, strict=True))
    ]
    n = count_numbers(system.answer)
    texts = [[completion(system.answer, [q] * n) for q in group] for group in scores]
    return system.pool(samples, texts, **kwargs)
