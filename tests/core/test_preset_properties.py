"""What must hold for every preset, as released or not, in every stage and task."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.core.systems import INVALID, cases, completion, random_pool, score_pool

from pondera.core.advantage_plan import DropUniform, GroupZScore, PositiveOnly
from pondera.core.advantages import group_zscore
from pondera.core.presets import get_system
from pondera.core.records import FIVE_POINT, Sample

CASES = pytest.mark.parametrize(("name", "stage", "task"), cases())
SEEDS = st.integers(0, 2**32 - 1)
few = settings(max_examples=8, deadline=None)


@CASES
@few
@given(seed=SEEDS, num_samples=st.integers(1, 4), group_size=st.integers(1, 5))
def test_permuting_rollouts_permutes_rewards_and_advantages(name, stage, task, seed, num_samples, group_size):
    system = get_system(name, stage)
    # Released codes order ties by their place, and pair index with index: no ties, one order for all groups.
    released = system.as_released
    samples, texts, side = random_pool(system, task, num_samples, group_size, seed, distinct=released)
    rng = np.random.default_rng(seed)
    one = rng.permutation(group_size)
    order_SK = np.array([one if released else rng.permutation(group_size) for _ in samples])
    straight = system.judge(system.pool(samples, texts, side=side))
    mixed_texts = [[group[k] for k in order] for group, order in zip(texts, order_SK, strict=True)]
    mixed_side = {key: np.take_along_axis(value, order_SK, axis=1) for key, value in side.items()}
    mixed = system.judge(system.pool(samples, mixed_texts, side=mixed_side))
    for field in ("reward_SK", "advantage_SK"):
        expected = np.take_along_axis(getattr(straight, field), order_SK, axis=1)
        np.testing.assert_allclose(getattr(mixed, field), expected, atol=1e-7)


@CASES
@few
@given(seed=SEEDS, num_samples=st.integers(1, 5), group_size=st.integers(1, 4))
def test_permuting_samples_permutes_rewards_and_advantages(name, stage, task, seed, num_samples, group_size):
    system = get_system(name, stage)
    samples, texts, side = random_pool(system, task, num_samples, group_size, seed, distinct=system.as_released)
    order = np.random.default_rng(seed).permutation(num_samples)
    straight = system.judge(system.pool(samples, texts, side=side))
    mixed = system.judge(
        system.pool(
            [samples[s] for s in order],
            [texts[s] for s in order],
            side={key: value[order] for key, value in side.items()},
        )
    )
    for field in ("reward_SK", "advantage_SK"):
        np.testing.assert_allclose(getattr(mixed, field), getattr(straight, field)[order], atol=1e-7)


@CASES
@few
@given(seed=SEEDS, num_samples=st.integers(1, 4), group_size=st.integers(1, 4), where=st.integers(0, 3))
def test_an_invalid_rollout_earns_the_floor_and_changes_nothing_for_valid_ones(
    name, stage, task, seed, num_samples, group_size, where
):
    system = get_system(name, stage)
    samples, texts, side = random_pool(system, task, num_samples, group_size, seed, distinct=system.as_released)
    s = where % num_samples
    # A released index pairing moves with the index, so there the invalid roll-out stands last.
    k = group_size if system.as_released else where % (group_size + 1)
    more = [list(group) for group in texts]
    more[s].insert(k, INVALID)
    shape = (num_samples, group_size + 1)
    more_side = {key: np.zeros(shape) for key in side}
    valid_SK = np.ones(shape, dtype=bool)
    valid_SK[:, -1] = False
    valid_SK[s] = np.arange(group_size + 1) != k
    for key, value in side.items():
        more_side[key][valid_SK] = value.ravel()
    base = system.judge(system.pool(samples, texts, side=side))
    judged = system.judge(system.pool(samples, more, side=more_side))
    assert judged.reward_SK[s, k] == system.floor
    np.testing.assert_allclose(judged.reward_SK[valid_SK], base.reward_SK.ravel(), atol=1e-12)
    for label, value in judged.terms.items():
        assert value[s, k] == 0.0
        np.testing.assert_allclose(value[valid_SK], base.terms[label].ravel(), atol=1e-12)


@CASES
@few
@given(seed=SEEDS, group_size=st.integers(2, 5))
def test_an_invalid_rollout_enters_its_groups_mean_at_the_floor(name, stage, task, seed, group_size):
    system = get_system(name, stage)
    samples, texts, side = random_pool(system, task, 3, group_size, seed, distinct=True)
    texts[1][0] = INVALID
    plan = replace(system.advantage, steps=tuple(s for s in system.advantage.steps if isinstance(s, GroupZScore)))
    judged = replace(system, advantage=plan).judge(system.pool(samples, texts, side=side))
    assert judged.reward_SK[1, 0] == system.floor
    expected = group_zscore(judged.reward_SK, np.ones(judged.reward_SK.shape, dtype=bool))
    np.testing.assert_allclose(judged.advantage_SK, expected, atol=1e-9)
    assert judged.advantage_SK[1, 0] <= judged.advantage_SK[1].min() + 1e-9


@CASES
@few
@given(seed=SEEDS, num_samples=st.integers(1, 3), group_size=st.integers(1, 3), spoil=st.integers(0, 8))
def test_everything_is_finite_for_small_groups_ties_and_unreadable_answers(
    name, stage, task, seed, num_samples, group_size, spoil
):
    system = get_system(name, stage)
    samples, texts, side = random_pool(system, task, num_samples, group_size, seed, distinct=False)
    for index in range(min(spoil, num_samples * group_size)):
        texts[index % num_samples][index // num_samples] = ("<think>a</think><answer>nan</answer>", INVALID, "")[
            index % 3
        ]
    judged = system.judge(system.pool(samples, texts, side=side))
    for value in (judged.reward_SK, judged.advantage_SK, *judged.terms.values(), *judged.raw.values()):
        assert value.shape == (num_samples, group_size)
        assert np.isfinite(value).all()


@CASES
def test_exact_hits_with_equal_labels_are_finite(name, stage, task):
    system = get_system(name, stage)
    samples, texts, side = random_pool(system, task, 3, 3, 1, distinct=True)
    samples = [replace(sample, mos=samples[0].mos) for sample in samples]
    if task == "score" and len(system.parse(texts[0][0]).values) == 1:
        texts = [[completion(system.answer, [round(samples[0].mos, 2)])] * 3] * 3
    else:
        texts = [[texts[0][0]] * 3] * 3
    judged = system.judge(system.pool(samples, texts, side=side))
    assert np.isfinite(judged.reward_SK).all()
    assert np.isfinite(judged.advantage_SK).all()


@CASES
@few
@given(seed=SEEDS)
def test_weighted_terms_add_up_to_the_reward_of_a_valid_answer(name, stage, task, seed):
    system = get_system(name, stage)
    samples, texts, side = random_pool(system, task, 3, 3, seed, distinct=True)
    judged = system.judge(system.pool(samples, texts, side=side))
    np.testing.assert_allclose(sum(judged.terms.values()), judged.reward_SK, atol=1e-12)


@CASES
def test_a_readable_answer_earns_no_less_than_an_unreadable_one(name, stage, task):
    """But for PreResQ's released video reward, whose penalty can outweigh all else where its format fails."""
    system = get_system(name, stage)
    samples, texts, side = random_pool(system, task, 4, 4, 5, distinct=True)
    assert (system.judge(system.pool(samples, texts, side=side)).reward_SK >= system.floor).all()


