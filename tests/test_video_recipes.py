"""The packaged recipes for videos: every system has one, and each nano recipe runs on a handful of tiny clips."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("av")

from pondera import prompts
from pondera.config import Recipe, load_recipe
from pondera.data.manifest import read_manifest, write_manifest
from pondera.data.moving_clips import ClipSettings, bundled_scenes, make_clips
from pondera.data.synthesize import bundled_references, synthesize
from pondera.data.tasks import derive
from pondera.engine.run import run_recipe
from pondera.teach import VideoMeasuringTeacher
from tests.test_recipes import CLIPS, LARGE, VIDEO, _systems

RUNS = [name for name in CLIPS if name != "quickstart-video"]  # that one has its own test


def test_every_video_system_has_a_recipe_and_those_of_nano_size_learn_from_clips():
    covered = set().union(*(_systems(load_recipe(name)) for name in (*CLIPS, *LARGE)))
    assert covered >= VIDEO
    assert set(RUNS) == {"preresq-r1-video", "vqathinker", "vq-insight", "q-save"}
    assert all(str(load_recipe(name).data.manifest).startswith("clips/") for name in RUNS)


def test_the_nano_recipes_of_generated_videos_never_ask_about_a_text():
    for name in ("vq-insight", "q-save"):
        recipe = load_recipe(name)
        asked = {p for s in recipe.stages for p in (recipe.prompts_of(s).reason, *recipe.prompts_of(s).tasks.values())}
        assert all("text" not in prompts.get(prompt).fields for prompt in asked)


@pytest.mark.parametrize("name", ["preresq-r1-video-7b", "vqathinker-7b", "vq-insight-7b", "q-save-8b"])
def test_large_video_recipes_ask_about_videos_in_all_stages_but_an_image_warm_up(name):
    recipe = load_recipe(name)
    kinds = {stage.name: prompts.get(recipe.prompts_of(stage).reason).kind for stage in recipe.stages}
    assert {stage for stage, kind in kinds.items() if kind == "image"} <= {"warm_up"}


def test_the_settings_of_vqathinker_are_the_published_ones():
    recipe = load_recipe("vqathinker-7b")
    assert (recipe.view.video, recipe.view.num_frames, recipe.view.frame_px) == ("sequence", 6, 448)
    (stage,) = recipe.stages
    assert (stage.group_size, stage.kl_weight, recipe.prompts.max_new_tokens) == (4, 0.04, 2048)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """The files that nano recipes name, by their last two parts: tiny clips, their pairs and dimensions, and images."""
    folder = tmp_path_factory.mktemp("recipes")
    everything = bundled_scenes()
    contents = {photo: everything[photo] for photo in ("kodak-01", "kodak-02", "kodak-04")}
    settings = ClipSettings({"train": 1, "val": 1}, versions=4, num_frames=12, size=(64, 48))
    clips = read_manifest(make_clips(folder / "clips", contents=contents, settings=settings, seed=0, num_workers=1))
    for task in ("compare", "multi"):
        write_manifest(folder / "clips" / f"{task}.jsonl", derive(clips, task))
    references, splits = bundled_references()
    chosen = [reference for reference in references if reference.content in contents]
    synthesize(
        folder / "data", references=chosen, num_per_reference=4, splits=splits, seed=0, size=(48, 40), num_workers=1
    )
    return folder


def _tiny(name, data):
    values = load_recipe(name).model_dump(mode="json")
    values["model"] |= {"vision_from": None, "hidden_size": 32, "num_layers": 1, "vision_widths": [8, 16]}
    values["model"] |= {"tile_px": 32}
    for section in [values, *values["stages"]]:
        if section.get("data"):
            own = section["data"]["manifest"]
            paths = [str(data.joinpath(*Path(p).parts[-2:])) for p in ([own] if isinstance(own, str) else own)]
            section["data"] |= {"manifest": paths, "validation_samples": 2}
        if section.get("prompts"):
            section["prompts"]["max_new_tokens"] = 8
    for stage in values["stages"]:
        if stage["kind"] == "cold_start":
            stage |= {"epochs": 0.5, "batch_size": 4}
        else:
            stage |= {"steps": 1, "samples_per_step": 4, "group_size": 4}
    return Recipe.model_validate(values)


def _answer_rightly(recipe, run):
    """Put roll-outs where those of the last stage of Q-Save are kept: a model of this size gets none right."""
    (path,) = recipe.data.manifests
    train = [sample for sample in read_manifest(path) if sample.split == "train"]
    form = prompts.get(recipe.prompts.tasks["multi"]).answer
    spoken = VideoMeasuringTeacher(1, form=form).respond(train, 1, 0)
    kept = [replace(s, rationale=r.completion) for s, r in zip(train, spoken, strict=True)]
    (run / "stages" / "last").mkdir(parents=True)
    write_manifest(run / "stages" / "last" / "rationales.jsonl", kept)


@pytest.mark.slow
@pytest.mark.parametrize("name", RUNS)
def test_a_nano_video_recipe_runs_from_start_to_end(name, data, tmp_path):
    recipe, run = _tiny(name, data), tmp_path / "run"
    if name == "q-save":
        _answer_rightly(recipe, run)
    final = run_recipe(recipe, run, resume=True)
    assert json.loads((final / "pondera.json").read_text(encoding="utf-8"))["recipe"] == name
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    assert {line["stage"] for line in lines if "loss" in line} == {stage.name for stage in recipe.stages}
