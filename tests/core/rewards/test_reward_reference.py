"""The vectorised cross-sample terms equal the plain loops, on pools with ties, equal labels and invalid answers."""

import numpy as np
import pytest
from hypothesis import given, settings

from pondera.core.rewards import (
    BinaryPair,
    Fidelity,
    Margin,
    PreferenceTriplet,
    RankToTruth,
    ResponseBalance,
    ScoreAndRank,
    SpreadPenalty,
)

from . import reference
from .pools import plain, pool_of, value_groups

SCORE_CASES = [
    (Fidelity(), reference.fidelity, {}),
    (Fidelity(ties="greater_equal"), reference.fidelity, {"ties": "greater_equal"}),
    (
        Fidelity(variance="population", eps_variance=0.1, eps_root=1e-4),
        reference.fidelity,
        {"unbiased": False, "eps_variance": 0.1, "eps_root": 1e-4},
    ),
    (Margin(unit=0.5), reference.margin, {"unit": 0.5}),
    (BinaryPair(), reference.binary_pair, {}),
    (BinaryPair(ties="strict"), reference.binary_pair, {"ties": "strict"}),
    (ScoreAndRank(), reference.score_and_rank, {}),
    (
        ScoreAndRank(wrong_order="as_released", min_gap=0.0, ties="stable"),
        reference.score_and_rank,
        {"wrong_order": "as_released", "min_gap": 0.0, "ties": "stable"},
    ),
    (ScoreAndRank(min_gap=0.0), reference.score_and_rank, {"min_gap": 0.0}),
    (PreferenceTriplet(), reference.preference_triplet, {}),
    (PreferenceTriplet(ties="strict"), reference.preference_triplet, {"ties": "strict"}),
    (PreferenceTriplet(pairing="index"), reference.preference_triplet, {"pairing": "index"}),
    (
        PreferenceTriplet(pairing="index", ties="strict"),
        reference.preference_triplet,
        {"pairing": "index", "ties": "strict"},
    ),
    (RankToTruth(), reference.rank_to_truth, {}),
    (RankToTruth(ties="stable", exact=0.1), reference.rank_to_truth, {"ties": "stable", "exact": 0.1}),
]
VALUE_CASES = [
    (SpreadPenalty(), reference.spread_penalty, {}),
    (SpreadPenalty(limit=1.0, strength=2.0), reference.spread_penalty, {"limit": 1.0, "strength": 2.0}),
    (ResponseBalance(), reference.response_balance, {}),
    (ResponseBalance(aspects="first_four"), reference.response_balance, {"aspects": "first_four"}),
    (
        ResponseBalance(tolerance=0.3, strength=1.0),
        reference.response_balance,
        {"tolerance": 0.3, "strength": 1.0},
    ),
]


@pytest.mark.parametrize(("term", "loop", "options"), SCORE_CASES, ids=lambda x: repr(x) if hasattr(x, "name") else "")
@given(drawn=value_groups(grid=8))
@settings(max_examples=40, deadline=None, derandomize=True)
def test_term_on_scores_equals_the_plain_loop(term, loop, options, drawn):
    values, mos = drawn
    np.testing.assert_allclose(term(pool_of(values, mos)), loop(values, mos, **options), rtol=0, atol=1e-9)


@pytest.mark.parametrize(("term", "loop", "options"), VALUE_CASES, ids=lambda x: repr(x) if hasattr(x, "name") else "")
@given(drawn=value_groups(numbers=5))
@settings(max_examples=40, deadline=None, derandomize=True)
def test_term_on_numbers_equals_the_plain_loop(term, loop, options, drawn):
    values, mos = drawn
    np.testing.assert_allclose(term(pool_of(values, mos)), loop(values, **options), rtol=0, atol=1e-9)


@pytest.mark.parametrize(
    ("term", "loop"),
    [(ScoreAndRank(), reference.score_and_rank), (Fidelity(), reference.fidelity), (Margin(), reference.margin)],
)
def test_chunks_of_rows_change_nothing(term, loop, monkeypatch):
    rng = np.random.default_rng(3)
    values = np.round(rng.uniform(1, 5, (7, 3)), 2).tolist()
    mos = np.round(rng.uniform(1, 5, 7), 2).tolist()
    monkeypatch.setattr("pondera.core.rewards.comparisons._CHUNK", 40)
    np.testing.assert_allclose(term(pool_of(values, mos)), loop(values, mos), rtol=0, atol=1e-9)


def test_annotator_margin_equals_the_plain_loop_and_keeps_its_floor():
    values, mos, std = [[3.0, 3.01], [2.0, None], [4.0, 4.3]], [3.0, 2.0, 4.0], [0.0, 0.0, 0.5]
    term = Margin(width="annotator", floor_width=0.02)
    expected = reference.margin(values, mos, std, floor_width=0.02)
    np.testing.assert_allclose(term(pool_of(values, mos, std=std)), expected, rtol=0, atol=1e-12)


def test_mean_scores_of_several_numbers_are_what_is_ranked():
    values = [[(1.0, 5.0), (2.0, 3.0)], [(4.0, 4.2), (3.0, 5.0)], [(1.0, 1.5), None]]
    mos = [2.9, 4.0, 1.4]
    found = ScoreAndRank()(pool_of(values, mos))
    np.testing.assert_allclose(found, reference.score_and_rank(plain(values), mos), rtol=0, atol=1e-12)
