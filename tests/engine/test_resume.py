"""Killed and resumed, a run ends where the uninterrupted one does: same weights, same metrics, same roll-outs."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from pondera.data.completions import read_completions
from pondera.engine import pretrain
from pondera.engine.checkpoints import StageTrainer, last_checkpoint
from pondera.engine.run import run_recipe
from pondera.engine.training import MetricsFile
from pondera.errors import ConfigError
from tests.engine.small import same, small_manifest, small_recipe, weights

# The built-in model answers, so that reinforcement has something to learn; small steps keep it able to.
SPEAKING = (
    "model.init=nano",
    "prompts.max_new_tokens=60",
    "stages.reinforce.prompts={reason: short.unit, fast: short.unit.fast, max_new_tokens: 60}",  # what it answers to
    "data.validation_samples=2",
    "stages.pretrain.optimiser.learning_rate=1e-5",
    "stages.pretrain.steps=4",
    "stages.pretrain.save_every=2",
    "stages.cold_start.optimiser.learning_rate=1e-5",
    "stages.cold_start.epochs=2",
    "stages.cold_start.save_every=2",
    "stages.reinforce.group_size=4",
)


@pytest.fixture(scope="module")
def manifest(tmp_path_factory):
    return small_manifest(tmp_path_factory.mktemp("data"))


def _kill(manifest, out, moments, changes):
    """Run with kills; how often it was killed, and the folders of the runs."""
    command = [sys.executable, "-m", "tests.engine.killed", str(manifest), str(out), *moments, "--", *changes]
    done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=Path(__file__).parents[2])
    attempts = [line.rsplit(maxsplit=2) for line in done.stdout.splitlines()]
    assert {outcome for _, _, outcome in attempts} <= {"killed", "ended"}, done.stderr[-2000:]
    return sum(outcome == "killed" for _, _, outcome in attempts), sorted(path for path in out.iterdir())


def _log(run):
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [{k: v for k, v in line.items() if not k.startswith(("train_", "total_"))} for line in lines]


def _rollouts(run):
    return {path.name: read_completions(path) for path in (run / "stages" / "reinforce" / "rollouts").iterdir()}


def _check(run, whole):
    assert same(weights(run / "final"), weights(whole / "final"))
    assert _log(run) == _log(whole)
    assert _rollouts(run) == _rollouts(whole)


def test_a_run_killed_twice_while_it_writes_ends_where_an_uninterrupted_one_does(manifest, tmp_path):
    # This model has no answers to learn from: decay moves it, and the KL then pulls it back at what it sampled.
    changes = [
        f"stages.reinforce.{change}" for change in ("optimiser.weight_decay=0.1", "kl_weight=0.5", "record_every=1")
    ]
    whole = tmp_path / "whole"
    run_recipe(small_recipe(manifest, *changes), whole)
    before, after = (weights(whole / "stages" / name / "model") for name in ("cold_start", "reinforce"))
    assert not same(before, after)  # else the comparison below would say nothing about reinforcement
    num_kills, (run,) = _kill(manifest, tmp_path / "killed", ["70e", "60e"], changes)
    assert num_kills == 2
    _check(run, whole)


@pytest.mark.slow
def test_a_run_killed_at_twenty_random_moments_ends_where_an_uninterrupted_one_does(manifest, tmp_path):
    changes = [*SPEAKING, "stages.reinforce.steps=14", "stages.reinforce.validate_every=3"]
    run_recipe(small_recipe(manifest, *changes), tmp_path / "whole")
    rng = np.random.default_rng(0)
    # More than twenty: a run that ends before its moment is not killed.
    by_event = [f"{n}e" for n in rng.integers(10, 130, 13)]
    by_time = [f"{s:.2f}s" for s in rng.uniform(0.3, 4, 13)]
    moments = [str(moment) for moment in rng.permutation(by_event + by_time)]
    num_kills, runs = _kill(manifest, tmp_path / "killed", moments, changes)
    assert num_kills >= 20
    for run in runs:
        _check(run, tmp_path / "whole")


def _interrupt(monkeypatch, stage, step):
    def die(self, args, state, control, **kwargs):
        if self.stage == stage and state.global_step == step:
            raise KeyboardInterrupt

    monkeypatch.setattr(MetricsFile, "on_step_begin", die, raising=False)


def test_a_run_killed_behind_its_last_checkpoint_trains_no_step_too_many(manifest, tmp_path, monkeypatch):
    changes = ("stages.pretrain.steps=3", "stages.cold_start.epochs=0.5", "stages.cold_start.save_every=1")
    run_recipe(small_recipe(manifest, *changes), tmp_path / "whole", only_stage="pretrain")
    run_recipe(small_recipe(manifest, *changes), tmp_path / "whole", only_stage="cold_start")
    run_recipe(small_recipe(manifest, *changes), tmp_path / "killed", only_stage="pretrain")
    monkeypatch.setattr("pondera.engine.run.save_model", lambda *args: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        run_recipe(small_recipe(manifest, *changes), tmp_path / "killed", only_stage="cold_start")
    monkeypatch.undo()
    run_recipe(small_recipe(manifest, *changes), tmp_path / "killed", only_stage="cold_start", resume=True)
    models = [weights(tmp_path / run / "stages" / "cold_start" / "model") for run in ("whole", "killed")]
    assert same(*models) and _log(tmp_path / "whole") == _log(tmp_path / "killed")


def test_resumed_pretraining_makes_only_the_crops_that_are_still_to_come(manifest, tmp_path, monkeypatch):
    recipe = small_recipe(manifest, "stages.pretrain.steps=6", "stages.pretrain.save_every=4")
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        _interrupt(patch, "pretrain", 5)
        run_recipe(recipe, tmp_path / "run")
    made = []
    crop_group = pretrain.crop_group
    monkeypatch.setattr(pretrain, "crop_group", lambda *a, **k: made.append(k["index"]) or crop_group(*a, **k))
    run_recipe(recipe, tmp_path / "run", only_stage="pretrain", resume=True)
    assert len(made) == 2 * 2  # steps 5 and 6, two groups each


def test_a_checkpoint_that_was_being_written_is_never_resumed_from(manifest, tmp_path, monkeypatch):
    recipe = small_recipe(manifest, "stages.pretrain.steps=3", "stages.pretrain.save_every=1")

    def die(self, output_dir):
        if self.state.global_step == 2:  # the weights of step 2 are on the disk, its optimiser is not
            raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(StageTrainer, "_save_optimizer_and_scheduler", die)
        run_recipe(recipe, tmp_path / "run")
    checkpoints = tmp_path / "run" / "stages" / "pretrain" / "checkpoints"
    assert last_checkpoint(checkpoints) == checkpoints / "checkpoint-1"


def test_an_interrupted_stage_is_not_started_again_without_a_word(manifest, tmp_path, monkeypatch):
    recipe = small_recipe(manifest, "stages.pretrain.save_every=1")
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        _interrupt(patch, "pretrain", 1)
        run_recipe(recipe, tmp_path / "run")
    with pytest.raises(ConfigError, match=r"'pretrain' was interrupted, its last checkpoint is .*checkpoint-1; go on"):
        run_recipe(recipe, tmp_path / "run", only_stage="pretrain")
