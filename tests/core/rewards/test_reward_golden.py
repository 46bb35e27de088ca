"""Golden values of the terms, each with its provenance."""

import numpy as np
import pytest

from pondera.core.rewards import (
    BinaryPair,
    Fidelity,
    Format,
    Gaussian,
    Laplace,
    Margin,
    PreferenceTriplet,
    ProbabilityDifference,
    RankToTruth,
    RelativeError,
    ResponseBalance,
    ScoreAndRank,
    SpreadPenalty,
    Threshold,
)

from .pools import pool_of

# The worked check of PreResQ-R1: three samples, three answers of five aspects. Derived by hand from the released
# formulas (four-aspect balance), printed to four digits; not produced by the authors' program.
WORKED = [
    [(4.2, 4.3, 3.9, 3.0, 4.0), (3.6, 3.6, 2.8, 4.2, 3.9), (4.1, 3.7, 3.5, 2.1, 3.2)],
    [(2.0, 2.5, 2.0, 2.5, 2.0), (3.0, 3.4, 2.7, 3.8, 2.8), (2.4, 2.4, 2.2, 2.6, 2.4)],
    [(4.6, 4.5, 4.4, 4.7, 4.3), (4.2, 4.0, 4.3, 4.1, 4.2), (3.9, 4.0, 3.8, 4.1, 3.7)],
]
WORKED_MOS = [3.6, 2.7, 4.2]
AS_RELEASED = {
    "spread": SpreadPenalty(),
    "balance": ResponseBalance(aspects="first_four"),
    "pair": ScoreAndRank(wrong_order="as_released", min_gap=0.0, ties="stable"),
    "triplet": PreferenceTriplet(pairing="index", ties="strict"),
    "truth": RankToTruth(ties="stable"),
}

# Three samples, three answers: scores and labels behind the golden values of the related systems, computed by hand
# from the formulas of the released codes.
SCORES = [[3.0, 3.2, 3.4], [2.0, 2.5, 2.1], [4.0, 4.0, 4.3]]
MOS = [3.1, 2.4, 4.5]
ERRORS = [0.05, 0.1, 0.2, 0.35, 0.5, 1.0]


def assert_printed(found, expected, digits):
    np.testing.assert_allclose(found, expected, rtol=0, atol=0.50001 * 10.0**-digits)


@pytest.mark.parametrize(
    ("term", "expected"),
    [
        ("spread", [[-0.0189, -0.0168, 0], [-0.1275, -0.0460, -0.1868], [-0.1793, -0.1990, -0.1793]]),
        ("balance", [[0.125, 0, 0.375], [0.125, 0, 0.375], [0, 0.5, 0.25]]),
        ("pair", [[0.7292, 0.9062, 0.7225], [0.7697, 0.7818, 0.8809], [0.7657, 0.9282, 0.7603]]),
        ("triplet", np.ones((3, 3))),
        ("truth", [[0.6065, 1.0, 0.7788], [0.6065, 0.7788, 0.7788], [0.7788, 0.7788, 0.6065]]),
    ],
)
def test_preresq_terms_match_the_worked_check(term, expected):
    assert_printed(AS_RELEASED[term](pool_of(WORKED, WORKED_MOS)), expected, 4)


def test_preresq_total_matches_the_worked_check():
    pool = pool_of(WORKED, WORKED_MOS)
    part = {name: term(pool) for name, term in AS_RELEASED.items()}
    total = 0.375 * part["pair"] + part["spread"] + 0.5 * part["balance"] + 0.125 * part["triplet"] + part["truth"]
    expected = [[0.3495, 0.4827, 0.4541], [0.3184, 0.3837, 0.4116], [0.3372, 0.4343, 0.3208]]
    assert_printed(total / 3, expected, 4)


