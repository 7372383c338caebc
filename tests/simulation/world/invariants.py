"""The promises, checked from outside the client: by the server's view and by the results that callers get."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

from onesocket.client._gap import Gap, GapReason
from onesocket.errors import DeliveryUnknown, MessageExpired, OnesocketError, OutboxFull, UsageError
from onesocket.lifecycle._side_data import GHOST_SECONDS
from onesocket.wire._handshake import Data


class InvariantViolation(AssertionError):
    """An invariant of the client was violated."""


class Invariants:
    """Collects what is seen; a broken promise raises at the place where it shows, and is remembered."""

    def __init__(self, open_timeout: float, close_timeout: float) -> None:
        self.open_timeout = open_timeout
        # The worst that one call may have to wait for: an attempt that is being wound down (its upgrade, its close),
        # then its own attempt. A second for a token source that refuses to be cancelled.
        # Before that, it may wait as long for a time that the server has named; and a place that our own connection
        # still has is asked for once more in the last second.
        self.deadline = 3 * open_timeout + 2 * close_timeout + GHOST_SECONDS + 1
        self.allowed: Callable[[], int] = lambda: 1
        """Number of connections that may be open or opening now."""
        self.broken: list[str] = []
        self.arrivals: Counter[Data] = Counter()
        self.order: dict[int, int] = {}
        self.keeps_order = True
        """True if the callers' messages have to arrive in the order in which they were sent."""
        self.not_sent: set[Data] = set()
        self.sent: list[tuple[Data, Any]] = []
        """Messages whose senders were told that they are sent, each with the connection that was up meanwhile."""
        self.said: dict[int, list[int]] = {}
        """Numbers of the messages that the server sent on each connection, in order."""
        self.calls = 0
        self.jumped_at: float | None = None
        """Time of the resumption after a suspension; timers that began earlier are older than they seem."""

    def was_suspended(self, now: float) -> bool:
        """True just after a suspension: messages that were in transit arrive together with new ones."""
        return self.jumped_at is not None and now - self.jumped_at < 2

    def fail(self, text: str) -> None:
        """Remember a broken promise."""
        self.broken.append(text)

    # --- 1 and 4: the server's side ---------------------------------------------------------------------------------

    def dialled(self, open_now: int) -> None:
        """A connection was dialled; so many are open or opening where one may be, this one included."""
        if open_now > self.allowed():
            self.fail(f"promise 1: {open_now} connections at once")

    def dialled_early(self, seconds: float) -> None:
        """A connection was dialled before the time that the server had named to its client."""
        self.fail(f"dialled {seconds:g} s before the time that the server had named")

    def aborted_upgrade(self, now: float, attempt_at: float) -> None:
        """A connection was aborted before its upgrade was answered; `open_timeout` counts from `attempt_at`."""
        age = now - attempt_at
        if age < self.open_timeout - 0.001 and attempt_at != self.jumped_at:
            self.fail(f"promise 4: an upgrade was abandoned after {age:g} s, before its deadline")

    def arrived(self, peer: Any, data: Data) -> None:
        """A message of the client reached the server."""
        self.arrivals[data] += 1
        if self.arrivals[data] > 1:
            self.fail(f"promise 7: {data!r} arrived twice")
        number = int(str(data).split()[-1])
        if self.keeps_order and number < self.order.get(id(peer), -1):
            self.fail(f"promise 7: {data!r} arrived out of order")
        self.order[id(peer)] = number

    def subscribed_to(self, keys: frozenset[str], wanted: frozenset[str], odd: object) -> None:
        """Once all is quiet: compare the server's subscriptions `keys` with the ones wanted by the users."""
        if keys != wanted:
            self.fail(f"the server has subscriptions to {sorted(keys)}, and {sorted(wanted)} are wanted")
        if odd:
            self.fail(f"subscribed to more or less than once: {odd}")

    def pace_exceeded(self, count: int) -> None:
        """The server got more messages within a second than it takes, and the client knew its limit."""
        self.fail(f"{count} messages within a second: more than the protocol's pace")

    # --- 2, 3 and 7: what callers get -------------------------------------------------------------------------------

    def ended(self, call: str, seconds: float, deadline: float | None = None) -> None:
        """A call ended after so long."""
        self.calls += 1
        if seconds > (deadline or self.deadline) + 0.001:
            self.fail(f"promise 3: {call} took {seconds:g} s")

    def raised(self, call: str, error: BaseException) -> None:
        """A call raised."""
        if not isinstance(error, OnesocketError):
            self.fail(f"{call} raised {error!r}, which is no typed error")

    def not_delivered(self, data: Data, error: OnesocketError) -> None:
        """A message's sender got an error."""
        if isinstance(error, MessageExpired | OutboxFull | UsageError):
            self.not_sent.add(data)
        elif not isinstance(error, DeliveryUnknown):
            self.fail(f"promise 7: send({data!r}) raised {error!r}")

    def delivered(self, data: Data, peer: Any) -> None:
        """A message's sender was told that it is sent; `peer` was the connection all the time."""
        self.sent.append((data, peer))

    def check_at_end(self, open_now: int) -> None:
        """Check what holds once everything is closed."""
        if open_now:
            self.fail(f"{open_now} connections left open")
        for data in self.not_sent:
            if data in self.arrivals:
                self.fail(f"promise 7: {data!r} arrived, though its sender was told that it was not sent")
        for data, peer in self.sent:
            if peer.ended_in_order and data not in self.arrivals:
                self.fail(
                    f"promise 7: {data!r} was told to be sent, and is not there, though the connection ended in order"
                )


