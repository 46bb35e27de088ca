"""Presets: golden values with provenance, and every defect seen in the released codes."""

from __future__ import annotations

import math

import numpy as np
import pytest
from tests.core.systems import completion, count_numbers, score_pool

from pondera.core.presets import get_preset, get_system, list_systems
from pondera.core.records import FIVE_POINT, Sample
from pondera.errors import ConfigError

WORKED_ANSWERS = [
    ["4.2 4.3 3.9 3.0 4.0", "3.6 3.6 2.8 4.2 3.9", "4.1 3.7 3.5 2.1 3.2"],
    ["2.0 2.5 2.0 2.5 2.0", "3.0 3.4 2.7 3.8 2.8", "2.4 2.4 2.2 2.6 2.4"],
    ["4.6 4.5 4.4 4.7 4.3", "4.2 4.0 4.3 4.1 4.2", "3.9 4.0 3.8 4.1 3.7"],
]
Q = [[3.0, 3.2, 3.4], [2.0, 2.5, 2.1], [4.0, 4.0, 4.3]]
MOS = [3.1, 2.4, 4.5]


def one(name: str, score: float | str, mos: float, **kwargs) -> float:
    """Reward of one roll-out of one sample."""
    system = get_system(name)
    text = score if isinstance(score, str) else completion(system.answer, [score])
    sample = Sample("a", (), mos=mos, scale=system.scale)
    return float(system.reward(system.pool([sample], [[text]], **kwargs)).reward_SK[0, 0])


def test_preresq_as_released_matches_the_worked_check():
    """methods-core B3, worked check: R_acc and A for three samples of three answers (computed there)."""
    system = get_system("preresq-r1-image@as_released")
    samples = [Sample(str(i), (), mos=m, scale=FIVE_POINT) for i, m in enumerate((3.6, 2.7, 4.2))]
    texts = [[completion(system.answer, [float(x) for x in a.split()]) for a in group] for group in WORKED_ANSWERS]
    judged = system.judge(system.pool(samples, texts))
    expected = [[0.3495, 0.4827, 0.4541], [0.3184, 0.3837, 0.4116], [0.3372, 0.4343, 0.3208]]
    np.testing.assert_allclose(judged.reward_SK - 1.0, expected, atol=5e-5)
    advantage = [[-1.129, 0.768, 0.361], [-1.102, 0.259, 0.843], [-0.438, 1.142, -0.705]]
    np.testing.assert_allclose(judged.advantage_SK, advantage, atol=5e-4)


def test_preresq_video_as_released_has_no_division_and_no_rank_to_truth():
    system = get_system("preresq-r1-video@as_released")
    assert system.divisor == 1.0
    samples = [Sample(str(i), (), mos=m, scale=FIVE_POINT) for i, m in enumerate((2.0, 3.0, 4.0))]
    texts = [[completion(system.answer, [m, m + 0.5]) for _ in range(3)] for m in (2.0, 3.0, 4.0)]
    rewarded = system.reward(system.pool(samples, texts))
    assert "rank_to_truth" not in rewarded.terms
    # |a - b| / 2 = 0.25, so the penalty is 0.5 * 0.25; equal answers gain in all triples: 0.5 * 0.5.
    np.testing.assert_allclose(rewarded.terms["spread_penalty"], -0.125)
    np.testing.assert_allclose(rewarded.terms["response_balance"], 0.25)


def test_visualquality_as_released_matches_the_method_notes():
    """methods-related 13: fidelity rewards, and the advantages of group 0 at eps 1e-4 (computed there)."""
    system = get_system("visualquality-r1@as_released")
    judged = system.judge(score_pool(system, Q, MOS))
    expected = [
        [0.999010, 1.000596, 0.999943],
        [1.000963, 0.996630, 1.000887],
        [1.000688, 1.000688, 1.000996],
    ]
    np.testing.assert_allclose(judged.reward_SK - 1.0, expected, atol=1e-6)
    np.testing.assert_allclose(judged.advantage_SK[0], [-0.9362, 0.8316, 0.1046], atol=5e-5)


