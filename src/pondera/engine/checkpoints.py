"""Checkpoints that are whole or absent, and a trainer that goes on from them to the same last bit.

The library writes the files of a checkpoint one after the other under its final name and resumes from the highest
number, complete or not. Here they are written beside it, and the folder appears with one rename.
"""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path
from typing import Any

import torch
from transformers import Trainer

from pondera.engine.files import discard, publish, saving, write_text
from pondera.engine.unreadable import Unreadable
from pondera.errors import TrainingError

_PREFIX = "checkpoint-"
_PIECES = "pieces"
_SCHEDULE = "schedule.pt"
_UNREADABLE = "unreadable.json"
_MOST_NOT_FINITE = 3  # a norm can overflow once and weights stay sound; NaN in the weights never leaves them


def last_checkpoint(folder: Path) -> Path | None:
    """The newest checkpoint in a folder of them; None where there is none.

    Args:
        folder: holds `checkpoint-STEP/`.
    """
    found = [path for path in folder.glob(_PREFIX + "*") if path.name.removeprefix(_PREFIX).isdigit()]
    return max(found, key=_step, default=None)


class StageTrainer(Trainer):
    """The library's trainer with whole checkpoints, of which it keeps the last one.

    Subclasses leave in `_step_logs` what they know of a step; it goes on the line of the step's loss.

    Args:
        **kwargs: for the library's trainer; `args.output_dir` holds the checkpoints.
    """

    unreadable: Unreadable | None = None  # a subclass's count; checkpoints carry it on

    def __init__(self, **kwargs: Any) -> None:
        arguments = kwargs["args"]
        arguments.save_only_model = True  # the library knows no optimiser in pieces and refuses to save it; we do
        super().__init__(**kwargs)
        arguments.save_only_model = False
        self._writes_to: Path | None = None
        self._step_logs: dict[str, float] = {}
        self._num_not_finite = 0  # steps in a row
        # By `model.sharded`; what accelerate shards (`docs/distributed.md`), the library writes and reads itself.
        self._in_pieces = bool(getattr(self, "is_distributed_loading_by_transformers", False))

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
        if last is not None and self.unreadable is not None and (last / _UNREADABLE).is_file():
            self.unreadable.go_on(json.loads((last / _UNREADABLE).read_text(encoding="utf-8")))
        self.train(resume_from_checkpoint=None if last is None else str(last))
        if self._num_not_finite:
            self._refuse_diverged()

    def log(self, logs: dict[str, float], *args: Any, **kwargs: Any) -> None:
        """Also what the step has left.

        Raises:
            TrainingError: loss or gradient have not been finite for some steps.
        """
        super().log({**logs, **self._step_logs} if "loss" in logs else logs, *args, **kwargs)
        if "loss" in logs:
            self._watch(logs["loss"], logs.get("grad_norm", 0.0))

    def _watch(self, loss: float, gradient_norm: float) -> None:
        """Count steps that are not finite; the values are those of all processes."""
        if math.isfinite(loss) and math.isfinite(gradient_norm):
            self._num_not_finite = 0
            return
        self._num_not_finite += 1
        trainer: Any = self
        trainer._tr_loss.zero_()  # the library subtracts it from itself, which leaves NaN what it is
        if self._num_not_finite >= _MOST_NOT_FINITE:
            self._refuse_diverged()

    def _refuse_diverged(self) -> None:
        last = last_checkpoint(self.checkpoints)
        raise TrainingError(
            f"training diverged: loss or gradient norm is not a finite number at step {self.state.global_step}, for "
            f"{self._num_not_finite} steps. The last checkpoint before is {last or 'none yet'}; lower "
            "optimiser.learning_rate or optimiser.max_grad_norm, or raise optimiser.warmup_steps, and start again"
        )

    def _get_output_dir(self, trial: Any) -> str:
        return super()._get_output_dir(trial) if self._writes_to is None else str(self._writes_to)

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        """Write beside, rename, forget the older ones: at any moment at least one whole checkpoint exists.

        None is made of weights that are on their way to nowhere: it would take the place of the last good one.
        """
        if self._num_not_finite:
            return
        name = f"{_PREFIX}{self.state.global_step}"
        self._writes_to = self._partial
        try:
            with saving(f"checkpoint of step {self.state.global_step} in {self.checkpoints}"):
                super()._save_checkpoint(model, trial)
                self.accelerator.wait_for_everyone()
                if self.is_world_process_zero():
                    if self.unreadable is not None:
                        write_text(self._writes_to / name / _UNREADABLE, json.dumps(self.unreadable.reasons))
                    publish(self._writes_to / name, self.checkpoints / name)
                    for old in set(self.checkpoints.glob(_PREFIX + "*")) - {self.checkpoints / name}:
                        discard(old)
        finally:
            if self.is_world_process_zero():
                shutil.rmtree(self._writes_to, ignore_errors=True)  # half a checkpoint keeps a full disk full
            self._writes_to = None

    def _save(self, output_dir: str | None = None, state_dict: Any = None) -> None:
        if not self._in_pieces:  # their weights go with their optimiser
            super()._save(output_dir, state_dict)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        if not self._in_pieces:
            super()._load_from_checkpoint(resume_from_checkpoint, model)

    def _save_optimizer_and_scheduler(self, output_dir: str) -> None:
        if not self._in_pieces:
            super()._save_optimizer_and_scheduler(output_dir)
            return
        from pondera.engine.pieces import save_pieces

        trainer: Any = self  # whose parts are there by now
        save_pieces(trainer.model, self._bare_optimiser, Path(output_dir) / _PIECES)
        if self.is_world_process_zero():
            groups = [{k: v for k, v in g.items() if k != "params"} for g in self._bare_optimiser.param_groups]
            torch.save((groups, trainer.lr_scheduler.state_dict()), Path(output_dir) / _SCHEDULE)

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        if not self._in_pieces or checkpoint is None:
            super()._load_optimizer_and_scheduler(checkpoint)
            return
        from pondera.engine.pieces import load_pieces

        trainer: Any = self
        load_pieces(trainer.model, self._bare_optimiser, Path(checkpoint) / _PIECES)
        groups, schedule = torch.load(Path(checkpoint) / _SCHEDULE, weights_only=True)
        for group, kept in zip(self._bare_optimiser.param_groups, groups, strict=True):
            group.update(kept)
        trainer.lr_scheduler.load_state_dict(schedule)

    @property
    def _bare_optimiser(self) -> torch.optim.Optimizer:
        optimiser: Any = self.optimizer
        return getattr(optimiser, "optimizer", optimiser)  # without accelerate's wrapper

    def _run_epoch(self, *args: Any, **kwargs: Any) -> None:
        # Killed between its last checkpoint and the saved model, the library would train one step too many.
        if self.state.global_step < self.state.max_steps and not self.control.should_training_stop:
            super()._run_epoch(*args, **kwargs)


def _step(path: Path) -> int:
    return int(path.name.removeprefix(_PREFIX))
