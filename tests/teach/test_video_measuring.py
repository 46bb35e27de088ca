"""The measuring teacher for videos: it finds what was done, says it, and sees nothing but the file."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("av")

from pondera import prompts
from pondera.core.answers import Answer, AnswerFormat, Numbers
from pondera.core.aspects import TEMPORAL_ASPECTS, read_grades, worst_aspect
from pondera.core.records import Distortion, Media, Sample
from pondera.data.motion_evidence import Stretch
from pondera.data.motion_faults import measure_course
from pondera.data.moving_content import MovingContent
from pondera.data.photographs import list_photographs
from pondera.data.temporal_distortions import distort_clip
from pondera.errors import TeacherError
from pondera.teach import MeasuringTeacher, VideoMeasuringTeacher, measuring_teacher
from pondera.teach.video_forms import VideoFindings, completion
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


def test_what_was_recorded_for_two_plain_numbers_stays_good():
    named = AnswerFormat(Numbers(2, names=("global", "local")))
    assert VideoMeasuringTeacher(form=named).fingerprint == VideoMeasuringTeacher().fingerprint
    forms = [AnswerFormat(), AnswerFormat(Numbers(2)), _form("short.video.hundred"), _form("short.video.causes")]
    assert len({VideoMeasuringTeacher(form=form).fingerprint for form in forms}) == 4


def _form(prompt: str) -> AnswerFormat:
    return prompts.get(prompt).answer


CLEAN = dict.fromkeys((*TEMPORAL_ASPECTS, *SPATIAL_ASPECTS), 0.0)


def _found(**severities: float) -> VideoFindings:
    return VideoFindings(
        CLEAN | severities, dict.fromkeys(("blur", "grain", "specks", "blocks", "smear", "bands"), 0.0)
    )


def _answer(prompt: str, *seen: VideoFindings) -> Answer:
    answer = _form(prompt).parse(completion(seen, _form(prompt), "key"))
    assert answer.is_valid, answer.error
    return answer


def test_one_number_goes_to_the_scale_of_the_form():
    """The worst aspect costs 0.8 a level, every other one a fifth of that: 5 - 0.8 * (4 + 0.2 * 1) = 1.64."""
    found = _found(flicker=4.0, noise=1.0)
    assert _answer("quality.short.video.score", found).score == pytest.approx(1.64)
    assert _answer("short.video.hundred", found).score == pytest.approx(16.0)


def test_dimensions_are_the_pictures_and_the_course_and_causes_are_fair_or_worse_the_worst_first():
    """Level 1 is graded good (4.5 - 0.8 rounds up to 4): no cause."""
    answer = _answer("short.video.causes", _found(flicker=2.0, noise=3.0, compression=1.0, smoothness=1.0))
    assert answer.fields["visual"] == pytest.approx(5 - 0.8 * (3 + 0.2))
    assert answer.fields["dynamic"] == pytest.approx(5 - 0.8 * (2 + 0.2))
    assert answer.fields["attribution"] == ["noise", "flicker"]
    assert _answer("short.video.causes", _found()).fields == {"visual": 5.0, "dynamic": 5.0, "attribution": []}


@pytest.mark.parametrize(("a", "b", "choice"), [(0.0, 2.0, "Image A"), (3.0, 0.0, "Image B"), (2.0, 2.2, "Similar")])
def test_a_comparison_names_the_better_video_and_the_worst_aspect_of_both(a, b, choice):
    answer = _answer("short.video.compare", _found(flicker=a), _found(noise=b))
    assert answer.fields == {"choice": choice}
    said = "the worst aspect is noise: fair" if b else "nothing stands out"
    assert answer.think.startswith("In video A ") and answer.think.endswith(f"In video B {said}.")


def test_pairs_are_looked_at_both_and_a_pair_has_no_score(clip, frames, tmp_path):
    from pondera.data.moving_clips import write_clip

    write_clip(tmp_path / "sound.mp4", frames, RATE)
    media = (Media(str(clip)), Media(str(tmp_path / "sound.mp4"), "other"))
    teacher = VideoMeasuringTeacher(form=_form("short.video.compare"))
    (response,) = teacher.respond([Sample("p", media, kind="video", task="compare")], 1, 0)
    assert teacher.form.parse(response.completion).fields == {"choice": "Image B"}
    with pytest.raises(TeacherError, match="no media with role 'other'"):
        next(teacher.respond([Sample("p", media[:1], kind="video", task="compare")], 1, 0))
    with pytest.raises(TeacherError, match="has no score"):
        teacher.assess([clip])


@pytest.mark.parametrize("prompt", ["save.video", "insight.video.multi", "short.degradation"])
def test_what_cannot_be_measured_is_refused_and_agreement_with_a_text_is_such_a_thing(prompt):
    with pytest.raises(TeacherError, match=r"Agreement with a text cannot be measured.*quality\.video"):
        measuring_teacher("video", _form(prompt))


def test_a_form_and_videos_that_do_not_belong_together_are_refused():
    with pytest.raises(TeacherError, match="no answer of the form"):
        measuring_teacher("video", AnswerFormat(Numbers(5)))
    with pytest.raises(TeacherError, match=r"about 2 video\(s\), and 1 are shown"):
        completion([_found()], _form("short.video.compare"), "k")
