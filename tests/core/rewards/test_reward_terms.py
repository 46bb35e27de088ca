"""Single-sample terms: format, score flags, degradation, grounding, dimensions, temporal, text, probability, tone."""

import numpy as np
import pytest

from pondera.core.rewards import (
    AttributionF1,
    Binary,
    Comparison,
    Consistency,
    Degradation,
    DimensionMean,
    Fidelity,
    Format,
    Gaussian,
    Grounding,
    Laplace,
    LengthBonus,
    LevelRank,
    LexiconConsistency,
    Linear,
    Margin,
    ProbabilityDifference,
    RelativeError,
    RepetitionPenalty,
    TemporalBonus,
    Threshold,
    TwoDecimals,
)
from pondera.core.rewards.consistency import tone_band
from pondera.core.rewards.grounding import box_iou, grounding_parts

from .pools import answer, pool_of, pool_of_answers

FIVE_LINES = "3.10\n3.20\n3.30\n3.40\n3.50"


@pytest.mark.parametrize(
    ("kind", "text", "expected"),
    [
        ("tolerant", "anything, the parser decides", 1),
        ("think_answer", "<think>a\nb</think>\n\n<answer>3</answer>", 1),
        ("think_answer", "<think>a</think><answer>3</answer> ", 0),
        ("think_answer", "<answer>3</answer>", 0),
        ("answer_only", " <answer>3</answer>\n", 1),
        ("answer_only", "<think>a</think><answer>3</answer>", 0),
        ("preresq-r1-image", f"<think>a</think>\n<answer>{FIVE_LINES}</answer>", 1),
        ("preresq-r1-image", f"<think>a</think><answer>\n{FIVE_LINES}\n</answer>", 1),
        ("preresq-r1-image", "<think>a</think><answer>3 3 3 3 3</answer>", 0),
        ("preresq-r1-image", "<think>a</think><answer>3.1\n3.2\n3.3\n3.4</answer>", 0),
        ("preresq-r1-video", "<think>a</think><answer>3.1\n3.2\n</answer>", 1),
        ("preresq-r1-video", "<think>a</think><answer>3.1\n3.2</answer>", 0),
        ("q-insight", '<think>\na\n</think>\n<answer>\n{"rating": 3.4}\n</answer>', 1),
        ("q-insight", '<think>a</think>\n<answer>{"rating": 3.4}</answer>', 0),
        ("q-insight", '<think>\na\n</think>\n<answer>\n{"rating": {"a": 3}}\n</answer>', 0),
        ("omniquality-r", "x <think>a</think> y <answer>3</answer>", 1),
        ("omniquality-r", "<think>a</think><answer>3</answer><answer>", 0),
        ("refine-iqa", "<think>a</think><answer>Score: 3.40</answer>", 1),
        ("refine-iqa", "<think>a</think><answer>3.40</answer>", 0),
        ("q-ponder", "<think>a</think> <answer>3.4</answer>", 1),
        ("q-ponder", "<think>a</think> <answer>3.400</answer>", 0),
    ],
)
def test_format_follows_the_pattern_of_its_kind(kind, text, expected):
    pool = pool_of_answers([[answer(3.0), answer(None)]], [3.0], texts=[[text, text]])
    assert Format(kind)(pool).tolist() == [[expected, 0]]


@pytest.mark.parametrize(
    ("term", "score", "label", "expected"),
    [
        (Gaussian(sigma=0.1, offset=1e-5, decimals=4), 0.5, 0.7, 0.1353),
        (Laplace(clamp=(1.0, 5.0)), 9.0, 5.0, 1.0),
        (Threshold(limit=0.5), 3.5, 3.0, 0.0),
        (Threshold(limit=0.5, inclusive=True), 3.5, 3.0, 1.0),
        (Linear(), 3.25, 3.0, 0.75),
        (Linear(width=0.5), 4.0, 3.0, 0.0),
        (Linear(width=0.5, floor_at_zero=False), 4.0, 3.0, -1.0),
        (RelativeError(), 0.0, 0.0, 1.0),
        (RelativeError(), 0.1, 0.0, 0.0),
        (RelativeError(), 4.0, 2.0, 0.0),
        (Binary(), 3.25, 3.0, 1.0),
        (Binary(), 3.3125, 3.0, 0.0),
        (Binary(limit=0.07, near_limit=0.1), 0.58, 0.5, 0.5),
        (Binary(limit=0.07, near_limit=0.1, near_reward=0.2), 0.58, 0.5, 0.2),
    ],
)
def test_score_kernels_obey_their_flags(term, score, label, expected):
    assert term.value(np.array([score]), np.array([label]))[0] == pytest.approx(expected, abs=1e-12)


