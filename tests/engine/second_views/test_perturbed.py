"""Answers about frames out of order: what is shown, and what it earns."""

from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from pondera.config import PerturbedFramesView
from pondera.core.presets import get_system
from pondera.core.records import FIVE_POINT, LabelScale, Media, Sample
from pondera.engine.second_views.frames import ORDERS
from pondera.engine.second_views.perturbed import PerturbedFrames, perturbed_names, perturbed_rewards
from tests.engine.second_views.plain import roll_out, samples_in, trainer_on

ANSWER = "<think>It moves.</think><answer>{}</answer>"


def test_the_perturbed_prompts_show_the_same_frames_in_another_order(tmp_path):
    samples = samples_in(tmp_path, num_frames=4)
    views = [{"kind": "perturbed_frames", "orders": ["reverse"], "completions": 2}]
    # Unlimited views of each sample would be cut in new places; one variant keeps all crops where they are.
    trainer = trainer_on(samples, tmp_path, system="vqathinker", second_views=views, freeze_vision=True, views=1)
    rollouts = roll_out(trainer, samples)
    trainer._side_arrays(rollouts)
    _, (prompts, num_completions, seeds) = trainer.backend.asked
    assert num_completions == 2 and len(set(seeds) | set(rollouts.seeds)) == 4
    plain = trainer.family.encode(trainer.encode.shown.get(samples[0], 0).parts, rollouts.questions[0])
    assert prompts[0].ids == plain.ids
    globals_T = plain.media["pixel_values"][:, 0]  # the view of the whole frame; mirrored at random, so compare both
    shown_T = prompts[0].media["pixel_values"][:, 0]
    for shown, expected in zip(shown_T, globals_T.flip(0), strict=True):
        assert torch.equal(shown, expected) or torch.equal(shown.flip(-1), expected)


@pytest.mark.parametrize(("system", "orders"), [("vq-insight", {"shuffle"}), ("vqathinker", set(ORDERS))])
def test_each_system_has_its_papers_orders_and_half_a_group(system, orders):
    tools = SimpleNamespace(system=get_system(system), group_size=8)
    view = PerturbedFrames(PerturbedFramesView(), tools)
    assert set(view.orders) == orders and view.completions == 4
    view = PerturbedFrames(PerturbedFramesView(orders=("drop",), completions=3), tools)
    assert view.orders == ("drop",) and view.completions == 3


def test_an_image_among_videos_has_no_perturbed_reward_and_no_bonus(tmp_path):
    videos, images = samples_in(tmp_path, num_frames=3), samples_in(tmp_path)
    samples = [videos[0], Sample("image", images[1].media, mos=4.2, scale=FIVE_POINT)]
    trainer = trainer_on(samples, tmp_path, system="vqathinker")
    side = trainer._side_arrays(roll_out(trainer, samples))
    for value_SK in side.values():
        assert np.isfinite(value_SK[0]).any() and np.isnan(value_SK[1]).all()


def test_rewards_of_several_tasks_share_one_side_array():
    """VQ-Insight: 1 - |error| / 100 for scores; the mean over three dimensions for generated videos."""
    system = get_system("vq-insight")
    hundred = LabelScale(0.0, 100.0)
    scored = Sample("a", (Media("a.mp4"),), kind="video", mos=60.0, scale=hundred)
    targets = {"spatial": 50.0, "temporal": 60.0, "consistency": 70.0}
    made = Sample("b", (Media("b.mp4"),), kind="video", task="multi", targets=targets, scale=hundred)
    json = '<think>x</think><answer>{"spatial": 40, "temporal": 60, "consistency": 90}</answer>'
    assert perturbed_names(system) == ("perturbed_reward",)
    found = perturbed_rewards(system, system.pool([scored], [[ANSWER.format("50.0"), "no answer"]]))
    assert found["perturbed_reward"][0, 0] == pytest.approx(0.9) and math.isnan(found["perturbed_reward"][0, 1])
    found = perturbed_rewards(system, system.pool([made], [[json]]))
    assert found["perturbed_reward"][0, 0] == pytest.approx(1 - (0.1 + 0.0 + 0.2) / 3)


def test_a_system_without_a_temporal_bonus_has_nothing_to_supply():
    assert perturbed_names(get_system("pondera")) == ()
