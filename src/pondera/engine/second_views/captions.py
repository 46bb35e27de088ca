"""Captions in place of pictures (CapPO-style): written once by the model a stage starts from, or given.

Shape letters: G groups of one process, K completions of a group, M scored tokens of a micro-batch.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pondera.config import CaptionView
from pondera.core.records import Sample
from pondera.data.presentation import Presentation
from pondera.engine.auxiliary import Update
from pondera.engine.questions import questions
from pondera.engine.rollouts import Rollouts
from pondera.engine.second_views.divergence import view_kl
from pondera.engine.second_views.tools import Tools, as_groups, branch_logps, completion_branches
from pondera.engine.second_views.wording import masked_numbers
from pondera.errors import TrainingError
from pondera.models import EncodedPrompt
from pondera.models.distribution import is_sharded, rank, shared_out, summed
from pondera.models.packing import packed_logps

CAPTION_FIELD = "caption"  # of a sample's targets
_FILE = "captions.jsonl"
_INTRODUCTION = "A description of what is to be judged: {}"
_THOUGHT = re.compile(r"(?:<think>)?(.*?)(?:</think>.*|<answer>.*|$)", re.DOTALL)


class Captioned:
    """`caption_kl`, the divergence between a caption's and the picture's view of each completion, and a loss on it.

    kl_k = mean over the tokens of completion k of `view_kl`; loss = weight * mean over completions of kl_k. The
    gradient goes through the picture's view only.

    Args:
        tools: the trainer's.
        captions: by sample id; a completion about a sample without one has NaN and no loss.
        weight: of the divergence, >= 0.

    Source: CapPO arXiv:2509.21854 publishes the idea only; the divergence, its bounds and the constants are ours.
    """

    side: tuple[str, ...] = ("caption_kl",)

    def __init__(self, tools: Tools, captions: Mapping[str, str], *, weight: float) -> None:
        self.tools, self.captions, self.weight = tools, captions, weight
        self._prompts: list[EncodedPrompt] = []
        self._num_completions = 0.0

    def side_arrays(self, rollouts: Rollouts) -> Mapping[str, np.ndarray]:
        """`caption_kl` under the policy that sampled, [G, K]."""
        self._prompts = self.tools.encode(
            rollouts.samples, rollouts.questions, rollouts.seeds, change=self._in_place_of_pictures
        )
        num_completions = sum(len(group) for group in rollouts.groups)
        (self._num_completions,) = summed([num_completions], self.tools.family.device)
        behind = list(zip(self._prompts, completion_branches(rollouts), strict=True))
        sampled = [torch.tensor(c.logps) for group in rollouts.groups for c in group]
        pairs = zip(sampled, branch_logps(self.tools.family, behind), strict=True)
        kl_GK = as_groups([float(view_kl(own_T, view_T.cpu()).mean()) for own_T, view_T in pairs], rollouts)
        has_caption_G = np.array([sample.id in self.captions for sample in rollouts.samples])
        return {"caption_kl": np.where(has_caption_G[:, None], kl_GK, np.nan)}

    def loss(self, model: Any, update: Update) -> tuple[torch.Tensor, Mapping[str, float]]:
        """The weighted divergence of one micro-batch."""
        if self.weight == 0:
            return update.logp_M.new_zeros(()), {}
        with torch.no_grad():
            view_logp_M, _ = packed_logps(model, update.behind(self.tools.family, self._prompts))
        kl_M = view_kl(update.logp_M, view_logp_M)
        return self.weight * (self._shares(update) * kl_M).sum(), {"caption/kl": float(kl_M.detach().mean())}

    def _shares(self, update: Update) -> torch.Tensor:
        """What each token counts in the mean over completions of means over tokens; 0 without a caption."""
        completions = [c for group in update.rollouts.groups for c in group]
        group_size = len(update.rollouts.groups[0])
        share_N = torch.tensor(
            [
                (update.rollouts.samples[n // group_size].id in self.captions) / (len(c.ids) * self._num_completions)
                for n, c in enumerate(completions)
            ]
        )
        number_M = torch.tensor(update.part.branch_N)[update.packed.branch_M.cpu()]
        return share_N[number_M].to(update.logp_M)

    def _in_place_of_pictures(self, presentation: Presentation, sample: Sample, seed: int) -> Presentation:
        return Presentation((_INTRODUCTION.format(self.captions.get(sample.id, "not known")),))


def caption_view(settings: CaptionView, tools: Tools, train: Sequence[Sample]) -> Captioned:
    """Collect the captions of all samples, writing what is missing with the policy as it is now.

    Raises:
        TrainingError: captions come from the manifest and one is missing, or too many samples cannot be read.
    """
    captions: dict[str, str] = {}
    if settings.source in ("auto", "manifest"):
        captions = {s.id: c for s in train if isinstance(c := s.targets.get(CAPTION_FIELD), str) and c.strip()}
    missing = [sample for sample in train if sample.id not in captions]
    if missing and settings.source == "manifest":
        raise TrainingError(
            f"sample {missing[0].id!r} has no targets.{CAPTION_FIELD}; add it to its line, or let the model write "
            "captions: second_views caption, source: auto"
        )
    if missing:
        captions |= _written_once(settings, tools, missing)
    return Captioned(tools, captions, weight=settings.weight)


def caption_from(completion: str) -> str:
    """The caption in a completion: its thought where it has one, else all of it, with numbers written as #."""
    found = _THOUGHT.match(completion.strip())
    assert found is not None  # every part of the pattern may be empty
    return " ".join(masked_numbers(found.group(1)).split())


def _written_once(settings: CaptionView, tools: Tools, missing: Sequence[Sample]) -> dict[str, str]:
    """Captions from the stage's folder, and new ones for the samples that have none there. All processes share them.

    A sample that cannot be read gets none, and is tried again by the next run.
    """
    path = tools.folder / _FILE
    kept = _read(path)
    fresh = [sample for sample in missing if sample.id not in kept]
    readable = tools.readable(fresh)
    written = shared_out(readable, lambda own: _write(settings, tools, own), jointly=is_sharded(tools.family.model))
    kept |= {sample.id: caption for sample, caption in zip(readable, written, strict=True)}
    if fresh and rank() == 0:
        partial = path.with_suffix(".partial")
        lines = [json.dumps({"sample": name, "caption": text}) + "\n" for name, text in kept.items()]
        partial.write_text("".join(lines), encoding="utf-8")
        partial.replace(path)
    empty = [sample.id for sample in missing if kept.get(sample.id) == ""]
    if empty:
        logging.getLogger("pondera").warning(
            "caption view: %d of %d samples have an empty caption and do without, such as %s",
            len(empty),
            len(missing),
            empty[0],
        )
    return {sample.id: kept[sample.id] for sample in missing if kept.get(sample.id)}


def _read(path: Path) -> dict[str, str]:
    if not path.is_file():
        return {}
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return {line["sample"]: line["caption"] for line in lines}


def _write(settings: CaptionView, tools: Tools, samples: Sequence[Sample]) -> list[str]:
    captions: list[str] = []
    tools.backend.refresh(0)
    for start in range(0, len(samples), 16):
        part = samples[start : start + 16]
        texts = (
            questions(tools.card, part, [0] * len(part))
            if settings.question is None
            else [settings.question] * len(part)
        )
        groups = tools.backend.generate(
            tools.encode(part, texts, [0] * len(part)),
            num_completions=1,
            max_new_tokens=tools.card.max_new_tokens,
            temperature=0.0,
            seeds=[0] * len(part),
        )
        captions += [caption_from(completion.text) for (completion,) in groups]
    return captions