def test_margins_match_the_method_notes():
    """methods-related 13: unit width, and the annotators' widths for MOS std [.5, .6, .4]."""
    unit = get_system("mr-iqa@as_released")
    expected = [[0.975505, 0.919247, 0.832601], [0.941248, 0.941248, 0.959064], [0.895634, 0.895634, 0.977999]]
    np.testing.assert_allclose(unit.reward(score_pool(unit, Q, MOS)).reward_SK, expected, atol=1e-6)
    sigma = get_system("mr-iqa-sigma@as_released")
    expected = [[0.943945, 0.833049, 0.682433], [0.907357, 0.893163, 0.933760], [0.780883, 0.780883, 0.948026]]
    pool = score_pool(sigma, Q, MOS, mos_std=[0.5, 0.6, 0.4])
    np.testing.assert_allclose(sigma.reward(pool).reward_SK, expected, atol=1e-6)


@pytest.mark.parametrize(
    ("error", "omni", "thinker", "aes", "hawk"),
    [
        (0.05, 0.9980, 0.9950, 0.8825, 0.8465),
        (0.1, 0.9922, 0.9802, 0.6065, 0.7165),
        (0.2, 0.9692, 0.9231, 0.1353, 0.5134),
        (0.35, 0.9087, 0.7827, 0.0022, 0.3114),
        (0.5, 0.8226, 0.6065, 4e-6, 0.1889),
        (1.0, 0.4578, 0.1353, 0.0, 0.0357),
    ],
)
def test_score_kernels_match_the_method_notes(error, omni, thinker, aes, hawk):
    """methods-related 13: errors against Gaussians of .8, .5, .1 and exp(-e / .3)."""
    assert one("omniquality-r@as_released", 2.0 + error, 2.0) == pytest.approx(0.5 + omni, abs=5e-5)
    assert one("q-hawkeye@as_released", 2.0 + error, 2.0) == pytest.approx(0.8 + hawk, abs=5e-5)
    # One sample alone: the rank term gives 0.5 (nothing to compare).
    assert one("vqathinker", 2.0 + error, 2.0) == pytest.approx(1.5 + thinker, abs=5e-5)
    assert one("aes-r1@as_released", error, 0.0) == pytest.approx(1.5 + aes + 1e-5, abs=1e-4)


def test_q_insight_as_released_is_strict_at_its_threshold():
    assert one("q-insight@as_released", 3.34, 3.0) == 2.0
    assert one("q-insight@as_released", 3.36, 3.0) == 1.0


def test_q_insight_as_released_demands_newlines_and_corrected_does_not():
    flat = '<think>soft</think><answer>{"rating": 3.0}</answer>'
    assert one("q-insight@as_released", flat, 3.0) == 1.0
    assert one("q-insight", flat, 3.0) == 2.0


@pytest.mark.parametrize("name", ["q-insight", "q-insight@as_released"])
@pytest.mark.parametrize(
    ("kind", "severity", "expected"), [("blur", "slight", 2.0), ("blur", "serious", 1.25), ("noise", "slight", 1.0)]
)
def test_q_insight_pays_severity_only_behind_the_right_class(name, kind, severity, expected):
    system = get_system(name)
    text = f'<think>\nx\n</think>\n<answer>\n{{"distortion_class": "{kind}", "severity": "{severity}"}}\n</answer>'
    sample = Sample("a", (), task="degradation", targets={"distortion_class": "blur", "severity": "slight"})
    assert system.reward(system.pool([sample], [[text]])).reward_SK[0, 0] == expected


def test_vq_insight_as_released_matches_the_method_notes():
    """methods-related 13: truth 60 -> predicted 50 or 70: .8333; 130: 0."""
    assert one("vq-insight@as_released", 50.0, 60.0) == pytest.approx(1.8333, abs=5e-5)
    assert one("vq-insight@as_released", 70.0, 60.0) == pytest.approx(1.8333, abs=5e-5)
    assert one("vq-insight@as_released", 130.0, 60.0) == pytest.approx(1.0)


