"""Systems: how terms are added up, which samples they see, what is refused."""

from __future__ import annotations

import numpy as np
import pytest
from tests.core.systems import INVALID, completion, score_pool

from pondera.core.answers import AnswerFormat, Json, NumberField, Numbers
from pondera.core.presets import get_system
from pondera.core.records import FIVE_POINT, LabelScale, Sample
from pondera.core.rewards import (
    Consistency,
    DimensionMean,
    Fidelity,
    Format,
    Gaussian,
    Margin,
    PreferenceTriplet,
    RankToTruth,
    ResponseBalance,
)
from pondera.core.system import Ramp, System, Weighted
from pondera.errors import ConfigError


def test_weights_divisor_and_format_add_up_to_the_reward():
    system = System(name="t", terms=(Weighted(Format(), 0.5), Weighted(Gaussian(), 2.0)), divisor=4.0)
    rewarded = system.reward(score_pool(system, [[3.0]], [3.0]))
    assert rewarded.reward_SK[0, 0] == pytest.approx(0.5 + 2.0 / 4)
    assert rewarded.raw["gaussian"][0, 0] == pytest.approx(1.0)
    assert rewarded.terms["gaussian"][0, 0] == pytest.approx(0.5)
    assert system.formula() == "0.5 format + (2 gaussian) / 4"
    assert rewarded.weights == {"format": 0.5, "gaussian": 0.5}


def test_a_weight_can_follow_the_step():
    ramp = Ramp(start=1.0, end=0.3, first_step=10, last_step=20)
    assert [ramp(step) for step in (0, 10, 15, 20, 99)] == pytest.approx([1.0, 1.0, 0.65, 0.3, 0.3])
    system = System(name="t", terms=(Weighted(Format(), 2.0, weight_at=ramp),))
    pool = score_pool(system, [[3.0]], [3.0], step=15)
    assert system.reward(pool).reward_SK[0, 0] == pytest.approx(1.3)
    with pytest.raises(ValueError, match="first_step < last_step"):
        Ramp(1.0, 0.3, 5, 5)


def test_an_invalid_rollout_earns_exactly_the_floor_and_has_no_terms():
    system = System(name="t", terms=(Weighted(Format()),), floor=-1.5)
    pool = system.pool([Sample("a", (), mos=3.0, scale=FIVE_POINT)], [[INVALID, completion(system.answer, [3.0])]])
    rewarded = system.reward(pool)
    np.testing.assert_array_equal(rewarded.reward_SK, [[-1.5, 1.0]])
    assert rewarded.terms["format"][0, 0] == 0.0


def test_missing_cells_of_ragged_groups_have_no_reward_and_no_advantage():
    system = System(name="t", terms=(Weighted(Format()), Weighted(Gaussian())))
    samples = [Sample(name, (), mos=3.0, scale=FIVE_POINT) for name in "ab"]
    texts = [[completion(system.answer, [q]) for q in scores] for scores in ((3.0, 4.0), (3.0,))]
    judged = system.judge(system.pool(samples, texts))
    assert np.isnan(judged.reward_SK[1, 1])
    assert judged.advantage_SK[1, 1] == 0.0
    assert np.isfinite(judged.advantage_SK).all()


def test_a_term_for_some_tasks_compares_their_samples_only():
    system = System(
        name="t",
        terms=(
            Weighted(Format()),
            Weighted(Margin(), tasks=("score",)),
            Weighted(DimensionMean(("x",)), tasks=("multi",)),
        ),
        answers={"multi": AnswerFormat(Json({"x": NumberField(1.0, 5.0)}))},
    )
    scored = [Sample(name, (), mos=m, scale=FIVE_POINT) for name, m in (("a", 2.0), ("b", 4.0))]
    other = Sample("c", (), task="multi", mos=1.0, scale=FIVE_POINT, targets={"x": 3.0})
    texts = [[completion(system.answer, [q])] for q in (2.0, 3.5)]
    alone = system.reward(system.pool(scored, texts))
    mixed = system.reward(system.pool([*scored, other], [*texts, [completion(system.format_of("multi"), [3.0])]]))
    np.testing.assert_allclose(mixed.reward_SK[:2], alone.reward_SK)
    assert mixed.reward_SK[2, 0] == pytest.approx(2.0)
    assert system.labels_of("multi") == ("format", "dimension_mean")


def test_named_targets_move_to_the_working_scale_with_the_label():
    system = get_system("vq-insight")
    sample = Sample(
        "a", (), task="multi", mos=3.0, scale=FIVE_POINT, targets={"spatial": 3.0, "temporal": 5.0, "consistency": 1.0}
    )
    text = completion(system.format_of("multi"), [50.0, 100.0, 0.0])
    pool = system.pool([sample], [[text]])
    assert pool.mos_S[0] == pytest.approx(50.0)
    assert system.reward(pool).raw["accuracy_multi"][0, 0] == pytest.approx(1.0)


