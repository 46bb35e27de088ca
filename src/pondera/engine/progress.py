"""How far a stage is: a line that renews itself where a person watches, plain lines in a pipe or a log file."""

from __future__ import annotations

import sys
import time
from typing import Any

from transformers import TrainerCallback

_SHOWN = ("loss", "reward", "kl", "entropy", "val_srcc", "val_plcc")
_SILENCE_S = 15.0  # a log file gets a line at most this often, beside those of validations


class Progress(TrainerCallback):
    """Stage, step, loss, reward, KL, entropy and held-out SRCC on stderr.

    Args:
        stage: its name.
    """

    def __init__(self, stage: str) -> None:
        self.stage = stage
        self.values: dict[str, str] = {}
        self.bar: Any = None
        self._spoke_s = -_SILENCE_S

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Begin where training goes on."""
        if state.is_world_process_zero and sys.stderr.isatty():
            from tqdm import tqdm

            self.bar = tqdm(
                desc=self.stage, unit="step", dynamic_ncols=True, total=state.max_steps, initial=state.global_step
            )

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Move on."""
        if self.bar is not None:
            self.bar.update(state.global_step - self.bar.n)

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **_: Any) -> None:
        """Show the newest values."""
        new = {name: f"{logs[name]:.3f}" for name in _SHOWN if logs and name in logs}
        self.values |= new
        if self.bar is not None:
            self.bar.set_postfix(self.values, refresh=False)
        elif new and state.is_world_process_zero:
            self._speak(state, is_news="val_srcc" in new or state.global_step == state.max_steps)

    def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Leave the last state on the screen."""
        if self.bar is not None:
            self.bar.close()

    def _speak(self, state: Any, *, is_news: bool) -> None:
        now_s = time.monotonic()
        if is_news or now_s - self._spoke_s >= _SILENCE_S:
            self._spoke_s = now_s
            values = ", ".join(f"{name} {value}" for name, value in self.values.items())
            print(f"{self.stage} {state.global_step}/{state.max_steps}: {values}", file=sys.stderr, flush=True)
