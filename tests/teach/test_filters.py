"""Filters: each drops what it is for, and lets the measuring teacher and honest texts pass."""

from __future__ import annotations

import pytest

from pondera.core.answers import AnswerFormat, Json, NumberField, Numbers
from pondera.core.records import FIVE_POINT, Media, Sample
from pondera.teach import MeasuringTeacher
from pondera.teach.filters import (
    Candidate,
    contradiction_filter,
    default_filters,
    duplicate_filter,
    format_filter,
    leak_filter,
    length_filter,
    range_filter,
    refusal_filter,
    run_filters,
    tolerance_filter,
)

SAMPLE = Sample("a", (Media("a.png"),), mos=3.0, scale=FIVE_POINT)


def candidate(think: str = "edges are soft and the sky is clean", score: str = "3.00", k: int = 0, sample=SAMPLE):
    text = f"<think>{think}</think><answer>{score}</answer>"
    return Candidate(sample, k, text, AnswerFormat().parse(text))


def names_of_drops(candidates, *filters) -> list[str]:
    return [name for _, name, _ in run_filters(candidates, filters)[1]]


@pytest.mark.parametrize(
    "think",
    [
        "I would say four point two for this one",
        "a clear 4 out of 5 picture",
        "this deserves 4/5 I think",
        "three out of five because of the blur",
        "about 3.42 because of the blur",
        "the score is 4 because edges are crisp",
        "my rating: four, edges are crisp",
        "a final score of about 3 fits",
        "the MOS would be 4",
        "rate four for the sharp edges",
    ],
)
def test_leaked_scores_are_dropped_in_digits_and_in_words(think):
    assert names_of_drops([candidate(think)], leak_filter()) == ["score_leak"]


@pytest.mark.parametrize(
    "think",
    [
        "two people stand in front of three red doors",
        "one of the best pictures of a boat",
        "the point of focus lies on the four flowers",
        "sharpness is poor, noise is good. The worst aspect is sharpness.",
        "at a frame rate of 30 the motion is smooth",
        "five of the windows are burnt out",
    ],
)
def test_ordinary_numbers_in_words_are_no_leak(think):
    assert names_of_drops([candidate(think)], leak_filter()) == []


@pytest.mark.parametrize(
    "think",
    [
        "I'm sorry, I can't help with that.",
        "As an AI I have no eyes",
        "Please upload the picture",
        "I cannot see the image",
    ],
)
def test_refusals_are_dropped(think):
    assert names_of_drops([candidate(think)], refusal_filter()) == ["refusal"]


def test_format_and_range_have_reasons_of_their_own():
    broken = Candidate(SAMPLE, 0, "4.2", AnswerFormat().parse("4.2"))
    filters = (range_filter(AnswerFormat()), format_filter())
    assert names_of_drops([broken, candidate(score="7.5"), candidate(score="good"), candidate()], *filters) == [
        "format",
        "score_range",
        "format",
    ]


def test_length_counts_words_of_the_thought():
    candidates = [candidate("too short"), candidate(" ".join(["word"] * 9)), candidate(" ".join(["word"] * 8))]
    assert names_of_drops(candidates, length_filter(3, 8)) == ["length", "length"]


def test_tolerance_compares_on_the_scale_of_the_answer_and_passes_the_unlabelled():
    hundred = Sample("b", (Media("b.png"),), mos=50.0, scale=type(FIVE_POINT)(0, 100))  # 3.0 of 1 to 5
    unlabelled = Sample("c", (Media("c.png"),))
    candidates = [candidate(score="3.9"), candidate(score="4.1"), candidate(score="4.1", sample=hundred)]
    candidates.append(candidate(score="1.0", sample=unlabelled))
    assert names_of_drops(candidates, tolerance_filter(1.0)) == ["tolerance", "tolerance"]


@pytest.mark.parametrize(
    ("think", "score", "is_dropped"),
    [
        ("sharpness is excellent, noise is excellent", "1.20", True),
        ("sharpness is bad, noise is poor", "4.80", True),
        ("sharpness is good, noise is poor. The worst aspect is sharpness.", "3.00", True),
        ("sharpness is good, noise is poor. The worst aspect is noise.", "2.00", False),
        ("sharpness is fair, noise is fair", "2.00", False),
        ("sharpness is poor", "5.00", False),
        ("a lovely picture", "1.00", False),
    ],
)
def test_grades_that_contradict_the_score_or_the_worst_aspect_are_dropped(think, score, is_dropped):
    assert names_of_drops([candidate(think, score)], contradiction_filter()) == ["contradiction"] * is_dropped


