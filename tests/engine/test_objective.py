"""The objective, against loops in NumPy that know nothing of torch."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pondera.engine.objective import aggregate, clipped_policy_loss, k3_kl, token_cross_entropy


def test_k3_matches_the_golden_values():
    """d = reference - policy; values of the method notes, exp(d) - d - 1 by hand."""
    difference = torch.tensor([-0.5, -0.1, 0.0, 0.1, 0.5])
    expected = torch.tensor([0.106531, 0.004837, 0.0, 0.005171, 0.148721])
    torch.testing.assert_close(k3_kl(torch.zeros(5), difference), expected, rtol=0, atol=1e-6)


def _loop_policy_loss(logp, old, advantage, low, high):
    losses = []
    for new, before, a in zip(logp, old, advantage, strict=True):
        ratio = np.exp(new - before)
        losses.append(-min(ratio * a, min(max(ratio, 1 - low), 1 + high) * a))
    return np.array(losses)


@pytest.mark.parametrize(("low", "high"), [(0.2, 0.2), (0.2, 0.28), (0.1, 0.5)])
def test_clipped_loss_matches_a_plain_loop(low, high):
    rng = np.random.default_rng(0)
    logp, old, advantage = rng.normal(-1, 0.4, 50), rng.normal(-1, 0.4, 50), rng.normal(0, 1, 50)
    ours = clipped_policy_loss(
        torch.tensor(logp), torch.tensor(old), torch.tensor(advantage), clip_low=low, clip_high=high
    )
    np.testing.assert_allclose(ours.numpy(), _loop_policy_loss(logp, old, advantage, low, high), rtol=1e-12)


def test_on_policy_the_gradient_is_that_of_plain_policy_gradient():
    logp = torch.tensor([-1.0, -2.0], requires_grad=True)
    advantage = torch.tensor([0.5, -1.5])
    clipped_policy_loss(logp, logp.detach(), advantage, clip_low=0.2, clip_high=0.2).sum().backward()
    torch.testing.assert_close(logp.grad, -advantage)


def test_beyond_the_clip_a_good_token_gets_no_more_push_and_a_bad_one_still_does():
    logp = torch.tensor([0.5, 0.5], requires_grad=True)
    clipped_policy_loss(logp, torch.zeros(2), torch.tensor([1.0, -1.0]), clip_low=0.2, clip_high=0.2).sum().backward()
    assert float(logp.grad[0]) == 0.0 and float(logp.grad[1]) > 1.0


LOSS = torch.tensor([1.0, 2.0, 3.0, 10.0])
COMPLETION = torch.tensor([0, 0, 0, 2])  # completion 1 has no tokens


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        ("grpo", (6 / 3 + 0 + 10 / 1) / 3),
        ("dr_grpo", 16 / (3 * 5)),
        ("dapo", 16 / 4),
    ],
)
def test_aggregation_by_hand(how, expected):
    total = aggregate(LOSS, COMPLETION, 3, how=how, max_tokens=5)
    assert float(total) == pytest.approx(expected)


def test_an_unknown_normalisation_is_refused():
    with pytest.raises(ValueError, match="must be grpo, dr_grpo or dapo"):
        aggregate(LOSS, COMPLETION, 3, how="mean", max_tokens=5)  # type: ignore[arg-type]


def test_cross_entropy_is_a_weighted_mean():
    loss = token_cross_entropy(torch.tensor([-1.0, -3.0]), torch.tensor([1.0, 3.0]))
    assert float(loss) == pytest.approx(10 / 4)
