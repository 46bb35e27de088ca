"""Soft level labels beside the rationales: DeQA-Score's loss as an auxiliary task of the cold start.

The model is asked which of five words fits, its answer is opened for it, and the logits of the five words' first
tokens are read where the word would begin. They are compared with the distribution that the label and its spread give
over five levels, and the scores that they expect are compared pair by pair. Nothing here is generated, and the numbers
in a rationale's answer are not touched: their digits are no levels ("4.60" begins with 4, a soft label would say 5).

Shape letters: M scored tokens, V vocabulary, S labelled samples, L = 5 levels, worst first.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from pondera import prompts
from pondera.config import SoftLabelsSection
from pondera.core.answers import ClassField, Json
from pondera.core.records import FIVE_POINT, Sample
from pondera.core.soft_labels import soft_labels, soft_labels_as_released
from pondera.engine.objective import pairwise_fidelity_loss, soft_label_loss
from pondera.errors import ConfigError, TrainingError
from pondera.models import Family
from pondera.models.packing import Branch

_NUM_LEVELS = 5


class LevelQuestion:
    """The question for the level, ready for one tokenizer.

    Args:
        family: encodes.
        section: prompt, weights, and how labels become distributions.

    Raises:
        ConfigError: the prompt does not ask for one of five words.
        TrainingError: the tokenizer begins two of the words with one token, so that it cannot tell them apart.
    """

    def __init__(self, family: Family, section: SoftLabelsSection) -> None:
        self.section = section
        self.prompt = prompts.get(section.prompt)
        key, self.words = _class_field(self.prompt.name)
        self._opening = tuple(family.encode_text(f'<answer>{{"{key}": "'))
        self.token_ids = [family.encode_text(word)[0] for word in self.words]
        if len(set(self.token_ids)) < _NUM_LEVELS:
            raise TrainingError(
                f"this tokenizer begins two of {', '.join(self.words)} with the same token; give soft_labels.prompt "
                "words that begin differently"
            )

    def branch(self, question: Sequence[int]) -> Branch:
        """The question, the opened answer and one token in the word's place: the only scored one."""
        ids = (*question, *self._opening, self.token_ids[0])
        return Branch(ids, (0.0,) * (len(ids) - 1) + (1.0,))

    def losses(self, logits_SV: torch.Tensor, samples: Sequence[Sample]) -> dict[str, torch.Tensor]:
        """The losses by name, unweighted; `fidelity` only where it has a weight.

        Args:
            logits_SV: what predicts the word, one row a sample.
            samples: labelled.
        """
        logits_SL = logits_SV[:, torch.tensor(self.token_ids, device=logits_SV.device)]
        targets = [torch.as_tensor(x, dtype=logits_SL.dtype, device=logits_SL.device) for x in self._targets(samples)]
        prob_SL, mos_S, std_S = targets
        found = {"levels": soft_label_loss(logits_SL, prob_SL)}
        if self.section.fidelity_weight:
            level_L = torch.arange(1, _NUM_LEVELS + 1, dtype=logits_SL.dtype, device=logits_SL.device)
            score_S = logits_SL.softmax(-1) @ level_L
            pair_SS = torch.tensor(_comparable(samples), device=logits_SL.device)
            found["fidelity"] = pairwise_fidelity_loss(score_S, mos_S, std_S, pair_SS)
        return found

    def weight(self, name: str) -> float:
        """The weight of one of the losses."""
        return self.section.weight if name == "levels" else self.section.fidelity_weight

    def check(self, samples: Sequence[Sample]) -> None:
        """The task must have labels to learn from, with a spread each.

        Raises:
            TrainingError: no sample is labelled, or a label cannot be made a distribution.
        """
        labelled = [sample for sample in samples if sample.mos is not None]
        if not labelled:
            raise TrainingError("soft_labels learns from labels, and no training sample has a mos; leave it out")
        if self.section.spread is None and (bare := [s.id for s in labelled if s.mos_std is None]):
            raise TrainingError(
                f"sample {bare[0]!r} has a mos without mos_std, which soft_labels needs; give soft_labels.spread, the "
                "spread of opinions on five levels (0.6 is common)"
            )
        try:
            self._targets(labelled)
        except ValueError as error:
            raise TrainingError(f"soft_labels cannot use these labels: {error}") from None

    def _targets(self, samples: Sequence[Sample]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Level probabilities [S, L], labels [S] and their spreads [S], on five levels."""
        mos_S = np.array([sample.mos_on(FIVE_POINT) for sample in samples])
        std_S = np.array([self._spread(sample) for sample in samples])
        build = soft_labels_as_released if self.section.as_released else soft_labels
        return build(mos_S, std_S, density=self.section.density), mos_S, std_S

    def _spread(self, sample: Sample) -> float:
        if sample.mos_std is None or sample.scale is None:
            return float(self.section.spread or 0.0)  # absent only where `check` found none to be needed
        return sample.scale.convert_std(sample.mos_std, FIVE_POINT)


def _class_field(name: str) -> tuple[str, tuple[str, ...]]:
    body = prompts.get(name).answer.body
    fields = list(body.schema.items()) if isinstance(body, Json) else []
    if len(fields) != 1 or not isinstance(fields[0][1], ClassField) or len(fields[0][1].options) != _NUM_LEVELS:
        raise ConfigError(f"soft_labels.prompt = {name!r} does not ask for one of five words; try quality.short.level")
    key, kind = fields[0]
    assert isinstance(kind, ClassField)
    return key, kind.options


def _comparable(samples: Sequence[Sample]) -> list[list[bool]]:
    """Which pairs are of one set, and not a sample with itself."""
    kinds = [(sample.dataset, sample.task) for sample in samples]
    return [[i != j and a == b for j, b in enumerate(kinds)] for i, a in enumerate(kinds)]
