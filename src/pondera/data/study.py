"""A study of one's own as a manifest: opinions of single subjects, or votes for the better of two.

Opinions stand either one to a row (`stimulus,subject,score`) or one to a column (`stimulus`, then one column per
subject); votes are rows of `first,second,choice`. A stimulus is a media file, relative to the table or to a given
folder. An optional column `reference` (tables of opinions) names the content. Shape letters: N stimuli, U subjects.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pondera.core.opinions import (
    MeanOpinions,
    Screening,
    mean_opinions,
    remove_bias,
    screen_by_correlation,
    screen_by_extremes,
    subject_bias,
)
from pondera.core.pairwise import PairwiseModel, pairwise_scores, winning_groups, with_pseudo_votes
from pondera.core.records import FloatArray, LabelScale, Media, Sample
from pondera.core.subject_model import WeighedOpinions, weigh_subjects
from pondera.data.adapters.tables import Row, csv_rows
from pondera.errors import DatasetError

SCREENINGS: Mapping[str, Callable[[FloatArray], Screening]] = {
    "bt500": screen_by_extremes,
    "p913": screen_by_correlation,
}
WEIGHTING = "p910"  # nobody is rejected: careless subjects weigh less
_VOTE_COLUMNS = ("first", "second", "choice")
_POINTS = {"first": (1.0, 0.0), "second": (0.0, 1.0), "tie": (0.5, 0.5)}


@dataclass(frozen=True)
class Opinions:
    """A table of opinions.

    Args:
        stimuli: media files as they stand in the table.
        subjects: who gave opinions.
        opinion_NU: their opinions, NaN where one is missing.
        reference: content by stimulus, where the table names it.
    """

    stimuli: list[str]
    subjects: list[str]
    opinion_NU: FloatArray
    reference: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Votes:
    """A table of votes: [i, j] is how often i was preferred to j, ties half each."""

    stimuli: list[str]
    win_NN: FloatArray


@dataclass(frozen=True)
class Study:
    """The samples of a study, and what was found about its subjects.

    Args:
        samples: one per stimulus, in the order of the table.
        subjects: by name: `rejected`, `bias` and the figures of the screening; empty for votes.
        num_judgements: opinions or votes that the labels rest on.
        mean_reach: mean half width of the 95 % intervals of the labels.
    """

    samples: list[Sample]
    subjects: dict[str, dict[str, float | bool]]
    num_judgements: int
    mean_reach: float


def read_study(table: Path, scale: LabelScale) -> Opinions | Votes:
    """Read a table of opinions or votes, whichever its header says.

    Args:
        table: CSV in UTF-8 with a header.
        scale: that opinions must lie on.

    Raises:
        DatasetError: the table is none of the three layouts, or a row is wrong; names file, line and value.
    """
    if table.suffix.lower() in (".jsonl", ".json", ".parquet", ".xlsx"):
        raise DatasetError(f"{table}: a study is read from a CSV table in UTF-8; write the opinions or votes as one")
    rows = list(csv_rows(table))
    columns = rows[0].cells
    if all(name in columns for name in _VOTE_COLUMNS):
        return _votes(rows)
    if "stimulus" not in columns or len(columns) < 2:
        raise DatasetError(
            f"{table}:1: the columns are {', '.join(columns)}; give stimulus,subject,score, or stimulus and a column "
            "per subject, or first,second,choice"
        )
    is_long = "subject" in columns and "score" in columns
    return _opinions(rows, scale, _one_per_row if is_long else _one_per_column)


def opinion_study(
    opinions: Opinions, *, scale: LabelScale, folder: Path, dataset: str, screening: str | None, without_bias: bool
) -> Study:
    """Mean opinion scores of the subjects that pass the screening.

    Args:
        opinions: the table.
        scale: of the labels. Means that bias removal moves off it are set to its end.
        folder: that stimuli are relative to.
        dataset: name of the data set.
        screening: a key of `SCREENINGS`, or `WEIGHTING`; None keeps everybody.
        without_bias: take each remaining subject's bias off before averaging; `WEIGHTING` always does.

    Raises:
        DatasetError: nobody passes the screening.
    """
    if screening == WEIGHTING:
        weighed = weigh_subjects(opinions.opinion_NU)
        figures = _weighed_figures(opinions, weighed)
        return _study(opinions, weighed.means, figures, scale=scale, folder=folder, dataset=dataset)
    screened = SCREENINGS[screening](opinions.opinion_NU) if screening else None
    is_kept_U = np.ones(len(opinions.subjects), bool) if screened is None else ~screened.is_rejected_U
    if not is_kept_U.any():
        raise DatasetError(f"no subject passes the screening {screening}; look at the table, or use no screening")
    kept_NU = opinions.opinion_NU[:, is_kept_U]
    means = mean_opinions(remove_bias(kept_NU) if without_bias else kept_NU)
    figures = _figures(opinions, screened, is_kept_U)
    return _study(opinions, means, figures, scale=scale, folder=folder, dataset=dataset)


def vote_study(votes: Votes, *, model: PairwiseModel, pseudo_votes: float, folder: Path, dataset: str) -> Study:
    """Scores from votes; the scale of the labels is their range, rounded outwards to whole units.

    Args:
        votes: the table.
        model: see `core.pairwise.pairwise_scores`.
        pseudo_votes: as there.
        folder: that stimuli are relative to.
        dataset: name of the data set.

    Raises:
        DatasetError: the votes leave a distance open; names stimuli of two groups.
    """
    try:
        scores = pairwise_scores(votes.win_NN, model=model, pseudo_votes=pseudo_votes)
    except ValueError as error:
        raise DatasetError(f"{error}: {_two_groups(votes, pseudo_votes)}") from None
    scale = LabelScale(math.floor(scores.score_N.min()), math.floor(scores.score_N.max()) + 1.0)
    samples = [
        Sample(
            id=f"{dataset}/{name}",
            media=(Media(str(folder / name)),),
            dataset=dataset,
            mos=float(scores.score_N[n]),
            scale=scale,
            meta={"votes": float(scores.count_N[n]), "ci95": [float(scores.low_N[n]), float(scores.high_N[n])]},
        )
        for n, name in enumerate(votes.stimuli)
    ]
    return Study(samples, {}, int(votes.win_NN.sum()), _mean((scores.high_N - scores.low_N) / 2))


def _study(
    opinions: Opinions,
    means: MeanOpinions,
    figures: dict[str, dict[str, float | bool]],
    *,
    scale: LabelScale,
    folder: Path,
    dataset: str,
) -> Study:
    samples = []
    for n, name in enumerate(opinions.stimuli):
        known = bool(means.count_N[n])
        samples.append(
            Sample(
                id=f"{dataset}/{name}",
                media=(Media(str(folder / name)),),
                dataset=dataset,
                mos=float(np.clip(means.mos_N[n], scale.low, scale.high)) if known else None,
                mos_std=_known(means.std_N[n]),
                scale=scale,
                reference=opinions.reference.get(name),
                meta={"opinions": int(means.count_N[n]), "ci95": _known(means.reach_N[n])},
            )
        )
    return Study(samples, figures, int(means.count_N.sum()), _mean(means.reach_N))


def _opinions(rows: Sequence[Row], scale: LabelScale, cells_of: Callable[[Row], list[tuple[str, str]]]) -> Opinions:
    """Fill the table; stimuli and subjects stand in the order in which they first occur."""
    opinion_of: dict[tuple[str, str], float] = {}
    line_of: dict[tuple[str, str], int] = {}
    reference: dict[str, str] = {}
    stimuli: dict[str, int] = {}
    subjects: dict[str, int] = {}
    for row in rows:
        stimulus = row.text("stimulus")
        stimuli.setdefault(stimulus, len(stimuli))
        if row.has("reference") and reference.setdefault(stimulus, row.text("reference")) != row.text("reference"):
            raise DatasetError(f"{row.where}: {stimulus} had reference {reference[stimulus]!r} above; correct one")
        for subject, column in cells_of(row):
            key = (stimulus, subject)
            subjects.setdefault(subject, len(subjects))
            if key in opinion_of:
                raise DatasetError(
                    f"{row.where}: {subject} has rated {stimulus} on line {line_of[key]} already; keep one"
                )
            opinion_of[key], line_of[key] = _opinion(row, column, scale), row.line
    opinion_NU = np.full((len(stimuli), len(subjects)), math.nan)
    for (stimulus, subject), value in opinion_of.items():
        opinion_NU[stimuli[stimulus], subjects[subject]] = value
    return Opinions(list(stimuli), list(subjects), opinion_NU, reference)


def _one_per_row(row: Row) -> list[tuple[str, str]]:
    return [(row.text("subject"), "score")]


def _one_per_column(row: Row) -> list[tuple[str, str]]:
    names = [name for name in row.cells if name not in ("stimulus", "reference")]
    return [(name, name) for name in names if row.has(name)]


def _opinion(row: Row, column: str, scale: LabelScale) -> float:
    value = row.number(column)
    if not scale.contains(value):
        raise DatasetError(
            f"{row.where}: {column} is {value:g}, outside [{scale.low:g}, {scale.high:g}]; correct the row or the scale"
        )
    return value


def _votes(rows: Sequence[Row]) -> Votes:
    place: dict[str, int] = {}
    points: list[tuple[int, int, float]] = []
    for row in rows:
        first, second, choice = (row.text(name) for name in _VOTE_COLUMNS)
        if first == second:
            raise DatasetError(f"{row.where}: {first} is compared with itself; remove the row")
        if choice not in _POINTS:
            raise DatasetError(f"{row.where}: choice is {choice!r}; write first, second or tie")
        i, j = (place.setdefault(name, len(place)) for name in (first, second))
        points += [(i, j, _POINTS[choice][0]), (j, i, _POINTS[choice][1])]
    win_NN = np.zeros((len(place), len(place)))
    for i, j, point in points:
        win_NN[i, j] += point
    return Votes(list(place), win_NN)


def _two_groups(votes: Votes, pseudo_votes: float) -> str:
    """What a user can do, with a stimulus of each of two groups."""
    win_NN = with_pseudo_votes(votes.win_NN, pseudo_votes)
    group_N = winning_groups(win_NN)
    # They join only what was compared.
    or_add = ", or add pseudo-votes" if winning_groups(with_pseudo_votes(win_NN, 1.0)).max() == 0 else ""
    one, other = (votes.stimuli[int(np.flatnonzero(group_N == group)[0])] for group in (0, 1))
    return f"for example {one} and {other}; collect votes that join them{or_add}"


def _figures(
    opinions: Opinions, screened: Screening | None, is_kept_U: NDArray[np.bool_]
) -> dict[str, dict[str, float | bool]]:
    bias_U = subject_bias(opinions.opinion_NU)
    return {
        name: {
            "rejected": not bool(is_kept_U[u]),
            "bias": float(bias_U[u]),
            **({} if screened is None else {key: float(value_U[u]) for key, value_U in screened.figures.items()}),
        }
        for u, name in enumerate(opinions.subjects)
    }


def _weighed_figures(opinions: Opinions, weighed: WeighedOpinions) -> dict[str, dict[str, float | bool]]:
    return {
        name: {
            "rejected": False,
            "bias": float(weighed.bias_U[u]),
            "inconsistency": float(weighed.inconsistency_U[u]),
        }
        for u, name in enumerate(opinions.subjects)
    }


def _known(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def _mean(value_N: FloatArray) -> float:
    known = value_N[np.isfinite(value_N)]
    return float(known.mean()) if known.size else math.nan