def test_two_decimals_keeps_what_its_factor_says_of_any_kernel():
    pool = pool_of_answers([[answer(3.5, body="3.5"), answer(3.5, body="3.50")]], [3.0])
    np.testing.assert_allclose(TwoDecimals(kernel=Linear(), factor=0.5)(pool), [[0.25, 0.5]])


def test_fidelity_rounds_to_the_decimals_asked_for():
    pool = pool_of([[3.0, 3.2], [2.0, 2.5]], [3.1, 2.4])
    np.testing.assert_array_equal(Fidelity(decimals=4)(pool), np.round(Fidelity()(pool), 4))


def test_annotator_margin_without_a_std_names_the_sample():
    with pytest.raises(ValueError, match=r"'s0'.*mos_std"):
        Margin(width="annotator")(pool_of([[3.0], [2.0]], [3.0, 2.0]))


def pool_of_fields(found, target, mos=3.0):
    return pool_of_answers([[answer(3.0, fields=fields) for fields in found]], [mos], targets=[target])


def test_degradation_pays_the_severity_only_for_the_right_class():
    found = [
        {"distortion_class": "Blur ", "severity": "slight"},
        {"distortion_class": "blur", "severity": "serious"},
        {"distortion_class": "noise", "severity": "slight"},
    ]
    target = {"distortion_class": "blur", "severity": "slight"}
    pool = pool_of_fields(found, target)
    np.testing.assert_allclose(Degradation()(pool), [[1.0, 0.25, 0.0]])
    np.testing.assert_allclose(Degradation(class_reward=0.5, severity_reward=0.25)(pool), [[0.75, 0.5, 0.0]])


def test_degradation_without_a_true_severity_pays_the_class_in_full():
    pool = pool_of_fields([{"distortion_class": "null"}], {"distortion_class": "null"})
    assert Degradation()(pool)[0, 0] == 1.0
    other = pool_of_fields([{"kind": "null", "how": "slight"}], {"kind": "null", "how": "slight"})
    assert Degradation(class_field="kind", severity_field="how")(other)[0, 0] == 1.0
    assert Degradation()(other)[0, 0] == 0.0


def test_comparison_is_an_exact_match():
    pool = pool_of_fields([{"choice": "image a"}, {"choice": "Similar"}, {}], {"choice": "Image A"})
    assert Comparison()(pool).tolist() == [[1, 0, 0]]
    assert Comparison(field="better")(pool).tolist() == [[0, 0, 0]]


TRUE_BOXES = [
    {"bbox_2d": [0, 0, 10, 10], "type": "blur", "level": 3},
    {"bbox_2d": [20, 20, 30, 30], "type": "noise", "level": 1},
]


def test_box_overlap_is_intersection_over_union():
    iou = box_iou(np.array([[0, 0, 2, 2.0]]), np.array([[1, 1, 3, 3.0], [0, 0, 2, 2], [5, 5, 6, 6]]))
    np.testing.assert_allclose(iou, [[1 / 7, 1, 0]])


def test_grounding_matches_each_box_once_and_by_the_best_total_overlap():
    """Two found, both over the first truth: one match; IoU .8, F1 2/4, right type, one level off."""
    found = [{"bbox_2d": [0, 0, 10, 8], "type": "Blur", "level": 4}, {"bbox_2d": [0, 0, 10, 5], "type": "blur"}]
    np.testing.assert_allclose(grounding_parts(found, TRUE_BOXES), (0.8, 0.5, 1.0, 0.6))
    np.testing.assert_allclose(grounding_parts(found, TRUE_BOXES, min_iou=0.9), (0, 0, 0, 0))


