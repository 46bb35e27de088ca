"""Many models on one task: assess, in parts if wished, then measure and save each.

OUT/assessments/      what was said, see `store`
OUT/shards/           receipts of finished shards, per model
OUT/...               predictions.parquet and metrics.json; with several models, in a folder per model
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from pondera.core.records import Assessment
from pondera.errors import ConfigError, DatasetError
from pondera.evaluate.assessing import Progress, recall_samples, record_samples
from pondera.evaluate.candidates import Load, ask_all, by_fingerprint, together
from pondera.evaluate.leakage import refuse_leaks
from pondera.evaluate.percentiles import ReferenceSet, check_maker
from pondera.evaluate.question import other_questions
from pondera.evaluate.run import Evaluation, evaluation_of
from pondera.evaluate.shards import Shard, read_receipts, samples_digest, write_receipt
from pondera.evaluate.store import AssessmentStore, Reads
from pondera.evaluate.task import Task


def record_models(
    task: Task,
    models: Sequence[str],
    load: Load,
    *,
    out: Path,
    cache: Path,
    shard: Shard,
    allow_leakage: bool = False,
    reference: ReferenceSet | None = None,
    on_progress: Progress | None = None,
) -> None:
    """Assess the samples, or one shard of them, with every model; what stands in the cache is not assessed again.

    Args:
        task: the samples, and what is to be asked about each.
        models: names.
        load: from a name to the model; called for one after the other, so that one at a time is in memory.
        out: for the receipts.
        cache: folder of the assessments.
        shard: which part to do.
        allow_leakage: go on where training content is in the test.
        reference: the set that scores will get percentiles of; one of the models must have scored it.
        on_progress: called with (done, total) of this model, prompt and shard.

    Raises:
        ConfigError: a model has no prompt for what is to be asked, or two would be saved in one folder.
        DatasetError: there is a leak, a sample lacks the text that it is asked about, or none of the models scored the
            reference set; that is known, and said, when the last of them is loaded and has not scored yet.
    """
    check_folders(models)
    digest = samples_digest(task.samples)
    prints: set[str] = set()
    for model in models:
        candidate = load(model)
        leaks = task.leaks(candidate.trained_on, candidate.pictures)
        if not allow_leakage:
            refuse_leaks(leaks)
        asked = ask_all(model, candidate, task)
        prints |= {one.fingerprint for one in asked.values()}
        if reference is not None and model == models[-1]:
            check_maker(reference, prints)
        parts = by_fingerprint(task, {question: one.fingerprint for question, one in asked.items()})
        for fingerprint, numbers in parts.items():
            one = next(a for a in asked.values() if a.fingerprint == fingerprint)
            samples = [one.reads.part_of(task.originals[n]) for n in numbers]
            with AssessmentStore(cache, fingerprint) as store:
                record_samples(samples, one.assess, store, whole_samples=True, shard=shard, on_progress=on_progress)
        facts = {
            "model": model,
            **task.facts,
            **task.model_facts(candidate.trained_on, leaks),
            **together({question: one.protocol for question, one in asked.items()}),
        }
        if others := other_questions(task.originals, [asked[q].question for q in task.questions], task.target):
            facts["other_question"] = others
        receipt = {
            "asked": {q: {"fingerprint": one.fingerprint, "reads": asdict(one.reads)} for q, one in asked.items()},
            "samples": digest,
            "protocol": facts,
        }
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
        ConfigError: two models would be saved in one folder.
        DatasetError: a shard is missing, or was made with other samples, questions or another model.
    """
    check_folders(models)
    evaluations = []
    for model in models:
        receipt = read_receipts(_receipts(out, model), samples_digest(task.samples), count=count)
        assessments = _recall(task, receipt["asked"], cache)
        evaluation = evaluation_of(
            task.samples, assessments, name=model, protocol=receipt["protocol"], views=task.views
        )
        evaluation.save(folder_of(out, models, model))
        evaluations.append(evaluation)
    return evaluations


def _recall(task: Task, asked: Mapping[str, Mapping[str, Any]], cache: Path) -> list[Assessment]:
    """One assessment a sample, each from the store of its question's fingerprint."""
    if missing := sorted({*task.questions} - {*asked}):
        raise DatasetError(
            f"the shards did not ask about {missing[0] or 'the own question'!r}; merge with the --question and the "
            "--target that they had"
        )
    found: dict[int, Assessment] = {}
    for fingerprint, numbers in by_fingerprint(task, {q: one["fingerprint"] for q, one in asked.items()}).items():
        samples = [Reads(**asked[task.questions[n]]["reads"]).part_of(task.originals[n]) for n in numbers]
        with AssessmentStore(cache, fingerprint) as store:
            found |= dict(zip(numbers, recall_samples(samples, store, whole_samples=True), strict=True))
    return [replace(found[number], path=sample.main_path) for number, sample in enumerate(task.originals)]


def folder_of(out: Path, models: Sequence[str], model: str) -> Path:
    """Where the evaluation of one of the models is saved."""
    return out if len(models) == 1 else out / folder_name(model)


def check_folders(models: Sequence[str]) -> None:
    """Each model's results need a folder of their own.

    Raises:
        ConfigError: two names give one folder.
    """
    name_of: dict[str, str] = {}
    for model in models:
        if (other := name_of.setdefault(folder_name(model), model)) != model:
            raise ConfigError(
                f"models {other!r} and {model!r} would both be saved in folder {folder_name(model)!r}, and one would "
                "take the scores of the other; rename one of their folders, or give each an --out of its own"
            )


def folder_name(model: str) -> str:
    """A model's name as that of a folder: "runs/a/final" becomes "runs-a-final"."""
    return re.sub(r"[^A-Za-z0-9._]+", "-", model).strip("-.") or "model"


def _receipts(out: Path, model: str) -> Path:
    return out / "shards" / folder_name(model)
