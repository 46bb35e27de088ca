"""Properties that hold for every term: symmetry, isolation of invalid answers, finite values in every corner."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pondera.core.pool import Pool
from pondera.core.rewards import Margin, ScoreAndRank, all_terms

from .pools import answer, pool_of, pool_of_answers, value_groups

TERMS = {name: term() for name, term in all_terms().items()}
SIDES = ("text_score", "p_think", "p_nothink", "perturbed_reward")
THOUGHTS = ["Sharp and clear, no noise.", "Blurry and dull, but vivid colours.", "A house."]
BOXES = [{"bbox_2d": [0, 0, 4, 4], "type": "blur", "level": 3}, {"bbox_2d": [5, 5, 9, 9], "type": "noise", "level": 1}]


def rich_answer(value, seed):
    """An answer with everything that any term reads."""
    fields = {
        "choice": ["Image A", "Image B", "Similar"][seed % 3],
        "distortion_class": ["blur", "noise"][seed % 2],
        "severity": ["slight", "obvious"][seed // 2 % 2],
        "boxes": BOXES[: seed % 3],
        "attribution": ["blur", "shake"][: seed % 3],
        "spatial": 1.0 + seed % 5,
        "temporal": 3.0,
        "alignment": 2.5,
    }
    think = THOUGHTS[seed % 3]
    return answer(value, think=think, fields=None if value is None else fields)


def rich_pool(drawn):
    values, mos = drawn
    rng = np.random.default_rng(len(mos))
    answers = [[rich_answer(v, 7 * s + 3 * k) for k, v in enumerate(group)] for s, group in enumerate(values)]
    targets = [
        {
            "choice": "Image A",
            "distortion_class": "blur",
            "severity": "slight",
            "boxes": BOXES[: s % 3],
            "attribution": ["blur"],
            "spatial": 2.0,
            "temporal": 3.5,
            "level": s % 3,
        }
        for s in range(len(mos))
    ]
    shape = (len(values), len(values[0]))
    side = {name: rng.uniform(0, 1, shape) for name in SIDES}
    tokens = rng.integers(300, 530, shape).tolist()
    return pool_of_answers(answers, mos, std=[0.3] * len(mos), targets=targets, tokens=tokens, side=side)


def pick(pool: Pool, rows, columns_of_row) -> Pool:
    """The same pool with its samples, and the roll-outs inside each, in another order."""
    index = (np.array(rows)[:, None], np.array(columns_of_row))

    def nested(lists):
        return [[lists[s][k] for k in columns] for s, columns in zip(rows, columns_of_row, strict=True)]

    arrays = {
        name: getattr(pool, name)[index]
        for name in ("value_SKn", "score_SK", "valid_SK", "present_SK", "num_tokens_SK")
    }
    return dataclasses.replace(
        pool,
        **arrays,
        mos_S=pool.mos_S[rows],
        mos_std_S=pool.mos_std_S[rows],
        sample_S=tuple(pool.sample_S[s] for s in rows),
        text_SK=nested(pool.text_SK),
        answer_SK=nested(pool.answer_SK),
        target_S=[pool.target_S[s] for s in rows],
        task_S=tuple(pool.task_S[s] for s in rows),
        side={name: array[index] for name, array in pool.side.items()},
    )


@pytest.mark.parametrize("name", TERMS)
@given(drawn=value_groups(numbers=2, grid=5), data=st.data())
@settings(max_examples=25, deadline=None, derandomize=True)
def test_permuting_samples_and_rollouts_permutes_rewards(name, drawn, data):
    pool = rich_pool(drawn)
    rows = data.draw(st.permutations(range(pool.num_samples)))
    columns = [data.draw(st.permutations(range(pool.group_size))) for _ in rows]
    moved = TERMS[name](pick(pool, rows, columns))
    expected = TERMS[name](pool)[np.array(rows)[:, None], np.array(columns)]
    np.testing.assert_allclose(moved, expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize("name", TERMS)
@given(drawn=value_groups(numbers=2, grid=5))
@settings(max_examples=25, deadline=None, derandomize=True)
def test_values_are_finite_and_invalid_answers_earn_the_floor(name, drawn):
    pool = rich_pool(drawn)
    reward_SK = TERMS[name](pool)
    assert reward_SK.shape == pool.score_SK.shape
    assert np.isfinite(reward_SK).all()
    assert (reward_SK[~pool.valid_SK] == TERMS[name].floor).all()


@pytest.mark.parametrize("name", TERMS)
@given(drawn=value_groups(numbers=2, grid=5, invalid=False), data=st.data())
@settings(max_examples=25, deadline=None, derandomize=True)
def test_an_invalid_rollout_changes_nothing_for_the_others(name, drawn, data):
    """The same pool with one more column, invalid: every other reward is what it was."""
    values, mos = drawn
    pool = rich_pool((values, mos))
    width = pool.group_size
    place = [data.draw(st.integers(0, width)) for _ in values]
    wider = [[*group[:p], None, *group[p:]] for group, p in zip(values, place, strict=True)]
    columns = [[k for k in range(width + 1) if k != p] for p in place]
    # The wide pool takes all that terms read from the narrow one, so that only the invalid column is new.
    wide = rich_pool((wider, mos))
    answers = [list(group) for group in wide.answer_SK]
    side = {key: array.copy() for key, array in wide.side.items()}
    tokens = wide.num_tokens_SK.copy()
    for s, kept in enumerate(columns):
        for k, new in enumerate(kept):
            answers[s][new] = pool.answer_SK[s][k]
            tokens[s, new] = pool.num_tokens_SK[s, k]
            for key in side:
                side[key][s, new] = pool.side[key][s, k]
        side["perturbed_reward"][s, place[s]] = np.nan
    wide = dataclasses.replace(wide, answer_SK=answers, side=side, num_tokens_SK=tokens)
    index = (np.arange(len(values))[:, None], np.array(columns))
    np.testing.assert_allclose(TERMS[name](wide)[index], TERMS[name](pool), rtol=0, atol=1e-9)


@pytest.mark.parametrize("name", TERMS)
def test_a_ragged_group_equals_one_without_the_missing_cells(name):
    full = rich_pool(([[(3.0, 4.0), (2.0, 2.5)], [(1.0, 2.0), (4.0, 4.0)]], [3.5, 2.0]))
    present = full.present_SK.copy()
    present[1, 1] = False
    hidden = TERMS[name](dataclasses.replace(full, present_SK=present))
    assert hidden[1, 1] == 0.0
    assert np.isfinite(hidden).all()


@pytest.mark.parametrize("name", TERMS)
@pytest.mark.parametrize(
    "drawn",
    [
        ([[(3.0, 3.0)]], [3.0]),
        ([[None]], [3.0]),
        ([[(3.0, 3.0), (3.0, 3.0)]], [3.0]),
        ([[(3.0, 3.0)], [(3.0, 3.0)]], [3.0, 3.0]),
        ([[(3.0, 3.0), (3.0, 3.0)], [(3.0, 3.0), None]], [3.0, 3.0]),
        ([[None, None], [(3.0, 4.0), (2.0, 2.0)]], [3.0, 3.0]),
    ],
)
def test_corner_pools_give_finite_values_of_the_right_shape(name, drawn):
    pool = rich_pool(drawn)
    reward_SK = TERMS[name](pool)
    assert reward_SK.shape == pool.score_SK.shape
    assert np.isfinite(reward_SK).all()


@given(
    mos=st.tuples(st.floats(1, 5), st.floats(1, 5)),
    one=st.tuples(st.floats(1, 5), st.floats(1, 5)),
    two=st.tuples(st.floats(1, 5), st.floats(1, 5)),
)
@settings(max_examples=300, deadline=None, derandomize=True)
def test_pair_term_never_pays_a_wrong_order_more_than_a_right_one(mos, one, two):
    def is_right(scores):
        return np.sign(scores[0] - scores[1]) == np.sign(mos[0] - mos[1])

    rewards = [ScoreAndRank()(pool_of([[q] for q in scores], mos))[0, 0] for scores in (one, two)]
    if is_right(one) and not is_right(two):
        assert rewards[0] >= rewards[1]
    if is_right(one) and is_right(two) and all(abs(a - m) <= abs(b - m) for a, b, m in zip(one, two, mos, strict=True)):
        assert rewards[0] >= rewards[1] - 1e-12


@given(drawn=value_groups(grid=8, invalid=False), shift=st.floats(-0.5, 0.5))
@settings(max_examples=40, deadline=None, derandomize=True)
def test_margin_is_free_of_a_common_shift(drawn, shift):
    values, mos = drawn
    moved = [[v + shift for v in group] for group in values]
    np.testing.assert_allclose(Margin()(pool_of(moved, mos)), Margin()(pool_of(values, mos)), rtol=0, atol=1e-9)


@pytest.mark.parametrize("name", ["gaussian", "laplace", "threshold", "linear", "relative_error", "binary"])
@given(near=st.floats(0, 2), far=st.floats(0, 2))
@settings(max_examples=40, deadline=None, derandomize=True)
def test_a_better_score_never_earns_less(name, near, far):
    near, far = sorted((near, far))
    reward = TERMS[name].value(3.0 + np.array([near, far]), np.full(2, 3.0))
    assert reward[0] >= reward[1]


@pytest.mark.parametrize("name", TERMS)
def test_samples_without_a_label_earn_nothing_in_label_terms_and_disturb_no_other(name):
    values = [[(3.0, 4.0), (2.0, 2.5)], [(1.0, 2.0), (4.0, 4.0)], [(2.0, 2.0), (1.0, 1.0)]]
    pool = rich_pool((values, [3.5, 2.0, 4.0]))
    unlabelled = dataclasses.replace(pool, mos_S=np.array([3.5, 2.0, np.nan]))
    alone = pick(pool, [0, 1], [[0, 1], [0, 1]])
    if name in {"fidelity", "margin", "binary_pair", "score_and_rank", "preference_triplet", "rank_to_truth"}:
        np.testing.assert_allclose(TERMS[name](unlabelled)[:2], TERMS[name](alone), atol=1e-12)
        assert (TERMS[name](unlabelled)[2] == 0).all()
    assert np.isfinite(TERMS[name](unlabelled)).all()
