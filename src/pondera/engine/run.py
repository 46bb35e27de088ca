"""Runs a recipe: its stages one after the other, each resumable, in one run folder (`run_folder`)."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from pondera import prompts
from pondera.config import (
    ColdStartStage,
    DataSection,
    MeasuredRationales,
    ModelSection,
    PromptSection,
    Recipe,
    ReinforceStage,
    RejectionSampledRationales,
    Stage,
)
from pondera.core.records import Sample
from pondera.data.manifest import read_manifest
from pondera.data.presentation import Layout, present
from pondera.engine.callbacks import check_trackers, load_callbacks
from pondera.engine.cold_start import run_cold_start
from pondera.engine.files import discard, new_folder, saving
from pondera.engine.keeping import discard_candidates
from pondera.engine.pretrain import run_pretrain
from pondera.engine.rationale_sources import measured_rationales, rejection_sampled
from pondera.engine.reinforce import run_reinforce
from pondera.engine.run_folder import open_run, refuse_interrupted, save_model
from pondera.engine.training import RunOptions
from pondera.errors import ConfigError, TrainingError
from pondera.models import Family, ModelCard, load_model
from pondera.models.block_attention import use_block_attention
from pondera.models.distribution import is_sharded, joined, rank, wait
from pondera.models.flex_attention import use_flex_attention
from pondera.models.loading import resolve
from pondera.models.lora import add_adapter, merge_adapter

_RUN: dict[str, Any] = {"pretrain": run_pretrain, "cold_start": run_cold_start, "reinforce": run_reinforce}


def run_recipe(recipe: Recipe, out: Path, *, only_stage: str | None = None, resume: bool = False) -> Path:
    """Run all stages, or one; on all processes that `torchrun` started.

    Args:
        recipe: what to do.
        out: the run folder.
        only_stage: run just this stage, from the model of the stage before it.
        resume: go on with an interrupted run: finished stages are kept, an unfinished one continues from its last
            checkpoint.

    Returns:
        The folder of the final model.

    Raises:
        ConfigError: the folder holds another run, or there is no such stage.
        TrainingError: a stage cannot run on this data.
    """
    with joined():
        return _run_stages(recipe, out, only_stage, resume)


def _run_stages(recipe: Recipe, out: Path, only_stage: str | None, resume: bool) -> Path:
    names = [stage.name for stage in recipe.stages]
    if only_stage is not None and only_stage not in names:
        raise ConfigError(f"recipe {recipe.name} has no stage {only_stage!r}; its stages are: {', '.join(names)}")
    if rank() == 0:
        open_run(recipe, out, may_exist=resume or only_stage is not None)
    wait()
    check_trackers(recipe.tracking.report_to)
    load_callbacks(recipe.tracking.callbacks)
    plans = [_explained(plan, out, recipe.seed) for plan in plan_stages(recipe)]
    previous: Path | None = None
    for plan in plans:
        stage, folder = plan.stage, out / "stages" / plan.stage.name
        finished = folder / "model"
        skip = only_stage not in (None, stage.name)
        if skip and not finished.is_dir() and names.index(stage.name) < names.index(str(only_stage)):
            raise TrainingError(f"stage {only_stage!r} starts from stage {stage.name!r}, which is not in {out}")
        if not finished.is_dir() and not skip:
            if not resume:
                refuse_interrupted(stage.name, folder)
            family = _start(recipe, previous, plans)
            if recipe.model.lora is not None and stage.kind != "pretrain":
                add_adapter(family, **recipe.model.lora.model_dump())
            folder.mkdir(parents=True, exist_ok=True)
            train = plan.train
            if isinstance(stage, ColdStartStage) and isinstance(stage.rationales, RejectionSampledRationales):
                train = rejection_sampled(family, plan.card, stage, stage.rationales, train, folder, seed=recipe.seed)
            more: dict[str, Any] = {}
            if isinstance(stage, ReinforceStage):
                more["reference"] = _reference(recipe, stage, out, plans)
                if more["reference"] is None and is_sharded(family.model):
                    more["reference"] = _start(recipe, previous, plans)  # a sharded model cannot be copied
            kept = _RUN[stage.kind](
                family,
                plan.card,
                stage,
                train,
                plan.validation,
                folder,
                seed=recipe.seed,
                metrics=out / "metrics.jsonl",
                resume=resume,
                options=RunOptions(
                    recipe.name,
                    recipe.tracking.report_to,
                    recipe.tracking.callbacks,
                    recipe.data_of(stage).max_unreadable,
                ),
                **more,
            )
            _finish(family, plan.card, kept, finished)
        _tidy(folder)
        previous = finished
    assert previous is not None  # a recipe has at least one stage
    if previous.is_dir() and rank() == 0:
        with saving(f"model {out / 'final'}"), new_folder(out / "final") as partial:
            shutil.copytree(previous, partial, dirs_exist_ok=True)
    wait()
    return out / "final"


def _finish(family: Family, card: ModelCard, kept: Path | None, finished: Path) -> None:
    """Leave the model that the stage keeps where the next one finds it."""
    if kept is None:
        merge_adapter(family)
        save_model(family, card, finished)
    elif rank() == 0:
        kept.replace(finished)
    wait()


def _tidy(folder: Path) -> None:
    """The model of a finished stage says it all; optimisers are large."""
    if (folder / "model").is_dir() and rank() == 0:
        discard(folder / "checkpoints")
        discard_candidates(folder)


@dataclass(frozen=True)
class StagePlan:
    """A stage with all that it works on.

    Args:
        stage: settings.
        card: how the model will want to be asked after it.
        train: what it learns from.
        validation: held out.
    """

    stage: Stage
    card: ModelCard
    train: list[Sample]
    validation: list[Sample]


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
        plans.append(StagePlan(stage, card, train, validation))
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


def _explained(plan: StagePlan, out: Path, seed: int) -> StagePlan:
    """The plan with the measuring teacher's rationales where it asks for them. They come before any stage runs: a fresh
    model's tokenizer is learned from them."""
    stage = plan.stage
    if not isinstance(stage, ColdStartStage) or not isinstance(stage.rationales, MeasuredRationales):
        return plan
    if (out / "stages" / stage.name / "model").is_dir():
        return plan
    folder = out / "rationales" / stage.name
    return replace(plan, train=measured_rationales(plan.train, plan.card, stage.rationales, folder, seed=seed))


