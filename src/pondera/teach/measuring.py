"""The measuring teacher: explains images offline from what can be measured on them.

It sees pixels and nothing else: no label, no reference. It is fallible on purpose and by nature: its scores follow
a simple rule (`pondera.teach.defects.score`), it measures damage and not content, and a scene that is naturally grey,
dark or soft looks damaged to it. That leaves reinforcement something to correct.
"""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TypeAlias, TypeVar

from pondera.core.answers import AnswerFormat
from pondera.core.aspects import read_grades
from pondera.core.records import FIVE_POINT, Assessment, Sample
from pondera.data.images import load_image
from pondera.errors import MediaError, PonderaError, TeacherError
from pondera.teach import defects, forms, statistics, wording
from pondera.teach.base import TeacherResponse, Unanswered

VERSION = 1  # raised when measures or rules change; constants and words count by themselves

_PARALLEL_FROM = 192  # images; below it, starting processes costs more than it saves
_CHUNK = 16  # images a process takes at once

_Measured: TypeAlias = tuple[forms.Evidence | PonderaError, float]
E = TypeVar("E")


class MeasuringTeacher:
    """The offline teacher.

    Args:
        num_workers: processes for long lists; by default one per core, four at most.
        form: of the answers (`pondera.teach.forms`); one number from 1 to 5 by default.

    Raises:
        ValueError: num_workers is below 1.
    """

    name = "measuring"

    def __init__(self, num_workers: int | None = None, *, form: AnswerFormat | None = None) -> None:
        if num_workers is not None and num_workers < 1:
            raise ValueError(f"num_workers must be >= 1, got {num_workers}")
        self.form = form or AnswerFormat()
        self.num_workers = num_workers if num_workers is not None else min(os.cpu_count() or 1, 4)

    @property
    def fingerprint(self) -> str:
        """Name, version, and a hash of constants and words; the number of workers changes nothing."""
        content = [VERSION, statistics.PRISTINE, statistics.LADDERS, wording.VERSION, wording.CLEAN]
        content += [wording.OPENINGS, wording.STRENGTH, wording.STYLES, wording.ORDERS, wording.NOTHING]
        if self.form != AnswerFormat():  # what is recorded for the plain form stays good
            content += [forms.DEFECTS_OF, forms.CLASS_OF, repr(self.form)]
        return f"measuring-{VERSION}-{hashlib.sha256(repr(content).encode()).hexdigest()[:12]}"

    def respond(self, samples: Sequence[Sample], num: int, seed: int, *, first: int = 0) -> Iterator[TeacherResponse]:
        """Completions of every sample; the words differ between them, the facts and the score do not.

        Raises:
            Unanswered: at the end, when files could not be read.
            TeacherError: a sample is no image, num is below 1, or the form is none that it can answer in.
        """
        if num < 1:
            raise TeacherError(f"num is the number of completions per sample and must be >= 1, got {num}")
        for sample in samples:
            if sample.kind != "image":
                raise TeacherError(f"sample {sample.id!r} is a {sample.kind}; the measuring teacher knows images only")
        teacher = self.fingerprint
        shown = [_shown(sample) for sample in samples]
        measured = self._measured([path for paths in shown for path in paths])
        reasons: dict[tuple[str, int], str] = {}
        for sample, paths in zip(samples, shown, strict=True):
            found, seconds = taken(measured, len(paths))
            for k in range(first, first + num):
                if isinstance(found, MediaError):
                    reasons[sample.id, k] = str(found)
                    continue
                text = forms.completion(found, self.form, f"{seed}/{sample.id}/{k}")
                yield TeacherResponse(sample.id, k, text, teacher, seed, {"seconds": round(seconds / num, 6)})
        if reasons:
            raise Unanswered(reasons)

    def assess(self, paths: Sequence[str | Path]) -> list[Assessment]:
        """Score images as a model's assessor would; a file that cannot be read has an error and no score.

        Args:
            paths: image files. The wording depends on the file's name and not on its folder.

        Returns:
            One assessment each, in order.
        """
        measured = self._measured([str(path) for path in paths])
        return [self._assessment(str(path), *result) for path, result in zip(paths, measured, strict=True)]

    def _assessment(self, path: str, seen: forms.Evidence | PonderaError, seconds: float) -> Assessment:
        if isinstance(seen, PonderaError):
            return Assessment(
                path,
                float("nan"),
                FIVE_POINT,
                "reason",
                valid=False,
                error=str(seen),
                fingerprint=self.fingerprint,
            )
        severity_of = seen.whole
        text = wording.thought(severity_of, Path(path).name)
        return Assessment(
            path=path,
            score=defects.score(defects.aspect_severities(severity_of)),
            scale=FIVE_POINT,
            mode="reason",
            reasoning=text,
            aspects=read_grades(text),
            completion=forms.completion([seen], AnswerFormat(), Path(path).name),
            seconds=seconds,
            fingerprint=self.fingerprint,
        )

    def _measured(self, paths: Sequence[str]) -> Iterator[_Measured]:
        """Evidence (or why there is none) and seconds, in order."""
        measure_file = partial(_measure_file, form=self.form)
        workers = min(self.num_workers, -(-len(paths) // _CHUNK))
        if workers <= 1 or len(paths) < _PARALLEL_FROM:
            yield from map(measure_file, paths)
            return
        context = multiprocessing.get_context("spawn")  # a fork would copy the threads of whoever calls us
        with ProcessPoolExecutor(workers, mp_context=context) as pool:
            yield from pool.map(measure_file, paths, chunksize=_CHUNK)


def taken(measured: Iterator[tuple[E | PonderaError, float]], num: int) -> tuple[list[E] | MediaError, float]:
    """The evidence of the next files, or why one of them cannot be read; and the seconds it took.

    Args:
        measured: evidence and seconds, file by file.
        num: how many files.

    Raises:
        PonderaError: the fault is no file's.
    """
    evidence: list[E] = []
    unread: MediaError | None = None
    total = 0.0
    for found, seconds in islice(measured, num):
        total += seconds
        if isinstance(found, MediaError):
            unread = unread or found
        elif isinstance(found, PonderaError):
            raise found
        else:
            evidence.append(found)
    return (evidence if unread is None else unread), total


def _shown(sample: Sample) -> list[str]:
    """The image, or the two that are compared.

    Raises:
        TeacherError: one of them is missing.
    """
    try:
        return [sample.path()] + ([sample.path("other")] if sample.task == "compare" else [])
    except ValueError as error:
        raise TeacherError(str(error)) from None


def _measure_file(path: str, form: AnswerFormat) -> _Measured:
    start = time.perf_counter()
    try:
        found: forms.Evidence | PonderaError = forms.look(load_image(path), form)
    except PonderaError as error:  # travels back as data, so that one bad file costs one sample
        found = error
    return found, time.perf_counter() - start