@pytest.mark.parametrize(
    ("mos", "scores", "expected"),
    [
        ([4.0, 3.9], [4.2, 3.6], 0.408),
        ([4.0, 3.9], [3.7, 3.8], 0.894),
        ([4.0, 3.9], [1.0, 5.0], 0.988),
        ([4.0, 2.0], [2.0, 4.0], 0.816),
        ([4.0, 2.0], [3.2, 2.9], 0.735),
        ([4.0, 2.0], [1.0, 5.0], 0.866),
    ],
)
def test_released_pair_term_matches_the_examples_of_its_defect(mos, scores, expected):
    """The printed examples of wrong orders that earn more than right ones, from the analysis of the released code."""
    reward_SK = AS_RELEASED["pair"](pool_of([[q] for q in scores], mos))
    assert_printed(reward_SK, np.full((2, 1), expected), 3)


def test_fidelity_matches_hand_computation():
    expected = [
        [0.999010, 1.000596, 0.999943],
        [1.000963, 0.996630, 1.000887],
        [1.000688, 1.000688, 1.000996],
    ]
    assert_printed(Fidelity()(pool_of(SCORES, MOS)), expected, 6)


def test_margin_matches_hand_computation():
    unit = [[0.975505, 0.919247, 0.832601], [0.941248, 0.941248, 0.959064], [0.895634, 0.895634, 0.977999]]
    sigma = [[0.943945, 0.833049, 0.682433], [0.907357, 0.893163, 0.933760], [0.780883, 0.780883, 0.948026]]
    pool = pool_of(SCORES, MOS, std=[0.5, 0.6, 0.4])
    assert_printed(Margin()(pool), unit, 6)
    assert_printed(Margin(width="annotator")(pool), sigma, 6)


@pytest.mark.parametrize(
    ("term", "expected", "digits"),
    [
        (Gaussian(sigma=0.8), [0.9980, 0.9922, 0.9692, 0.9087, 0.8226, 0.4578], 4),
        (Gaussian(sigma=0.5), [0.9950, 0.9802, 0.9231, 0.7827, 0.6065, 0.1353], 4),
        (Gaussian(sigma=0.1), [0.8825, 0.6065, 0.1353, 0.0022, 4e-6, 0], 4),
        (Laplace(tau=0.3), [0.8465, 0.7165, 0.5134, 0.3114, 0.1889, 0.0357], 4),
        (Threshold(), [1, 1, 1, 0, 0, 0], 4),
        (Threshold(limit=0.5, inclusive=True), [1, 1, 1, 1, 1, 0], 4),
    ],
)
def test_score_kernels_match_the_printed_table(term, expected, digits):
    """Errors .05 to 1 at a label of 3; computed by hand from the formulas of the released codes."""
    errors = np.array(ERRORS)
    assert_printed(term.value(errors, np.zeros(6)), expected, digits)


def test_relative_error_matches_the_printed_values():
    """Truth 60: predictions of 50 and 70 earn .8333, 130 earns 0 (computed by hand)."""
    found = RelativeError().value(np.array([50.0, 70.0, 130.0]), np.full(3, 60.0))
    assert_printed(found, [0.8333, 0.8333, 0], 4)


def test_probability_difference_matches_the_printed_example():
    """rule 2, 1, 2, 1 and P_think .6, .3, .2, .5 against .4 give 2.2, 1, 2, 1 (computed by hand)."""
    scores = [[3.0, 4.0, 3.2, 4.2]]
    pool = pool_of(scores, [3.0], side={"p_think": [[0.6, 0.3, 0.2, 0.5]], "p_nothink": [[0.4] * 4]})
    total = Format()(pool) + Threshold(limit=0.5, inclusive=True)(pool) + ProbabilityDifference()(pool)
    assert_printed(total, [[2.2, 1, 2, 1]], 6)


def test_binary_pair_counts_the_samples_on_the_right_side():
    """Means 3.2, 2.2, 4.1. Answer 2.5 of sample 1 is below both others: 1. In sample 0 all three lie between."""
    found = BinaryPair()(pool_of([[3.0, 3.2, 4.5], [2.0, 2.5, 2.1], [4.0, 4.0, 4.3]], MOS))
    np.testing.assert_allclose(found, [[1, 1, 0.5], [1, 1, 1], [1, 1, 1]])
