"""From asynchronous requests to a plain iterator: the event loop runs in a thread of its own.

So requests go on while whoever iterates works on a reply. A third thread makes requests ahead of their turn, because
that may read and encode images: a connection that is free finds its next request ready. Memory stays bounded by
tickets: one is taken before a request is made, and returned when its outcome has been handed over.
"""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, TypeAlias

from pondera.errors import TeacherError
from pondera.generate.chat_reply import ChatReply, ChatRequest, RequestFailed, ServiceRefused

if TYPE_CHECKING:
    from pondera.generate.chat import ChatClient

Outcome: TypeAlias = ChatReply | RequestFailed


def stream(client: ChatClient, requests: Iterable[ChatRequest]) -> Iterator[tuple[ChatRequest, Outcome]]:
    """See `ChatClient.replies`."""
    work = _Work(client, iter(requests))
    thread = threading.Thread(target=work.run, name="chat requests", daemon=True)
    thread.start()
    try:
        while (item := work.outcomes.get()) is not None:
            work.give_back()
            yield item
    finally:
        work.stop()
        thread.join()
    if work.error is not None:
        raise work.error


class _Work:
    """What the two threads share. `outcomes` ends with None."""

    def __init__(self, client: ChatClient, requests: Iterator[ChatRequest]) -> None:
        self.outcomes: queue.SimpleQueue[tuple[ChatRequest, Outcome] | None] = queue.SimpleQueue()
        self.error: BaseException | None = None
        self._client, self._requests = client, requests
        self._loop = asyncio.new_event_loop()
        self._tickets = asyncio.Semaphore(2 * client.concurrency)
        self._ready: asyncio.Queue[ChatRequest | None] = asyncio.Queue()  # bounded by the tickets; None is the end
        self._main = self._loop.create_task(self._run_all())
        self._making_error: Exception | None = None
        self._num_failed_in_row = 0

    def run(self) -> None:
        """The thread: all requests, then the end mark, whatever happens."""
        try:
            self._loop.run_until_complete(self._main)
            self.error = self.error or self._making_error
        except asyncio.CancelledError:
            pass  # the consumer left
        except BaseException as error:  # handed to the consumer, who raises it
            self.error = error
        finally:
            self._loop.run_until_complete(self._loop.shutdown_default_executor())
            self._loop.close()
            self.outcomes.put(None)

    def give_back(self) -> None:
        """Return a ticket, from the consumer's thread."""
        self._call(self._tickets.release)

    def stop(self) -> None:
        """Cancel what is under way; without effect at the end."""
        self._call(self._main.cancel)

    def _call(self, function: Callable[[], object]) -> None:
        with suppress(RuntimeError):  # the loop has ended, and nobody waits any more
            self._loop.call_soon_threadsafe(function)

    async def _run_all(self) -> None:
        async with self._client, asyncio.TaskGroup() as tasks:
            tasks.create_task(self._make())
            for _ in range(self._client.concurrency):
                tasks.create_task(self._worker())

    async def _make(self) -> None:
        """Requests, until there is none left or the work has to end."""
        try:
            while await self._tickets.acquire() and self.error is None:
                request = await asyncio.to_thread(next, self._requests, None)
                if request is None:
                    break
                self._ready.put_nowait(request)
        except Exception as error:  # such as an image that cannot be read: raised when those before it are finished
            self._making_error = error
        for _ in range(self._client.concurrency):
            self._ready.put_nowait(None)

    async def _worker(self) -> None:
        """One request after the other."""
        while (request := await self._ready.get()) is not None and self.error is None:
            try:
                outcome: Outcome = await self._client.complete(
                    request.messages,
                    temperature=request.temperature,
                    max_tokens=request.max_tokens,
                    seed=request.seed,
                    notes=request.notes,
                )
            except RequestFailed as failure:
                outcome = failure
            except TeacherError as error:  # refused, or a limit: the others finish what is under way
                self._end(error)
                return
            self._count(outcome)
            self.outcomes.put((request, outcome))

    def _end(self, error: BaseException) -> None:
        """No further request; `_make` may be waiting for a ticket."""
        self.error = self.error or error
        self._tickets.release()

    def _count(self, outcome: Outcome) -> None:
        if isinstance(outcome, ChatReply):
            self._num_failed_in_row = 0
            return
        self._num_failed_in_row += 1
        if self._num_failed_in_row >= self._client.max_failures:
            self._end(ServiceRefused(f"{self._num_failed_in_row} requests failed in a row, the last: {outcome}"))