score = st.integers(100, 500).map(lambda hundredths: hundredths / 100)


@given(score, score, score, score, score, score)
def test_a_right_order_with_smaller_errors_never_earns_less_than_a_wrong_order(y1, y2, a1, a2, b1, b2):
    """PreResQ's pair term: the released one pays wrong orders more, the larger their errors."""
    right = np.sign(a1 - a2) == np.sign(y1 - y2)
    wrong = np.sign(b1 - b2) != np.sign(y1 - y2)
    smaller = abs(a1 - y1) <= abs(b1 - y1) and abs(a2 - y2) <= abs(b2 - y2)
    if not (right and wrong and smaller):
        return
    system = get_system("preresq-r1-image")

    def pair(first: float, second: float) -> np.ndarray:
        samples = [Sample(str(i), (), mos=m, scale=FIVE_POINT) for i, m in enumerate((y1, y2))]
        texts = [[completion(system.answer, [q] * 5)] for q in (first, second)]
        return system.reward(system.pool(samples, texts)).raw["score_and_rank"]

    assert (pair(a1, a2) >= pair(b1, b2) - 1e-12).all()


@given(
    st.lists(st.tuples(st.floats(1.5, 4.0), st.floats(1.5, 4.0)), min_size=2, max_size=4),
    st.floats(-0.5, 0.5),
)
def test_margins_are_free_of_a_common_shift(rows, shift):
    system = get_system("mr-iqa")
    scores = [[round(a, 2), round(b, 2)] for a, b in rows]
    mos = [a for a, _ in rows]
    base = system.reward(score_pool(system, scores, mos)).reward_SK
    shift = round(shift, 2)
    moved = system.reward(score_pool(system, [[a + shift for a in group] for group in scores], mos)).reward_SK
    np.testing.assert_allclose(moved, base, atol=1e-9)


def test_all_plans_of_presets_are_built_from_known_steps():
    kinds = {type(step) for name, stage, _ in cases() for step in get_system(name, stage).advantage.steps}
    assert {GroupZScore, DropUniform, PositiveOnly} <= kinds
