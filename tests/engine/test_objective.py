"""The objective, against loops in NumPy that know nothing of torch."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pondera.core.rewards.fidelity import thurstone_fidelity
from pondera.core.soft_labels import expected_score, soft_labels
from pondera.engine.objective import (
    aggregate,
    clipped_policy_loss,
    clipped_ratio_loss,
    completion_weights,
    entropy_bonus,
    entropy_gate,
    fidelity_loss,
    k3_kl,
    sequence_log_ratio,
    soft_label_loss,
    token_cross_entropy,
    unbiased_k3_kl,
)


def test_k3_matches_the_golden_values():
    """d = reference - policy; values of the method notes, exp(d) - d - 1 by hand."""
    difference = torch.tensor([-0.5, -0.1, 0.0, 0.1, 0.5])
    expected = torch.tensor([0.106531, 0.004837, 0.0, 0.005171, 0.148721])
    torch.testing.assert_close(k3_kl(torch.zeros(5), difference), expected, rtol=0, atol=1e-6)


def test_the_expected_gradient_of_unbiased_k3_is_that_of_the_exact_kl():
    """Three tokens; the expectation over the sampling policy is a plain sum, and plain k3 misses the exact gradient."""
    reference = torch.tensor([0.2, 0.3, 0.5], dtype=torch.float64).log()
    start = torch.tensor([0.4, -0.3, 0.1], dtype=torch.float64)

    def gradient(of):
        logits = start.clone().requires_grad_()
        logp = logits.log_softmax(0)
        of(logp, logp.detach()).backward()
        return logits.grad

    exact = gradient(lambda logp, _: (logp.exp() * (logp - reference)).sum())
    unbiased = gradient(lambda logp, old: (old.exp() * unbiased_k3_kl(logp, old, reference)).sum())
    plain = gradient(lambda logp, old: (old.exp() * k3_kl(logp, reference)).sum())
    torch.testing.assert_close(unbiased, exact)
    assert float((plain - exact).norm() / exact.norm()) > 0.1


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


def test_dual_clip_limits_the_push_on_bad_tokens_only():
    """Ratios e^2 = 7.39: the loss of A = -1 stops at 3, and so does its gradient; A = +1 is clipped at 1.2 as ever."""
    log_ratio = torch.tensor([2.0, 2.0, 0.5], requires_grad=True)
    loss_M = clipped_ratio_loss(log_ratio, torch.tensor([-1.0, 1.0, -1.0]), clip_low=0.2, clip_high=0.2, dual_clip=3)
    torch.testing.assert_close(loss_M, torch.tensor([3.0, -1.2, float(np.exp(0.5))]))
    loss_M.sum().backward()
    torch.testing.assert_close(log_ratio.grad, torch.tensor([0.0, 0.0, float(np.exp(0.5))]))


def test_a_dual_clip_within_the_clipping_range_is_refused():
    with pytest.raises(ValueError, match=r"dual_clip must be > 1 \+ clip_high = 1.28, got 1.2"):
        clipped_ratio_loss(torch.zeros(1), torch.ones(1), clip_low=0.2, clip_high=0.28, dual_clip=1.2)


def test_the_sequence_ratio_is_the_geometric_mean_of_its_tokens():
    """Completion 0: log-ratios 0.1, 0.2, 0.6, mean 0.3; completion 2: 1.0; completion 1 has no tokens."""
    logp, old = torch.tensor([0.1, 0.2, 0.6, 1.0], requires_grad=True), torch.zeros(4)
    log_ratio_M = sequence_log_ratio(logp, old, COMPLETION, 3)
    torch.testing.assert_close(log_ratio_M, torch.tensor([0.3, 0.3, 0.3, 1.0]))
    log_ratio_M[:3].sum().backward()
    torch.testing.assert_close(logp.grad, torch.tensor([1.0, 1.0, 1.0, 0.0]))


def test_on_policy_a_sequence_ratio_gives_the_gradient_of_token_ratios():
    """With one advantage a completion and `grpo`, the two differ only away from the sampling policy."""
    advantage = torch.tensor([0.5, 0.0, -1.0])[COMPLETION]
    gradients = []
    for level in ("token", "sequence"):
        logp = torch.tensor([-1.0, -2.0, -0.5, -3.0], requires_grad=True)
        old = logp.detach()
        log_ratio = logp - old if level == "token" else sequence_log_ratio(logp, old, COMPLETION, 3)
        loss = clipped_ratio_loss(log_ratio, advantage, clip_low=0.2, clip_high=0.2)
        aggregate(loss, COMPLETION, 3, how="grpo", max_tokens=5).backward()
        gradients.append(logp.grad)
    torch.testing.assert_close(gradients[0], gradients[1])


def test_the_gate_opens_for_the_fifth_of_tokens_with_the_highest_entropy():
    entropy = torch.tensor([0.3, 2.0, 0.1, 0.2, 0.5, 0.4, 0.0, 3.0, 0.6, 0.7])
    assert entropy_gate(entropy).nonzero().flatten().tolist() == [1, 7]
    assert bool(entropy_gate(entropy, fraction=1.0).all())


@pytest.mark.parametrize("fraction", [0.0, 1.5])
def test_a_gate_of_no_tokens_or_more_than_all_is_refused(fraction):
    with pytest.raises(ValueError, match="fraction must be > 0 and <= 1"):
        entropy_gate(torch.ones(3), fraction=fraction)


def test_entropy_bonuses_of_parts_add_up_to_that_of_the_whole():
    entropy = torch.tensor([1.0, 2.0, 6.0])
    assert float(entropy_bonus(entropy)) == pytest.approx(3.0)
    assert float(entropy_bonus(entropy[:1], num_tokens=3) + entropy_bonus(entropy[1:], num_tokens=3)) == pytest.approx(
        3
    )


@pytest.mark.parametrize("how", ["grpo", "dr_grpo", "dapo"])
def test_completion_weights_give_the_aggregate_from_any_parts(how):
    weight_N = completion_weights(torch.bincount(COMPLETION, minlength=3), how=how, max_tokens=5)
    parts = [(LOSS[part] * weight_N[COMPLETION[part]]).sum() for part in ([3, 0], [1], [2])]
    torch.testing.assert_close(sum(parts), aggregate(LOSS, COMPLETION, 3, how=how, max_tokens=5))


def test_dapo_weights_count_the_tokens_of_other_processes():
    weight_N = completion_weights(torch.tensor([3, 1]), how="dapo", max_tokens=5, num_tokens=8)
    torch.testing.assert_close(weight_N, torch.full((2,), 1 / 8))


def test_weights_of_an_unknown_normalisation_are_refused():
    with pytest.raises(ValueError, match="must be grpo, dr_grpo or dapo"):
        completion_weights(torch.tensor([1]), how="mean", max_tokens=5)  # type: ignore[arg-type]


def _core_fidelity(score_SK, mos_S):
    truth = (np.sign(mos_S[:, None] - mos_S[None]) + 1) / 2
    everywhere = np.ones_like(truth, dtype=bool)
    valid = np.ones_like(score_SK, dtype=bool)
    return thurstone_fidelity(score_SK, valid, truth, everywhere, ddof=1, eps_variance=1e-6, eps_root=1e-6)


@pytest.mark.parametrize("group_size", [1, 4])
def test_fidelity_loss_is_the_twin_of_the_reward(group_size):
    rng = np.random.default_rng(0)
    score_SK = rng.normal(3, 0.7, (5, group_size))
    mos_S = np.array([1.0, 2.5, 2.5, 4.0, 3.1])
    loss = fidelity_loss(torch.tensor(score_SK), torch.tensor(mos_S))
    assert float(loss) == pytest.approx(1 - _core_fidelity(score_SK, mos_S).mean(), abs=1e-12)


def test_fidelity_loss_has_finite_gradients_that_pull_a_swapped_pair_apart():
    score = torch.tensor([[3.2, 3.4], [2.8, 2.6]], requires_grad=True)
    fidelity_loss(score, torch.tensor([1.0, 5.0])).backward()
    assert bool(torch.isfinite(score.grad).all())
    assert float(score.grad[0].sum()) > 0 > float(score.grad[1].sum())  # descent lowers the first, raises the second


def test_fidelity_of_one_sample_is_refused():
    with pytest.raises(ValueError, match="needs at least 2, got 1"):
        fidelity_loss(torch.zeros(1, 3), torch.zeros(1))


def test_soft_label_loss_matches_a_plain_sum_and_is_zero_where_they_agree():
    prob_SL = soft_labels([2.2, 4.7], [0.6, 0.3])
    logits = torch.tensor(np.random.default_rng(0).normal(size=(2, 5)))
    model_SL = np.exp(logits.numpy()) / np.exp(logits.numpy()).sum(1, keepdims=True)
    expected = (prob_SL * np.log(prob_SL / model_SL)).sum() / 2
    assert float(soft_label_loss(logits, torch.tensor(prob_SL))) == pytest.approx(expected, abs=1e-12)
    assert float(soft_label_loss(torch.tensor(prob_SL).log(), torch.tensor(prob_SL))) == pytest.approx(0, abs=1e-12)


def test_soft_label_loss_matches_hand_computation():
    """Label (0, 1/4, 1/2, 1/4, 0), whose entropy is 1.5 ln 2, against two models: five equal levels cost
    ln 5 - 1.5 ln 2 = 0.569717; twice the odds for the middle one (1, 1, 2, 1, 1)/6 cost ln 6 - 2 ln 2 = 0.405465.
    """
    label = torch.tensor([[0.0, 0.25, 0.5, 0.25, 0.0]], dtype=torch.float64)
    flat, peaked = torch.zeros(1, 5, dtype=torch.float64), torch.tensor([[1.0, 1, 2, 1, 1]]).double().log()
    assert float(soft_label_loss(flat, label)) == pytest.approx(0.569717, abs=1e-6)
    assert float(soft_label_loss(peaked, label)) == pytest.approx(0.405465, abs=1e-6)
    assert float(soft_label_loss(torch.cat([flat, peaked]), label.repeat(2, 1))) == pytest.approx(0.487591, abs=1e-6)


def test_descent_on_soft_labels_ends_at_the_label():
    prob_SL = torch.tensor(soft_labels([3.4], [0.8]))
    logits = torch.zeros(1, 5, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.SGD([logits], lr=2.0)
    for _ in range(300):
        optimizer.zero_grad()
        soft_label_loss(logits, prob_SL).backward()
        optimizer.step()
    assert float(expected_score(logits.detach().softmax(-1))[0]) == pytest.approx(3.4, abs=1e-3)
