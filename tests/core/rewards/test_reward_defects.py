"""One test per defect seen in a released reward: the default is free of it, the released flag still shows it."""

import numpy as np
import pytest

from pondera.core.answers import Answer, AnswerFormat, Numbers
from pondera.core.rewards import (
    Fidelity,
    Format,
    Gaussian,
    PreferenceTriplet,
    RankToTruth,
    RepetitionPenalty,
    ResponseBalance,
    ScoreAndRank,
    SpreadPenalty,
    TemporalBonus,
    TwoDecimals,
)

from .pools import pool_of, pool_of_answers

PRERESQ = [SpreadPenalty(), ResponseBalance(), ScoreAndRank(), PreferenceTriplet(), RankToTruth()]


def parsed(texts, mos, spec=None):
    """A pool from completions, read by the real parser."""
    read = AnswerFormat(spec or Numbers())
    return pool_of_answers([[read.parse(text) for text in group] for group in texts], mos, texts=texts)


def written(body):
    return f"<think>x</think><answer>{body}</answer>"


def test_two_exact_hits_with_equal_labels_were_nan():
    pool = pool_of([[3.0, 3.0, 3.0]] * 2, [3.0, 3.0])
    assert (ScoreAndRank()(pool) == 0.5).all()
    assert np.isfinite(ScoreAndRank(wrong_order="as_released", min_gap=0.0)(pool)).all()


def test_equal_labels_paid_unequal_scores():
    pool = pool_of([[2.0], [4.0]], [3.0, 3.0])
    assert (ScoreAndRank(wrong_order="as_released", min_gap=0.0, ties="stable")(pool) == 1.0).all()
    assert (ScoreAndRank()(pool) == 0.5).all()


@pytest.mark.parametrize("num_samples", [1, 2])
def test_one_or_two_samples_were_nan(num_samples):
    pool = pool_of([[2.0, 3.0, 4.0]] * num_samples, [2.0, 4.0][:num_samples])
    assert (PreferenceTriplet()(pool) == 0.5).all()
    if num_samples == 1:
        assert (ScoreAndRank()(pool) == 0.5).all()
        assert (Fidelity()(pool) == 0.5).all()


@pytest.mark.parametrize("size", [1, 2])
def test_groups_of_one_and_two_had_rewards_of_the_wrong_length(size):
    pool = pool_of([[(2.0, 3.0), (4.0, 4.5)][:size]] * 3, [2.0, 3.0, 4.0])
    for term in PRERESQ:
        assert term(pool).shape == (3, size)
    assert (ResponseBalance()(pool) == 0.25).all()


def test_wrong_orders_with_large_errors_paid_most():
    wrong, right = pool_of([[1.0], [5.0]], [4.0, 3.9]), pool_of([[4.2], [3.6]], [4.0, 3.9])
    released = ScoreAndRank(wrong_order="as_released", min_gap=0.0, ties="stable")
    assert released(wrong)[0, 0] > released(right)[0, 0]
    assert ScoreAndRank()(wrong)[0, 0] == 0.0 < ScoreAndRank()(right)[0, 0]


def test_a_tied_prediction_was_right_or_wrong_by_the_direction_of_the_label():
    pool = pool_of([[3.0]] * 3, [2.0, 3.0, 4.0])
    assert PreferenceTriplet(ties="strict")(pool).tolist() == [[1.0], [2 / 3], [1 / 3]]
    assert (PreferenceTriplet()(pool) == 0.5).all()


def test_equal_labels_were_better_both_ways():
    pool = pool_of([[3.0, 3.1], [2.9, 3.2]], [3.0, 3.0])
    half, both = Fidelity()(pool), Fidelity(ties="greater_equal")(pool)
    high = np.array([[False, True], [False, True]])
    assert (both[high] > both[~high]).all()  # the higher score is paid although the labels are equal
    np.testing.assert_allclose(half[0, 0], half[0, 1], atol=1e-9)


def test_index_pairing_depended_on_the_order_of_rollouts():
    values, swapped = [[2.0, 4.0], [3.0, 3.5], [1.0, 5.0]], [[4.0, 2.0], [3.0, 3.5], [1.0, 5.0]]
    mos = [2.0, 3.0, 4.0]
    index = PreferenceTriplet(pairing="index")
    assert not np.allclose(index(pool_of(swapped, mos))[0], index(pool_of(values, mos))[0, ::-1])
    quantile = PreferenceTriplet()
    np.testing.assert_allclose(quantile(pool_of(swapped, mos))[0], quantile(pool_of(values, mos))[0, ::-1])


def test_the_fifth_aspect_was_left_out_of_the_balance():
    """Four equal aspects; in the fifth the third answer is far from the median."""
    values = [[(3.0,) * 4 + (last,) for last in (3.0, 3.01, 5.0)]]
    assert ResponseBalance(aspects="first_four")(pool_of(values, [3.0])).tolist() == [[0.5, 0.5, 0.5]]
    np.testing.assert_allclose(ResponseBalance()(pool_of(values, [3.0])), [[0.5, 0.5, 0.4]])


