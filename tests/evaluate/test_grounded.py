"""Grounded checks on texts whose truth is known."""

from __future__ import annotations

import math

import pytest

from pondera.evaluate.grounded import grounded_checks


def row(reasoning, *distortions, reference="c", dataset="d"):
    found = [{"type": t, "level": level} | ({"box": box} if box else {}) for t, level, box in distortions]
    return {"dataset": dataset, "reference": reference, "reasoning": reasoning, "distortions": found}


def test_precision_and_recall_count_named_aspects_by_hand():
    """Four harmed aspects, three named, two of them rightly."""
    rows = [
        row("Heavy blur covers the picture.", ("gaussian_blur", 5, None), reference="a"),
        row("The sky is noisy and the picture is too dark.", ("darken", 4, None), ("jpeg", 3, None), reference="b"),
        row("A calm view of a lake.", ("gaussian_noise", 2, None), reference="c"),
        row("No noise, crisp edges, natural hues.", reference="d"),
    ]
    found = grounded_checks(rows, num_resamples=50)
    assert (found["n"], found["n_pristine"]) == (4, 1)
    assert found["what"]["precision"] == pytest.approx(2 / 3)
    assert found["what"]["recall"] == pytest.approx(2 / 4)
    assert found["what"]["f1"] == pytest.approx(4 / 7)
    assert found["what"]["recall_by_level"] == {2: 0.0, 3: 0.0, 4: 1.0, 5: 1.0}
    assert found["what"]["aspects"]["noise"] == {"n": 1, "precision": 0.0, "recall": 0.0}
    assert found["what"]["pristine_false_claims"] == 0.0


def test_a_wrong_direction_finds_the_aspect_but_not_the_kind():
    found = grounded_checks([row("The picture is too bright.", ("darken", 4, None))])["what"]
    assert (found["recall"], found["kind_recall"]) == (1.0, 0.0)


def test_stated_severity_follows_words_and_grades():
    words = ("Edges are slightly soft.", "Edges are soft.", "Edges are heavily blurred.", "sharpness is bad")
    rows = [row(text, ("gaussian_blur", n, None), reference=str(n)) for n, text in enumerate(words, start=1)]
    assert grounded_checks(rows, num_resamples=20)["how_strongly"]["srcc"] == pytest.approx(1.0)


def test_silence_counts_as_no_severity():
    rows = [row("A lake.", ("gaussian_blur", 5, None)), row("Edges are slightly soft.", ("gaussian_blur", 1, None))]
    found = grounded_checks(rows)["how_strongly"]
    assert found["srcc"] == pytest.approx(-1.0)
    assert found["n_named"] == 1
    assert math.isnan(found["srcc_when_named"])


@pytest.mark.parametrize(
    ("text", "named", "right"),
    [
        ("The upper left corner is blurred.", 1.0, 1.0),
        ("The sky is blurred in the right half.", 1.0, 0.0),
        ("Blur on the left side and on the right side.", 1.0, 0.0),
        ("Everything is blurred.", 0.0, 0.0),
        ("The left corner is sharp, the rest is blurred.", 0.0, 0.0),
    ],
)
def test_places_are_checked_against_the_box(text, named, right):
    found = grounded_checks([row(text, ("gaussian_blur", 4, (0.0, 0.0, 0.4, 0.5)))])["where"]
    assert (found["named"], found["right"]) == (named, right)


def test_a_place_for_damage_of_the_whole_image_is_false():
    found = grounded_checks([row("The left side is noisy.", ("gaussian_noise", 4, None))])["where"]
    assert (found["n"], found["false_places"]) == (0, 1.0)


def test_a_text_that_never_changes_scores_what_chance_scores():
    kinds = ("gaussian_noise", "gaussian_blur", "darken", "jpeg")
    rows = [row("noise is poor", (kinds[n % 4], 3, None), reference=str(n)) for n in range(40)]
    found = grounded_checks(rows, num_resamples=200)
    assert found["what"]["recall"] == found["by_chance"]["recall"] == pytest.approx(0.25)
    low, high = found["what"]["recall_ci"]
    assert 0 < low < 0.25 < high < 1


def test_sets_without_distortions_unknown_types_and_empty_texts_are_left_out():
    rows = [
        row("noise is poor", dataset="koniq"),
        row("noise is poor", ("rain", 3, None)),
        row("", ("jpeg", 3, None)),
        row("noise is poor", ("gaussian_noise", 3, None)),
    ]
    found = grounded_checks(rows)
    assert (found["n"], found["n_left_out"]) == (1, 3)


def test_nothing_to_check_gives_no_numbers():
    found = grounded_checks([])
    assert found["n"] == 0
    assert math.isnan(found["what"]["precision"])
    assert math.isnan(found["how_strongly"]["srcc"])