def test_vq_insight_pays_length_by_paper_or_by_code():
    """Code: 0.2 where two or more roll-outs of 320..512 tokens are right; paper: 0.1 for each inside (320, 512)."""
    for name, lengths, expected in (
        ("vq-insight@as_released", [320, 512], [0.2, 0.2]),
        ("vq-insight@as_released", [320, 600], [0.0, 0.0]),
        ("vq-insight", [320, 512], [0.0, 0.0]),
        ("vq-insight", [321, 600], [0.1, 0.0]),
    ):
        system = get_system(name)
        pool = score_pool(system, [[60.0, 60.0]], [60.0], num_tokens_SK=[lengths])
        np.testing.assert_allclose(system.reward(pool).terms["length_bonus"], [expected])


def test_vq_insight_compares_shuffled_frames_per_batch_or_per_sample():
    """Sample 0 loses by shuffling, sample 1 does not; the batch mean holds for both."""
    side = {"perturbed_reward": np.array([[0.5, np.nan], [1.0, np.nan]])}
    for name, expected in (("vq-insight@as_released", [0.3, 0.3]), ("vq-insight", [0.3, 0.0])):
        system = get_system(name)
        pool = score_pool(system, [[50.0, 50.0], [40.0, 40.0]], [50.0, 60.0], side=side)
        np.testing.assert_allclose(system.reward(pool).terms["temporal_bonus"][:, 0], expected)


def test_vqathinker_bonuses_count_only_where_perturbed_rewards_are_given():
    system = get_system("vqathinker@as_released")
    pool = score_pool(system, [[3.51, 3.52]], [3.5])
    plain = system.reward(pool).reward_SK
    side = {name: np.full((1, 2), 0.1) for name in ("perturbed_rank_reward", "perturbed_score_reward")}
    bonus = system.reward(pool.with_side(**side)).reward_SK
    # One sample alone: rank reward 0.5 is not above 0.5, so only the score bonus is paid.
    np.testing.assert_allclose(bonus - plain, 0.3)


def test_refine_iqa_matches_the_method_notes():
    """methods-related 13: rule [2, 1, 2, 1], P_think [.6, .3, .2, .5], P_nothink .4 -> r, A; all rule 1 -> -.2."""
    for name in ("refine-iqa", "refine-iqa@as_released"):
        system = get_system(name)
        side = {"p_think": np.array([[0.6, 0.3, 0.2, 0.5]]), "p_nothink": np.full((1, 4), 0.4)}
        judged = system.judge(score_pool(system, [[3.5, 4.0, 2.5, 1.0]], [3.0], side=side))
        np.testing.assert_allclose(judged.reward_SK, [[2.2, 1, 2, 1]])
        np.testing.assert_allclose(judged.advantage_SK, [[1.015, 0, 0.7027, 0]], atol=5e-5)
        failed = system.judge(score_pool(system, [[4.0, 4.1, 4.2, 1.0]], [3.0], side=side))
        np.testing.assert_allclose(failed.advantage_SK, -0.2, atol=1e-9)


def test_refine_iqa_needs_its_probabilities_in_training():
    assert get_system("refine-iqa").needs_side == ("p_think", "p_nothink")
    assert get_system("refine-iqa@as_released").needs_side == ()


def test_refine_iqa_perception_grounds_boxes():
    system = get_system("refine-iqa", "perception")
    boxes = [{"bbox_2d": [0, 0, 10, 10], "type": "blur", "level": 2}]
    sample = Sample("a", (), task="grounding", targets={"boxes": boxes})
    text = '<think>x</think><answer>{"boxes": [{"bbox_2d": [0, 0, 10, 10], "type": "blur", "level": 2}]}</answer>'
    assert system.reward(system.pool([sample], [[text]])).reward_SK[0, 0] == pytest.approx(5.0)
    with pytest.raises(ConfigError, match="was not released"):
        get_system("refine-iqa@as_released", "perception")


