"""Messages of several processes that wait for one connection: bounded for each process, taken in turn. Pure."""

from __future__ import annotations

from collections import deque
from typing import Final, Generic, TypeVar

from ...lifecycle._outbox import Outbox, OutboxLimits

R = TypeVar("R")
T = TypeVar("T")
_DEFAULT_LIMITS: Final = OutboxLimits()


class FairOutbox(Generic[R, T]):
    """One `Outbox` for each requester, with its limits; they give one message each in turn."""

    def __init__(self) -> None:
        self._outboxes: dict[R, Outbox[T]] = {}
        self._turns: deque[R] = deque()
        """The requesters whose messages wait, the next one first."""
        self.count = 0
        """Number of messages that wait."""

    def __repr__(self) -> str:
        return f"<FairOutbox waiting={self.count} requesters={len(self._outboxes)}>"

    def set_limits(self, requester: R, limits: OutboxLimits) -> None:
        """Set the limits of a requester."""
        self._outbox(requester).limits = limits

    def limits(self, requester: R) -> OutboxLimits:
        """The limits of a requester."""
        return self._outbox(requester).limits

    def put(self, requester: R, item: T, now: float, *, is_lasting: bool = False) -> float:
        """Accept `item`, and return the time at which it expires. Raises `OutboxFull`, unless it `is_lasting`."""
        outbox = self._outbox(requester)
        outbox.put(item, now, is_lasting=is_lasting)
        if outbox.count == 1:
            self._turns.append(requester)
        self.count += 1
        return now + outbox.limits.age

    def has(self, requester: R) -> bool:
        """Return whether a message of this requester waits."""
        outbox = self._outboxes.get(requester)
        return outbox is not None and outbox.count > 0

    def take(self) -> T:
        """Take the next message; raises IndexError when there is none."""
        requester = self._turns.popleft()
        outbox = self._outboxes[requester]
        item = outbox.take()
        self.count -= 1
        if outbox.count:
            self._turns.append(requester)
        return item

    def take_all(self, requester: R) -> list[T]:
        """Take all messages of one requester, in order."""
        outbox = self._outboxes.get(requester)
        if outbox is None or not outbox.count:
            return []
        self._turns.remove(requester)
        self.count -= outbox.count
        return [outbox.take() for _ in range(outbox.count)]

    def discard(self, requester: R, item: T) -> None:
        """Withdraw a message that waits."""
        outbox = self._outboxes.get(requester)
        if outbox is not None and outbox.discard(item):
            self.count -= 1
            self._drop_turn(requester, outbox)

    def forget(self, requester: R) -> None:
        """Drop a requester that is gone, with its messages."""
        self.take_all(requester)
        self._outboxes.pop(requester, None)

    def expired(self, now: float) -> list[T]:
        """Remove and return all messages whose time is up."""
        gone: list[T] = []
        for requester in list(self._turns):
            outbox = self._outboxes[requester]
            late = outbox.expired(now)
            if late:
                gone += late
                self.count -= len(late)
                self._drop_turn(requester, outbox)
        return gone

    def next_expiry(self) -> float | None:
        """Time at which the oldest message expires; None: nothing waits."""
        dues = (self._outboxes[requester].next_expiry() for requester in self._turns)
        return min((due for due in dues if due is not None), default=None)

    def _outbox(self, requester: R) -> Outbox[T]:
        outbox = self._outboxes.get(requester)
        if outbox is None:
            outbox = self._outboxes[requester] = Outbox(_DEFAULT_LIMITS)
        return outbox

    def _drop_turn(self, requester: R, outbox: Outbox[T]) -> None:
        if not outbox.count:
            self._turns.remove(requester)
