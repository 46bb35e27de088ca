"""Pretraining of the vision tower: which distortions does a crop carry, and how strong is each?

A tower that starts from random weights finds noise, blur and blocking slowly when its only teacher is text. Here it
sees crops of pristine pictures, each in several damaged versions side by side (`pondera.data.degraded_crops`), and
regresses the levels of the distortions and what a full-reference metric says of each version (mean squared errors, our
own), or learns with HiRQA-style losses (`tower_losses`): facts, no opinion.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from pondera.config import PretrainStage
from pondera.core.aspects import ASPECTS
from pondera.core.presets.images import SEVERITIES
from pondera.core.records import Media, Sample
from pondera.data.degraded_crops import CropGroup, crop_group
from pondera.data.distortions import DISTORTIONS
from pondera.data.images import load_image
from pondera.data.manifest import read_manifest
from pondera.data.photographs import PHOTOGRAPH_SPLITS, list_photographs
from pondera.engine.checkpoints import StageTrainer
from pondera.engine.tower_losses import WEIGHTS, distance_loss, ranking_loss, strongest_text, text_loss
from pondera.engine.training import StageRun, add_callbacks, training_arguments
from pondera.engine.unreadable import Unreadable
from pondera.errors import MediaError, TrainingError
from pondera.models import Family, ModelCard
from pondera.models.batch_norm import share_batch_norm
from pondera.models.distribution import world_size
from pondera.models.nano.processing import to_pixel_values

_PICTURES_KEPT = 32  # of 512 x 512: 25 MiB in each process that makes crops
_TYPES_TO_RANK = 2  # with all types in play, hardly two versions of a crop would differ in strength only
_OF_RANKS = {"ranking", "distance", "text"}


class TowerHead(nn.Module):
    """Vision tower, projector, and linear read-outs that are thrown away afterwards.

    Args:
        family: the model and its tokenizer; the decoder takes no part.
        objective: which read-outs there are.
    """

    def __init__(self, family: Family, objective: Sequence[str]) -> None:
        super().__init__()
        base, width = family.model.base_model, int(family.model.config.get_text_config().hidden_size)
        self.vision_tower, self.projector = base.vision_tower, base.projector
        self._encode_views = base.encode_views
        self.read_outs = nn.ModuleDict()
        if "levels" in objective:
            # Aspects and the strongest level follow from the types; reading them out too shapes what types share.
            self.read_outs["levels"] = nn.Linear(width, len(DISTORTIONS) + len(ASPECTS) + 1)
        if "full_reference" in objective:
            self.read_outs["quality"] = nn.Linear(width, 1)
        if "ranking" in objective:
            self.read_outs["score"] = nn.Linear(width, 1)
        if "text" in objective:
            self.read_outs["text"] = nn.Linear(width, width)
            self.register_buffer("words_CD", _text_features(family), persistent=False)

    def forward(self, pixel_values: torch.Tensor) -> dict[str, torch.Tensor]:
        """Views [N, 3, px, px] -> embeddings `z` [N, D] of length 1; `levels` [N, types + aspects + 1], as
        `level_targets` orders them; `quality` [N]; `score` [N] in [0, 1]; `text` [C, D], the texts' embeddings of
        length 1."""
        cells = self._encode_views(pixel_values[:, None])
        pooled = self.projector.without_place(cells).mean((1, 2))
        found = {"z": F.normalize(pooled.float(), dim=-1)}
        for name, read_out in self.read_outs.items():
            if name == "text":
                found[name] = F.normalize(read_out(self.words_CD).float(), dim=-1)
            else:
                found[name] = read_out(pooled).float()
        if "quality" in found:
            found["quality"] = found["quality"].squeeze(-1)
        if "score" in found:
            found["score"] = found["score"].squeeze(-1).sigmoid()
        return found


def tower_losses(
    found: Mapping[str, torch.Tensor],
    level_GVT: torch.Tensor,
    objective: Sequence[str],
    mos_GV: torch.Tensor | None = None,
) -> dict[str, torch.Tensor]:
    """The losses of an objective by name, unweighted.

    Args:
        found: what `TowerHead` gives for N = G x V views, groups one after the other.
        level_GVT: level of each type in each version, as a share of the strongest.
        objective: names.
        mos_GV: pseudo-MOS of each version, 1 to 5, where "full_reference" is among them.
    """
    shape, level_NT = level_GVT.shape[:2], level_GVT.flatten(0, 1)
    losses = {}
    if "levels" in objective:
        losses["levels"] = F.mse_loss(found["levels"], level_targets(level_NT))
    if mos_GV is not None:
        losses["full_reference"] = F.mse_loss(found["quality"], (mos_GV.flatten() - 3) / 4)
    if "ranking" in objective:
        losses["ranking"] = ranking_loss(found["score"].view(shape), level_GVT)
    if "distance" in objective:
        losses["distance"] = distance_loss(found["z"].view(*shape, -1), found["score"].view(shape))
    if "text" in objective:
        losses["text"] = text_loss(found["z"], found["text"], strongest_text(level_NT))
    return losses


def _text_features(family: Family) -> torch.Tensor:
    """Mean embeddings of "a photo with SEVERITY TYPE", [C, D], in the order of `strongest_text`. The model's own token
    embeddings stand in for a text encoder, which a nano model does not have."""
    kinds = [name.replace("_", " ") for name in DISTORTIONS]
    texts = ["a clean photo", *(f"a photo with {word} {kind}" for kind in kinds for word in SEVERITIES[:5])]
    embed = family.model.get_input_embeddings()
    with torch.no_grad():
        rows = [embed(torch.tensor(family.encode_text(text), device=family.device)).mean(0) for text in texts]
    return torch.stack(rows).float()


def level_targets(level_NT: torch.Tensor) -> torch.Tensor:
    """Levels of the types, of the aspects (their strongest type), and of the strongest: [N, T] -> [N, T + 6 + 1]."""
    aspects = [kind.aspect for kind in DISTORTIONS.values()]
    of_aspect = [[t for t, aspect in enumerate(aspects) if aspect == name] for name in ASPECTS]
    level_NA = torch.stack([level_NT[:, types].amax(1) for types in of_aspect], dim=1)
    return torch.cat([level_NT, level_NA, level_NT.amax(1, keepdim=True)], dim=1)


class Pictures(Sequence[np.ndarray]):
    """Files as uint8 [H, W, 3], read when they are looked up; the last few stay in memory, thousands would not fit.

    Args:
        paths: of the files.
    """

    def __init__(self, paths: Sequence[Path]) -> None:
        self.paths = paths
        self._kept: OrderedDict[int, np.ndarray] = OrderedDict()

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: Any) -> Any:
        """One picture.

        Raises:
            MediaError: it cannot be read.
        """
        if index not in self._kept:
            self._kept[index] = load_image(self.paths[index])
        self._kept.move_to_end(index)
        if len(self._kept) > _PICTURES_KEPT:
            self._kept.popitem(last=False)
        return self._kept[index]


class CropGroups(torch.utils.data.Dataset[CropGroup]):
    """Groups of one run, made when asked for; item n is the same in every process and after every resume.

    Args:
        pictures: pristine.
        stage: number of groups, in each process, and of versions.
        side_px: of a view.
        seed: of crops and damage.
    """

    def __init__(self, pictures: Sequence[np.ndarray], stage: PretrainStage, *, side_px: int, seed: int) -> None:
        self.pictures, self.stage, self.side_px, self.seed = pictures, stage, side_px, seed

    def __len__(self) -> int:
        return self.stage.steps * self.stage.batch_size * world_size()

    def __getitem__(self, index: int) -> CropGroup:
        return crop_group(
            self.pictures,
            side_px=self.side_px,
            num_versions=self.stage.versions,
            seed=self.seed,
            index=index,
            num_types=_TYPES_TO_RANK if _OF_RANKS & set(self.stage.objective) else None,
            with_pseudo_mos="full_reference" in self.stage.objective,
        )


def collate(groups: Sequence[CropGroup]) -> dict[str, torch.Tensor]:
    """All versions of all groups in one batch."""
    batch = {
        "views": torch.from_numpy(np.concatenate([group.views_VPPC for group in groups])),
        "levels": torch.from_numpy(np.stack([group.level_VT for group in groups])),
    }
    mos = [group.pseudo_mos_V for group in groups if group.pseudo_mos_V is not None]
    return {**batch, "mos": torch.from_numpy(np.stack(mos))} if mos else batch


class PretrainTrainer(StageTrainer):
    """The weighted losses of an objective.

    Args:
        family: the model; its vision part is changed in place.
        objective: names of the losses.
        seed: of the read-outs.
        **kwargs: for the library's trainer.
    """

    def __init__(self, family: Family, objective: Sequence[str], *, seed: int, **kwargs: Any) -> None:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            head = TowerHead(family, objective).to(family.device, family.model.dtype)
        share_batch_norm(head)
        self.objective: Sequence[str] = tuple(objective)
        super().__init__(model=head, data_collator=collate, **kwargs)

    def compute_loss(self, model: Any, inputs: dict[str, Any], *args: Any, **kwargs: Any) -> torch.Tensor:
        """One batch."""
        found = model(to_pixel_values(inputs["views"]))
        losses = tower_losses(found, inputs["levels"], self.objective, inputs.get("mos"))
        if len(losses) > 1:
            self._step_logs = {f"loss/{name}": float(loss.detach()) for name, loss in losses.items()}
        return sum((WEIGHTS[name] * loss for name, loss in losses.items()), torch.zeros((), device=self.args.device))


def run_pretrain(
    family: Family,
    card: ModelCard,
    stage: PretrainStage,
    train: Sequence[Sample],
    validation: Sequence[Sample],
    run: StageRun,
) -> None:
    """Train the vision part of `family` in place. The language model cannot speak yet, so nothing is validated.

    Raises:
        TrainingError: a pristine picture is held out, too many cannot be read, or the family has no vision part to
            train apart.
        ManifestError: the manifest of pristine pictures cannot be read.
    """
    base = family.model.base_model
    if not (hasattr(base, "projector") and hasattr(base, "encode_views")):
        raise TrainingError(f"stage {stage.name!r} trains the built-in nano model, not {type(family.model).__name__}")
    pictures = _pictures(pristine_samples(stage, validation), run.max_unreadable)
    arguments = training_arguments(
        stage,
        run,
        batch_size=stage.batch_size,
        max_steps=stage.steps,
        dataloader_drop_last=True,
        dataloader_num_workers=stage.num_workers,
    )
    groups = CropGroups(pictures, stage, side_px=family.model.config.tile_px, seed=run.seed)
    trainer = PretrainTrainer(family, stage.objective, seed=run.seed, args=arguments, train_dataset=groups)
    add_callbacks(trainer, stage.name, run)
    trainer.run(resume=run.resume)


def _pictures(samples: Sequence[Sample], max_unreadable: float) -> Pictures:
    """Those that can be read; each is read once to know, before hours are spent."""
    unreadable = Unreadable(len(samples), max_unreadable, "pristine picture")
    readable = []
    for sample in samples:
        try:
            load_image(sample.path())
        except MediaError as error:
            unreadable.add(sample.id, str(error))
        else:
            readable.append(Path(sample.path()))
    return Pictures(readable)


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
