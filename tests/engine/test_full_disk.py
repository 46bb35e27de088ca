"""A full disk while saving: what was complete stays, the run says what to do, and goes on when there is space."""

from __future__ import annotations

import errno
import resource
import signal
from contextlib import contextmanager
from pathlib import Path

import pytest
import safetensors.torch
import torch
from transformers import TrainerState

from pondera.engine.checkpoints import last_checkpoint
from pondera.engine.files import new_folder
from pondera.engine.run import run_recipe
from pondera.errors import TrainingError
from tests.engine.small import same, small_manifest, small_recipe, weights

WAY_OUT = "could not be written: .*complete before is still there: .* go on with --resume"


@contextmanager
def largest_file(num_bytes):
    """The operating system refuses to let files grow beyond a size, as a full disk would."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)


@pytest.fixture(scope="module")
def manifest(tmp_path_factory):
    return small_manifest(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def whole(manifest, tmp_path_factory):
    out = tmp_path_factory.mktemp("whole")
    run_recipe(_recipe(manifest), out)
    return out


def _recipe(manifest):
    return small_recipe(manifest, "stages.pretrain.steps=3", "stages.pretrain.save_every=1")


def _fails_at(monkeypatch, owner, name, call):
    """Let the n-th call of a function meet a full disk."""
    function, calls = getattr(owner, name), []

    def full(*args, **kwargs):
        calls.append(name)
        if len(calls) == call:
            raise OSError(errno.ENOSPC, "No space left on device")
        return function(*args, **kwargs)

    monkeypatch.setattr(owner, name, full)


def _appending_fails(monkeypatch, file, call):
    function, calls = Path.open, []

    def full(path, mode="r", *args, **kwargs):
        if (path.name, mode) == (file, "a"):
            calls.append(file)
            if len(calls) == call:
                raise OSError(errno.ENOSPC, "No space left on device")
        return function(path, mode, *args, **kwargs)

    monkeypatch.setattr(Path, "open", full)


@pytest.mark.parametrize(
    ("owner", "name", "call"),
    [
        (safetensors.torch, "save_file", 2),  # the weights of the second checkpoint
        (torch, "save", 6),  # its optimiser
        (TrainerState, "save_to_json", 2),
    ],
)
def test_a_checkpoint_that_does_not_fit_leaves_the_one_before(
    manifest, whole, tmp_path, monkeypatch, owner, name, call
):
    with monkeypatch.context() as patch, pytest.raises(TrainingError, match=rf"checkpoint of step 2 .*{WAY_OUT}"):
        _fails_at(patch, owner, name, call)
        run_recipe(_recipe(manifest), tmp_path)
    checkpoints = tmp_path / "stages" / "pretrain" / "checkpoints"
    assert [path.name for path in checkpoints.iterdir()] == ["checkpoint-1"]
    assert same(weights(run_recipe(_recipe(manifest), tmp_path, resume=True)), weights(whole / "final"))


def test_a_file_system_that_takes_no_more_bytes_leaves_no_half_checkpoint(manifest, tmp_path):
    with pytest.raises(TrainingError, match=WAY_OUT), largest_file(20_000):
        run_recipe(_recipe(manifest), tmp_path, only_stage="pretrain")
    assert last_checkpoint(tmp_path / "stages" / "pretrain" / "checkpoints") is None
    assert not list(tmp_path.rglob("*partial*"))
    run_recipe(_recipe(manifest), tmp_path, only_stage="pretrain", resume=True)


@pytest.mark.parametrize("what", ["model", "metrics", "rollouts", "final"])
def test_whatever_else_does_not_fit_is_said_too_and_written_when_it_does(manifest, whole, tmp_path, monkeypatch, what):
    from pondera.engine import rollouts, run, run_folder

    with monkeypatch.context() as patch, pytest.raises(TrainingError, match=WAY_OUT):
        if what == "model":
            _fails_at(patch, run_folder.Family, "save", 2)
        elif what == "metrics":
            _appending_fails(patch, "metrics.jsonl", 5)
        elif what == "rollouts":
            _fails_at(patch, rollouts, "write_completions", 1)
        else:
            _fails_at(patch, run.shutil, "copytree", 1)
        run_recipe(_recipe(manifest), tmp_path)
    assert not (tmp_path / "final").exists()
    assert same(weights(run_recipe(_recipe(manifest), tmp_path, resume=True)), weights(whole / "final"))


def test_a_folder_that_cannot_be_filled_leaves_the_old_one(tmp_path):
    target = tmp_path / "model"
    with new_folder(target) as partial:
        (partial / "file").write_text("old")
    with pytest.raises(OSError, match="No space"), new_folder(target) as partial:
        (partial / "file").write_text("ne")
        raise OSError(errno.ENOSPC, "No space left on device")
    assert [str(p.relative_to(tmp_path)) for p in sorted(tmp_path.rglob("*"))] == ["model", str(Path("model/file"))]
    assert (target / "file").read_text() == "old"
