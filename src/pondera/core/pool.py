"""The pool: every roll-out of the samples of one dataset in the global batch of one step, as dense arrays.

Rewards and advantages are functions of a pool. Shape letters: S samples, K completions per sample, n numbers per
answer. Groups may be ragged (a completion was lost): missing cells are not `present`, and never enter anything.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pondera.core.answers import Answer
from pondera.core.records import FloatArray, LabelScale, Sample

BoolArray = NDArray[np.bool_]


@dataclass(frozen=True)
class Pool:
    """All that a reward may look at.

    Args:
        value_SKn: the numbers of each answer; NaN where invalid.
        score_SK: mean of the numbers; NaN where invalid.
        valid_SK: the answer could be read.
        present_SK: the completion exists (False only in ragged groups).
        mos_S: labels on the working scale; NaN where unlabelled.
        mos_std_S: standard deviation of the opinions, working scale; NaN where unknown.
        scale: the working scale.
        sample_S: sample ids.
        text_SK: completions as generated.
        answer_SK: parsed answers.
        num_tokens_SK: lengths in tokens.
        target_S: further labels per sample.
        task_S: task per sample.
        stage: name of the training stage, "" outside training.
        step: global step.
        side: named [S, K] arrays that only the engine can compute.
    """

    value_SKn: FloatArray
    score_SK: FloatArray
    valid_SK: BoolArray
    present_SK: BoolArray
    mos_S: FloatArray
    mos_std_S: FloatArray
    scale: LabelScale
    sample_S: tuple[str, ...]
    text_SK: Sequence[Sequence[str]]
    answer_SK: Sequence[Sequence[Answer]]
    num_tokens_SK: NDArray[np.int64]
    target_S: Sequence[Mapping[str, Any]]
    task_S: tuple[str, ...]
    stage: str = ""
    step: int = 0
    side: Mapping[str, FloatArray] = field(default_factory=dict)

    @property
    def num_samples(self) -> int:
        """S."""
        return int(self.score_SK.shape[0])

    @property
    def group_size(self) -> int:
        """K."""
        return int(self.score_SK.shape[1])

    def with_side(self, **arrays: FloatArray) -> Pool:
        """The same pool with more side arrays."""
        return replace(self, side={**self.side, **arrays})

    @classmethod
    def build(
        cls,
        samples: Sequence[Sample],
        text_SK: Sequence[Sequence[str]],
        answer_SK: Sequence[Sequence[Answer]],
        *,
        scale: LabelScale,
        num_tokens_SK: Sequence[Sequence[int]] | None = None,
        stage: str = "",
        step: int = 0,
        side: Mapping[str, FloatArray] | None = None,
    ) -> Pool:
        """Make a pool from parsed completions; groups shorter than the longest are padded as not present.

        Args:
            samples: S samples of one dataset.
            text_SK: their completions.
            answer_SK: the parsed completions, same shape.
            scale: the working scale; labels are converted to it.
            num_tokens_SK: lengths in tokens; number of white-space words when unknown.
            stage: name of the training stage.
            step: global step.
            side: arrays only the engine can compute, each [S, K].

        Raises:
            ValueError: shapes differ, or there is no completion at all.
        """
        lengths = [len(group) for group in answer_SK]
        if len(samples) != len(lengths) or [len(group) for group in text_SK] != lengths or not any(lengths):
            raise ValueError(f"need one group of completions for each of {len(samples)} samples, got sizes {lengths}")
        num_samples, group_size = len(samples), max(lengths)
        n = max((len(a.values) for group in answer_SK for a in group), default=0)
        value_SKn = np.full((num_samples, group_size, n), np.nan)
        score_SK = np.full((num_samples, group_size), np.nan)
        valid_SK = np.zeros((num_samples, group_size), dtype=bool)
        present_SK = np.zeros((num_samples, group_size), dtype=bool)
        tokens_SK = np.zeros((num_samples, group_size), dtype=np.int64)
        for s, group in enumerate(answer_SK):
            present_SK[s, : len(group)] = True
            for k, answer in enumerate(group):
                valid_SK[s, k] = answer.is_valid
                score_SK[s, k] = answer.score
                value_SKn[s, k, : len(answer.values)] = answer.values
                tokens_SK[s, k] = len(text_SK[s][k].split()) if num_tokens_SK is None else num_tokens_SK[s][k]
        for name, array in (side or {}).items():
            if array.shape != (num_samples, group_size):
                raise ValueError(f"side array {name!r} must be {(num_samples, group_size)}, got {array.shape}")
        return cls(
            value_SKn=value_SKn,
            score_SK=score_SK,
            valid_SK=valid_SK,
            present_SK=present_SK,
            mos_S=np.array([sample.mos_on(scale) for sample in samples]),
            mos_std_S=np.array([_mos_std(sample, scale) for sample in samples]),
            scale=scale,
            sample_S=tuple(sample.id for sample in samples),
            text_SK=[list(group) for group in text_SK],
            answer_SK=[list(group) for group in answer_SK],
            num_tokens_SK=tokens_SK,
            target_S=[sample.targets for sample in samples],
            task_S=tuple(sample.task for sample in samples),
            stage=stage,
            step=step,
            side=dict(side or {}),
        )


def _mos_std(sample: Sample, scale: LabelScale) -> float:
    if sample.mos_std is None or sample.scale is None:
        return math.nan
    return float(sample.scale.convert_std(sample.mos_std, scale))
