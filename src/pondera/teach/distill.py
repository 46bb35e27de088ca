"""Distillation: from samples and a teacher to a manifest with rationales, without paying twice for anything.

Responses are recorded first (`pondera.teach.recording`), then parsed, filtered and chosen from; only the recording
costs. A run that was killed goes on where it stopped; other filters, n or choice start from the same responses.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import groupby, islice
from pathlib import Path
from typing import Any

from pondera.core.answers import AnswerFormat, Numbers
from pondera.core.records import Sample
from pondera.data.manifest import write_manifest
from pondera.errors import TeacherError
from pondera.generate.afterwards import Afterwards
from pondera.generate.journal import total_usage
from pondera.generate.record_files import appending
from pondera.prompts import Prompt
from pondera.teach.base import Teacher, TeacherResponse, Unanswered
from pondera.teach.choice import best_of, explained, scale_of
from pondera.teach.filters import Candidate, Filter, default_filters, format_filter, remembering, run_filters
from pondera.teach.filters.contradictions import second_opinion_filter
from pondera.teach.opinions import Opinions, SecondOpinion, numbers_of
from pondera.teach.question import question
from pondera.teach.recording import record, response_keys
from pondera.teach.status import Places, RunState

_EXAMPLES = 3  # dropped completions shown per filter


@dataclass(frozen=True)
class Distillation:
    """What came out.

    Args:
        manifest: the samples that have a rationale now, in their order.
        num_samples: samples asked about.
        num_responses: responses they have, recorded before or now.
        num_new: responses that came in this run.
        num_missing: responses that could not be had; their samples do without.
        num_kept: samples with a rationale.
        dropped: completions dropped, by filter; all filters are listed.
        reasons: what each filter drops, for people.
        examples: a few dropped completions by filter: {sample, k, wrong, completion}.
        missing: why the first few of them are missing, by "sample/k".
        usage: totals over the responses of this run and those before it.
        teacher: fingerprint.
        report: what was dropped and why, with examples, for people.
        opinions: of the second opinion: asked, unreadable, missing; empty where there was none.
        opinion_usage: totals over the second opinions, those of earlier runs included.
    """

    manifest: Path
    num_samples: int
    num_responses: int
    num_new: int
    num_missing: int
    num_kept: int
    dropped: Mapping[str, int]
    reasons: Mapping[str, str]
    examples: Mapping[str, list[dict[str, Any]]] = field(repr=False)
    missing: Mapping[str, str]
    usage: Mapping[str, float]
    teacher: str
    report: Path
    opinions: Mapping[str, int] = field(default_factory=dict)
    opinion_usage: Mapping[str, float] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Plain types for JSON."""
        return {**asdict(self), "manifest": self.manifest.as_posix(), "report": self.report.as_posix()}


