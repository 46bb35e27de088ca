"""Second views: what else the engine may look at in a step, for a reward or for a loss beside the policy's.

A degraded picture, a caption in place of the picture, shuffled frames: each is an `AuxiliaryView`. Before grading it
supplies side arrays, which reach reward terms as `Pool.side`; in the update it adds a loss to every micro-batch.

Shape letters: G groups of one process, K completions of a group, M scored tokens of a micro-batch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch

from pondera.engine.micro_batches import MicroBatch
from pondera.engine.rollouts import Rollouts
from pondera.models import EncodedPrompt, Family
from pondera.models.packing import PackedBatch, pack


@dataclass(frozen=True)
class Update:
    """One micro-batch after its forward pass.

    Args:
        rollouts: of the whole step; completion k of group g has the number g K + k.
        part: which completions these are: `part.branch_N[packed.branch_M]` is the number of a token's completion.
        packed: the rows that the model read.
        logp_M: of every scored token under the policy, with gradient.
        entropy_M: of every prediction.
        weight_M: what each token weighs in the loss of the global batch: a loss per token is added up as
            (weight_M * loss_M).sum(), and the micro-batches' sums are the normalised loss.
    """

    rollouts: Rollouts
    part: MicroBatch
    packed: PackedBatch
    logp_M: torch.Tensor
    entropy_M: torch.Tensor
    weight_M: torch.Tensor

    def behind(self, family: Family, prompts_G: Sequence[EncodedPrompt]) -> PackedBatch:
        """The same completions behind other prompts; the scored tokens keep their order, so that results line up.

        Args:
            family: packs.
            prompts_G: one prompt for every group of the step.
        """
        groups, first = [], 0
        for _, branches in self.part.groups:
            g = self.part.branch_N[first] // len(self.rollouts.groups[0])
            groups.append((prompts_G[g], branches))
            first += len(branches)
        return pack(family, groups)


class AuxiliaryView(Protocol):
    """A second view of the samples of a step. `side` names the arrays that `side_arrays` returns."""

    side: tuple[str, ...]

    def side_arrays(self, rollouts: Rollouts) -> Mapping[str, np.ndarray]:
        """Values of every completion, each [G, K], before grading and without gradient; empty for a loss only."""
        ...

    def loss(self, model: Any, update: Update) -> tuple[torch.Tensor, Mapping[str, float]]:
        """A loss to be added to that of a micro-batch, and values to be logged, means over its tokens.

        A loss per token is added up with the weights `update.weight_M`. Zero for a view that only rewards read.
        Forward passes go through `model`, never through a part of it.
        """
        ...
