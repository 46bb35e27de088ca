"""Reinforcement: sample answers, reward whole pools, update on packed groups.

One step: prompts -> roll-outs -> light records gathered from all processes -> pools by dataset -> rewards and
advantages (pure core) -> packed objective -> gradient step.
"""

from __future__ import annotations

import copy
import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import Trainer

from pondera import prompts
from pondera.assess import Assessor
from pondera.config import ReinforceStage
from pondera.core.pool import Pool
from pondera.core.presets import get_system
from pondera.core.records import Sample
from pondera.core.system import System
from pondera.engine.encoder import PromptEncoder
from pondera.engine.objective import aggregate, clipped_policy_loss, k3_kl
from pondera.engine.training import (
    SampleList,
    Validation,
    add_callbacks,
    freeze_batch_norm,
    has_checkpoint,
    training_arguments,
)
from pondera.errors import TrainingError
from pondera.generate.backend import Completion, sample_seed
from pondera.generate.transformers_backend import TransformersBackend
from pondera.models import EncodedPrompt, Family, ModelCard
from pondera.models.packing import Branch, pack, packed_logps


@dataclass(frozen=True)
class GroupRecord:
    """What one group sends to all processes: no pixels, no token ids.

    Args:
        sample: labels and provenance.
        texts: the completions.
        num_tokens: their lengths.
    """

    sample: Sample
    texts: tuple[str, ...]
    num_tokens: tuple[int, ...]


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


