"""The way out: straight to the socket while it takes everything, through the outbox while it does not."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from ..errors import DeliveryUnknown, MessageExpired, OnesocketError
from ..lifecycle.outbox import Outbox, OutboxLimits
from ..transports.base import Line
from ..wire import Data
from .delivery import DELIVERED, Delivery


class Outgoing:
    """Accepted means: the kernel gets it, or its sender gets a typed error."""

    def __init__(
        self,
        limits: OutboxLimits,
        *,
        refusal: Callable[[], OnesocketError | None],
        report: Callable[[BaseException, str], None],
    ) -> None:
        self._outbox: Outbox[Delivery] = Outbox(limits)
        self._report = report
        self._line: Line | None = None
        self._clear = False
        """Whether the line has handed all that was written to the kernel."""
        self._in_flight: list[Delivery] = []
        self._refusal = refusal
        self._expiry: asyncio.TimerHandle | None = None
        self.sent = 0

    def __len__(self) -> int:
        """Messages that wait."""
        return len(self._outbox) + len(self._in_flight)

    def post(self, data: Data) -> Delivery:
        """Accept one message; raises `OutboxFull`, or the refusal while the owner has stopped the client."""
        line = self._line
        if line is not None and self._clear and not len(self._outbox):
            if self._write(line, data):
                return DELIVERED
            delivery = Delivery(data)
            self._in_flight.append(delivery)
            return delivery
        refusal = self._refusal()
        if refusal is not None:
            raise refusal
        delivery = Delivery(data)
        self._outbox.put(delivery, _now())
        self._watch_age()
        return delivery

    def withdraw(self, delivery: Delivery) -> bool:
        """Take a message back that still waits in the outbox."""
        found = self._outbox.discard(delivery)
        self._watch_age()
        return found

    # --- what the runner tells --------------------------------------------------------------------------------------

    def line_ready(self, line: Line) -> None:
        """The line is logged in: what waited goes first."""
        self._line = line
        self._clear = True
        self._flush()

    def writable(self, now_writable: bool) -> None:  # noqa: FBT001 - an event
        """The line's word on whether all that was written is out."""
        self._clear = now_writable
        if now_writable:
            flown, self._in_flight = self._in_flight, []
            for delivery in flown:
                delivery.resolve()
            self._flush()

    def line_closing(self, *, drain: bool) -> None:
        """A close begins. `drain`: the line is sound, so what waits is written before the CLOSE frame."""
        line, self._line = self._line, None
        if drain and line is not None:
            self._expire()
            while len(self._outbox):
                delivery = self._outbox.take()
                if self._write(line, delivery.data):
                    delivery.resolve()
                else:
                    self._in_flight.append(delivery)
            self._watch_age()

    def line_ended(self, *, clean: bool) -> None:
        """Nothing is left of the line. `clean`: the peer acknowledged our CLOSE, so it has read what went before."""
        self._line = None
        self._clear = False
        flown, self._in_flight = self._in_flight, []
        for delivery in flown:
            self._settle(
                delivery,
                None
                if clean
                else DeliveryUnknown(
                    "the line broke while this message was being written: it may or may not have arrived; "
                    "send it again only if that does no harm"
                ),
            )

    def reject_waiting(self, error: OnesocketError) -> None:
        """The owner stopped the client: nothing waits for a line any more."""
        while len(self._outbox):
            self._settle(self._outbox.take(), error.copy())
        self._watch_age()

    # --- inside -----------------------------------------------------------------------------------------------------

    def _write(self, line: Line, data: Data) -> bool:
        """Write one message; False when some of it is still on its way to the kernel."""
        line.send(data)
        self.sent += 1
        return self._clear

    def _flush(self) -> None:
        self._expire()
        line = self._line
        while line is not None and self._clear and len(self._outbox):
            delivery = self._outbox.take()
            if self._write(line, delivery.data):
                delivery.resolve()
            else:
                self._in_flight.append(delivery)
        self._watch_age()

    def _expire(self) -> None:
        if self._expiry is not None:
            self._expiry.cancel()
            self._expiry = None
        for delivery in self._outbox.expired(_now()):
            self._settle(
                delivery,
                MessageExpired(
                    f"this message waited {self._outbox.limits.age:g} s for the line (outbox=) and was not sent"
                ),
            )
        self._watch_age()

    def _watch_age(self) -> None:
        due = self._outbox.next_expiry()
        if due is None:
            if self._expiry is not None:
                self._expiry.cancel()
                self._expiry = None
        elif self._expiry is None and due != float("inf"):
            self._expiry = asyncio.get_running_loop().call_at(due, self._expire)

    def _settle(self, delivery: Delivery, error: OnesocketError | None) -> None:
        watched = delivery.is_watched
        delivery.resolve(error)
        if error is not None and not watched:
            self._report(error, "send_nowait()")


def _now() -> float:
    return asyncio.get_running_loop().time()
