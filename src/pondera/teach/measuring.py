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
from pathlib import Path

from pondera.core.aspects import read_grades
from pondera.core.records import FIVE_POINT, Assessment, Sample
from pondera.data.images import load_image
from pondera.errors import PonderaError, TeacherError
from pondera.teach import defects, statistics, wording
from pondera.teach.base import TeacherResponse
from pondera.teach.measures import measure

VERSION = 1  # raised when measures or rules change; constants and words count by themselves

_PARALLEL_FROM = 192  # images; below it, starting processes costs more than it saves
_CHUNK = 16  # images a process takes at once


class MeasuringTeacher:
    """The offline teacher.

    Args:
        num_workers: processes for long lists; by default one per core, four at most.

    Raises:
        ValueError: num_workers is below 1.
    """

    name = "measuring"

    def __init__(self, num_workers: int | None = None) -> None:
        if num_workers is not None and num_workers < 1:
            raise ValueError(f"num_workers must be >= 1, got {num_workers}")
        self.num_workers = num_workers if num_workers is not None else min(os.cpu_count() or 1, 4)

    @property
    def fingerprint(self) -> str:
        """Name, version, and a hash of constants and words; the number of workers changes nothing."""
        content = [VERSION, statistics.PRISTINE, statistics.LADDERS, wording.VERSION, wording.CLEAN]
        content += [wording.OPENINGS, wording.STRENGTH, wording.STYLES, wording.ORDERS, wording.NOTHING]
        return f"measuring-{VERSION}-{hashlib.sha256(repr(content).encode()).hexdigest()[:12]}"

    def respond(self, samples: Sequence[Sample], num: int, seed: int, *, first: int = 0) -> Iterator[TeacherResponse]:
        """Completions of every sample; the words differ between them, the facts and the score do not.

        Raises:
            TeacherError: a sample is no image, or num is below 1.
            MediaError: a file cannot be read.
        """
        if num < 1:
            raise TeacherError(f"num is the number of completions per sample and must be >= 1, got {num}")
        for sample in samples:
            if sample.kind != "image":
                raise TeacherError(f"sample {sample.id!r} is a {sample.kind}; the measuring teacher knows images only")
        teacher = self.fingerprint
        measured = self._measured([sample.path() for sample in samples])
        for sample, (severity_of, seconds) in zip(samples, measured, strict=True):
            if isinstance(severity_of, PonderaError):
                raise severity_of
            for k in range(first, first + num):
                text = completion(severity_of, f"{seed}/{sample.id}/{k}")
                yield TeacherResponse(sample.id, k, text, teacher, seed, {"seconds": round(seconds / num, 6)})

    def assess(self, paths: Sequence[str | Path]) -> list[Assessment]:
        """Score images as a model's assessor would; a file that cannot be read has an error and no score.

        Args:
            paths: image files. The wording depends on the file's name and not on its folder.

        Returns:
            One assessment each, in order.
        """
        measured = self._measured([str(path) for path in paths])
        return [self._assessment(str(path), *result) for path, result in zip(paths, measured, strict=True)]

    def _assessment(self, path: str, severity_of: dict[str, float] | PonderaError, seconds: float) -> Assessment:
        if isinstance(severity_of, PonderaError):
            return Assessment(
                path,
                float("nan"),
                FIVE_POINT,
                "reason",
                valid=False,
                error=str(severity_of),
                fingerprint=self.fingerprint,
            )
        text = wording.thought(severity_of, Path(path).name)
        return Assessment(
            path=path,
            score=defects.score(defects.aspect_severities(severity_of)),
            scale=FIVE_POINT,
            mode="reason",
            reasoning=text,
            aspects=read_grades(text),
            completion=completion(severity_of, Path(path).name),
            seconds=seconds,
            fingerprint=self.fingerprint,
        )

    def _measured(self, paths: Sequence[str]) -> Iterator[tuple[dict[str, float] | PonderaError, float]]:
        """Severities (or why there are none) and seconds, in order."""
        workers = min(self.num_workers, -(-len(paths) // _CHUNK))
        if workers <= 1 or len(paths) < _PARALLEL_FROM:
            yield from map(_measure_file, paths)
            return
        context = multiprocessing.get_context("spawn")  # a fork would copy the threads of whoever calls us
        with ProcessPoolExecutor(workers, mp_context=context) as pool:
            yield from pool.map(_measure_file, paths, chunksize=_CHUNK)


def completion(severity_of: dict[str, float], key: str) -> str:
    """Thought and answer of an image with these severities; the key decides the wording."""
    value = defects.score(defects.aspect_severities(severity_of))
    return f"<think>{wording.thought(severity_of, key)}</think><answer>{value:.2f}</answer>"


def _measure_file(path: str) -> tuple[dict[str, float] | PonderaError, float]:
    start = time.perf_counter()
    try:
        found: dict[str, float] | PonderaError = defects.severities(measure(load_image(path)))
    except PonderaError as error:  # travels back as data, so that one bad file costs one sample
        found = error
    return found, time.perf_counter() - start
