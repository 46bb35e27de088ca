"""The packaged recipes: each is complete, and each nano recipe runs from start to end on a handful of tiny images."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from pondera import prompts
from pondera.config import Recipe, load_recipe, recipe_names
from pondera.core.presets import get_system, list_systems
from pondera.data.manifest import read_manifest, write_manifest
from pondera.data.synthesize import Mix, bundled_references, synthesize
from pondera.data.tasks import KINDS, derive
from pondera.engine.grading import asked_as, stage_system
from pondera.engine.run import run_recipe
from pondera.teach import MeasuringTeacher

_FRESH = [name for name in recipe_names() if load_recipe(name).model.init == "nano-new"]
CLIPS = [name for name in _FRESH if prompts.get(load_recipe(name).prompts.reason).kind == "video"]
NANO = [name for name in _FRESH if name not in ("quickstart", *CLIPS)]
LARGE = [name for name in recipe_names() if load_recipe(name).model.init != "nano-new"]

# Two stay in the fast tests: several stages with five numbers, and several tasks in JSON. The others take seconds each.
FAST = ("preresq-r1-image", "q-insight")
RUNS = [pytest.param(name, marks=() if name in FAST else pytest.mark.slow) for name in NANO]

# The systems for videos have recipes of their own, with clips as data: tests/test_video_recipes.py.
VIDEO = {"preresq-r1-video", "q-save", "q-save-no-text", "vq-insight", "vqathinker"}


def _systems(recipe: Recipe) -> set[str]:
    return {stage.system for stage in recipe.stages if stage.kind == "reinforce"}


def test_every_image_system_has_a_nano_recipe_and_deqa_and_hirqa_too():
    covered = set().union(*(_systems(load_recipe(name)) for name in NANO))
    assert set(list_systems()) - VIDEO <= covered
    assert {"deqa", "hirqa"} <= set(NANO)


@pytest.mark.parametrize("name", recipe_names())
def test_the_prompts_of_a_recipe_ask_for_the_answers_that_its_systems_read(name):
    recipe = load_recipe(name)
    assert recipe.name == name and recipe.description
    for stage in recipe.stages:
        section = recipe.prompts_of(stage)
        if stage.kind == "reinforce":
            system = asked_as(stage_system(stage), prompts.get(section.reason).answer)
            assert prompts.get(section.reason).answer.body == system.format_of("score").body
            assert stage.group_size >= system.min_group and stage.samples_per_step >= system.min_samples
            for task, prompt in section.tasks.items():
                if task in system.tasks:
                    assert prompts.get(prompt).answer.body == system.format_of(task).body


def test_the_two_stages_of_preresq_are_those_of_the_paper():
    for name in ("preresq-r1-image", "preresq-r1-image-7b"):
        stages = [s for s in load_recipe(name).stages if s.kind == "reinforce"]
        assert [(s.system_stage, s.group_size, s.wordings) for s in stages] == [
            ("exploration", 12, "pool"),
            ("stability", 6, "one"),
        ]
        assert all(s.reference == "kept" and s.kl_weight == 0.04 for s in stages)
    assert [s.steps for s in load_recipe("preresq-r1-image-7b").stages] == [780, 780]
    terms = [{w.name for w in get_system("preresq-r1-image", stage=s).terms} for s in ("exploration", "stability")]
    assert terms[0] - terms[1] == {"spread_penalty"}


@pytest.fixture(scope="session")
def data(tmp_path_factory):
    """The files that nano recipes name, from tiny crops."""
    references, splits = bundled_references()
    chosen = [r for r in references if r.content in ("kodak-01", "kodak-02", "kodak-04")]
    folder = tmp_path_factory.mktemp("recipes") / "data"
    mix = Mix(
        pristine=0.2, single=0.5, double=0.1, local=0.2, types=("gaussian_noise", "jpeg", "gaussian_blur", "darken")
    )
    path = synthesize(
        folder, references=chosen, num_per_reference=10, splits=splits, seed=0, size=(48, 40), mix=mix, num_workers=1
    )
    samples = [replace(sample, mos_std=0.5) for sample in read_manifest(path)]
    write_manifest(folder / "koniq10k.jsonl", samples)
    write_manifest(folder / "pristine.jsonl", (s for s in samples if s.split == "train"))
    for kind in set(KINDS) - {"multi"}:  # of clips only
        write_manifest(folder / f"{kind}.jsonl", derive(samples, kind))
    spoken = {r.sample: r.completion for r in MeasuringTeacher(1).respond(samples, 1, 0)}
    write_manifest(folder / "rationales.jsonl", (replace(s, rationale=spoken[s.id]) for s in samples))
    return folder


def _tiny(name: str, data) -> Recipe:
    """The recipe with its data found, a tiny model and a step or two a stage."""
    values = load_recipe(name).model_dump(mode="json")
    values["model"] |= {"hidden_size": 32, "num_layers": 1, "vision_widths": [8, 16], "tile_px": 32, "num_crops": 1}
    values["model"]["vision_from"] = None
    for section in [values, *values["stages"]]:
        if section.get("data"):
            own = section["data"]["manifest"]
            paths = [str(data / Path(path).name) for path in ([own] if isinstance(own, str) else own)]
            section["data"] |= {"manifest": paths, "validation_samples": 2}
        if section.get("prompts"):
            section["prompts"]["max_new_tokens"] = 8
    for stage in values["stages"]:
        if stage["kind"] == "pretrain":
            stage |= {"steps": 1, "batch_size": 1, "versions": 3, "num_workers": 0, "pristine": None}
        elif stage["kind"] == "cold_start":
            stage |= {"epochs": 0.1, "batch_size": 4}
        else:
            stage |= {"steps": 1, "samples_per_step": 4, "group_size": 3}
    return Recipe.model_validate(values)


@pytest.mark.parametrize("name", RUNS)
def test_a_nano_recipe_runs_from_start_to_end(name, data, tmp_path):
    recipe = _tiny(name, data)
    final = run_recipe(recipe, tmp_path / "run")
    card = json.loads((final / "pondera.json").read_text(encoding="utf-8"))
    assert card["recipe"] == name and (final / "model.safetensors").is_file()
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    assert {line["stage"] for line in lines if "loss" in line} == {stage.name for stage in recipe.stages}


def test_large_recipes_start_from_a_stock_model_and_learn_as_published():
    assert set(LARGE) >= {"preresq-r1-image-7b", "q-ponder-7b", "q-insight-7b", "visualquality-r1-7b"}
    for name in LARGE:
        assert load_recipe(name).stages[-1].optimiser.learning_rate == 1e-6
