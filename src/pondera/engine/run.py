"""Runs a recipe: its stages one after the other, each resumable, in one run folder (`run_folder`)."""

from __future__ import annotations

import gc
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pondera.config import ColdStartStage, Recipe, ReinforceStage, RejectionSampledRationales, Stage
from pondera.engine.callbacks import check_trackers, load_callbacks
from pondera.engine.cold_start import run_cold_start
from pondera.engine.encoder import FeatureStore
from pondera.engine.files import discard, new_folder, saving
from pondera.engine.keeping import discard_candidates
from pondera.engine.plans import StagePlan, explained, plan_stages, with_pictures
from pondera.engine.pretrain import run_pretrain
from pondera.engine.rationale_sources import rejection_sampled
from pondera.engine.reinforce import References, Reinforcement, plan_reinforcement, run_reinforce
from pondera.engine.run_folder import check_folder, open_run, refuse_interrupted, save_adapter, save_model
from pondera.engine.start import bare_model, start_model
from pondera.engine.training import StageRun
from pondera.errors import ConfigError, TrainingError
from pondera.models import Family, ModelCard, load_model
from pondera.models.distribution import joined, rank, wait
from pondera.models.four_bit import is_quantised
from pondera.models.lora import has_adapter, load_adapter

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
        check_folder(recipe, out, may_exist=resume or only_stage is not None)
    wait()
    check_trackers(recipe.tracking.report_to)
    load_callbacks(recipe.tracking.callbacks)
    plans = plan_stages(recipe)
    due = [p for p in plans if only_stage in (None, p.stage.name) and not _model_of(out, p.stage).is_dir()]
    reinforcements = {
        p.stage.name: plan_reinforcement(p.stage, p.card, p.train, seed=recipe.seed)
        for p in due
        if isinstance(p.stage, ReinforceStage)
    }
    if rank() == 0:
        open_run(recipe, out)
    wait()
    plans = [explained(plan, out, recipe.seed) for plan in plans]
    previous: Path | None = None
    features = FeatureStore()
    for plan in plans:
        name = plan.stage.name
        finished = _model_of(out, plan.stage)
        if not finished.is_dir():
            if only_stage in (None, name):
                planned = reinforcements.get(name)
                _run_stage(recipe, plan, plans, previous, out, features, resume=resume, planned=planned)
                gc.collect()  # a trainer is a ring of references: its memory is the next stage's
            elif names.index(name) < names.index(only_stage):
                raise TrainingError(f"stage {only_stage!r} starts from stage {name!r}, which is not in {out}")
        _tidy(finished.parent)
        previous = finished
    assert previous is not None  # a recipe has at least one stage
    if previous.is_dir() and rank() == 0:
        with saving(f"model {out / 'final'}"), new_folder(out / "final") as partial:
            shutil.copytree(previous, partial, dirs_exist_ok=True)
    wait()
    return out / "final"


def _run_stage(
    recipe: Recipe,
    plan: StagePlan,
    plans: Sequence[StagePlan],
    previous: Path | None,
    out: Path,
    features: FeatureStore,
    *,
    resume: bool,
    planned: Reinforcement | None,
) -> None:
    """Train one stage and leave its model in its folder."""
    stage, folder = plan.stage, out / "stages" / plan.stage.name
    if not resume:
        refuse_interrupted(stage.name, folder)
    plan = with_pictures(plan, recipe, previous)
    family = start_model(recipe, stage, previous, plans)
    folder.mkdir(parents=True, exist_ok=True)
    train = plan.train
    if isinstance(stage, ColdStartStage) and isinstance(stage.rationales, RejectionSampledRationales):
        train = rejection_sampled(
            family, plan.card, stage, stage.rationales, train, folder, seed=recipe.seed, unreadable=plan.unreadable
        )
    more: dict[str, Any] = {}
    if isinstance(stage, ReinforceStage):
        more |= {"references": _references(recipe, stage, plans, previous, out), "planned": planned}
    run = StageRun(
        folder,
        out / "metrics.jsonl",
        seed=recipe.seed,
        resume=resume,
        name=recipe.name,
        report_to=recipe.tracking.report_to,
        callbacks=recipe.tracking.callbacks,
        max_unreadable=recipe.data_of(stage).max_unreadable,
        unreadable=plan.unreadable,
        features=features,
    )
    kept = _RUN[stage.kind](family, plan.card, stage, train, plan.validation, run, **more)
    if kept is None:
        _save(family, plan.card, folder, str(previous or recipe.model.init))
    elif rank() == 0:
        kept.replace(folder / "model")
    wait()


def _save(family: Family, card: ModelCard, folder: Path, base: str) -> None:
    """Write the model of a stage, and its adapter apart.

    To rounded weights an adapter cannot be added: it goes to those that they were made from, in main memory.
    """
    if has_adapter(family.model):
        save_adapter(family, folder / "adapter")
        if is_quantised(family.model) and rank() == 0:
            family.model = load_model(base, device="cpu").family.model
            load_adapter(family, folder / "adapter")
    save_model(family, card, folder / "model")


def _references(
    recipe: Recipe, stage: ReinforceStage, plans: Sequence[StagePlan], previous: Path | None, out: Path
) -> References:
    """How to come by what the KL holds to; nothing is loaded before it is known to be needed."""
    stages = list(recipe.stages)
    first = [s.kind for s in stages].index("reinforce")
    before = out / "stages" / stages[first - 1].name / "model" if first else None
    is_later = stages.index(stage) > first
    return References(
        reload=lambda: bare_model(recipe, stage, previous, plans),
        kept=(lambda: bare_model(recipe, stage, before, plans)) if is_later and stage.reference == "kept" else None,
    )


def _model_of(out: Path, stage: Stage) -> Path:
    """Where the model of a stage is when it is done."""
    return out / "stages" / stage.name / "model"


def _tidy(folder: Path) -> None:
    """The model of a finished stage says it all; optimisers are large."""
    if (folder / "model").is_dir() and rank() == 0:
        discard(folder / "checkpoints")
        discard_candidates(folder)
