"""What is asked about a sample, and what its label answers."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pondera.core.records import LabelScale, Media, Sample
from pondera.errors import ConfigError, DatasetError
from pondera.evaluate.question import other_questions, questions, rated, refuse_without_text, with_target

SAMPLE = Sample("s", (Media("a.png"),), mos=3.0, mos_std=0.5, votes=(1.0, 2.0), scale=LabelScale(0, 5))


def _of(dataset, **more):
    return replace(SAMPLE, dataset=dataset, **more)


@pytest.mark.parametrize(
    ("dataset", "question"),
    [
        ("evalmuse", "alignment"),
        ("ava", "aesthetics"),
        ("para", "aesthetics"),
        ("koniq10k", "quality"),
        ("agiqa3k", "quality"),
        ("lgvq", ""),  # three scores
        ("mine", ""),
    ],
)
def test_the_adapter_of_a_data_set_says_what_its_labels_rate(dataset, question):
    assert rated(_of(dataset)) == question


def test_a_target_is_the_question_that_it_is_named_after():
    samples = [_of("agiqa3k"), _of("mine")]
    assert questions(samples, None, "alignment") == ["alignment", "alignment"]
    with pytest.raises(ConfigError, match=r"targets\.composition .* say with --question"):
        questions(samples, None, "composition")
    assert questions(samples, "own", "composition") == ["", ""]


def test_the_user_has_the_last_word():
    samples = [_of("evalmuse"), _of("koniq10k")]
    assert questions(samples) == ["alignment", "quality"]
    assert questions(samples, "own") == ["", ""]
    assert questions(samples, "quality") == ["quality", "quality"]
    with pytest.raises(ConfigError, match="quality, aesthetics, alignment or own, got 'beauty'"):
        questions(samples, "beauty")


def test_samples_that_ask_for_no_score_are_refused_and_those_of_many_scores_are_asked_by_their_task():
    assert questions([_of("mine", task="multi")]) == ["multi"]
    with pytest.raises(DatasetError, match=r"2 samples ask for no score, the first is 's' \(task compare\)"):
        questions([_of("mine", task="compare"), _of("mine", task="grounding"), SAMPLE])


def test_a_target_becomes_the_label_without_the_spread_of_the_other():
    (found,) = with_target([_of("agiqa3k", targets={"alignment": 4})], "alignment")
    assert (found.mos, found.mos_std, found.votes, found.scale) == (4.0, None, None, SAMPLE.scale)
    with pytest.raises(DatasetError, match=r"no number targets\.alignment .*its targets: class"):
        with_target([_of("x", targets={"class": "blur"})], "alignment")
    with pytest.raises(DatasetError, match=r"targets\.alignment = 7 is outside"):
        with_target([_of("x", targets={"alignment": 7})], "alignment")


def test_labels_of_another_question_are_counted_by_data_set():
    samples = [_of("evalmuse"), _of("evalmuse"), _of("koniq10k"), _of("mine")]
    assert other_questions(samples, ["quality"] * 4) == [
        "evalmuse: 2 labels rate alignment, the prompt asks about quality"
    ]
    assert other_questions(samples, ["alignment", "alignment", "quality", "quality"]) == []
    assert other_questions(samples, [""] * 4) == []
    (said,) = other_questions([_of("agiqa3k")], ["quality"], "alignment")
    assert said == "agiqa3k: 1 labels rate alignment, the prompt asks about quality"


def test_a_prompt_about_a_text_refuses_samples_without_one():
    refuse_without_text([_of("mine", text="a bus")], "alignment.image")
    with pytest.raises(DatasetError, match=r"1 of 2 have none, the first is 's'; add \"text\""):
        refuse_without_text([_of("mine", text="a bus"), SAMPLE], "alignment.image")