def test_q_hawkeye_factor_is_released_or_working():
    scores, mos = [[3.0, 3.4]], [3.0]
    base = None
    for name, uncertainty in (("q-hawkeye@as_released", 0.04 / 4), ("q-hawkeye", 0.04 / 0.09)):
        system = get_system(name)
        judged = system.judge(score_pool(system, scores, mos))
        reward = judged.reward_SK[0]
        base = (reward - reward.mean()) / (reward.std(ddof=1) + 1e-4)
        np.testing.assert_allclose(judged.advantage_SK[0], base * np.exp(-0.2 * uncertainty))


def test_q_hawkeye_as_released_clamps_scores_off_the_scale():
    assert one("q-hawkeye@as_released", 7.0, 5.0) == pytest.approx(1.8)
    assert one("q-hawkeye", 7.0, 5.0) == -2.0


def test_cappo_weighs_gains_by_their_caption_divergence():
    system = get_system("cappo")
    pool = score_pool(system, [[3.0, 3.2, 4.5]], [3.0], side={"caption_kl": np.array([[0.1, 0.2, 0.4]])})
    reward = system.reward(pool).reward_SK[0]
    base = (reward - reward.mean()) / (reward.std(ddof=1) + 1e-4)
    np.testing.assert_allclose(system.judge(pool).advantage_SK[0], base * [1.1339, 1.0260, 1.0], rtol=1e-4)


def test_omniquality_drops_groups_that_agree():
    system = get_system("omniquality-r@as_released")
    judged = system.judge(score_pool(system, [[3.0, 3.0], [3.0, 4.0]], [3.0, 3.0]))
    np.testing.assert_array_equal(judged.keep_S, [False, True])


def test_aes_r1_weights_are_equal_in_the_code_and_unequal_in_the_paper():
    assert [w.weight for w in get_system("aes-r1@as_released").terms] == [1.0, 1.0, 1.0]
    assert [w.weight for w in get_system("aes-r1").terms] == [1.0, 0.6, 0.4]


def test_q_save_rewards_dimensions_and_attributions():
    system = get_system("q-save")
    targets = {"visual": 3.0, "dynamic": 4.0, "alignment": 2.0, "attribution": ["blur", "noise"]}
    sample = Sample("a", (), task="multi", targets=targets)
    text = completion(system.format_of("multi"), [3.0, 4.0, 2.0], choice=1)
    # Format 1, all dimensions right 1, half of F1 of {blur} against {blur, noise} = 2/3.
    assert system.reward(system.pool([sample], [[text]])).reward_SK[0, 0] == pytest.approx(2 + 1 / 3)


def test_q_save_without_a_text_has_no_alignment():
    system = get_system("q-save-no-text")
    targets = {"visual": 3.0, "dynamic": 4.0, "attribution": ["blur"]}
    sample = Sample("a", (), task="multi", targets=targets)
    text = completion(system.format_of("multi"), [3.0, 4.0], choice=1)
    assert system.reward(system.pool([sample], [[text]])).reward_SK[0, 0] == pytest.approx(2.5)
    asked_for = completion(get_system("q-save").answer, [3.0, 4.0, 2.0], choice=1)
    assert system.reward(system.pool([sample], [[asked_for]])).reward_SK[0, 0] == system.floor


def test_q_ponder_pays_for_scores_that_fit_the_wording():
    good = "<think>Sharp and clear.</think><answer>4.5</answer>"
    bad = "<think>Blurry and noisy.</think><answer>4.5</answer>"
    assert one("q-ponder", good, 4.5) == pytest.approx(2.5)
    assert one("q-ponder", bad, 4.5) == pytest.approx(2.0)
    side = {"text_score": np.array([[4.0]])}
    expected = 2.0 + 0.5 * math.exp(-0.5)
    system = get_system("q-ponder-text")
    assert system.reward(score_pool(system, [[4.5]], [4.5], side=side)).reward_SK[0, 0] == pytest.approx(expected)


def test_hirqa_ranks_by_level_without_mos():
    system = get_system("hirqa")
    samples = [Sample(str(level), (), targets={"level": level}) for level in (0, 5)]
    for scores, expected in (((4.5, 1.5), 2.001), ((1.5, 4.5), 1.002)):
        texts = [[completion(system.answer, [q])] * 2 for q in scores]
        np.testing.assert_allclose(system.reward(system.pool(samples, texts)).reward_SK, expected, atol=1e-3)


