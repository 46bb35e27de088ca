"""The packaged recipes for videos: every system has one, and each nano recipe runs on a handful of tiny clips."""

from __future__ import annotations

import json

import pytest

pytest.importorskip("av")

from pondera import prompts
from pondera.config import Recipe, load_recipe
from pondera.data.moving_clips import ClipSettings, bundled_scenes, make_clips
from pondera.engine.run import run_recipe
from tests.test_recipes import CLIPS, LARGE, VIDEO, _systems

RUNS = [name for name in CLIPS if name != "quickstart-video"]  # that one has its own test


def test_every_video_system_has_a_recipe_and_those_of_nano_size_learn_from_clips():
    covered = set().union(*(_systems(load_recipe(name)) for name in (*CLIPS, *LARGE)))
    assert covered >= VIDEO
    assert set(RUNS) == {"preresq-r1-video", "vqathinker"}
    assert all(load_recipe(name).data.manifest == "clips/manifest.jsonl" for name in RUNS)


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


@pytest.mark.slow
@pytest.mark.parametrize("name", RUNS)
def test_a_nano_video_recipe_runs_from_start_to_end(name, tmp_path):
    everything = bundled_scenes()
    contents = {photo: everything[photo] for photo in ("kodak-01", "kodak-02", "kodak-04")}
    settings = ClipSettings({"train": 1, "val": 1}, versions=4, num_frames=12, size=(64, 48))
    manifest = make_clips(tmp_path / "clips", contents=contents, settings=settings, seed=0, num_workers=1)
    values = load_recipe(name).model_dump(mode="json")
    values["model"] |= {"vision_from": None, "hidden_size": 32, "num_layers": 1, "vision_widths": [8, 16]}
    values["model"] |= {"tile_px": 32}
    values["data"] |= {"manifest": str(manifest), "validation_samples": 2}
    values["prompts"]["max_new_tokens"] = 8
    for stage in values["stages"]:
        if stage["kind"] == "cold_start":
            stage |= {"epochs": 0.5, "batch_size": 4}
        else:
            stage |= {"steps": 1, "samples_per_step": 4, "group_size": 4}
    final = run_recipe(Recipe.model_validate(values), tmp_path / "run")
    assert json.loads((final / "pondera.json").read_text(encoding="utf-8"))["recipe"] == name
