"""The measuring teacher in the forms of published systems; answers from labels, and answers held against labels."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from pondera import prompts
from pondera.core.answers import AnswerFormat, Json, LabelsField, NumberField, Numbers
from pondera.core.presets.preresq import ASPECTS
from pondera.core.records import FIVE_POINT, LabelScale, Media, Sample
from pondera.data.distortions import Distortion, distort
from pondera.data.images import load_image
from pondera.data.photographs import list_photographs
from pondera.errors import TeacherError
from pondera.teach import MeasuringTeacher
from pondera.teach.defects import ASPECT_OF
from pondera.teach.filters import Candidate
from pondera.teach.forms import CLASS_OF, DEFECTS_OF, Evidence, completion, look
from pondera.teach.labels import label_answer, label_filter

CLEAN = dict.fromkeys(ASPECT_OF, 0.0)
BLURRED = CLEAN | {"blur": 4.0}


def _form(name: str) -> AnswerFormat:
    return prompts.get(name).answer


def _one(severities: dict[str, float], **parts: dict[str, float]) -> list[Evidence]:
    return [Evidence(severities, parts.get("foreground", CLEAN), parts.get("background", CLEAN))]


_SHORT = [name for name in prompts.list_names() if name.startswith("short.") and "ground" not in name]


@pytest.mark.parametrize("name", [name for name in _SHORT if prompts.get(name).kind == "image"])
def test_every_short_prompt_about_images_gets_an_answer_that_it_can_read(name):
    seen = _one(BLURRED) * (2 if prompts.get(name).variant == "compare" else 1)
    answer = _form(name).parse(completion(seen, _form(name), "key"))
    assert answer.is_valid, answer.error


def test_one_number_goes_to_the_scale_of_the_form():
    five = AnswerFormat().parse(completion(_one(BLURRED), AnswerFormat(), "k")).score
    unit = _form("short.unit").parse(completion(_one(BLURRED), _form("short.unit"), "k")).score
    assert five == pytest.approx(1.8) and unit == pytest.approx((1.8 - 1) / 4)  # 5 - 0.8 * 4


def test_five_aspects_each_cost_their_own_defects():
    """Sharpness 5 - 0.8 * 4; the middle shows level 2 of noise (5 - 1.6), the sides nothing."""
    seen = _one(BLURRED, foreground=CLEAN | {"grain": 2.0})
    answer = _form("short.five").parse(completion(seen, _form("short.five"), "k"))
    assert dict(zip(ASPECTS, answer.values, strict=True)) == pytest.approx(
        {"saturation": 5.0, "granularity": 5.0, "sharpness": 1.8, "foreground": 3.4, "background": 5.0}
    )


def test_defects_of_aspects_and_classes_exist():
    assert {d for names in DEFECTS_OF.values() for d in names} | set(CLASS_OF) <= set(ASPECT_OF)


@pytest.mark.parametrize(
    ("severities", "expected"),
    [
        (CLEAN, {"distortion_class": "null", "severity": "null"}),
        (CLEAN | {"vivid": 5.0}, {"distortion_class": "null", "severity": "null"}),
        (CLEAN | {"blur": 2.6, "grain": 1.0}, {"distortion_class": "blur", "severity": "obvious"}),
        (CLEAN | {"dark": 5.0}, {"distortion_class": "darken", "severity": "catastrophic"}),
    ],
)
def test_degradation_is_the_strongest_defect_that_has_a_class(severities, expected):
    form = _form("short.degradation")
    assert form.parse(completion(_one(severities), form, "k")).fields == expected


@pytest.mark.parametrize(
    ("a", "b", "choice"), [(CLEAN, BLURRED, "Image A"), (BLURRED, CLEAN, "Image B"), (CLEAN, CLEAN, "Similar")]
)
def test_a_comparison_names_the_better_one(a, b, choice):
    form = _form("short.compare")
    assert form.parse(completion([*_one(a), *_one(b)], form, "k")).fields == {"choice": choice}


def test_foreground_and_background_are_looked_at_apart():
    photo = load_image(list_photographs()[0])
    photo = np.ascontiguousarray(photo[:256, :384])
    height, width = photo.shape[:2]
    noisy = photo.copy()
    middle = (slice(height // 4, height - height // 4), slice(width // 4, width - width // 4))
    noisy[middle] = distort(np.ascontiguousarray(photo[middle]), Distortion("gaussian_noise", 5), 0)
    seen = look(noisy, _form("short.five"))
    assert seen.foreground["grain"] > 3 > seen.background["grain"]
    assert look(noisy, AnswerFormat()).foreground == {}  # nobody asked


def test_the_teacher_answers_pairs_and_says_what_is_missing(tmp_path):
    photo = np.ascontiguousarray(load_image(list_photographs()[0])[:128, :128])
    Image.fromarray(photo).save(tmp_path / "a.png")
    Image.fromarray(distort(photo, Distortion("gaussian_blur", 5), 0)).save(tmp_path / "b.png")
    media = (Media(str(tmp_path / "a.png")), Media(str(tmp_path / "b.png"), "other"))
    teacher = MeasuringTeacher(1, form=_form("short.compare"))
    [response] = teacher.respond([Sample("p", media, task="compare")], 1, 0)
    assert teacher.form.parse(response.completion).fields == {"choice": "Image A"}
    with pytest.raises(TeacherError, match="no media with role 'other'"):
        next(teacher.respond([Sample("p", media[:1], task="compare")], 1, 0))
    assert teacher.fingerprint != MeasuringTeacher(1).fingerprint


@pytest.mark.parametrize("form", [AnswerFormat(Numbers(3)), _form("short.grounding"), _form("short.compare")])
def test_a_form_without_an_answer_is_refused(form):
    with pytest.raises(TeacherError, match="no answer of the form"):
        completion(_one(CLEAN), form, "k")


SAMPLE = Sample("s", (Media("s.png"),), mos=75.0, scale=LabelScale(0, 100))
SAVE = AnswerFormat(Json({"visual": NumberField(1, 5), "attribution": LabelsField()}))
VIDEO = Sample(
    "v", (Media("v.mp4"),), task="multi", targets={"visual": 3.0, "attribution": ["blur", "noise"]}, scale=FIVE_POINT
)


def test_labels_are_said_in_the_form_and_on_its_scale():
    assert label_answer(SAMPLE, AnswerFormat()) == "<answer>4.00</answer>"
    assert label_answer(SAMPLE, _form("short.score")) == "<answer>Score: 4.00</answer>"
    assert label_answer(SAMPLE, _form("short.rating")) == '<answer>{"rating": 4.0}</answer>'
    clean = Sample("c", SAMPLE.media, task="degradation", targets={"distortion_class": "null"})
    assert json.loads(label_answer(clean, _form("short.degradation"))[8:-9])["severity"] == "null"
    for form, message in ((_form("short.five"), "asks for 5 numbers"), (_form("short.grounding"), "no label 'boxes'")):
        with pytest.raises(TeacherError, match=message):
            label_answer(SAMPLE, form)


def _objection(sample: Sample, form: AnswerFormat, text: str, tolerance: float = 0.3) -> str | None:
    return label_filter(tolerance, form).start()(Candidate(sample, 0, text, form.parse(text)))


@pytest.mark.parametrize(
    ("sample", "form", "body", "is_right"),
    [
        (SAMPLE, AnswerFormat(), "4.29", True),
        (SAMPLE, AnswerFormat(), "4.31", False),
        (SAMPLE, _form("short.five"), "5\n4\n4\n4\n3", True),  # the mean counts
        (SAMPLE, _form("short.rating"), '{"rating": 3.5}', False),
        (VIDEO, SAVE, '{"visual": 3.2, "attribution": ["blur"]}', True),  # F1 2/3
        (VIDEO, SAVE, '{"visual": 3.2, "attribution": ["blur", "a", "b"]}', False),  # F1 2/5
        (VIDEO, SAVE, '{"visual": 3.4, "attribution": ["blur"]}', False),
        (Sample("u", (Media("u"),)), AnswerFormat(), "1.0", True),  # no label, no objection
    ],
)
def test_answers_are_held_against_the_labels(sample, form, body, is_right):
    assert (_objection(sample, form, f"<think>t</think><answer>{body}</answer>") is None) == is_right


def test_a_tolerance_of_zero_is_refused():
    with pytest.raises(ValueError, match="tolerance must be > 0"):
        label_filter(0, AnswerFormat())
