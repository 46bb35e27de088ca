"""Orders of frames that a viewer of the video would notice. Pure functions of the number of frames.

An order has one entry a frame: the number of the frame that stands there instead, or None for a black one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

Order = list[int | None]

_WINDOW = 4  # frames of a local shuffle
_MOST = 3  # frames duplicated or dropped


def perturbed_order(kind: str, num: int, generator: np.random.Generator) -> Order:
    """An order of `num` frames that differs from 0, 1, 2, ...

    Args:
        kind: `shuffle`; `local_shuffle` within windows of 4; `reverse`; `jitter`, every frame up to one place away;
            `duplicate`, 1 to 3 frames stand in the place of the next one too; `drop`, 1 to 3 frames are black.
        num: of frames, >= 2.
        generator: draws it.

    Raises:
        ValueError: the kind is unknown, or a single frame cannot be perturbed.

    Source: VQAThinker arXiv:2508.06051 (code) names the six; VQ-Insight arXiv:2506.18564 shuffles. That the length is
    kept, and that something always changes, is ours.
    """
    if kind not in ORDERS:
        raise ValueError(f"kind must be one of {', '.join(ORDERS)}, got {kind!r}")
    if num < 2:
        raise ValueError(f"an order needs at least 2 frames, got {num}")
    order = ORDERS[kind](num, generator)
    if order == list(range(num)):  # a draw that changes nothing: the first two change places
        order[:2] = 1, 0
    return order


def _shuffle(num: int, generator: np.random.Generator) -> Order:
    return list(map(int, generator.permutation(num)))


def _local_shuffle(num: int, generator: np.random.Generator) -> Order:
    starts = range(0, num, _WINDOW)
    return [int(n) for start in starts for n in start + generator.permutation(min(_WINDOW, num - start))]


def _reverse(num: int, generator: np.random.Generator) -> Order:
    return list(range(num - 1, -1, -1))


def _jitter(num: int, generator: np.random.Generator) -> Order:
    moved = np.arange(num) + generator.integers(-1, 2, num)
    return [int(n) for n in np.clip(moved, 0, num - 1)]


def _duplicate(num: int, generator: np.random.Generator) -> Order:
    order: Order = list(range(num))
    for n in sorted(_some(num - 1, generator)):
        order[n + 1] = order[n]
    return order


def _drop(num: int, generator: np.random.Generator) -> Order:
    dropped = _some(num, generator)
    return [None if n in dropped else n for n in range(num)]


def _some(num: int, generator: np.random.Generator) -> set[int]:
    """One to three of the first `num`."""
    count = min(num, int(generator.integers(1, _MOST + 1)))
    return set(map(int, generator.choice(num, count, replace=False)))


ORDERS: Mapping[str, Callable[[int, np.random.Generator], Order]] = {
    "shuffle": _shuffle,
    "local_shuffle": _local_shuffle,
    "reverse": _reverse,
    "jitter": _jitter,
    "duplicate": _duplicate,
    "drop": _drop,
}
