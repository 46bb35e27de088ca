"""Cold start: cross-entropy on a teacher's rationales, thought and answer, and on soft level labels where asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from pondera.assess.assessor import Mode
from pondera.config import ColdStartStage
from pondera.core.records import Sample
from pondera.engine.checkpoints import StageTrainer
from pondera.engine.levels import LevelQuestion
from pondera.engine.objective import token_cross_entropy
from pondera.engine.rationales import RationaleCollator, Rows, check_samples
from pondera.engine.training import (
    SampleList,
    StageRun,
    checkpoint_activations,
    freeze_batch_norm,
    run_trainer,
    training_arguments,
)
from pondera.engine.unreadable import Refill
from pondera.models import Family, ModelCard
from pondera.models.batch_norm import share_batch_norm
from pondera.models.distribution import summed, world_size
from pondera.models.packing import PackedBatch, pack, packed_logits, packed_logps


class ColdStartTrainer(StageTrainer):
    """Cross-entropy on packed rationales.

    Args:
        family: the model to train.
        collate: samples -> packed rows.
        refill: replaces samples that cannot be read.
        **kwargs: for the library's trainer.
    """

    def __init__(self, family: Family, collate: RationaleCollator, refill: Refill, **kwargs: Any) -> None:
        self.family = family
        self.collate = collate
        self.refill, self.unreadable = refill, refill.unreadable
        super().__init__(model=family.model, data_collator=lambda samples: {"samples": samples}, **kwargs)

    def get_batch_samples(self, *args: Any, **kwargs: Any) -> tuple[list[dict[str, Any]], None]:
        """The batches of one step, encoded, each with its share of the step's tokens and of its questions for a level.

        The library takes the mean of the losses of all batches of all processes; a factor of their number times the
        share makes that the mean over all tokens of the step, as if they were one batch.
        """
        batches, _ = super().get_batch_samples(*args, **kwargs)
        step = self.state.global_step
        filled = [self.refill(batch["samples"], step) for batch in batches]
        rows = [self.collate(samples, step) for samples in filled]
        own = [
            sum(s not in new for b, new in zip(batches, filled, strict=True) for s in b["samples"]),
            sum(part.token_weight for part in rows),
            sum(len(part.level_samples) for part in rows),
        ]
        skipped, weight, num_levels = summed(own, self.args.device)
        self._step_logs = {"skipped": float(skipped)} if skipped else {}
        number = len(rows) * world_size()
        factors = [
            {
                "tokens": number * part.token_weight / weight,
                "levels": number * len(part.level_samples) / max(num_levels, 1),
                "fidelity": 1.0,  # it compares the samples of a batch, and is a mean over batches
            }
            for part in rows
        ]
        return [{"rows": part, "factors": factor} for part, factor in zip(rows, factors, strict=True)], None

    def compute_loss(self, model: Any, inputs: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        """Weighted token cross-entropy, and the losses of the levels with their weights."""
        if self.collate.stage.freeze_vision:
            freeze_batch_norm(model)  # the library has just told all of the model to train
        rows: Rows = inputs["rows"]
        batch = pack(self.family, rows.groups)
        if not rows.level_samples:
            return inputs["factors"]["tokens"] * token_cross_entropy(packed_logps(model, batch)[0], batch.weight_M)
        return self._with_levels(packed_logits(model, batch), batch, rows, inputs["factors"])

    def _with_levels(
        self, logits_MV: torch.Tensor, batch: PackedBatch, rows: Rows, factors: Mapping[str, float]
    ) -> torch.Tensor:
        levels = self.collate.levels
        assert levels is not None  # who else asked for them
        is_level_M = torch.isin(batch.branch_M, torch.tensor(rows.level_branches, device=batch.branch_M.device))
        logp_M = logits_MV.log_softmax(-1).gather(1, batch.target_M[:, None]).squeeze(1)
        losses = {"tokens": token_cross_entropy(logp_M[~is_level_M], batch.weight_M[~is_level_M])}
        losses |= levels.losses(logits_MV[is_level_M], rows.level_samples)
        self._step_logs |= {f"loss/{name}": float(loss.detach()) for name, loss in losses.items()}
        weights = {name: 1.0 if name == "tokens" else levels.weight(name) for name in losses}
        return torch.stack([factors[name] * weights[name] * loss for name, loss in losses.items()]).sum()


def run_cold_start(
    family: Family,
    card: ModelCard,
    stage: ColdStartStage,
    train: Sequence[Sample],
    validation: Sequence[Sample],
    run: StageRun,
) -> Path | None:
    """Train on rationales, or on labels alone; the model of `family` is changed in place.

    Returns:
        The folder of the model to keep, where it is not the one in `family`.

    Raises:
        TrainingError: a sample lacks what it is learned from, or has a rationale that its own answer format refuses.
    """
    check_samples(train, card, stage)
    levels = None if stage.soft_labels is None else LevelQuestion(family, stage.soft_labels)
    if levels is not None:
        levels.check(train)
    collate = RationaleCollator(family, card, stage, seed=run.seed, levels=levels, features=run.features)
    arguments = training_arguments(
        stage,
        run,
        batch_size=stage.batch_size,
        num_train_epochs=stage.epochs,
        gradient_accumulation_steps=stage.gradient_accumulation,
    )
    share_batch_norm(family.model)
    if stage.gradient_checkpointing:
        checkpoint_activations(family.model)
    trainer = ColdStartTrainer(
        family,
        collate,
        Refill(train, collate.encode.read, seed=run.seed, unreadable=run.unreadable),
        args=arguments,
        train_dataset=SampleList(train),
    )
    mode: Mode = "reason" if stage.reasoning else "fast"
    return run_trainer(trainer, family, card, stage, run, validation, mode=mode)
