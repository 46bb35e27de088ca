"""DeQA soft labels."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm

from pondera.core.records import LabelScale
from pondera.core.soft_labels import expected_score, linear_correction, soft_labels, soft_labels_as_released

_LEVEL_L = np.arange(1, 6)


def test_linear_correction_matches_the_golden_value():
    """Mean 3.4, std 0.6: [-.00095, .04285, .53510, .40504, .01796]; computed from DeQA-Score's published formula."""
    raw_SL = norm.pdf(_LEVEL_L, 3.4, 0.6)[None, :]
    expected = [-0.00095, 0.04285, 0.53510, 0.40504, 0.01796]
    np.testing.assert_allclose(linear_correction(np.array([3.4]), raw_SL)[0], expected, atol=5e-6)


def test_released_labels_keep_their_clamp_so_the_sum_is_off():
    prob_L = soft_labels_as_released([3.4], [0.6])[0]
    np.testing.assert_allclose(prob_L, [0.0, 0.04285, 0.53510, 0.40504, 0.01796], atol=5e-6)
    assert prob_L.sum() > 1.0005


def test_released_labels_share_two_levels_where_the_spread_is_narrow():
    """Below a spread of 0.2 the release interpolates between the two levels around the mean."""
    np.testing.assert_allclose(soft_labels_as_released([3.4], [0.1])[0], [0, 0, 0.6, 0.4, 0], atol=1e-7)
    for options in ({"narrow": 0.7}, {"tolerance": 1e-6}):  # a spread of 0.6 counts as narrow; the clamped mean as off
        np.testing.assert_allclose(soft_labels_as_released([3.4], [0.6], **options)[0], [0, 0, 0.6, 0.4, 0], atol=1e-7)


def test_released_density_by_mass_follows_the_normal_distribution_function():
    raw_L = norm.cdf(_LEVEL_L + 0.5, 3.2, 0.5) - norm.cdf(_LEVEL_L - 0.5, 3.2, 0.5)
    expected = np.maximum(linear_correction(np.array([3.2]), raw_L[None, :]), 0)[0]
    np.testing.assert_allclose(soft_labels_as_released([3.2], [0.5], density="cdf")[0], expected, atol=1e-9)


@given(st.floats(1, 5), st.floats(0, 3), st.sampled_from(["pdf", "cdf"]))
def test_soft_labels_are_probabilities_with_exactly_the_mean(mos, std, density):
    prob_SL = soft_labels([mos], [std], density=density)
    assert (prob_SL >= 0).all()
    assert prob_SL.sum() == pytest.approx(1, abs=1e-12)
    assert expected_score(prob_SL)[0] == pytest.approx(mos, abs=1e-9)


def test_soft_labels_stay_near_the_gaussian_they_come_from():
    released = linear_correction(np.array([3.4]), norm.pdf(_LEVEL_L, 3.4, 0.6)[None, :])[0]
    assert np.abs(soft_labels([3.4], [0.6])[0] - released).max() < 0.01


def test_soft_labels_are_continuous_where_narrow_becomes_two_levels():
    just_wide, narrow = soft_labels([3.4, 3.4], [0.0501, 0.0499])
    np.testing.assert_allclose(just_wide, narrow, atol=1e-12)


def test_a_wider_spread_gives_wider_labels():
    variances = [(prob_L @ (_LEVEL_L - 3.4) ** 2) for prob_L in soft_labels([3.4] * 3, [0.3, 0.6, 1.2])]
    assert variances == sorted(variances)


def test_soft_labels_of_another_scale_come_back_on_it():
    scale = LabelScale(0, 100)
    prob_SL = soft_labels([62.5], [15.0], scale=scale)
    np.testing.assert_allclose(prob_SL, soft_labels([3.5], [0.6]))
    assert expected_score(prob_SL, scale=scale)[0] == pytest.approx(62.5)


@pytest.mark.parametrize(
    ("mos", "std"), [(0.5, 0.5), (5.5, 0.5), (3.0, -0.1), (float("nan"), 0.5), (3.0, float("inf"))]
)
def test_a_label_off_its_scale_is_refused_with_its_row(mos, std):
    with pytest.raises(ValueError, match="row 1"):
        soft_labels([3.0, mos], [0.5, std])


def test_released_labels_refuse_a_spread_of_zero():
    with pytest.raises(ValueError, match="> 0"):
        soft_labels_as_released([3.0], [0.0])
