"""Plans: orders that cannot work are refused with the reason, the others do what their steps say."""

from __future__ import annotations

import numpy as np
import pytest
from tests.core.systems import INVALID, completion, score_pool

from pondera.core.advantage_plan import (
    AdvantagePlan,
    BatchScale,
    BranchZScore,
    CaptionWeight,
    Centre,
    DropUniform,
    Gdpo,
    GroupZScore,
    PositiveOnly,
    SampleWeight,
    UncertaintyWeight,
)
from pondera.core.records import FIVE_POINT, Sample
from pondera.core.rewards import Format, Gaussian, RepetitionPenalty
from pondera.core.system import System, Weighted
from pondera.errors import ConfigError


def system_with(*steps, **kwargs) -> System:
    terms = (Weighted(Format()), Weighted(Gaussian(sigma=0.5)))
    return System(name="test", terms=terms, advantage=AdvantagePlan(steps, **kwargs))


@pytest.mark.parametrize(
    ("steps", "reason"),
    [
        ((GroupZScore(), DropUniform()), "the filter sees nothing"),
        ((UncertaintyWeight(), GroupZScore()), "divide the weight out again"),
        ((PositiveOnly(), GroupZScore()), "no sign to select by"),
        ((GroupZScore(), PositiveOnly(), SampleWeight()), "already set advantages to 0"),
        ((UncertaintyWeight(), DropUniform(), GroupZScore()), "only weighted advantages left"),
        ((PositiveOnly(), DropUniform(), GroupZScore()), "only selected advantages left"),
        ((), "needs exactly one normaliser, has 0"),
        ((DropUniform(),), "needs exactly one normaliser, has 0"),
        ((GroupZScore(), Centre()), "the second would undo the first"),
        ((GroupZScore(), SampleWeight(), SampleWeight("other")), "stands twice"),
        ((Centre(), PositiveOnly()), "needs a GroupZScore with the same ddof and eps"),
        ((GroupZScore(ddof=0), PositiveOnly()), "needs a GroupZScore with the same ddof and eps"),
    ],
)
def test_an_order_that_cannot_work_is_refused_with_the_reason(steps, reason):
    with pytest.raises(ConfigError, match=reason):
        AdvantagePlan(steps)


def test_caption_and_uncertainty_weights_together_must_be_asked_for_by_name():
    steps = (GroupZScore(), UncertaintyWeight(), CaptionWeight())
    with pytest.raises(ConfigError, match="caption_with_uncertainty=True"):
        AdvantagePlan(steps)
    assert AdvantagePlan(steps, caption_with_uncertainty=True).needs_side == ("caption_kl",)


def test_bad_parameters_of_weights_are_refused():
    with pytest.raises(ValueError, match="alpha >= 0 and half > 0"):
        UncertaintyWeight(half=0.0)
    with pytest.raises(ValueError, match="tau > 0"):
        CaptionWeight(low=2.0, high=1.0)


def test_a_filter_that_names_a_term_the_system_lacks_is_refused():
    with pytest.raises(ConfigError, match="DropUniform reads term 'laplace'"):
        system_with(DropUniform(terms=("laplace",)), GroupZScore())


def test_dropped_groups_get_zero_and_are_named():
    system = system_with(DropUniform(limit=1e-3), BatchScale())
    judged = system.judge(score_pool(system, [[3.0, 3.0], [3.0, 4.0]], [3.0, 3.0]))
    np.testing.assert_array_equal(judged.keep_S, [False, True])
    np.testing.assert_array_equal(judged.advantage_SK[0], [0.0, 0.0])
    only = system.judge(score_pool(system, [[3.0, 4.0]], [3.0]))
    np.testing.assert_allclose(judged.advantage_SK[1], only.advantage_SK[0])


def test_the_filter_can_look_at_one_term_only():
    """The format reward varies, the Gaussian does not: OmniQuality-R drops such a group."""
    total, part = (system_with(DropUniform(terms=terms), GroupZScore()) for terms in ((), ("gaussian",)))
    texts = [[completion(total.answer, [1.0]), INVALID]]
    for system, kept in ((total, True), (part, False)):
        pool = system.pool([Sample("a", (), mos=5.0, scale=FIVE_POINT)], texts)
        assert system.judge(pool).keep_S[0] == kept


