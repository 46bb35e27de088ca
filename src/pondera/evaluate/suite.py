"""Many models on one task: assess, in parts if wished, then measure and save each.

OUT/assessments/      what was said, see `store`
OUT/shards/           receipts of finished shards, per model
OUT/...               predictions.parquet and metrics.json; with several models, in a folder per model
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from inspect import signature
from pathlib import Path
from typing import Any

from pondera.core.records import Assessment, MediaKind
from pondera.evaluate.assessing import Assess, Progress, recall_samples, record_samples
from pondera.evaluate.leakage import refuse_leaks
from pondera.evaluate.question import other_questions
from pondera.evaluate.run import Evaluation, evaluation_of
from pondera.evaluate.shards import Shard, read_receipts, samples_digest, write_receipt
from pondera.evaluate.store import AssessmentStore
from pondera.evaluate.task import Task


@dataclass(frozen=True)
class Candidate:
    """A model ready to be evaluated.

    Args:
        assess: from paths to assessments.
        fingerprint: of every assessment it will make.
        trained_on: datasets on its card.
        protocol: how it is asked.
    """

    assess: Assess
    fingerprint: str
    trained_on: tuple[str, ...]
    protocol: Mapping[str, Any]


Load = Callable[[str], Candidate]


def load_candidate(
    model: str, mode: str, *, device: str | None = None, kind: MediaKind = "image", **sampling: Any
) -> Candidate:
    """A model by name, asked in one mode. Loads torch.

    Args:
        model: as in `assess.load`.
        mode: reason, fast or consensus.
        device: as in `assess.load`.
        kind: as in `assess.load`.
        sampling: options of consensus mode.

    Raises:
        ModelError: the model cannot be loaded.
    """
    from pondera.assess import load

    assessor: Any = load(model, device=device, kind=kind)
    options = signature(type(assessor).__call__).parameters.values()
    defaults = {option.name: option.default for option in options if option.kind is option.KEYWORD_ONLY}

    def assess(paths: Sequence[str]) -> Sequence[Assessment]:
        answers: Sequence[Assessment] = assessor(list(paths), mode, **sampling)
        return answers

    return Candidate(
        assess=assess,
        fingerprint=assessor.fingerprint(mode, **{**defaults, **sampling}),
        trained_on=tuple(assessor.card.trained_on),
        protocol={**sampling, **assessor.protocol(mode)},
    )


def record_models(
    task: Task,
    models: Sequence[str],
    load: Load,
    *,
    out: Path,
    cache: Path,
    shard: Shard,
    allow_leakage: bool = False,
    on_progress: Progress | None = None,
) -> None:
    """Assess the samples, or one shard of them, with every model; what stands in the cache is not assessed again.

    Args:
        task: the samples.
        models: names.
        load: from a name to the model; called for one after the other, so that one at a time is in memory.
        out: for the receipts.
        cache: folder of the assessments.
        shard: which part to do.
        allow_leakage: go on where training content is in the test.
        on_progress: called with (done, total) of this model and shard.

    Raises:
        DatasetError: there is a leak.
    """
    digest = samples_digest(task.samples)
    for model in models:
        candidate = load(model)
        leaks = task.leaks(candidate.trained_on)
        if not allow_leakage:
            refuse_leaks(leaks)
        with AssessmentStore(cache, candidate.fingerprint) as store:
            record_samples(task.originals, candidate.assess, store, shard=shard, on_progress=on_progress)
        facts = {
            "model": model,
            **task.facts,
            **task.model_facts(candidate.trained_on, leaks),
            **candidate.protocol,
        }
        if others := other_questions(task.originals, str(candidate.protocol.get("prompt", ""))):
            facts["other_question"] = others
        receipt = {"fingerprint": candidate.fingerprint, "samples": digest, "protocol": facts}
        write_receipt(_receipts(out, model), shard, receipt)


def measure_models(
    task: Task, models: Sequence[str], *, out: Path, cache: Path, count: int | None = None
) -> list[Evaluation]:
    """Put the shards of every model together, measure and save; no model is loaded.

    Args:
        task: as in `record_models`.
        models: as there.
        out: as there.
        cache: as there.
        count: how many shards there are; what the receipts say where it is not given.

    Raises:
        DatasetError: a shard is missing, or was made with other samples or another model.
    """
    evaluations = []
    for model in models:
        receipt = read_receipts(_receipts(out, model), samples_digest(task.samples), count=count)
        with AssessmentStore(cache, receipt["fingerprint"]) as store:
            assessments = recall_samples(task.originals, store)
        evaluation = evaluation_of(task.samples, assessments, name=model, protocol=receipt["protocol"])
        evaluation.save(folder_of(out, models, model))
        evaluations.append(evaluation)
    return evaluations


def folder_of(out: Path, models: Sequence[str], model: str) -> Path:
    """Where the evaluation of one of the models is saved."""
    return out if len(models) == 1 else out / folder_name(model)


def folder_name(model: str) -> str:
    """A model's name as that of a folder: "runs/a/final" becomes "runs-a-final"."""
    return re.sub(r"[^A-Za-z0-9._]+", "-", model).strip("-.") or "model"


def _receipts(out: Path, model: str) -> Path:
    return out / "shards" / folder_name(model)