def test_the_default_is_on_top_for_exact_answers_only():
    system = get_system("pondera")
    judged = system.judge(score_pool(system, [[2.0, 2.5, 3.0], [4.0, 3.5, 3.0]], [2.0, 4.0]))
    assert (judged.reward_SK.argmax(axis=1) == 0).all()
    assert (np.diff(judged.reward_SK, axis=1) < 0).all()


def test_stages_switch_the_spread_penalty_of_images():
    assert "spread_penalty" in get_system("preresq-r1-image", "exploration").labels_of("score")
    assert "spread_penalty" not in get_system("preresq-r1-image", "stability").labels_of("score")
    assert get_system("preresq-r1-image").stage == "exploration"
    for stage in ("exploration", "stability"):
        assert "spread_penalty" in get_system("preresq-r1-image@as_released", stage).labels_of("score")
        assert "spread_penalty" not in get_system("preresq-r1-video", stage).labels_of("score")


def test_unknown_names_stages_and_suffixes_are_refused_with_a_way_out():
    with pytest.raises(ConfigError, match="did you mean q-insight"):
        get_system("qinsight")
    with pytest.raises(ConfigError, match="its stages are exploration, stability"):
        get_system("preresq-r1-image", "final")
    with pytest.raises(ConfigError, match="it has no stages"):
        get_system("pondera", "exploration")
    with pytest.raises(ConfigError, match="the only suffix is @as_released"):
        get_system("q-insight@released")


@pytest.mark.parametrize("name", ["q-ponder", "q-ponder-text", "cappo", "q-save", "q-save-no-text", "hirqa", "pondera"])
def test_as_released_is_refused_with_the_reason_where_nothing_was_released(name):
    with pytest.raises(ConfigError, match=get_preset(name).unreleased[:30]):
        get_system(f"{name}@as_released")


def test_every_system_states_its_source_and_what_is_known_of_it():
    for name in list_systems():
        system = get_system(name)
        assert system.source
        assert "[" in system.notes or name == "pondera"


# Defects seen by running the released codes; each must be gone from the corrected preset.


def preresq(scores: list[list[float]], mos: list[float]) -> np.ndarray:
    system = get_system("preresq-r1-image")
    samples = [Sample(str(i), (), mos=m, scale=FIVE_POINT) for i, m in enumerate(mos)]
    texts = [[completion(system.answer, [q] * 5) for q in group] for group in scores]
    judged = system.judge(system.pool(samples, texts))
    assert judged.reward_SK.shape == judged.advantage_SK.shape == np.shape(scores)
    assert np.isfinite(judged.advantage_SK).all()
    return judged.reward_SK


def test_two_exact_hits_with_equal_labels_are_not_nan():
    reward = preresq([[3.0, 3.0, 3.0]] * 3, [3.0, 3.0, 3.0])
    assert np.isfinite(reward).all()


@pytest.mark.parametrize("num_samples", [1, 2])
def test_one_or_two_samples_are_not_nan(num_samples):
    assert np.isfinite(preresq([[3.0, 3.5, 4.0]] * num_samples, [3.0] * num_samples)).all()


@pytest.mark.parametrize("group_size", [1, 2])
def test_small_groups_keep_the_right_length(group_size):
    assert np.isfinite(preresq([[3.0] * group_size] * 3, [2.0, 3.0, 4.0])).all()


@pytest.mark.parametrize(
    "text",
    [
        "<think>a</think><answer>fine</answer> done 9",
        "<think>a 3.2</think><answer></answer>",
        "<think>a</think><answer>4,20</answer>",
        "<think>a</think><answer>.5</answer>",
        "<think>a</think><answer>3.0</answer><answer>4.0</answer>",
        "<think>a</think><answer>nan</answer>",
        "<think>a</think><answer>99</answer>",
        "3.2",
        "",
    ],
)
@pytest.mark.parametrize("name", ["visualquality-r1", "pondera", "vqathinker", "q-hawkeye"])
def test_numbers_are_never_picked_up_or_invented(name, text):
    """Outside the answer, a decimal comma, ".5" as 5, two blocks, NaN, off the scale, no answer at all."""
    system = get_system(name)
    assert one(name, text, 3.0) == system.floor


