"""The part of distillation that costs: asking for what the log lacks, and recording each response at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path

from pondera.core.records import Sample
from pondera.errors import TeacherError
from pondera.generate.journal import RequestJournal, journal_of
from pondera.generate.record_files import LineWriter
from pondera.teach.base import Teacher, TeacherResponse, Unanswered, digest_sample
from pondera.teach.log import logged, read_log, response_key

Keys = Mapping[tuple[str, int], str]
"""The address of every wanted response by (sample id, k)."""

Progress = Callable[[int, int], None]


@dataclass
class Recorded:
    """What the log holds after asking.

    Args:
        found: responses by key, those of other runs included.
        num_new: how many came now.
        missing: why responses are missing, by (sample id, k).
    """

    found: dict[str, TeacherResponse]
    num_new: int = 0
    missing: dict[tuple[str, int], str] = field(default_factory=dict)


def response_keys(samples: Sequence[Sample], teacher: Teacher, num: int, seed: int) -> dict[tuple[str, int], str]:
    """Address of every wanted response, in the order of the samples, then of k.

    Raises:
        MediaError: a file cannot be read.
    """
    keys = {}
    with_label = bool(getattr(teacher, "sees_labels", False))  # optional: see `Teacher`
    fingerprint = teacher.fingerprint
    for sample in samples:
        digest = digest_sample(sample, with_label=with_label)
        for k in range(num):
            keys[sample.id, k] = response_key(sample.id, digest, fingerprint, k, seed)
    return keys


def record(
    samples: Sequence[Sample],
    teacher: Teacher,
    log: Path,
    writer: LineWriter,
    keys: Keys,
    seed: int,
    on_progress: Progress | None = None,
    on_response: Callable[[TeacherResponse], None] | None = None,
) -> Recorded:
    """Ask for what the log lacks, and write it there.

    Args:
        samples: what to ask about.
        teacher: whom to ask.
        log: the file.
        writer: opened for it, so that no other run writes there.
        keys: as `response_keys` gives them.
        seed: of the run.
        on_progress: called with (responses recorded, responses wanted).
        on_response: called with each response when it is recorded; others are under way in the meantime.

    Raises:
        TeacherError: the teacher stopped, or answered what nobody asked. What came before is recorded.
    """
    with closing(RequestJournal(journal_of(log))) as journal:
        recorded, fingerprint = Recorded(read_log(log)), teacher.fingerprint
        num_before = sum(key in recorded.found for key in keys.values())
        if hasattr(teacher, "notes"):
            teacher.notes = lambda sample, k: journal.of(keys[sample, k])
        for responses in _asking(teacher, _gaps(samples, keys, recorded.found), seed):
            try:
                for response in responses:
                    _take(response, teacher, fingerprint, keys, recorded, writer)
                    if on_response is not None:
                        on_response(response)
                    if on_progress is not None:
                        on_progress(num_before + recorded.num_new, len(keys))
            except Unanswered as error:
                recorded.missing |= error.reasons
    for pair, key in keys.items():
        if key not in recorded.found:
            recorded.missing.setdefault(pair, f"teacher {teacher.name} gave none")
    return recorded


def _take(
    response: TeacherResponse, teacher: Teacher, fingerprint: str, keys: Keys, recorded: Recorded, writer: LineWriter
) -> None:
    key = keys.get((response.sample, response.k))
    if key is None or response.teacher != fingerprint:
        raise TeacherError(
            f"teacher {teacher.name} answered for sample {response.sample!r}, k = {response.k}, as "
            f"{response.teacher}: not what it was asked for"
        )
    if key not in recorded.found:
        writer.add(logged(key, response))
        recorded.found[key] = response
        recorded.num_new += 1


def _gaps(
    samples: Sequence[Sample], keys: Keys, found: Mapping[str, TeacherResponse]
) -> list[tuple[Sample, list[int]]]:
    """Samples with the numbers k of the responses that they lack."""
    num = len(keys) // max(len(samples), 1)
    missing = ((sample, [k for k in range(num) if keys[sample.id, k] not in found]) for sample in samples)
    return [(sample, numbers) for sample, numbers in missing if numbers]


def _asking(
    teacher: Teacher, gaps: Sequence[tuple[Sample, list[int]]], seed: int
) -> Iterator[Iterator[TeacherResponse]]:
    """What the teacher answers: in one go if it can, else once for all samples that lack the same stretch of k."""
    if not gaps:
        return
    if hasattr(teacher, "respond_to"):
        yield teacher.respond_to(gaps, seed)
        return
    stretches: dict[tuple[int, int], list[Sample]] = {}
    for sample, numbers in gaps:
        for first, last in _runs(numbers):
            stretches.setdefault((first, last - first + 1), []).append(sample)
    for (first, num), part in stretches.items():
        yield teacher.respond(part, num, seed, first=first)


def _runs(numbers: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Stretches of consecutive numbers, as (first, last)."""
    for _, stretch in groupby(enumerate(numbers), key=lambda pair: pair[1] - pair[0]):
        members = [number for _, number in stretch]
        yield members[0], members[-1]
