"""Recipes from start to end, on images too small to learn from: plumbing, repeatability, resuming."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from peft import PeftModel
from safetensors.numpy import load_file

from pondera.data.completions import read_completions
from pondera.data.manifest import read_manifest, write_manifest
from pondera.engine import run, start
from pondera.engine.run import run_recipe
from pondera.engine.training import MetricsFile
from pondera.errors import ConfigError, PonderaError, TrainingError
from pondera.models import load_model
from pondera.models.four_bit import FourBit
from tests.engine.small import same, small_manifest, small_recipe, weights


@pytest.fixture(scope="module")
def manifest(tmp_path_factory):
    return small_manifest(tmp_path_factory.mktemp("data"))


def test_the_same_seed_gives_the_same_weights_to_the_last_bit_and_another_does_not(manifest, tmp_path):
    first, second = (weights(run_recipe(small_recipe(manifest), tmp_path / name)) for name in "ab")
    other = weights(run_recipe(small_recipe(manifest, "seed=1"), tmp_path / "c"))
    assert same(first, second) and not same(first, other)


def test_a_run_leaves_what_the_design_promises(manifest, tmp_path):
    final = run_recipe(small_recipe(manifest), tmp_path / "run")
    assert (final / "pondera.json").is_file() and (final / "model.safetensors").is_file()
    assert {"recipe.yaml", "environment.json", "metrics.jsonl"} <= {p.name for p in (tmp_path / "run").iterdir()}
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    rewards = [line for line in lines if line["stage"] == "reinforce" and "loss" in line]
    assert [line["step"] for line in rewards] == [1, 2, 3]
    assert {"reward", "reward/format", "valid", "entropy", "kl", "num_tokens"} <= set(rewards[0])
    rollouts = read_completions(tmp_path / "run" / "stages" / "reinforce" / "rollouts")
    assert len(rollouts) == 8 and {"completion", "advantage", "media"} <= set(json.loads(rollouts[0]))


def test_a_finished_stage_is_kept(manifest, tmp_path):
    run_recipe(small_recipe(manifest), tmp_path / "run", only_stage="pretrain")
    before = (tmp_path / "run" / "stages" / "pretrain" / "model" / "model.safetensors").stat().st_mtime_ns
    run_recipe(small_recipe(manifest), tmp_path / "run", resume=True)
    assert (tmp_path / "run" / "stages" / "pretrain" / "model" / "model.safetensors").stat().st_mtime_ns == before


def test_a_frozen_tower_stays_as_it_was(manifest, tmp_path):
    run_recipe(small_recipe(manifest), tmp_path / "run")
    before, after = (weights(tmp_path / "run" / "stages" / s / "model") for s in ("pretrain", "reinforce"))
    tower = [key for key in before if "vision_tower" in key]
    assert tower and all(np.array_equal(before[key], after[key]) for key in tower)
    assert any(not np.array_equal(before[key], after[key]) for key in before if "projector" in key)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ("stages.reinforce.system=visualquality", ConfigError, "visualquality"),
        ("stages.reinforce.samples_per_step=99", TrainingError, "samples_per_step is 99 but there are 12"),
        ("stages.reinforce.system=preresq-r1-image", TrainingError, "group_size >= 3|answers of the form"),
        ("data.train_split=nowhere", TrainingError, "no sample has split 'nowhere'"),
    ],
)
def test_what_cannot_work_is_refused_with_the_reason(manifest, tmp_path, change, error, message):
    with pytest.raises(error, match=message):
        run_recipe(small_recipe(manifest, change), tmp_path / "run")


def test_content_in_training_and_validation_is_refused(manifest, tmp_path):
    samples = [replace(s, reference="same") for s in read_manifest(manifest)]
    write_manifest(tmp_path / "m.jsonl", samples)
    with pytest.raises(TrainingError, match="content 'same' is in training and in validation"):
        run_recipe(small_recipe(tmp_path / "m.jsonl"), tmp_path / "run")


def test_a_sample_without_rationale_is_named(manifest, tmp_path):
    samples = [replace(s, rationale=None) if s.id == "s3" else s for s in read_manifest(manifest)]
    write_manifest(tmp_path / "m.jsonl", samples)
    pristine = f"stages.pretrain.pristine={manifest.with_name('pristine.jsonl')}"
    with pytest.raises(TrainingError, match="sample 's3' has no rationale"):
        run_recipe(small_recipe(tmp_path / "m.jsonl", pristine), tmp_path / "run")


def test_pretraining_on_a_held_out_picture_is_refused(manifest, tmp_path):
    held_out = [s for s in read_manifest(manifest) if s.split == "val"][:1]
    write_manifest(tmp_path / "pristine.jsonl", [replace(held_out[0], split=None)])
    with pytest.raises(TrainingError, match=r"content 'content-3'.* is held out"):
        run_recipe(small_recipe(manifest, f"stages.pretrain.pristine={tmp_path / 'pristine.jsonl'}"), tmp_path / "run")


def test_a_folder_with_another_run_is_refused(manifest, tmp_path):
    run_recipe(small_recipe(manifest), tmp_path / "run", only_stage="pretrain")
    with pytest.raises(ConfigError, match="holds a run already"):
        run_recipe(small_recipe(manifest), tmp_path / "run")
    with pytest.raises(ConfigError, match=r"another recipe than this one: seed is 0 there, 5 here\. Nothing was"):
        run_recipe(small_recipe(manifest, "seed=5"), tmp_path / "run", resume=True)


def test_a_start_that_failed_leaves_its_folder_to_the_corrected_recipe(manifest, tmp_path):
    for change in ("data.manifest=gone.jsonl", "tracking.report_to=[paper]", "data.train_split=nowhere"):
        with pytest.raises(PonderaError):
            run_recipe(small_recipe(manifest, change), tmp_path / "run")
    with pytest.raises(TrainingError, match="samples_per_step is 100"):  # of the last stage, before the first
        run_recipe(small_recipe(manifest, "stages.reinforce.samples_per_step=100"), tmp_path / "run")
    run_recipe(small_recipe(manifest), tmp_path / "run", only_stage="pretrain")


def test_a_folder_that_cannot_be_made_is_said_to_be_that(manifest, tmp_path):
    with pytest.raises(ConfigError, match=r"cannot be made: .*give another with --out"):
        run_recipe(small_recipe(manifest), manifest / "run")


def test_an_empty_manifest_is_said_to_be_that(manifest, tmp_path):
    (tmp_path / "empty.jsonl").write_text("")
    changes = f"data.manifest={tmp_path / 'empty.jsonl'}", "data.train_split=null"
    with pytest.raises(TrainingError, match=r"empty\.jsonl: no samples"):
        run_recipe(small_recipe(manifest, *changes), tmp_path / "run")


def test_targets_that_no_reward_reads_are_no_label(manifest, tmp_path):
    """A caption alone let the format's reward be all that a sample could earn."""
    samples = [replace(s, mos=None, scale=None, targets={"caption": "A wall."}) for s in read_manifest(manifest)]
    write_manifest(tmp_path / "m.jsonl", samples)
    recipe = small_recipe(manifest, f"data.manifest={tmp_path / 'm.jsonl'}", "data.validation_split=null")
    with pytest.raises(TrainingError, match="'s0' has no label that system 'pondera' reads for the task 'score'"):
        run_recipe(recipe, tmp_path / "run")


