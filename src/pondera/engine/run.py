"""Runs a recipe: its stages one after the other, each resumable, in one run folder.

RUN/recipe.yaml            the resolved recipe
RUN/environment.json       versions and seeds
RUN/metrics.jsonl          every logged value of every stage
RUN/stages/NAME/           checkpoints while it runs, roll-out samples, model/ when it is done
RUN/final/                 the last stage's model: give this folder to `pondera score --model`
"""

from __future__ import annotations

import json
import platform
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from pondera import prompts
from pondera._version import __version__
from pondera.config import ColdStartStage, Recipe
from pondera.core.answers import Numbers
from pondera.core.records import Sample
from pondera.data.manifest import read_manifest
from pondera.data.presentation import Layout
from pondera.engine.cold_start import run_cold_start
from pondera.engine.pretrain import run_pretrain
from pondera.engine.reinforce import run_reinforce
from pondera.errors import ConfigError, TrainingError
from pondera.models import Family, ModelCard, load_model

_RUN: dict[str, Any] = {"pretrain": run_pretrain, "cold_start": run_cold_start, "reinforce": run_reinforce}


def run_recipe(recipe: Recipe, out: Path, *, only_stage: str | None = None, resume: bool = False) -> Path:
    """Run all stages, or one.

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
    names = [stage.name for stage in recipe.stages]
    if only_stage is not None and only_stage not in names:
        raise ConfigError(f"recipe {recipe.name} has no stage {only_stage!r}; its stages are: {', '.join(names)}")
    _open_run(recipe, out, resume or only_stage is not None)
    train, validation = _samples(recipe)
    card = make_card(recipe, train)
    previous: Path | None = None
    for stage in recipe.stages:
        folder = out / "stages" / stage.name
        finished = folder / "model"
        skip = only_stage not in (None, stage.name)
        if skip and not finished.is_dir() and names.index(stage.name) < names.index(str(only_stage)):
            raise TrainingError(f"stage {only_stage!r} starts from stage {stage.name!r}, which is not in {out}")
        if not finished.is_dir() and not skip:
            family = _start(recipe, previous, train, card)
            folder.mkdir(parents=True, exist_ok=True)
            _RUN[stage.kind](
                family,
                card,
                stage,
                train,
                validation,
                folder,
                seed=recipe.seed,
                metrics=out / "metrics.jsonl",
                resume=resume,
            )
            save_model(family, card, finished)
            shutil.rmtree(folder / "checkpoints", ignore_errors=True)  # the model says it all; optimisers are large
        previous = finished
    assert previous is not None  # a recipe has at least one stage
    if previous.is_dir():
        _replace_folder(previous, out / "final")
    return out / "final"


def save_model(family: Family, card: ModelCard, folder: Path) -> None:
    """Write weights, processor and card; the folder appears only when it is complete."""
    partial = folder.with_name(folder.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    family.save(partial)
    card.save(partial)
    partial.replace(folder)


def make_card(recipe: Recipe, train: Sequence[Sample]) -> ModelCard:
    """How the trained model will want to be asked."""
    body = prompts.get(recipe.prompts.reason).answer.body
    if not isinstance(body, Numbers):
        raise ConfigError(
            f"prompt {recipe.prompts.reason!r} asks for JSON; training needs a prompt that asks for numbers"
        )
    return ModelCard(
        prompt=recipe.prompts.reason,
        fast_prompt=recipe.prompts.fast,
        num_values=body.n,
        low=body.low,
        high=body.high,
        prefix=body.prefix,
        names=body.names,
        max_new_tokens=recipe.prompts.max_new_tokens,
        view=Layout(**recipe.view.model_dump()),
        trained_on=tuple(sorted({sample.dataset for sample in train})),
        recipe=recipe.name,
    )


def _open_run(recipe: Recipe, out: Path, may_exist: bool) -> None:
    text = yaml.safe_dump(json.loads(recipe.model_dump_json()), sort_keys=False)
    path = out / "recipe.yaml"
    if path.is_file():
        if not may_exist:
            raise ConfigError(f"{out} holds a run already; go on with --resume, or give another folder")
        if path.read_text(encoding="utf-8") != text:
            raise ConfigError(f"{path} is another recipe than this one; give another folder")
    out.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    (out / "environment.json").write_text(json.dumps(_environment(recipe.seed), indent=2) + "\n", encoding="utf-8")


def _environment(seed: int) -> dict[str, object]:
    import torch
    import transformers

    return {
        "pondera": __version__,
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
        "machine": platform.machine(),
        "threads": torch.get_num_threads(),
        "seed": seed,
    }


def _samples(recipe: Recipe) -> tuple[list[Sample], list[Sample]]:
    data = recipe.data
    everything = read_manifest(data.manifest)
    train = [s for s in everything if data.train_split is None or s.split == data.train_split]
    if not train:
        raise TrainingError(f"{data.manifest}: no sample has split {data.train_split!r}")
    held_out: list[Sample] = []
    if data.validation_split is not None:
        held_out = [s for s in everything if s.split == data.validation_split and s.mos is not None]
        shared = {s.content for s in train} & {s.content for s in held_out}
        if shared:
            raise TrainingError(
                f"{data.manifest}: content {sorted(shared)[0]!r} is in training and in validation; split by reference "
                "with: pondera data split"
            )
    keep = np.linspace(0, len(held_out) - 1, min(data.validation_samples, len(held_out))).round().astype(int)
    return train, [held_out[i] for i in keep]


def _start(recipe: Recipe, previous: Path | None, train: Sequence[Sample], card: ModelCard) -> Family:
    section = recipe.model
    if previous is not None:
        return load_model(str(previous)).family
    if section.init != "nano-new":
        return load_model(section.init).family
    from pondera.models.loading import default_device
    from pondera.models.nano import build_nano

    asked = [card.prompt, card.fast_prompt]
    asked += [s.soft_labels.prompt for s in recipe.stages if isinstance(s, ColdStartStage) and s.soft_labels]
    texts = [text for name in asked for text in prompts.get(name).paraphrases]
    texts += [sample.rationale for sample in train if sample.rationale]
    model, processor = build_nano(
        texts,
        seed=recipe.seed,
        hidden_size=section.hidden_size,
        num_layers=section.num_layers,
        vision_widths=section.vision_widths,
        tile_px=section.tile_px,
        num_crops=section.num_crops,
        grid=section.grid,
    )
    return Family(model.to(default_device()), processor)  # type: ignore[arg-type]


def _replace_folder(source: Path, target: Path) -> None:
    partial = target.with_name(target.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    shutil.copytree(source, partial)
    shutil.rmtree(target, ignore_errors=True)
    partial.replace(target)
