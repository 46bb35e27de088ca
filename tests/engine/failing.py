"""A callback that ends a run while its model is wrapped."""

from __future__ import annotations

from typing import Any

from transformers import TrainerCallback

from pondera.errors import TrainingError


class FailAtTheEnd(TrainerCallback):
    """Fails in all processes, behind the first step."""

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        raise TrainingError("told to fail")
