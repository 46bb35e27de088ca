"""Parts of a batch fit the budget, hold every branch once, and give the gradient of the whole."""

from __future__ import annotations

import pytest
import torch

from pondera.engine.micro_batches import micro_batches, num_tokens
from pondera.engine.objective import clipped_policy_loss, completion_weights
from pondera.models import EncodedPrompt
from pondera.models.packing import Branch, pack, packed_logps
from tests.models import stock


def _group(prefix_length, *lengths):
    return EncodedPrompt(tuple(range(prefix_length)), {}), [Branch.scored(range(length)) for length in lengths]


def _shape(parts):
    return [[len(branches) for _, branches in part.groups] for part in parts]


def test_groups_share_a_part_while_they_fit():
    """Rows of 10 + 6 and 10 + 4 tokens: two rows of 16 are 32; a third makes 48."""
    groups = [_group(10, 3, 3), _group(10, 2, 2), _group(10, 3, 3)]
    assert _shape(micro_batches(groups, token_budget=32)) == [[2, 2], [2]]
    assert _shape(micro_batches(groups, token_budget=48)) == [[2, 2, 2]]
    assert _shape(micro_batches(groups, token_budget=31)) == [[2], [2], [2]]


def test_a_group_that_does_not_fit_is_split():
    """10 + 3 + 3 = 16 fits, another 3 does not; the left-over branch is a part of its own."""
    parts = micro_batches([_group(10, 3, 3, 3, 3, 3)], token_budget=18)
    assert _shape(parts) == [[2], [2], [1]]
    assert [part.branch_N for part in parts] == [(0, 1), (2, 3), (4,)]


def test_padded_rows_cost_a_prefix_each():
    groups = [_group(10, 3, 2, 1)]
    assert num_tokens(groups) == 16 and num_tokens(groups, is_packed=False) == 3 * 13
    assert _shape(micro_batches(groups, token_budget=26, is_packed=False)) == [[2], [1]]


def test_one_branch_above_the_budget_is_a_part_of_its_own():
    assert _shape(micro_batches([_group(10, 3, 3)], token_budget=1)) == [[1], [1]]


@pytest.mark.parametrize("token_budget", [13, 20, 37, 64, 1000])
@pytest.mark.parametrize("is_packed", [True, False])
def test_every_branch_is_in_one_part_and_every_part_within_the_budget(token_budget, is_packed):
    groups = [_group(10, 3, 1, 2), _group(4, 3), _group(7, 2, 2, 2, 3, 1)]
    parts = micro_batches(groups, token_budget=token_budget, is_packed=is_packed)
    assert [n for part in parts for n in part.branch_N] == list(range(9))
    flat = [branch for part in parts for _, branches in part.groups for branch in branches]
    assert flat == [branch for _, branches in groups for branch in branches]
    assert all(num_tokens(part.groups, is_packed=is_packed) <= token_budget for part in parts)


def test_a_budget_of_nothing_is_refused():
    with pytest.raises(ValueError, match="token_budget must be > 0, got 0"):
        micro_batches([_group(3, 1)], token_budget=0)


@pytest.mark.parametrize("how", ["grpo", "dr_grpo", "dapo"])
@pytest.mark.parametrize("name", ["qwen", "idefics", "llava"])
def test_gradients_of_split_groups_equal_the_unsplit_ones(name, how):
    config, prompts = getattr(stock, name)()
    family = stock.stock_family(config)
    ids = stock.random_branches(len(prompts), 4)
    groups = [(p, [Branch.scored(b) for b in branches]) for p, branches in zip(prompts, ids, strict=True)]
    length_N = torch.tensor([len(b) for branches in ids for b in branches])
    weight_N = completion_weights(length_N, how=how, max_tokens=9)
    advantage_N = torch.linspace(-1, 1, len(length_N))
    results = []
    for token_budget in (40, 10_000):
        family.model.zero_grad()
        parts = micro_batches(groups, token_budget=token_budget)
        total = 0.0
        for part in parts:
            batch = pack(family, part.groups)
            completion_M = torch.tensor(part.branch_N)[batch.branch_M]
            logp_M, _ = packed_logps(family.model, batch)
            loss_M = clipped_policy_loss(
                logp_M, logp_M.detach(), advantage_N[completion_M], clip_low=0.2, clip_high=0.2
            )
            loss = (loss_M * weight_N[completion_M]).sum()
            loss.backward()
            total += float(loss.detach())
        gradient = torch.cat([p.grad.flatten() for p in family.model.parameters() if p.grad is not None])
        results.append((len(parts), total, gradient))
    (num_split, split_loss, split_gradient), (num_whole, loss, gradient) = results
    assert num_split >= 3 and num_whole == 1
    assert split_loss == pytest.approx(loss, abs=1e-6)
    assert float((split_gradient - gradient).norm() / gradient.norm()) < 1e-5
