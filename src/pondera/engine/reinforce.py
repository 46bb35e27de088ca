"""Reinforcement: sample answers, reward whole pools, update on packed groups.

One step: prompts -> roll-outs (`rollouts`) -> light records gathered from all processes -> pools by dataset -> rewards
and advantages (`grading`) -> packed objective (`policy_loss`, and `auxiliary` for second views) -> gradient step.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pondera.assess import Assessor
from pondera.config import ReinforceStage
from pondera.core.records import Sample
from pondera.core.system import System
from pondera.engine.auxiliary import AuxiliaryView, Update
from pondera.engine.checkpoints import StageTrainer
from pondera.engine.encoder import PromptEncoder
from pondera.engine.grading import check_system, grade, stage_system
from pondera.engine.micro_batches import MicroBatch
from pondera.engine.objective import aggregate, completion_weights
from pondera.engine.policy_loss import kl_weights, policy_token_loss
from pondera.engine.questions import questions
from pondera.engine.rollouts import Rollouts, gather_records, group_records, write_rollouts
from pondera.engine.second_views.plan import Plan, make_views, plan_views
from pondera.engine.second_views.tools import Tools
from pondera.engine.training import (
    SampleList,
    Validation,
    add_callbacks,
    freeze_batch_norm,
    training_arguments,
)
from pondera.generate.backend import sample_seed
from pondera.generate.rollout import open_backend
from pondera.models import Family, ModelCard
from pondera.models.packing import Branch, pack, packed_logps


class ReinforceTrainer(StageTrainer):
    """GRPO on packed groups.

    Args:
        family: the policy.
        card: names the prompt and the answer format.
        stage: settings.
        system: rewards and advantages.
        plan: further looks at the samples, for rewards and losses.
        reference: the model that the KL holds to; None is this one as it starts.
        folder: roll-out samples go to `rollouts.jsonl` here.
        seed: of roll-outs and augmentation.
        **kwargs: for the library's trainer; `train_dataset` is a `SampleList`.
    """

    def __init__(
        self,
        family: Family,
        card: ModelCard,
        stage: ReinforceStage,
        system: System,
        *,
        plan: Plan | None = None,
        reference: Family | None = None,
        folder: Path,
        seed: int,
        **kwargs: Any,
    ) -> None:
        super().__init__(model=family.model, data_collator=lambda samples: {"samples": samples}, **kwargs)
        self.family, self.card, self.stage, self.system = family, card, stage, system
        self.folder, self.seed = folder, seed
        self.encode = PromptEncoder(family, card.view, freeze_vision=stage.freeze_vision, views=stage.views)
        self.backend = open_backend(stage.rollout, family)
        self._step_logs: dict[str, float] = {}
        plan, train = plan or Plan(), kwargs["train_dataset"].items
        needs_reference = max(stage.kl_weight, stage.thought_kl_weight or 0) > 0 or plan.needs_reference
        source = family if reference is None else reference
        self.reference = _frozen_copy(source.model) if needs_reference else None
        self.second_views: Sequence[AuxiliaryView] = make_views(plan, self._tools(train), train)

    def training_step(self, model: Any, inputs: dict[str, Any], *args: Any, **kwargs: Any) -> torch.Tensor:
        """Roll out, grade, and leave the gradient of the objective in the parameters."""
        rollouts = self._roll_out(inputs["samples"], self.state.global_step)
        records = group_records(rollouts, self._side_arrays(rollouts))
        everyone = gather_records(records)
        graded = grade(self.system, records, everyone, stage=self.stage.name, step=rollouts.step)
        model.train()
        freeze_batch_norm(model)
        loss, logs = self._objective(model, rollouts, graded.advantage_GK)
        self.accelerator.backward(loss)
        self._step_logs = {**graded.logs, **logs}
        if rollouts.step % 10 == 0 and self.is_world_process_zero():
            write_rollouts(self.folder / "rollouts.jsonl", rollouts, graded.reward_GK, graded.advantage_GK)
        return loss.detach()

    def log(self, logs: dict[str, float], *args: Any, **kwargs: Any) -> None:
        """Rewards, KL and entropy go on the same line as the loss of their step."""
        if "loss" in logs:
            logs = {**logs, **self._step_logs}
        super().log(logs, *args, **kwargs)

    def _roll_out(self, samples: Sequence[Sample], step: int) -> Rollouts:
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
        return Rollouts(step, samples, texts, seeds, encoded, groups)

    def _tools(self, train: Sequence[Sample]) -> Tools:
        """What second views work with."""
        samples_a_step = self.stage.samples_per_step * self.args.world_size
        return Tools(
            family=self.family,
            reference=lambda: Family(self.reference, self.family.processor),
            encode=self.encode,
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

    def _objective(
        self, model: Any, rollouts: Rollouts, advantage_GK: np.ndarray
    ) -> tuple[torch.Tensor, Mapping[str, float]]:
        stage, device = self.stage, self.family.device
        completions_N = [completion for group in rollouts.groups for completion in group]
        part = MicroBatch(
            tuple(
                (p, [Branch.scored(c.ids) for c in group])
                for p, group in zip(rollouts.prompts, rollouts.groups, strict=True)
            ),
            tuple(range(len(completions_N))),
        )
        packed = pack(self.family, part.groups)
        completion_M = torch.tensor(part.branch_N, device=device)[packed.branch_M]
        length_N = torch.tensor([len(c.ids) for c in completions_N], device=device)
        weight_N = completion_weights(length_N, how=stage.normalise, max_tokens=self.card.max_new_tokens)
        logp_M, entropy_M = packed_logps(model, packed, with_entropy=True)
        reference_logp_M = kl_weight_M = None
        if max(stage.kl_weight, stage.thought_kl_weight or 0) > 0:
            with torch.no_grad():
                reference_logp_M, _ = packed_logps(self.reference, packed)
            kl_weight_M = kl_weights(self.family, stage, completions_N).to(device)
        advantage_N = torch.as_tensor(advantage_GK, dtype=torch.float32, device=device).flatten()
        loss_M, values = policy_token_loss(
            stage,
            logp_M,
            advantage_N[completion_M],
            reference_logp_M=reference_logp_M,
            kl_weight_M=kl_weight_M,
        )
        update = Update(rollouts, part, packed, logp_M, entropy_M, weight_N[completion_M])
        loss = aggregate(
            loss_M, completion_M, len(completions_N), how=stage.normalise, max_tokens=self.card.max_new_tokens
        )
        sampled_logp_M = torch.tensor([logp for c in completions_N for logp in c.logps], device=device)
        values = {**values, "rollout_gap": (logp_M.detach() - sampled_logp_M).abs()}
        logs = {"entropy": float(entropy_M.mean()), **{name: float(v_M.mean()) for name, v_M in values.items()}}
        for view in self.second_views:
            more, view_logs = view.loss(model, update)
            loss, logs = loss + more, {**logs, **view_logs}
        return loss, logs


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
    reference: Family | None = None,
) -> None:
    """Reinforce; the model of `family` is changed in place. `reference` is what the KL holds to, where not `family`.

    Raises:
        ConfigError: there is no such system.
        TrainingError: a sample has no label, or the system needs what this engine cannot supply.
    """
    system = stage_system(stage)
    plan = plan_views(stage, system, card, train)
    check_system(system, stage, card, train, side=plan.side)
    arguments = training_arguments(
        stage, folder, seed=seed, batch_size=stage.samples_per_step, max_steps=stage.steps, dataloader_drop_last=True
    )
    trainer = ReinforceTrainer(
        family,
        card,
        stage,
        system,
        plan=plan,
        reference=reference,
        folder=folder,
        seed=seed,
        args=arguments,
        train_dataset=SampleList(train),
    )
    add_callbacks(trainer, stage.name, metrics)
    if validation:
        trainer.add_callback(Validation(validation, Assessor(family, card), stage.validate_every, trainer.log))
    trainer.run(resume=resume)


def _frozen_copy(model: Any) -> Any:
    reference = copy.deepcopy(model).eval()
    return reference.requires_grad_(False)
