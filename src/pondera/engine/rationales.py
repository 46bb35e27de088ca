"""What the cold start learns from: rows of an image and the questions about it, each with the answer to be given.

All questions about an image (with a thought, without, which level) share one packed row, so that the image is encoded
once for them all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pondera import prompts
from pondera.config import ColdStartStage
from pondera.core.answers import Numbers
from pondera.core.records import Sample
from pondera.engine.encoder import FeatureStore, PromptEncoder
from pondera.engine.levels import LevelQuestion
from pondera.engine.questions import questions
from pondera.errors import TrainingError
from pondera.generate.backend import sample_seed
from pondera.models import EncodedPrompt, Family, ModelCard
from pondera.models.packing import Branch


@dataclass(frozen=True)
class Rows:
    """One packed row a sample.

    Args:
        groups: prefix and branches.
        level_samples: the samples that were asked for their level, in the order of these branches.
        level_branches: numbers of these branches, counted over all groups.
    """

    groups: list[tuple[EncodedPrompt, list[Branch]]]
    level_samples: list[Sample]
    level_branches: list[int]

    @property
    def token_weight(self) -> float:
        """Weight of all tokens to learn, those of the levels apart."""
        branches = [branch for _, group in self.groups for branch in group]
        return sum(sum(b.weights) for n, b in enumerate(branches) if n not in self.level_branches)


class RationaleCollator:
    """Turns samples into rows.

    Args:
        family: encodes.
        card: names the prompts and the answer format.
        stage: which questions are asked of whom, and what tokens weigh.
        seed: of the augmentation, and of who is asked for an answer without a thought.
        levels: the question for the level; None asks none.
        features: what earlier stages kept of the pictures.
    """

    def __init__(
        self,
        family: Family,
        card: ModelCard,
        stage: ColdStartStage,
        *,
        seed: int,
        levels: LevelQuestion | None,
        features: FeatureStore | None = None,
    ) -> None:
        self.family, self.card, self.stage = family, card, stage
        self.seed, self.levels = seed, levels
        self.encode = PromptEncoder(
            family, card.view, freeze_vision=stage.freeze_vision, views=stage.views, features=features
        )
        if stage.freeze_projector:
            family.freeze_projector()

    def __call__(self, samples: Sequence[Sample], step: int) -> Rows:
        """Encode samples; `step` seeds what varies."""
        seeds = [sample_seed(sample.id, seed=self.seed, step=step) for sample in samples]
        asked = [self.encode(samples, texts, seeds) for texts in self._texts(samples, seeds)]
        rows = Rows([], [], [])
        num_branches = 0
        for sample, seed, *encoded in zip(samples, seeds, *asked, strict=True):
            # A branch must own at least one token of its question: the prefix's last token predicts every branch's
            # first.
            shared = _shared_length([question.ids for question in encoded])
            branches = self._branches(sample, seed, [question.ids[shared:] for question in encoded])
            if self.levels is not None and _has_level(sample):
                branches.append(self.levels.branch(encoded[-1].ids[shared:]))
                rows.level_samples.append(sample)
                rows.level_branches.append(num_branches + len(branches) - 1)
            num_branches += len(branches)
            rows.groups.append((EncodedPrompt(encoded[0].ids[:shared], encoded[0].media), branches))
        return rows

    def _texts(self, samples: Sequence[Sample], seeds: Sequence[int]) -> list[list[str]]:
        """The question with a thought, the one without, and the one for the level, each for all samples; who is not
        asked one of the latter gets the first again, which makes no branch."""
        texts = questions(self.card, samples, seeds, self.stage.wordings)
        others = [(self.card.fast_prompt, self._is_asked_fast)]
        others += [(self.levels.prompt.name, _has_level)] if self.levels is not None else []
        asked = [texts]
        for name, is_asked in others:
            words = prompts.get(name).render() if name else ""
            asked.append([words if is_asked(s) else text for s, text in zip(samples, texts, strict=True)])
        return asked

    def _is_asked_fast(self, sample: Sample) -> bool:
        return bool(self.card.fast_prompt) and sample.task == "score"

    def _branches(self, sample: Sample, seed: int, asked: Sequence[Sequence[int]]) -> list[Branch]:
        if not self.stage.reasoning:
            return [self._branch(asked[1], label_answer(sample, self.card))]
        rationale = str(sample.rationale)  # present: checked before training
        branches = [self._branch(asked[0], rationale)]
        if self._is_asked_fast(sample) and np.random.default_rng(seed).random() < self.stage.fast_share:
            branches.append(self._branch(asked[1], "<answer>" + rationale.rpartition("<answer>")[2]))
        return branches

    def _branch(self, question: Sequence[int], completion: str) -> Branch:
        think, mark, answer = completion.rpartition("<answer>")
        thought_ids = self.family.encode_text(think) if think else []
        answer_ids = [*self.family.encode_text(mark + answer), min(self.family.stop_ids)]
        weights = [0.0] * len(question)
        weights += [self.stage.thought_weight] * len(thought_ids) + [self.stage.answer_weight] * len(answer_ids)
        return Branch((*question, *thought_ids, *answer_ids), tuple(weights))


def label_answer(sample: Sample, card: ModelCard) -> str:
    """The answer that says a sample's label, without a thought."""
    body = card.answer.body
    prefix = f"{body.prefix} " if isinstance(body, Numbers) and body.prefix else ""
    return f"<answer>{prefix}{sample.mos_on(card.scale):.2f}</answer>"


def check_samples(samples: Sequence[Sample], card: ModelCard, stage: ColdStartStage) -> None:
    """Every sample must have what it is learned from.

    Raises:
        TrainingError: one has not; the message names it.
    """
    if stage.reasoning:
        check_rationales(samples, card)
        return
    if not isinstance(card.answer.body, Numbers) or card.answer.body.n != 1 or not card.fast_prompt:
        raise TrainingError(
            f"reasoning: false teaches the label as the answer to the fast prompt, but prompt {card.prompt!r} does not "
            "ask for one number, or prompts.fast is null; choose prompts that ask for one number"
        )
    for sample in samples:
        if sample.mos is None or sample.task != "score":
            raise TrainingError(f"sample {sample.id!r} has no mos; reasoning: false learns from labels alone")


def check_rationales(samples: Sequence[Sample], card: ModelCard) -> None:
    """Every sample must carry a rationale in the form that the prompt of its task asks for.

    Raises:
        TrainingError: one does not; the message names it.
    """
    for sample in samples:
        if not sample.rationale:
            raise TrainingError(f"sample {sample.id!r} has no rationale; make them with: pondera distill MANIFEST")
        parsed = card.prompt_for(sample.task).answer.parse(sample.rationale)
        if not parsed.is_valid:
            raise TrainingError(f"sample {sample.id!r}: its rationale is not in the answer format: {parsed.error}")


def _has_level(sample: Sample) -> bool:
    return sample.mos is not None and sample.task == "score"


def _shared_length(ids: Sequence[Sequence[int]]) -> int:
    """Length of the common prefix, leaving at least one token of each prompt."""
    limit = min(len(row) for row in ids) - 1
    return next((i for i in range(limit) if len({row[i] for row in ids}) > 1), limit)