def test_equal_answers_earned_by_their_place_in_the_list():
    pool = pool_of([[4.0, 4.0, 2.0]], [3.0])
    first, second, _ = RankToTruth(ties="stable")(pool)[0]
    assert first > second
    first, second, _ = RankToTruth()(pool)[0]
    assert first == second == np.exp(-1.5 / 4)
    stable = ScoreAndRank(ties="stable")(pool_of([[4.0, 4.0], [2.0, 3.5]], [4.0, 3.0]))
    assert stable[0, 0] != stable[0, 1]
    shared = ScoreAndRank()(pool_of([[4.0, 4.0], [2.0, 3.5]], [4.0, 3.0]))
    assert shared[0, 0] == shared[0, 1] == stable[0].mean()


def test_three_forty_was_punished_as_too_few_decimals():
    pool = parsed([[written("3.40"), written("3.4"), written("3"), written("3.45")]], [3.4])
    whole = Gaussian(sigma=0.5)(pool)
    np.testing.assert_allclose(TwoDecimals()(pool) / whole, [[1, 0.8, 0.8, 1]])
    np.testing.assert_allclose(TwoDecimals(read="float")(pool) / whole, [[0.8, 0.8, 0.8, 1]])


@pytest.mark.parametrize(
    "text",
    [
        "done 9",
        written("4,20"),
        written("NaN"),
        written("99"),
        written("2.0") + written("3.0"),
        "<think>I say 4.0</think><answer></answer>",
    ],
)
def test_numbers_outside_one_clean_answer_earned_rewards(text):
    """An unreadable completion earns the floor in every term and leaves its siblings alone."""
    clean = [[written("3.00"), written("3.50")], [written("2.00"), written("2.20")]]
    dirty = [[*clean[0], text], [*clean[1], text]]
    for term in (Format(), Gaussian(), Fidelity(), ScoreAndRank(), PreferenceTriplet(), RankToTruth()):
        # K + 1 of rank_to_truth and every mean count valid answers only.
        expected = term(parsed(clean, [3.1, 2.3]))
        found = term(parsed(dirty, [3.1, 2.3]))
        np.testing.assert_allclose(found[:, :2], expected, atol=1e-12)
        assert (found[:, 2] == 0).all()


def test_half_written_without_its_zero_was_read_as_five():
    pool = parsed([[written(".5")]], [0.5], Numbers(low=0.0, high=5.0))
    assert pool.score_SK[0, 0] == 0.5


def test_a_single_rollout_has_no_variance_but_a_reward():
    reward = Fidelity()(pool_of([[3.0], [2.0]], [3.0, 2.0]))
    np.testing.assert_allclose(reward, np.full((2, 1), 1.001), atol=1e-6)


def test_a_missing_answer_tag_cost_the_lowest_repetition_penalty():
    pool = parsed([["blur blur blur blur blur blur", written("3.00")]], [3.0])
    assert RepetitionPenalty()(pool).tolist() == [[0.0, 0.0]]


def test_one_samples_gain_paid_for_anothers_loss_in_the_temporal_test():
    side = {"perturbed_reward": [[0.1, 0.1], [1.0, 1.0]]}
    pool = pool_of([[3.0, 3.0], [2.0, 4.0]], [3.0, 3.0], side=side)
    batch = TemporalBonus(scope="batch", strict=False, above=0.1)
    assert (batch(pool) == 0.3).all()
    assert TemporalBonus()(pool).tolist() == [[0.3, 0.3], [0.0, 0.0]]


def test_a_tie_at_zero_passed_the_temporal_test():
    pool = pool_of([[5.0]], [1.0], side={"perturbed_reward": [[0.0]]})
    assert TemporalBonus(strict=False)(pool)[0, 0] == 0.3
    assert TemporalBonus()(pool)[0, 0] == 0.0


def test_two_numbers_must_differ_by_one_to_escape_the_spread_penalty():
    values = [[(3.0, 4.0), (3.0, 3.5), (3.0, 3.0)]]
    np.testing.assert_allclose(SpreadPenalty()(pool_of(values, [3.0])), [[0, -0.125, -0.25]])


def test_spread_penalty_refuses_answers_of_one_number():
    with pytest.raises(ValueError, match="at least two numbers"):
        SpreadPenalty()(pool_of([[3.0, None]], [3.0]))


def test_decimals_are_read_from_the_completion_where_an_answer_has_no_body():
    texts = [["<answer>3.40</answer>", "<answer>3.4</answer>", "<answer></answer>"]]
    pool = pool_of_answers([[Answer(values=(3.4,), score=3.4)] * 3], [3.4], texts=texts)
    np.testing.assert_allclose(TwoDecimals()(pool), [[1.0, 0.8, 0.8]])
