"""Samples that cannot be read in the middle of a run: said, counted, replaced; too many of them stop it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

import numpy as np

from pondera.core.records import Sample
from pondera.errors import MediaError, TrainingError
from pondera.generate.backend import sample_seed


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
        """Say and count one; the same one again is neither.

        Raises:
            TrainingError: these are too many.
        """
        if name in self.reasons:
            return
        self.reasons[name] = reason
        logging.getLogger("pondera").warning("%s %r is skipped: %s", self.what, name, reason)
        if len(self.reasons) > self.most * self.total:
            raise TrainingError(
                f"{len(self.reasons)} of {self.total} {self.what}s cannot be read, a larger share than "
                f"data.max_unreadable = {self.most:g}; the last one is {name!r}: {reason}. Look at them all with: "
                "pondera data check MANIFEST"
            )


class Refill:
    """Replaces the samples of a batch that cannot be read by others of the same dataset and task.

    Which others depends on the seed, the step and the sample that is replaced, so a resumed run replaces as the
    uninterrupted one. Files are tried again each time: one that a network drive withheld comes back.

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

    def __call__(self, samples: Sequence[Sample], step: int) -> list[Sample]:
        """The samples, with replacements in the places of those that cannot be read.

        Raises:
            TrainingError: too many cannot be read, or none is left to replace one.
        """
        is_bad = [not self._is_readable(sample, step) for sample in samples]
        taken = {sample.id for sample in samples}
        filled = []
        for sample, bad in zip(samples, is_bad, strict=True):
            chosen = self._replacement(sample, step, taken) if bad else sample
            taken.add(chosen.id)
            filled.append(chosen)
        return filled

    def _replacement(self, bad: Sample, step: int, taken: set[str]) -> Sample:
        alike = [s for s in self.train if (s.dataset, s.task) == (bad.dataset, bad.task) and s.id not in taken]
        order = np.random.default_rng(sample_seed(bad.id, seed=self.seed, step=step)).permutation(len(alike))
        for candidate in (alike[i] for i in order):
            if self._is_readable(candidate, step):
                return candidate
        raise TrainingError(f"sample {bad.id!r} cannot be read, and no other one of dataset {bad.dataset!r} is left")

    def _is_readable(self, sample: Sample, step: int) -> bool:
        try:
            self.read(sample, sample_seed(sample.id, seed=self.seed, step=step))
        except MediaError as error:
            self.unreadable.add(sample.id, str(error))
            return False
        return True
