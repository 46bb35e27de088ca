"""What second views work with, and the passes through a model that several of them share.

Shape letters: G groups of one process, K completions of a group, N = G x K completions, T tokens of one of them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from pondera.core.records import Sample
from pondera.core.system import System
from pondera.engine.encoder import PromptEncoder
from pondera.engine.rollouts import Rollouts
from pondera.generate.backend import Backend
from pondera.models import EncodedPrompt, Family, ModelCard
from pondera.models.packing import Branch, pack, packed_logps

# One pass holds so many groups. The number is fixed, so that processes that share a model make equally many passes.
GROUPS_A_PASS = 4


@dataclass(frozen=True)
class Tools:
    """What views compute with; the trainer's own.

    Args:
        family: the policy.
        reference: the model that the stage started from; called when it is needed.
        encode: questions and samples to prompts.
        readable: those of samples that can be read with seed 0; called by all processes with the same ones.
        backend: samples from the policy.
        card: prompts and answer format.
        system: rewards.
        stage: name of the stage.
        temperature: of roll-outs.
        group_size: completions a sample, K.
        epoch: passes over the data at a step.
        folder: of the stage.
        seed: of the run.
    """

    family: Family
    reference: Callable[[], Family]
    encode: PromptEncoder
    readable: Callable[[Sequence[Sample]], list[Sample]]
    backend: Backend
    card: ModelCard
    system: System
    stage: str
    temperature: float
    group_size: int
    epoch: Callable[[int], float]
    folder: Path
    seed: int


@torch.no_grad()
def branch_logps(family: Family, groups: Sequence[tuple[EncodedPrompt, Sequence[Branch]]]) -> list[torch.Tensor]:
    """Log-probabilities of the scored tokens of every branch, in order, each [T]; the model is put into evaluation.

    Args:
        family: the model that reads them.
        groups: prompts with their branches, each branch with a scored token.
    """
    was_training = family.model.training
    family.model.eval()
    found: list[torch.Tensor] = []
    try:
        for start in range(0, len(groups), GROUPS_A_PASS):
            part = groups[start : start + GROUPS_A_PASS]
            packed = pack(family, part)
            logp_M, _ = packed_logps(family.model, packed)
            count_N = torch.bincount(packed.branch_M, minlength=sum(len(branches) for _, branches in part))
            found += logp_M.split(count_N.tolist())
    finally:
        family.model.train(was_training)
    return found


def completion_branches(rollouts: Rollouts) -> list[list[Branch]]:
    """All completions as branches, by group."""
    return [[Branch.scored(completion.ids) for completion in group] for group in rollouts.groups]


def as_groups(value_N: Sequence[float], rollouts: Rollouts) -> np.ndarray:
    """One number a completion as a side array [G, K]."""
    return np.asarray(value_N, dtype=np.float64).reshape(len(rollouts.groups), -1)
