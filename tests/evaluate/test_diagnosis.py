"""Calibration, uncertainty, reasoning against score, breakdowns."""

import math

import numpy as np
import pytest

from pondera.core.metrics import summarise_groups
from pondera.evaluate.diagnosis import (
    calibration,
    diagnose,
    reasoning_against_score,
    uncertainty_against_error,
    within_subsets,
)


def _row(score, mos, **more):
    given = {"score": score, "mos": mos, "spread": math.nan, "aspects": {}, "distortions": [], "dataset": "d"}
    return {**given, "scale_low": 0.0, "scale_high": 10.0, "reference": str(score), "valid": True, **more}


def test_calibration_by_hand():
    """Scores 2 and 8 on 0 to 10, labels 1, 3 and 5, 7: gaps 0 and 0.2, bias (2 - 2 + 8 - 6) / 2 = 1 of 10."""
    rows = [_row(2, 1), _row(2, 3), _row(8, 5), _row(8, 7)]
    found = calibration(rows)
    assert found["bias"] == pytest.approx(0.1)
    assert found["error"] == pytest.approx(0.1)
    assert found["bins"] == [
        {"n": 2, "score": pytest.approx(0.2), "mos": pytest.approx(0.2)},
        {"n": 2, "score": pytest.approx(0.8), "mos": pytest.approx(0.6)},
    ]


def test_bins_hold_equally_many_rows_and_keep_equal_scores_together():
    rng = np.random.default_rng(0)
    assert [b["n"] for b in calibration([_row(s, 5) for s in rng.uniform(0, 10, 100)])["bins"]] == [10] * 10
    assert [b["n"] for b in calibration([_row(3, 5)] * 50 + [_row(4, 5)] * 50)["bins"]] == [50, 50]
    assert calibration([])["bins"] == []


def test_a_spread_that_is_the_standard_deviation_covers_what_a_normal_error_promises():
    rng = np.random.default_rng(0)
    spread = rng.uniform(0.1, 1.0, 20_000)
    rows = [_row(5 + s * e, 5, spread=s) for s, e in zip(spread, rng.normal(size=20_000), strict=True)]
    found = uncertainty_against_error(rows)
    assert found["within_spread"] == pytest.approx(0.683, abs=0.01)
    assert found["within_two_spreads"] == pytest.approx(0.954, abs=0.01)
    assert found["srcc"] > 0.3
    errors = [b["error"] for b in found["bins"]]
    assert errors == sorted(errors)


def test_modes_without_a_spread_have_no_uncertainty():
    assert uncertainty_against_error([_row(1, 2), _row(2, 3)]) == {}


def test_grades_that_contradict_the_score_are_counted():
    rows = [
        _row(10, 9, aspects={"noise": 5, "contrast": 5}),
        _row(0, 1, aspects={"noise": 1}),
        _row(10, 9, aspects={"noise": 1}),  # says bad, scores the best
        _row(5, 5),
    ]
    found = reasoning_against_score(rows)
    assert (found["n"], found["num_silent"]) == (3, 1)
    assert found["contradictions"] == pytest.approx(1 / 3)
    assert reasoning_against_score(rows[3:]) == {}


def test_within_subsets_shows_what_knowing_the_subset_alone_is_worth():
    rng = np.random.default_rng(0)
    mos = np.concatenate([rng.uniform(0, 3, 200), rng.uniform(7, 10, 200)])
    score = np.concatenate([np.full(200, 1.0), np.full(200, 9.0)]) + 0.01 * rng.normal(size=400)
    metrics = summarise_groups(score, mos, subset=["low"] * 200 + ["high"] * 200, num_resamples=0)
    assert metrics["overall"]["srcc"] > 0.7
    found = within_subsets(metrics)["default"]
    assert found["num_subsets"] == 2
    assert abs(found["srcc"]) < 0.15


def test_a_dataset_whose_name_begins_like_another_keeps_its_subsets():
    order = list(range(20))
    metrics = summarise_groups(order, order, dataset=["a"] * 10 + ["a/b"] * 10, subset=["x", "y"] * 10, num_resamples=0)
    assert {name: found["num_subsets"] for name, found in within_subsets(metrics).items()} == {"a": 2, "a/b": 2}


def test_subsets_too_small_for_an_interval_are_not_averaged():
    order = list(range(13))
    metrics = summarise_groups(
        order, [*order[:10], 12, 11, 10], subset=["x"] * 5 + ["y"] * 5 + ["z"] * 3, num_resamples=0
    )
    assert within_subsets(metrics)["default"] == {"num_subsets": 2, "srcc": pytest.approx(1), "plcc": pytest.approx(1)}


def test_samples_with_one_distortion_are_broken_down_by_its_type():
    blur, noise = [{"type": "blur", "level": 3}], [{"type": "noise", "level": 1}]
    rows = [_row(i, i, distortions=blur) for i in range(5)] + [_row(i, 5 - i, distortions=noise) for i in range(5)]
    found = diagnose([*rows, _row(1, 9, distortions=blur + noise)], num_resamples=0)["distortions"]
    assert {name: (s["n"], s["srcc"]) for name, s in found.items()} == {
        "d/blur": (5, pytest.approx(1.0)),
        "d/noise": (5, pytest.approx(-1.0)),
    }


def test_a_table_without_one_valid_answer_can_be_diagnosed():
    found = diagnose([_row(math.nan, 3, valid=False)], num_resamples=10)
    assert math.isnan(found["calibration"]["bias"])
    assert found["uncertainty"] == {}
