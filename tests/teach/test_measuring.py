"""The measuring teacher: names what was done, says it truthfully, in few words, the same every time."""

from __future__ import annotations

import math
import random
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from pondera.core.answers import AnswerFormat
from pondera.core.aspects import ASPECTS, read_grades, worst_aspect
from pondera.core.records import Distortion
from pondera.data.distortions import DISTORTIONS, distort
from pondera.errors import MediaError, TeacherError
from pondera.teach import MeasuringTeacher, Unanswered, wording
from pondera.teach.base import digest_sample
from pondera.teach.defects import ASPECT_OF, DISTORTIONS_OF, aspect_severities, grade, score, severities
from pondera.teach.forms import Evidence, completion
from pondera.teach.measures import measure
from pondera.teach.statistics import LADDERS, PRISTINE

CLEAN = dict.fromkeys(ASPECT_OF, 0.0)


def random_severities(seed: int) -> dict[str, float]:
    generator = random.Random(seed)
    return {defect: generator.choice((0, 0, generator.uniform(0, 5))) for defect in ASPECT_OF}


def test_defects_aspects_distortions_and_constants_cover_one_another(held_out_crops):
    assert set(ASPECT_OF.values()) == set(ASPECTS)
    assert set(ASPECT_OF) == set(DISTORTIONS_OF) == set(LADDERS) == set(wording.OPENINGS)
    assert {name for names in DISTORTIONS_OF.values() for name in names} == set(DISTORTIONS)
    assert all(DISTORTIONS[name].aspect == ASPECT_OF[d] for d, names in DISTORTIONS_OF.items() for name in names)
    assert list(measure(held_out_crops[0])) == list(PRISTINE)


def test_strong_damage_on_held_out_photographs_is_named_in_at_least_85_percent(held_out_crops):
    """Levels 4 and 5 of all types; benchmarks/measuring_teacher.py prints the whole table."""
    hits = []
    for index, crop in enumerate(held_out_crops):
        for place, name in enumerate(DISTORTIONS):
            damaged = distort(crop, Distortion(name, 4 + (index + place) % 2), seed=index)
            said = wording.thought(severities(measure(damaged)), f"{index}")
            hits.append(worst_aspect(said) == DISTORTIONS[name].aspect)
    assert np.mean(hits) >= 0.85


def test_pristine_held_out_photographs_are_mostly_good_everywhere(held_out_crops):
    worst = [min(read_grades(wording.thought(severities(measure(c)), "0")).values()) for c in held_out_crops]
    assert np.mean(np.array(worst) >= 4) >= 0.6
    assert np.median([score(aspect_severities(severities(measure(crop)))) for crop in held_out_crops]) > 4


@pytest.mark.parametrize("name", ["gaussian_noise", "gaussian_blur", "jpeg", "darken", "low_contrast", "desaturate"])
def test_the_score_falls_with_the_level(held_out_crops, name):
    means = [
        np.mean(
            [
                score(aspect_severities(severities(measure(distort(crop, Distortion(name, level), seed=3)))))
                for crop in held_out_crops[:5]
            ]
        )
        for level in (1, 3, 5)
    ]
    assert means[0] > means[1] > means[2]


def test_severity_is_a_level_between_nothing_and_extreme():
    mean = {name: value for name, (value, _) in PRISTINE.items()}
    low = severities({**mean, "noise_sigma": -9.0})
    assert low["grain"] == 0.0
    z = LADDERS["grain"][3] * PRISTINE["noise_sigma"][1] + PRISTINE["noise_sigma"][0]
    assert severities({**mean, "noise_sigma": z})["grain"] == pytest.approx(3.0)
    assert severities({**mean, "noise_sigma": 99.0})["grain"] == 5.0


def test_grades_and_score_follow_the_documented_rule():
    """Grade: 5 - 0.8 severity, to the nearest, half down. Score: 0.8 a level for the worst, a fifth for the rest."""
    assert [grade(s) for s in (0, 0.6, 0.7, 1, 2, 3, 4, 5)] == [5, 5, 4, 4, 3, 3, 2, 1]
    severity = dict.fromkeys(ASPECTS, 0.0)
    assert score(severity) == 5.0
    assert score({**severity, "noise": 2.0}) == 3.4
    assert score({**severity, "noise": 2.0, "colour": 1.0}) == 3.24
    assert score(dict.fromkeys(ASPECTS, 5.0)) == 1.0


def test_every_thought_says_exactly_what_was_measured():
    for seed in range(400):
        severity_of = random_severities(seed)
        said = wording.thought(severity_of, str(seed))
        expected = aspect_severities(severity_of)
        assert read_grades(said) == {aspect: grade(value) for aspect, value in expected.items()}
        worst = max(expected, key=lambda aspect: expected[aspect])
        assert worst_aspect(said) == (worst if grade(expected[worst]) < 4 else None)


