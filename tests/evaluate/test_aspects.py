"""Truthfulness of rationales."""

import math

import pytest

from pondera.core.aspects import worst_aspect
from pondera.evaluate import aspect_truthfulness

ASPECT_OF = {"gaussian_blur": "sharpness", "gaussian_noise": "noise"}


def _row(kind, reasoning, content="c", level=5, box=None, more=()):
    defect = {"type": kind, "level": level} | ({"box": box} if box else {})
    return {"dataset": "d", "reference": content, "reasoning": reasoning, "distortions": [defect, *more]}


def _said(text):
    return {"soft": "sharpness", "grainy": "noise"}.get(text)


def test_the_fraction_counts_rationales_that_name_the_harmed_aspect():
    rows = [
        _row("gaussian_blur", "soft", "c1"),
        _row("gaussian_blur", "grainy", "c2"),
        _row("gaussian_noise", "grainy", "c3"),
        _row("gaussian_noise", "nothing to see", "c4"),
    ]
    result = aspect_truthfulness(rows, ASPECT_OF, _said, num_resamples=200)
    assert (result["n"], result["fraction"], result["n_silent"]) == (4, 0.5, 1)
    assert result["types"]["gaussian_blur"] == {
        "aspect": "sharpness",
        "n": 2,
        "fraction": 0.5,
        "named": {"sharpness": 1, "noise": 1},
    }
    low, high = result["fraction_ci"]
    assert 0 <= low < 0.5 < high <= 1


def test_only_single_strong_defects_on_the_whole_image_count():
    rows = [
        _row("gaussian_blur", "soft", level=3),
        _row("gaussian_blur", "soft", box=[0, 0, 0.5, 0.5]),
        _row("gaussian_blur", "soft", more=[{"type": "gaussian_noise", "level": 5}]),
        {"dataset": "d", "reference": "c", "reasoning": "soft", "distortions": []},
    ]
    result = aspect_truthfulness(rows, ASPECT_OF, _said)
    assert result["n"] == 0
    assert math.isnan(result["fraction"])
    assert aspect_truthfulness(rows, ASPECT_OF, _said, min_level=3)["n"] == 1


def test_a_type_without_an_aspect_is_left_out_and_counted():
    result = aspect_truthfulness([_row("rain", "soft"), _row("gaussian_blur", "soft")], ASPECT_OF, _said)
    assert (result["n"], result["n_unmapped"]) == (1, 1)


def test_one_content_gets_no_interval():
    rows = [_row("gaussian_blur", "soft", "only") for _ in range(5)]
    assert math.isnan(aspect_truthfulness(rows, ASPECT_OF, _said)["fraction_ci"][0])


def test_contents_that_repeat_widen_the_interval():
    rows = [_row("gaussian_blur", "soft" if c % 2 else "grainy", f"c{c}") for c in range(10) for _ in range(8)]
    alone = [row | {"reference": str(i)} for i, row in enumerate(rows)]
    wide, narrow = (
        aspect_truthfulness(some, ASPECT_OF, _said, num_resamples=300)["fraction_ci"] for some in (rows, alone)
    )
    assert wide[1] - wide[0] > 2 * (narrow[1] - narrow[0])


def test_it_works_with_the_reader_of_aspects_in_core():
    rows = [_row("gaussian_blur", "The sharpness is bad and the noise is good. The worst aspect is sharpness.")]
    assert aspect_truthfulness(rows, ASPECT_OF, worst_aspect)["fraction"] == pytest.approx(1.0)
