"""What a generation back-end returns, and the seeds that make it repeatable."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

if TYPE_CHECKING:  # teachers need the seeds, and should not wait for torch
    from pondera.models.family import EncodedPrompt


@dataclass(frozen=True)
class Completion:
    """One completion as sampled.

    Args:
        ids: sampled token ids, the stop token included when there is one.
        logps: log-probability of each of them under the sampling policy at temperature 1.
        text: the decoded text.
        is_finished: ended with a stop token rather than at the length limit.
    """

    ids: tuple[int, ...]
    logps: tuple[float, ...]
    text: str
    is_finished: bool


class Backend(Protocol):
    """Anything that completes prompts with the policy in training."""

    def refresh(self, step: int) -> None:
        """Called before the roll-outs of a step: engines with a copy of the weights take them over."""
        ...

    def generate(
        self,
        prompts: Sequence[EncodedPrompt],
        *,
        num_completions: int,
        max_new_tokens: int,
        temperature: float,
        seeds: Sequence[int],
    ) -> list[list[Completion]]:
        """Complete each prompt `num_completions` times; temperature 0 is greedy. One seed a prompt."""
        ...


def sample_seed(sample: str, *, seed: int, step: int = 0) -> int:
    """A seed that depends on the sample's name, the run and the step, and on nothing else in the batch."""
    return zlib.crc32(f"{seed}/{step}/{sample}".encode())


def uniforms(seed: int, k: int, length: int) -> np.ndarray:
    """The random numbers that completion k of a prompt will use, shape [length], in [0, 1)."""
    return np.random.Generator(np.random.Philox(key=[seed, k])).random(length)
