"""Pairwise votes: golden values by hand, recovery of known scores, and when no scores exist."""

import math

import numpy as np
import pytest

from pondera.core.pairwise import pairwise_scores, winning_groups

MODELS = ("bradley-terry", "thurstone")


@pytest.mark.parametrize("model", MODELS)
def test_three_votes_out_of_four_are_one_unit(model):
    got = pairwise_scores([[0, 3], [1, 0]], model=model)
    assert got.score_N == pytest.approx([0.5, -0.5], abs=1e-9)
    assert got.count_N.tolist() == [4, 4]


def test_standard_error_of_two_stimuli_by_hand():
    """The log-odds of 30 against 10 have variance 1/30 + 1/10; a score is half of them over ln 3."""
    got = pairwise_scores([[0, 30], [10, 0]])
    error = math.sqrt(1 / 30 + 1 / 10) / math.log(3) / 2
    assert got.error_N == pytest.approx([error, error])
    assert got.high_N - got.score_N == pytest.approx([1.959964 * error] * 2, rel=1e-6)


def test_thurstone_standard_error_of_two_stimuli_by_hand():
    """At p = 1/2 the probit has variance (1/4) / (n phi(0)^2) with phi(0)^2 = 1 / (2 pi); half of it over 0.67449."""
    got = pairwise_scores([[0, 20], [20, 0]], model="thurstone")
    assert got.error_N[0] == pytest.approx(math.sqrt(0.25 / 40 * 2 * math.pi) / 0.6744898 / 2, rel=1e-6)


def test_bradley_terry_of_three_equals_the_exact_solution():
    """Strengths 4 : 2 : 1 give expected wins 2/3, 4/5, 2/3; 15 votes a pair make them whole numbers."""
    win_NN = np.array([[0, 10, 12], [5, 0, 10], [3, 5, 0]])
    expected = np.array([2, 1, 0]) * math.log(2) / math.log(3)
    assert pairwise_scores(win_NN).score_N == pytest.approx(expected - expected.mean(), abs=1e-9)


def _votes(model, truth_N, votes, rng):
    difference_NN = truth_N[:, None] - truth_N
    if model == "thurstone":
        p_NN = np.vectorize(lambda d: 0.5 * (1 + math.erf(0.6744898 * d / math.sqrt(2))))(difference_NN)
    else:
        p_NN = 1 / (1 + 3.0**-difference_NN)
    upper_NN = np.triu(rng.binomial(votes, p_NN), 1)
    return upper_NN + np.tril(votes - upper_NN.T, -1)


@pytest.mark.parametrize("model", MODELS)
def test_known_scores_come_back_and_intervals_hold_them_as_often_as_they_say(model):
    rng = np.random.default_rng(0)
    truth_N = rng.normal(0, 1, 10)
    truth_N -= truth_N.mean()
    inside = []
    for _ in range(60):
        got = pairwise_scores(_votes(model, truth_N, 20, rng), model=model)
        inside.append((got.low_N <= truth_N) & (truth_N <= got.high_N))
        assert np.corrcoef(got.score_N, truth_N)[0, 1] > 0.95
    assert np.mean(inside) == pytest.approx(0.95, abs=0.03)


@pytest.mark.parametrize("model", MODELS)
def test_turning_every_vote_round_turns_every_score_round_and_order_does_not_matter(model):
    rng = np.random.default_rng(1)
    win_NN = _votes(model, rng.normal(size=6), 12, rng)
    score_N = pairwise_scores(win_NN, model=model).score_N
    order = rng.permutation(6)
    assert pairwise_scores(win_NN.T, model=model).score_N == pytest.approx(-score_N, abs=1e-7)
    assert pairwise_scores(win_NN[np.ix_(order, order)], model=model).score_N == pytest.approx(score_N[order], abs=1e-7)


def test_a_stimulus_that_always_won_has_no_finite_score_without_pseudo_votes():
    win_NN = np.array([[0, 4, 4], [0, 0, 2], [0, 2, 0]])
    assert len(set(winning_groups(win_NN).tolist())) == 2
    with pytest.raises(ValueError, match="2 groups"):
        pairwise_scores(win_NN)
    got = pairwise_scores(win_NN, pseudo_votes=0.5)
    assert np.isfinite(got.score_N).all()
    assert got.score_N[0] > 1 > got.score_N[1] == pytest.approx(got.score_N[2])


def test_stimuli_that_were_never_compared_cannot_be_joined_by_pseudo_votes():
    win_NN = np.kron(np.eye(2), np.array([[0, 2], [1, 0]]))
    with pytest.raises(ValueError, match="2 groups"):
        pairwise_scores(win_NN, pseudo_votes=1.0)


def test_very_many_votes_and_lopsided_ones_converge():
    win_NN = np.array([[0, 10**6, 10**6], [1, 0, 10**6], [1, 1, 0]], dtype=float)
    for model in MODELS:
        got = pairwise_scores(win_NN, model=model)
        assert got.score_N[0] > got.score_N[1] > got.score_N[2]
        assert np.isfinite(got.error_N).all()


@pytest.mark.parametrize("wrong", [[[0, 1]], [[0, -1], [1, 0]], [[1, 1], [1, 0]], [[0, math.nan], [1, 0]]])
def test_tables_that_are_no_votes_are_refused(wrong):
    with pytest.raises(ValueError, match="wins must be"):
        pairwise_scores(wrong)
