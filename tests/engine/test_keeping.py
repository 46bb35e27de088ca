"""Which model a stage keeps, and when it stops early."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from pondera.engine import training
from pondera.engine.keeping import best_step, num_without_gain
from pondera.engine.run import run_recipe
from pondera.engine.training import MetricsFile
from pondera.errors import TrainingError
from tests.engine.small import same, small_manifest, small_recipe, weights


def _history(*values):
    """Validations at steps 0, 10, 20, ..., with a line of the loss behind each."""
    lines = []
    for n, value in enumerate(values):
        known = {} if value is None else {"val_srcc": value}
        lines += [{"step": 10 * n, "val_valid": 1.0, **known}, {"step": 10 * n + 1, "loss": 1.0}]
    return lines


@pytest.mark.parametrize(
    ("values", "best", "stale"),
    [
        ((0.1, 0.5, 0.3, 0.4), 10, 2),
        ((0.5, 0.5), 0, 1),  # an equal one is no gain
        ((0.2, math.nan, None, 0.3), 30, 0),
        ((None, math.nan), None, 2),
        ((), None, 0),
        ((-0.4, -0.2), 10, 0),
    ],
)
def test_the_best_is_the_earliest_of_the_highest_known(values, best, stale):
    assert best_step(_history(*values)) == best
    assert num_without_gain(_history(*values)) == stale


@pytest.fixture(scope="module")
def manifest(tmp_path_factory):
    return small_manifest(tmp_path_factory.mktemp("data"))


@pytest.fixture
def scripted(monkeypatch):
    """Validations with the SRCC of a script, by step."""
    curve = {0: 0.0, 1: 0.2, 2: 0.6, 3: 0.4, 4: 0.5, 5: 0.1, 6: 0.3}

    log = training.StageTrainer.log

    def with_srcc(self, logs, *args, **kwargs):
        if "val_valid" in logs:
            logs = {"val_valid": 1.0, "val_srcc": curve[self.state.global_step]}
        log(self, logs, *args, **kwargs)

    monkeypatch.setattr(training.Validation, "run", lambda self: self.log({"val_valid": 1.0}))
    monkeypatch.setattr(training.StageTrainer, "log", with_srcc)


def _cold_start(manifest, *more):
    changes = [f"stages.cold_start.{change}" for change in ("validate_every=1", "epochs=2", "save_every=3", *more)]
    return small_recipe(manifest, *changes, "stages.pretrain.steps=1")


def _run(recipe, out, **options):
    for stage in ("pretrain", "cold_start"):
        run_recipe(recipe, out, only_stage=stage, **options)
    return out / "stages" / "cold_start"


def _steps(out):
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    return [line["step"] for line in lines if line["stage"] == "cold_start" and "loss" in line]


def test_the_best_model_is_kept_and_the_others_are_not(manifest, tmp_path, scripted):
    best = _run(_cold_start(manifest, "keep=best"), tmp_path / "best")
    two_steps = _run(_cold_start(manifest, "patience=2"), tmp_path / "last")
    assert _steps(tmp_path / "best") == [1, 2, 3, 4, 5, 6] and _steps(tmp_path / "last") == [1, 2, 3, 4]
    assert [path.name for path in best.iterdir()] == ["model"]
    assert not same(weights(best / "model"), weights(two_steps / "model"))
    third = _run(_cold_start(manifest, "keep=best", "patience=1"), tmp_path / "third")
    assert _steps(tmp_path / "third") == [1, 2, 3] and same(weights(best / "model"), weights(third / "model"))


def test_killed_behind_its_early_stop_a_stage_trains_no_further(manifest, tmp_path, scripted, monkeypatch):
    recipe = _cold_start(manifest, "patience=1", "keep=best", "save_every=1")
    expected = _run(recipe, tmp_path / "whole")
    with monkeypatch.context() as patch, pytest.raises(ZeroDivisionError):
        patch.setattr("pondera.engine.training.kept_model", lambda *args: 1 / 0)
        _run(recipe, tmp_path / "killed")
    killed = _run(recipe, tmp_path / "killed", resume=True)
    assert _steps(tmp_path / "killed") == [1, 2, 3]
    assert same(weights(killed / "model"), weights(expected / "model"))


def test_a_resumed_stage_keeps_the_model_that_an_uninterrupted_one_keeps(manifest, tmp_path, scripted, monkeypatch):
    recipe = _cold_start(manifest, "keep=best")
    expected = _run(recipe, tmp_path / "whole")

    def die(self, args, state, control, **kwargs):
        if self.stage == "cold_start" and state.global_step == 5:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(MetricsFile, "on_step_begin", die, raising=False)
        _run(recipe, tmp_path / "killed")
    candidates = sorted(path.name for path in (tmp_path / "killed" / "stages" / "cold_start").glob("best-*"))
    assert candidates == ["best-2"]  # those of steps 0 and 1 left with the checkpoint of step 3
    assert same(weights(_run(recipe, tmp_path / "killed", resume=True) / "model"), weights(expected / "model"))


def test_epochs_are_validated_at_their_ends(manifest, tmp_path, scripted):
    _run(_cold_start(manifest, "validate_every=epoch"), tmp_path)
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines if "val_valid" in line] == [0, 3, 6]


def test_the_best_epoch_of_an_adapter_is_kept_as_a_plain_model(manifest, tmp_path, scripted, monkeypatch):
    """LoRA, `keep: best` and `validate_every: epoch` together, killed behind the best epoch (step 3) and resumed."""

    def recipe(*more):
        changes = ("epochs=2", "save_every=1", "validate_every=epoch", *more)
        changes = [f"stages.cold_start.{change}" for change in changes]
        return small_recipe(manifest, *changes, "stages.pretrain.steps=1", "model.lora={rank: 2, alpha: 4}")

    def die(self, args, state, control, **kwargs):
        if self.stage == "cold_start" and state.global_step == 5:
            raise KeyboardInterrupt

    best = weights(_run(recipe("keep=best"), tmp_path / "best") / "model")
    last = weights(_run(recipe(), tmp_path / "last") / "model")
    start = weights(tmp_path / "best" / "stages" / "pretrain" / "model")
    moved = {key for key in start if not np.array_equal(start[key], best[key])}
    assert best.keys() == start.keys() == last.keys()
    assert moved and all("language_model.layers" in key for key in moved)
    assert not same(best, last)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(MetricsFile, "on_step_begin", die, raising=False)
        _run(recipe("keep=best"), tmp_path / "killed")
    assert same(weights(_run(recipe("keep=best"), tmp_path / "killed", resume=True) / "model"), best)


@pytest.mark.parametrize("change", ["keep=best", "patience=2"])
def test_what_needs_held_out_samples_is_refused_without_them(manifest, tmp_path, change):
    with pytest.raises(TrainingError, match="need held-out samples"):
        _run(small_recipe(manifest, f"stages.cold_start.{change}", "data.validation_split=null"), tmp_path)
