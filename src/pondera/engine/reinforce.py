"""Reinforcement: sample answers, reward whole pools, update on packed groups.

One step: prompts -> roll-outs (`rollouts`) -> light records gathered from all processes -> pools by dataset -> rewards
and advantages (`grading`) -> gradient of the packed objective (`update`, `policy_loss`; `auxiliary` for second views).
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader

from pondera.config import ReinforceStage
from pondera.core.records import Sample
from pondera.core.system import System
from pondera.engine.auxiliary import AuxiliaryView
from pondera.engine.batches import own_share, plan_batches
from pondera.engine.checkpoints import StageTrainer
from pondera.engine.encoder import PromptEncoder
from pondera.engine.grading import asked_as, check_system, grade, stage_system
from pondera.engine.lesson import Lesson, make_lesson
from pondera.engine.questions import questions
from pondera.engine.rollouts import Rollouts, gather_records, group_records, write_rollouts
from pondera.engine.second_views.plan import Plan, make_views, plan_views
from pondera.engine.second_views.tools import Tools
from pondera.engine.training import (
    SampleList,
    StageRun,
    checkpoint_activations,
    freeze_batch_norm,
    run_trainer,
    training_arguments,
)
from pondera.engine.unreadable import Refill
from pondera.engine.update import PolicyUpdate
from pondera.generate.backend import sample_seed
from pondera.generate.rollout import open_backend
from pondera.models import Family, ModelCard
from pondera.models.distribution import is_sharded, rank, summed, world_size
from pondera.models.lora import has_adapter


@dataclass(frozen=True)
class References:
    """Where a frozen model for the KL comes from, when it is not a copy of the policy.

    Args:
        reload: reads the policy as the stage starts once more, for one in pieces, which cannot be copied.
        kept: reads the one that an earlier stage started from, where the KL holds to that.
    """

    reload: Callable[[], Family] | None = None
    kept: Callable[[], Family] | None = None


BY_COPY = References()


class ReinforceTrainer(StageTrainer):
    """GRPO on packed groups.

    Args:
        family: the policy.
        card: names the prompt and the answer format.
        stage: settings.
        system: rewards and advantages.
        run: where and how it runs; roll-out samples go to `rollouts/` in its folder.
        batches: samples of each roll-out, as indices into `train_dataset`, on all processes together.
        plan: further looks at the samples, for rewards and losses.
        references: where the model that the KL holds to comes from.
        **kwargs: for the library's trainer; `train_dataset` is a `SampleList`.
    """

    def __init__(
        self,
        family: Family,
        card: ModelCard,
        stage: ReinforceStage,
        system: System,
        run: StageRun,
        *,
        batches: Sequence[Sequence[int]] = (),
        plan: Plan | None = None,
        references: References = BY_COPY,
        **kwargs: Any,
    ) -> None:
        super().__init__(model=family.model, **kwargs)
        train: Sequence[Sample] = kwargs["train_dataset"].items
        self.family, self.card, self.stage, self.system = family, card, stage, system
        self.folder, self.seed = run.folder, run.seed
        self.encode = PromptEncoder(
            family, card.view, freeze_vision=stage.freeze_vision, views=stage.views, features=run.features
        )
        if stage.freeze_projector:
            family.freeze_projector()
        self.backend = open_backend(stage.rollout, family)
        self.unreadable = run.unreadable
        self.refill = Refill(train, self.encode.read, seed=run.seed, unreadable=run.unreadable)
        if stage.gradient_checkpointing:
            checkpoint_activations(family.model)
        plan = plan or Plan()
        self.samples = train
        self.batches = batches
        self.reference = _frozen_reference(family, stage, plan, references)
        if self.reference is not None and self.args.bf16:  # in another precision the KL would measure rounding
            self.reference = self.accelerator.prepare_model(self.reference, evaluation_mode=True)
        self.second_views: Sequence[AuxiliaryView] = make_views(plan, self._tools(train), train)
        self.update = PolicyUpdate(family, stage, reference=self.reference, second_views=self.second_views)
        self._lesson: Lesson | None = None
        self._grades: Mapping[str, float] = {}

    def get_train_dataloader(self) -> DataLoader[Any]:
        """This process's share of the global batch of each step; the plan itself is the order."""
        updates = range(self.stage.updates_per_rollout)
        batches = [[self.samples[i] for i in batch] for batch in self.batches for _ in updates]
        share = _OwnShare(batches, self.args.process_index, self.args.world_size)
        return DataLoader(share, batch_size=1, collate_fn=lambda items: items[0])

    def training_step(self, model: Any, inputs: dict[str, Any], *args: Any, **kwargs: Any) -> torch.Tensor:
        """Roll out and grade where it is time to, and leave the gradient of the objective in the parameters."""
        step = self.state.global_step
        if step % self.stage.updates_per_rollout == 0:
            self._lesson = self._learn_from(inputs["samples"], inputs["places"], step)
        assert self._lesson is not None  # checkpoints are made in front of roll-outs only
        model.train()
        freeze_batch_norm(model)
        loss, logs = self.update(model, self._lesson, self.accelerator.backward)
        self._step_logs = {**self._grades, **logs}
        return torch.tensor(loss, device=self.args.device)

    def _learn_from(self, samples: Sequence[Sample], places: Sequence[int], step: int) -> Lesson:
        """Sample completions and grade them."""
        filled = self.refill(samples, step)
        (skipped,) = summed([sum(sample not in filled for sample in samples)], self.args.device)
        rollouts = self._roll_out(filled, places, step)
        records = group_records(rollouts, self._side_arrays(rollouts))
        everyone = gather_records(records)
        graded = grade(self.system, records, everyone, stage=self.stage.name, step=step)
        self._grades = {**graded.logs, **({"skipped": float(skipped)} if skipped else {})}
        if step // self.stage.updates_per_rollout % self.stage.record_every == 0 and self.is_world_process_zero():
            write_rollouts(self.folder / "rollouts", step, records, graded.reward_GK, graded.advantage_GK)
        return make_lesson(
            self.family,
            self.stage,
            rollouts,
            graded.advantage_GK,
            num_completions=sum(len(record.texts) for record in everyone),
            num_tokens=sum(sum(record.num_tokens) for record in everyone),
            max_tokens=self.card.max_new_tokens,
        )

    def _roll_out(self, samples: Sequence[Sample], places: Sequence[int], step: int) -> Rollouts:
        seeds = [sample_seed(sample.id, seed=self.seed, step=step) for sample in samples]
        texts = questions(self.card, samples, seeds, self.stage.wordings)
        encoded = self.encode(samples, texts, seeds)
        self.backend.refresh(step)
        groups = self.backend.generate(
            encoded,
            num_completions=self.stage.group_size,
            max_new_tokens=self.card.max_new_tokens,
            temperature=self.stage.temperature,
            seeds=seeds,
        )
        return Rollouts(step, samples, places, texts, seeds, encoded, groups)

    def _tools(self, train: Sequence[Sample]) -> Tools:
        """What second views work with."""
        samples_a_step = self.stage.samples_per_step / self.stage.updates_per_rollout
        return Tools(
            family=self.family,
            reference=lambda: Family(self.reference, self.family.processor),
            encode=self.encode,
            readable=lambda samples: self.refill.unreadable.left(samples, lambda s: self.encode.read(s, seed=0)),
            backend=self.backend,
            card=self.card,
            system=self.system,
            stage=self.stage.name,
            temperature=self.stage.temperature,
            group_size=self.stage.group_size,
            epoch=lambda step: step * samples_a_step / len(train),
            folder=self.folder,
            seed=self.seed,
        )

    def _side_arrays(self, rollouts: Rollouts) -> dict[str, np.ndarray]:
        found: dict[str, np.ndarray] = {}
        for view in self.second_views:
            found |= view.side_arrays(rollouts)
        return found


