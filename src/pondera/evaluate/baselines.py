"""Baselines that need no look at the image. A number means little until the simplest thing has been tried."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from pondera.core.records import FIVE_POINT, Assessment, LabelScale, Sample


@dataclass(frozen=True)
class Baseline:
    """A system to stand beside models, ready to answer.

    Args:
        title: in tables.
        assess: from whole samples to one assessment each, in order.
        facts: how it was made, for the report.
    """

    title: str
    assess: Callable[[Sequence[Sample]], Sequence[Assessment]]
    facts: Mapping[str, Any] = field(default_factory=dict)


def mean_predictor(samples: Sequence[Sample]) -> Callable[[Sequence[Any]], list[Assessment]]:
    """A system that always answers the mean label of the given (training) samples.

    Its correlations are undefined; its RMSE is what a model has to beat.

    Args:
        samples: where the mean is taken; labels are averaged on [1, 5] when their scales differ.

    Raises:
        ValueError: no sample has a label.
    """
    labelled, scale = labelled_samples(samples, "mean predictor")
    mean = _mean(labelled, scale)

    def assess(inputs: Sequence[Any]) -> list[Assessment]:
        return [_answer(_path(item), mean, scale, f"mean-predictor:{mean:.6g}") for item in inputs]

    return assess


def subset_mean_predictor(samples: Sequence[Sample]) -> Callable[[Sequence[Sample]], list[Assessment]]:
    """A system that answers the mean label of a sample's subset: what is gained by knowing only where it comes from.

    Where subsets differ in quality it correlates well without a look at the image, so read correlations inside each
    subset beside the pooled one. It takes whole samples; a subset without labels gets the mean of all.

    Args:
        samples: where the means are taken; labels are averaged on [1, 5] when their scales differ.

    Raises:
        ValueError: no sample has a label.
    """
    labelled, scale = labelled_samples(samples, "subset-mean predictor")
    members: dict[tuple[str, str | None], list[Sample]] = defaultdict(list)
    for sample in labelled:
        members[sample.dataset, sample.subset].append(sample)
    mean_of = {key: _mean(group, scale) for key, group in members.items()}
    overall = _mean(labelled, scale)
    fingerprint = f"subset-mean-predictor:{overall:.6g}:{len(mean_of)}"

    def assess(inputs: Sequence[Sample]) -> list[Assessment]:
        return [
            _answer(item.path(), mean_of.get((item.dataset, item.subset), overall), scale, fingerprint)
            for item in inputs
        ]

    return assess


def file_size_predictor(samples: Sequence[Sample]) -> Baseline:
    """A straight line from the logarithm of the file size, in bytes, to the label, fitted by least squares.

    Compression and detail both show in the size, so that it correlates with quality in many sets. Answers are kept on
    the scale. A file that cannot be read has no score and says why; among those of the fit it is skipped and counted.

    Args:
        samples: where the line is fitted.

    Raises:
        ValueError: no sample has a label, or none of their files can be read.
    """
    labelled, scale = labelled_samples(samples, "file-size predictor")
    found = [(_log_size(sample.path()), sample.mos_on(scale)) for sample in labelled]
    points = [(size, mos) for size, mos in found if not isinstance(size, OSError)]
    if not points:
        raise ValueError(f"the file-size predictor can read none of {len(labelled)} training files: {found[0][0]}")
    x_N, y_N = np.array(points).T
    spread = float(x_N.var())
    slope = float(((x_N - x_N.mean()) * (y_N - y_N.mean())).mean()) / spread if spread > 0 else 0.0
    start = float(y_N.mean() - slope * x_N.mean())

    fingerprint = f"file-size-predictor:{start:.6g}:{slope:.6g}"

    def answer(path: str) -> Assessment:
        size = _log_size(path)
        if isinstance(size, OSError):
            made = _answer(path, math.nan, scale, fingerprint)
            return replace(made, valid=False, error=f"{path}: no file size ({size.strerror})")
        return _answer(path, min(max(start + slope * size, scale.low), scale.high), scale, fingerprint)

    facts = {"fitted_on": len(points), "unreadable_in_fit": len(labelled) - len(points)}
    return Baseline("file size", lambda inputs: [answer(_path(item)) for item in inputs], facts)


def labelled_samples(samples: Sequence[Sample], name: str) -> tuple[list[Sample], LabelScale]:
    """The samples with a label, and the scale to put them on: theirs where all have one, else [1, 5].

    Args:
        samples: to choose from.
        name: of who asks, for the error.

    Raises:
        ValueError: none has a label.
    """
    labelled = [sample for sample in samples if sample.mos is not None]
    if not labelled:
        raise ValueError(f"the {name} needs labelled samples, got none")
    scales = {sample.scale for sample in labelled}
    return labelled, (next(iter(scales)) if len(scales) == 1 else None) or FIVE_POINT


def _mean(samples: Sequence[Sample], scale: LabelScale) -> float:
    return sum(sample.mos_on(scale) for sample in samples) / len(samples)


def _path(item: Any) -> str:
    return item.path() if isinstance(item, Sample) else str(item)


def _log_size(path: str) -> float | OSError:
    try:
        return math.log(max(1, Path(path).stat().st_size))
    except OSError as error:
        return error


def _answer(path: str, score: float, scale: LabelScale, fingerprint: str) -> Assessment:
    return Assessment(path=path, score=score, scale=scale, mode="baseline", fingerprint=fingerprint)
