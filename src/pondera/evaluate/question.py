"""What models are asked about each sample: what its label rates, unless the user wants something else asked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from functools import cache

from pondera import prompts
from pondera.core.records import Sample
from pondera.data.adapters import adapter_names, get_adapter
from pondera.errors import ConfigError, DatasetError

OWN = "own"  # what the model's card names first, whatever the labels rate
_SCORED = ("score", "multi")  # tasks whose answer can be a score


def rated(sample: Sample, target: str | None = None) -> str:
    """The question that the label answers: one of `prompts.QUESTIONS`, the sample's own task, or "" where unknown.

    Args:
        sample: under the dataset name of its manifest.
        target: the entry of `targets` that is the label; None is the sample's `mos`.
    """
    if target in prompts.QUESTIONS:
        return str(target)
    if sample.task != "score":
        return sample.task
    return "" if target else _rated_by(sample.dataset)


@cache
def _rated_by(dataset: str) -> str:
    return get_adapter(dataset).rates if dataset in adapter_names() else ""


def questions(samples: Sequence[Sample], wanted: str | None = None, target: str | None = None) -> list[str]:
    """What is to be asked about each sample; "" is the model's own question.

    Args:
        samples: N samples under the dataset names of their manifests.
        wanted: one of `prompts.QUESTIONS` or `OWN`, for all of them; by default what the labels rate.
        target: as in `rated`.

    Raises:
        ConfigError: there is no such question, or nobody has said which one a target answers.
        DatasetError: a sample's task has no score as its answer.
    """
    if wanted is not None and wanted not in (*prompts.QUESTIONS, OWN):
        raise ConfigError(f"a question is {', '.join(prompts.QUESTIONS)} or {OWN}, got {wanted!r}")
    if target is not None and target not in prompts.QUESTIONS and wanted is None:
        raise ConfigError(
            f"targets.{target} is not the answer to one of the questions {', '.join(prompts.QUESTIONS)}; say with "
            f"--question which one the models are asked, or {OWN}"
        )
    if others := [sample for sample in samples if sample.task not in _SCORED]:
        raise DatasetError(
            f"{len(others)} samples ask for no score, the first is {others[0].id!r} (task {others[0].task}); an "
            "evaluation measures scores: give a manifest without them"
        )
    if wanted is not None:
        return ["" if wanted == OWN else wanted] * len(samples)
    return [rated(sample, target) for sample in samples]


def with_target(samples: Sequence[Sample], target: str) -> list[Sample]:
    """The samples with another label: a number of their `targets`, on the scale of the label that it replaces.

    Args:
        samples: with this target.
        target: its name.

    Raises:
        DatasetError: a sample has no such number, or one outside its scale.
    """
    return [_with_target(sample, target) for sample in samples]


def _with_target(sample: Sample, target: str) -> Sample:
    value = sample.targets.get(target)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or sample.scale is None:
        names = ", ".join(sorted(sample.targets)) or "none"
        raise DatasetError(
            f"sample {sample.id!r} of {sample.dataset!r} has no number targets.{target} with a scale (its targets: "
            f"{names}); give manifests whose samples all have it"
        )
    if not sample.scale.contains(value):
        raise DatasetError(
            f"sample {sample.id!r}: targets.{target} = {value} is outside the sample's scale "
            f"[{sample.scale.low:g}, {sample.scale.high:g}]; correct one of them in the manifest"
        )
    # The spread and the votes are those of the label that was there before.
    return replace(sample, mos=float(value), mos_std=None, votes=None)


def other_questions(samples: Sequence[Sample], asked: Sequence[str], target: str | None = None) -> list[str]:
    """Sentences about samples whose label answers another question than the model was asked.

    Args:
        samples: N samples under the dataset names of their manifests.
        asked: what the model was really asked about each, see `Prompt.question`; "" where that is not known.
        target: as in `rated`.
    """
    count = Counter((s.dataset, rated(s, target), question) for s, question in zip(samples, asked, strict=True))
    return [
        f"{dataset}: {number} labels rate {label}, the prompt asks about {question}"
        for (dataset, label, question), number in sorted(count.items())
        if label in prompts.QUESTIONS and question not in ("", label)
    ]


def refuse_without_text(samples: Sequence[Sample], prompt: str) -> None:
    """Stop where a prompt asks about a text that is not there.

    Args:
        samples: those that are asked about with this prompt.
        prompt: its name.

    Raises:
        DatasetError: a sample has no text.
    """
    missing = [sample for sample in samples if sample.text is None]
    if missing:
        raise DatasetError(
            f"prompt {prompt!r} asks about the text of a sample, and {len(missing)} of {len(samples)} have none, the "
            f'first is {missing[0].id!r}; add "text" to their manifest lines, or ask something else with --question'
        )
