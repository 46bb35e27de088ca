"""The policy's loss on one micro-batch: clipped ratio, entropy gate and KL to the reference, per scored token.

Shape letters: M scored tokens of a micro-batch, N completions of the step, T tokens of one completion.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from pondera.config import ReinforceStage
from pondera.engine.objective import clipped_ratio_loss, k3_kl, sequence_log_ratio, unbiased_k3_kl
from pondera.generate.backend import Completion
from pondera.models import Family


@dataclass(frozen=True)
class ScoredTokens:
    """What is known of the scored tokens of a micro-batch.

    Args:
        logp_M: under the policy, with gradient.
        old_logp_M: under the policy that sampled.
        advantage_M: of each token.
        completion_M: number of its completion in the micro-batch.
        learns_M: whether the policy term counts; None for all.
        reference_logp_M: under the reference; None leaves the KL out.
        kl_weight_M: weight of the KL.
    """

    logp_M: torch.Tensor
    old_logp_M: torch.Tensor
    advantage_M: torch.Tensor
    completion_M: torch.Tensor
    learns_M: torch.Tensor | None = None
    reference_logp_M: torch.Tensor | None = None
    kl_weight_M: torch.Tensor | None = None


def policy_token_loss(stage: ReinforceStage, tokens: ScoredTokens) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """The loss of every scored token, and values of every token worth logging.

    Args:
        stage: bounds, kind of ratio, estimate of the KL.
        tokens: of one micro-batch.

    Returns:
        loss_M, and without gradient: `clipped` (1 where a bound stops the gradient), `kl` where there is a reference.
    """
    log_ratio_M = tokens.logp_M - tokens.old_logp_M
    if stage.ratio == "sequence":
        num_completions = int(tokens.completion_M.max()) + 1
        log_ratio_M = sequence_log_ratio(tokens.logp_M, tokens.old_logp_M, tokens.completion_M, num_completions)
    loss_M = clipped_ratio_loss(
        log_ratio_M,
        tokens.advantage_M,
        clip_low=stage.clip_low,
        clip_high=stage.clip_high,
        dual_clip=stage.dual_clip,
    )
    values = {"clipped": _is_clipped(stage, log_ratio_M.detach(), tokens.advantage_M).float()}
    if tokens.learns_M is not None:
        loss_M = loss_M * tokens.learns_M
    if tokens.reference_logp_M is not None and tokens.kl_weight_M is not None:
        kl_M = k3_kl(tokens.logp_M, tokens.reference_logp_M)
        values["kl"] = kl_M.detach()
        if stage.kl_estimate == "unbiased_k3":
            kl_M = unbiased_k3_kl(tokens.logp_M, tokens.old_logp_M, tokens.reference_logp_M)
        loss_M = loss_M + tokens.kl_weight_M * kl_M
    return loss_M, values


def _is_clipped(stage: ReinforceStage, log_ratio_M: torch.Tensor, advantage_M: torch.Tensor) -> torch.Tensor:
    ratio_M = log_ratio_M.exp()
    is_high_M = (ratio_M > 1 + stage.clip_high) & (advantage_M > 0)
    is_low_M = (ratio_M < 1 - stage.clip_low) & (advantage_M < 0)
    if stage.dual_clip is None:
        return is_high_M | is_low_M
    return is_high_M | is_low_M | ((ratio_M > stage.dual_clip) & (advantage_M < 0))


def token_advantages(
    stage: ReinforceStage, advantage_N: np.ndarray, completions_N: Sequence[Completion], thought_N: Sequence[int]
) -> list[torch.Tensor]:
    """The advantage of every token, N tensors [T]: that of its completion, times a factor on the thought.

    Args:
        stage: the factor.
        advantage_N: of each completion.
        completions_N: their tokens.
        thought_N: how many of these stand before the answer.
    """
    found = []
    for advantage, completion, thought in zip(advantage_N, completions_N, thought_N, strict=True):
        advantage_T = torch.full((len(completion.ids),), float(advantage))
        advantage_T[:thought] *= stage.thought_advantage
        found.append(advantage_T)
    return found


def kl_weights(
    stage: ReinforceStage, completions_N: Sequence[Completion], thought_N: Sequence[int]
) -> list[torch.Tensor]:
    """Weight of the KL on every token, N tensors [T].

    Rewards speak about the score: without a firmer hold, thoughts drift away from what the model sees
    (`docs/experiments.md`).
    """
    of_thought = stage.kl_weight if stage.thought_kl_weight is None else stage.thought_kl_weight
    return [
        torch.tensor([of_thought] * thought + [stage.kl_weight] * (len(completion.ids) - thought))
        for completion, thought in zip(completions_N, thought_N, strict=True)
    ]


def thought_length(family: Family, ids: Sequence[int], mark: str = "<answer>") -> int:
    """How many tokens stand before the answer: up to the token that completes its mark; all, where there is none."""
    low, high = 0, len(ids)
    if mark not in family.decode(ids):
        return high
    while low < high:  # the shortest prefix whose text holds the mark
        middle = (low + high) // 2
        if mark in family.decode(ids[:middle]):
            high = middle
        else:
            low = middle + 1
    return low
