"""Roll-outs on frames out of order, and what they would earn (VQ-Insight, VQAThinker).

A reward that compares samples needs those of all processes, so the perturbed completions are gathered and judged in
pools of their own, as the ordered ones are. Shape letters: G groups of one process, S samples in a pool, K completions
of a group.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from pondera.config import PerturbedFramesView
from pondera.core.pool import Pool
from pondera.core.records import Sample
from pondera.core.rewards import TemporalBonus
from pondera.core.rewards.base import readable
from pondera.core.system import System, Weighted
from pondera.data.presentation import Presentation
from pondera.engine.auxiliary import Update
from pondera.engine.grading import make_pool
from pondera.engine.rollouts import GroupRecord, Rollouts, gather_records
from pondera.engine.second_views.frames import ORDERS, perturbed_order
from pondera.engine.second_views.tools import Tools

_SHUFFLED_ONLY = "perturbed_reward"  # VQ-Insight's side array; its frames are shuffled and nothing else


class PerturbedFrames:
    """Rewards of the answers to the same question about frames out of order, under the names of the temporal bonuses.

    Args:
        settings: which orders, how many completions.
        tools: the trainer's.

    Source: VQ-Insight arXiv:2506.18564 (code: shuffled frames, half as many completions); VQAThinker arXiv:2508.06051
    (code: six perturbations; how many completions is not stated: half is ours).
    """

    def __init__(self, settings: PerturbedFramesView, tools: Tools) -> None:
        self.tools = tools
        self.side = perturbed_names(tools.system)
        only_shuffled = set(self.side) == {_SHUFFLED_ONLY}
        self.orders: tuple[str, ...] = settings.orders or (("shuffle",) if only_shuffled else tuple(ORDERS))
        self.completions = settings.completions or max(2, tools.group_size // 2)

    def side_arrays(self, rollouts: Rollouts) -> Mapping[str, np.ndarray]:
        """One row a group: the reward of each perturbed completion, then NaN; all NaN for a sample without frames."""
        texts = self._roll_out(rollouts)
        records = [
            GroupRecord(sample, rollouts.places[g], texts.get(g, ()), (0,) * len(texts.get(g, ())))
            for g, sample in enumerate(rollouts.samples)
        ]
        everyone = gather_records(records)
        own = {(sample.dataset, sample.task) for sample in rollouts.samples}
        rewards: dict[str, dict[str, np.ndarray]] = {}
        for dataset, task in sorted(own):
            pool_records = [r for r in everyone if (r.sample.dataset, r.sample.task) == (dataset, task) and r.texts]
            if pool_records:
                pool = make_pool(self.tools.system, pool_records, stage=self.tools.stage, step=rollouts.step)
                rewards |= _by_sample(pool, perturbed_rewards(self.tools.system, pool))
        shape = (len(rollouts.samples), self.tools.group_size)
        side = {name: np.full(shape, np.nan) for name in self.side}
        for g, sample in enumerate(rollouts.samples):
            for name, value_K in rewards.get(sample.id, {}).items():
                side[name][g, : len(value_K)] = value_K
        return side

    def loss(self, model: Any, update: Update) -> tuple[torch.Tensor, Mapping[str, float]]:
        """None."""
        return update.logp_M.new_zeros(()), {}

    def _roll_out(self, rollouts: Rollouts) -> dict[int, tuple[str, ...]]:
        """Texts of the perturbed completions by group; none for samples without frames."""
        moving = [g for g, sample in enumerate(rollouts.samples) if has_frames(sample)]
        if not moving:
            return {}
        prompts = self.tools.encode(
            [rollouts.samples[g] for g in moving],
            [rollouts.questions[g] for g in moving],
            [rollouts.seeds[g] for g in moving],
            change=self._perturb,
        )
        groups = self.tools.backend.generate(
            prompts,
            num_completions=self.completions,
            max_new_tokens=self.tools.card.max_new_tokens,
            temperature=self.tools.temperature,
            seeds=[zlib.crc32(f"perturbed/{rollouts.seeds[g]}".encode()) for g in moving],
        )
        return {g: tuple(c.text for c in group) for g, group in zip(moving, groups, strict=True)}

    def _perturb(self, presentation: Presentation, sample: Sample, seed: int) -> Presentation:
        generator = np.random.default_rng(seed)
        kind = str(generator.choice(self.orders))
        # A run of one frame (a single local picture) has no order.
        return presentation.with_frames(
            lambda num: perturbed_order(kind, num, generator) if num > 1 else list(range(num))
        )


def has_frames(sample: Sample) -> bool:
    """Whether a sample is shown as frames whose order means something."""
    return sample.kind == "video" or sum(media.role == "frame" for media in sample.media) > 1


def perturbed_names(system: System) -> tuple[str, ...]:
    """Side arrays that the temporal bonuses of a system read."""
    return tuple(dict.fromkeys(w.term.side_name for w in system.terms if isinstance(w.term, TemporalBonus)))


def perturbed_rewards(system: System, pool: Pool) -> dict[str, np.ndarray]:
    """What each completion of a pool would earn under the rewards that temporal bonuses compare, [S, K] by side name.

    NaN where a completion is unreadable or not present: a bonus compares means over answers that could be read, on
    both sides. Counted as 0, broken answers about perturbed frames would pay for the ordered ones.

    Args:
        system: its `TemporalBonus` terms name the reward and the side array.
        pool: perturbed completions.
    """
    found: dict[str, np.ndarray] = {}
    for weighted in system.terms:
        if isinstance(weighted.term, TemporalBonus):
            # Several tasks may share a name: each term is 0 for samples of the other tasks.
            value_SK = Weighted(weighted.term.kernel, tasks=weighted.tasks).values(pool)
            found[weighted.term.side_name] = found.get(weighted.term.side_name, 0.0) + value_SK
    return {name: np.where(readable(pool), value_SK, np.nan) for name, value_SK in found.items()}


def _by_sample(pool: Pool, rewards: Mapping[str, np.ndarray]) -> dict[str, dict[str, np.ndarray]]:
    return {sample: {name: value_SK[s] for name, value_SK in rewards.items()} for s, sample in enumerate(pool.sample_S)}