def test_grounding_severity_counts_only_for_the_right_type():
    found = [{**TRUE_BOXES[0], "level": 5}, {**TRUE_BOXES[1], "type": "blur"}]
    np.testing.assert_allclose(grounding_parts(found, TRUE_BOXES), (1.0, 1.0, 0.5, 0.1))
    found = [{**TRUE_BOXES[0], "level": 9}, {**TRUE_BOXES[1], "level": "x"}]
    np.testing.assert_allclose(grounding_parts(found, TRUE_BOXES), (1.0, 1.0, 1.0, 0.0))


def test_grounding_of_nothing_is_right_only_where_nothing_is():
    assert grounding_parts([], []) == (1.0, 1.0, 1.0, 1.0)
    assert grounding_parts([], TRUE_BOXES) == grounding_parts(TRUE_BOXES, []) == (0.0, 0.0, 0.0, 0.0)
    unlevelled = [{"box": [0, 0, 10, 10], "type": "blur"}]
    assert grounding_parts(TRUE_BOXES[:1], unlevelled) == (1.0, 1.0, 1.0, 0.0)


@pytest.mark.parametrize("part", ["iou_weight", "f1_weight", "class_weight", "severity_weight"])
def test_grounding_weights_each_part(part):
    found = [{"bbox_2d": [0, 0, 10, 8], "type": "blur", "level": 4}]
    pool = pool_of_fields([{"regions": found}, {"boxes": found}], {"regions": TRUE_BOXES})
    parts = dict(zip(("iou_weight", "f1_weight", "class_weight", "severity_weight"), (0.8, 2 / 3, 1, 0.6), strict=True))
    weights = dict.fromkeys(parts, 0.0) | {part: 2.0}
    np.testing.assert_allclose(Grounding(field="regions", **weights)(pool), [[2 * parts[part], 0]])
    assert Grounding(field="regions", min_iou=0.9)(pool).tolist() == [[0, 0]]


def test_dimension_mean_averages_kernels_over_the_labelled_dimensions():
    target = {"spatial": 3.0, "temporal": 4.0}
    found = [{"spatial": 3.0, "temporal": 3.5, "alignment": 1.0}, {"spatial": 3.0}]
    pool = pool_of_fields(found, target)
    # 1 and 0.5 over two labelled dimensions; a labelled one that is missing in the answer earns 0
    np.testing.assert_allclose(DimensionMean(kernel=Linear())(pool), [[0.75, 0.5]])
    weighted = DimensionMean(kernel=Linear(), weights=(3.0, 1.0, 9.0))
    np.testing.assert_allclose(weighted(pool), [[0.875, 0.75]])
    assert DimensionMean(names=("other",))(pool).tolist() == [[0, 0]]


def test_dimension_mean_reads_plain_numbers_in_the_order_of_its_names():
    pool = pool_of([[(3.0, 4.0)]], [3.0], targets=[{"a": 3.0, "b": 3.5}])
    np.testing.assert_allclose(DimensionMean(names=("a", "b"), kernel=Linear())(pool), [[0.75]])


def test_attribution_f1_compares_sets_of_labels():
    pool = pool_of_fields([{"why": ["Blur", "noise"]}, {"why": []}, {}], {"why": ["blur"], "none": []})
    np.testing.assert_allclose(AttributionF1(fields=("why",))(pool), [[2 / 3, 0, 0]])
    np.testing.assert_allclose(AttributionF1(fields=("why", "none"))(pool), [[5 / 6, 0.5, 0.5]])
    assert AttributionF1()(pool).tolist() == [[0, 0, 0]]


def temporal_pool():
    # relative-error rewards 1, .5 | .75, .75 against means .6 (one missing) and .9
    side = {"perturbed_reward": [[0.6, np.nan], [0.9, 0.9]], "again": [[0.0, 0.0], [0.0, 0.0]]}
    return pool_of([[2.0, 3.0], [5.0, 3.0]], [2.0, 4.0], side=side)


