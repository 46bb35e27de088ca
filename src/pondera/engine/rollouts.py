"""Roll-outs: what one process sampled in a step, and the light records of it that all processes see.

Shape letters: G groups of one process (one a sample), K completions of a group.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from pondera.core.records import Sample
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
    path: Path, rollouts: Rollouts, reward_GK: np.ndarray, advantage_GK: np.ndarray, *, most: int = 4
) -> None:
    """Append the first groups to a JSONL file, in the form that `pondera rewards explain` reads."""
    with path.open("a", encoding="utf-8") as file:
        for g, sample in enumerate(rollouts.samples[:most]):
            scale = None if sample.scale is None else [sample.scale.low, sample.scale.high]
            for k, completion in enumerate(rollouts.groups[g]):
                line = {
                    "step": rollouts.step,
                    "sample": sample.id,
                    "dataset": sample.dataset,
                    "task": sample.task,
                    "mos": sample.mos,
                    "mos_std": sample.mos_std,
                    "scale": scale,
                    "num_tokens": len(completion.ids),
                    "completion": completion.text,
                    "reward": float(reward_GK[g, k]),
                    "advantage": float(advantage_GK[g, k]),
                }
                file.write(json.dumps(line) + "\n")
