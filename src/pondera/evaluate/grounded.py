"""Grounded checks: does a text name what was done to the image, where, and how strongly? No judge is asked.

Only data sets whose samples list their distortions can tell; there, a sample that lists none is pristine. The text is
read with the lexicon of `pondera.teach.filters.mentions`, whose limits are the limits of these numbers: what a text
says in other words counts as not said. Damage has side effects (darkness takes contrast along), and naming one counts
as a false claim, so precision is a lower bound. Every number stands beside the one that the same texts get on other
images: a text that always says "noise" is right now and then.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pondera.core.bootstrap import cluster_index, percentile_interval, resample_weights
from pondera.core.correlation import srcc
from pondera.core.records import FloatArray
from pondera.evaluate.predictions import Row
from pondera.teach.defects import ASPECT_OF, DISTORTIONS_OF
from pondera.teach.filters.mentions import Mention, read_mentions, stated_kinds, stated_severities

CLAIMED_FROM = 1.5  # severity from which an aspect counts as called bad: "slightly", or a grade of fair and worse
_NUM_SHUFFLES = 20
_OPPOSITE = {"left": "right", "right": "left", "top": "bottom", "bottom": "top"}


@dataclass(frozen=True, slots=True)
class _Reading:
    """What one text says."""

    severity_of: dict[str, float]
    kinds: set[str]
    mentions: list[Mention]

    @property
    def claimed(self) -> set[str]:
        return {aspect for aspect, severity in self.severity_of.items() if severity >= CLAIMED_FROM}


def grounded_checks(rows: Sequence[Row], *, num_resamples: int = 1000, seed: int = 0) -> dict[str, Any]:
    """Compare what the reasoning of predictions says with what was done to the images.

    Args:
        rows: predictions, see `predictions.prediction_row`; rows of data sets without distortions, without a reasoning
            or with distortions of unknown types are left out and counted.
        num_resamples: of the bootstrap; contents are drawn whole.
        seed: of the bootstrap, and of the shuffles.

    Returns:
        `n`, `n_left_out`, `n_pristine`;
        `what`: `precision`, `recall`, `f1` of named aspects with `_ci`, `recall_by_level`, `aspects` (`n`, `precision`,
        `recall` of each), `kind_recall` (the kind of damage itself is named, such as too dark, not too bright),
        `pristine_false_claims` (share of pristine images in which something is called bad);
        `how_strongly`: `srcc` of distortion level and stated severity (0 where nothing is said) with `_ci`, and
        `srcc_when_named`;
        `where`: `n` damaged parts, `named` (share with any place), `right` (share with a right place and no opposite
        one), `false_places` (share of images damaged as a whole whose text puts the damage into a place);
        `by_chance`: precision, recall, f1 and severity srcc of the same texts on other images, mean of 20 shuffles.
        NaN where nothing can be counted.
    """
    used = _usable(rows)
    readings = [_read(row["reasoning"]) for row in used]
    cluster_N = cluster_index([(row["dataset"], row["reference"]) for row in used], len(used)) if used else None
    measured = _measure(used, readings)

    def interval(statistic: Callable[[FloatArray], FloatArray]) -> list[float]:
        if not used or (cluster_N is not None and int(cluster_N.max()) == 0):
            return [math.nan, math.nan]
        chunks = resample_weights(len(used), cluster_N, num_resamples=num_resamples, seed=seed)
        return percentile_interval(np.concatenate([statistic(weight_BN) for weight_BN in chunks]))

    counts_N3 = _counts(used, readings)
    what = measured["what"]
    what["precision_ci"] = interval(lambda weight_BN: _quotient(weight_BN @ counts_N3, 0, 1))
    what["recall_ci"] = interval(lambda weight_BN: _quotient(weight_BN @ counts_N3, 0, 2))
    measured["how_strongly"]["srcc_ci"] = interval(lambda weight_BN: _severity_draws(used, readings, weight_BN))
    return {
        "n": len(used),
        "n_left_out": len(rows) - len(used),
        "n_pristine": sum(not row["distortions"] for row in used),
        **measured,
        "by_chance": _by_chance(used, readings, seed),
    }


def _usable(rows: Sequence[Row]) -> list[Row]:
    datasets = {row["dataset"] for row in rows if row["distortions"]}
    known = {name for names in DISTORTIONS_OF.values() for name in names}
    return [
        row
        for row in rows
        if row["dataset"] in datasets and row["reasoning"] and all(d["type"] in known for d in row["distortions"])
    ]


def _read(text: str) -> _Reading:
    return _Reading(stated_severities(text), stated_kinds(text), read_mentions(text))


def _kinds(distortion: dict[str, Any]) -> set[str]:
    return {kind for kind, names in DISTORTIONS_OF.items() if distortion["type"] in names}


def _aspect(distortion: dict[str, Any]) -> str:
    return ASPECT_OF[next(iter(_kinds(distortion)))]


def _harmed(row: Row) -> set[str]:
    return {_aspect(distortion) for distortion in row["distortions"]}


def _measure(rows: Sequence[Row], readings: Sequence[_Reading]) -> dict[str, Any]:
    return {
        "what": _what(rows, readings),
        "how_strongly": _how_strongly(rows, readings),
        "where": _where(rows, readings),
    }


def _counts(rows: Sequence[Row], readings: Sequence[_Reading]) -> FloatArray:
    """Per row: aspects named rightly, named, harmed; shape [N, 3]."""
    counts = [
        (len(r.claimed & _harmed(row)), len(r.claimed), len(_harmed(row)))
        for row, r in zip(rows, readings, strict=True)
    ]
    return np.array(counts, dtype=np.float64).reshape(-1, 3)


def _what(rows: Sequence[Row], readings: Sequence[_Reading]) -> dict[str, Any]:
    right, named, harmed = _counts(rows, readings).sum(axis=0)
    pairs = [(d, reading) for row, reading in zip(rows, readings, strict=True) for d in row["distortions"]]
    levels = sorted({d["level"] for d, _ in pairs})
    pristine = [bool(reading.claimed) for row, reading in zip(rows, readings, strict=True) if not row["distortions"]]
    return {
        **_scores(right, named, harmed),
        "recall_by_level": {n: _mean([_aspect(d) in r.claimed for d, r in pairs if d["level"] == n]) for n in levels},
        "aspects": {aspect: _of_aspect(rows, readings, aspect) for aspect in sorted(set(ASPECT_OF.values()))},
        "kind_recall": _mean([bool(_kinds(d) & r.kinds) for d, r in pairs]),
        "pristine_false_claims": _mean(pristine),
    }


def _of_aspect(rows: Sequence[Row], readings: Sequence[_Reading], aspect: str) -> dict[str, Any]:
    pairs = [(aspect in reading.claimed, aspect in _harmed(row)) for row, reading in zip(rows, readings, strict=True)]
    right = sum(is_named and is_harmed for is_named, is_harmed in pairs)
    scores = _scores(right, sum(named for named, _ in pairs), sum(harmed for _, harmed in pairs))
    return {"n": sum(harmed for _, harmed in pairs), "precision": scores["precision"], "recall": scores["recall"]}


def _scores(right: float, named: float, harmed: float) -> dict[str, float]:
    precision = float(right / named) if named else math.nan
    recall = float(right / harmed) if harmed else math.nan
    return {"precision": precision, "recall": recall, "f1": float(2 * right / (named + harmed)) if harmed else math.nan}


def _severities(rows: Sequence[Row], readings: Sequence[_Reading]) -> FloatArray:
    """Per distortion: row, level, stated severity of its aspect (NaN where not spoken of); shape [D, 3]."""
    found = [
        (index, d["level"], reading.severity_of.get(_aspect(d), math.nan))
        for index, (row, reading) in enumerate(zip(rows, readings, strict=True))
        for d in row["distortions"]
    ]
    return np.array(found, dtype=np.float64).reshape(-1, 3)


def _how_strongly(rows: Sequence[Row], readings: Sequence[_Reading]) -> dict[str, Any]:
    _, level_D, stated_D = _severities(rows, readings).T
    is_named_D = ~np.isnan(stated_D)
    return {
        "n": level_D.size,
        "srcc": srcc(np.nan_to_num(stated_D), level_D),
        "n_named": int(is_named_D.sum()),
        "srcc_when_named": srcc(stated_D[is_named_D], level_D[is_named_D]),
    }


def _severity_draws(rows: Sequence[Row], readings: Sequence[_Reading], weight_BN: FloatArray) -> FloatArray:
    row_D, level_D, stated_D = _severities(rows, readings).T
    stated_D, index_D = np.nan_to_num(stated_D), row_D.astype(np.int64)
    repeats_BD = weight_BN[:, index_D].astype(np.int64)
    return np.array([srcc(np.repeat(stated_D, count_D), np.repeat(level_D, count_D)) for count_D in repeats_BD])


def _where(rows: Sequence[Row], readings: Sequence[_Reading]) -> dict[str, Any]:
    local, whole = [], []
    for row, reading in zip(rows, readings, strict=True):
        for d in row["distortions"]:
            places = {p for m in reading.mentions if m.aspect == _aspect(d) and m.severity > 0 for p in m.places}
            if d.get("box") is None:
                whole.append(bool(places))
            else:
                local.append((bool(places), _is_right_place(places, d["box"])))
    return {
        "n": len(local),
        "named": _mean([named for named, _ in local]),
        "right": _mean([right for _, right in local]),
        "false_places": _mean(whole),
    }


def _is_right_place(named: set[str], box: Sequence[float]) -> bool:
    x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    sides = {"left": x < 0.4, "right": x > 0.6, "top": y < 0.4, "bottom": y > 0.6}
    true = {name for name, is_there in sides.items() if is_there} or {"centre"}
    return bool(named & true) and not any(_OPPOSITE.get(place) in true for place in named)


def _by_chance(rows: Sequence[Row], readings: Sequence[_Reading], seed: int) -> dict[str, float]:
    """What the same texts score on images that they were not written about."""
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(_NUM_SHUFFLES if len(rows) > 1 else 0):
        shuffled = [readings[index] for index in rng.permutation(len(readings))]
        scores = _scores(*_counts(rows, shuffled).sum(axis=0))
        found.append({**scores, "srcc": _how_strongly(rows, shuffled)["srcc"]})
    return {name: _mean([scores[name] for scores in found]) for name in ("precision", "recall", "f1", "srcc")}


def _quotient(sum_B3: FloatArray, top: int, bottom: int) -> FloatArray:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(sum_B3[:, top] / sum_B3[:, bottom])


def _mean(values: Sequence[float | bool]) -> float:
    return float(np.mean(values)) if values else math.nan
