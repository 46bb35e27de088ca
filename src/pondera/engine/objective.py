"""The objective of reinforcement: pure torch functions of log-probabilities and advantages.

Shape letters: M scored tokens of all completions, N completions.
"""

from __future__ import annotations

from typing import Literal

import torch

Normalisation = Literal["grpo", "dr_grpo", "dapo"]


def k3_kl(logp_M: torch.Tensor, reference_logp_M: torch.Tensor) -> torch.Tensor:
    """The k3 estimate of KL(policy || reference) per token: exp(d) - d - 1, d = reference - policy; never negative.

    Source: Schulman, "Approximating KL divergence" (2020), as used by GRPO (arXiv:2402.03300).
    """
    difference_M = reference_logp_M - logp_M
    return difference_M.exp() - difference_M - 1


def clipped_policy_loss(
    logp_M: torch.Tensor,
    old_logp_M: torch.Tensor,
    advantage_M: torch.Tensor,
    *,
    clip_low: float,
    clip_high: float,
) -> torch.Tensor:
    """Per-token loss -min(r A, clip(r, 1 - clip_low, 1 + clip_high) A) with r = exp(logp - old_logp).

    Args:
        logp_M: under the policy, with gradient.
        old_logp_M: under the policy that sampled.
        advantage_M: of each token's completion.
        clip_low: how far the ratio may fall below 1.
        clip_high: how far it may rise above 1 (larger than `clip_low` is DAPO's clip-higher).

    Source: PPO (arXiv:1707.06347); DAPO (arXiv:2503.14476) for two bounds.
    """
    ratio_M = (logp_M - old_logp_M).exp()
    clipped_M = ratio_M.clamp(1 - clip_low, 1 + clip_high)
    return -torch.minimum(ratio_M * advantage_M, clipped_M * advantage_M)


def aggregate(
    loss_M: torch.Tensor,
    completion_M: torch.Tensor,
    num_completions: int,
    *,
    how: Normalisation,
    max_tokens: int,
) -> torch.Tensor:
    """Join the losses of all tokens into one number.

    Args:
        loss_M: per token.
        completion_M: number of each token's completion, 0 to N - 1.
        num_completions: N; completions without tokens count as zero loss.
        how: `grpo`: mean over the tokens of a completion, then over completions. `dr_grpo`: sum over tokens divided
            by N x max_tokens, so that length has no weight (arXiv:2503.20783). `dapo`: mean over all tokens.
        max_tokens: length limit of a completion.

    Raises:
        ValueError: `how` is unknown.
    """
    if how == "grpo":
        length_N = torch.bincount(completion_M, minlength=num_completions).clamp_min(1).to(loss_M.dtype)
        return (loss_M / length_N[completion_M]).sum() / num_completions
    if how == "dr_grpo":
        return loss_M.sum() / (num_completions * max_tokens)
    if how == "dapo":
        return loss_M.sum() / max(1, loss_M.numel())
    raise ValueError(f"normalisation must be grpo, dr_grpo or dapo, got {how!r}")


def token_cross_entropy(logp_M: torch.Tensor, weight_M: torch.Tensor) -> torch.Tensor:
    """Weighted mean of -logp over the scored tokens."""
    return -(logp_M * weight_M).sum() / weight_M.sum()
