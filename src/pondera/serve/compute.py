"""What the model's thread does with a batch: completions for chat, assessments for scores."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np

from pondera.assess import Assessor
from pondera.errors import ModelError
from pondera.generate.backend import Completion
from pondera.models import EncodedPrompt


@dataclass(frozen=True)
class ChatJob:
    """What to complete: images [H, W, 3] and words in order, and the question behind them."""

    parts: Sequence[np.ndarray | str]
    text: str
    max_tokens: int | None
    seed: int | None


@dataclass(frozen=True)
class ChatGroup:
    """What completions of one batch must share."""

    num_completions: int
    temperature: float


@dataclass(frozen=True)
class ScoreGroup:
    """What assessments of one batch must share; options as sorted pairs."""

    mode: str
    options: tuple[tuple[str, int], ...]


@dataclass(frozen=True)
class Completed:
    """Completions of one job and the length of its prompt in tokens."""

    completions: list[Completion]
    num_prompt_tokens: int


def compute(assessor: Assessor, group: ChatGroup | ScoreGroup, items: list[Any]) -> list[Any]:
    """One result an item: `Completed` or an error for chat jobs, `Assessment` for images."""
    if isinstance(group, ScoreGroup):
        options: dict[str, Any] = dict(group.options)
        return list(assessor.stream(items, group.mode, **options))  # type: ignore[arg-type]
    return _complete(assessor, group, items)


def _complete(assessor: Assessor, group: ChatGroup, jobs: list[ChatJob]) -> list[Completed | Exception]:
    encoded = [_encoded(assessor, job) for job in jobs]
    results: dict[int, Completed | Exception] = {i: x for i, x in enumerate(encoded) if isinstance(x, Exception)}
    ready = [(i, *x) for i, x in enumerate(encoded) if not isinstance(x, Exception)]
    # The length limit holds for a whole batch; jobs with equal limits share one.
    for limit, same in groupby(sorted(ready, key=lambda entry: entry[2]), key=lambda entry: entry[2]):
        members = list(same)
        groups = assessor.backend.generate(
            [prompt for _, prompt, _ in members],
            num_completions=group.num_completions,
            max_new_tokens=limit,
            temperature=group.temperature,
            seeds=[_seed(jobs[i]) for i, _, _ in members],
        )
        for (i, prompt, _), completions in zip(members, groups, strict=True):
            results[i] = Completed(completions, len(prompt.ids))
    return [results[i] for i in range(len(jobs))]


def _encoded(assessor: Assessor, job: ChatJob) -> tuple[EncodedPrompt, int] | Exception:
    """The prompt and how long its completion may get; an error concerns this job alone."""
    try:
        prompt = assessor.family.encode(job.parts, job.text)
    except (ModelError, ValueError, IndexError, RuntimeError) as error:  # stock processors raise any of these
        return ModelError(f"the model cannot read this prompt: {error}")
    room = assessor.family.max_length - len(prompt.ids)
    if room < 1:
        longest = assessor.family.max_length
        return ModelError(f"the prompt has {len(prompt.ids)} tokens, the model reads {longest}; shorten it")
    return prompt, min(job.max_tokens or assessor.card.max_new_tokens, room)


def _seed(job: ChatJob) -> int:
    """The seed asked for, or any: the protocol promises the same completion only for the same seed."""
    return random.getrandbits(63) if job.seed is None else job.seed
