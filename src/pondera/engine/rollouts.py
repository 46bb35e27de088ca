"""Roll-outs: what one process sampled in a step, and the light records of it that all processes see.

Shape letters: G groups of one process (one a sample), K completions of a group.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from pondera.core.records import Sample
from pondera.data.completions import write_completions
from pondera.engine.files import saving
from pondera.generate.backend import Completion
from pondera.models import EncodedPrompt
from pondera.models.distribution import gathered


@dataclass(frozen=True)
class Rollouts:
    """The completions of one process in one step, one group a sample.

    Args:
        step: global step in which they were sampled.
        samples: G samples.
        places: the place of each in the global batch.
        questions: the words that ask about each.
        seeds: one a sample: of its roll-outs and of the variation of what is shown.
        prompts: the encoded question about each; shared by roll-out, update and second views.
        groups: G groups of K completions.
    """

    step: int
    samples: Sequence[Sample]
    places: Sequence[int]
    questions: Sequence[str]
    seeds: Sequence[int]
    prompts: Sequence[EncodedPrompt]
    groups: Sequence[Sequence[Completion]]


@dataclass(frozen=True)
class GroupRecord:
    """What one group sends to all processes: no pixels, no token ids.

    Args:
        sample: labels and provenance.
        place: in the global batch.
        texts: the completions.
        num_tokens: their lengths.
        side: named values of each completion that only the engine can compute; they become `Pool.side`.
    """

    sample: Sample
    place: int
    texts: tuple[str, ...]
    num_tokens: tuple[int, ...]
    side: Mapping[str, tuple[float, ...]] = field(default_factory=dict)


def group_records(rollouts: Rollouts, side: Mapping[str, np.ndarray]) -> list[GroupRecord]:
    """The records of one process.

    Args:
        rollouts: G groups.
        side: side arrays by name, each [G, K].
    """
    return [
        GroupRecord(
            sample,
            rollouts.places[g],
            tuple(c.text for c in group),
            tuple(len(c.ids) for c in group),
            {name: tuple(float(value) for value in value_GK[g]) for name, value_GK in side.items()},
        )
        for g, (sample, group) in enumerate(zip(rollouts.samples, rollouts.groups, strict=True))
    ]


def gather_records(records: list[GroupRecord]) -> list[GroupRecord]:
    """The records of all processes, in the order of the global batch: the same for any number of processes."""
    everyone = [record for part in gathered(records) for record in part]
    return sorted(everyone, key=lambda record: record.place)


def write_rollouts(
    folder: Path, step: int, records: Sequence[GroupRecord], reward_GK: np.ndarray, advantage_GK: np.ndarray
) -> None:
    """Write the completions of a step to `folder/step-NNNNNN.parquet`, in the form `pondera rewards explain` reads.

    Raises:
        TrainingError: the file could not be written.
    """
    rows = [
        {
            "step": step,
            "sample": record.sample.id,
            "dataset": record.sample.dataset,
            "task": record.sample.task,
            "media": [str(Path(media.path).resolve()) for media in record.sample.media],
            "mos": record.sample.mos,
            "mos_std": record.sample.mos_std,
            "scale": None if record.sample.scale is None else [record.sample.scale.low, record.sample.scale.high],
            "targets": dict(record.sample.targets),
            "side": {name: None if math.isnan(values[k]) else values[k] for name, values in record.side.items()},
            "num_tokens": record.num_tokens[k],
            "completion": text,
            "reward": float(reward_GK[g, k]),
            "advantage": float(advantage_GK[g, k]),
        }
        for g, record in enumerate(records)
        for k, text in enumerate(record.texts)
    ]
    path = folder / f"step-{step:06d}.parquet"
    with saving(str(path)):
        write_completions(path, rows)