@dataclass(frozen=True)
class Reinforcement:
    """What a stage of reinforcement does, checked before anything runs.

    Args:
        system: rewards and advantages.
        views: further looks at the samples.
        batches: samples of each roll-out, as indices.
    """

    system: System
    views: Plan
    batches: Sequence[Sequence[int]]


def plan_reinforcement(stage: ReinforceStage, card: ModelCard, train: Sequence[Sample], *, seed: int) -> Reinforcement:
    """Settle rewards, second views and batches of a stage.

    Args:
        stage: settings.
        card: names the prompts.
        train: labelled samples.
        seed: of the run.

    Raises:
        ConfigError: there is no such system, or a view does not fit.
        TrainingError: a sample has no label, the system needs what this engine cannot supply, or batches cannot be
            filled or shared out.
    """
    system = asked_as(stage_system(stage), card.answer)
    views = plan_views(stage, system, card, train)
    check_system(system, stage, card, train, side=views.side)
    batches = plan_batches(
        train,
        batch_size=stage.samples_per_step,
        num_batches=-(-stage.steps // stage.updates_per_rollout),
        least=max(stage.least_samples, system.min_samples),
        shares=stage.shares,
        seed=seed,
    )
    own_share(batches[0], rank=rank(), world_size=world_size())  # refuses what cannot be shared out
    return Reinforcement(system, views, batches)


def run_reinforce(
    family: Family,
    card: ModelCard,
    stage: ReinforceStage,
    train: Sequence[Sample],
    validation: Sequence[Sample],
    run: StageRun,
    *,
    references: References = BY_COPY,
    planned: Reinforcement | None = None,
) -> Path | None:
    """Reinforce; the model of `family` is changed in place.

    Args:
        family: the policy.
        card: names the prompts.
        stage: settings.
        train: labelled samples.
        validation: held out.
        run: where and how it runs.
        references: where the model that the KL holds to comes from.
        planned: by `plan_reinforcement`, where that was done before.

    Returns:
        The folder of the model to keep, where it is not the one in `family`.

    Raises:
        ConfigError, TrainingError: as `plan_reinforcement`.
    """
    planned = planned or plan_reinforcement(stage, card, train, seed=run.seed)
    arguments = training_arguments(
        stage,
        run,
        batch_size=stage.samples_per_step,
        max_steps=stage.steps,
        # Running statistics stay as they are. DDP would share them in the first pass that succeeds, and processes
        # would wait for one that ran out of memory in it.
        ddp_broadcast_buffers=False,
    )
    trainer = ReinforceTrainer(
        family,
        card,
        stage,
        planned.system,
        run,
        batches=planned.batches,
        plan=planned.views,
        references=references,
        args=arguments,
        train_dataset=SampleList(train),
    )
    return run_trainer(trainer, family, card, stage, run, validation)


class _OwnShare(torch.utils.data.Dataset[Any]):
    """The samples of each global batch that one process works on."""

    def __init__(self, batches: Any, rank: int, world_size: int) -> None:
        self.batches, self.rank, self.world_size = batches, rank, world_size

    def __len__(self) -> int:
        return len(self.batches)

    def __getitem__(self, index: int) -> dict[str, Any]:
        batch = self.batches[index]
        places = own_share(batch, rank=self.rank, world_size=self.world_size)
        return {"samples": [batch[place] for place in places], "places": places}


def _frozen_reference(family: Family, stage: ReinforceStage, plan: Plan, references: References) -> Any | None:
    """The model that the KL holds to; None where nothing needs one, or the policy without its adapter is it."""
    if not (max(stage.kl_weight, stage.thought_kl_weight or 0) > 0 or plan.needs_reference):
        return None
    if references.kept is not None:
        model = references.kept().model
    elif has_adapter(family.model) and not plan.needs_reference:
        return None
    elif is_sharded(family.model) and references.reload is not None:
        model = references.reload().model
    else:
        model = copy.deepcopy(family.model)
    return model.eval().requires_grad_(False)