def test_numbers_asked_for_on_another_scale_earn_what_they_would_on_the_working_one():
    system = System(name="t", terms=(Weighted(Format()), Weighted(Gaussian(sigma=0.5)), Weighted(Margin())))
    other = system.asked_on(LabelScale(0.0, 100.0))
    samples = [Sample(name, (), mos=m, scale=FIVE_POINT) for name, m in (("a", 2.0), ("b", 4.5))]
    score_SK = [[1.0, 2.2], [5.0, 3.4]]
    pools = [
        asked.pool(samples, [[completion(asked.answer, [at(q)]) for q in group] for group in score_SK])
        for asked, at in ((system, lambda q: q), (other, lambda q: 25 * (q - 1)))
    ]
    np.testing.assert_allclose(pools[1].score_SK, score_SK)
    np.testing.assert_allclose(pools[1].value_SKn, pools[0].value_SKn)
    np.testing.assert_allclose(other.reward(pools[1]).reward_SK, system.reward(pools[0]).reward_SK)
    assert not other.parse("<think>a</think><answer>101</answer>").is_valid
    assert other.asked_on(FIVE_POINT) == system
    assert (system.answer_scale, other.answer_scale) == (FIVE_POINT, LabelScale(0.0, 100.0))
    assert other.on_working_scale(np.array([0.0, 25.0])).tolist() == [1.0, 2.0]
    assert system.on_working_scale(np.array([2.0])).tolist() == [2.0]


def test_an_answer_that_is_no_longer_valid_earns_the_floor_on_any_scale():
    system = System(name="t", terms=(Weighted(Format()), Weighted(Gaussian())), floor=-1.0).asked_on(LabelScale(0, 1))
    pool = system.pool([Sample("a", (), mos=3.0, scale=FIVE_POINT)], [[completion(system.answer, [0.5]), INVALID]])
    assert system.reward(pool).reward_SK.tolist() == [[pytest.approx(2.0), -1.0]]


def test_a_system_with_further_or_other_forms_stays_on_its_scale():
    json_only = System(name="t", terms=(Weighted(Format()),), answer=AnswerFormat(Json({"x": NumberField(1.0, 5.0)})))
    for system in (json_only, get_system("omniquality-r@as_released")):
        with pytest.raises(ConfigError, match="on its own scale only"):
            system.asked_on(LabelScale(0.0, 1.0))


def test_further_forms_are_tried_after_the_first_and_its_verdict_stands():
    system = System(name="t", terms=(Weighted(Format()),), also=(AnswerFormat(Numbers(), think="absent"),))
    assert system.parse("<answer>3.2</answer>").values == (3.2,)
    assert system.parse("nothing").error == system.answer.parse("nothing").error


def test_needs_are_the_largest_of_the_terms():
    many = System(name="t", terms=(Weighted(PreferenceTriplet()), Weighted(ResponseBalance()), Weighted(RankToTruth())))
    assert (many.min_samples, many.min_group) == (3, 3)
    one = System(name="t", terms=(Weighted(Gaussian()),))
    assert (one.min_samples, one.min_group) == (1, 2)
    assert System(name="t", terms=(Weighted(Fidelity()),)).min_samples == 2


def test_side_arrays_are_needed_unless_the_term_is_optional():
    needed = System(name="t", terms=(Weighted(Format()), Weighted(Consistency())))
    optional = System(name="t", terms=(Weighted(Format()), Weighted(Consistency(), optional=True)))
    pool = score_pool(needed, [[3.0]], [3.0])
    assert needed.needs_side == ("text_score",)
    assert optional.needs_side == ()
    with pytest.raises(ValueError, match="needs the side array 'text_score'"):
        needed.reward(pool)
    assert optional.reward(pool).reward_SK[0, 0] == 1.0
    assert optional.left_out(()) == {"consistency": ("text_score",)}
    with_text = pool.with_side(text_score=np.array([[3.0]]))
    assert optional.reward(with_text).reward_SK[0, 0] == 2.0
    assert optional.left_out(with_text.side) == {}


def test_systems_that_do_not_fit_together_are_refused():
    with pytest.raises(ConfigError, match="labels of their own"):
        System(name="t", terms=(Weighted(Gaussian()), Weighted(Gaussian(sigma=0.1))))
    System(name="t", terms=(Weighted(Gaussian()), Weighted(Gaussian(sigma=0.1), label="near")))
    with pytest.raises(ConfigError, match="labels of their own"):
        System(name="t", terms=())
    with pytest.raises(ConfigError, match="task 'multi', which has no answer format"):
        System(name="t", terms=(Weighted(Gaussian(), tasks=("multi",)),))
    with pytest.raises(ConfigError, match="divisor > 0"):
        System(name="t", terms=(Weighted(Gaussian()),), divisor=0.0)
    with pytest.raises(ValueError, match="weight of term 'gaussian' must be finite"):
        Weighted(Gaussian(), float("nan"))


def test_a_pool_on_another_scale_is_refused():
    system = System(name="t", terms=(Weighted(Gaussian()),))
    other = System(name="o", terms=(Weighted(Gaussian()),), scale=LabelScale(0.0, 100.0))
    with pytest.raises(ValueError, match="convert it"):
        other.reward(score_pool(system, [[3.0]], [3.0]))


def test_a_task_without_a_reward_is_refused_by_name():
    with pytest.raises(ConfigError, match="no reward for task 'grounding'; it handles score"):
        get_system("pondera").parse("text", "grounding")