@pytest.mark.parametrize(
    ("term", "expected"),
    [
        (TemporalBonus(), [[0.3, 0.3], [0.3, 0.3]]),
        (TemporalBonus(ratio=1.0), [[0.3, 0.3], [0, 0]]),
        (TemporalBonus(ratio=1.25, strict=False), [[0.3, 0.3], [0, 0]]),
        (TemporalBonus(ratio=1.25), [[0, 0], [0, 0]]),
        (TemporalBonus(scope="batch"), [[0.3, 0.3], [0.3, 0.3]]),
        (TemporalBonus(scope="batch", ratio=1.0), [[0, 0], [0, 0]]),
        (TemporalBonus(bonus=0.1, above=0.6), [[0.1, 0], [0.1, 0.1]]),
        (TemporalBonus(side_name="again", ratio=9.0), [[0.3, 0.3], [0.3, 0.3]]),
        (TemporalBonus(kernel=Threshold(), ratio=1.0), [[0, 0], [0, 0]]),
    ],
)
def test_temporal_bonus_obeys_its_flags(term, expected):
    # means on the ordered side: .75 and .75; 1.25 * .6 = .75 is the tie
    np.testing.assert_allclose(term(temporal_pool()), expected)


def test_temporal_bonus_without_a_perturbed_rollout_pays_nothing():
    pool = pool_of([[3.0]], [3.0], side={"perturbed_reward": [[np.nan]]})
    assert TemporalBonus(strict=False)(pool)[0, 0] == 0.0
    assert TemporalBonus(scope="batch")(pool)[0, 0] == 0.0


@pytest.mark.parametrize(
    ("term", "expected"),
    [
        (LengthBonus(), [0, 0, 0.1, 0, 0.1]),
        (LengthBonus(inclusive=True), [0, 0.1, 0.1, 0.1, 0.1]),
        (LengthBonus(bonus=0.2, low=100, high=330), [0.2, 0.2, 0, 0, 0]),
        (LengthBonus(kernel=RelativeError()), [0, 0, 0.1, 0, 0]),
        (LengthBonus(kernel=RelativeError(), above=0.0, inclusive=True, at_least=3), [0, 0.1, 0.1, 0.1, 0]),
        (LengthBonus(kernel=RelativeError(), at_least=2), [0, 0, 0, 0, 0]),
    ],
)
def test_length_bonus_obeys_its_flags(term, expected):
    pool = pool_of([[3.0, 3.0, 3.0, 3.0, 1.0]], [3.0], tokens=[[300, 320, 400, 512, 400]])
    low = pool_of([[1.0, 1.0, 1.0, 1.0, 2.0]], [1.0], tokens=[[300, 320, 400, 512, 400]])
    if term.kernel is not None:
        pool = low  # relative errors 0, 0, 0, 0, 1
    np.testing.assert_allclose(term(pool), [expected])


@pytest.mark.parametrize(
    ("term", "expected"),
    [
        (RepetitionPenalty(), -2.0),
        (RepetitionPenalty(characters=False), -1.5),
        (RepetitionPenalty(characters=False, limit=6), 0.0),
        (RepetitionPenalty(characters=False, strength=0.1), -0.6),
        (RepetitionPenalty(lowest=-0.5), -0.5),
        (RepetitionPenalty(part="think", characters=False), 0.0),
    ],
)
def test_repetition_penalty_obeys_its_flags(term, expected):
    """Six times "ab": six words; six a, six b and five spaces."""
    pool = pool_of_answers([[answer(3.0, body="ab ab ab ab ab ab", think="fine")]], [3.0])
    np.testing.assert_allclose(term(pool), [[expected]])


def test_repetition_penalty_reads_the_thought_where_asked():
    pool = pool_of_answers([[answer(3.0, think="so " * 7), answer(3.0, think=None)]], [3.0])
    np.testing.assert_allclose(RepetitionPenalty(part="think", characters=False)(pool), [[-1.75, 0]])


def test_probability_difference_pays_only_right_and_well_formed_answers():
    side = {"p_think": [[0.9, 0.9, 0.2, np.nan]], "p_nothink": [[0.4] * 4]}
    pool = pool_of([[3.0, 4.0, 3.0, 3.0]], [3.0], side=side)
    np.testing.assert_allclose(ProbabilityDifference()(pool), [[0.5, 0, 0, 0]])
    wide = ProbabilityDifference(accuracy=Threshold(limit=2.0))
    np.testing.assert_allclose(wide(pool), [[0.5, 0.5, 0, 0]])
    strict = ProbabilityDifference(form=Format("refine-iqa"))
    assert strict(pool).tolist() == [[0, 0, 0, 0]]


