"""The objective of reinforcement: pure torch functions of log-probabilities and advantages.

An advantage belongs to a token. One for a whole completion is spread by `advantage_N[completion_M]`; a system whose
thought and score have advantages of their own gives [M] directly.

Shape letters: M scored tokens of all completions, N completions, S samples, L levels.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch

Normalisation = Literal["grpo", "dr_grpo", "dapo"]


def k3_kl(logp_M: torch.Tensor, reference_logp_M: torch.Tensor) -> torch.Tensor:
    """The k3 estimate of KL(policy || reference) per token: exp(d) - d - 1, d = reference - policy; never negative.

    Source: Schulman, "Approximating KL divergence" (2020), as used by GRPO (arXiv:2402.03300).
    """
    difference_M = reference_logp_M - logp_M
    return difference_M.exp() - difference_M - 1


def unbiased_k3_kl(logp_M: torch.Tensor, old_logp_M: torch.Tensor, reference_logp_M: torch.Tensor) -> torch.Tensor:
    """`k3_kl` times the ratio exp(logp - old_logp), whose gradient is that of KL(policy || reference).

    On the sampling policy the value is that of `k3_kl`, but the gradient is not: plain k3 misses the part that comes
    from which tokens are sampled. TRL 1.16 takes this form by default.

    Source: DeepSeek-V3.2 (arXiv:2512.02556).
    """
    return (logp_M - old_logp_M).exp() * k3_kl(logp_M, reference_logp_M)


def clipped_policy_loss(
    logp_M: torch.Tensor,
    old_logp_M: torch.Tensor,
    advantage_M: torch.Tensor,
    *,
    clip_low: float,
    clip_high: float,
    dual_clip: float | None = None,
) -> torch.Tensor:
    """Per-token loss -min(r A, clip(r, 1 - clip_low, 1 + clip_high) A) with r = exp(logp - old_logp).

    Args:
        logp_M: under the policy, with gradient.
        old_logp_M: under the policy that sampled.
        advantage_M: of each token.
        clip_low: how far the ratio may fall below 1.
        clip_high: how far it may rise above 1 (larger than `clip_low` is DAPO's clip-higher).
        dual_clip: largest ratio that pushes a bad token down, > 1 + clip_high; None sets no limit.

    Raises:
        ValueError: `dual_clip` is within the clipping range.

    Source: PPO (arXiv:1707.06347); DAPO (arXiv:2503.14476) for two bounds; dual clip: arXiv:1912.09729.
    """
    return clipped_ratio_loss(
        logp_M - old_logp_M, advantage_M, clip_low=clip_low, clip_high=clip_high, dual_clip=dual_clip
    )


def clipped_ratio_loss(
    log_ratio_M: torch.Tensor,
    advantage_M: torch.Tensor,
    *,
    clip_low: float,
    clip_high: float,
    dual_clip: float | None = None,
) -> torch.Tensor:
    """`clipped_policy_loss` for any log-ratio, such as `sequence_log_ratio`."""
    ratio_M = log_ratio_M.exp()
    clipped_M = ratio_M.clamp(1 - clip_low, 1 + clip_high)
    if dual_clip is not None:
        if dual_clip <= 1 + clip_high:
            raise ValueError(f"dual_clip must be > 1 + clip_high = {1 + clip_high:g}, got {dual_clip}")
        ratio_M = ratio_M.clamp(max=dual_clip)  # only seen where A < 0: elsewhere the other bound is smaller
    return -torch.minimum(ratio_M * advantage_M, clipped_M * advantage_M)


def sequence_log_ratio(
    logp_M: torch.Tensor, old_logp_M: torch.Tensor, completion_M: torch.Tensor, num_completions: int
) -> torch.Tensor:
    """The mean log-ratio of each token's completion, [M]: one ratio a completion, its geometric mean over tokens.

    Source: GSPO (arXiv:2507.18071); with `aggregate(how="grpo")` the objective of the paper.
    """
    sum_N = logp_M.new_zeros(num_completions).index_add(0, completion_M, logp_M - old_logp_M)
    length_N = torch.bincount(completion_M, minlength=num_completions).clamp_min(1)
    return (sum_N / length_N)[completion_M]


def entropy_gate(entropy_M: torch.Tensor, *, fraction: float = 0.2) -> torch.Tensor:
    """Whether a token is among the given fraction of highest entropy, [M]: the tokens where an answer takes its turn.

    Only the policy term is gated; the loss is still normalised by all tokens.

    Args:
        entropy_M: of all tokens of the batch, not of a micro-batch.
        fraction: in (0, 1]; 1 takes all.

    Raises:
        ValueError: `fraction` is outside its range.

    Source: arXiv:2506.01939 (20 %).
    """
    return entropy_M >= entropy_threshold(entropy_M, fraction=fraction)


def entropy_threshold(entropy_M: torch.Tensor, *, fraction: float) -> float:
    """The entropy that a token needs to pass `entropy_gate`.

    Raises:
        ValueError: `fraction` is outside its range.
    """
    if not 0 < fraction <= 1:
        raise ValueError(f"fraction must be > 0 and <= 1, got {fraction}")
    # torch.quantile takes no more than 16 million values.
    return float(np.quantile(entropy_M.detach().double().cpu().numpy(), 1 - fraction))


def entropy_bonus(entropy_M: torch.Tensor, *, num_tokens: int | None = None) -> torch.Tensor:
    """Mean entropy over all tokens, to be subtracted from the loss with a weight; keeps the policy exploring.

    Args:
        entropy_M: with gradient (`packed_logps(..., entropy_gradient=True)`).
        num_tokens: of the whole batch, where this is a micro-batch; by default the tokens given.
    """
    return entropy_M.sum() / max(1, entropy_M.numel() if num_tokens is None else num_tokens)


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


def completion_weights(
    length_N: torch.Tensor,
    *,
    how: Normalisation,
    max_tokens: int,
    num_tokens: int | None = None,
    num_completions: int | None = None,
) -> torch.Tensor:
    """What one token of each completion weighs in `aggregate`, [N]: the loss is sum_M weight_N[completion_M] loss_M.

    The weights are known before any forward pass and do not depend on how a batch is cut: the gradients of its
    micro-batches, each with its share of the sum, add up to the gradient of the whole.

    Args:
        length_N: scored tokens of every completion of the batch.
        how: see `aggregate`.
        max_tokens: length limit of a completion.
        num_tokens: all tokens of the global batch, where other processes hold a part of it; by default those here.
        num_completions: the same of completions.

    Raises:
        ValueError: `how` is unknown.
    """
    length_N = length_N.to(torch.float32)
    count = length_N.numel() if num_completions is None else num_completions
    if how == "grpo":
        return 1 / (length_N.clamp_min(1) * count)
    if how == "dr_grpo":
        return torch.full_like(length_N, 1 / (count * max_tokens))
    if how == "dapo":
        return torch.full_like(length_N, 1 / max(1, int(length_N.sum()) if num_tokens is None else num_tokens))
    raise ValueError(f"normalisation must be grpo, dr_grpo or dapo, got {how!r}")


def token_cross_entropy(logp_M: torch.Tensor, weight_M: torch.Tensor) -> torch.Tensor:
    """Weighted mean of -logp over the scored tokens."""
    return -(logp_M * weight_M).sum() / weight_M.sum()


def fidelity_loss(
    score_SK: torch.Tensor, mos_S: torch.Tensor, *, eps_variance: float = 1e-6, eps_root: float = 1e-6
) -> torch.Tensor:
    """1 - mean fidelity of scores with gradient: the differentiable twin of `core.rewards.fidelity.Fidelity`.

    Args:
        score_SK: K >= 1 scores of each of S >= 2 samples, for example the expected score of the answer's digits.
        mos_S: labels, on any one scale.
        eps_variance: added to the variance of a difference.
        eps_root: added under both roots; keeps the gradient finite where a preference is certain.

    Raises:
        ValueError: fewer than two samples.

    Source: VisualQuality-R1 (arXiv:2505.14460), there a reward. A sample with one score has variance 0.
    """
    num_samples, group_size = score_SK.shape
    if num_samples < 2:
        raise ValueError(f"fidelity compares samples and needs at least 2, got {num_samples}")
    mean_S = score_SK.mean(dim=1)
    variance_S = score_SK.var(dim=1) if group_size > 1 else torch.zeros_like(mean_S)
    spread_SS = (variance_S[:, None] + variance_S + eps_variance).sqrt()
    p_SKS = torch.special.ndtr((score_SK[:, :, None] - mean_S) / spread_SS[:, None])
    truth_S1S = ((mos_S[:, None] - mos_S).sign()[:, None] + 1) / 2
    value_SKS = (p_SKS * truth_S1S + eps_root).sqrt() + ((1 - p_SKS) * (1 - truth_S1S) + eps_root).sqrt()
    is_other_S1S = ~torch.eye(num_samples, dtype=torch.bool, device=score_SK.device)[:, None]
    return 1 - (value_SKS * is_other_S1S).sum() / (num_samples * group_size * (num_samples - 1))


def soft_label_loss(logits_SL: torch.Tensor, prob_SL: torch.Tensor) -> torch.Tensor:
    """KL(label || model) over the quality levels, mean over samples; 0 where they agree.

    Args:
        logits_SL: of the level tokens only, worst level first; the softmax is taken over them.
        prob_SL: soft labels from `core.soft_labels`, rows >= 0 with sum 1.

    Source: DeQA-Score (arXiv:2501.11561).
    """
    return torch.nn.functional.kl_div(logits_SL.log_softmax(-1), prob_SL, reduction="batchmean")


def pairwise_fidelity_loss(
    score_S: torch.Tensor, mos_S: torch.Tensor, std_S: torch.Tensor, pair_SS: torch.Tensor
) -> torch.Tensor:
    """1 - mean fidelity of the preferences between samples with one score each; 0 where there is no pair.

    The model prefers i to j with probability Phi((score_i - score_j) / sqrt 2), people do with
    Phi((mos_i - mos_j) / sqrt(std_i^2 + std_j^2)).

    Args:
        score_S: with gradient, on the scale of five levels: it fixes the model's spread at 1 level a sample.
        mos_S: labels.
        std_S: their spread, in the unit of the labels, >= 0; where both of a pair are 0, the better one wins surely.
        pair_SS: which (i, j) with i != j are compared; samples of different sets are not comparable.

    Source: DeQA-Score (arXiv:2501.11561). Deviation: 1e-6 under the roots keeps the gradient finite.
    """
    spread_SS = (std_S[:, None] ** 2 + std_S**2).sqrt()
    difference_SS = mos_S[:, None] - mos_S
    sure_SS = (difference_SS.sign() + 1) / 2
    truth_SS = torch.where(spread_SS > 0, torch.special.ndtr(difference_SS / spread_SS.clamp_min(1e-12)), sure_SS)
    p_SS = torch.special.ndtr((score_S[:, None] - score_S) / 2**0.5)
    value_SS = (p_SS * truth_SS + 1e-6).sqrt() + ((1 - p_SS) * (1 - truth_SS) + 1e-6).sqrt()
    return ((1 - value_SS) * pair_SS).sum() / pair_SS.sum().clamp_min(1)
