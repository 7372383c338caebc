"""One connection of a fake venue, as the service sees it."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import msgspec

from ...wire._handshake import Data
from .._faulty_connection import FaultyConnection
from ._disorder import Disorder
from ._ledger import LedgerEntry, VenueEvent

if TYPE_CHECKING:
    from ._venue import Venue

    AnyVenue = Venue[Any]

V = TypeVar("V", bound="AnyVenue")


class VenueSession(Generic[V]):
    """Base of a service's side of one connection: the account, the subscriptions, and the hooks of its protocol.

    A subclass answers messages in `received`, with `send`, `sign_in`, `subscribe`, `unsubscribe`, `refuse` and `end`,
    which keep the ledger.
    """

    def __init__(self, venue: V, connection: FaultyConnection) -> None:
        self.venue = venue
        self.connection = connection
        self.account: str | None = None
        """The account that this connection has taken a place of; None before it has signed in."""
        self.keys: dict[str, Any] = {}
        """The subscriptions, in their order, each with what its protocol keeps of it."""
        self._late: list[tuple[str, str]] = []
        self._timers: list[asyncio.TimerHandle] = []
        self._not_taken: deque[Data] = deque()
        """Messages of the client that wait for their turn."""
        self._last_turn = 0.0

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.number} account={self.account!r} keys={len(self.keys)}>"

    @property
    def number(self) -> int:
        """Number of the connection: 1 for the first TCP connection of the venue."""
        return self.connection.number

    # Hooks of a protocol

    def opened(self) -> None:
        """Act on the new connection: greet, start the time for the login."""

    def received(self, message: Any) -> None:
        """Take a decoded message of the client."""
        raise NotImplementedError

    def decode(self, message: Data) -> Any:
        """Decode a message of the client. Raises `msgspec.DecodeError`."""
        return msgspec.json.decode(message)

    def malformed(self, error: str) -> None:
        """Take a message that can't be decoded."""
        self.end(1007, error)

    def matching(self, key: str) -> Iterable[Any]:
        """Return the subscriptions that data of `key` go to."""
        return (key,) if key in self.keys else ()

    def render(self, subscription: Any, data: Any) -> Any:  # noqa: ARG002 - for the subclasses
        """Return the message that brings `data` to one subscription; None for none."""
        return data

    def announce(self) -> None:
        """Announce that the venue is going to end this connection."""

    def farewell(self) -> None:
        """Send the last message before the venue closes this connection at the end of its lifetime."""

    # Called by a protocol

    def note(self, event: VenueEvent, key: str = "", detail: str = "") -> None:
        """Write an entry into the venue's ledger."""
        self.venue.ledger.note(LedgerEntry(self.venue.time(), self.number, event, key, detail))

    def send(self, message: Any) -> None:
        """Send a control message; without effect on a connection that is over."""
        self.send_text(encode(message))

    def send_text(self, text: str) -> None:
        """Send a text message; without effect on a connection that is over."""
        if self.connection.can_send:
            self.connection.send_nowait(text)

    def deliver(self, key: str, message: Any, disorder: Disorder | None) -> None:
        """Send a message of data, in order or not, and write it into the ledger."""
        text = encode(message)
        if not self.connection.can_send:
            return
        if disorder is Disorder.HOLE:
            self.note(VenueEvent.WITHHELD, key, text)
            return
        if disorder is Disorder.LATE:
            self._late.append((key, text))
            return
        late, self._late = self._late, []
        for each_key, each in [*[(key, text)] * (2 if disorder is Disorder.REPEAT else 1), *late]:
            self.note(VenueEvent.SENT, each_key, each)
            self.send_text(each)

    def sign_in(self, account: str) -> bool:
        """Take one of the account's places; False, and an entry in the ledger, if none is free."""
        if not self.venue.take_place(account, self.number):
            self.note(VenueEvent.LIMIT_EXCEEDED, account, "connections of the account")
            return False
        self.account = account
        self.note(VenueEvent.SIGNED_IN, account)
        return True

    def subscribe(self, key: str, detail: Any = None) -> bool:
        """Add a subscription; False if it is there already."""
        is_new = key not in self.keys
        self.keys[key] = detail
        if is_new:
            self.connection.subscriptions.change((key,), ())
        self.note(VenueEvent.SUBSCRIBED if is_new else VenueEvent.REPEATED, key)
        return is_new

    def unsubscribe(self, key: str) -> bool:
        """End a subscription; False if there is none."""
        was_there = key in self.keys
        self.keys.pop(key, None)
        if was_there:
            self.connection.subscriptions.change((), (key,))
        self.note(VenueEvent.UNSUBSCRIBED if was_there else VenueEvent.REPEATED, key)
        return was_there

    def refuse(self, message: Any, *, key: str = "", reason: str = "") -> None:
        """Send a refusal, and write it into the ledger."""
        self.note(VenueEvent.REFUSED, key, reason)
        self.send(message)

    def end(self, code: int = 1000, reason: str = "") -> None:
        """Close the connection."""
        self.connection.close_nowait(code, reason[:120])

    def after(self, seconds: float, function: Callable[[], object]) -> asyncio.TimerHandle:
        """Call a function later, unless the connection has ended by then."""
        timer = asyncio.get_running_loop().call_later(seconds, function)
        self._timers = [each for each in self._timers if not each.cancelled() and each.when() > self.venue.time()]
        self._timers.append(timer)
        return timer

    def take_later(self, message: Data, seconds: float) -> None:
        """Take a message of the client so many seconds later, behind those that wait."""
        now = self.venue.time()
        self._last_turn = max(now + seconds, self._last_turn)
        self._not_taken.append(message)
        if self._last_turn > now:
            self.after(self._last_turn - now, self._take_next)
        else:
            self._take_next()

    def _take_next(self) -> None:
        message = self._not_taken.popleft()
        if not self.connection.can_send:
            return
        try:
            decoded = self.decode(message)
        except msgspec.DecodeError as error:
            self.malformed(str(error))
        else:
            self.received(decoded)

    def closed(self) -> None:
        """Act on the end of the connection."""
        for timer in self._timers:
            timer.cancel()
        self.note(VenueEvent.CLOSED)


def encode(message: Any) -> str:
    """Return a message as JSON text."""
    return msgspec.json.encode(message).decode()
