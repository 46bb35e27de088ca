"""What a score means among others: its percentile in a named set that the same model has scored."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from pondera.errors import DatasetError
from pondera.evaluate.diagnosis import place
from pondera.evaluate.predictions import Row
from pondera.evaluate.run import Evaluation, load_evaluation


@dataclass(frozen=True)
class ReferenceSet:
    """Scores of one model on a known set.

    Args:
        name: of the set.
        fingerprint: of the model: scores of another one, or in another mode, are not comparable.
        places: the scores by rising order, as places on their scale, 0 to 1.
        folder: of the evaluation that it was read from, for messages.
    """

    name: str
    fingerprint: str
    places: tuple[float, ...]
    folder: Path | None = field(default=None, compare=False)

    def percentile(self, at: float) -> float:
        """Share of the set below a score, in percent; equal scores count half. NaN for NaN.

        Args:
            at: the score as a place on its scale, 0 to 1.
        """
        if math.isnan(at):
            return math.nan
        below, upto = np.searchsorted(self.places, [at - 1e-12, at + 1e-12])
        return float(50 * (below + upto) / len(self.places))


def reference_set(evaluation: Evaluation, name: str = "") -> ReferenceSet:
    """The valid scores of an evaluation.

    Args:
        evaluation: of the set.
        name: of the set; the names of its datasets by default.

    Raises:
        DatasetError: fewer than two scores are valid, or they come from several models.
    """
    rows = [row for row in evaluation.rows if row["valid"]]
    prints = {row["fingerprint"] for row in rows}
    if len(rows) < 2 or len(prints) != 1:
        raise DatasetError(
            f"{evaluation.name}: a reference set needs two valid scores of one model, got {len(rows)} "
            f"with {len(prints)} fingerprints"
        )
    datasets = ", ".join(sorted({row["dataset"] for row in rows}))
    places = sorted(place(row, row["score"]) for row in rows)
    return ReferenceSet(name or f"{datasets} ({len(rows):,} samples)", prints.pop(), tuple(places))


def percentile_of(row: Row, reference: ReferenceSet) -> float:
    """Percentile of a row's score; NaN where it is invalid, or of another fingerprint than the set."""
    if row["fingerprint"] != reference.fingerprint:
        return math.nan
    return reference.percentile(place(row, row["score"]))


def with_percentiles(evaluation: Evaluation, reference: ReferenceSet) -> Evaluation:
    """The evaluation with `percentile` in its rows, and name and number of the reference scores in its protocol; as it
    is where another model made the reference set.
    """
    if all(row["fingerprint"] != reference.fingerprint for row in evaluation.rows):
        return evaluation
    rows = [{**row, "percentile": percentile_of(row, reference)} for row in evaluation.rows]
    facts = {"reference_set": reference.name, "num_reference_scores": len(reference.places)}
    return replace(evaluation, rows=rows, protocol={**evaluation.protocol, **facts})


def load_reference_set(folder: Path) -> ReferenceSet:
    """An earlier evaluation as the reference set of others; `check_maker` says of which.

    Raises:
        DatasetError: there is no evaluation, or it makes no reference set.
    """
    return replace(reference_set(load_evaluation(folder)), folder=folder)


def check_maker(reference: ReferenceSet, fingerprints: Collection[str]) -> None:
    """Refuse a reference set that none of these systems scored.

    Args:
        reference: the set.
        fingerprints: of the systems.

    Raises:
        DatasetError: none of them is the model, in the mode, that scored the set.
    """
    if reference.fingerprint not in fingerprints:
        raise DatasetError(
            f"{reference.folder or reference.name}: scored by {reference.fingerprint}, none of these systems "
            f"({', '.join(sorted(fingerprints))}); evaluate the reference set with the same model and mode, or leave "
            "out --reference-set"
        )