def test_an_invalid_rollout_enters_its_groups_mean_at_the_floor():
    system = system_with(Centre())
    pool = system.pool([Sample("a", (), mos=3.0, scale=FIVE_POINT)], [[completion(system.answer, [3.0]), INVALID]])
    judged = system.judge(pool)
    np.testing.assert_allclose(judged.reward_SK, [[2.0, 0.0]])
    np.testing.assert_allclose(judged.advantage_SK, [[1.0, -1.0]])


@pytest.mark.parametrize("normaliser", [BranchZScore(), Gdpo()])
def test_an_invalid_rollout_is_never_the_best_of_a_branch_of_penalties(normaliser):
    """A penalty is negative for valid roll-outs: at 0 an invalid one would lead that branch."""
    system = System(
        name="test",
        terms=(Weighted(Format(), 0.01), Weighted(RepetitionPenalty(part="think", characters=False))),
        advantage=AdvantagePlan((normaliser,)),
    )
    texts = [[f"<think>{'so ' * n}</think><answer>3.0</answer>" for n in (8, 10)] + [INVALID]]
    advantage = system.judge(system.pool([Sample("a", (), mos=3.0, scale=FIVE_POINT)], texts)).advantage_SK[0]
    assert advantage[2] == advantage.min()


def test_branches_are_normalised_apart_with_their_weights():
    system = system_with(BranchZScore(weights=(("preference", 2.0),)))
    pool = score_pool(system, [[3.0, 3.5, 4.0]], [3.0])
    judged = system.judge(pool)
    gaussian = judged.terms["gaussian"][0]
    np.testing.assert_allclose(
        judged.advantage_SK[0], 2 * (gaussian - gaussian.mean()) / (gaussian.std(ddof=1) + 1e-4), rtol=1e-9
    )


def test_sample_weights_act_behind_the_normalisation():
    system = system_with(GroupZScore(), SampleWeight())
    sample = Sample("a", (), mos=3.0, scale=FIVE_POINT, targets={"weight": 0.5})
    texts = [[completion(system.answer, [q]) for q in (3.0, 4.0)]]
    half = system.judge(system.pool([sample], texts)).advantage_SK
    whole = system_with(GroupZScore()).judge(system.pool([sample], texts)).advantage_SK
    np.testing.assert_allclose(half, whole / 2)


def test_uncertain_groups_teach_less():
    released, working = (system_with(GroupZScore(), UncertaintyWeight(half=half)) for half in (None, 0.05 / 16))
    plain = system_with(GroupZScore())
    pool = score_pool(plain, [[3.0, 5.0]], [3.0])
    base = plain.judge(pool).advantage_SK
    np.testing.assert_allclose(released.judge(pool).advantage_SK, base * np.exp(-0.2 * 0.25))
    np.testing.assert_allclose(working.judge(pool).advantage_SK, base * np.exp(-0.2 / 1.05))


def test_a_caption_weight_without_its_side_array_names_what_supplies_it():
    system = system_with(GroupZScore(), CaptionWeight())
    with pytest.raises(ValueError, match="'caption_kl': divergence between"):
        system.judge(score_pool(system, [[3.0, 4.0]], [3.0]))


def test_the_divergence_of_an_invalid_rollout_changes_no_weight_of_valid_ones():
    system = system_with(GroupZScore(), CaptionWeight())
    sample = Sample("a", (), mos=3.0, scale=FIVE_POINT)
    texts = [[completion(system.answer, [q]) for q in (3.0, 3.1)] + [INVALID]]
    small, large = (
        system.judge(system.pool([sample], texts, side={"caption_kl": np.array([[0.1, 0.4, kl]])})).advantage_SK
        for kl in (0.0, 9.0)
    )
    np.testing.assert_array_equal(small, large)
