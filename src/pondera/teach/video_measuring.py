"""The measuring teacher for videos: how a clip runs and how its pictures look, from what can be measured on it.

Course in time: standstills, uneven motion, flicker, shake (`data.motion_faults`), read at full rate. Pictures: the
image teacher's measures on frames. It sees neither label nor reference, and its rule is simple on purpose: it counts
all kinds of damage alike. What it answers in which form stands in `video_forms`. Two numbers are the whole (every
aspect) and the details (the pictures alone); where only the course in time is damaged their mean is too kind, which
leaves reinforcement something to correct.
"""

from __future__ import annotations

import hashlib
import math
import multiprocessing
import os
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TypeAlias

import numpy as np

from pondera.core.answers import AnswerFormat, Numbers
from pondera.core.aspects import read_grades
from pondera.core.presets.images import CHOICES
from pondera.core.records import Assessment, MediaKind, Sample
from pondera.data.motion_evidence import read_stretches
from pondera.data.motion_faults import fault_severities, measure_course
from pondera.data.motion_ladders import LADDERS
from pondera.data.video import sample_clip
from pondera.errors import MediaError, PonderaError, TeacherError
from pondera.teach import defects, forms, statistics, video_forms, video_wording
from pondera.teach.base import TeacherResponse, Unanswered
from pondera.teach.measures import measure
from pondera.teach.measuring import MeasuringTeacher, taken
from pondera.teach.video_forms import VideoFindings

VERSION = 1  # raised when measures or rules change; constants and words count by themselves

_NUM_FRAMES = 3  # whose pictures are measured
_CHUNK = 8  # videos a process takes at once
_PARALLEL_FROM = 32  # videos; below it, starting processes costs more than it saves

_Measured: TypeAlias = tuple[VideoFindings | PonderaError, float]


class VideoMeasuringTeacher:
    """The offline teacher for videos.

    Args:
        num_workers: processes for long lists; by default one per core, four at most.
        form: of the answers (`pondera.teach.video_forms`); by default two numbers from 1 to 5.

    Raises:
        TeacherError: it has no answer of this form.
        ValueError: num_workers is below 1.
    """

    name = "measuring-video"

    def __init__(self, num_workers: int | None = None, *, form: AnswerFormat | None = None) -> None:
        self.form = form or AnswerFormat(Numbers(2))
        video_forms.refuse_unanswered(self.form)
        if num_workers is not None and num_workers < 1:
            raise ValueError(f"num_workers must be >= 1, got {num_workers}")
        self.num_workers = num_workers if num_workers is not None else min(os.cpu_count() or 1, 4)

    @property
    def fingerprint(self) -> str:
        """Name, version, and a hash of constants and words; the number of workers changes nothing."""
        content = [VERSION, statistics.PRISTINE, statistics.LADDERS, LADDERS, video_wording.VERSION]
        body = self.form.body
        unnamed = replace(self.form, body=replace(body, names=())) if isinstance(body, Numbers) else self.form
        if isinstance(body, Numbers) and unnamed == AnswerFormat(Numbers(body.n)):
            content.append(body.n)  # what is recorded for plain numbers stays good, whatever a prompt calls them
        else:
            content += [CHOICES, forms.SAME, repr(unnamed)]
        return f"measuring-video-{VERSION}-{hashlib.sha256(repr(content).encode()).hexdigest()[:12]}"

    def respond(self, samples: Sequence[Sample], num: int, seed: int, *, first: int = 0) -> Iterator[TeacherResponse]:
        """Completions of every sample; the words differ between them, the facts and the numbers do not.

        Raises:
            Unanswered: at the end, when files could not be read.
            TeacherError: a sample is no video, or num is below 1.
            MissingExtra: PyAV is not installed.
        """
        if num < 1:
            raise TeacherError(f"num is the number of completions per sample and must be >= 1, got {num}")
        for sample in samples:
            if sample.kind != "video":
                raise TeacherError(f"sample {sample.id!r} is no video; ask the measuring teacher for images about it")
        teacher = self.fingerprint
        shown = [self._shown(sample) for sample in samples]
        measured = self._measured([path for paths in shown for path in paths])
        reasons: dict[tuple[str, int], str] = {}
        for sample, paths in zip(samples, shown, strict=True):
            found, seconds = taken(measured, len(paths))
            for k in range(first, first + num):
                if isinstance(found, MediaError):
                    reasons[sample.id, k] = str(found)
                    continue
                text = video_forms.completion(found, self.form, f"{seed}/{sample.id}/{k}")
                yield TeacherResponse(sample.id, k, text, teacher, seed, {"seconds": round(seconds / num, 6)})
        if reasons:
            raise Unanswered(reasons)

    def assess(self, paths: Sequence[str | Path]) -> list[Assessment]:
        """Score videos as a model's assessor would; a file that cannot be read has an error and no score.

        Raises:
            TeacherError: the form has no score on one scale.
        """
        if self.form.scale is None:
            raise TeacherError(f"the form {self.form.body} has no score; name a prompt that asks for one")
        measured = self._measured([str(path) for path in paths])
        return [self._assessment(str(path), *result) for path, result in zip(paths, measured, strict=True)]

    def _shown(self, sample: Sample) -> list[str]:
        """The video, or the two that are compared.

        Raises:
            TeacherError: one of them is missing.
        """
        try:
            return [sample.path()] + ([sample.path("other")] if video_forms.num_shown(self.form) == 2 else [])
        except ValueError as error:
            raise TeacherError(str(error)) from None

    def _assessment(self, path: str, found: VideoFindings | PonderaError, seconds: float) -> Assessment:
        scale = self.form.scale
        assert scale is not None  # `assess` refuses the others
        fingerprint = self.fingerprint
        if isinstance(found, PonderaError):
            error = str(found)
            return Assessment(path, math.nan, scale, "reason", valid=False, error=error, fingerprint=fingerprint)
        text = video_forms.completion([found], self.form, Path(path).name)
        answer = self.form.parse(text)
        return Assessment(
            path=path,
            score=answer.score,
            scale=scale,
            mode="reason",
            reasoning=answer.think or "",
            aspects=read_grades(answer.think or ""),
            completion=text,
            seconds=seconds,
            fingerprint=fingerprint,
        )

    def _measured(self, paths: Sequence[str]) -> Iterator[_Measured]:
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
    return MeasuringTeacher(form=form) if kind == "image" else VideoMeasuringTeacher(form=form)


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


def _measure_file(path: str) -> _Measured:
    start = time.perf_counter()
    try:
        found: VideoFindings | PonderaError = find(path)
    except PonderaError as error:  # travels back as data, so that one bad file costs one sample
        found = error
    return found, time.perf_counter() - start
