"""Views that ask what a thought is worth: to a reader who sees no picture, and to the answer's probability.

Shape letters: G groups of one process, K completions of a group, N = G x K.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from pondera.assess.expected import expected_scores
from pondera.core.answers import Numbers
from pondera.core.records import Sample
from pondera.engine.auxiliary import Update
from pondera.engine.questions import questions
from pondera.engine.rollouts import Rollouts
from pondera.engine.second_views.tools import Tools, as_groups, branch_logps
from pondera.engine.second_views.wording import answer_number, ids_before, label_branch, masked_thought
from pondera.models import EncodedPrompt
from pondera.models.packing import Branch


class TextOnly:
    """`text_score`: the score that the reference model reads from a thought alone.

    It is asked the same question without the picture, has "thought" what the completion says before its answer, with
    every number written as #, and its expected score is read from the probabilities of the answer's digits. NaN where a
    completion has no thought or no answer.

    Args:
        tools: the trainer's.

    Source: Q-Ponder arXiv:2506.05384 names the agreement of score and reasoning only; all of this is ours.
    """

    side: tuple[str, ...] = ("text_score",)

    def __init__(self, tools: Tools) -> None:
        self.tools = tools

    @torch.no_grad()
    def side_arrays(self, rollouts: Rollouts) -> Mapping[str, np.ndarray]:
        """`text_score` on the system's working scale, [G, K]."""
        reference, body = self.tools.reference(), self.tools.card.answer.body
        assert isinstance(body, Numbers)  # checked when views are planned
        scores: list[float] = []
        for question, sample, group in zip(rollouts.questions, rollouts.samples, rollouts.groups, strict=True):
            asked = reference.encode([], question)
            thoughts = [masked_thought(c.text) if sample.task == "score" else None for c in group]
            read = [EncodedPrompt((*asked.ids, *reference.encode_text(t or "")), asked.media) for t in thoughts]
            score_K, _ = expected_scores(reference, read, body)
            scores += [math.nan if t is None else s for t, s in zip(thoughts, score_K.tolist(), strict=True)]
        return {"text_score": self.tools.system.on_working_scale(as_groups(scores, rollouts))}

    def loss(self, model: Any, update: Update) -> tuple[torch.Tensor, Mapping[str, float]]:
        """None."""
        return update.logp_M.new_zeros(()), {}


class Thought:
    """`p_think` and `p_nothink`: the policy's probability of the label's first decimal, behind a thought and without.

    The label is written over the answer's last number. Without a thought there is nothing left in an answer that could
    differ from one completion to the next, so one pass behind the prompt for answers without thought serves a group.

    Args:
        tools: the trainer's.

    Source: Refine-IQA arXiv:2508.03763 (code); there the second probability comes from generated answers.
    """

    side: tuple[str, ...] = ("p_think", "p_nothink")

    def __init__(self, tools: Tools) -> None:
        self.tools = tools

    def side_arrays(self, rollouts: Rollouts) -> Mapping[str, np.ndarray]:
        """Both probabilities, [G, K]; NaN where a sample has no label or a completion no number in its answer."""
        family, samples = self.tools.family, rollouts.samples
        labels = [self._label(sample) for sample in samples]
        behind = [
            (prompt, [self._behind_thought(completion, label) for completion in group])
            for prompt, group, label in zip(rollouts.prompts, rollouts.groups, labels, strict=True)
        ]
        fast = questions(replace(self.tools.card, prompt=self.tools.card.fast_prompt), samples, rollouts.seeds)
        opened = family.encode_text("<answer>" + self._prefix())
        asked = self.tools.encode(samples, fast, rollouts.seeds)
        without = [
            (prompt, [label_branch(family, opened, label or "1.0")])
            for prompt, label in zip(asked, labels, strict=True)
        ]
        p_think = as_groups([float(logp.exp()) for logp in branch_logps(family, behind)], rollouts)
        p_nothink_G = np.array([float(logp.exp()) for logp in branch_logps(family, without)])
        has_label_G1 = np.array([label is not None for label in labels])[:, None]
        has_number_GK = np.array([[answer_number(c.text) is not None for c in group] for group in rollouts.groups])
        p_nothink = np.broadcast_to(p_nothink_G[:, None], p_think.shape)
        return {
            "p_think": np.where(has_label_G1 & has_number_GK, p_think, np.nan),
            "p_nothink": np.where(has_label_G1, p_nothink, np.nan),
        }

    def loss(self, model: Any, update: Update) -> tuple[torch.Tensor, Mapping[str, float]]:
        """None."""
        return update.logp_M.new_zeros(()), {}

    def _label(self, sample: Sample) -> str | None:
        mos = sample.mos_on(self.tools.system.answer_scale)
        return None if math.isnan(mos) or sample.task != "score" else f"{mos:.2f}"

    def _prefix(self) -> str:
        body = self.tools.card.answer.body
        return f"{body.prefix} " if isinstance(body, Numbers) and body.prefix else ""

    def _behind_thought(self, completion: Any, label: str | None) -> Branch:
        """Cells without a label or a number are read too, and dropped: every process makes equally many passes."""
        end = answer_number(completion.text)
        before = ids_before(self.tools.family, completion.ids, completion.text[: 0 if end is None else end])
        return label_branch(self.tools.family, before, label or "1.0")
