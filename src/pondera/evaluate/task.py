"""What is evaluated: the samples, how they were chosen, and which others the model may have learned from."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pondera.core.records import Sample
from pondera.data.manifest import read_manifest
from pondera.errors import ConfigError
from pondera.evaluate.leakage import Leak, domains, find_leaks, without_tested
from pondera.evaluate.protocols import Protocol
from pondera.evaluate.question import questions, with_target
from pondera.evaluate.run import check_samples


@dataclass(frozen=True)
class Task:
    """Samples to evaluate on.

    Args:
        samples: under the names that results are reported by.
        originals: the same samples under the dataset names of their manifests.
        questions: what is to be asked about each, see `question.questions`.
        target: the entry of `targets` that is the label; None where it is the opinion score.
        train: samples of the manifests with split "train" that are not tested.
        known_train: samples that the models are known to have been trained on.
        protocol: that chose the samples, if one did.
        facts: for the report: manifests, split, protocol.
    """

    samples: list[Sample]
    originals: list[Sample]
    questions: list[str]
    target: str | None
    train: list[Sample]
    known_train: list[Sample]
    protocol: Protocol | None
    facts: dict[str, Any]

    def leaks(self, trained_on: Collection[str], pictures: Sequence[str] = ()) -> list[Leak]:
        """What a model has seen of the test, see `leakage.find_leaks`.

        Args:
            trained_on: datasets on the card of the model.
            pictures: hashes of training pictures on it.
        """
        own = [sample for sample in self.train if sample.dataset in trained_on]
        return find_leaks(self.originals, [*self.known_train, *own], trained_on, pictures)

    @property
    def views(self) -> dict[str, tuple[str, str]]:
        """Splits that are measured by themselves as well, see `run.measure`."""
        return self.protocol.view_places if self.protocol else {}

    def by_name(self) -> dict[str, list[Sample]]:
        """The originals by the name that their results are reported by."""
        parts: dict[str, list[Sample]] = {}
        for new, old in zip(self.samples, self.originals, strict=True):
            parts.setdefault(new.dataset, []).append(old)
        return parts

    def to_fit(self) -> list[Sample]:
        """What a baseline may learn from: training samples of the manifests, inside the protocol's training sets, that
        share neither file nor content with a tested sample.
        """
        parts = self.protocol.trained_on if self.protocol else ()
        allowed = [s for s in self.train if not parts or any(part.holds(s) for part in parts)]
        return without_tested(allowed, self.originals) if allowed else []

    def model_facts(self, trained_on: Collection[str], leaks: Sequence[Leak]) -> dict[str, Any]:
        """What the report says about a model's relation to the test: training sets, domains, leaks.

        A protocol's own marks for its domains hold where the model card names no training data.
        """
        facts: dict[str, Any] = {"trained_on": sorted(trained_on)}
        if self.protocol is None or trained_on:
            facts["domains"] = domains(self.by_name(), trained_on, self.known_train, leaks)
        if leaks:
            facts["leakage"] = [str(leak) for leak in leaks]
        return facts


def choose_samples(
    manifests: Sequence[Path],
    *,
    split: str | None = None,
    protocol: Protocol | None = None,
    train_manifests: Sequence[Path] = (),
    question: str | None = None,
    target: str | None = None,
) -> Task:
    """Read manifests and take what is to be evaluated.

    Args:
        manifests: JSONL files.
        split: only samples of this split; not with a protocol, which names its own.
        protocol: what to take.
        train_manifests: samples that the models were trained on: those of split "train", or all where none has it.
        question: what the models are asked, see `question.questions`; by default what the labels rate.
        target: take this entry of `targets` as the label, on the samples' scale.

    Raises:
        ConfigError: split and protocol are both given, or the question is not one.
        DatasetError: a sample is not of the protocol, or none is of a part that it tests; a sample asks for no score,
            or has not the target.
        ManifestError: a manifest is wrong.
        ValueError: no sample has the split, or two samples of one dataset share an id.
    """
    if split is not None and protocol is not None:
        raise ConfigError(f"protocol {protocol.name!r} names its splits; leave out --split {split}")
    everything = [sample for path in manifests for sample in read_manifest(path)]
    if protocol is not None:
        originals = protocol.select(everything)
        samples = protocol.rename(originals)
    else:
        originals = samples = [s for s in everything if split in (None, s.split)]
    if not samples:
        where = f"has split {split!r}" if split else "is there"
        raise ValueError(f"no sample {where} in {', '.join(map(str, manifests))}")
    check_samples(samples)
    asked = questions(originals, question, target)
    train = [s for s in everything if s.split == "train"]
    if target is not None:
        originals, samples = with_target(originals, target), with_target(samples, target)
        train = with_target([s for s in train if target in s.targets], target)
    tested = {(sample.dataset, sample.id) for sample in originals}
    facts = {
        "manifests": [str(path) for path in manifests],
        "split": split or ("of the protocol" if protocol else "all"),
        **({"question": question} if question else {}),
        **({"target": target} if target else {}),
        **(protocol.facts(samples) if protocol else {}),
    }
    return Task(
        samples=samples,
        originals=originals,
        questions=asked,
        target=target,
        train=[s for s in train if (s.dataset, s.id) not in tested],
        known_train=[s for path in train_manifests for s in _train_part(path)],
        protocol=protocol,
        facts=facts,
    )


def _train_part(path: Path) -> list[Sample]:
    samples = read_manifest(path)
    return [sample for sample in samples if sample.split == "train"] or samples