class ReinforceTrainer(Trainer):
    """GRPO on packed groups.

    Args:
        family: the policy.
        card: names the prompt and the answer format.
        stage: settings.
        system: rewards and advantages.
        folder: roll-out samples go to `rollouts.jsonl` here.
        seed: of roll-outs and augmentation.
        **kwargs: for the library's trainer.
    """

    def __init__(
        self,
        family: Family,
        card: ModelCard,
        stage: ReinforceStage,
        system: System,
        *,
        folder: Path,
        seed: int,
        **kwargs: Any,
    ) -> None:
        super().__init__(model=family.model, data_collator=lambda samples: {"samples": samples}, **kwargs)
        self.family, self.card, self.stage, self.system = family, card, stage, system
        self.folder, self.seed = folder, seed
        self.encode = PromptEncoder(family, freeze_vision=stage.freeze_vision, views=stage.views)
        self.backend = TransformersBackend(family)
        self._step_logs: dict[str, float] = {}
        needs_reference = max(stage.kl_weight, stage.thought_kl_weight or 0) > 0
        self.reference = _frozen_copy(family.model) if needs_reference else None

    def training_step(self, model: Any, inputs: dict[str, Any], *args: Any, **kwargs: Any) -> torch.Tensor:
        """Roll out, grade, and leave the gradient of the objective in the parameters."""
        samples: list[Sample] = inputs["samples"]
        step = self.state.global_step
        encoded, groups = self._roll_out(samples, step)
        records = [
            GroupRecord(sample, tuple(c.text for c in group), tuple(len(c.ids) for c in group))
            for sample, group in zip(samples, groups, strict=True)
        ]
        graded = grade(self.system, records, _gather(records), stage=self.stage.name, step=step)
        model.train()
        freeze_batch_norm(model)
        loss, logs = self._objective(model, encoded, groups, graded.advantage_GK)
        self.accelerator.backward(loss)
        self._step_logs = {**graded.logs, **logs}
        self._record(samples, groups, graded, step)
        return loss.detach()

    def log(self, logs: dict[str, float], *args: Any, **kwargs: Any) -> None:
        """Rewards, KL and entropy go on the same line as the loss of their step."""
        if "loss" in logs:
            logs = {**logs, **self._step_logs}
        super().log(logs, *args, **kwargs)

    def _roll_out(self, samples: Sequence[Sample], step: int) -> tuple[list[EncodedPrompt], list[list[Completion]]]:
        prompt = prompts.get(self.card.prompt)
        seeds = [sample_seed(sample.id, seed=self.seed, step=step) for sample in samples]
        encoded = self.encode(samples, prompt.render(), seeds)
        groups = self.backend.generate(
            encoded,
            num_completions=self.stage.group_size,
            max_new_tokens=self.card.max_new_tokens,
            temperature=self.stage.temperature,
            seeds=seeds,
        )
        return encoded, groups

    def _objective(
        self,
        model: Any,
        encoded: Sequence[EncodedPrompt],
        groups: Sequence[Sequence[Completion]],
        advantage_GK: np.ndarray,
    ) -> tuple[torch.Tensor, dict[str, float]]:
        stage, device = self.stage, self.family.device
        batch = pack(
            self.family,
            [(p, [Branch.scored(c.ids) for c in group]) for p, group in zip(encoded, groups, strict=True)],
        )
        advantage_N = torch.as_tensor(advantage_GK, dtype=torch.float32, device=device).flatten()
        logp_M, entropy_M = packed_logps(model, batch, with_entropy=True)
        # One update per batch: the sampling policy is this policy, so the ratio is 1 and only its gradient counts.
        loss_M = clipped_policy_loss(
            logp_M,
            logp_M.detach(),
            advantage_N[batch.branch_M],
            clip_low=stage.clip_low,
            clip_high=stage.clip_high,
        )
        logs = {"entropy": float(entropy_M.mean())}
        if self.reference is not None:
            with torch.no_grad():
                reference_logp_M, _ = packed_logps(self.reference, batch)
            kl_M = k3_kl(logp_M, reference_logp_M)
            loss_M = loss_M + self._kl_weights(groups, device) * kl_M
            logs["kl"] = float(kl_M.detach().mean())
        loss = aggregate(
            loss_M,
            batch.branch_M,
            advantage_N.numel(),
            how=stage.normalise,
            max_tokens=self.card.max_new_tokens,
        )
        return loss, logs

    def _kl_weights(self, groups: Sequence[Sequence[Completion]], device: torch.device) -> torch.Tensor:
        """Weight of the KL on each scored token, in their order. Rewards speak about the score: without a firmer hold,
        thoughts drift away from what the model sees (`docs/experiments.md`)."""
        of_thought = self.stage.kl_weight if self.stage.thought_kl_weight is None else self.stage.thought_kl_weight
        weights: list[float] = []
        for completion in (c for group in groups for c in group):
            length = thought_length(self.family, completion.ids)
            weights += [of_thought] * length + [self.stage.kl_weight] * (len(completion.ids) - length)
        return torch.tensor(weights, device=device)

    def _record(
        self, samples: Sequence[Sample], groups: Sequence[Sequence[Completion]], graded: Graded, step: int
    ) -> None:
        """A few roll-outs of every tenth step, in the form that `pondera rewards explain` reads."""
        if step % 10 or not self.is_world_process_zero():
            return
        with (self.folder / "rollouts.jsonl").open("a", encoding="utf-8") as file:
            for g, sample in enumerate(samples[:4]):
                scale = None if sample.scale is None else [sample.scale.low, sample.scale.high]
                for k, completion in enumerate(groups[g]):
                    line = {
                        "step": step,
                        "sample": sample.id,
                        "dataset": sample.dataset,
                        "task": sample.task,
                        "mos": sample.mos,
                        "mos_std": sample.mos_std,
                        "scale": scale,
                        "num_tokens": len(completion.ids),
                        "completion": completion.text,
                        "reward": float(graded.reward_GK[g, k]),
                        "advantage": float(graded.advantage_GK[g, k]),
                    }
                    file.write(json.dumps(line) + "\n")


