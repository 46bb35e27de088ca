"""What both kinds of stage share: trainer arguments, the metrics file, held-out validation.

The trainers are small subclasses of `transformers.Trainer`, so that devices, mixed precision, distribution,
checkpoints, resuming and trackers are the library's.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import PrinterCallback, Trainer, TrainerCallback, TrainingArguments

from pondera.assess import Assessor
from pondera.assess.assessor import Mode
from pondera.config import ColdStartStage, PretrainStage, ReinforceStage
from pondera.core.metrics import plcc, srcc
from pondera.core.records import Sample
from pondera.engine.encoder import PresentationCache
from pondera.engine.files import saving, write_text
from pondera.errors import ManifestError, MediaError
from pondera.models.loading import default_device


def training_arguments(
    stage: PretrainStage | ColdStartStage | ReinforceStage, folder: Path, *, seed: int, batch_size: int, **limits: Any
) -> TrainingArguments:
    """The library's arguments for one stage."""
    optimiser = stage.optimiser
    return TrainingArguments(
        output_dir=str(folder / "checkpoints"),
        per_device_train_batch_size=batch_size,
        learning_rate=optimiser.learning_rate,
        lr_scheduler_type=optimiser.schedule,
        warmup_steps=optimiser.warmup_steps,
        weight_decay=optimiser.weight_decay,
        max_grad_norm=optimiser.max_grad_norm,
        adam_beta2=optimiser.adam_beta2,
        seed=seed,
        data_seed=seed,
        logging_steps=1,
        logging_nan_inf_filter=False,
        save_steps=stage.save_every,
        remove_unused_columns=False,
        dataloader_pin_memory=False,
        use_cpu=default_device() == "cpu",
        report_to=[],
        disable_tqdm=True,
        **limits,
    )


def has_fast_bfloat16() -> bool:
    """Whether this machine computes faster in bfloat16: processors with instructions for it, GPUs since Ampere."""
    if torch.cuda.is_available():
        return torch.cuda.is_bf16_supported(including_emulation=False)
    tests = ("_is_amx_tile_supported", "_is_avx512_bf16_supported")
    return any(getattr(torch.cpu, test, lambda: False)() for test in tests)


def freeze_batch_norm(model: nn.Module) -> None:
    """Keep running statistics as they are: the policy that samples must be the policy that is updated."""
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.eval()


class MetricsFile(TrainerCallback):
    """Appends everything that is logged to `metrics.jsonl`, one object a line; a resumed run drops what it redoes.

    Args:
        path: the file of the whole run.
        stage: whose lines these are.
    """

    def __init__(self, path: Path, stage: str) -> None:
        self.path = path
        self.stage = stage

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Forget lines behind the checkpoint that training resumes from."""
        if not (self.path.is_file() and state.is_world_process_zero):
            return
        lines = self.path.read_text(encoding="utf-8").splitlines()
        with saving(str(self.path)):
            write_text(self.path, "".join(line + "\n" for line in lines if self._is_kept(line, state.global_step)))

    def _is_kept(self, line: str, resumed_step: int) -> bool:
        try:
            entry = json.loads(line)
        except json.JSONDecodeError:  # torn by a kill
            return False
        if entry["stage"] != self.stage:
            return True
        # Step 0 has no checkpoint, its validation is done again; so is the summary behind the last step.
        return 0 < resumed_step >= entry["step"] and "train_runtime" not in entry

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **_: Any) -> None:
        """Write one line."""
        if not state.is_world_process_zero:
            return
        values = {k: v for k, v in (logs or {}).items() if isinstance(v, (int, float)) and math.isfinite(v)}
        entry = {"stage": self.stage, "step": state.global_step, **values}
        with saving(str(self.path)), self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(entry) + "\n")


class Progress(TrainerCallback):
    """One line that renews itself on stderr: stage, step, loss, reward, held-out SRCC."""

    SHOWN = ("loss", "reward", "kl", "val_srcc", "val_plcc")

    def __init__(self, stage: str) -> None:
        from tqdm import tqdm

        self.bar: Any = tqdm(desc=stage, unit="step", dynamic_ncols=True, leave=True)
        self.values: dict[str, str] = {}

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Learn the length."""
        self.bar.reset(total=state.max_steps)
        self.bar.update(state.global_step)

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Move on."""
        self.bar.update(state.global_step - self.bar.n)

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **_: Any) -> None:
        """Show the newest values."""
        for name in self.SHOWN:
            if logs and name in logs:
                self.values[name] = f"{logs[name]:.3f}"
        self.bar.set_postfix(self.values, refresh=False)

    def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Leave the last state on the screen."""
        self.bar.close()


class Validation(TrainerCallback):
    """Scores held-out samples while training and logs SRCC, PLCC and the share of valid answers.

    A reward can rise while the ranking of unseen images does not: this is the curve to watch.

    Args:
        samples: labelled, held out.
        assessor: shares the model that is trained.
        every: steps between two runs; also before the first and after the last step.
        log: the trainer's `log`.
        mode: how samples are scored: as the model is taught.
    """

    def __init__(
        self,
        samples: Sequence[Sample],
        assessor: Assessor,
        every: int,
        log: Callable[[dict[str, float]], None],
        *,
        mode: Mode = "reason",
    ) -> None:
        self.samples = samples
        self.assessor = assessor
        self.shown = PresentationCache(assessor.card.view)
        self.every = every
        self.log = log
        self.mode = mode

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """The starting point belongs to the curve."""
        if state.global_step == 0:
            self.run()

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Every so many steps, and at the end."""
        if state.global_step % self.every == 0 or state.global_step == state.max_steps:
            self.run()
            control.should_log = True  # logging clears the flag, and this step's own loss is still to come

    def run(self) -> None:
        """Score and log."""
        model = self.assessor.family.model
        was_training = model.training
        model.eval()
        found = self.assessor([self._shown(sample) for sample in self.samples], mode=self.mode)
        model.train(was_training)
        valid = [i for i, assessment in enumerate(found) if assessment.error is None]
        logs = {"val_valid": len(valid) / len(found)}
        if len(valid) >= 3:
            score = [found[i].score for i in valid]
            mos = [self.samples[i].mos_on(self.assessor.scale) for i in valid]
            logs |= {"val_srcc": srcc(score, mos), "val_plcc": plcc(score, mos)}
        self.log(logs)

    def _shown(self, sample: Sample) -> Any:
        """Videos are decoded once; one that cannot be read is left to the assessor, which says why."""
        if sample.kind != "video":
            return sample
        try:
            return self.shown.get(sample, None)
        except (MediaError, ManifestError):
            return sample


def add_callbacks(trainer: Trainer, stage: str, metrics: Path) -> None:
    """Metrics file and progress line, in place of the library's printing."""
    trainer.remove_callback(PrinterCallback)
    trainer.add_callback(MetricsFile(metrics, stage))
    trainer.add_callback(Progress(stage))


class SampleList(torch.utils.data.Dataset[Any]):
    """Any list as a dataset."""

    def __init__(self, items: Sequence[Any]) -> None:
        self.items = items

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> Any:
        return self.items[index]
