"""What a step learns from: graded roll-outs, with what every update on them shares.

Shape letters: M scored tokens of a micro-batch, N completions of this process in the step, T tokens of one of them, G
groups of K completions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from pondera.config import ReinforceStage
from pondera.engine.micro_batches import Group
from pondera.engine.objective import completion_weights
from pondera.engine.policy_loss import kl_weights, thought_length, token_advantages
from pondera.engine.rollouts import Rollouts
from pondera.models import Family
from pondera.models.packing import Branch


@dataclass
class Lesson:
    """Graded roll-outs, with all that every update on them shares; values per token are N tensors [T].

    Args:
        rollouts: the completions.
        groups: the same as rows to be packed.
        advantage_NT: of each token.
        weight_N: what a token of each completion weighs in the loss of the global batch.
        kl_weight_NT: weight of the KL on each token.
        sampled_logp_NT: as the back-end reported it.
        num_tokens: of the global batch.
        old_logp_NT: under the policy that sampled, from the first update on.
        reference_logp_NT: under the reference, likewise.
        learns_NT: whether the policy learns from each token (entropy gate); empty for all.
    """

    rollouts: Rollouts
    groups: tuple[Group, ...]
    advantage_NT: list[torch.Tensor]
    weight_N: torch.Tensor
    kl_weight_NT: list[torch.Tensor]
    sampled_logp_NT: list[torch.Tensor]
    num_tokens: int
    old_logp_NT: dict[int, torch.Tensor] = field(default_factory=dict)
    reference_logp_NT: dict[int, torch.Tensor] = field(default_factory=dict)
    learns_NT: dict[int, torch.Tensor] = field(default_factory=dict)

    def keep(self, held: dict[int, torch.Tensor], value_M: torch.Tensor, numbers: Sequence[int]) -> None:
        """Hold values of tokens by the number of their completion, unless they are held already.

        Args:
            held: one of the dictionaries above.
            value_M: tokens of some completions, in the order in which they are packed.
            numbers: of these completions.
        """
        lengths = [len(self.advantage_NT[n]) for n in numbers]
        for n, value_T in zip(numbers, value_M.detach().split(lengths), strict=True):
            held.setdefault(n, value_T)


def make_lesson(
    family: Family,
    stage: ReinforceStage,
    rollouts: Rollouts,
    advantage_GK: np.ndarray,
    *,
    num_completions: int,
    num_tokens: int,
    max_tokens: int,
) -> Lesson:
    """Spread advantages, KL weights and normalisation over the tokens.

    Args:
        family: finds where thoughts end.
        stage: settings.
        rollouts: of this process.
        advantage_GK: of its completions.
        num_completions: of the global batch.
        num_tokens: of the global batch.
        max_tokens: length limit of a completion.
    """
    completions_N = [completion for group in rollouts.groups for completion in group]
    thought_N = [thought_length(family, completion.ids) for completion in completions_N]
    pairs = zip(rollouts.prompts, rollouts.groups, strict=True)
    return Lesson(
        rollouts=rollouts,
        groups=tuple((prompt, [Branch.scored(c.ids) for c in group]) for prompt, group in pairs),
        advantage_NT=token_advantages(stage, advantage_GK.ravel(), completions_N, thought_N),
        weight_N=completion_weights(
            torch.tensor([len(c.ids) for c in completions_N]),
            how=stage.normalise,
            max_tokens=max_tokens,
            num_tokens=num_tokens,
            num_completions=num_completions,
        ),
        kl_weight_NT=kl_weights(stage, completions_N, thought_N),
        sampled_logp_NT=[torch.tensor(completion.logps) for completion in completions_N],
        num_tokens=num_tokens,
    )


def tokens_of(
    value_NT: Mapping[int, torch.Tensor] | Sequence[torch.Tensor], numbers: Sequence[int], device: torch.device
) -> torch.Tensor:
    """Values of the tokens of some completions, in the order in which they are packed, [M].

    Args:
        value_NT: by the number of a completion.
        numbers: of these completions.
        device: where they are wanted.
    """
    return torch.cat([value_NT[n] for n in numbers]).to(device)