@pytest.mark.parametrize("stage", ["cold_start", "reinforce"])
def test_a_run_that_diverges_ends_and_keeps_its_last_good_checkpoint(manifest, tmp_path, monkeypatch, stage):
    """From its second step on, gradients are NaN; each step makes a checkpoint."""
    changes = (f"stages.{stage}.save_every=1", "stages.cold_start.batch_size=2", "stages.reinforce.steps=6")
    recipe = small_recipe(manifest, "model.init=nano", "data.validation_split=null", *changes)
    recipe = recipe.model_copy(update={"stages": tuple(s for s in recipe.stages if s.name == stage)})

    backward, steps = Accelerator.backward, []
    monkeypatch.setattr(MetricsFile, "on_step_begin", lambda self, *_, **__: steps.append(1), raising=False)

    def poisoned(self, loss, **options):
        backward(self, loss * (math.nan if len(steps) > 1 else 1), **options)

    monkeypatch.setattr(Accelerator, "backward", poisoned)
    with pytest.raises(TrainingError, match=r"training diverged: .* at step 4, for 3 steps.*checkpoint-1"):
        run_recipe(recipe, tmp_path / "run")
    kept = tmp_path / "run" / "stages" / stage / "checkpoints" / "checkpoint-1"
    assert all(np.isfinite(w).all() for w in load_file(kept / "model.safetensors").values())


def test_a_run_of_an_older_version_without_todays_settings_goes_on(manifest, tmp_path):
    run_recipe(small_recipe(manifest), tmp_path / "run", only_stage="pretrain")
    path = tmp_path / "run" / "recipe.yaml"
    text = path.read_text()
    assert "    adam_beta2: 0.99\n" in text
    path.write_text(text.replace("    adam_beta2: 0.99\n", ""))
    run_recipe(small_recipe(manifest), tmp_path / "run", only_stage="pretrain", resume=True)


