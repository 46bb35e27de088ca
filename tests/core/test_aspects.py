"""The lexicon: grades and the worst aspect, read from text."""

from __future__ import annotations

import itertools

import pytest

from pondera.core.aspects import ASPECTS, GRADES, aspect_name, borne_out_worst_aspect, read_grades, worst_aspect


@pytest.mark.parametrize("aspect", ASPECTS)
@pytest.mark.parametrize("word", GRADES)
@pytest.mark.parametrize(
    "form",
    ["{a}: {g}", "{a} is {g}", "{g} {a}", "The {a} looks rather {g}.", "{a} ({g})", "{a} = {g}", "{A} IS {g}, sadly"],
)
def test_every_form_pairs_every_aspect_with_every_grade(aspect, word, form):
    text = form.format(a=aspect, A=aspect.upper(), g=word)
    assert read_grades(text) == {aspect: GRADES[word]}


def test_grades_of_a_whole_rationale_come_back_in_the_order_of_the_aspects():
    text = (
        "Poor sharpness spoils it. Noise and exposure are good, contrast is excellent, colour: fair; compression (bad)."
    )
    grades = read_grades(text)
    assert grades == {"sharpness": 2, "noise": 4, "compression": 1, "exposure": 4, "contrast": 5, "colour": 3}
    assert list(grades) == list(ASPECTS)


def test_missing_punctuation_does_not_lend_a_grade_to_the_next_aspect():
    assert read_grades("noise is good contrast is poor") == {"noise": 4, "contrast": 2}
    assert read_grades("sharpness is poor noise") == {"sharpness": 2}
    assert read_grades("sharpness is good, noise is bad") == {"sharpness": 4, "noise": 1}


@pytest.mark.parametrize(
    "text",
    ["", "a good photograph", "sharpness", "sharpness is not poor", "no good contrast", "poorly lit, noisefree", "4.2"],
)
def test_text_without_a_pair_grades_nothing(text):
    assert read_grades(text) == {}


def test_an_aspect_graded_twice_keeps_its_last_grade():
    assert read_grades("sharpness is good. On second look, sharpness is poor.") == {"sharpness": 2}
    assert read_grades("poor sharpness; no: sharpness: fair") == {"sharpness": 3}


def test_american_spelling_is_colour():
    assert read_grades("colors are good") == {"colour": 4}
    assert aspect_name(" Color ") == "colour"


@pytest.mark.parametrize(
    "form",
    [
        "The worst aspect is {a}.",
        "worst aspect: {a}",
        "Main problem: {a}",
        "The main defect is the {a}.",
        "{a} is the biggest weakness",
        "Its weakest point is {a}",
        "The worst is {a}.",
    ],
)
def test_explicit_words_beat_the_grades(form):
    text = "sharpness is bad, noise is good. " + form.format(a="noise")
    assert worst_aspect(text) == "noise"


def test_without_explicit_words_the_only_lowest_grade_counts():
    assert worst_aspect("sharpness is good, noise is poor, contrast is fair") == "noise"
    assert worst_aspect("sharpness is poor, noise is poor") is None
    assert worst_aspect("sharpness is poor") is None
    assert worst_aspect("nice picture") is None


def test_nothing_stands_out_names_no_aspect():
    assert worst_aspect("sharpness is good, noise is excellent. Nothing stands out.") is None


def test_two_different_explicit_claims_are_no_claim():
    assert worst_aspect("The worst aspect is noise. The main problem is colour.") is None


def test_unknown_aspect_is_refused_with_the_list():
    with pytest.raises(ValueError, match="unknown aspect 'grain'; the aspects are sharpness"):
        aspect_name("grain")


def test_stating_every_pair_of_grades_is_read_without_loss():
    for (first, a), (second, b) in itertools.permutations(GRADES.items(), 2):
        assert read_grades(f"noise is {first}, and the colour is {second}") == {"noise": a, "colour": b}


@pytest.mark.parametrize(
    ("grades", "expected"),
    [
        ("Noise: poor, sharpness: excellent.", "noise"),
        ("Noise: poor, sharpness: poor, colour: good.", "noise"),
        ("Noise: excellent, sharpness: excellent.", None),  # as models say that learned the last sentence only
        ("Noise: fair, sharpness: bad.", None),
        ("Sharpness: bad.", "noise"),  # one grade of another aspect is no table of grades
        ("", "noise"),
    ],
)
def test_a_worst_aspect_counts_where_the_grades_bear_it_out(grades, expected):
    assert borne_out_worst_aspect(f"{grades} The worst aspect is noise.") == expected
