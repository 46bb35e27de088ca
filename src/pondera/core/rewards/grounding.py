"""Where is the degradation? Predicted boxes against true ones, matched one to one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pondera.core.pool import Pool
from pondera.core.records import FloatArray
from pondera.core.rewards.base import Term, not_negative, readable, register

_SEVERITY_CREDIT = (1.0, 0.6, 0.2)  # for a severity that is 0, 1 or 2 levels off; further off earns nothing

Box = Mapping[str, Any]


@register
@dataclass(frozen=True)
class Grounding(Term):
    """Boxes matched by the Hungarian method on their overlap; pairs below `min_iou` are dropped.

    Answer and targets hold a list of `{"bbox_2d": [left, top, right, bottom], "type": ..., "level": ...}` in the same
    unit. Both lists empty is a right answer and earns every part; no match earns 0.

    Args:
        field: name of the list in answer and targets.
        min_iou: smallest overlap of a match, in (0, 1].
        iou_weight: weight of the mean overlap of the matches.
        f1_weight: weight of 2 matches / (predicted + true).
        class_weight: weight of the share of matches with the right type.
        severity_weight: weight of the mean severity credit of the matches: 1, 0.6, 0.2, 0 for 0, 1, 2, more levels
            off, only where the type is right. Matches whose true box has no level are left out of this mean.

    Raises:
        ValueError: a weight is negative, or min_iou is outside (0, 1].
    """

    name = "grounding"
    formula = "iou_weight mean IoU + f1_weight F1 + class_weight right types + severity_weight severity credit"
    source = (
        "GS-IQA (grounding rewards; weights 1, IoU >= 0.5), the published stand-in for the unpublished first stage of "
        "Refine-IQA arXiv:2508.03763; both lists empty = 1 is ours"
    )
    range = "0..4 with the defaults"

    field: str = "boxes"
    min_iou: float = 0.5
    iou_weight: float = 1.0
    f1_weight: float = 1.0
    class_weight: float = 1.0
    severity_weight: float = 1.0

    def __post_init__(self) -> None:
        not_negative(
            self,
            iou_weight=self.iou_weight,
            f1_weight=self.f1_weight,
            class_weight=self.class_weight,
            severity_weight=self.severity_weight,
        )
        if not 0.0 < self.min_iou <= 1.0:
            raise ValueError(f"grounding.min_iou must be in (0, 1], got {self.min_iou}")

    def __call__(self, pool: Pool) -> FloatArray:
        """Rewards [S, K]; 0 where invalid, not present or without a target."""
        readable_SK = readable(pool)
        weight_4 = np.array([self.iou_weight, self.f1_weight, self.class_weight, self.severity_weight])
        reward_SK = np.zeros(readable_SK.shape)
        for s, k in np.argwhere(readable_SK):
            truth, found = pool.target_S[s].get(self.field), pool.answer_SK[s][k].fields.get(self.field)
            if truth is not None and found is not None:
                reward_SK[s, k] = weight_4 @ np.array(grounding_parts(found, truth, min_iou=self.min_iou))
        return reward_SK


def grounding_parts(
    found: Sequence[Box], truth: Sequence[Box], *, min_iou: float = 0.5
) -> tuple[float, float, float, float]:
    """Mean overlap, F1, share of right types and severity credit, each in [0, 1].

    Args:
        found: predicted boxes.
        truth: true boxes.
        min_iou: smallest overlap of a match.
    """
    if not found and not truth:
        return (1.0, 1.0, 1.0, 1.0)
    if not found or not truth:
        return (0.0, 0.0, 0.0, 0.0)
    iou_FT = box_iou(_corners(found), _corners(truth))
    matches = _match(iou_FT, min_iou)
    if not matches:
        return (0.0, 0.0, 0.0, 0.0)
    overlap = float(np.mean([iou_FT[f, t] for f, t in matches]))
    is_right = [_type(found[f]) == _type(truth[t]) for f, t in matches]
    credits = [
        _credit(found[f], truth[t]) if right else 0.0
        for right, (f, t) in zip(is_right, matches, strict=True)
        if truth[t].get("level") is not None
    ]
    f1 = 2 * len(matches) / (len(found) + len(truth))
    return (overlap, f1, float(np.mean(is_right)), float(np.mean(credits)) if credits else 0.0)


def box_iou(a_F4: FloatArray, b_T4: FloatArray) -> FloatArray:
    """Intersection over union of every two boxes (left, top, right, bottom), [F, T], in [0, 1]."""
    corner_FT2 = np.maximum(a_F4[:, None, :2], b_T4[None, :, :2])
    far_FT2 = np.minimum(a_F4[:, None, 2:], b_T4[None, :, 2:])
    shared_FT = np.prod(np.maximum(far_FT2 - corner_FT2, 0.0), axis=2)
    area_F, area_T = np.prod(a_F4[:, 2:] - a_F4[:, :2], axis=1), np.prod(b_T4[:, 2:] - b_T4[:, :2], axis=1)
    iou_FT: FloatArray = shared_FT / (area_F[:, None] + area_T[None, :] - shared_FT)
    return iou_FT


def _match(iou_FT: FloatArray, min_iou: float) -> list[tuple[int, int]]:
    from scipy.optimize import linear_sum_assignment

    rows, columns = linear_sum_assignment(iou_FT, maximize=True)
    return [(int(f), int(t)) for f, t in zip(rows, columns, strict=True) if iou_FT[f, t] >= min_iou]


def _corners(boxes: Sequence[Box]) -> FloatArray:
    return np.array([box["bbox_2d"] if "bbox_2d" in box else box["box"] for box in boxes], dtype=np.float64)


def _type(box: Box) -> str:
    return str(box.get("type", "")).strip().lower()


def _credit(found: Box, truth: Box) -> float:
    level = found.get("level")
    if isinstance(level, bool) or not isinstance(level, (int, float)):
        return 0.0
    distance = abs(level - truth["level"])
    return _SEVERITY_CREDIT[int(distance)] if distance in (0, 1, 2) else 0.0
