"""The measuring teacher for videos: it finds what was done, says it, and sees nothing but the file."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("av")

from pondera.core.answers import AnswerFormat, Numbers
from pondera.core.aspects import TEMPORAL_ASPECTS, read_grades, worst_aspect
from pondera.core.records import Distortion, Media, Sample
from pondera.data.motion_evidence import Stretch
from pondera.data.motion_faults import measure_course
from pondera.data.moving_content import MovingContent
from pondera.data.photographs import list_photographs
from pondera.data.temporal_distortions import distort_clip
from pondera.errors import TeacherError
from pondera.teach import MeasuringTeacher, VideoMeasuringTeacher, measuring_teacher
from pondera.teach.video_measuring import temporal_severities
from pondera.teach.video_wording import SPATIAL_ASPECTS, TEMPORAL_OPENINGS, video_thought

RATE = 24


@pytest.fixture(scope="module")
def frames() -> np.ndarray:
    return MovingContent(list_photographs()[0], 3, num_frames=36, size=(160, 96)).frames()


def _course(frames: np.ndarray) -> dict[str, float]:
    return measure_course([Stretch(frames, np.arange(len(frames)) / RATE)])


def _severities(frames: np.ndarray, kind: str, level: int) -> dict[str, float]:
    return temporal_severities(_course(distort_clip(frames, RATE, Distortion(kind, level), 5).frames))


@pytest.mark.parametrize(
    ("kind", "aspect"),
    [
        ("freeze", "smoothness"),
        ("frame_drop", "smoothness"),
        ("rate_reduction", "smoothness"),
        ("jitter", "smoothness"),
        ("flicker", "flicker"),
        ("shake", "stability"),
    ],
)
def test_a_strong_fault_is_the_worst_of_the_course_and_a_stronger_one_is_no_better(frames, kind, aspect):
    fair, strong = _severities(frames, kind, 3), _severities(frames, kind, 5)
    assert max(strong, key=lambda name: strong[name]) == aspect
    assert strong[aspect] >= fair[aspect] > temporal_severities(_course(frames))[aspect]


@pytest.fixture(scope="module")
def clip(tmp_path_factory, frames):
    from pondera.data.moving_clips import write_clip

    path = tmp_path_factory.mktemp("teacher") / "clip.mp4"
    write_clip(path, distort_clip(frames, RATE, Distortion("flicker", 5), 1).frames, RATE)
    return path


def test_the_completion_has_two_numbers_and_grades_every_aspect(clip):
    sample = Sample("s", (Media(str(clip)),), kind="video")
    first, second = VideoMeasuringTeacher().respond([sample], 2, 0)
    answer = AnswerFormat(Numbers(2)).parse(first.completion)
    assert answer.is_valid and answer.values[0] < answer.values[1]  # the pictures alone are sound
    assert set(read_grades(answer.think)) == {*TEMPORAL_ASPECTS, *SPATIAL_ASPECTS}
    assert worst_aspect(answer.think) == "flicker"
    assert first.completion != second.completion
    assert AnswerFormat(Numbers(2)).parse(second.completion).values == answer.values


def test_an_assessment_says_the_same_as_the_completion(clip, tmp_path):
    (tmp_path / "broken.mp4").write_bytes(b"x" * 100)
    good, bad = VideoMeasuringTeacher().assess([clip, tmp_path / "broken.mp4"])
    answer = AnswerFormat(Numbers(2)).parse(good.completion)
    assert (good.score, good.reasoning) == (answer.score, answer.think)
    assert bad.error is not None and not bad.valid


def test_an_image_and_no_completion_are_refused(clip):
    with pytest.raises(TeacherError, match="is no video"):
        list(VideoMeasuringTeacher().respond([Sample("s", (Media("a.png"),))], 1, 0))
    with pytest.raises(TeacherError, match=">= 1"):
        list(VideoMeasuringTeacher().respond([], 0, 0))
    with pytest.raises(ValueError, match="num_workers"):
        VideoMeasuringTeacher(0)


def test_a_clean_video_has_no_worst_aspect_and_no_number_is_in_a_thought():
    spatial = dict.fromkeys(("blur", "grain", "specks", "blocks", "smear", "bands"), 0.0)
    clean = dict.fromkeys((*TEMPORAL_ASPECTS, *SPATIAL_ASPECTS), 0.0)
    assert worst_aspect(video_thought(clean, spatial, "a")) is None
    for aspect in clean:
        text = video_thought(clean | {aspect: 4.0}, spatial | {"blur": 4.0}, "a")
        assert worst_aspect(text) == aspect and not any(char.isdigit() for char in text)
    assert set(TEMPORAL_OPENINGS) == set(TEMPORAL_ASPECTS)


def test_the_teacher_answers_with_the_whole_alone_where_one_number_is_asked_for(clip):
    one, two = (measuring_teacher("video", AnswerFormat(Numbers(n))) for n in (1, 2))
    (short,), (long,) = one.assess([clip]), two.assess([clip])
    assert short.score == AnswerFormat(Numbers(2)).parse(long.completion).values[0] < long.score
    assert AnswerFormat(Numbers(1)).parse(short.completion).is_valid and one.fingerprint != two.fingerprint
    assert isinstance(measuring_teacher("image", AnswerFormat()), MeasuringTeacher)
    with pytest.raises(TeacherError, match="one or two numbers"):
        measuring_teacher("video", AnswerFormat(Numbers(5)))
