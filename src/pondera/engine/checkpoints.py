"""Checkpoints that are whole or absent, and a trainer that goes on from them to the same last bit.

The library writes the files of a checkpoint one after the other under its final name and resumes from the highest
number, complete or not. Here they are written beside it, and the folder appears with one rename.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from transformers import Trainer

from pondera.engine.files import discard, publish, saving
from pondera.models.distribution import is_sharded

_PREFIX = "checkpoint-"


def last_checkpoint(folder: Path) -> Path | None:
    """The newest checkpoint in a folder of them; None where there is none.

    Args:
        folder: holds `checkpoint-STEP/`.
    """
    found = [path for path in folder.glob(_PREFIX + "*") if path.name.removeprefix(_PREFIX).isdigit()]
    return max(found, key=_step, default=None)


class StageTrainer(Trainer):
    """The library's trainer with whole checkpoints, of which it keeps the last one.

    Args:
        **kwargs: for the library's trainer; `args.output_dir` holds the checkpoints.
    """

    def __init__(self, **kwargs: Any) -> None:
        if is_sharded(kwargs["model"]):  # the library cannot save the optimiser of pieces; `docs/distributed.md`
            kwargs["args"].set_save(strategy="no")
        super().__init__(**kwargs)
        self._writes_to: Path | None = None

    @property
    def checkpoints(self) -> Path:
        """The folder of checkpoints."""
        return Path(str(self.args.output_dir))

    @property
    def _partial(self) -> Path:
        return self.checkpoints / "partial"

    def run(self, *, resume: bool) -> None:
        """Train to the end.

        Args:
            resume: from the last checkpoint, where there is one.

        Raises:
            TrainingError: a file could not be written.
        """
        if self.is_world_process_zero():
            shutil.rmtree(self._partial, ignore_errors=True)  # of a kill
        last = last_checkpoint(self.checkpoints) if resume else None
        self.train(resume_from_checkpoint=None if last is None else str(last))

    def _get_output_dir(self, trial: Any) -> str:
        return super()._get_output_dir(trial) if self._writes_to is None else str(self._writes_to)

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        """Write beside, rename, forget the older ones: at any moment at least one whole checkpoint exists."""
        name = f"{_PREFIX}{self.state.global_step}"
        self._writes_to = self._partial
        try:
            with saving(f"checkpoint of step {self.state.global_step} in {self.checkpoints}"):
                super()._save_checkpoint(model, trial)
                self.accelerator.wait_for_everyone()
                if self.is_world_process_zero():
                    publish(self._writes_to / name, self.checkpoints / name)
                    for old in set(self.checkpoints.glob(_PREFIX + "*")) - {self.checkpoints / name}:
                        discard(old)
        finally:
            if self.is_world_process_zero():
                shutil.rmtree(self._writes_to, ignore_errors=True)  # half a checkpoint keeps a full disk full
            self._writes_to = None

    def _run_epoch(self, *args: Any, **kwargs: Any) -> None:
        # Killed between its last checkpoint and the saved model, the library would train one step too many.
        if self.state.global_step < self.state.max_steps and not self.control.should_training_stop:
            super()._run_epoch(*args, **kwargs)


def _step(path: Path) -> int:
    return int(path.name.removeprefix(_PREFIX))