def test_thoughts_are_short_and_from_a_small_vocabulary_without_numbers():
    said = [wording.thought(random_severities(seed), str(seed)) for seed in range(400)]
    assert all(18 <= len(text.split()) <= 45 for text in said)
    assert {w.strip(".,:").lower() for text in said for w in text.split()} <= wording.vocabulary()
    assert len(wording.vocabulary()) < 350
    assert not any(character.isdigit() for text in said for character in text)


def test_openings_never_grade_an_aspect_by_accident():
    texts = [t.format(much=w) for ts in wording.OPENINGS.values() for t in ts for _, ws in wording.STRENGTH for w in ws]
    assert all(read_grades(text) == {} for text in [*texts, *wording.CLEAN])


def test_wording_varies_with_the_key_and_only_with_the_key():
    severity_of = CLEAN | {"blur": 4.0}
    assert len({wording.thought(severity_of, f"0/a/{k}") for k in range(30)}) >= 15
    assert wording.thought(severity_of, "0/a/1") == wording.thought(severity_of, "0/a/1")


def test_completion_has_exactly_the_agreed_form():
    """Golden for the words of version 1: raise `wording.VERSION` when they change."""
    text = completion([Evidence(CLEAN | {"blur": 4.0}, {}, {})], AnswerFormat(), "0/photo/0")
    assert text == GOLDEN
    answer = AnswerFormat().parse(text)
    assert answer.is_valid
    assert answer.score == 1.8


GOLDEN = (
    "<think>Edges are heavily blurred and fine detail is lost. Colour: excellent, contrast: exc"
    "ellent, exposure: excellent, compression: excellent, noise: excellent, sharpness: poor. Th"
    "e worst aspect is sharpness.</think><answer>1.80</answer>"
)


def test_responses_are_the_same_alone_in_a_group_and_over_processes(make_samples, monkeypatch):
    samples = make_samples(5)
    teacher = MeasuringTeacher(num_workers=1)
    together = list(teacher.respond(samples, 2, seed=3))
    assert [(r.sample, r.k) for r in together] == [(f"s{i}", k) for i in range(5) for k in range(2)]
    alone = list(teacher.respond(samples[3:4], 1, seed=3, first=1))
    assert alone[0].completion == together[7].completion
    assert together[0].completion != together[1].completion
    monkeypatch.setattr("pondera.teach.measuring._PARALLEL_FROM", 2)
    monkeypatch.setattr("pondera.teach.measuring._CHUNK", 2)
    parallel = list(MeasuringTeacher(num_workers=2).respond(samples, 2, seed=3))
    assert [r.completion for r in parallel] == [r.completion for r in together]


def test_the_teacher_sees_no_label(make_samples):
    samples = make_samples(2)
    blind = [replace(sample, mos=None, scale=None) for sample in samples]
    teacher = MeasuringTeacher()
    assert [r.completion for r in teacher.respond(samples, 1, 0)] == [
        r.completion for r in teacher.respond(blind, 1, 0)
    ]


def test_a_missing_file_and_a_video_are_refused_by_name(make_samples):
    sample, other = make_samples(2)
    video = replace(sample, kind="video")
    with pytest.raises(TeacherError, match="'s0' is a video"):
        next(MeasuringTeacher().respond([video], 1, 0))
    gone = replace(sample, media=(replace(sample.media[0], path="gone.png"),))
    answers = MeasuringTeacher().respond([gone, other], 1, 0)
    assert next(answers).sample == other.id  # one file costs one sample
    with pytest.raises(Unanswered, match=r"'s0'.*gone\.png"):
        next(answers)
    with pytest.raises(MediaError, match=r"gone\.png.*'s0'"):
        digest_sample(gone)


def test_assess_scores_what_it_can_and_says_what_it_cannot(make_samples, tmp_path):
    path = make_samples(1)[0].path()
    (tmp_path / "text.png").write_text("no image")
    good, bad = MeasuringTeacher().assess([path, tmp_path / "text.png"])
    assert good.valid
    assert good.error is None
    assert good.aspects == read_grades(good.reasoning)
    assert AnswerFormat().parse(good.completion).score == good.score
    assert not bad.valid
    assert math.isnan(bad.score)
    assert "text.png" in bad.error


def test_assess_does_not_depend_on_the_folder(make_samples, tmp_path):
    path = make_samples(1)[0].path()
    (tmp_path / "other").mkdir()
    Image.open(path).save(tmp_path / "other" / "0.png")
    here, there = MeasuringTeacher().assess([path, tmp_path / "other" / "0.png"])
    assert here.completion == there.completion


def test_the_fingerprint_does_not_depend_on_the_number_of_workers():
    assert MeasuringTeacher(1).fingerprint == MeasuringTeacher(3).fingerprint
    with pytest.raises(ValueError, match="num_workers"):
        MeasuringTeacher(0)
