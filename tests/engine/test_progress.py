"""What a run says while it goes on."""

from __future__ import annotations

import io
import sys

import pytest
from transformers import TrainerControl, TrainerState

from pondera.engine import progress
from pondera.engine.progress import Progress


class Terminal(io.StringIO):
    def isatty(self):
        return True


def _run(monkeypatch, stream, steps, logs, rank=0):
    monkeypatch.setattr(sys, "stderr", stream)
    shown, control = Progress("reinforce"), TrainerControl()
    state = TrainerState(max_steps=steps, is_world_process_zero=rank == 0)
    shown.on_train_begin(None, state, control)
    for state.global_step in range(1, steps + 1):
        shown.on_step_end(None, state, control)
        shown.on_log(None, state, control, logs=logs(state.global_step))
    shown.on_train_end(None, state, control)
    return stream.getvalue()


def _values(step):
    return {"loss": 0.5, "reward": step / 10, "kl": 0.01, "entropy": 0.3, "unknown": 1.0}


def test_a_pipe_gets_plain_lines_without_control_characters(monkeypatch):
    text = _run(monkeypatch, io.StringIO(), 3, _values)
    assert text.splitlines() == [
        "reinforce 1/3: loss 0.500, reward 0.100, kl 0.010, entropy 0.300",
        "reinforce 3/3: loss 0.500, reward 0.300, kl 0.010, entropy 0.300",
    ]
    assert all(char.isprintable() or char == "\n" for char in text)


def test_a_validation_is_said_at_once(monkeypatch):
    text = _run(monkeypatch, io.StringIO(), 4, lambda step: {"val_srcc": 0.7} if step == 2 else {"loss": 1.0})
    assert text.splitlines()[1] == "reinforce 2/4: loss 1.000, val_srcc 0.700"


def test_a_log_file_hears_from_a_long_stage_again(monkeypatch):
    monkeypatch.setattr(progress, "_SILENCE_S", 0.0)
    assert len(_run(monkeypatch, io.StringIO(), 5, _values).splitlines()) == 5


def test_a_terminal_gets_one_line_that_renews_itself(monkeypatch):
    text = _run(monkeypatch, Terminal(), 3, _values)
    assert "\r" in text and "reward=0.300" in text and "entropy=0.300" in text and text.count("\n") == 1


@pytest.mark.parametrize("stream", [io.StringIO, Terminal])
def test_only_the_first_process_speaks(monkeypatch, stream):
    assert _run(monkeypatch, stream(), 3, _values, rank=1) == ""
