"""The measuring teacher for videos: how a clip runs and how its pictures look, from what can be measured on it.

Course in time: standstills, uneven motion, flicker, shake (`data.motion_faults`), read at full rate. Pictures: the
image teacher's measures on frames. It sees neither label nor reference, and its rule is simple on purpose: it counts
all kinds of damage alike. Its two numbers are the whole (every aspect) and the details (the pictures alone); where only
the course in time is damaged their mean is too kind, which leaves reinforcement something to correct.
"""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pondera.core.answers import AnswerFormat, Numbers
from pondera.core.aspects import read_grades
from pondera.core.records import FIVE_POINT, Assessment, MediaKind, Sample
from pondera.data.motion_evidence import read_stretches
from pondera.data.motion_faults import fault_severities, measure_course
from pondera.data.motion_ladders import LADDERS
from pondera.data.video import sample_clip
from pondera.errors import PonderaError, TeacherError
from pondera.teach import defects, statistics, video_wording
from pondera.teach.base import TeacherResponse
from pondera.teach.measures import measure
from pondera.teach.measuring import MeasuringTeacher

VERSION = 1  # raised when measures or rules change; constants and words count by themselves

_NUM_FRAMES = 3  # whose pictures are measured
_CHUNK = 8  # videos a process takes at once
_PARALLEL_FROM = 32  # videos; below it, starting processes costs more than it saves


@dataclass(frozen=True)
class VideoFindings:
    """What was measured on one video, as severities: 0 nothing, 1 just visible, 5 extreme.

    Args:
        aspects: of every aspect that is graded.
        spatial: of every defect of the pictures.
    """

    aspects: dict[str, float]
    spatial: dict[str, float]

    @property
    def numbers(self) -> tuple[float, float]:
        """The whole and the details, each 1.00 to 5.00, by the image teacher's rule."""
        details = {aspect: self.aspects[aspect] for aspect in video_wording.SPATIAL_ASPECTS}
        return defects.score(self.aspects), defects.score(details)

    def completion(self, key: str, num_values: int = 2) -> str:
        """Thought and answer: the whole and the details, or the whole alone; the key decides the wording."""
        thought = video_wording.video_thought(self.aspects, self.spatial, key)
        body = "\n".join(f"{number:.2f}" for number in self.numbers[:num_values])
        return f"<think>{thought}</think><answer>{body}</answer>"


