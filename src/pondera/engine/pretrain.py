"""Pretraining of the vision tower on known distortions: which aspect is harmed, and how strongly.

A tower that starts from random weights finds noise, blur and blocking slowly when its only teacher is text. The
distortions of a synthetic sample are facts, so they cost no opinion score and no teacher. In the spirit of the
self-supervised stages of ARNIQA and HiRQA (arXiv:2508.15130, whose loss formulas are unpublished); the loss here is
our own: mean squared error of the severity of each aspect.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F
from transformers import Trainer

from pondera.config import PretrainStage
from pondera.core.aspects import ASPECTS
from pondera.core.records import Sample
from pondera.data.distortions import DISTORTIONS
from pondera.engine.encoder import PromptEncoder
from pondera.engine.training import (
    SampleList,
    add_callbacks,
    has_checkpoint,
    has_fast_bfloat16,
    training_arguments,
)
from pondera.errors import TrainingError
from pondera.generate.backend import sample_seed
from pondera.models import Family, ModelCard


class SeverityHead(nn.Module):
    """Vision tower, projector, and a linear read-out of severities that is thrown away afterwards.

    Args:
        model: the whole model; its decoder takes no part.
    """

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.vision_tower = model.base_model.vision_tower
        self.projector = model.base_model.projector
        self.read_out = nn.Linear(model.config.get_text_config().hidden_size, len(ASPECTS) + 1)
        self._encode = model.base_model.get_image_features

    def forward(self, pixel_values: torch.Tensor) -> torch.Tensor:
        """Pixels of images -> severity of each aspect, and of the worst, [images, aspects + 1]."""
        return self.read_out(self._encode(pixel_values).mean(1))


class PretrainTrainer(Trainer):
    """Mean squared error of severities.

    Args:
        family: the model; its vision part is changed in place.
        seed: of the augmentation and the read-out.
        **kwargs: for the library's trainer.
    """

    def __init__(self, family: Family, *, seed: int, **kwargs: Any) -> None:
        self.family, self.seed = family, seed
        self.encode = PromptEncoder(family)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            head = SeverityHead(family.model).to(family.device)
        super().__init__(model=head, data_collator=lambda samples: {"samples": samples}, **kwargs)

    def compute_loss(self, model: Any, inputs: dict[str, Any], *args: Any, **kwargs: Any) -> torch.Tensor:
        """One batch."""
        samples: list[Sample] = inputs["samples"]
        seeds = [sample_seed(s.id, seed=self.seed, step=self.state.global_step) for s in samples]
        pixels = self.family.media_batch(self.encode(samples, "", seeds))["pixel_values"]
        target = torch.tensor([severities(sample) for sample in samples], device=pixels.device)
        return F.mse_loss(model(pixels), target)


def severities(sample: Sample) -> list[float]:
    """Strongest level of each aspect's distortions, and of all, from 0 (untouched) to 1 (level 5).

    Raises:
        TrainingError: a distortion is not one that Pondera knows.
    """
    level = dict.fromkeys(ASPECTS, 0.0)
    for distortion in sample.distortions:
        if distortion.type not in DISTORTIONS:
            raise TrainingError(
                f"sample {sample.id!r}: distortion {distortion.type!r} is unknown, and so is its aspect; known are: "
                f"{', '.join(DISTORTIONS)}"
            )
        aspect = DISTORTIONS[distortion.type].aspect
        level[aspect] = max(level[aspect], distortion.level / 5)
    return [*level.values(), max(level.values())]


def run_pretrain(
    family: Family,
    card: ModelCard,
    stage: PretrainStage,
    train: Sequence[Sample],
    validation: Sequence[Sample],
    folder: Path,
    *,
    seed: int,
    metrics: Path,
    resume: bool,
) -> None:
    """Train the vision part of `family` in place. The language model cannot speak yet, so nothing is validated.

    Raises:
        TrainingError: no sample has a known distortion, or the family has no vision part to train apart.
    """
    if not any(sample.distortions for sample in train):
        raise TrainingError(f"stage {stage.name!r} learns from known distortions, but no training sample has any")
    base = family.model.base_model
    if not (hasattr(base, "projector") and hasattr(base, "get_image_features") and hasattr(base, "vision_tower")):
        raise TrainingError(f"stage {stage.name!r} trains the built-in nano model, not {type(family.model).__name__}")
    arguments = training_arguments(
        stage,
        folder,
        seed=seed,
        batch_size=stage.batch_size,
        max_steps=stage.steps,
        dataloader_drop_last=True,
        bf16=stage.precision == "bfloat16" or (stage.precision == "auto" and has_fast_bfloat16()),
    )
    trainer = PretrainTrainer(family, seed=seed, args=arguments, train_dataset=SampleList(train))
    add_callbacks(trainer, stage.name, metrics)
    trainer.train(resume_from_checkpoint=has_checkpoint(folder) if resume else None)
