"""The way out: straight to the socket while it takes everything, through the outbox while it does not."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

from ..errors import DeliveryUnknown, EncodeError, MessageExpired, OnesocketError
from ..lifecycle.outbox import Outbox, OutboxLimits
from ..protocols.base import Pace
from ..transports.base import Line
from ..wire import Data
from .delivery import DELIVERED, Delivery


class Outgoing:
    """Accepted means: the socket gets it, or its sender gets a typed error."""

    def __init__(
        self,
        limits: OutboxLimits,
        *,
        refusal: Callable[[], OnesocketError | None],
        report: Callable[[BaseException, str, bool], None],
        pace: Pace | None = None,
    ) -> None:
        self._outbox: Outbox[Delivery] = Outbox(limits)
        self._refusal = refusal
        self._report = report
        self._pace = pace
        self._turn: asyncio.TimerHandle | None = None
        self._line: Line | None = None
        self._clear = True
        """Whether the line has handed on all that was written to it."""
        self._in_flight: list[Delivery] = []
        self._expiry: asyncio.TimerHandle | None = None
        self.sent = 0

    def __repr__(self) -> str:
        line = "no line" if self._line is None else "clear" if self._clear else "congested"
        return f"<Outgoing {line} waiting={len(self._outbox)} in_flight={len(self._in_flight)} sent={self.sent}>"

    def __len__(self) -> int:
        """Messages whose fate isn't known yet."""
        return len(self._outbox) + len(self._in_flight)

    def post(self, data: Data) -> Delivery:
        """Accept one message; raises `OutboxFull`, or the refusal while the owner has stopped the client."""
        line = self._line
        if line is not None and self._clear and not len(self._outbox) and (self._pace is None or self._take_turn()):
            try:
                taken = line.send(data)
            except UnicodeError as error:
                raise _not_utf8(error) from error
            if taken:
                self.sent += 1
                return DELIVERED if self._is_clear() else self._fly(Delivery(data))
            self._line = None  # it is ending, and the news is on its way
        refusal = self._refusal()
        if refusal is not None:
            raise refusal
        if isinstance(data, str):
            try:
                data.encode()
            except UnicodeError as error:
                raise _not_utf8(error) from error
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
        if drain:
            self._flush(even_if_congested=True)
        self._line = None
        self._stop_turn()

    def line_ended(self) -> None:
        """Nothing is left of the line, and nobody can say what became of what was on its way."""
        self._line = None
        self._stop_turn()
        self._clear = True
        flown, self._in_flight = self._in_flight, []
        self._settle(
            flown,
            DeliveryUnknown(
                "the line broke while this message was being written: it may or may not have arrived; "
                "send it again only if that does no harm"
            ),
        )

    def reject_waiting(self, error: OnesocketError) -> None:
        """The owner stopped the client: nothing waits for a line any more."""
        waiting = [self._outbox.take() for _ in range(len(self._outbox))]
        self._watch_age()
        self._settle(waiting, error)

    # --- inside -----------------------------------------------------------------------------------------------------

    def _flush(self, *, even_if_congested: bool = False) -> None:
        self._expire()
        line = self._line
        while line is not None and len(self._outbox) and (self._clear or even_if_congested):
            delivery = self._outbox.peek()
            if self._pace is not None and not self._take_turn():
                break
            if delivery.data is None or not line.send(delivery.data):
                self._line = None
                break
            self._outbox.take()
            self.sent += 1
            if self._is_clear():
                delivery.resolve()
            else:
                self._fly(delivery)
        self._watch_age()

    def _take_turn(self) -> bool:
        """Whether one more message may be sent by the peer's pace; if not, the outbox goes on when its turn comes."""
        wait = self._pace.take(_now()) if self._pace is not None else 0.0
        if wait > 0 and self._turn is None:
            self._turn = asyncio.get_running_loop().call_later(wait, self._turn_came)
        return wait <= 0

    def _turn_came(self) -> None:
        self._turn = None
        self._flush()

    def _stop_turn(self) -> None:
        if self._turn is not None:
            self._turn.cancel()
            self._turn = None

    def _is_clear(self) -> bool:
        # A call, so that type checkers know that writing may have changed it.
        return self._clear

    def _fly(self, delivery: Delivery) -> Delivery:
        self._in_flight.append(delivery)
        return delivery

    def _expire(self) -> None:
        self._stop_watching()
        late = self._outbox.expired(_now())
        self._settle(
            late,
            MessageExpired(
                f"this message waited {self._outbox.limits.age:g} s for the line (outbox=) and was not sent"
            ),
        )
        self._watch_age()

    def _watch_age(self) -> None:
        due = self._outbox.next_expiry()
        if due is None:
            self._stop_watching()
        elif self._expiry is None and due != float("inf"):
            self._expiry = asyncio.get_running_loop().call_at(due, self._expire)

    def _stop_watching(self) -> None:
        if self._expiry is not None:
            self._expiry.cancel()
            self._expiry = None

    def _settle(self, deliveries: Iterable[Delivery], error: OnesocketError) -> None:
        logged = False  # one line in the log for all that one loss takes
        for delivery in deliveries:
            watched = delivery.is_watched
            delivery.resolve(error)
            if not watched:
                self._report(error.copy(), "send_nowait()", not logged)
                logged = True


def _not_utf8(error: UnicodeError) -> EncodeError:
    return EncodeError(f"this text can't be sent as UTF-8: {error.args[-1]}")


def _now() -> float:
    return asyncio.get_running_loop().time()
