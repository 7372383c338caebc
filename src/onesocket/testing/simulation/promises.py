"""The promises, checked from outside the client: by what the server sees and what callers get."""

from __future__ import annotations

from collections import Counter
from typing import Any

from ...client.gap import Gap, GapReason
from ...errors import (
    DeliveryUnknown,
    MessageExpired,
    OnesocketError,
    OutboxFull,
    UsageError,
)
from ...wire import Data


class PromiseBroken(AssertionError):
    """What the client promised did not hold."""


class Promises:
    """Collects what is seen; a broken promise raises at the place where it shows, and is remembered."""

    def __init__(self, open_timeout: float, close_timeout: float) -> None:
        self.open_timeout = open_timeout
        # The worst that one call may have to wait for: an attempt that is being wound down (its upgrade, its close),
        # then its own attempt. A second for a token source that refuses to be cancelled.
        self.deadline = 2 * open_timeout + 2 * close_timeout + 1
        self.broken: list[str] = []
        self.arrivals: Counter[Data] = Counter()
        self.order: dict[int, int] = {}
        self.not_sent: set[Data] = set()
        self.calls = 0
        self.jumped_at: float | None = None
        """When the world woke up from being suspended: what began before that is older than it seems."""

    def fail(self, text: str) -> None:
        """Remember a broken promise."""
        self.broken.append(text)

    # --- 1 and 4: the server's side ---------------------------------------------------------------------------------

    def dialled(self, open_now: int) -> None:
        """A line was dialled; so many are open or opening where one may be, this one included."""
        if open_now > 1:
            self.fail(f"promise 1: {open_now} lines at once")

    def aborted_upgrade(self, now: float, attempt_at: float) -> None:
        """A line was aborted before its upgrade was answered; the deadline counts from the start of the attempt."""
        age = now - attempt_at
        if age < self.open_timeout - 0.001 and attempt_at != self.jumped_at:
            self.fail(f"promise 4: an upgrade was abandoned after {age:g} s, before its deadline")

    def arrived(self, peer: Any, data: Data) -> None:
        """A message of the client reached the server."""
        self.arrivals[data] += 1
        if self.arrivals[data] > 1:
            self.fail(f"promise 7: {data!r} arrived twice")
        number = int(str(data).split()[-1])
        if number < self.order.get(id(peer), -1):
            self.fail(f"promise 7: {data!r} arrived out of order")
        self.order[id(peer)] = number

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

    def at_the_end(self, open_now: int) -> None:
        """Everything is over."""
        if open_now:
            self.fail(f"{open_now} lines left open")
        for data in self.not_sent:
            if data in self.arrivals:
                self.fail(f"promise 7: {data!r} arrived, though its sender was told that it was not sent")


class StreamWatcher:
    """Promises 5 and 7 for one subscriber: in order, never from the past, and never a hole without a gap marker."""

    def __init__(self, promises: Promises) -> None:
        self._promises = promises
        self._epoch: int = 0
        self._number: int = 0
        self._gap = True  # the first message may be any

    def see(self, message: Any) -> None:
        """The subscriber got this."""
        if isinstance(message, Gap):
            self._gap = self._gap or message.reason is GapReason.RECONNECTED
            return
        epoch, number = (int(part) for part in str(message).split())
        if epoch < self._epoch or number <= self._number:
            self._promises.fail(f"promise 5: {message!r} after {self._epoch} {self._number}")
        if epoch != self._epoch and not self._gap:
            self._promises.fail(f"promise 7: no gap marker before {message!r} (the last line was {self._epoch})")
        self._epoch, self._number, self._gap = epoch, number, False
