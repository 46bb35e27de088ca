"""Samples that cannot be read in the middle of a run: said, counted, replaced; too many of them stop it.

All processes know of the same ones, so that they count, replace and stop alike.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from itertools import zip_longest

import numpy as np

from pondera.core.records import Sample
from pondera.errors import MediaError, TrainingError
from pondera.generate.backend import sample_seed
from pondera.models.distribution import gathered, rank, shared_out


class Unreadable:
    """What could not be read so far.

    Args:
        total: how many samples there are.
        most: the largest share of them that may be unreadable.
        what: they are, for messages.
    """

    def __init__(self, total: int, most: float, what: str) -> None:
        self.total, self.most, self.what = total, most, what
        self.reasons: dict[str, str] = {}

    def add(self, name: str, reason: str) -> None:
        """Say and count one; the same one again is neither. Called by all processes alike.

        Raises:
            TrainingError: these are too many.
        """
        if name in self.reasons:
            return
        self.reasons[name] = reason
        if rank() == 0:
            logging.getLogger("pondera").warning("%s %r is skipped: %s", self.what, name, reason)
        if len(self.reasons) > self.most * self.total:
            raise TrainingError(
                f"{len(self.reasons)} of {self.total} {self.what}s cannot be read, a larger share than "
                f"data.max_unreadable = {self.most:g}; the last one is {name!r}: {reason}. Look at them all with: "
                "pondera data check MANIFEST"
            )

    def left(self, samples: Sequence[Sample], read: Callable[[Sample], object]) -> list[Sample]:
        """Those of the samples that can be read; the others are counted. Each process reads its share of them.

        Args:
            samples: the same on all processes.
            read: reads what is shown of a sample.

        Raises:
            TrainingError: too many cannot be read.
        """
        reasons = shared_out(samples, lambda own: [_failure(read, sample) for sample in own], jointly=False)
        for sample, reason in zip(samples, reasons, strict=True):
            if reason is not None:
                self.add(sample.id, reason)
        return [sample for sample, reason in zip(samples, reasons, strict=True) if reason is None]

    def go_on(self, reasons: Mapping[str, str]) -> None:
        """Count what an interrupted run had counted."""
        self.reasons = {**reasons, **self.reasons}


class Refill:
    """Replaces the samples of a batch that cannot be read by others of the same dataset and task.

    Which others depends on the seed, the step and the batch of all processes together, so any number of processes
    replaces alike, and a resumed run as the uninterrupted one. Files are tried again each time: one that a network
    drive withheld comes back.

    Args:
        train: what replacements are drawn from.
        read: reads what is shown of a sample, as a variant that the seed chooses.
        seed: of the run.
        unreadable: keeps count.
    """

    def __init__(
        self, train: Sequence[Sample], read: Callable[[Sample, int], object], *, seed: int, unreadable: Unreadable
    ) -> None:
        self.train, self.read, self.seed, self.unreadable = train, read, seed, unreadable
        self._by_id = {sample.id: sample for sample in train}

    def __call__(self, samples: Sequence[Sample], step: int) -> list[Sample]:
        """The samples, with replacements in the places of those that cannot be read.

        Args:
            samples: this process's share of a batch: every n-th of n processes, which all call this together.
            step: global step.

        Raises:
            TrainingError: too many cannot be read, or none is left to replace one.
        """
        own, unread, taken = list(samples), list(samples), set[str]()
        while True:
            reasons = {sample.id: why for sample in unread if (why := _failure(self._reading(step), sample))}
            parts = gathered(([sample.id for sample in own], reasons))
            batch = [name for row in zip_longest(*(ids for ids, _ in parts)) for name in row if name is not None]
            failed = {name: why for _, part in parts for name, why in part.items()}
            if not failed:
                return own
            for name in sorted(failed, key=batch.index):
                self.unreadable.add(name, failed[name])
            taken |= set(batch)
            chosen = self._replacements(sorted(failed, key=batch.index), step, taken)
            unread = [chosen[sample.id] for sample in own if sample.id in chosen]
            own = [chosen.get(sample.id, sample) for sample in own]

    def _reading(self, step: int) -> Callable[[Sample], object]:
        return lambda sample: self.read(sample, sample_seed(sample.id, seed=self.seed, step=step))

    def _replacements(self, names: Sequence[str], step: int, taken: Collection[str]) -> dict[str, Sample]:
        """A sample in place of each, by its id: untried, and in no other place."""
        chosen: dict[str, Sample] = {}
        for name in names:
            bad, gone = self._by_id[name], {*taken, *(sample.id for sample in chosen.values())}
            alike = [s for s in self.train if (s.dataset, s.task) == (bad.dataset, bad.task) and s.id not in gone]
            if not alike:
                raise TrainingError(
                    f"sample {name!r} cannot be read, and no other one of dataset {bad.dataset!r} is left"
                )
            generator = np.random.default_rng(sample_seed(name, seed=self.seed, step=step))
            chosen[name] = alike[generator.integers(len(alike))]
        return chosen


def _failure(read: Callable[[Sample], object], sample: Sample) -> str | None:
    """Why a sample cannot be read; None where it can."""
    try:
        read(sample)
    except MediaError as error:
        return str(error)
    return None
