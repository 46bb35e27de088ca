"""Work on replies that can wait until the next requests are out.

A service that computes in batches answers many requests at once. Whatever is done with a reply before its connection
has the next request leaves the service idle, or with a small batch, and in one interpreter it is done before: threads
take turns.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Generic, TypeVar

_Item = TypeVar("_Item")

PAUSE_S = 0.1
"""Replies of one batch come within this time, and requests go out in it."""


class Afterwards(Generic[_Item]):
    """A context in which `add(item)` has `work(item)` done a moment later, in order, in a thread.

    Leaving it waits for all that was added, unless an error leaves it.

    Args:
        work: its first error is raised where the context ends, and nothing is done after it.
        pause_s: the moment.
    """

    def __init__(self, work: Callable[[_Item], object], pause_s: float = PAUSE_S) -> None:
        self._work, self._pause_s = work, pause_s
        self._items: queue.SimpleQueue[_Item | None] = queue.SimpleQueue()
        self._ended = threading.Event()
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._run, name="afterwards", daemon=True)

    def add(self, item: _Item) -> None:
        """Never waits."""
        self._items.put(item)

    def __enter__(self) -> Afterwards[_Item]:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            self._work = lambda item: None
        self._ended.set()
        self._items.put(None)
        self._thread.join()
        if error is None and self._error is not None:
            raise self._error

    def _run(self) -> None:
        try:
            while (item := self._items.get()) is not None:
                self._ended.wait(self._pause_s)  # at the end nobody has to go first
                self._work(item)
                for _ in range(self._items.qsize()):  # what came in the meantime
                    if (item := self._items.get()) is None:
                        return
                    self._work(item)
        except Exception as error:  # raised where the context ends
            self._error = error
