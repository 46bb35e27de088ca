"""Which views a stage makes, and what is refused before anything runs."""

from __future__ import annotations

import pytest

from pondera.config import ReinforceStage
from pondera.core.answers import Numbers
from pondera.core.presets import get_system, list_systems
from pondera.core.records import FIVE_POINT, Media, Sample
from pondera.engine.grading import check_system
from pondera.engine.second_views.plan import plan_views
from pondera.errors import ConfigError, TrainingError
from pondera.models import ModelCard

IMAGES = [Sample(f"i{n}", (Media(f"{n}.png"),), mos=3.0, scale=FIVE_POINT) for n in range(4)]
VIDEOS = [Sample(f"v{n}", (Media(f"{n}.mp4"),), kind="video", mos=3.0, scale=FIVE_POINT) for n in range(4)]
FRAMES = [Sample("f", (Media("a.png", "frame"), Media("b.png", "frame")), mos=3.0, scale=FIVE_POINT)]


def _stage(system="pondera", **settings):
    values = {"optimiser": {"learning_rate": 1e-3}, "steps": 1, "samples_per_step": 2, "system": system}
    return ReinforceStage.model_validate(values | settings)


def _plan(system="pondera", samples=IMAGES, card=None, **settings):
    return plan_views(_stage(system, **settings), get_system(system), card or ModelCard(), samples)


def _kinds(*args, **settings):
    return [view.kind for view in _plan(*args, **settings).settings]


@pytest.mark.parametrize(
    ("system", "samples", "kinds", "side"),
    [
        ("pondera", IMAGES, [], ()),
        ("q-ponder", IMAGES, [], ()),
        ("q-ponder-text", IMAGES, ["text_only"], ("text_score",)),
        ("refine-iqa", IMAGES, ["thought"], ("p_think", "p_nothink")),
        ("q-hawkeye", IMAGES, ["degraded"], ()),
        ("cappo", IMAGES, ["caption"], ("caption_kl",)),
        ("vq-insight", VIDEOS, ["perturbed_frames"], ("perturbed_reward",)),
        ("vqathinker", VIDEOS, ["perturbed_frames"], ("perturbed_rank_reward", "perturbed_score_reward")),
        ("vqathinker", FRAMES, ["perturbed_frames"], ("perturbed_rank_reward", "perturbed_score_reward")),
        ("vqathinker", IMAGES, [], ()),
    ],
)
def test_a_system_turns_the_views_on_that_it_reads_and_says_so(system, samples, kinds, side, caplog):
    plan = _plan(system, samples)
    assert [view.kind for view in plan.settings] == kinds and plan.side == side
    assert plan.needs_reference == (kinds == ["text_only"])
    for kind in kinds:
        assert f"system {system}: second view {kind} is on, for " in caplog.text
    assert ("no sample is a video" in caplog.text) == (system == "vqathinker" and samples is IMAGES)


@pytest.mark.parametrize("name", list_systems())
def test_every_presets_side_arrays_are_supplied_by_some_view(name):
    system = get_system(name)
    assert set(system.reads_side) <= set(_plan(name, VIDEOS).side)


def test_a_preset_that_needs_what_nothing_supplies_stops_at_the_start():
    with pytest.raises(TrainingError, match="needs text_score from a second view"):
        plan = _plan("q-ponder-text", automatic_views=False)
        check_system(get_system("q-ponder-text"), _stage("q-ponder-text"), ModelCard(), IMAGES, side=plan.side)


def test_views_that_were_not_asked_for_can_be_left_out():
    assert _kinds("q-hawkeye", automatic_views=False) == [] == _kinds("vqathinker", VIDEOS, automatic_views=False)


def test_settings_of_an_automatic_view_replace_its_defaults():
    (view,) = _plan("q-hawkeye", second_views=[{"kind": "degraded", "weight": 0.5}]).settings
    assert view.weight == 0.5


def test_a_loss_can_be_added_to_any_system():
    assert _kinds(second_views=[{"kind": "masked"}]) == ["masked"]
    assert _kinds(second_views=[{"kind": "caption"}]) == ["caption"]


@pytest.mark.parametrize("kind", ["text_only", "thought", "perturbed_frames"])
def test_a_view_whose_side_arrays_nobody_reads_is_refused(kind):
    with pytest.raises(ConfigError, match="which system 'pondera' does not read"):
        _plan(samples=VIDEOS, second_views=[{"kind": kind}])


def test_a_caption_without_a_weight_is_refused_where_nobody_reads_its_divergence():
    with pytest.raises(ConfigError, match="makes caption_kl, which system 'pondera' does not read"):
        _plan(second_views=[{"kind": "caption", "weight": 0.0}])


def test_a_kind_that_stands_twice_is_refused():
    with pytest.raises(ConfigError, match="a kind stands twice"):
        _plan(second_views=[{"kind": "masked"}, {"kind": "masked", "weight": 1.0}])


@pytest.mark.parametrize("kind", ["degraded", "masked"])
def test_pushing_and_pulling_together_must_be_asked_for_by_name(kind):
    views = [{"kind": kind}, {"kind": "caption"}]
    with pytest.raises(ConfigError, match=r"pull against each other.*opposed_views: true"):
        _plan(second_views=views)
    with pytest.raises(ConfigError, match="pull against each other"):
        _plan("cappo", second_views=views[:1])
    assert _kinds(second_views=views, opposed_views=True) == [kind, "caption"]


def test_frames_out_of_order_need_frames():
    with pytest.raises(TrainingError, match="no training sample has any"):
        _plan("vqathinker", second_views=[{"kind": "perturbed_frames"}])


def test_a_thoughts_worth_is_read_from_one_number_and_needs_a_prompt_without_thoughts():
    assert isinstance(ModelCard().answer.body, Numbers)
    with pytest.raises(TrainingError, match=r"set prompts\.fast"):
        _plan("refine-iqa", card=ModelCard(fast_prompt=""))
