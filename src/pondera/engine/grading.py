"""Grading: light records -> pools by dataset -> rewards -> advantages (all of it pure core).

Shape letters: G groups of one process, K completions of a group, S samples in a pool.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from pondera.config import RampSection, ReinforceStage
from pondera.core.answers import AnswerFormat, Numbers
from pondera.core.pool import Pool
from pondera.core.presets import get_system
from pondera.core.records import LabelScale, Sample
from pondera.core.rewards import make_term
from pondera.core.system import Judged, Ramp, System, Weighted
from pondera.engine.rollouts import GroupRecord
from pondera.errors import ConfigError, TrainingError
from pondera.models import ModelCard


@dataclass(frozen=True)
class Graded:
    """Rewards and advantages of the groups of one process, in their order.

    Args:
        advantage_GK: one row a group.
        reward_GK: the same shape.
        logs: means over the global batch.
    """

    advantage_GK: np.ndarray
    reward_GK: np.ndarray
    logs: Mapping[str, float]


def grade(
    system: System, own: Sequence[GroupRecord], everyone: Sequence[GroupRecord], *, stage: str, step: int
) -> Graded:
    """Rewards and advantages of one's own groups, judged in pools of all processes' groups of the same dataset.

    Args:
        system: rewards and advantages.
        own: the groups of this process.
        everyone: the groups of all processes, in one order that all of them share; holds `own` too.
        stage: name of the stage.
        step: global step.
    """
    by_dataset: dict[tuple[str, str], list[GroupRecord]] = {}
    for record in everyone:
        by_dataset.setdefault((record.sample.dataset, record.sample.task), []).append(record)
    advantage: dict[int, np.ndarray] = {}
    reward: dict[int, np.ndarray] = {}
    sums: dict[str, list[float]] = {}
    for (_, task), records in sorted(by_dataset.items()):
        pool = make_pool(system, records, stage=stage, step=step)
        judged = system.judge(pool)
        for s, record in enumerate(records):
            advantage[record.place] = judged.advantage_SK[s]
            reward[record.place] = judged.reward_SK[s]
        _collect(sums, pool, judged, system.labels_of(task))
    logs = {name: float(np.mean(values)) for name, values in sums.items()}
    return Graded(
        advantage_GK=np.stack([advantage[record.place] for record in own]),
        reward_GK=np.stack([reward[record.place] for record in own]),
        logs=logs,
    )


def stage_system(stage: ReinforceStage) -> System:
    """The system of a stage, with the weights and terms that the stage gives it.

    Raises:
        ConfigError: there is no such system, stage, term or parameter, or a value is wrong.
    """
    system = get_system(stage.system, stage=stage.system_stage)
    try:
        weights = {n: Ramp(**w.model_dump()) if isinstance(w, RampSection) else w for n, w in stage.weights.items()}
        more = [
            Weighted(make_term(r.term, **r.parameters), r.weight, label=r.label, tasks=r.tasks) for r in stage.rewards
        ]
    except (ValueError, TypeError) as error:
        raise ConfigError(f"stage {stage.name!r}: {error}") from None
    return system.with_terms(weights, more)


def asked_as(system: System, form: AnswerFormat) -> System:
    """The system for a prompt that asks for the same numbers on another scale; else the system as it is.

    Args:
        system: rewards and advantages.
        form: that the prompt for a score asks for.
    """
    wanted, asked = system.answer.body, form.body
    if not isinstance(wanted, Numbers) or not isinstance(asked, Numbers) or system.also:
        return system
    scale = LabelScale(asked.low, asked.high)
    has_other_scale_only = asked == replace(wanted, low=scale.low, high=scale.high) != wanted
    return system.asked_on(scale) if has_other_scale_only else system


def make_pool(system: System, records: Sequence[GroupRecord], *, stage: str, step: int) -> Pool:
    """The pool of records of one dataset and task; side arrays that every record carries come along."""
    names = set.intersection(*(set(record.side) for record in records))
    return system.pool(
        [record.sample for record in records],
        [record.texts for record in records],
        num_tokens_SK=[record.num_tokens for record in records],
        stage=stage,
        step=step,
        side={name: np.array([record.side[name] for record in records]) for name in sorted(names)},
    )


def check_system(
    system: System, stage: ReinforceStage, card: ModelCard, train: Sequence[Sample], *, side: Iterable[str] = ()
) -> None:
    """Refuse, before anything runs, what a system cannot grade.

    Args:
        system: rewards and advantages.
        stage: settings.
        card: the prompt of each task, and so the forms of answers that the model is taught.
        train: what will be sampled from.
        side: side arrays that the stage's second views supply.

    Raises:
        TrainingError: names what is missing.
    """
    side = tuple(side)
    if missing := sorted(set(system.needs_side) - set(side)):
        raise TrainingError(
            f"system {system.name!r} needs {', '.join(missing)} from a second view of each sample, "
            "which this stage does not make; choose a system without it: pondera rewards list"
        )
    tasks = sorted({sample.task for sample in train})
    for term, names in system.left_out(side, tasks).items():
        logging.getLogger("pondera").warning(
            "system %s: optional term %s is left out, this stage does not make %s", system.name, term, ", ".join(names)
        )
    if stage.group_size < system.min_group:
        raise TrainingError(f"system {system.name!r} needs group_size >= {system.min_group}, got {stage.group_size}")
    for task in tasks:
        wanted, asked = system.format_of(task).body, card.prompt_for(task)
        if wanted != asked.answer.body:
            raise TrainingError(
                f"system {system.name!r} reads answers of the form {wanted} to the task {task!r}, but prompt "
                f"{asked.name!r} asks for {asked.answer.body}; name a prompt of that form in the recipe's prompts"
            )
    named = {task: system.reads_targets(task) for task in tasks}
    for sample in train:
        if sample.mos is None and not named[sample.task] & sample.targets.keys():
            read = ", ".join(sorted(named[sample.task])) or "none"
            raise TrainingError(
                f"sample {sample.id!r} has no label that system {system.name!r} reads for the task {sample.task!r}: "
                f"neither mos nor one of these targets: {read}; reinforcement needs labels"
            )


def _collect(sums: dict[str, list[float]], pool: Pool, judged: Judged, labels: Sequence[str]) -> None:
    """Per-cell values whose means over the global batch are logged."""
    valid = pool.valid_SK
    sums.setdefault("reward", []).extend(judged.reward_SK[pool.present_SK].tolist())
    sums.setdefault("reward_std", []).extend(judged.reward_SK.std(axis=1).tolist())
    sums.setdefault("valid", []).extend(valid.astype(float).ravel().tolist())
    sums.setdefault("num_tokens", []).extend(pool.num_tokens_SK.astype(float).ravel().tolist())
    for name in labels:  # terms of other tasks say nothing about this pool
        if name in judged.terms:
            sums.setdefault(f"reward/{name}", []).extend(judged.terms[name][pool.present_SK].tolist())
    error_SK = np.abs(pool.score_SK - pool.mos_S[:, None])
    if (has_error_SK := np.isfinite(error_SK)).any():  # a score, and a label for it
        sums.setdefault("absolute_error", []).extend(error_SK[has_error_SK].tolist())
