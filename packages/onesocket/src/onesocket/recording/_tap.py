"""Taps of a client: everything that passes between it and its transport is recorded on the way."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

from ..errors import ConnectionReset, OnesocketError, ProtocolViolation
from ..lifecycle._states import State
from ..protocols._protocol import Protocol
from ..transports._transport import Transport, TransportConnection, TransportEvents
from ..urls import redact
from ..wire._handshake import Data, DialRequest, Handshake
from ._entries import Add, RecordedConnection
from ._lines import (
    AbortLine,
    CloseLine,
    DialLine,
    EndLine,
    ErrorRecord,
    OpenLine,
    PeerCloseLine,
    PingLine,
    PongLine,
    StateLine,
    ViolationLine,
)
from ._redaction import KnownSecrets, NoRedaction, Redaction, redactor
from ._ring import ENTRY_BYTES

OnLoss = Callable[[OnesocketError], object]


class ClientTap:
    """The tap of one client; `on_loss` is called when its connection is lost, or it gives up."""

    def __init__(
        self, add: Add, protocol: Protocol, *, next_number: Callable[[], int], redacts: bool, on_loss: OnLoss
    ) -> None:
        self._add = add
        self._redact = redactor(protocol)
        self._known = KnownSecrets()
        self._next_number = next_number
        self._number = 0
        """0: the client was not used yet."""
        self._redacts = redacts
        self._on_loss = on_loss
        self._connection: RecordedConnection | None = None
        self._loss: OnesocketError | None = None
        """The reason for which the connection is being closed."""

    def __repr__(self) -> str:
        return f"<ClientTap client={self._number} {self._connection!r}>"

    def _shown(self, text: str) -> str:
        return text if self._connection is None else self._connection.redaction.text(text)

    @property
    def _client(self) -> int:
        if not self._number:
            self._number = self._next_number()
        return self._number

    def transport(self, inner: Transport, epoch: int) -> TappedTransport:
        """The transport of one connection."""
        return TappedTransport(inner, self, epoch)

    def connection(self, request: DialRequest, epoch: int) -> RecordedConnection:
        """Begin to record a connection."""
        kind = Redaction if self._redacts else NoRedaction
        redaction = kind(request, self._redact, self._known)
        loop = asyncio.get_running_loop()
        # The same clock, but for loops with a time of their own; one call less.
        now = time.monotonic if type(loop).time is asyncio.BaseEventLoop.time else loop.time
        self._connection = connection = RecordedConnection(self._add, now, redaction, self._client, epoch)
        connection.note(
            DialLine,
            url=redact(request.url) if self._redacts else request.url,
            headers=[name for name, _ in request.headers],
            subprotocols=[redaction.text(name) for name in request.subprotocols],
            max_size=request.max_size,
        )
        return connection

    def changed(self, change: Any, retry_in: float | None, now: float) -> None:
        """Record a change of the state (a `Change`)."""
        error: OnesocketError | None = change.error
        line = StateLine(
            t=now,
            at=time.time(),
            client=self._client,
            epoch=change.epoch,
            old=change.old.name,
            new=change.new.name,
            cause=change.cause,
            error=None if error is None else ErrorRecord.of(error, self._shown),
            retry_in=retry_in,
        )
        self._add((ENTRY_BYTES, line, None))
        if change.new is State.CONNECTED and self._connection is not None:
            self._connection.in_login = False
        if error is not None and (change.old is State.CONNECTED or change.new is State.FAILED):
            self._loss = error
        if self._loss is not None and change.new is not State.CLOSING:
            loss, self._loss = self._loss, None
            self._on_loss(loss)


class TappedTransport:
    """Opens one connection, which is recorded."""

    def __init__(self, inner: Transport, tap: ClientTap, epoch: int) -> None:
        self.name = inner.name
        self._inner = inner
        self._tap = tap
        self._epoch = epoch

    def __repr__(self) -> str:
        return f"<TappedTransport {self._inner!r}>"

    def dial(
        self, request: DialRequest, events: TransportEvents, received: Callable[[Data], object]
    ) -> TappedConnection:
        """Begin to open the connection."""
        connection = self._tap.connection(request, self._epoch)
        inner = self._inner.dial(request, TappedEvents(events, connection), connection.receiver(received))
        return TappedConnection(inner, connection)


class TappedEvents:
    """Records the events of a connection, and passes them on."""

    def __init__(self, events: TransportEvents, connection: RecordedConnection) -> None:
        self._events = events
        self._connection = connection
        self.writable = events.writable

    def __repr__(self) -> str:
        return f"<TappedEvents {self._connection!r}>"

    def __getattr__(self, name: str) -> Any:
        """Attributes that only some transports ask for, such as `is_followed`."""
        if name == "_events":
            raise AttributeError(name)
        return getattr(self._events, name)

    def opened(self, handshake: Handshake) -> None:
        """The upgrade went through."""
        redaction, chosen = self._connection.redaction, handshake.subprotocol
        shown = None if chosen is None else redaction.text(chosen)
        self._connection.note(OpenLine, subprotocol=shown, headers=redaction.headers(handshake.headers))
        self._events.opened(handshake)

    def pong(self, payload: bytes) -> None:
        """A PONG came."""
        self._connection.note(PongLine, payload=payload.hex())
        self._events.pong(payload)

    def peer_closed(self, code: int, reason: str) -> None:
        """The peer closed first, and the transport has answered."""
        self._connection.is_closing = True
        self._connection.note(PeerCloseLine, code=code, reason=self._connection.redaction.text(reason))
        self._events.peer_closed(code, reason)

    def violated(self, error: ProtocolViolation) -> None:
        """The peer broke the rules, and the transport has sent a CLOSE."""
        self._connection.is_closing = True
        self._connection.note(ViolationLine, error=self._record(error))
        self._events.violated(error)

    def ended(self, error: OnesocketError) -> None:
        """Nothing is left of the connection."""
        # A transport says "without a CLOSE frame" also of the end that follows one.
        is_expected = self._connection.is_closing and isinstance(error, ConnectionReset)
        self._connection.note(EndLine, error=None if is_expected else self._record(error))
        self._events.ended(error)

    def _record(self, error: OnesocketError) -> ErrorRecord:
        return ErrorRecord.of(error, self._connection.redaction.text)


class TappedConnection:
    """Records the calls of a client on its connection, and passes them on."""

    def __init__(self, inner: TransportConnection, connection: RecordedConnection) -> None:
        self._inner = inner
        self._connection = connection
        self.pause_reading = inner.pause_reading
        self.resume_reading = inner.resume_reading

    def __repr__(self) -> str:
        return f"<TappedConnection {self._inner!r}>"

    def __getattr__(self, name: str) -> Any:
        """Attributes that only some transports have, such as those by which a forked child finds the socket."""
        if name == "_inner":
            raise AttributeError(name)
        return getattr(self._inner, name)

    @property
    def activity(self) -> int:
        """As of the connection."""
        return self._inner.activity

    @property
    def parts(self) -> int:
        """As of the connection."""
        return self._inner.parts

    @property
    def is_reading(self) -> bool:
        """As of the connection."""
        return self._inner.is_reading

    @property
    def backlog(self) -> int | None:
        """As of the connection."""
        return self._inner.backlog

    @property
    def phase(self) -> str:
        """As of the connection."""
        return self._inner.phase

    def set_receiver(
        self, received: Callable[[Data], object], many: Callable[[list[Data]], object] | None = None
    ) -> None:
        """Deliver each message to `received` from now on, or several to `many`."""
        connection = self._connection
        self._inner.set_receiver(
            connection.receiver(received), None if many is None else connection.batch_receiver(many)
        )

    def send(self, data: Data) -> bool:
        """Write one message."""
        taken = self._inner.send(data)
        if taken:
            self._connection.message(data, outgoing=True)
        return taken

    def send_run(self, messages: list[Data]) -> bool:
        """Write several messages."""
        taken = self._inner.send_run(messages)
        if taken:
            for data in messages:
                self._connection.message(data, outgoing=True)
        return taken

    def ping(self, payload: bytes) -> None:
        """Write a PING."""
        self._inner.ping(payload)
        self._connection.note(PingLine, payload=payload.hex())

    def close(self, code: int, reason: str) -> None:
        """Close with the close handshake."""
        if not self._connection.is_closing:  # the transport sends one CLOSE, the first
            self._connection.is_closing = True
            self._connection.note(CloseLine, code=code, reason=self._connection.redaction.text(reason))
        self._inner.close(code, reason)

    def abort(self, code: int | None = None) -> None:
        """End the connection now."""
        self._connection.note(AbortLine, code=code)
        self._inner.abort(code)
