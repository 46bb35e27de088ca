"""Cold start: cross-entropy on a teacher's rationales, thought and answer, and on soft level labels where asked for."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from pondera.assess import Assessor
from pondera.assess.assessor import Mode
from pondera.config import ColdStartStage
from pondera.core.records import Sample
from pondera.engine.checkpoints import StageTrainer
from pondera.engine.levels import LevelQuestion
from pondera.engine.objective import token_cross_entropy
from pondera.engine.rationales import RationaleCollator, Rows, check_samples
from pondera.engine.training import SampleList, Validation, add_callbacks, training_arguments
from pondera.models import Family, ModelCard
from pondera.models.packing import PackedBatch, pack, packed_logits, packed_logps


class ColdStartTrainer(StageTrainer):
    """Cross-entropy on packed rationales.

    Args:
        family: the model to train.
        collate: samples -> packed rows.
        **kwargs: for the library's trainer.
    """

    def __init__(self, family: Family, collate: RationaleCollator, **kwargs: Any) -> None:
        self.family = family
        self.collate = collate
        self._step_logs: dict[str, float] = {}
        super().__init__(model=family.model, data_collator=lambda samples: {"samples": samples}, **kwargs)

    def compute_loss(self, model: Any, inputs: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        """Weighted token cross-entropy, and the losses of the levels with their weights."""
        rows = self.collate(inputs["samples"], self.state.global_step)
        batch = pack(self.family, rows.groups)
        if not rows.level_samples:
            return token_cross_entropy(packed_logps(model, batch)[0], batch.weight_M)
        return self._with_levels(packed_logits(model, batch), batch, rows)

    def _with_levels(self, logits_MV: torch.Tensor, batch: PackedBatch, rows: Rows) -> torch.Tensor:
        levels = self.collate.levels
        assert levels is not None  # who else asked for them
        is_level_M = torch.isin(batch.branch_M, torch.tensor(rows.level_branches, device=batch.branch_M.device))
        logp_M = logits_MV.log_softmax(-1).gather(1, batch.target_M[:, None]).squeeze(1)
        losses = {"tokens": token_cross_entropy(logp_M[~is_level_M], batch.weight_M[~is_level_M])}
        losses |= levels.losses(logits_MV[is_level_M], rows.level_samples)
        self._step_logs = {f"loss/{name}": float(loss.detach()) for name, loss in losses.items()}
        return losses["tokens"] + sum(levels.weight(name) * losses[name] for name in losses if name != "tokens")

    def log(self, logs: dict[str, float], *args: Any, **kwargs: Any) -> None:
        """The parts of a loss go on its line."""
        if "loss" in logs:
            logs = {**logs, **self._step_logs}
        super().log(logs, *args, **kwargs)


def run_cold_start(
    family: Family,
    card: ModelCard,
    stage: ColdStartStage,
    train: Sequence[Sample],
    validation: Sequence[Sample],
    folder: Path,
    *,
    seed: int,
    metrics: Path,
    resume: bool,
) -> None:
    """Train on rationales, or on labels alone; the model of `family` is changed in place.

    Raises:
        TrainingError: a sample lacks what it is learned from, or has a rationale that its own answer format refuses.
    """
    check_samples(train, card, stage)
    levels = None if stage.soft_labels is None else LevelQuestion(family, stage.soft_labels)
    if levels is not None:
        levels.check(train)
    collate = RationaleCollator(family, card, stage, seed=seed, levels=levels)
    arguments = training_arguments(stage, folder, seed=seed, batch_size=stage.batch_size, num_train_epochs=stage.epochs)
    trainer = ColdStartTrainer(family, collate, args=arguments, train_dataset=SampleList(train))
    add_callbacks(trainer, stage.name, metrics)
    if validation:
        mode: Mode = "reason" if stage.reasoning else "fast"
        trainer.add_callback(
            Validation(validation, Assessor(family, card), stage.validate_every, trainer.log, mode=mode)
        )
    trainer.run(resume=resume)
