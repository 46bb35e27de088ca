"""What a model is asked about each sample: the prompt of its task, in one wording or in a pool of them.

A stage that explores asks in many wordings, so that the model answers the question and not its letters; one that
settles asks in the wording that evaluation uses (PreResQ-R1, arXiv:2511.05393).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pondera.config import Wordings
from pondera.core.records import Sample
from pondera.errors import TrainingError
from pondera.models import ModelCard
from pondera.prompts import Prompt


def questions(
    card: ModelCard, samples: Sequence[Sample], seeds: Sequence[int], wordings: Wordings = "one"
) -> list[str]:
    """The words for each sample.

    Args:
        card: names the prompt of each task.
        samples: N of them, tasks mixed.
        seeds: one a sample; chooses the wording in a pool.
        wordings: one (the first), or pool.

    Raises:
        ConfigError: a task has no prompt.
        TrainingError: a prompt needs what its sample lacks.
    """
    return [
        _render(card.prompt_for(sample.task), sample, seed, wordings)
        for sample, seed in zip(samples, seeds, strict=True)
    ]


def _render(prompt: Prompt, sample: Sample, seed: int, wordings: Wordings) -> str:
    fields: dict[str, Any] = {"text": sample.text} if "text" in prompt.fields else {}
    if unknown := set(prompt.fields) - set(fields):
        raise TrainingError(f"prompt {prompt.name!r} has the field {min(unknown)!r}, which no sample fills in training")
    if fields and sample.text is None:
        raise TrainingError(f"prompt {prompt.name!r} needs the text of sample {sample.id!r}; add it to its line")
    return prompt.render(seed=seed, **fields) if wordings == "pool" else prompt.render(**fields)
