"""The policy's loss on one micro-batch: clipped ratio and KL to the reference, per scored token.

Shape letters: M scored tokens, N completions of the step.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from pondera.config import ReinforceStage
from pondera.engine.objective import clipped_policy_loss, k3_kl
from pondera.generate.backend import Completion
from pondera.models import Family


def policy_token_loss(
    stage: ReinforceStage,
    logp_M: torch.Tensor,
    advantage_M: torch.Tensor,
    *,
    reference_logp_M: torch.Tensor | None,
    kl_weight_M: torch.Tensor | None,
) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """The loss of every scored token, and per-token values worth logging.

    Args:
        stage: clipping bounds.
        logp_M: under the policy, with gradient.
        advantage_M: of each token.
        reference_logp_M: under the reference; None leaves the KL out.
        kl_weight_M: weight of the KL on each token.
    """
    # One update per batch: the sampling policy is this policy, so the ratio is 1 and only its gradient counts.
    loss_M = clipped_policy_loss(
        logp_M, logp_M.detach(), advantage_M, clip_low=stage.clip_low, clip_high=stage.clip_high
    )
    if reference_logp_M is None or kl_weight_M is None:
        return loss_M, {}
    kl_M = k3_kl(logp_M, reference_logp_M)
    return loss_M + kl_weight_M * kl_M, {"kl": kl_M.detach()}


def kl_weights(family: Family, stage: ReinforceStage, completions_N: Sequence[Completion]) -> torch.Tensor:
    """Weight of the KL on each token of all completions, in their order, [M].

    Rewards speak about the score: without a firmer hold, thoughts drift away from what the model sees
    (`docs/experiments.md`).
    """
    of_thought = stage.kl_weight if stage.thought_kl_weight is None else stage.thought_kl_weight
    weights: list[float] = []
    for completion in completions_N:
        length = thought_length(family, completion.ids)
        weights += [of_thought] * length + [stage.kl_weight] * (len(completion.ids) - length)
    return torch.tensor(weights)


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
