"""The command ends when its work does, in all processes, with the exit code that says how it went."""

from __future__ import annotations

import pytest

from tests.engine.launch import torchrun
from tests.engine.small import RECIPE, small_manifest, small_paths


# A model that DDP wrapped was freed behind its group once, and its process never ended: the timeout says so.
@pytest.mark.slow
@pytest.mark.parametrize(
    ("callbacks", "code", "words"),
    [("[]", 0, "the model is in"), ("[tests.engine.failing:FailAtTheEnd]", 1, "TrainingError: told to fail")],
)
def test_the_command_ends_under_torchrun(tmp_path, callbacks, code, words):
    changes = small_paths(small_manifest(tmp_path)) | {
        "stages.pretrain.steps": 1,
        "stages.cold_start.epochs": 0.5,
        "stages.reinforce.steps": 1,
        "tracking.callbacks": callbacks,
    }
    options = [part for key, value in changes.items() for part in ("--set", f"{key}={value}")]
    out = tmp_path / "run"
    done = torchrun("-m", "pondera", "train", RECIPE, *options, "--out", out)
    assert done.returncode == code, done.stderr[-4000:]
    assert words in done.stderr and (out / "final").is_dir() == (code == 0)
    assert done.stdout.split() == ([str(out / "final")] if code == 0 else [])