def thought_length(family: Family, ids: Sequence[int], mark: str = "<answer>") -> int:
    """How many tokens stand before the answer: up to the token that completes its mark; all, where there is none."""
    low, high = 0, len(ids)
    if mark not in family.decode(ids):
        return high
    while low < high:  # the shortest prefix whose text holds the mark
        middle = (low + high) // 2
        if mark in family.decode(ids[:middle]):
            high = middle
        else:
            low = middle + 1
    return low


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

    Raises:
        TrainingError: a dataset has too few samples in the global batch for the system's rank rewards.
    """
    by_dataset: dict[tuple[str, str], list[GroupRecord]] = {}
    for record in everyone:
        by_dataset.setdefault((record.sample.dataset, record.sample.task), []).append(record)
    advantage: dict[str, np.ndarray] = {}
    reward: dict[str, np.ndarray] = {}
    sums: dict[str, list[float]] = {}
    for (dataset, _), records in sorted(by_dataset.items()):
        if len(records) < system.min_samples:
            raise TrainingError(
                f"system {system.name!r} compares samples and needs {system.min_samples} of one dataset in each "
                f"global batch, but {dataset!r} has {len(records)}; raise samples_per_step"
            )
        pool = system.pool(
            [record.sample for record in records],
            [record.texts for record in records],
            num_tokens_SK=[record.num_tokens for record in records],
            stage=stage,
            step=step,
        )
        judged = system.judge(pool)
        for s, record in enumerate(records):
            advantage[record.sample.id] = judged.advantage_SK[s]
            reward[record.sample.id] = judged.reward_SK[s]
        _collect(sums, pool, judged)
    logs = {name: float(np.mean(values)) for name, values in sums.items()}
    return Graded(
        advantage_GK=np.stack([advantage[record.sample.id] for record in own]),
        reward_GK=np.stack([reward[record.sample.id] for record in own]),
        logs=logs,
    )


def run_reinforce(
    family: Family,
    card: ModelCard,
    stage: ReinforceStage,
    train: Sequence[Sample],
    validation: Sequence[Sample],
    folder: Path,
    *,
    seed: int,
    metrics: Path,
    resume: bool,
) -> None:
    """Reinforce; the model of `family` is changed in place.

    Raises:
        ConfigError: there is no such system.
        TrainingError: a sample has no label, or the system needs what this engine cannot supply.
    """
    system = get_system(stage.system, stage=stage.system_stage)
    _check(system, stage, card, train)
    arguments = training_arguments(
        stage, folder, seed=seed, batch_size=stage.samples_per_step, max_steps=stage.steps, dataloader_drop_last=True
    )
    trainer = ReinforceTrainer(
        family,
        card,
        stage,
        system,
        folder=folder,
        seed=seed,
        args=arguments,
        train_dataset=SampleList(train),
    )
    add_callbacks(trainer, stage.name, metrics)
    if validation:
        trainer.add_callback(Validation(validation, Assessor(family, card), stage.validate_every, trainer.log))
    trainer.train(resume_from_checkpoint=has_checkpoint(folder) if resume else None)


def _check(system: System, stage: ReinforceStage, card: ModelCard, train: Sequence[Sample]) -> None:
    if system.needs_side:
        raise TrainingError(
            f"system {system.name!r} needs {', '.join(sorted(system.needs_side))} from a second view of each sample, "
            "which this stage does not make; choose a system without it: pondera rewards list"
        )
    for term, missing in system.left_out(()).items():
        logging.getLogger("pondera").warning(
            "system %s: optional term %s is left out, this stage does not make %s",
            system.name,
            term,
            ", ".join(missing),
        )
    if stage.group_size < system.min_group:
        raise TrainingError(f"system {system.name!r} needs group_size >= {system.min_group}, got {stage.group_size}")
    if stage.samples_per_step > len(train):
        raise TrainingError(f"samples_per_step is {stage.samples_per_step} but there are {len(train)} training samples")
    if system.answer.body != card.answer.body:
        raise TrainingError(
            f"system {system.name!r} reads answers of the form {system.answer.body}, the model was taught "
            f"{card.answer.body}; set the recipe's prompts to the form of the system"
        )
    for sample in train:
        if sample.mos is None:
            raise TrainingError(f"sample {sample.id!r} has no mos; reinforcement needs labels")


def _collect(sums: dict[str, list[float]], pool: Pool, judged: Any) -> None:
    """Per-cell values whose means over the global batch are logged."""
    valid = pool.valid_SK
    sums.setdefault("reward", []).extend(judged.reward_SK[pool.present_SK].tolist())
    sums.setdefault("reward_std", []).extend(judged.reward_SK.std(axis=1).tolist())
    sums.setdefault("valid", []).extend(valid.astype(float).ravel().tolist())
    sums.setdefault("num_tokens", []).extend(pool.num_tokens_SK.astype(float).ravel().tolist())
    for name, term_SK in judged.terms.items():
        sums.setdefault(f"reward/{name}", []).extend(term_SK[pool.present_SK].tolist())
    if valid.any():
        error_SK = np.abs(pool.score_SK - pool.mos_S[:, None])
        sums.setdefault("absolute_error", []).extend(error_SK[valid].tolist())


def _gather(records: list[GroupRecord]) -> list[GroupRecord]:
    """The records of all processes, in the order of their ranks."""
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return records
    gathered: list[Any] = [None] * torch.distributed.get_world_size()
    torch.distributed.all_gather_object(gathered, records)
    return [record for part in gathered for record in part]


def _frozen_copy(model: Any) -> Any:
    reference = copy.deepcopy(model).eval()
    return reference.requires_grad_(False)
