"""Messages that a connection is still writing."""

from __future__ import annotations

from collections.abc import Callable

from ._delivery import Delivery


class InFlight:
    """Settles them when the socket has taken all that was written, or hands them back when the connection has ended.

    A connection whose place a successor takes keeps its own: it takes them along.
    """

    __slots__ = ("_lost", "deliveries")

    def __init__(self, lost: Callable[[list[Delivery]], None]) -> None:
        """`lost`: called with those whose result is unknown."""
        self.deliveries: list[Delivery] = []
        self._lost = lost

    def __repr__(self) -> str:
        return f"<InFlight {len(self.deliveries)}>"

    def __len__(self) -> int:
        """Number of messages."""
        return len(self.deliveries)

    def add(self, delivery: Delivery) -> Delivery:
        """Add a message that the connection has taken; returns it."""
        self.deliveries.append(delivery)
        return delivery

    def writable(self, now_writable: bool) -> None:  # noqa: FBT001 - an event
        """Settle them, as the socket has taken all that was written, or go on waiting."""
        if now_writable:
            written, self.deliveries = self.deliveries, []
            for delivery in written:
                delivery.resolve()

    def ended(self) -> None:
        """Hand back those that were not written when the connection ended."""
        lost, self.deliveries = self.deliveries, []
        self._lost(lost)
