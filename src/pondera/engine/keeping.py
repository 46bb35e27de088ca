"""Which model a stage keeps: the last one, or the one that ranked the held-out samples best; and when to stop early.

Everything is read from the trainer's own log, which is part of every checkpoint, so that a resumed run decides as an
uninterrupted one.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from transformers import TrainerCallback

from pondera.engine.files import discard

MEASURE = "val_srcc"
_PREFIX = "best-"


def validations(history: Sequence[Mapping[str, Any]]) -> list[tuple[int, float]]:
    """Step and held-out SRCC of each validation, in order; NaN where a model ranks nothing."""
    return [(int(entry["step"]), float(entry.get(MEASURE, math.nan))) for entry in history if "val_valid" in entry]


def best_step(history: Sequence[Mapping[str, Any]]) -> int | None:
    """The step of the highest SRCC, the earliest of equal ones; None where there is none."""
    known = [(step, value) for step, value in validations(history) if math.isfinite(value)]
    return max(known, key=lambda pair: (pair[1], -pair[0]))[0] if known else None


def num_without_gain(history: Sequence[Mapping[str, Any]]) -> int:
    """How many validations there were since the best one; all, where none could be ranked."""
    best = best_step(history)
    return sum(best is None or step > best for step, _ in validations(history))


class KeepBest(TrainerCallback):
    """Saves the model whenever a validation is the best so far, as `best-STEP/` beside the checkpoints.

    An older one is deleted when a checkpoint has been written that knows of the better one, never before.

    Args:
        folder: of the stage.
        save: writes the model to a new folder; called by all processes together.
    """

    def __init__(self, folder: Path, save: Callable[[Path], None]) -> None:
        self.folder, self.save = folder, save

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """The model that the stage starts from is a candidate too."""
        if state.global_step == 0:
            self._save_if_best(state)

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """After a validation."""
        self._save_if_best(state)

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """The checkpoint of this step is there."""
        if state.is_world_process_zero:
            for old in set(self.folder.glob(_PREFIX + "*")) - {_of_step(self.folder, best_step(state.log_history))}:
                discard(old)

    def _save_if_best(self, state: Any) -> None:
        if best_step(state.log_history) == state.global_step:
            self.save(_of_step(self.folder, state.global_step))


class StopEarly(TrainerCallback):
    """Ends the stage after so many validations without a gain.

    Args:
        stage: its name.
        patience: how many, >= 1.
    """

    def __init__(self, stage: str, patience: int) -> None:
        self.stage, self.patience = stage, patience

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Killed behind the checkpoint at which it had stopped, a stage is at its end."""
        self._stop_if_stale(state, control)

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """After a validation."""
        self._stop_if_stale(state, control)

    def _stop_if_stale(self, state: Any, control: Any) -> None:
        if num_without_gain(state.log_history) >= self.patience:
            control.should_training_stop = True
            logging.getLogger("pondera").warning(
                "%s stops at step %d: %d validations brought no gain", self.stage, state.global_step, self.patience
            )


def kept_model(folder: Path, stage: str, history: Sequence[Mapping[str, Any]]) -> Path | None:
    """The folder of the best model of a stage that has ended; None where no validation could rank anything."""
    step = best_step(history)
    say = logging.getLogger("pondera").warning
    if step is None:
        say("%s keeps its last model: no validation gave an SRCC", stage)
        return None
    say("%s keeps the model of step %d, whose held-out SRCC was %.3f", stage, step, dict(validations(history))[step])
    return _of_step(folder, step)


def discard_candidates(folder: Path) -> None:
    """Delete the models that a finished stage did not keep."""
    for old in folder.glob(_PREFIX + "*"):
        discard(old)


def _of_step(folder: Path, step: int | None) -> Path:
    return folder / f"{_PREFIX}{step}"
