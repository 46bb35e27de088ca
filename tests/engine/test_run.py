"""Recipes from start to end, on images too small to learn from: plumbing, repeatability, resuming."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import load_file

from pondera.config import load_recipe
from pondera.core.records import FIVE_POINT, Distortion, Media, Sample
from pondera.data.manifest import read_manifest, write_manifest
from pondera.engine.run import run_recipe
from pondera.engine.training import MetricsFile
from pondera.errors import ConfigError, TrainingError

THOUGHT = "<think>{aspect} is {grade}. The worst aspect is {aspect}.</think><answer>{score:.2f}</answer>"


@pytest.fixture(scope="module")
def manifest(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    rng = np.random.default_rng(0)
    samples = []
    for i in range(16):
        Image.fromarray(rng.integers(0, 256, (40, 48, 3), dtype=np.uint8)).save(folder / f"{i}.png")
        level = 1 + i % 5
        samples.append(
            Sample(
                id=f"s{i}",
                media=(Media(str(folder / f"{i}.png")),),
                mos=float(6 - level),
                scale=FIVE_POINT,
                split="val" if i >= 12 else "train",
                reference=f"content-{i // 4}",
                distortions=(Distortion("gaussian_noise" if i % 2 else "jpeg", level),),
                rationale=THOUGHT.format(aspect="noise" if i % 2 else "compression", grade="poor", score=6 - level),
            )
        )
    write_manifest(folder / "m.jsonl", samples)
    pristine = [replace(s, mos=None, scale=None, distortions=(), rationale=None) for s in samples if s.split == "train"]
    write_manifest(folder / "pristine.jsonl", pristine[:4])
    return folder / "m.jsonl"


def _recipe(manifest, *more):
    small = {
        "data.manifest": manifest,
        "data.validation_samples": 4,
        "model.hidden_size": 32,
        "model.num_layers": 1,
        "model.vision_widths": "[8, 16]",
        "model.tile_px": 32,
        "model.num_crops": 1,
        "prompts.max_new_tokens": 12,
        "stages.pretrain.pristine": manifest.with_name("pristine.jsonl"),
        "stages.pretrain.steps": 2,
        "stages.pretrain.batch_size": 2,
        "stages.pretrain.versions": 2,
        "stages.pretrain.num_workers": 0,
        "stages.cold_start.epochs": 1,
        "stages.cold_start.batch_size": 4,
        "stages.reinforce.steps": 3,
        "stages.reinforce.samples_per_step": 4,
        "stages.reinforce.group_size": 2,
        "stages.reinforce.save_every": 1,
    }
    return load_recipe("quickstart", [f"{key}={value}" for key, value in small.items()] + list(more))


def _weights(folder):
    return load_file(folder / "model.safetensors")


def _same(first, second):
    return first.keys() == second.keys() and all(np.array_equal(first[k], second[k]) for k in first)


def test_the_same_seed_gives_the_same_weights_to_the_last_bit_and_another_does_not(manifest, tmp_path):
    first, second = (_weights(run_recipe(_recipe(manifest), tmp_path / name)) for name in "ab")
    other = _weights(run_recipe(_recipe(manifest, "seed=1"), tmp_path / "c"))
    assert _same(first, second) and not _same(first, other)


def test_a_run_leaves_what_the_design_promises(manifest, tmp_path):
    final = run_recipe(_recipe(manifest), tmp_path / "run")
    assert (final / "pondera.json").is_file() and (final / "model.safetensors").is_file()
    assert {"recipe.yaml", "environment.json", "metrics.jsonl"} <= {p.name for p in (tmp_path / "run").iterdir()}
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    rewards = [line for line in lines if line["stage"] == "reinforce" and "loss" in line]
    assert [line["step"] for line in rewards] == [1, 2, 3]
    assert {"reward", "reward/format", "valid", "entropy", "kl", "num_tokens"} <= set(rewards[0])
    rollouts = (tmp_path / "run" / "stages" / "reinforce" / "rollouts.jsonl").read_text().splitlines()
    assert len(rollouts) == 8 and {"completion", "advantage"} <= set(json.loads(rollouts[0]))


def test_a_stage_killed_in_the_middle_ends_where_an_uninterrupted_one_does(manifest, tmp_path, monkeypatch):
    expected = _weights(run_recipe(_recipe(manifest), tmp_path / "whole"))

    def die(self, args, state, control, **kwargs):
        if self.stage == "reinforce" and state.global_step == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(MetricsFile, "on_step_begin", die, raising=False)
    with pytest.raises(KeyboardInterrupt):
        run_recipe(_recipe(manifest), tmp_path / "killed")
    monkeypatch.undo()
    resumed = _weights(run_recipe(_recipe(manifest), tmp_path / "killed", resume=True))
    assert _same(resumed, expected)
    lines = [json.loads(line) for line in (tmp_path / "killed" / "metrics.jsonl").read_text().splitlines()]
    steps = [line["step"] for line in lines if line["stage"] == "reinforce" and "loss" in line]
    assert steps == [1, 2, 3]


def test_a_finished_stage_is_kept(manifest, tmp_path):
    run_recipe(_recipe(manifest), tmp_path / "run", only_stage="pretrain")
    before = (tmp_path / "run" / "stages" / "pretrain" / "model" / "model.safetensors").stat().st_mtime_ns
    run_recipe(_recipe(manifest), tmp_path / "run", resume=True)
    assert (tmp_path / "run" / "stages" / "pretrain" / "model" / "model.safetensors").stat().st_mtime_ns == before


def test_a_frozen_tower_stays_as_it_was(manifest, tmp_path):
    run_recipe(_recipe(manifest), tmp_path / "run")
    before, after = (_weights(tmp_path / "run" / "stages" / s / "model") for s in ("pretrain", "reinforce"))
    tower = [key for key in before if "vision_tower" in key]
    assert tower and all(np.array_equal(before[key], after[key]) for key in tower)
    assert any(not np.array_equal(before[key], after[key]) for key in before if "projector" in key)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ("stages.reinforce.system=visualquality", ConfigError, "visualquality"),
        ("stages.reinforce.samples_per_step=99", TrainingError, "samples_per_step is 99 but there are 12"),
        ("stages.reinforce.system=cappo", TrainingError, "'cappo' needs caption_kl from a second view"),
        ("stages.reinforce.system=preresq-r1-image", TrainingError, "group_size >= 3|answers of the form"),
        ("data.train_split=nowhere", TrainingError, "no sample has split 'nowhere'"),
    ],
)
def test_what_cannot_work_is_refused_with_the_reason(manifest, tmp_path, change, error, message):
    with pytest.raises(error, match=message):
        run_recipe(_recipe(manifest, change), tmp_path / "run")


def test_content_in_training_and_validation_is_refused(manifest, tmp_path):
    samples = [replace(s, reference="same") for s in read_manifest(manifest)]
    write_manifest(tmp_path / "m.jsonl", samples)
    with pytest.raises(TrainingError, match="content 'same' is in training and in validation"):
        run_recipe(_recipe(tmp_path / "m.jsonl"), tmp_path / "run")


def test_a_sample_without_rationale_is_named(manifest, tmp_path):
    samples = [replace(s, rationale=None) if s.id == "s3" else s for s in read_manifest(manifest)]
    write_manifest(tmp_path / "m.jsonl", samples)
    pristine = f"stages.pretrain.pristine={manifest.with_name('pristine.jsonl')}"
    with pytest.raises(TrainingError, match="sample 's3' has no rationale"):
        run_recipe(_recipe(tmp_path / "m.jsonl", pristine), tmp_path / "run")


def test_pretraining_on_a_held_out_picture_is_refused(manifest, tmp_path):
    held_out = [s for s in read_manifest(manifest) if s.split == "val"][:1]
    write_manifest(tmp_path / "pristine.jsonl", [replace(held_out[0], split=None)])
    with pytest.raises(TrainingError, match=r"content 'content-3'.* is held out"):
        run_recipe(_recipe(manifest, f"stages.pretrain.pristine={tmp_path / 'pristine.jsonl'}"), tmp_path / "run")


def test_a_folder_with_another_run_is_refused(manifest, tmp_path):
    run_recipe(_recipe(manifest), tmp_path / "run", only_stage="pretrain")
    with pytest.raises(ConfigError, match="holds a run already"):
        run_recipe(_recipe(manifest), tmp_path / "run")
    with pytest.raises(ConfigError, match="another recipe"):
        run_recipe(_recipe(manifest, "seed=5"), tmp_path / "run", resume=True)
