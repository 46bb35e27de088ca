"""HiRQA-style losses: goldens by hand, properties, and what each of them teaches.

The formulas are ours (HiRQA's are unpublished), so there is no other program to compare with.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from pondera.config import PretrainStage
from pondera.data.dead_leaves import DeadLeaves
from pondera.data.degraded_crops import crop_group
from pondera.data.distortions import DISTORTIONS
from pondera.engine.pretrain import TowerHead, level_targets, tower_losses
from pondera.engine.tower_losses import distance_loss, ordered_pairs, ranking_loss, strongest_text, text_loss
from tests.models.tiny import tiny_family

# Two types. a is clean, b has level 1 of the first, c level 3 of it, d level 2 of the second.
LEVELS = torch.tensor([[[0.0, 0.0], [0.2, 0.0], [0.6, 0.0], [0.0, 0.4]]])


def test_versions_are_ordered_only_where_no_distortion_gets_weaker():
    is_better, step = ordered_pairs(LEVELS)
    found = {(a, b) for _, a, b in is_better.nonzero().tolist()}
    assert found == {(0, 1), (0, 2), (0, 3), (1, 2)}
    assert step[0, 1, 2].tolist() == pytest.approx([0.4, 0.0])


def test_ranking_matches_a_computation_by_hand():
    """Scores a .9, b .8, c .5, d .85. Margins .05 a level: (a,b) .05, (a,c) .15, (a,d) .1, (b,c) .1; gaps .1, .4, .05,
    .3; so only (a,d) costs .05, mean .0125. Larger steps in every type: (a,c) over (a,b) and over (b,c), and (b,c) over
    (a,b); their gaps differ by .3, .1 and .2, all above .02, so they cost nothing.
    """
    score = torch.tensor([[0.9, 0.8, 0.5, 0.85]])
    assert float(ranking_loss(score, LEVELS)) == pytest.approx(0.0125, abs=1e-6)


def test_a_small_step_with_a_large_gap_costs_the_second_order_too():
    """a .9, b .5, c .45: gaps (a,b) .4, (a,c) .45, (b,c) .05, margins .05, .15, .1: (b,c) costs .05, mean .05 / 3.
    Pairs of pairs: (a,c) over (a,b): .02 - .05 < 0; (a,c) over (b,c): 0; (b,c) over (a,b): .02 + .35; mean .37 / 3.
    """
    score = torch.tensor([[0.9, 0.5, 0.45]])
    assert float(ranking_loss(score, LEVELS[:, :3])) == pytest.approx((0.05 + 0.37) / 3, abs=1e-6)


def test_ranking_ignores_the_order_of_versions_and_a_constant_and_pulls_a_swapped_pair_apart():
    generator = torch.Generator().manual_seed(0)
    score = torch.rand(3, 4, generator=generator)
    levels = LEVELS.repeat(3, 1, 1)
    loss = ranking_loss(score, levels)
    order = torch.tensor([2, 0, 3, 1])
    torch.testing.assert_close(ranking_loss(score[:, order], levels[:, order]), loss)
    torch.testing.assert_close(ranking_loss(score + 0.25, levels), loss)
    swapped = torch.tensor([[0.3, 0.6]], requires_grad=True)
    ranking_loss(swapped, LEVELS[:, :2]).backward()
    assert swapped.grad is not None and swapped.grad[0, 0] < 0 < swapped.grad[0, 1]


def test_nothing_to_order_costs_nothing_and_has_a_gradient():
    score = torch.tensor([[0.2, 0.8]], requires_grad=True)
    loss = ranking_loss(score, torch.zeros(1, 2, 3))
    loss.backward()
    assert float(loss.detach()) == 0 and score.grad is not None and score.grad.eq(0).all()


def test_distance_matches_a_computation_by_hand_and_is_free_of_scale():
    """Angles 0, 60 and 180 degrees: distances .25, 1, .75 (0-60, 0-180, 60-180), mean 2/3: .375, 1.5, 1.125.
    Scores 0, .2, .6: .2, .6, .4, mean .4: .5, 1.5, 1. Differences .125, 0, .125: mean 1/12.
    """
    angle = torch.tensor([0.0, math.pi / 3, math.pi])
    z = torch.stack([angle.cos(), angle.sin()], dim=-1)[None]
    score = torch.tensor([[0.0, 0.2, 0.6]])
    assert float(distance_loss(z, score)) == pytest.approx(1 / 12, abs=1e-6)
    assert float(distance_loss(z, score / 3)) == pytest.approx(1 / 12, abs=1e-6)


def test_distance_is_zero_where_embeddings_are_as_far_apart_as_scores():
    score = torch.tensor([[0.0, 0.1, 0.3, 0.6]])
    angle = torch.arccos(1 - 2 * score)  # (1 - cos) / 2 of the angle from the first is the score ...
    z = torch.stack([angle.cos(), angle.sin()], dim=-1)
    assert float(distance_loss(z[:, :2], score[:, :2])) == pytest.approx(0, abs=1e-5)  # ... so two always agree
    assert float(distance_loss(z, score)) > 0.01


def test_text_contrast_is_the_cross_entropy_over_all_texts():
    """Two texts at right angles, the image on the right one: logits 1/.07 and 0."""
    text = torch.eye(2)
    expected = math.log1p(math.exp(-1 / 0.07))
    assert float(text_loss(text[:1], text, torch.tensor([0]))) == pytest.approx(expected, abs=1e-7)
    assert float(text_loss(text[:1], text, torch.tensor([1]))) == pytest.approx(expected + 1 / 0.07, rel=1e-6)


def test_the_text_of_an_image_is_that_of_its_strongest_distortion():
    levels = torch.tensor([[0.0, 0.0], [0.2, 0.0], [0.4, 1.0]])
    assert strongest_text(levels).tolist() == [0, 1, 10]


def test_every_loss_reaches_the_tower_and_levels_alone_is_the_mean_squared_error():
    family = tiny_family()
    pictures = [DeadLeaves(1, (96, 64)).image()]
    groups = [crop_group(pictures, side_px=32, num_versions=4, seed=0, index=i, num_types=2) for i in range(2)]
    pixels = torch.from_numpy(np.concatenate([g.views_VPPC for g in groups])).movedim(-1, 1).float() / 127.5 - 1
    levels = torch.from_numpy(np.stack([g.level_VT for g in groups]))
    mos = torch.tensor([[5.0, 4.0, 2.0, 1.0], [5.0, 3.0, 3.0, 2.0]])
    objective = ("levels", "full_reference", "ranking", "distance", "text")
    torch.manual_seed(0)
    head = TowerHead(family, objective)
    found = head(pixels)
    assert found["text"].shape[0] == 1 + 5 * len(DISTORTIONS)
    losses = tower_losses(found, levels, objective, mos)
    assert set(losses) == set(objective)
    weight = next(head.vision_tower.parameters())
    for name, loss in losses.items():
        [gradient] = torch.autograd.grad(loss, weight, retain_graph=True)
        assert float(gradient.abs().max()) > 0, name
    expected = F.mse_loss(found["levels"], level_targets(levels.flatten(0, 1)))
    assert tower_losses(found, levels, ("levels",)) == {"levels": expected}
    # 1 to 5 on -0.5 to 0.5, by hand: a read-out of 0.25 everywhere is 4.
    constant = {"quality": torch.full((8,), 0.25)}
    errors = [1, 0, 2, 3, 1, 1, 1, 2]
    by_hand = sum((e / 4) ** 2 for e in errors) / 8
    assert float(tower_losses(constant, levels, (), mos)["full_reference"]) == pytest.approx(by_hand)


def test_versions_of_few_types_have_more_to_order_than_versions_of_all():
    pictures = [DeadLeaves(1, (96, 64)).image()]

    def ordered(num_types):
        made = [
            crop_group(pictures, side_px=32, num_versions=6, seed=0, index=i, num_types=num_types) for i in range(30)
        ]
        assert num_types is None or all((g.level_VT.max(0) > 0).sum() <= num_types for g in made)
        return sum(int(ordered_pairs(torch.from_numpy(g.level_VT)[None])[0].sum()) for g in made)

    assert ordered(2) > 1.3 * ordered(None)


@pytest.mark.parametrize(
    ("objective", "message"),
    [(["distance"], "add ranking"), (["text", "text"], "names a loss twice"), ([], "at least 1")],
)
def test_an_objective_without_sense_is_refused(objective, message):
    with pytest.raises(ValueError, match=message):
        PretrainStage(optimiser={"learning_rate": 0.1}, steps=1, objective=objective)  # type: ignore[arg-type]
