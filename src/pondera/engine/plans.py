"""What each stage works on: its samples, and how its model will want to be asked."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from pondera import prompts
from pondera.config import (
    ColdStartStage,
    DataSection,
    MeasuredRationales,
    ModelSection,
    PromptSection,
    Recipe,
    Stage,
)
from pondera.core.records import Sample
from pondera.data.manifest import read_manifest
from pondera.data.picture_hash import picture_hashes
from pondera.data.presentation import Layout
from pondera.engine.rationale_sources import measured_rationales
from pondera.engine.unreadable import Unreadable
from pondera.errors import ConfigError, TrainingError
from pondera.models import ModelCard
from pondera.models.distribution import from_first
from pondera.models.loading import resolve


@dataclass(frozen=True)
class StagePlan:
    """A stage with all that it works on.

    Args:
        stage: settings.
        card: how the model will want to be asked after it.
        train: what it learns from.
        validation: held out.
        unreadable: keeps count of what cannot be read of `train`; by default without a limit.
    """

    stage: Stage
    card: ModelCard
    train: list[Sample]
    validation: list[Sample]
    unreadable: Unreadable = field(default_factory=lambda: Unreadable(1, math.inf, "training sample"))


def plan_stages(recipe: Recipe) -> list[StagePlan]:
    """Data and model card of each stage; what the stages before it saw counts as seen.

    Raises:
        ConfigError: a prompt does not ask for what its place needs.
        TrainingError: there is nothing to learn from, or content is in training and in validation.
        ManifestError: a manifest cannot be read.
    """
    seen = {name for card in _cards_of(recipe.model) for name in card.trained_on}
    read: dict[str, tuple[list[Sample], list[Sample]]] = {}
    plans = []
    for stage in recipe.stages:
        data = recipe.data_of(stage)
        key = data.model_dump_json()
        if key not in read:
            read[key] = read_samples(data)
        train, validation = read[key]
        seen |= {sample.dataset for sample in train}
        card = make_card(recipe, recipe.prompts_of(stage), train, trained_on=tuple(sorted(seen)))
        unreadable = Unreadable(len(train), data.max_unreadable, "training sample")
        plans.append(StagePlan(stage, card, train, validation, unreadable))
    return plans


def make_card(
    recipe: Recipe, section: PromptSection, train: Sequence[Sample], *, trained_on: tuple[str, ...]
) -> ModelCard:
    """How a model will want to be asked.

    Raises:
        ConfigError: a task has no prompt, or the prompts for a score do not ask for one on one scale.
    """
    card = ModelCard(
        prompt=section.reason,
        fast_prompt=section.fast or "",
        tasks=section.tasks,
        max_new_tokens=section.max_new_tokens,
        view=Layout(**recipe.view.model_dump()),
        trained_on=trained_on,
        recipe=recipe.name,
    )
    for task in {sample.task for sample in train}:
        card.prompt_for(task)
    if section.fast and prompts.get(section.fast).answer.body != card.answer.body:
        raise ConfigError(
            f"prompts.fast {section.fast!r} and prompts.reason {section.reason!r} ask for different answers; name two "
            "prompts of one form, or set prompts.fast to null"
        )
    _ = card.scale  # refuses a prompt that asks for no score
    return card


def with_pictures(plan: StagePlan, recipe: Recipe, previous: Path | None) -> StagePlan:
    """The plan with a hash of one picture of every training content on its card, and those seen before.

    A reference stands for what was made from it. Pictures without a hash (see `picture_hash`) and videos are left out.

    Args:
        plan: of a stage.
        recipe: that it is of.
        previous: folder of the model that it starts from; None where that is the recipe's own start.
    """
    before = [ModelCard.read(previous)] if previous else _cards_of(recipe.model)
    path_of: dict[tuple[str, str], str] = {}
    for sample in plan.train:
        if sample.kind == "image":
            references = [media.path for media in sample.media if media.role == "reference"]
            path_of.setdefault((sample.dataset, sample.content), (*references, sample.main_path)[0])
    own = from_first(lambda: picture_hashes(path_of.values()))
    seen = {*own.values(), *(text for card in before for text in card.pictures)}
    return replace(plan, card=replace(plan.card, pictures=tuple(sorted(seen))))


def explained(plan: StagePlan, out: Path, seed: int) -> StagePlan:
    """The plan with the measuring teacher's rationales where it asks for them and its stage is not done yet.

    They come before any stage runs: a fresh model's tokenizer is learned from them.

    Args:
        plan: of a stage.
        out: the run folder.
        seed: of the wording.

    Raises:
        TrainingError: too many samples cannot be read, or all.
    """
    stage = plan.stage
    if not isinstance(stage, ColdStartStage) or not isinstance(stage.rationales, MeasuredRationales):
        return plan
    if (out / "stages" / stage.name / "model").is_dir():
        return plan
    folder = out / "rationales" / stage.name
    section = stage.rationales
    train, reasons = from_first(lambda: measured_rationales(plan.train, plan.card, section, folder, seed=seed))
    for name, reason in reasons.items():
        plan.unreadable.add(name, reason)
    if not train:
        raise TrainingError(f"stage {stage.name!r}: none of its {len(plan.train)} samples can be read")
    return replace(plan, train=train)


def _cards_of(section: ModelSection) -> list[ModelCard]:
    """The cards of the models whose weights the recipe starts from; none for fresh weights and hub ids."""
    names = [section.vision_from if section.init == "nano-new" else section.init]
    folders = [resolve(name) for name in names if name is not None]
    return [ModelCard.read(folder) for folder in folders if folder is not None]


def read_samples(data: DataSection) -> tuple[list[Sample], list[Sample]]:
    """What to learn from, and the labelled held-out samples of the task `score`.

    Raises:
        TrainingError: there is nothing to learn from, an id stands in two manifests, or content is in both.
        ManifestError: a manifest cannot be read.
    """
    where = ", ".join(data.manifests)
    everything = [sample for name in data.manifests for sample in read_manifest(name)]
    twice = [name for name, count in Counter(sample.id for sample in everything).items() if count > 1]
    if twice:
        raise TrainingError(f"{where}: id {twice[0]!r} stands in two of these manifests; ids are unique in a run")
    train = [s for s in everything if data.train_split is None or s.split == data.train_split]
    if not everything:
        raise TrainingError(f"{where}: no samples; write manifest lines with: pondera data import")
    if not train:
        raise TrainingError(f"{where}: no sample has split {data.train_split!r}")
    held_out: list[Sample] = []
    if data.validation_split is not None:
        held_out = [
            s for s in everything if s.split == data.validation_split and s.mos is not None and s.task == "score"
        ]
        shared = {s.content for s in train} & {s.content for s in held_out}
        if shared:
            raise TrainingError(
                f"{where}: content {sorted(shared)[0]!r} is in training and in validation; split by reference "
                "with: pondera data split"
            )
    keep = np.linspace(0, len(held_out) - 1, min(data.validation_samples, len(held_out))).round().astype(int)
    return train, [held_out[i] for i in keep]
