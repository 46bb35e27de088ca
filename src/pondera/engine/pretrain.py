"""Pretraining of the vision tower: which distortions does a crop carry, and how strong is each?

A tower that starts from random weights finds noise, blur and blocking slowly when its only teacher is text. Here it
sees crops of pristine pictures, each in several damaged versions side by side (`pondera.data.degraded_crops`), and
regresses the levels of the distortions: facts, no opinion. In the spirit of the self-supervised stages of ARNIQA and
HiRQA (arXiv:2508.15130, whose loss formulas are unpublished); the loss here is our own: mean squared error.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from pondera.config import PretrainStage
from pondera.core.aspects import ASPECTS
from pondera.core.records import Media, Sample
from pondera.data.degraded_crops import CropGroup, crop_group
from pondera.data.distortions import DISTORTIONS
from pondera.data.images import load_image
from pondera.data.manifest import read_manifest
from pondera.data.photographs import PHOTOGRAPH_SPLITS, list_photographs
from pondera.engine.checkpoints import StageTrainer
from pondera.engine.training import add_callbacks, has_fast_bfloat16, training_arguments
from pondera.errors import TrainingError
from pondera.models import Family, ModelCard
from pondera.models.nano.processing import to_pixel_values


class LevelHead(nn.Module):
    """Vision tower, projector, and a linear read-out of levels that is thrown away afterwards.

    Args:
        model: the whole model; its decoder takes no part.
    """

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.vision_tower = model.base_model.vision_tower
        self.projector = model.base_model.projector
        # Aspects and the strongest level follow from the types; reading them out too shapes what types share.
        self.read_out = nn.Linear(model.config.get_text_config().hidden_size, len(DISTORTIONS) + len(ASPECTS) + 1)
        self._encode_views = model.base_model.encode_views

    def forward(self, pixel_values: torch.Tensor) -> torch.Tensor:
        """Views [N, 3, px, px] -> levels [N, types + aspects + 1], as `level_targets` orders them."""
        cells = self._encode_views(pixel_values[:, None])
        return self.read_out(self.projector.without_place(cells).mean((1, 2)))


def level_targets(level_NT: torch.Tensor) -> torch.Tensor:
    """Levels of the types, of the aspects (their strongest type), and of the strongest: [N, T] -> [N, T + 6 + 1]."""
    aspects = [kind.aspect for kind in DISTORTIONS.values()]
    of_aspect = [[t for t, aspect in enumerate(aspects) if aspect == name] for name in ASPECTS]
    level_NA = torch.stack([level_NT[:, types].amax(1) for types in of_aspect], dim=1)
    return torch.cat([level_NT, level_NA, level_NT.amax(1, keepdim=True)], dim=1)


class CropGroups(torch.utils.data.Dataset[CropGroup]):
    """Groups of one run, made when asked for; item n is the same in every process and after every resume.

    Args:
        pictures: pristine.
        stage: number of groups and versions.
        side_px: of a view.
        seed: of crops and damage.
    """

    def __init__(self, pictures: Sequence[np.ndarray], stage: PretrainStage, *, side_px: int, seed: int) -> None:
        self.pictures, self.stage, self.side_px, self.seed = pictures, stage, side_px, seed

    def __len__(self) -> int:
        return self.stage.steps * self.stage.batch_size

    def __getitem__(self, index: int) -> CropGroup:
        return crop_group(
            self.pictures, side_px=self.side_px, num_versions=self.stage.versions, seed=self.seed, index=index
        )


def collate(groups: Sequence[CropGroup]) -> dict[str, torch.Tensor]:
    """All versions of all groups in one batch."""
    return {
        "views": torch.from_numpy(np.concatenate([group.views_VPPC for group in groups])),
        "levels": torch.from_numpy(np.concatenate([group.level_VT for group in groups])),
    }


class PretrainTrainer(StageTrainer):
    """Mean squared error of levels.

    Args:
        family: the model; its vision part is changed in place.
        seed: of the read-out.
        **kwargs: for the library's trainer.
    """

    def __init__(self, family: Family, *, seed: int, **kwargs: Any) -> None:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            head = LevelHead(family.model).to(family.device)
        super().__init__(model=head, data_collator=collate, **kwargs)

    def compute_loss(self, model: Any, inputs: dict[str, Any], *args: Any, **kwargs: Any) -> torch.Tensor:
        """One batch."""
        return F.mse_loss(model(to_pixel_values(inputs["views"])).float(), level_targets(inputs["levels"]))


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
        TrainingError: a pristine picture is held out, or the family has no vision part to train apart.
        ManifestError: the manifest of pristine pictures cannot be read.
        MediaError: a picture cannot be read.
    """
    base = family.model.base_model
    if not (hasattr(base, "projector") and hasattr(base, "encode_views")):
        raise TrainingError(f"stage {stage.name!r} trains the built-in nano model, not {type(family.model).__name__}")
    pictures = [load_image(sample.path()) for sample in pristine_samples(stage, validation)]
    arguments = training_arguments(
        stage,
        folder,
        seed=seed,
        batch_size=stage.batch_size,
        max_steps=stage.steps,
        dataloader_drop_last=True,
        dataloader_num_workers=stage.num_workers,
        bf16=stage.precision == "bfloat16" or (stage.precision == "auto" and has_fast_bfloat16()),
    )
    groups = CropGroups(pictures, stage, side_px=family.model.config.tile_px, seed=seed)
    trainer = PretrainTrainer(family, seed=seed, args=arguments, train_dataset=groups)
    add_callbacks(trainer, stage.name, metrics)
    trainer.run(resume=resume)


def pristine_samples(stage: PretrainStage, validation: Sequence[Sample]) -> list[Sample]:
    """The pictures to learn from.

    Raises:
        TrainingError: there are none, or one of them shares content with the held-out samples.
    """
    where = stage.pristine or "bundled photographs"
    samples = _bundled() if stage.pristine is None else read_manifest(stage.pristine)
    held_out = {sample.content for sample in validation}
    for sample in samples:
        if sample.content in held_out or sample.split not in (None, "train"):
            raise TrainingError(
                f"{where}: {sample.id!r} (content {sample.content!r}, split {sample.split!r}) is held out; "
                "pretraining may see training content only: remove its line"
            )
    if not samples:
        raise TrainingError(f"{where}: no pictures to learn from")
    return samples


def _bundled() -> list[Sample]:
    photographs = [path for path in list_photographs() if PHOTOGRAPH_SPLITS[path.stem] == "train"]
    return [Sample(path.stem, (Media(str(path)),), split="train", reference=path.stem) for path in photographs]