def test_a_recipe_that_cannot_be_read_back_is_kept(manifest, tmp_path):
    (tmp_path / "recipe.yaml").write_text("a: [")
    with pytest.raises(ConfigError, match="cannot be read by this version"):
        run_recipe(small_recipe(manifest), tmp_path, resume=True)
    assert (tmp_path / "recipe.yaml").read_text() == "a: ["


def test_a_run_with_lora_leaves_a_plain_model_whose_base_moved_in_the_decoder_only(manifest, tmp_path):
    lora = ("model.lora={rank: 2, alpha: 4}", "stages.reinforce.updates_per_rollout=3", "stages.reinforce.save_every=3")
    final = run_recipe(small_recipe(manifest, *lora), tmp_path / "run")
    before, after = weights(tmp_path / "run" / "stages" / "pretrain" / "model"), weights(final)
    moved = {key for key in before if not np.array_equal(before[key], after[key])}
    assert before.keys() == after.keys() and moved
    assert all("language_model.layers" in key for key in moved)
    assert load_model(str(final)).family.model is not None


def test_the_first_matrices_of_an_adapter_follow_from_the_seed(manifest, tmp_path):
    """They came from whatever the process had drawn before, so that two runs of one seed differed."""
    changes = ("model.init=nano", "model.lora={rank: 2, alpha: 4}")
    found = []
    for number in range(2):
        torch.manual_seed(number)
        run_recipe(small_recipe(manifest, *changes), tmp_path / f"{number}", only_stage="pretrain")
        run_recipe(small_recipe(manifest, *changes), tmp_path / f"{number}", only_stage="cold_start")
        found.append(weights(tmp_path / f"{number}" / "stages" / "cold_start" / "model"))
    assert same(*found)


def test_a_run_with_lora_leaves_the_adapter_alone_too(manifest, tmp_path):
    changes = ("model.init=nano", "model.lora={rank: 2, alpha: 4}")
    run_recipe(small_recipe(manifest, *changes), tmp_path, only_stage="pretrain")
    run_recipe(small_recipe(manifest, *changes), tmp_path, only_stage="cold_start")
    assert not (tmp_path / "stages" / "pretrain" / "adapter").exists()  # the tower has none
    base = load_model(str(tmp_path / "stages" / "pretrain" / "model")).family.model
    merged = PeftModel.from_pretrained(base, tmp_path / "stages" / "cold_start" / "adapter").merge_and_unload()
    after = weights(tmp_path / "stages" / "cold_start" / "model")
    before = weights(tmp_path / "stages" / "pretrain" / "model")
    assert not same(before, after)
    assert max(np.abs(merged.state_dict()[key].numpy() - after[key]).max() for key in after) < 1e-6


def test_the_adapter_of_a_rounded_model_goes_to_the_weights_that_were_rounded(manifest, tmp_path, monkeypatch):
    """A stand-in for bitsandbytes moves every weight a little, as rounding does."""
    asked = []

    def load_rounded(name, *, sharded=False, four_bit=None):
        loaded = load_model(name, sharded=sharded)
        if four_bit is not None:
            asked.append(four_bit)
            with torch.no_grad():
                for weight in loaded.family.model.parameters():
                    weight.add_(0.001)
        return loaded

    monkeypatch.setattr(start, "load_model", load_rounded)
    recipe = small_recipe(
        manifest, "model.init=nano", "model.lora={rank: 2, alpha: 4, four_bit: {compute_dtype: float32}}"
    )
    run_recipe(recipe, tmp_path, only_stage="pretrain")
    assert not asked  # a tower is pretrained as it is
    monkeypatch.setattr(run, "is_quantised", lambda model: True)
    run_recipe(recipe, tmp_path, only_stage="cold_start")
    assert asked == [FourBit("float32", True)]
    before, after = (weights(tmp_path / "stages" / name / "model") for name in ("pretrain", "cold_start"))
    base = load_model(str(tmp_path / "stages" / "pretrain" / "model")).family.model
    merged = PeftModel.from_pretrained(base, tmp_path / "stages" / "cold_start" / "adapter").merge_and_unload()
    moved = {key for key in before if not np.array_equal(before[key], after[key])}
    assert moved and all("language_model.layers" in key for key in moved)
    assert all(np.array_equal(merged.state_dict()[key].numpy(), after[key]) for key in after)