def _reference(recipe: Recipe, stage: ReinforceStage, out: Path, plans: Sequence[StagePlan]) -> Family | None:
    """The policy that the first reinforce stage started from, where a later one keeps it; None is the stage's own."""
    kinds = [s.kind for s in recipe.stages]
    first = kinds.index("reinforce")
    if stage.reference == "reset" or recipe.stages[first] == stage:
        return None
    before = out / "stages" / recipe.stages[first - 1].name / "model" if first else None
    return _start(recipe, before, plans)


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


def _start(recipe: Recipe, previous: Path | None, plans: Sequence[StagePlan]) -> Family:
    """The model that a stage starts from, ready to read packed rows."""
    family = _family(recipe, previous, plans)
    if recipe.model.attention == "flex":
        use_flex_attention(family.model)
    elif family.attention == "sdpa" and family.device.type == "cpu":  # a third off the update; not measured on GPUs
        use_block_attention(family.model)
    return family


def _family(recipe: Recipe, previous: Path | None, plans: Sequence[StagePlan]) -> Family:
    section = recipe.model
    if previous is not None:
        return load_model(str(previous), sharded=section.sharded).family
    if section.init != "nano-new":
        return load_model(section.init, sharded=section.sharded).family
    from pondera.models.loading import default_device
    from pondera.models.nano import build_nano

    model, processor = build_nano(
        _words(plans),
        seed=recipe.seed,
        hidden_size=section.hidden_size,
        num_layers=section.num_layers,
        vision_widths=section.vision_widths,
        tile_px=section.tile_px,
        num_crops=section.num_crops,
        grid=section.grid,
        global_tiles=section.global_tiles,
        cell_changes=section.cell_changes,
        mirror=section.mirror,
    )
    if section.vision_from is not None:
        _take_vision(model, section.vision_from)
    return Family(model.to(default_device()), processor)  # type: ignore[arg-type]


def _words(plans: Sequence[StagePlan]) -> list[str]:
    """What the tokenizer of a fresh model learns from: questions, rationales, and words between pictures."""
    cards = [plan.card for plan in plans]
    asked = [name for card in cards for name in (card.prompt, card.fast_prompt, *card.tasks.values()) if name]
    stages = [plan.stage for plan in plans]
    asked += [s.soft_labels.prompt for s in stages if isinstance(s, ColdStartStage) and s.soft_labels]
    texts = [text for name in dict.fromkeys(asked) for text in prompts.get(name).paraphrases]
    rationales = {sample.id: sample.rationale for plan in plans for sample in plan.train if sample.rationale}
    texts += [w for plan in plans for sample in _some_videos(plan.train) for w in present(sample, plan.card.view).words]
    return [*texts, *rationales.values()]


def _some_videos(samples: Sequence[Sample], num: int = 8) -> list[Sample]:
    """Videos whose words between pictures the tokenizer learns; they are much the same for all."""
    videos = [sample for sample in samples if sample.kind == "video"]
    return videos[:: max(1, len(videos) // num)][:num]


def _take_vision(model: Any, source: str) -> None:
    """Copy the vision tower of another nano model, and its projector where both decoders are equally wide; which view
    a token is from is learned anew."""
    other = load_model(source).family.model
    if not hasattr(other.base_model, "encode_views"):
        raise ConfigError(f"model.vision_from = {source!r}: this is no nano model; its tower does not fit")
    own, kept = model.state_dict(), other.state_dict()
    tower = [name for name in own if ".vision_tower." in name]
    projector = [name for name in own if ".projector." in name and not name.endswith(".place")]
    fitting = [name for name in projector if name in kept and kept[name].shape == own[name].shape]
    try:
        model.load_state_dict({**own, **{name: kept[name] for name in tower + fitting}})
    except (KeyError, RuntimeError) as error:
        raise ConfigError(
            f"model.vision_from = {source!r}: its vision tower has other widths than model.vision_widths ({error})"
        ) from None
