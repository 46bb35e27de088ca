"""Views whose loss pushes the policy away from what it would say about a damaged picture (Q-Hawkeye, PAPO).

The completions of a step are read a second time behind the changed picture, without gradient, and their divergence from
the policy's own view is raised: who looks must notice the damage.

Shape letters: G groups of one process, M scored tokens of a micro-batch.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch

from pondera.config import DegradedView, MaskedView
from pondera.core.records import Sample
from pondera.data.presentation import Change, Presentation
from pondera.engine.auxiliary import Update
from pondera.engine.rollouts import Rollouts
from pondera.engine.second_views.divergence import cosine_decay, view_kl
from pondera.engine.second_views.pictures import Damage, masked, visible_damage
from pondera.engine.second_views.tools import Tools
from pondera.models import EncodedPrompt
from pondera.models.distribution import summed
from pondera.models.packing import packed_logps


class PicturesApart:
    """loss = -weight(epoch) * mean over all tokens of the global batch of `view_kl`.

    A picture that could not be changed visibly adds tokens to the mean and nothing to the sum.

    Args:
        tools: the trainer's.
        name: of the view, in logs.
        change: makes the changed presentation.
        is_changed: whether a sample's pictures could be changed.
        weight: of the divergence, > 0.
        last_epoch: see `cosine_decay`.

    Source: Q-Hawkeye arXiv:2601.22920 (code: weight 1e-4, to 0 at epoch 5); PAPO arXiv:2507.06448 (0.02 and 0.01). The
    entropy terms that both describe are left out: the first one's released script never turns them on. That the second
    view has no gradient is the first one's form; for PAPO it is ours.
    """

    side: tuple[str, ...] = ()

    def __init__(
        self,
        tools: Tools,
        name: str,
        change: Change,
        is_changed: Callable[[Sample], bool],
        *,
        weight: float,
        last_epoch: float | None,
    ) -> None:
        self.tools, self.name, self.change, self.is_changed = tools, name, change, is_changed
        self.weight, self.last_epoch = weight, last_epoch
        self._prompts: list[EncodedPrompt] = []
        self._share_of_a_token = 0.0

    def side_arrays(self, rollouts: Rollouts) -> Mapping[str, np.ndarray]:
        """None; encodes the changed pictures of the step."""
        self._prompts = self.tools.encode(rollouts.samples, rollouts.questions, rollouts.seeds, change=self.change)
        num_tokens = sum(len(completion.ids) for group in rollouts.groups for completion in group)
        (total,) = summed([num_tokens], self.tools.family.device)
        self._share_of_a_token = 1 / total
        return {}

    def loss(self, model: Any, update: Update) -> tuple[torch.Tensor, Mapping[str, float]]:
        """The divergence of one micro-batch, its sign turned; logs it and the share of tokens behind a change."""
        with torch.no_grad():
            view_logp_M, _ = packed_logps(model, update.behind(self.tools.family, self._prompts))
        kl_M = view_kl(update.logp_M, view_logp_M)
        weight = self.weight * cosine_decay(self.tools.epoch(update.rollouts.step), self.last_epoch)
        changed_G = torch.tensor([self.is_changed(sample) for sample in update.rollouts.samples])
        group_N = torch.tensor(update.part.branch_N) // len(update.rollouts.groups[0])
        is_changed_M = changed_G[group_N][update.packed.branch_M.cpu()]
        logs = {f"{self.name}/kl": kl_M.mean(), f"{self.name}/changed": is_changed_M.double().mean()}
        return -weight * self._share_of_a_token * kl_M.sum(), {name: float(v.detach()) for name, v in logs.items()}


def degraded_view(settings: DegradedView, tools: Tools) -> PicturesApart:
    """One degradation for each sample, the same in every step; several pictures of a sample share it."""
    damage_of: dict[str, Damage | None] = {}

    def change(presentation: Presentation, sample: Sample, seed: int) -> Presentation:
        own = zlib.crc32(f"{tools.seed}/degraded/{sample.id}".encode())
        if sample.id not in damage_of:
            damage_of[sample.id] = visible_damage(presentation.images, own, threshold=settings.visible_mdsi)
        damage = damage_of[sample.id]
        return presentation if damage is None else presentation.with_images(lambda image, n: damage(image, own + n))

    return PicturesApart(
        tools,
        settings.kind,
        change,
        lambda sample: damage_of[sample.id] is not None,
        weight=settings.weight,
        last_epoch=settings.last_epoch,
    )


def masked_view(settings: MaskedView, tools: Tools) -> PicturesApart:
    """Other patches in each step."""

    def change(presentation: Presentation, sample: Sample, seed: int) -> Presentation:
        return presentation.with_images(
            lambda image, n: masked(image, seed + n, patch_px=settings.patch_px, probability=settings.probability)
        )

    return PicturesApart(
        tools, settings.kind, change, lambda sample: True, weight=settings.weight, last_epoch=settings.last_epoch
    )
