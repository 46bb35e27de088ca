"""Making things ahead of their turn in a few threads, such as images that have to be decoded, scaled and encoded."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

NUM_THREADS = min(4, os.cpu_count() or 1)
"""More would hold more decoded images at a time, and a service is slower than four of them."""

_Item = TypeVar("_Item")
_Made = TypeVar("_Made")


def made_ahead(
    make: Callable[[_Item], _Made], items: Iterable[_Item], num_threads: int = NUM_THREADS
) -> Iterator[_Made]:
    """`make(item)` of each item, in order; at most `num_threads` are made or wait to be taken beyond the next one.

    An error of `make` is raised at its turn.
    """
    pool = ThreadPoolExecutor(num_threads, thread_name_prefix="made ahead")
    waiting: deque[Future[_Made]] = deque()
    try:
        for item in items:
            waiting.append(pool.submit(make, item))
            if len(waiting) > num_threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)
