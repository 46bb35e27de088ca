"""Where the rationales of a cold start come from, when they are not in the manifest.

`measuring`: the offline teacher looks at each training image and answers in the form of its prompt.
`rejection_sampled`: the policy itself answers several times, and the best roll-out that agrees with the label and
passes the teachers' filters is learned from (Q-Save's last stage, arXiv:2511.18825; which roll-outs it keeps is
unpublished, the rule here is ours).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from pondera.config import ColdStartStage, MeasuredRationales, RejectionSampledRationales
from pondera.core.answers import AnswerFormat
from pondera.core.records import Sample
from pondera.data.manifest import read_manifest, write_manifest
from pondera.engine.encoder import PromptEncoder
from pondera.engine.questions import questions
from pondera.engine.unreadable import Unreadable
from pondera.errors import MediaError, TrainingError
from pondera.generate.backend import Completion, sample_seed
from pondera.generate.transformers_backend import TransformersBackend
from pondera.models import Family, ModelCard
from pondera.models.distribution import is_sharded, rank, shared_out
from pondera.teach import distill, measuring_teacher
from pondera.teach.base import Unanswered, digest_sample
from pondera.teach.distill import best_of
from pondera.teach.filters import Candidate, Filter, default_filters, run_filters
from pondera.teach.labels import label_answer, label_filter


def measured_rationales(
    samples: Sequence[Sample], card: ModelCard, section: MeasuredRationales, folder: Path, *, seed: int
) -> tuple[list[Sample], dict[str, str]]:
    """The samples with the measuring teacher's rationales, in their order; what it recorded before is not made anew.

    Args:
        samples: images, whose tasks may be mixed, or videos.
        card: the prompt of each task, and so the form of the answer.
        section: whose answers stand behind the thoughts.
        folder: for the records, one file a task.
        seed: of the wording.

    Returns:
        Those samples, and why the others cannot be read, by id.

    Raises:
        TrainingError: `answers` names a task of which there is no sample.
        TeacherError: the teacher cannot answer in a form, or a label is missing.
    """
    found: dict[str, Sample] = {}
    reasons: dict[str, str] = {}
    tasks = sorted({sample.task for sample in samples})
    if not isinstance(section.answers, str) and (unknown := sorted(set(section.answers) - set(tasks))):
        raise TrainingError(f"rationales.answers: no sample has task {unknown[0]!r}; there are {', '.join(tasks)}")
    for task in tasks:
        form = card.prompt_for(task).answer
        by_label = section.answered_by(task) == "labels"
        # The labels' form may be one that the teacher has no answer for: it thinks, and the label answers.
        asked = AnswerFormat() if by_label else form
        alike = [sample for sample in samples if sample.task == task]
        for sample in _measured(alike, asked, folder / f"{task}.jsonl", seed, reasons):
            found[sample.id] = _answered_by_label(sample, form) if by_label else sample
    taught = [replace(sample, rationale=found[sample.id].rationale) for sample in samples if sample.id in found]
    return taught, reasons


def _measured(
    samples: Sequence[Sample], form: AnswerFormat, out: Path, seed: int, reasons: dict[str, str]
) -> list[Sample]:
    """The samples of one task with rationales; why others cannot be read goes into `reasons`."""
    for sample in samples:
        try:
            digest_sample(sample)
        except MediaError as error:
            reasons[sample.id] = str(error)
    while left := [sample for sample in samples if sample.id not in reasons]:
        try:
            done = distill(
                left,
                measuring_teacher(left[0].kind, form),
                out,
                filters=(),  # it says what it measured: there is nothing to verify, and its thoughts may be alike
                seed=seed,
                answer_format=form,
                on_progress=_bar(f"teacher, {left[0].task}"),
            )
        except Unanswered as error:  # all others are recorded by now
            reasons |= {name: why for (name, _), why in error.reasons.items()}
        else:
            return read_manifest(done.manifest)
    return []


def rejection_sampled(
    family: Family,
    card: ModelCard,
    stage: ColdStartStage,
    section: RejectionSampledRationales,
    samples: Sequence[Sample],
    folder: Path,
    *,
    seed: int,
    unreadable: Unreadable,
) -> list[Sample]:
    """The samples that the policy answered rightly, each with its best roll-out.

    The same for any number of processes, because roll-outs are seeded by sample.

    Args:
        family: the policy.
        card: how it is asked.
        stage: name, batch size and wordings.
        section: how many roll-outs, and how near to the label.
        samples: labelled.
        folder: keeps them in `rationales.jsonl`, so that a resumed stage learns from the same, and their number in
            `rationales.json`.
        seed: of the roll-outs.
        unreadable: keeps count of samples that cannot be read, which are left out.

    Raises:
        TrainingError: not one roll-out was right, or too many samples cannot be read.
    """
    path = folder / "rationales.jsonl"
    if path.is_file():
        return read_manifest(path)
    encode = PromptEncoder(family, card.view)
    samples = unreadable.left(samples, lambda s: encode.read(s, sample_seed(s.id, seed=seed)))
    best = shared_out(
        samples,
        lambda own: _best_rollouts(family, encode, card, stage, section, own, seed),
        jointly=is_sharded(family.model),
    )
    pairs = zip(samples, best, strict=True)
    kept = [replace(sample, rationale=text) for sample, text in pairs if text is not None]
    if not kept:
        raise TrainingError(
            f"stage {stage.name!r}: of {len(samples)} samples, none got a roll-out within {section.tolerance:g} of its "
            "label that passes the filters; raise rationales.num or rationales.tolerance, or reinforce longer before"
        )
    if rank() == 0:
        counts = {"asked": len(samples), "kept": len(kept), "roll_outs": len(samples) * section.num}
        (folder / "rationales.json").write_text(json.dumps(counts) + "\n", encoding="utf-8")
        write_manifest(path, kept)
    return kept


def _best_rollouts(
    family: Family,
    encode: PromptEncoder,
    card: ModelCard,
    stage: ColdStartStage,
    section: RejectionSampledRationales,
    samples: Sequence[Sample],
    seed: int,
) -> list[str | None]:
    """The text to learn from of each sample; None where no roll-out was right."""
    best: list[str | None] = []
    backend = TransformersBackend(family)
    update = _bar(f"{stage.name}, roll-outs")
    for start in range(0, len(samples), stage.batch_size):
        batch = samples[start : start + stage.batch_size]
        seeds = [sample_seed(sample.id, seed=seed) for sample in batch]
        texts = questions(card, batch, seeds, stage.wordings)
        groups = backend.generate(
            encode(batch, texts, seeds),
            num_completions=section.num,
            max_new_tokens=card.max_new_tokens,
            temperature=section.temperature,
            seeds=seeds,
        )
        best += [
            best_rollout(sample, text, group, card.prompt_for(sample.task).answer, section.tolerance)
            for sample, text, group in zip(batch, texts, groups, strict=True)
        ]
        update(start + len(batch), len(samples))
    return best


def best_rollout(
    sample: Sample, question: str, group: Sequence[Completion], form: AnswerFormat, tolerance: float
) -> str | None:
    """The text to learn from: right, sound, and of several the one that `pondera.teach.best_of` prefers.

    Args:
        sample: labelled.
        question: the words it was asked with.
        group: its roll-outs.
        form: of the answer.
        tolerance: see `label_filter`.

    Returns:
        None where no roll-out is right and sound.
    """
    candidates = [Candidate(sample, k, c.text, form.parse(c.text), prompt=question) for k, c in enumerate(group)]
    kept, _ = run_filters(candidates, _filters(form, tolerance))
    scale = form.scale if sample.task == "score" else None
    return best_of(kept, scale).completion.strip() if kept else None


def _filters(form: AnswerFormat, tolerance: float) -> list[Filter]:
    """Those of the teachers, but roll-outs of one policy may be alike: there is one policy to learn from."""
    return [item for item in default_filters(form) if item.name != "duplicate"] + [label_filter(tolerance, form)]


def _answered_by_label(sample: Sample, form: AnswerFormat) -> Sample:
    thought = str(sample.rationale).partition("<answer>")[0]
    if form.think != "required":
        thought = "" if form.think == "absent" else thought.removeprefix("<think>")
    return replace(sample, rationale=thought + label_answer(sample, form))


def _bar(name: str) -> Callable[[int, int], None]:
    from tqdm import tqdm

    bar: Any = None

    def update(done: int, total: int) -> None:
        nonlocal bar
        bar = bar or tqdm(desc=name, total=total, unit="sample", dynamic_ncols=True)
        bar.update(done - bar.n)
        if done >= total:
            bar.close()

    return update
