"""What requests may cost: a limit that one client has for itself, or several share."""

from __future__ import annotations

from pondera.errors import ConfigError
from pondera.generate.chat_reply import LimitReached


class Budget:
    """Money for requests, in the unit of the clients' prices. Clients that share one are used one after the other.

    Args:
        limit: of what may be spent; None is no limit.

    Raises:
        ConfigError: the limit is not positive.
    """

    def __init__(self, limit: float | None = None) -> None:
        if limit is not None and not limit > 0:
            raise ConfigError(f"max_cost must be > 0, got {limit}")
        self.limit = limit
        self.spent = 0.0
        self._promised = 0.0

    def promise(self, cost: float) -> bool:
        """Set aside what a request may cost at most, before it is begun.

        Returns:
            False when that has to wait for others under way: they may turn out cheaper than they might have been.

        Raises:
            LimitReached: it could pass the limit, together with what is spent.
        """
        if self.limit is not None:
            limit = self.limit * (1 + 1e-9)  # a hair more: sums of prices are rounded
            if self.spent >= self.limit or self.spent + cost > limit:
                raise LimitReached(
                    f"{self.spent:.4f} are spent, one more request may cost {cost:.4f}, and the limit is "
                    f"{self.limit:g}; raise it to go on"
                )
            if self.spent + self._promised + cost > limit:
                return False
        self._promised += cost
        return True

    def settle(self, promised: float) -> None:
        """Give back what was set aside for a request that has ended."""
        self._promised = max(0.0, self._promised - promised)

    def pay(self, cost: float) -> None:
        """Count the cost of a reply."""
        self.spent += cost
