"""Held-out samples, scored while a stage trains."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

from transformers import TrainerCallback

from pondera.assess import Assessor
from pondera.assess.assessor import NO_ANSWER, Mode
from pondera.core.metrics import plcc, srcc
from pondera.core.records import Assessment, Sample
from pondera.engine.encoder import PresentationCache
from pondera.engine.unreadable import Unreadable
from pondera.errors import ManifestError, MediaError
from pondera.models.distribution import is_sharded, shared_out


class Validation(TrainerCallback):
    """Scores held-out samples while training and logs SRCC, PLCC and the share of valid answers.

    A reward can rise while the ranking of unseen images does not: this is the curve to watch. Processes with a whole
    model each score their share of the samples, and all of them know all scores.

    Args:
        samples: labelled, held out.
        assessor: shares the model that is trained.
        every: steps between two runs, or `epoch`; also before the first and after the last step.
        log: the trainer's `log`.
        mode: how samples are scored: as the model is taught.
        max_unreadable: share of the samples that may be unreadable; they are left out.
    """

    def __init__(
        self,
        samples: Sequence[Sample],
        assessor: Assessor,
        every: int | Literal["epoch"],
        log: Callable[[dict[str, float]], None],
        *,
        mode: Mode = "reason",
        max_unreadable: float = 0.05,
    ) -> None:
        self.samples = samples
        self.assessor = assessor
        self.shown = PresentationCache(assessor.card.view)
        self.every = every
        self.log = log
        self.mode = mode
        self.unreadable = Unreadable(len(samples), max_unreadable, "held-out sample")

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """The starting point belongs to the curve."""
        if state.global_step == 0:
            self.run()

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Every so many steps, and at the end."""
        is_due = float(state.epoch).is_integer() if self.every == "epoch" else state.global_step % self.every == 0
        if is_due or state.global_step == state.max_steps:
            self.run()
            control.should_log = True  # logging clears the flag, and this step's own loss is still to come

    def run(self) -> None:
        """Score and log."""
        model = self.assessor.family.model
        was_training = model.training
        model.eval()
        assessments = shared_out(self.samples, self._assess, jointly=is_sharded(model))
        model.train(was_training)
        found = list(zip(self.samples, assessments, strict=True))
        read = [(sample, assessment) for sample, assessment in found if not self._is_unreadable(sample, assessment)]
        valid = [(sample, assessment.score) for sample, assessment in read if assessment.error is None]
        logs = {"val_valid": len(valid) / max(len(read), 1)}
        if len(read) < len(found):
            logs["val_skipped"] = len(found) - len(read)
        if len(valid) >= 3:
            score = [score for _, score in valid]
            mos = [sample.mos_on(self.assessor.scale) for sample, _ in valid]
            logs |= {"val_srcc": srcc(score, mos), "val_plcc": plcc(score, mos)}
        self.log(logs)

    def _assess(self, samples: Sequence[Sample]) -> list[Assessment]:
        return self.assessor([self._shown(sample) for sample in samples], mode=self.mode)

    def _shown(self, sample: Sample) -> Any:
        """Videos are decoded once; one that cannot be read is left to the assessor, which says why."""
        if sample.kind != "video":
            return sample
        try:
            return self.shown.get(sample, None)
        except (MediaError, ManifestError):
            return sample

    def _is_unreadable(self, sample: Sample, assessment: Assessment) -> bool:
        is_unreadable = assessment.error is not None and not assessment.error.startswith(NO_ANSWER)
        if is_unreadable:
            self.unreadable.add(sample.id, str(assessment.error))
        return is_unreadable
