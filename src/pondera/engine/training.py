"""What all stages share: where and how they run, trainer arguments, the metrics file, who watches.

The trainers are small subclasses of `transformers.Trainer`, so that devices, mixed precision, distribution,
checkpoints, resuming and trackers are the library's.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import PrinterCallback, TrainerCallback, TrainingArguments

from pondera.assess import Assessor
from pondera.assess.assessor import Mode
from pondera.config import ColdStartStage, PretrainStage, ReinforceStage
from pondera.core.records import Sample
from pondera.engine.callbacks import load_callbacks
from pondera.engine.checkpoints import StageTrainer
from pondera.engine.encoder import FeatureStore
from pondera.engine.files import saving, write_text
from pondera.engine.keeping import KeepBest, StopEarly, kept_model
from pondera.engine.progress import Progress
from pondera.engine.run_folder import save_model
from pondera.engine.unreadable import Unreadable
from pondera.engine.validation import Validation
from pondera.errors import TrainingError
from pondera.models import Family, ModelCard
from pondera.models.four_bit import is_quantised
from pondera.models.loading import default_device


@dataclass(frozen=True)
class StageRun:
    """Where and how a stage runs, whatever it teaches.

    Args:
        folder: of the stage.
        metrics: the metrics file of the run.
        seed: of the run.
        resume: go on from the stage's last checkpoint.
        name: of the run, for trackers.
        report_to: the library's trackers.
        callbacks: names of further callbacks.
        max_unreadable: share of pictures and held-out samples that may be unreadable.
        unreadable: keeps count of training samples; by default without a limit.
        features: what frozen towers of earlier stages made of the pictures.
    """

    folder: Path
    metrics: Path
    seed: int = 0
    resume: bool = False
    name: str = "run"
    report_to: tuple[str, ...] = ()
    callbacks: tuple[str, ...] = ()
    max_unreadable: float = 0.05
    unreadable: Unreadable = field(default_factory=lambda: Unreadable(1, math.inf, "training sample"))
    features: FeatureStore = field(default_factory=FeatureStore, repr=False)


def training_arguments(
    stage: PretrainStage | ColdStartStage | ReinforceStage, run: StageRun, *, batch_size: int, **limits: Any
) -> TrainingArguments:
    """The library's arguments for one stage."""
    optimiser = stage.optimiser
    return TrainingArguments(
        output_dir=str(run.folder / "checkpoints"),
        per_device_train_batch_size=batch_size,
        learning_rate=optimiser.learning_rate,
        lr_scheduler_type=optimiser.schedule,
        warmup_steps=optimiser.warmup_steps,
        weight_decay=optimiser.weight_decay,
        max_grad_norm=optimiser.max_grad_norm,
        adam_beta2=optimiser.adam_beta2,
        seed=run.seed,
        data_seed=run.seed,
        logging_steps=1,
        logging_nan_inf_filter=False,
        save_steps=stage.save_every,
        remove_unused_columns=False,
        dataloader_pin_memory=False,
        use_cpu=default_device() == "cpu",
        bf16=stage.precision == "bfloat16" or (stage.precision == "auto" and has_fast_bfloat16()),
        report_to=list(run.report_to),
        run_name=f"{run.name}-{stage.name}",
        disable_tqdm=True,
        **limits,
    )


def checkpoint_activations(model: Any) -> None:
    """Compute activations again instead of keeping them; under the library's newer name, or its older one."""
    enable = getattr(model, "activation_checkpointing_enable", None) or model.gradient_checkpointing_enable
    enable()


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


def run_trainer(
    trainer: StageTrainer,
    family: Family,
    card: ModelCard,
    stage: ColdStartStage | ReinforceStage,
    run: StageRun,
    validation: Sequence[Sample],
    *,
    mode: Mode = "reason",
) -> Path | None:
    """Train a stage that teaches a model to answer, with all who watch it.

    Args:
        trainer: of the stage.
        family: the model that it trains.
        card: how to ask it.
        stage: settings.
        run: where and how.
        validation: held-out samples; may be none.
        mode: how these are scored.

    Returns:
        The folder of the model to keep, where it is not the one in memory.

    Raises:
        TrainingError: the stage is to keep the best model, or to stop early, and nothing is held out; or to keep the
            best of a model in four bits.
    """
    keeps_best = stage.keep == "best"
    if (keeps_best or stage.patience) and not validation:
        raise TrainingError(
            f"stage {stage.name!r}: keep: best and patience need held-out samples; name them with data.validation_split"
        )
    if keeps_best and is_quantised(family.model):
        raise TrainingError(
            f"stage {stage.name!r}: beside weights in four bits only the last adapter can be kept; set keep to last"
        )
    watching: list[TrainerCallback] = []  # in the order in which they hear of a step
    if validation:
        assessor, most = Assessor(family, card), run.max_unreadable
        every = stage.validate_every
        watching.append(Validation(validation, assessor, every, trainer.log, mode=mode, max_unreadable=most))
    if keeps_best:
        watching.append(KeepBest(run.folder, lambda target: save_model(family, card, target)))
    if stage.patience:
        watching.append(StopEarly(stage.name, stage.patience))
    add_callbacks(trainer, stage.name, run, watching)
    trainer.run(resume=run.resume)
    return kept_model(run.folder, stage.name, trainer.state.log_history) if keeps_best else None


def add_callbacks(trainer: StageTrainer, stage: str, run: StageRun, watching: Sequence[TrainerCallback] = ()) -> None:
    """Metrics file and progress line in place of the library's printing, then those given, then the recipe's own."""
    trainer.remove_callback(PrinterCallback)
    for callback in [MetricsFile(run.metrics, stage), Progress(stage), *watching, *load_callbacks(run.callbacks)]:
        trainer.add_callback(callback)
    for callback in trainer.callback_handler.callbacks:
        if type(callback).__name__ == "TensorBoardCallback" and callback.logging_dir is None:
            callback.logging_dir = str(run.folder / "tensorboard")  # its own choice is deleted with the checkpoints


class SampleList(torch.utils.data.Dataset[Any]):
    """Any list as a dataset."""

    def __init__(self, items: Sequence[Any]) -> None:
        self.items = items

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> Any:
        return self.items[index]
