"""Making things ahead of their turn in a few threads, such as images that have to be decoded, scaled and encoded."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

_Item = TypeVar("_Item")
_Made = TypeVar("_Made")

NUM_THREADS = min(4, os.cpu_count() or 1)
"""More would hold more decoded images at a time, and a service is slower than four of them."""

NUM_AHEAD = 16
"""A service that computes in batches answers many at once: so many new ones should be ready, or its next is small."""


def made_ahead(
    make: Callable[[_Item], _Made],
    items: Iterable[_Item],
    num_threads: int = NUM_THREADS,
    num_ahead: int = NUM_AHEAD,
) -> Iterator[_Made]:
    """`make(item)` of each item, in order.

    Args:
        make: called in threads; an error is raised at its item's turn.
        items: taken as needed.
        num_threads: how many are made at a time.
        num_ahead: how many are made, or wait to be taken, beyond the next one.
    """
    pool = ThreadPoolExecutor(num_threads, thread_name_prefix="made ahead")
    waiting: deque[Future[_Made]] = deque()
    try:
        for item in items:
            waiting.append(pool.submit(make, item))
            if len(waiting) > num_ahead:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)
