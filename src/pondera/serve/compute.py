"""What the model's thread does with a batch: completions for chat, assessments for scores."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from pondera.assess import Assessor
from pondera.core.records import Assessment
from pondera.data.images import UInt8Array
from pondera.errors import MediaError, ModelError
from pondera.generate.backend import Completion
from pondera.models import EncodedPrompt
from pondera.serve.images import EncodedImage


@dataclass(frozen=True)
class ChatJob:
    """What to complete: images and words in order, and the question behind them."""

    parts: Sequence[EncodedImage | str]
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
    """One result an item: `Completed` for chat jobs, `Assessment` for images, or an error.

    Images are decoded here, when it is their turn: what waits is small.
    """
    return _assess(assessor, group, items) if isinstance(group, ScoreGroup) else _complete(assessor, group, items)


def _assess(assessor: Assessor, group: ScoreGroup, images: list[EncodedImage]) -> list[Assessment | MediaError]:
    decoded = [_decoded(image) for image in images]
    options: dict[str, Any] = dict(group.options)
    readable = [image for image in decoded if not isinstance(image, MediaError)]
    assessed = assessor.stream(readable, group.mode, **options)  # type: ignore[arg-type]
    return [image if isinstance(image, MediaError) else next(assessed) for image in decoded]


def _decoded(image: EncodedImage) -> UInt8Array | MediaError:
    try:
        return image.decode()
    except MediaError as error:
        return error


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
        shown = [part if isinstance(part, str) else part.decode() for part in job.parts]
    except MediaError as error:
        return error
    try:
        prompt = assessor.family.encode(shown, job.text)
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