@pytest.mark.parametrize(
    ("term", "side"),
    [
        (Consistency(), "text_score"),
        (ProbabilityDifference(), "p_think"),
        (TemporalBonus(), "perturbed_reward"),
        (TemporalBonus(side_name="mine"), "mine"),
        (LengthBonus(kernel=Consistency()), "text_score"),
        (TwoDecimals(kernel=Consistency()), "text_score"),
    ],
)
def test_a_missing_side_array_is_named_with_its_supplier(term, side):
    assert side in term.needs_side
    with pytest.raises(ValueError, match=f"side array '{side}': .+; the pool has none"):
        term(pool_of([[3.0]], [3.0]))


def test_consistency_is_a_bell_around_the_score_of_the_text():
    pool = pool_of([[3.0, 3.0, 3.0]], [3.0], side={"text_score": [[3.0, 3.5, np.nan]]})
    np.testing.assert_allclose(Consistency()(pool), [[1, np.exp(-0.5), 0]])
    np.testing.assert_allclose(Consistency(sigma=0.25)(pool), [[1, np.exp(-2), 0]])


@pytest.mark.parametrize(
    ("text", "band"),
    [
        ("The image is sharp, with vivid colours and no visible noise.", 1),
        ("Heavy blur. The details are lost in noise and banding.", -1),
        ("It lacks sharpness; the colours are not natural.", -1),
        ("Sharp in the middle but noisy in the shadows.", 0),
        ("A house stands by a lake.", 0),
        ("Free of artifacts.", 1),
        ("Loss of detail.", -1),
    ],
)
def test_tone_follows_words_and_their_negation(text, band):
    assert tone_band(text) == band


def test_lexicon_consistency_compares_thirds_of_the_scale():
    good = "Crisp and vivid."
    answers = [[answer(q, think=good) for q in (4.5, 3.0, 1.5)] + [answer(4.5, think=None), answer(None)]]
    assert LexiconConsistency()(pool_of_answers(answers, [3.0])).tolist() == [[1, 0.5, 0, 0.5, 0]]
    wide = LexiconConsistency(low=0.1, high=0.4)
    assert wide(pool_of_answers(answers, [3.0])).tolist() == [[1, 1, 0.5, 0.5, 0]]


def test_level_rank_needs_no_opinion_scores():
    targets = [{"level": 0}, {"level": 3}, {}]
    pool = pool_of([[4.0, 4.1], [2.0, 2.2], [3.0, 3.0]], [None] * 3, targets=targets)
    reward = LevelRank()(pool)
    assert (reward[:2] > 0.99).all()
    assert (reward[2] == 0.5).all()
    swapped = LevelRank()(pool_of([[2.0, 2.2], [4.0, 4.1], [3.0, 3.0]], [None] * 3, targets=targets))
    assert (swapped[:2] < 0.1).all()


def test_level_rank_compares_within_one_content_and_skips_equal_levels():
    targets = [{"worse": 0, "content": "a"}, {"worse": 3, "content": "b"}, {"worse": 3, "content": "a"}, {"worse": 1}]
    pool = pool_of([[4.0], [4.5], [2.0], [1.0]], [None] * 4, targets=targets)
    reward = LevelRank(level="worse", within="content")(pool)
    np.testing.assert_allclose(reward[:, 0], [1.001, 0.5, 1.001, 0.5], atol=1e-4)
    everyone = LevelRank(level="worse")(pool)
    assert everyone[0, 0] == pytest.approx((0.002 + 2 * 1.001) / 3, abs=1e-3)
    assert everyone[1, 0] == pytest.approx(0.002, abs=1e-3)
    # Sample 1 against 0 and 3: wrong; against 2, of its own level: p = 1 for an even truth, sqrt(0.5).
    even = LevelRank(level="worse", ties="half")(pool)
    assert even[1, 0] == pytest.approx((0.002 + 0.002 + 0.708) / 3, abs=1e-3)
    # Width 2: z = -0.25, 1, 1.5, so p = .401, .841, .933, and the mean of their roots is .839.
    wide = LevelRank(level="worse", eps_variance=4.0)(pool)
    assert wide[0, 0] == pytest.approx(0.839, abs=1e-3)
