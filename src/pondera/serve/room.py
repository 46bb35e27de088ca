"""How much memory requests may hold together, from their first byte to their answer."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from pondera.serve.batches import QueueFull


class Room:
    """Counts the bytes of requests that are not answered yet; used from the event loop alone.

    Args:
        max_bytes: of all together.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self.num_bytes = 0

    @contextmanager
    def held(self) -> Iterator[Held]:
        """The share of one request, given back at the end."""
        held = Held(self)
        try:
            yield held
        finally:
            self.num_bytes -= held.num_bytes

    def take(self, num_bytes: int) -> None:
        """Count more bytes.

        Raises:
            QueueFull: there is no room for them.
        """
        if self.num_bytes + num_bytes > self._max_bytes:
            raise QueueFull(f"requests that wait already hold {self.num_bytes} of {self._max_bytes} bytes")
        self.num_bytes += num_bytes


class Held:
    """What one request holds."""

    def __init__(self, room: Room) -> None:
        self._room = room
        self.num_bytes = 0

    def add(self, num_bytes: int) -> None:
        """Count more bytes.

        Raises:
            QueueFull: there is no room for them.
        """
        self._room.take(num_bytes)
        self.num_bytes += num_bytes