class StreamInvariants:
    """Promises 5 and 7 for one subscriber: in order, never from the past, and never a hole without a gap marker.

    `first`: the first reader, which gets every connection from its beginning. `part`: it reads some messages only.
    """

    def __init__(self, promises: Invariants, *, first: bool = False, part: bool = False) -> None:
        self._promises = promises
        self._first = first
        self._part = part
        self._epoch: int = 0
        self._number: int = 0
        self._gap = True  # the first message may be any
        self._hole = False

    def __repr__(self) -> str:
        return f"<StreamInvariants at {self._epoch} {self._number}>"

    def see(self, message: Any) -> None:
        """The subscriber got this."""
        if isinstance(message, Gap):
            self._gap = self._gap or message.reason is GapReason.RECONNECTED
            self._hole = self._hole or message.reason is GapReason.OVERFLOW
            return
        epoch, number = (int(part) for part in str(message).split()[:2])
        if not self._part and not self._hole:
            self._follows(epoch, number)
        self._hole = False
        if epoch < self._epoch or number <= self._number:
            self._promises.fail(f"promise 5: {message!r} after {self._epoch} {self._number}")
        if epoch != self._epoch and not self._gap:
            self._promises.fail(f"promise 7: no gap marker before {message!r} (the last epoch was {self._epoch})")
        self._epoch, self._number, self._gap = epoch, number, False

    def has_seen(self, epoch: int, count: int) -> None:
        """Check that the first `count` messages of this connection have been seen by now."""
        numbers = self._promises.said[epoch][:count]
        if numbers and not self._hole and (self._epoch, self._number) < (epoch, numbers[-1]):
            self._promises.fail(f"nothing is lost before the first reader: {epoch} {numbers[-1]} was, {self!r}")

    def _follows(self, epoch: int, number: int) -> None:
        """Check that no message is missing before this one without a gap marker."""
        numbers = self._promises.said[epoch]
        place = numbers.index(number)
        if epoch == self._epoch:
            before = numbers[place - 1] if place else None
            if before != self._number:
                self._promises.fail(f"promise 7: no gap marker where {epoch} {before} is missing, {self!r}")
        elif place and (self._first or self._epoch):
            self._promises.fail(f"promise 7: the beginning of epoch {epoch} is missing: {number} came first, {self!r}")