def test_a_leading_point_is_not_read_as_a_whole_number():
    system = get_system("omniquality-r")
    assert system.parse("<think>a</think><answer>.5</answer>").values == (0.5,)


def test_one_answer_off_the_scale_does_not_drag_its_siblings():
    system = get_system("visualquality-r1")
    clean = score_pool(system, [[3.0, 3.2], [2.0, 2.2]], [3.0, 2.0])
    samples = [Sample(str(i), (), mos=m, scale=FIVE_POINT) for i, m in enumerate((3.0, 2.0))]
    wild = [[completion(system.answer, [q]) for q in group] for group in ([3.0, 3.2, 99.0], [2.0, 2.2, 2.1])]
    wild[1].pop()
    np.testing.assert_array_equal(
        system.reward(system.pool(samples, wild)).reward_SK[:, :2], system.reward(clean).reward_SK
    )


def test_two_written_decimals_are_enough_even_if_the_last_is_zero():
    text = "<think>a</think><answer>3.40</answer>"
    assert one("vqathinker", text, 3.4) == pytest.approx(2.5)
    assert one("vqathinker@as_released", text, 3.4) == pytest.approx(2.3)
    assert one("vqathinker", "<think>a</think><answer>3.4</answer>", 3.4) == pytest.approx(2.3)


def test_equal_labels_are_not_better_both_ways():
    """Two samples of one label with different scores: as released both directions count as better."""
    corrected, released = get_system("aes-r1"), get_system("aes-r1@as_released")
    scores, mos = [[0.2, 0.21], [0.8, 0.81]], [0.5, 0.5]
    fair = corrected.reward(score_pool(corrected, scores, mos)).raw["fidelity"]
    lopsided = released.reward(score_pool(released, scores, mos)).raw["fidelity"]
    assert abs(fair[0].mean() - fair[1].mean()) < 1e-6
    assert lopsided[1].mean() - lopsided[0].mean() > 0.9


def test_k_equal_1_gives_a_reward_and_no_advantage():
    for name in list_systems():
        system = get_system(name)
        if system.needs_side:
            continue
        sample = Sample("a", (), mos=system.scale.high, scale=system.scale, targets={"level": 1}, mos_std=0.5)
        numbers = [system.scale.high] * 5
        text = completion(system.answer, numbers[: count_numbers(system.answer)])
        judged = system.judge(system.pool([sample], [[text]]))
        assert np.isfinite(judged.reward_SK).all(), name
        assert judged.advantage_SK[0, 0] == 0.0, name


@pytest.mark.parametrize(
    ("name", "form"),
    [("omniquality-r", 0.5), ("visualquality-r1", 0.0), ("q-hawkeye", 0.0), ("vqathinker", 0.0)],
)
def test_text_around_the_blocks_is_read_as_released_and_refused_when_corrected(name, form):
    """OmniQuality-R's format reward counts its four tags and is free around them; the others lose the format only."""
    text = "Sure.\n<think>soft edges</think>\nSo:\n<answer>3.40</answer>\n"
    assert one(name, text, 3.4) == get_system(name).floor
    bare = get_system(f"{name}@as_released")
    clean = "<think>soft edges</think>\n<answer>3.40</answer>"
    lost = {w.name: w.weight for w in bare.terms}["format"] - form
    assert one(bare.name, text, 3.4) == pytest.approx(one(bare.name, clean, 3.4) - lost)


@pytest.mark.parametrize("name", ["visualquality-r1", "aes-r1", "refine-iqa"])
def test_an_empty_thought_is_well_formed_as_released_only(name):
    score = "Score: 0.40" if name == "refine-iqa" else "0.40"
    text = f"<think></think><answer>{score}</answer>"
    assert not get_system(name).parse(text).is_valid
    assert one(f"{name}@as_released", text, get_system(name).scale.low) >= 1.0