def test_default_filters_read_the_score_on_the_scale_of_the_answer():
    hundred = AnswerFormat(Numbers(low=0, high=100))
    texts = [f"<think>edges are sharp, sharpness is good, noise is good</think><answer>{n}</answer>" for n in (75, 5)]
    candidates = [Candidate(SAMPLE, k, text, hundred.parse(text)) for k, text in enumerate(texts)]
    assert names_of_drops(candidates[:1], *default_filters(hundred)) == []
    assert names_of_drops(candidates[1:], *default_filters(hundred)) == ["contradiction"]


def test_the_fields_of_a_json_answer_have_no_common_scale_to_contradict():
    form = AnswerFormat(Json({"depth": NumberField(0, 100)}))
    text = '<think>edges are crisp, sharpness is good and noise is good, too</think><answer>{"depth": 5}</answer>'
    assert names_of_drops([Candidate(SAMPLE, 0, text, form.parse(text))], *default_filters(form)) == []


def test_near_copies_for_one_sample_are_dropped_and_other_samples_do_not_count():
    text = "the edges of the house are soft and the sky above it shows strong grain in the dark parts of it"
    other = Sample("b", (Media("b.png"),))
    candidates = [candidate(text), candidate(text + " too", k=1), candidate("quite another thought", k=2)]
    candidates.append(candidate(text, sample=other))
    assert names_of_drops(candidates, duplicate_filter()) == ["duplicate"]


def test_one_changed_word_makes_no_second_thought_for_a_sample_but_does_for_another():
    text = "the edges of the house are soft and the sky above it shows strong grain in the dark parts of it, all told"
    changed = text.replace("strong", "heavy")
    other = Sample("b", (Media("b.png"),))
    candidates = [candidate(text), candidate(changed, k=1), candidate(changed, sample=other)]
    assert names_of_drops(candidates, duplicate_filter(max_copies=1)) == ["duplicate"]


def test_a_thought_that_returns_word_by_word_is_dropped_after_the_allowed_copies():
    many = [candidate(sample=Sample(str(i), (Media("x.png"),))) for i in range(5)]
    assert names_of_drops(many, duplicate_filter(max_copies=3)) == ["duplicate"] * 2


def test_clean_pictures_described_alike_are_not_dropped_as_copies():
    """With eight copies allowed, a set with many pristine pictures lost those first."""
    many = [candidate(sample=Sample(str(i), (Media("x.png"),))) for i in range(60)]
    assert names_of_drops(many, *default_filters()) == []


def test_filters_forget_between_runs():
    filters = [duplicate_filter()]
    assert run_filters([candidate()], filters)[1] == []
    assert run_filters([candidate()], filters)[1] == []


def test_the_first_objection_counts_and_tells_what_was_wrong():
    kept, dropped = run_filters([candidate("I am sorry, the score is 4")], [leak_filter(), refusal_filter()])
    assert kept == []
    assert [(name, wrong) for _, name, wrong in dropped] == [("score_leak", "says 'score is 4'")]


def test_two_filters_of_one_name_are_refused():
    with pytest.raises(ValueError, match="different names"):
        run_filters([], [leak_filter(), leak_filter()])


@pytest.mark.parametrize(
    "make",
    [
        lambda: length_filter(5, 2),
        lambda: tolerance_filter(0),
        lambda: contradiction_filter(-1),
        lambda: duplicate_filter(0),
        lambda: duplicate_filter(max_copies=0),
    ],
)
def test_filter_arguments_are_checked(make):
    with pytest.raises(ValueError, match=r"need|must be"):
        make()


def test_the_measuring_teacher_passes_all_default_filters(make_samples):
    samples = make_samples(12)
    candidates = [
        Candidate(samples[index // 2], r.k, r.completion, AnswerFormat().parse(r.completion))
        for index, r in enumerate(MeasuringTeacher().respond(samples, 2, 0))
    ]
    assert run_filters(candidates, default_filters())[1] == []
