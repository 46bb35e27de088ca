"""One thread that owns the model: requests that arrive side by side are computed side by side.

While a batch is computed, requests gather; those that can share a batch with the oldest one go next. Clients that got
their answers ask again at once, but one after the other: the model waits for them a little, or it would compute small
batches, which take nearly as long as large ones.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

PATIENCE = 0.2
"""Longest wait for those who were just answered, as a share of the time of the longest of the last batches."""


class QueueFull(Exception):  # noqa: N818 - it says what is the case
    """Too many requests wait."""


@dataclass(frozen=True, eq=False)  # a job is itself: comparing items would compare pixels
class _Job:
    group: Hashable
    item: Any
    future: Future[Any] = field(default_factory=Future)


class BatchWorker:
    """Runs jobs in batches of one group, in a thread of its own.

    Args:
        compute: from a group and its items to one result an item; an exception among the results is raised to the one
            who asked, an exception raised is raised to all.
        batch_size: most items computed at once.
        max_waiting: jobs that may wait.
    """

    def __init__(
        self, compute: Callable[[Any, list[Any]], Sequence[Any]], *, batch_size: int = 16, max_waiting: int = 256
    ) -> None:
        self._compute, self._batch_size, self._max_waiting = compute, batch_size, max_waiting
        self._waiting: deque[_Job] = deque()
        self._changed = threading.Condition()
        self._is_closed = False
        self._num_expected = 0
        self._last_s: deque[float] = deque(maxlen=8)
        self._thread = threading.Thread(target=self._run, name="model", daemon=True)
        self._thread.start()

    def submit(self, group: Hashable, item: Any) -> Future[Any]:
        """Queue an item.

        Raises:
            QueueFull: `max_waiting` jobs wait already.
        """
        job = _Job(group, item)
        with self._changed:
            if len(self._waiting) >= self._max_waiting:
                raise QueueFull(f"{self._max_waiting} requests wait already")
            self._waiting.append(job)
            self._changed.notify()
        return job.future

    def close(self) -> None:
        """End after the batch at hand; what still waits is cancelled."""
        with self._changed:
            self._is_closed = True
            self._changed.notify()
        self._thread.join()
        for job in self._waiting:
            job.future.cancel()

    def _run(self) -> None:
        while batch := self._next_batch():
            start = time.monotonic()
            try:
                results = self._compute(batch[0].group, [job.item for job in batch])
            except Exception as error:  # belongs to those who asked; the thread lives on
                results = [error] * len(batch)
            self._expect_again(len(batch), time.monotonic() - start)
            for job, result in zip(batch, results, strict=True):
                if isinstance(result, Exception):
                    job.future.set_exception(result)
                else:
                    job.future.set_result(result)

    def _expect_again(self, num_answered: int, took_s: float) -> None:
        """Before the answers go out: who gets one asks again at once."""
        with self._changed:
            self._num_expected = min(num_answered + len(self._waiting), self._batch_size)
            self._last_s.append(took_s)

    def _next_batch(self) -> list[_Job]:
        """The oldest job and others of its group, in order; empty at the end. Jobs nobody waits for are left out."""
        with self._changed:
            while True:
                self._changed.wait_for(lambda: self._waiting or self._is_closed)
                self._changed.wait_for(
                    lambda: len(self._waiting) >= self._num_expected or self._is_closed,
                    PATIENCE * max(self._last_s, default=0.0),
                )
                self._num_expected = 0  # whoever stays away is not waited for twice
                if self._is_closed:
                    return []
                group = self._waiting[0].group
                chosen = [job for job in self._waiting if job.group == group][: self._batch_size]
                self._waiting = deque(job for job in self._waiting if job not in chosen)
                if batch := [job for job in chosen if job.future.set_running_or_notify_cancel()]:
                    return batch
