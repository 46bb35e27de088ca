"""A model ready to be evaluated: what it is asked about which samples, and what it reads of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from inspect import signature
from typing import Any

from pondera import prompts
from pondera.core.records import Assessment, MediaKind, Sample
from pondera.errors import ConfigError
from pondera.evaluate.assessing import Assess
from pondera.evaluate.question import refuse_without_text
from pondera.evaluate.store import Reads
from pondera.evaluate.task import Task


@dataclass(frozen=True)
class Asked:
    """A model asked one question in one mode.

    Args:
        assess: from samples to assessments.
        fingerprint: of every assessment it will make.
        protocol: how it is asked.
        question: what its prompt asks about, see `Prompt.question`; "" where that is not known.
        reads: what of a sample it reads.
    """

    assess: Assess
    fingerprint: str
    protocol: Mapping[str, Any]
    question: str = ""
    reads: Reads = field(default_factory=Reads)


@dataclass(frozen=True)
class Candidate:
    """A model ready to be evaluated.

    Args:
        ask: from a question, see `question.questions`, to the model that is asked it; raises ConfigError where the
            model has no prompt for it.
        trained_on: datasets on its card.
        pictures: hashes of training pictures on its card.
    """

    ask: Callable[[str], Asked]
    trained_on: tuple[str, ...]
    pictures: tuple[str, ...] = ()


Load = Callable[[str], Candidate]


def load_candidate(
    model: str, mode: str, *, device: str | None = None, kind: MediaKind = "image", **sampling: Any
) -> Candidate:
    """A model by name, asked in one mode. Loads torch.

    Args:
        model: as in `assess.load`.
        mode: reason, expected, fast or consensus.
        device: as in `assess.load`.
        kind: as in `assess.load`.
        sampling: options of consensus mode.

    Raises:
        ModelError: the model cannot be loaded.
    """
    from pondera.assess import load

    loaded: Any = load(model, device=device, kind=kind)
    options = signature(type(loaded).__call__).parameters.values()
    defaults = {option.name: option.default for option in options if option.kind is option.KEYWORD_ONLY}

    def ask(question: str) -> Asked:
        assessor = loaded.asking(question)

        def assess(samples: Sequence[Sample]) -> Sequence[Assessment]:
            answers: Sequence[Assessment] = assessor(list(samples), mode, **sampling)
            return answers

        protocol = assessor.protocol(mode)
        prompt = prompts.get(protocol["prompt"])
        return Asked(
            assess=assess,
            fingerprint=assessor.fingerprint(mode, **{**defaults, **sampling}),
            protocol={**sampling, **protocol},
            question=prompt.question,
            reads=Reads("text" in prompt.fields, assessor.card.view.reference),
        )

    return Candidate(ask, tuple(loaded.card.trained_on), tuple(loaded.card.pictures))


def ask_all(model: str, candidate: Candidate, task: Task) -> dict[str, Asked]:
    """The model asked each question of the task.

    Raises:
        ConfigError: it has no prompt for one; says which samples it is about, and the way out.
        DatasetError: as in `refuse_without_text`.
    """
    asked: dict[str, Asked] = {}
    for question in dict.fromkeys(task.questions):
        samples = [sample for sample, q in zip(task.originals, task.questions, strict=True) if q == question]
        try:
            asked[question] = candidate.ask(question)
        except ConfigError as error:
            count = Counter(sample.dataset for sample in samples)
            raise ConfigError(
                f"{model}: {error}. To be asked about {question} are "
                + ", ".join(f"{number} samples of {dataset}" for dataset, number in sorted(count.items()))
                + ". Take a stock model, or one whose recipe has a prompt for it (prompts.reason or prompts.tasks); or "
                "force the model's own question with --question own: the report then says what labels rate instead"
            ) from None
        if asked[question].reads.text:
            refuse_without_text(samples, str(asked[question].protocol.get("prompt", "")))
    return asked


def by_fingerprint(task: Task, print_of: Mapping[str, str]) -> dict[str, list[int]]:
    """Numbers of the samples that are asked alike: two questions may be one prompt."""
    parts: dict[str, list[int]] = {}
    for number, question in enumerate(task.questions):
        parts.setdefault(print_of[question], []).append(number)
    return parts


def together(protocols: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """The protocols of all questions as one: what differs stands there by question."""
    first, *others = protocols.values()
    names = dict.fromkeys(name for protocol in protocols.values() for name in protocol)
    return {
        name: first[name]
        if all(name in p and p[name] == first.get(name) for p in (first, *others))
        else {question or "own": p.get(name) for question, p in protocols.items()}
        for name in names
    }
