"""When a client's next request may go out: rate, what the service asked for, back-off, and the total time."""

from __future__ import annotations

import asyncio
import math
import random
import time
from email.utils import parsedate_to_datetime

from pondera.errors import ConfigError
from pondera.generate.chat_reply import LimitReached, RequestFailed


class Deadline:
    """How long work may take, from its first request on: of one client, or of several.

    Args:
        total_s: None is no limit.

    Raises:
        ConfigError: the limit is not positive.
    """

    def __init__(self, total_s: float | None = None) -> None:
        if total_s is not None and not total_s > 0:
            raise ConfigError(f"total_timeout_s must be > 0, got {total_s}")
        self.total_s = total_s
        self._began: float | None = None

    def check(self) -> None:
        """Begin with the first call.

        Raises:
            LimitReached: the time is over.
        """
        self._began = self._began or time.monotonic()
        remaining_s = self.remaining_s()
        if remaining_s is not None and remaining_s <= 0:
            raise LimitReached(f"the time limit of {self.total_s:g} s is over; run again to go on")

    def remaining_s(self) -> float | None:
        """Seconds until the time is over; None without a limit, or before the beginning."""
        if self.total_s is None or self._began is None:
            return None
        return self.total_s - (time.monotonic() - self._began)


class Pace:
    """The clock of one client; its limits hold over the client's life.

    Args:
        max_rate: requests a minute; None is no limit.
        deadline: of all its work.
        backoff_s: bound of the wait behind the first failure; it doubles with each.
        max_wait_s: longest wait between tries.
    """

    def __init__(self, *, max_rate: float | None, deadline: Deadline, backoff_s: float, max_wait_s: float) -> None:
        self.max_rate, self.deadline = max_rate, deadline
        self.backoff_s, self.max_wait_s = backoff_s, max_wait_s
        self._next_send = 0.0  # monotonic time before which nothing is sent: the rate limit and Retry-After

    async def wait_for_slot(self) -> None:
        """Keep to the rate limit and to what the service asked for."""
        now = time.monotonic()
        slot = max(now, self._next_send)
        if self.max_rate is not None:
            self._next_send = slot + 60 / self.max_rate
        if slot > now:
            await self._sleep(slot - now)

    async def back_off(self, number: int, asked_s: float | None, failure: str) -> None:
        """Wait behind a failed try.

        Args:
            number: of the try, from 1.
            asked_s: what the service asked for; None where it said nothing.
            failure: what went wrong, and where.

        Raises:
            RequestFailed: the service asks for a longer wait than `max_wait_s`.
        """
        if asked_s is None:
            bound_s = min(self.max_wait_s, self.backoff_s * 2 ** (number - 1))
            # Unseeded on purpose: clients that fail together must not return together. No result depends on it.
            await self._sleep(random.uniform(0, bound_s))
            return
        if asked_s > self.max_wait_s:
            raise RequestFailed(f"{failure}; it asks to wait {asked_s:g} s, more than max_wait_s = {self.max_wait_s:g}")
        # It speaks for all requests, not only for this one; jitter keeps them from returning all at once.
        self._next_send = max(self._next_send, time.monotonic() + asked_s)
        await self._sleep(asked_s + random.uniform(0, self.backoff_s))

    async def _sleep(self, seconds: float) -> None:
        remaining_s = self.deadline.remaining_s()
        await asyncio.sleep(seconds if remaining_s is None else min(seconds, max(remaining_s, 0)))


def retry_after_s(value: str | None) -> float | None:
    """Seconds to wait, from the number or the date of a Retry-After header; None where there is neither."""
    if value is None:
        return None
    try:
        seconds = float(value)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(value).timestamp() - time.time()
        except (ValueError, TypeError, OverflowError):
            return None
    return None if math.isnan(seconds) else max(0.0, seconds)