def distill(
    samples: Sequence[Sample],
    teacher: Teacher,
    out: str | Path,
    *,
    num: int = 1,
    filters: Sequence[Filter] | None = None,
    seed: int = 0,
    replace_score: bool = False,
    answer_format: AnswerFormat | None = None,
    allow_missing: bool = False,
    second_opinion: SecondOpinion | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> Distillation:
    """Ask a teacher about samples and keep the best verified completion of each.

    Of several that pass the filters, the one closest to the label wins (where there is a label), then the one that
    grades most aspects, then the shortest thought, then the smallest k.

    Args:
        samples: ids unique; media paths as `read_manifest` gives them.
        teacher: who is asked.
        out: a folder, or the manifest to write (a name that ends in .jsonl; the log then stands in `<name>.distill/`).
        num: completions per sample, >= 1.
        filters: default `default_filters(answer_format)`; () keeps whatever parses.
        seed: of the run.
        replace_score: put the label, on the scale of the answer, in place of the teacher's score, after filtering.
        answer_format: the form that completions must have; default one number 1 to 5 behind a thought.
        allow_missing: finish without the responses that could not be had; a later run asks for them again.
        second_opinion: a model that is asked whether thought and score agree, about what all filters let pass.
        on_progress: called with (responses recorded, responses wanted).

    Returns:
        Counts, reasons and the manifest's path; also stored beside the log for `status`.

    Raises:
        Unanswered: some responses could not be had; all others are recorded.
        TeacherError: the teacher did not deliver, ids repeat, or a label is missing that should replace a score.
        MediaError: a file cannot be read.
        ValueError: num is below 1.
    """
    if num < 1:
        raise ValueError(f"num is the number of completions per sample and must be >= 1, got {num}")
    answer_format = answer_format or AnswerFormat()
    complete = _complete(default_filters(answer_format) if filters is None else filters)
    chain = [remembering(item) for item in complete]
    _check(samples, replace_score, answer_format)
    numbers = numbers_of(answer_format.body) if second_opinion is not None else None  # refused before anything is paid
    places = Places.of(out)
    keys = response_keys(samples, teacher, num, seed)
    by_id = {sample.id: sample for sample in samples}
    looked_at: dict[tuple[str, int], Candidate] = {}

    def candidate_of(response: TeacherResponse) -> Candidate:
        sample, text = by_id[response.sample], response.completion
        asked = _asked(teacher, sample, response.k)
        return Candidate(sample, response.k, text, answer_format.parse(text), prompt=asked)

    def look(response: TeacherResponse) -> None:
        """Filter while others are under way; what compares completions waits for all."""
        candidate = looked_at[response.sample, response.k] = candidate_of(response)
        run_filters([candidate], [item for item in chain if not item.compares])

    # The log is ours until the manifest is written; another run that has it is left in peace.
    begun = {"teacher": teacher.fingerprint, "wanted": list(keys.values())}
    with appending(places.log) as writer, RunState(places.state, begun) as state:
        with Afterwards(look) as looking:
            recorded = record(samples, teacher, places.log, writer, keys, seed, on_progress, looking.add)
        if recorded.missing and not allow_missing:
            raise Unanswered(recorded.missing)
        responses = {pair: recorded.found[key] for pair, key in keys.items() if key in recorded.found}
        candidates = [looked_at.get(pair) or candidate_of(response) for pair, response in responses.items()]
        kept, dropped = run_filters(candidates, chain)
        asked: Opinions | None = None
        if second_opinion is not None and numbers is not None:
            asked = second_opinion.ask(kept, numbers, places.opinions, lambda keys: state.add(opinions_wanted=keys))
            last = second_opinion_filter(asked.contradicts)
            kept, found = run_filters(kept, [last])
            chain, dropped = [*chain, last], [*dropped, *found]
        scale = scale_of(answer_format)
        groups = groupby(kept, key=lambda candidate: candidate.sample.id)
        chosen = [best_of(list(group), scale) for _, group in groups]
        write_manifest(places.manifest, [explained(item, scale if replace_score else None) for item in chosen])
        done = Distillation(
            manifest=places.manifest,
            num_samples=len(samples),
            num_responses=len(responses),
            num_new=recorded.num_new,
            num_missing=len(recorded.missing),
            num_kept=len(chosen),
            dropped=_counts(chain, dropped),
            reasons={item.name: item.reason for item in chain},
            examples=_examples(dropped),
            missing={f"{name}/{k}": why for (name, k), why in islice(recorded.missing.items(), _EXAMPLES)},
            usage=total_usage(response.usage for response in responses.values()),
            teacher=teacher.fingerprint,
            report=places.report,
            opinions=asked.counts if asked else {},
            opinion_usage=asked.usage if asked else {},
        )
        places.report.write_text(filter_report(done), encoding="utf-8")
        state.add(**done.to_dict(), state="done")
    return done


def _asked(teacher: Teacher, sample: Sample, k: int) -> str:
    """The words of completion k's question, "" where the teacher was not asked in words."""
    prompt = getattr(teacher, "prompt", None)
    return question(prompt, sample, k) if isinstance(prompt, Prompt) else ""


def filter_report(done: Distillation) -> str:
    """What was dropped and why, with examples, in Markdown.

    Args:
        done: a finished distillation.
    """
    kept = f"{done.num_kept} of {done.num_samples} samples have a rationale; {done.num_responses} responses were read."
    lines = ["# Filters", "", kept, "", "| filter | dropped | because |", "|---|---|---|"]
    lines += [f"| `{name}` | {count} | {done.reasons[name]} |" for name, count in done.dropped.items()]
    for name, examples in done.examples.items():
        lines += ["", f"## {name}"]
        for example in examples:
            lines += ["", f"`{example['sample']}`, completion {example['k']}: {example['wrong']}", ""]
            lines += [f"    {line}" for line in example["completion"].splitlines()]
    return "\n".join(lines) + "\n"


def _complete(filters: Sequence[Filter]) -> tuple[Filter, ...]:
    """Nothing unreadable becomes a rationale, whatever filters were asked for."""
    return tuple(filters) if any(item.name == "format" for item in filters) else (*filters, format_filter())


def _check(samples: Sequence[Sample], replace_score: bool, answer_format: AnswerFormat) -> None:
    twice = [name for name, count in Counter(sample.id for sample in samples).items() if count > 1]
    if twice:
        raise TeacherError(f"sample id {twice[0]!r} stands more than once; ids are unique in a distillation")
    if not replace_score:
        return
    if not isinstance(answer_format.body, Numbers) or answer_format.body.n != 1:
        raise TeacherError("replace_score needs answers of one number; keep the teacher's answers for other forms")
    unlabelled = [sample.id for sample in samples if sample.mos is None]
    if unlabelled:
        raise TeacherError(f"sample {unlabelled[0]!r} has no mos to put in place of the score; leave out replace_score")


def _counts(filters: Sequence[Filter], dropped: Sequence[tuple[Candidate, str, str]]) -> dict[str, int]:
    counts = Counter(name for _, name, _ in dropped)
    return {item.name: counts[item.name] for item in filters}


def _examples(dropped: Sequence[tuple[Candidate, str, str]]) -> dict[str, list[dict[str, Any]]]:
    examples: dict[str, list[dict[str, Any]]] = {}
    for candidate, name, wrong in dropped:
        shown = examples.setdefault(name, [])
        if len(shown) < _EXAMPLES:
            text = candidate.completion[:1000]
            shown.append({"sample": candidate.sample.id, "k": candidate.k, "wrong": wrong, "completion": text})
    return examples
