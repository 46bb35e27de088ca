"""Opinions of subjects: means, intervals, bias and screening. Golden values by hand; t(0.975, 3) from tables."""

import math

import numpy as np
import pytest

from pondera.core.opinions import (
    mean_opinions,
    remove_bias,
    screen_by_correlation,
    screen_by_extremes,
    subject_bias,
)

NAN = math.nan


def test_mean_deviation_interval_and_count_by_hand():
    """1, 2, 3, 4: mean 2.5, squares 5, std sqrt(5/3); t(0.975, 3) = 3.18245 times std / 2 = 2.0543."""
    got = mean_opinions(np.array([[1.0, 2.0, 3.0, 4.0], [5.0, NAN, NAN, 3.0]]))
    assert got.mos_N.tolist() == [2.5, 4.0]
    assert got.std_N == pytest.approx([math.sqrt(5 / 3), math.sqrt(2)])
    assert got.reach_N == pytest.approx([3.182446 * math.sqrt(5 / 3) / 2, 12.706205 * 1.0], rel=1e-6)
    assert got.count_N.tolist() == [4, 2]


def test_one_opinion_has_a_mean_but_no_interval_and_none_has_nothing():
    got = mean_opinions(np.array([[3.0, NAN], [NAN, NAN]]))
    assert got.mos_N[0] == 3.0
    assert np.isnan([got.std_N[0], got.reach_N[0], got.mos_N[1], got.std_N[1]]).all()
    assert got.count_N.tolist() == [1, 0]


def test_the_interval_of_the_mean_holds_the_truth_as_often_as_it_says():
    opinion_NU = np.random.default_rng(0).normal(3.0, 1.0, (2000, 8))
    got = mean_opinions(opinion_NU)
    assert np.mean(np.abs(got.mos_N - 3.0) <= got.reach_N) == pytest.approx(0.95, abs=0.015)


def test_bias_is_the_mean_distance_from_the_panel_by_hand():
    """Means 3 and 2; the three subjects differ from them by (-1, -1), (0, 0), (+1, +1)."""
    opinion_NU = np.array([[2.0, 3.0, 4.0], [1.0, 2.0, 3.0]])
    assert subject_bias(opinion_NU).tolist() == [-1.0, 0.0, 1.0]
    assert remove_bias(opinion_NU).tolist() == [[3.0] * 3, [2.0] * 3]


def test_removing_bias_keeps_the_means_and_narrows_the_intervals_of_a_complete_study():
    rng = np.random.default_rng(1)
    opinion_NU = rng.uniform(1, 5, (40, 1)) + rng.normal(0, 0.8, 12) + rng.normal(0, 0.3, (40, 12))
    before, after = mean_opinions(opinion_NU), mean_opinions(remove_bias(opinion_NU))
    assert after.mos_N == pytest.approx(before.mos_N)
    assert after.reach_N.mean() < 0.6 * before.reach_N.mean()


def _panel_with_one_careless():
    """20 subjects within a grade of the truth; the last one answers with the truth upside down."""
    rng = np.random.default_rng(2)
    truth_N = np.linspace(1.2, 4.8, 40)
    opinion_NU = truth_N[:, None] + rng.normal(0, 0.7, (40, 20))
    return np.column_stack([opinion_NU, 6.0 - truth_N])


def test_who_is_far_from_the_panel_on_both_sides_is_rejected_by_both_rules():
    opinion_NU = _panel_with_one_careless()
    for screening in (screen_by_extremes(opinion_NU), screen_by_correlation(opinion_NU)):
        assert np.flatnonzero(screening.is_rejected_U).tolist() == [20]


def test_who_is_strict_but_consistent_stays():
    opinion_NU = _panel_with_one_careless()[:, :20]
    opinion_NU[:, 3] -= 2.5
    screening = screen_by_extremes(opinion_NU)
    assert screening.figures["extreme"][3] > 0.2
    assert screening.figures["lopsided"][3] == 1.0
    assert not screening.is_rejected_U.any()
    assert not screen_by_correlation(opinion_NU).is_rejected_U.any()


def test_extremes_by_hand():
    """Nine 3 and one 5: mean 3.2, std 0.632, kurtosis 8.11, above 4: the limit is sqrt(20) std = 2.83, and 1.8 is not
    far (2 std = 1.26 it would be). Then -3, 4 x -1, 4 x 0, 4 x 1, 3: mean 0, std sqrt(26 / 13), kurtosis
    (170 / 14) / (26 / 14)^2 = 3.52: the limit is 2 std = 2.83, and both 3 are far."""
    heavy = np.array([[3.0] * 9 + [5.0]])
    assert screen_by_extremes(heavy).figures["extreme"].tolist() == [0.0] * 10
    got = screen_by_extremes(np.array([[-3.0] + [-1.0] * 4 + [0.0] * 4 + [1.0] * 4 + [3.0]]))
    assert np.flatnonzero(got.figures["extreme"]).tolist() == [0, 13]
    assert got.figures["lopsided"][[0, 13]].tolist() == [1.0, 1.0]
    assert not got.is_rejected_U.any()


def test_a_subject_who_always_says_the_same_is_rejected_by_correlation():
    opinion_NU = _panel_with_one_careless()
    opinion_NU[:, 20] = 3.0
    screening = screen_by_correlation(opinion_NU)
    assert np.flatnonzero(screening.is_rejected_U).tolist() == [20]
    assert math.isnan(screening.figures["correlation"][20])


def test_screening_does_not_depend_on_the_order_of_subjects():
    opinion_NU = _panel_with_one_careless()
    order = np.random.default_rng(3).permutation(21)
    for screen in (screen_by_extremes, screen_by_correlation):
        assert (screen(opinion_NU[:, order]).is_rejected_U == screen(opinion_NU).is_rejected_U[order]).all()


def test_wrong_arguments_are_refused():
    with pytest.raises(ValueError, match="stimuli, subjects"):
        mean_opinions(np.zeros(3))
    with pytest.raises(ValueError, match="confidence"):
        mean_opinions(np.zeros((2, 2)), confidence=1.0)
    with pytest.raises(ValueError, match="threshold"):
        screen_by_correlation(np.zeros((2, 2)), threshold=2.0)
