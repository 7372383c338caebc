"""The transport port: opens WebSocket connections, and sends and receives their messages.

It has no coroutine, on purpose: a `TransportConnection` begins to open when it is made, reports to its
`TransportEvents`, and ends by `close()` or `abort()`. Nothing can be cancelled half-way, so nothing can leak half-open.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from ..errors import OnesocketError, ProtocolViolation
from ..wire._handshake import Data, DialRequest, Handshake


class TransportEvents(Protocol):
    """Callbacks of a connection, on its event loop and in order: at most one `opened`, exactly one `ended`."""

    def opened(self, handshake: Handshake) -> None:
        """Note that the upgrade has succeeded; messages may be sent, and may arrive from now on."""

    def pong(self, payload: bytes) -> None:
        """Take the payload of a PONG."""

    def writable(self, now_writable: bool) -> None:  # noqa: FBT001 - an event, not an option
        """Note whether the kernel has taken all written bytes."""

    def peer_closed(self, code: int, reason: str) -> None:
        """Note that the peer has closed first, and was answered; 1005: its CLOSE had no code. `ended` follows."""

    def violated(self, error: ProtocolViolation) -> None:
        """Note that the peer violated RFC 6455, and was sent a CLOSE. `ended` follows."""

    def ended(self, error: OnesocketError) -> None:
        """Note that the connection is gone. `ClientClosed`: the event loop itself is ending."""


class TransportConnection(Protocol):
    """One WebSocket connection, from the dial to its end.

    Contract: no event comes before `dial` has returned; after `pause_reading()` no message is delivered until
    `resume_reading()`, a close, or the loss of the connection; one turn of the loop delivers at most a slice of a
    burst; messages received before the end are delivered before `ended`, and none after `abort()`; every method may be
    called at any time, and does nothing when it is too late.
    """

    @property
    def activity(self) -> int:
        """Grows with each sign of life of the peer (any byte that is read), and when the socket is read again.

        Counting whole messages would not do: a large one may take longer than `ping_timeout`.
        """
        ...

    @property
    def parts(self) -> int:
        """Grows with each read that brought a part of a message, and completed none."""
        ...

    @property
    def is_reading(self) -> bool:
        """True if the socket is read. If not, silence is no sign of a dead peer."""
        ...

    @property
    def backlog(self) -> int | None:
        """Another number whenever the peer's system has taken more of the written bytes; None: hardly any wait.

        A PING that is written now comes behind these bytes, so its PONG may take as long as they do.
        """
        ...

    @property
    def phase(self) -> str:
        """Readable description of the step that the connection waits for ("connecting to example.org:443")."""
        ...

    def set_receiver(
        self, received: Callable[[Data], object], many: Callable[[list[Data]], object] | None = None
    ) -> None:
        """Deliver each message to `received` from now on.

        A connection that reads several at once may deliver them to `many` together, in order, a slice at a time.
        """

    def send(self, data: Data) -> bool:
        """Write one message; False if the connection takes none any more, and then nothing was written."""
        ...

    def send_run(self, messages: list[Data]) -> bool:
        """Write several messages at once, as `send`; the `UnicodeError` of one is raised before any is written."""
        ...

    def ping(self, payload: bytes) -> None:
        """Write a PING with up to 125 bytes."""

    def close(self, code: int, reason: str) -> None:
        """Close with the close handshake.

        Before the upgrade request is sent: end at once. After it: wait for the response, then close with `code`.
        """

    def abort(self, code: int | None = None) -> None:
        """End the connection now. With `code`, a CLOSE is sent, if the socket takes it at once."""

    def pause_reading(self) -> None:
        """Deliver no message until `resume_reading`, and stop reading, so that the peer has to wait."""

    def resume_reading(self) -> None:
        """Deliver the messages received before, then read again."""


class Transport(Protocol):
    """Opens connections. `name` appears in messages."""

    name: str

    def dial(
        self, request: DialRequest, events: TransportEvents, received: Callable[[Data], object]
    ) -> TransportConnection:
        """Begin to open one connection; never blocks, and never raises an error of the network."""
        ...
