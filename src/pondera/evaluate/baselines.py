"""Baselines that need no model. A number means little until the simplest thing has been tried."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from pondera.core.records import FIVE_POINT, Assessment, Sample


def mean_predictor(samples: Sequence[Sample]) -> Callable[[Sequence[Any]], list[Assessment]]:
    """A system that always answers the mean label of the given (training) samples.

    Its correlations are undefined; its RMSE is what a model has to beat.

    Args:
        samples: where the mean is taken; labels are averaged on [1, 5] when their scales differ.

    Raises:
        ValueError: no sample has a label.
    """
    labelled = [sample for sample in samples if sample.mos is not None]
    if not labelled:
        raise ValueError("the mean predictor needs labelled samples, got none")
    scales = {sample.scale for sample in labelled}
    scale = next(iter(scales)) if len(scales) == 1 else FIVE_POINT
    scale = scale or FIVE_POINT
    mean = sum(sample.mos_on(scale) for sample in labelled) / len(labelled)

    def assess(inputs: Sequence[Any]) -> list[Assessment]:
        return [
            Assessment(
                path=item.path() if isinstance(item, Sample) else str(item),
                score=mean,
                scale=scale,
                mode="baseline",
                fingerprint=f"mean-predictor:{mean:.6g}",
            )
            for item in inputs
        ]

    return assess
