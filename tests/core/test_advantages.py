"""Advantages: golden values with provenance, and what must hold for all of them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pondera.core import advantages as adv


def present(reward: np.ndarray) -> np.ndarray:
    return np.ones(reward.shape, dtype=bool)


def test_group_zscore_matches_hand_computation():
    """Rewards 1, 0, 0.5: mean 0.5, sample std 0.5, so +-0.5 / 0.5001; population std sqrt(1/6)."""
    reward = np.array([[1.0, 0.0, 0.5], [0.6, 0.6, 0.6]])
    np.testing.assert_allclose(
        adv.group_zscore(reward, present(reward)), [[0.99980004, -0.99980004, 0], [0, 0, 0]], atol=1e-8
    )
    population = adv.group_zscore(reward, present(reward), ddof=0, eps=0.1)
    np.testing.assert_allclose(population[0, 0], 0.5 / (np.sqrt(1 / 6) + 0.1))


def test_cells_that_are_not_present_enter_nothing_and_get_zero():
    reward = np.array([[1.0, 0.0, np.nan]])
    mask = np.array([[True, True, False]])
    np.testing.assert_allclose(adv.group_zscore(reward, mask)[0, :2], [0.70700679, -0.70700679], atol=1e-6)
    for value in (adv.centred(reward, mask), adv.batch_scaled(reward, mask), adv.group_zscore(reward, mask)):
        assert value[0, 2] == 0.0
        assert np.isfinite(value).all()


def test_centred_keeps_reward_units_and_batch_scaling_divides_by_one_spread():
    reward = np.array([[1.0, 0.0], [0.6, 0.4]])
    np.testing.assert_allclose(adv.centred(reward, present(reward)), [[0.5, -0.5], [0.1, -0.1]])
    spread = np.std([1.0, 0.0, 0.6, 0.4], ddof=1)
    np.testing.assert_allclose(
        adv.batch_scaled(reward, present(reward), eps=0.0), np.array([[0.5, -0.5], [0.1, -0.1]]) / spread
    )
    population = adv.batch_scaled(reward, present(reward), ddof=0, eps=1.0)
    np.testing.assert_allclose(population[0, 0], 0.5 / (np.std([1.0, 0.0, 0.6, 0.4]) + 1.0))


def test_branches_of_different_spread_keep_an_equal_say():
    """After a plain sum the small branch would hardly count: here it turns the order around."""
    large, small = np.array([[1.0, 0.0, 0.5]]), np.array([[0.0, 0.001, 0.0005]])
    plain = adv.group_zscore(large + small, present(large))
    apart = adv.branch_zscore([(1.0, large), (2.0, small)], present(large), eps=0.0)
    assert plain[0, 0] > plain[0, 1]
    np.testing.assert_allclose(apart, [[-1.0, 1.0, 0.0]], atol=1e-12)


def test_gdpo_is_standardised_over_the_pool():
    rng = np.random.default_rng(3)
    terms = [(1.0, rng.random((4, 5))), (0.5, rng.random((4, 5)))]
    value = adv.gdpo(terms, np.ones((4, 5), dtype=bool), eps=1e-12)
    np.testing.assert_allclose([value.mean(), value.std(ddof=1)], [0.0, 1.0], atol=1e-9)


def test_groups_of_little_variance_are_dropped():
    """OmniQuality-R drops a standard deviation of 0.001 or less; [0, 0.0014] has 0.00099 as a sample."""
    reward = np.array([[0.5, 0.5], [0.0, 0.0013], [0.0, 0.0015]])
    np.testing.assert_array_equal(adv.varied_groups(reward, present(reward)), [False, False, True])
    np.testing.assert_array_equal(adv.varied_groups(reward, present(reward), limit=0.0), [False, True, True])
    np.testing.assert_array_equal(adv.varied_groups(reward, present(reward), ddof=0), [False, False, False])


def test_uncertainty_factors_match_the_method_notes():
    """Variance .01, .05, .25, 1, 4 on 1..5 -> factors of methods-related 13 (computed there)."""
    variance = np.array([0.01, 0.05, 0.25, 1.0, 4.0])
    factor = adv.uncertainty_factor(adv.released_uncertainty(variance, width=4.0))
    np.testing.assert_allclose(factor, [0.9995, 0.997503, 0.987578, 0.951229, 0.818731], atol=5e-7)
    np.testing.assert_allclose(adv.released_uncertainty(np.array([9.0]), width=4.0), 1.0)


def test_the_working_normaliser_acts_where_the_released_one_does_not():
    variance = np.array([0.0, 0.05, 1.0])
    np.testing.assert_allclose(adv.working_uncertainty(variance, half=0.05), [0.0, 0.5, 0.952381], atol=1e-6)
    released = adv.uncertainty_factor(adv.released_uncertainty(variance, width=4.0), alpha=1.0)
    working = adv.uncertainty_factor(adv.working_uncertainty(variance, half=0.05), alpha=1.0)
    assert working[1] < 0.7 < 0.98 < released[1]


def test_score_variance_is_the_clamped_population_variance_of_valid_scores():
    score = np.array([[1.0, 3.0, np.nan], [5.0, 99.0, 5.0], [2.0, np.nan, np.nan]])
    np.testing.assert_allclose(adv.score_variance(score, np.isfinite(score), low=1.0, high=5.0), [1.0, 0.0, 0.0])


def test_caption_weights_match_the_method_notes():
    """Divergences (.1, .2, .4), tau 1 -> (1.1339, 1.0260, .8400) (methods-related 13, computed there)."""
    kl = np.array([[0.1, 0.2, 0.4]])
    np.testing.assert_allclose(adv.caption_weights(kl, present(kl)), [[1.1339, 1.0260, 0.8400]], atol=5e-5)
    sharper = adv.caption_weights(np.array([[0.0, 50.0]]), np.ones((1, 2), dtype=bool), tau=2.0, low=0.25, high=1.5)
    np.testing.assert_allclose(sharper, [[1.5, 0.25]])


def test_caption_weights_of_unknown_or_huge_divergences_stay_finite():
    kl = np.array([[np.nan, 0.2, 0.2], [np.nan, np.nan, np.nan], [1e6, 1e6 + 1, 5e6]])
    weight = adv.caption_weights(kl, present(kl))
    np.testing.assert_allclose(weight[:2], 1.0)
    assert np.isfinite(weight).all()


def test_a_bad_answer_is_not_protected_by_its_caption_weight():
    value = adv.weigh_gains(np.array([[1.0, -1.0]]), np.array([[0.5, 0.5]]))
    np.testing.assert_allclose(value, [[0.5, -1.0]])


def test_positive_only_matches_the_method_notes():
    """Rewards [2.2, 1, 2, 1] -> [1.015, 0, .7027, 0]; all equal failures -> -.2 (methods-related 13)."""
    reward = np.array([[2.2, 1.0, 2.0, 1.0], [1.0, 1.0, 1.0, 1.0]])
    value = adv.positive_only(adv.group_zscore(reward, present(reward)), reward, present(reward))
    np.testing.assert_allclose(value[0], [1.015, 0, 0.7027, 0], atol=5e-5)
    np.testing.assert_allclose(value[1], -0.2, atol=1e-12)


def test_positive_only_shifts_mixed_failures_under_the_same_division():
    """(r - mean - 0.2e-4) / (std + 1e-4) for rewards 1, 0: std sqrt(.5)."""
    reward = np.array([[1.0, 0.0]])
    value = adv.positive_only(adv.group_zscore(reward, present(reward)), reward, present(reward))
    np.testing.assert_allclose(value, (np.array([[0.5, -0.5]]) - 0.2e-4) / (np.sqrt(0.5) + 1e-4), atol=1e-12)
    lower = adv.positive_only(adv.group_zscore(reward, present(reward)), reward, present(reward), success=1.0)
    assert lower[0, 0] > 0.0
    assert lower[0, 1] == 0.0


def test_sample_weights_come_from_the_targets_and_are_checked():
    np.testing.assert_allclose(adv.sample_weights([{"weight": 2}, {}]), [2.0, 1.0])
    np.testing.assert_allclose(adv.sample_weights([{"w": 0.5}], field="w"), [0.5])
    with pytest.raises(ValueError, match=r"targets.weight of sample 1 must be a finite number >= 0, got -1"):
        adv.sample_weights([{}, {"weight": -1}])


rewards = st.lists(st.lists(st.floats(-2, 3), min_size=4, max_size=4), min_size=1, max_size=4).map(np.array)


@given(rewards, st.permutations(range(4)))
def test_permuting_rollouts_permutes_advantages(reward, order):
    for function in (adv.group_zscore, adv.centred, adv.batch_scaled):
        straight = function(reward, present(reward))
        np.testing.assert_allclose(function(reward[:, order], present(reward)), straight[:, order], atol=1e-7)


@given(rewards, st.floats(-3, 3))
def test_adding_a_constant_to_a_group_changes_nothing(reward, constant):
    for function in (adv.group_zscore, adv.centred):
        shifted = function(reward + constant, present(reward))
        np.testing.assert_allclose(shifted, function(reward, present(reward)), atol=1e-7)


@given(rewards)
def test_a_better_reward_never_gets_a_lower_advantage(reward):
    value = adv.group_zscore(reward, present(reward))
    for s in range(reward.shape[0]):
        assert (np.diff(value[s][np.argsort(reward[s], kind="stable")]) >= -1e-9).all()
