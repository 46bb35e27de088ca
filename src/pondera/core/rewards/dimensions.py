"""Rewards for answers with several named fields: mean over dimensions, and F1 of named attributions."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from pondera.core.answers import Answer
from pondera.core.pool import Pool
from pondera.core.records import FloatArray
from pondera.core.rewards.base import Term, readable, register
from pondera.core.rewards.score import Gaussian, ScoreTerm


@register
@dataclass(frozen=True)
class DimensionMean(Term):
    """Mean of a score reward over named dimensions.

    A dimension is read from the answer's JSON field of that name; an answer of plain numbers is read in the order of
    `names`. Labels come from the sample's targets, on the working scale; dimensions without a label are left out, and
    a sample with no label at all earns 0 (another task).

    Args:
        names: dimensions, at least one, no two alike.
        kernel: score reward applied to each.
        weights: one per name, >= 0, their sum is scaled to 1; empty = equal.

    Raises:
        ValueError: names or weights do not fit together, or the kernel is not a score reward.
    """

    name = "dimension_mean"
    formula = "sum over dimensions of weight * kernel(answer, label) / sum of weights"
    source = (
        "VQ-Insight arXiv:2506.18564 (code: equal weights, relative error; paper: weights lambda, absolute error); "
        "Q-Save arXiv:2511.18825 publishes no formula: Gaussian kernels are ours"
    )
    range = "as the kernel"
    branch = "preference"

    names: tuple[str, ...] = ("spatial", "temporal", "alignment")
    kernel: ScoreTerm = field(default_factory=Gaussian)
    weights: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if not self.names or len(set(self.names)) != len(self.names):
            raise ValueError(f"dimension_mean.names must be one or more different names, got {self.names}")
        if self.weights and (len(self.weights) != len(self.names) or min(self.weights) < 0 or sum(self.weights) <= 0):
            raise ValueError(
                f"dimension_mean.weights must be {len(self.names)} numbers >= 0, not all 0, got {self.weights}"
            )
        if not isinstance(self.kernel, ScoreTerm):
            raise ValueError(f"dimension_mean.kernel must be a score reward such as gaussian, got {self.kernel!r}")

    def __call__(self, pool: Pool) -> FloatArray:
        """Rewards [S, K]; 0 where invalid, not present or without a target."""
        readable_SK = readable(pool)
        total_SK, weight_SK = np.zeros(readable_SK.shape), np.zeros(readable_SK.shape)
        for index, name in enumerate(self.names):
            weight = self.weights[index] if self.weights else 1.0
            label_S = np.array([_number(target.get(name)) for target in pool.target_S])
            score_SK = np.full(readable_SK.shape, np.nan)
            for s, k in np.argwhere(readable_SK & np.isfinite(label_S)[:, None]):
                score_SK[s, k] = self._score(pool.answer_SK[s][k], index)
            known_SK = np.isfinite(score_SK)
            label_SK = np.broadcast_to(label_S[:, None], known_SK.shape)
            total_SK[known_SK] += weight * self.kernel.value(score_SK[known_SK], label_SK[known_SK])
            # A dimension that is labelled but missing in the answer still counts: leaving it out must not pay.
            weight_SK += weight * np.isfinite(label_S)[:, None]
        reward_SK = np.divide(total_SK, weight_SK, out=np.zeros(total_SK.shape), where=weight_SK > 0)
        return np.where(readable_SK, reward_SK, 0.0)

    def _score(self, answer: Answer, index: int) -> float:
        if answer.fields:
            return _number(answer.fields.get(self.names[index]))
        return answer.values[index] if len(answer.values) == len(self.names) else math.nan


@register
@dataclass(frozen=True)
class AttributionF1(Term):
    """F1 of the named causes against the labelled ones, averaged over the fields that carry a label.

    Both sets empty is right and earns 1.

    Args:
        fields: names of the lists in answer and targets, at least one.

    Raises:
        ValueError: no field is named.
    """

    name = "attribution_f1"
    formula = "mean over fields of 2 |found and true| / (|found| + |true|)"
    source = "Q-Save arXiv:2511.18825 publishes no formula; this form is ours"
    range = "0..1"

    fields: tuple[str, ...] = ("attribution",)

    def __post_init__(self) -> None:
        if not self.fields:
            raise ValueError("attribution_f1.fields must name at least one list of the answer")

    def __call__(self, pool: Pool) -> FloatArray:
        """Rewards [S, K]; 0 where invalid, not present or without a target."""
        readable_SK = readable(pool)
        reward_SK = np.zeros(readable_SK.shape)
        for s, k in np.argwhere(readable_SK):
            target = pool.target_S[s]
            names = [name for name in self.fields if target.get(name) is not None]
            found: Mapping[str, Any] = pool.answer_SK[s][k].fields
            if names:
                reward_SK[s, k] = np.mean([label_f1(found.get(name) or (), target[name]) for name in names])
        return reward_SK


def label_f1(found: Iterable[str], truth: Iterable[str]) -> float:
    """F1 of two sets of labels, letter case and outer white space free; 1 when both are empty."""
    found_set, true_set = ({label.strip().lower() for label in labels} for labels in (found, truth))
    if not found_set and not true_set:
        return 1.0
    return 2 * len(found_set & true_set) / (len(found_set) + len(true_set))


def _number(value: Any) -> float:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return float(value) if is_number else math.nan
