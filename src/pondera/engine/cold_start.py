"""Cold start: cross-entropy on a teacher's rationales, thought and answer.

The two questions about an image (with and without a thought) share one packed row behind the image, so the image is
encoded once for both.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from transformers import Trainer

from pondera import prompts
from pondera.assess import Assessor
from pondera.config import ColdStartStage
from pondera.core.answers import AnswerFormat
from pondera.core.records import Sample
from pondera.engine.encoder import PromptEncoder
from pondera.engine.objective import token_cross_entropy
from pondera.engine.training import SampleList, Validation, add_callbacks, has_checkpoint, training_arguments
from pondera.errors import TrainingError
from pondera.generate.backend import sample_seed
from pondera.models import EncodedPrompt, Family, ModelCard
from pondera.models.packing import Branch, pack, packed_logps


class ColdStartTrainer(Trainer):
    """Cross-entropy on packed rationales.

    Args:
        family: the model to train.
        collate: samples -> packed groups.
        **kwargs: for the library's trainer.
    """

    def __init__(self, family: Family, collate: RationaleCollator, **kwargs: Any) -> None:
        self.family = family
        self.collate = collate
        super().__init__(model=family.model, data_collator=lambda samples: {"samples": samples}, **kwargs)

    def compute_loss(self, model: Any, inputs: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        """Weighted token cross-entropy."""
        groups = self.collate(inputs["samples"], self.state.global_step)
        batch = pack(self.family, groups)
        logp_M, _ = packed_logps(model, batch)
        return token_cross_entropy(logp_M, batch.weight_M)


class RationaleCollator:
    """Turns samples with rationales into a shared image and its question-and-answer branches.

    Args:
        family: encodes.
        card: names the prompts and the answer format.
        fast_share: share of samples that also get the question without a thought.
        answer_weight: weight of the answer's tokens.
        seed: of the augmentation.
        encode: question and samples -> encoded prompts.
    """

    def __init__(
        self,
        family: Family,
        card: ModelCard,
        *,
        fast_share: float,
        answer_weight: float,
        seed: int,
        encode: PromptEncoder,
    ) -> None:
        self.family = family
        self.card = card
        self.fast_share = fast_share
        self.answer_weight = answer_weight
        self.seed = seed
        self.encode = encode

    def __call__(self, samples: Sequence[Sample], step: int) -> list[tuple[EncodedPrompt, list[Branch]]]:
        """Encode samples; `step` seeds augmentation and the choice of who also learns to answer without a thought."""
        seeds = [sample_seed(sample.id, seed=self.seed, step=step) for sample in samples]
        thoughtful = self.encode(samples, [prompts.get(self.card.prompt).render()] * len(samples), seeds)
        fast = self.encode(samples, [prompts.get(self.card.fast_prompt).render()] * len(samples), seeds)
        return [self._group(*parts) for parts in zip(samples, thoughtful, fast, seeds, strict=True)]

    def _group(
        self, sample: Sample, thoughtful: EncodedPrompt, fast: EncodedPrompt, seed: int
    ) -> tuple[EncodedPrompt, list[Branch]]:
        rationale = str(sample.rationale)  # present: checked before training
        # A branch must own at least one token of its question: the prefix's last token predicts every branch's first.
        shared = _shared_length([thoughtful.ids, fast.ids])
        branches = [self._branch(thoughtful.ids[shared:], rationale)]
        if np.random.default_rng(seed).random() < self.fast_share:
            branches.append(self._branch(fast.ids[shared:], "<answer>" + rationale.rpartition("<answer>")[2]))
        return EncodedPrompt(thoughtful.ids[:shared], thoughtful.media), branches

    def _branch(self, question: Sequence[int], completion: str) -> Branch:
        think, mark, answer = completion.rpartition("<answer>")
        thought_ids = self.family.encode_text(think) if think else []
        answer_ids = [*self.family.encode_text(mark + answer), min(self.family.stop_ids)]
        weights = [0.0] * len(question) + [1.0] * len(thought_ids) + [self.answer_weight] * len(answer_ids)
        return Branch((*question, *thought_ids, *answer_ids), tuple(weights))


def run_cold_start(
    family: Family,
    card: ModelCard,
    stage: ColdStartStage,
    train: Sequence[Sample],
    validation: Sequence[Sample],
    folder: Path,
    *,
    seed: int,
    metrics: Path,
    resume: bool,
) -> None:
    """Train on rationales; the model of `family` is changed in place.

    Raises:
        TrainingError: a sample has no rationale, or one that its own answer format refuses.
    """
    check_rationales(train, card.answer)
    collate = RationaleCollator(
        family,
        card,
        fast_share=stage.fast_share,
        answer_weight=stage.answer_weight,
        seed=seed,
        encode=PromptEncoder(family, freeze_vision=stage.freeze_vision, views=stage.views),
    )
    arguments = training_arguments(stage, folder, seed=seed, batch_size=stage.batch_size, num_train_epochs=stage.epochs)
    trainer = ColdStartTrainer(family, collate, args=arguments, train_dataset=SampleList(train))
    add_callbacks(trainer, stage.name, metrics)
    if validation:
        trainer.add_callback(Validation(validation, Assessor(family, card), stage.validate_every, trainer.log))
    trainer.train(resume_from_checkpoint=has_checkpoint(folder) if resume else None)


def check_rationales(samples: Sequence[Sample], answer: AnswerFormat) -> None:
    """Every sample must carry a rationale in the format that the model will be asked for.

    Raises:
        TrainingError: one does not; the message names it.
    """
    for sample in samples:
        if not sample.rationale:
            raise TrainingError(f"sample {sample.id!r} has no rationale; make them with: pondera distill MANIFEST")
        parsed = answer.parse(sample.rationale)
        if not parsed.is_valid:
            raise TrainingError(f"sample {sample.id!r}: its rationale is not in the answer format: {parsed.error}")


def _shared_length(ids: Sequence[Sequence[int]]) -> int:
    """Length of the common prefix, leaving at least one token of each prompt."""
    limit = min(len(row) for row in ids) - 1
    return next((i for i in range(limit) if len({row[i] for row in ids}) > 1), limit)
