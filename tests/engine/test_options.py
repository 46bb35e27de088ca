"""Each setting of a stage does what it says: accumulation, precision, checkpointing, trackers, callbacks."""

from __future__ import annotations

import json
import sys
import types

import pytest
import torch
from safetensors.torch import load_file
from transformers import TrainerCallback
from transformers.integrations import integration_utils

from pondera.engine.run import run_recipe
from pondera.errors import ConfigError
from tests.engine.small import small_manifest, small_recipe


@pytest.fixture(scope="module")
def manifest(tmp_path_factory):
    return small_manifest(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def started(manifest, tmp_path_factory):
    """A model to start the stages from."""
    out = tmp_path_factory.mktemp("started")
    run_recipe(small_recipe(manifest, "stages.pretrain.steps=1"), out, only_stage="pretrain")
    return out / "stages" / "pretrain" / "model"


def _recipe(manifest, started, stage, *more):
    """One stage only, from that model."""
    recipe = small_recipe(manifest, f"model.init={started}", *more)
    return recipe.model_copy(update={"stages": tuple(s for s in recipe.stages if s.name == stage)})


def _lines(out):
    return [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]


def _losses(out):
    return [(line["loss"], line["grad_norm"]) for line in _lines(out) if "loss" in line]


def test_accumulated_batches_give_the_loss_and_gradient_of_one_large_batch(manifest, started, tmp_path):
    """Batches of 2 with different numbers of tokens: a mean of means would be off."""
    for name, size, batches in (("one", 6, 1), ("three", 2, 3)):
        changes = [f"stages.cold_start.{c}" for c in (f"batch_size={size}", f"gradient_accumulation={batches}")]
        run_recipe(_recipe(manifest, started, "cold_start", *changes), tmp_path / name)
    one, three = _losses(tmp_path / "one"), _losses(tmp_path / "three")
    assert len(one) == len(three) == 2
    # The weights of the second step went through Adam, which turns rounding into more.
    assert three[0] == pytest.approx(one[0], rel=1e-5) and three[1] == pytest.approx(one[1], rel=1e-3)


def _spy(monkeypatch):
    """The types that linear layers compute in while a model is trained, and whether layers are computed twice."""
    seen = {"types": set(), "calls": 0}
    forward = torch.nn.Linear.forward

    def spy(self, x):
        y = forward(self, x)
        if torch.is_grad_enabled() or not self.training:
            seen["types"].add(y.dtype)
        seen["calls"] += self.training
        return y

    monkeypatch.setattr(torch.nn.Linear, "forward", spy)
    return seen


@pytest.mark.parametrize("stage", ["cold_start", "reinforce"])
def test_precision_is_that_of_the_forward_pass_and_the_weights_stay_single(
    manifest, started, tmp_path, monkeypatch, stage
):
    for precision, expected in (("float32", torch.float32), ("bfloat16", torch.bfloat16)):
        with monkeypatch.context() as patch:
            seen = _spy(patch)
            run_recipe(_recipe(manifest, started, stage, f"stages.{stage}.precision={precision}"), tmp_path / precision)
        assert expected in seen["types"] and (precision == "bfloat16") == (torch.bfloat16 in seen["types"])
    weights = load_file(tmp_path / "bfloat16" / "final" / "model.safetensors")
    assert {tensor.dtype for tensor in weights.values() if tensor.is_floating_point()} == {torch.float32}


def test_in_bfloat16_the_kl_to_the_unchanged_reference_is_nothing(manifest, started, tmp_path):
    changes = ("precision=bfloat16", "kl_weight=0.1", "steps=1", "optimiser.warmup_steps=1")
    run_recipe(_recipe(manifest, started, "reinforce", *(f"stages.reinforce.{c}" for c in changes)), tmp_path)
    (kl,) = [line["kl"] for line in _lines(tmp_path) if "kl" in line]
    assert kl == 0.0  # a reference in single precision would be off by the rounding of bfloat16


@pytest.mark.parametrize("stage", ["cold_start", "reinforce"])
def test_gradient_checkpointing_computes_layers_twice_and_changes_nothing(
    manifest, started, tmp_path, monkeypatch, stage
):
    calls = {}
    for is_on in (False, True):
        with monkeypatch.context() as patch:
            seen = _spy(patch)
            changes = [f"stages.{stage}.gradient_checkpointing={is_on}"]
            run_recipe(_recipe(manifest, started, stage, *changes), tmp_path / str(is_on))
        calls[is_on] = seen["calls"]
    assert calls[True] > calls[False]
    plain, checkpointed = _losses(tmp_path / "False"), _losses(tmp_path / "True")
    assert all(b == pytest.approx(a, rel=1e-4, abs=1e-6) for a, b in zip(plain, checkpointed, strict=True))


class Witness(TrainerCallback):
    """Writes down what it hears."""

    heard: list[tuple[str, object]] = []  # noqa: RUF012 - made anew by each test

    def on_train_begin(self, args, state, control, **_):
        self.heard.append((args.run_name, args.report_to))

    def on_log(self, args, state, control, logs=None, **_):
        self.heard.append(("log", set(logs)))


def test_a_callback_by_its_dotted_name_hears_of_every_stage(manifest, tmp_path, monkeypatch):
    monkeypatch.setattr(Witness, "heard", [])
    run_recipe(small_recipe(manifest, f"tracking.callbacks=[{__name__}:Witness]"), tmp_path)
    names = [name for name, _ in Witness.heard if name != "log"]
    assert names == ["small-pretrain", "small-cold_start", "small-reinforce"]
    assert any("reward" in keys for name, keys in Witness.heard if name == "log")


def test_a_callback_by_its_entry_point_is_found(monkeypatch):
    from importlib.metadata import EntryPoint

    from pondera.engine import callbacks

    point = EntryPoint("witness", f"{__name__}:Witness", callbacks.GROUP)
    monkeypatch.setattr(callbacks, "entry_points", lambda group: [point] if group == callbacks.GROUP else [])
    assert [type(callback).__name__ for callback in callbacks.load_callbacks(["witness"])] == ["Witness"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("tracking.callbacks=[nobody]", r"no callback 'nobody'.*Or write package.module:Name"),
        ("tracking.callbacks=['pondera.nowhere:Name']", "'pondera.nowhere:Name' cannot be loaded"),
        ("tracking.callbacks=['json:JSONDecoder']", "is no transformers.TrainerCallback"),
        ("tracking.callbacks=[':x']", "':x' cannot be loaded"),
        ("tracking.callbacks=['pondera.engine.keeping:StopEarly']", "cannot be made without arguments: .*'stage'"),
        ("tracking.callbacks=['transformers:EarlyStoppingCallback']", "set patience in the stage instead"),
        ("tracking.report_to=[paper]", "no tracker 'paper'; the library knows .*tensorboard"),
        ("tracking.report_to=[dagshub]", "dagshub is not installed"),
    ],
)
def test_what_cannot_watch_is_refused_before_the_work(manifest, tmp_path, change, message):
    with pytest.raises(ConfigError, match=message):
        run_recipe(small_recipe(manifest, change), tmp_path)


def test_a_tracker_of_the_library_hears_of_the_run_and_its_logs_survive_it(manifest, tmp_path, monkeypatch):
    """The library's own TensorBoard callback, with a writer that leaves a file for each run."""

    class SummaryWriter:
        def __init__(self, log_dir):
            from pathlib import Path

            self.path = Path(log_dir) / "scalars.txt"
            self.path.parent.mkdir(parents=True, exist_ok=True)

        def add_scalar(self, name, value, step):
            with self.path.open("a") as file:
                file.write(f"{name}\n")

        def add_text(self, *args): ...
        def flush(self): ...
        def close(self): ...

    module = types.ModuleType("torch.utils.tensorboard")
    module.SummaryWriter = SummaryWriter
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", module)
    monkeypatch.setattr(integration_utils, "is_tensorboard_available", lambda: True)
    recipe = small_recipe(manifest, "tracking.report_to=[tensorboard]", "stages.pretrain.steps=1")
    run_recipe(recipe, tmp_path)
    for stage, name in (("pretrain", "train/loss"), ("cold_start", "train/val_valid"), ("reinforce", "train/reward")):
        assert name in (tmp_path / "stages" / stage / "tensorboard" / "scalars.txt").read_text().splitlines()