class VideoMeasuringTeacher:
    """The offline teacher for videos.

    Args:
        num_workers: processes for long lists; by default one per core, four at most.
        num_values: numbers of an answer: 2, the whole and the details, or 1, the whole.

    Raises:
        ValueError: num_workers is below 1, or num_values is neither.
    """

    name = "measuring-video"

    def __init__(self, num_workers: int | None = None, *, num_values: int = 2) -> None:
        if num_values not in (1, 2):
            raise ValueError(f"num_values must be 1 or 2, got {num_values}")
        self.num_values = num_values
        if num_workers is not None and num_workers < 1:
            raise ValueError(f"num_workers must be >= 1, got {num_workers}")
        self.num_workers = num_workers if num_workers is not None else min(os.cpu_count() or 1, 4)

    @property
    def fingerprint(self) -> str:
        """Name, version, and a hash of constants and words; the number of workers changes nothing."""
        content = [VERSION, statistics.PRISTINE, statistics.LADDERS, LADDERS, video_wording.VERSION]
        content.append(self.num_values)
        return f"measuring-video-{VERSION}-{hashlib.sha256(repr(content).encode()).hexdigest()[:12]}"

    def respond(self, samples: Sequence[Sample], num: int, seed: int, *, first: int = 0) -> Iterator[TeacherResponse]:
        """Completions of every sample; the words differ between them, the facts and the numbers do not.

        Raises:
            TeacherError: a sample is no video, or num is below 1.
            MediaError: a file cannot be read.
            MissingExtra: PyAV is not installed.
        """
        if num < 1:
            raise TeacherError(f"num is the number of completions per sample and must be >= 1, got {num}")
        for sample in samples:
            if sample.kind != "video":
                raise TeacherError(f"sample {sample.id!r} is no video; ask the measuring teacher for images about it")
        teacher = self.fingerprint
        measured = self._measured([sample.path() for sample in samples])
        for sample, (found, seconds) in zip(samples, measured, strict=True):
            if isinstance(found, PonderaError):
                raise found
            for k in range(first, first + num):
                text = found.completion(f"{seed}/{sample.id}/{k}", self.num_values)
                yield TeacherResponse(sample.id, k, text, teacher, seed, {"seconds": round(seconds / num, 6)})

    def assess(self, paths: Sequence[str | Path]) -> list[Assessment]:
        """Score videos as a model's assessor would; a file that cannot be read has an error and no score."""
        measured = self._measured([str(path) for path in paths])
        return [self._assessment(str(path), *result) for path, result in zip(paths, measured, strict=True)]

    def _assessment(self, path: str, found: VideoFindings | PonderaError, seconds: float) -> Assessment:
        if isinstance(found, PonderaError):
            return Assessment(
                path,
                float("nan"),
                FIVE_POINT,
                "reason",
                valid=False,
                error=str(found),
                fingerprint=self.fingerprint,
            )
        text = video_wording.video_thought(found.aspects, found.spatial, Path(path).name)
        return Assessment(
            path=path,
            score=float(np.mean(found.numbers[: self.num_values])),
            scale=FIVE_POINT,
            mode="reason",
            reasoning=text,
            aspects=read_grades(text),
            completion=found.completion(Path(path).name, self.num_values),
            seconds=seconds,
            fingerprint=self.fingerprint,
        )

    def _measured(self, paths: Sequence[str]) -> Iterator[tuple[VideoFindings | PonderaError, float]]:
        workers = min(self.num_workers, -(-len(paths) // _CHUNK))
        if workers <= 1 or len(paths) < _PARALLEL_FROM:
            yield from map(_measure_file, paths)
            return
        context = multiprocessing.get_context("spawn")  # a fork would copy the threads of whoever calls us
        with ProcessPoolExecutor(workers, mp_context=context) as pool:
            yield from pool.map(_measure_file, paths, chunksize=_CHUNK)


def measuring_teacher(kind: MediaKind, form: AnswerFormat) -> MeasuringTeacher | VideoMeasuringTeacher:
    """The measuring teacher for images or for videos, answering in a form.

    Raises:
        TeacherError: it has no answer of that form.
    """
    if kind == "image":
        return MeasuringTeacher(form=form)
    body = form.body
    if not isinstance(body, Numbers) or body.n > 2 or (body.low, body.high) != (1.0, 5.0) or form.think == "absent":
        raise TeacherError(
            "the measuring teacher answers about videos with a thought and one or two numbers from 1 to 5; name a "
            "prompt that asks for these, such as quality.video"
        )
    return VideoMeasuringTeacher(num_values=body.n)


def find(path: str | Path) -> VideoFindings:
    """Measure one video.

    Raises:
        MediaError: it cannot be read.
        MissingExtra: PyAV is not installed.
    """
    pictures = [defects.severities(measure(frame.image)) for frame in sample_clip(path, _NUM_FRAMES).frames]
    spatial = {defect: float(np.mean([picture[defect] for picture in pictures])) for defect in pictures[0]}
    of_pictures = defects.aspect_severities(spatial)
    aspects = temporal_severities(measure_course(read_stretches(path)))
    return VideoFindings(aspects | {name: of_pictures[name] for name in video_wording.SPATIAL_ASPECTS}, spatial)


def temporal_severities(course: dict[str, float]) -> dict[str, float]:
    """Severity of stability, smoothness and flicker, each by its worst measure.

    Args:
        course: as `measure_course` gives it.
    """
    severity = fault_severities(course)
    smoothness = max(severity["repeated"], severity["standstill"], severity["unevenness"])
    return {"stability": severity["shake"], "smoothness": smoothness, "flicker": severity["flicker"]}


def _measure_file(path: str) -> tuple[VideoFindings | PonderaError, float]:
    start = time.perf_counter()
    try:
        found: VideoFindings | PonderaError = find(path)
    except PonderaError as error:  # travels back as data, so that one bad file costs one sample
        found = error
    return found, time.perf_counter() - start
