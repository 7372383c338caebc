"""The transport port: frames in, frames out, for one line at a time.

There is not one coroutine in it, on purpose: a `TransportConnection` starts to open when it is made, reports to its
`TransportEvents`, and ends by `close()` or `abort()`. Nothing can be cancelled half-way, so nothing can leak half-open.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from ..errors import OnesocketError, ProtocolViolation
from ..wire._handshake import Data, DialRequest, Handshake


class TransportEvents(Protocol):
    """What a line tells its owner, always from the event loop: at most one `opened`, exactly one `ended`, in order."""

    def opened(self, handshake: Handshake) -> None:
        """The upgrade went through; messages may be sent, and may arrive from now on."""

    def pong(self, payload: bytes) -> None:
        """A PONG came."""

    def writable(self, now_writable: bool) -> None:  # noqa: FBT001 - an event, not an option
        """False: what was written is still on its way to the kernel. True: all of it is out."""

    def peer_closed(self, code: int, reason: str) -> None:
        """The peer's CLOSE came first, and was answered; 1005 when it named no code. `ended` follows."""

    def violated(self, error: ProtocolViolation) -> None:
        """The peer broke the rules, and was told so. `ended` follows."""

    def ended(self, error: OnesocketError) -> None:
        """Nothing is left of it. A `ClientClosed` says that the event loop itself is ending."""


class TransportConnection(Protocol):
    """One WebSocket, from the dial to its end.

    Contract: no event comes before `dial` has returned; after `pause_reading()` no message is handed over until
    `resume_reading()`; not more than a slice of a burst is handed over in one turn of the loop; what came before the
    end is handed over before it is told; every method may be called at any time, and does nothing when it's too late.
    """

    @property
    def activity(self) -> int:
        """Grows with whatever shows that somebody is there: any byte that is read, and the moment when we read again.

        Whole messages won't do: a large one may take longer than the patience of whoever looks.
        """
        ...

    @property
    def is_reading(self) -> bool:
        """Whether the socket is being read. If not, silence proves nothing."""
        ...

    @property
    def phase(self) -> str:
        """What it's waiting for, for people ("connecting to example.org:443")."""
        ...

    def set_receiver(
        self, received: Callable[[Data], object], many: Callable[[list[Data]], object] | None = None
    ) -> None:
        """Hand every message to this from now on.

        A line that reads several at once may hand them to `many` together, in order, a slice at a time.
        """

    def send(self, data: Data) -> bool:
        """Write one message; False when the line takes none any more, and then nothing was written."""
        ...

    def ping(self, payload: bytes) -> None:
        """Write a PING with up to 125 bytes."""

    def close(self, code: int, reason: str) -> None:
        """End it in order.

        Before the upgrade request is sent: give up at once. After it: await the answer, then close with `code`.
        """

    def abort(self, code: int | None = None) -> None:
        """End it now: the deadline passed. With `code`, the peer is told, if the socket takes it at once."""

    def pause_reading(self) -> None:
        """Hand over nothing more until `resume_reading`, and let the peer feel it."""

    def resume_reading(self) -> None:
        """Go on, with what was held back first."""


class Transport(Protocol):
    """Makes lines. `name` is shown to people."""

    name: str

    def dial(
        self, request: DialRequest, events: TransportEvents, received: Callable[[Data], object]
    ) -> TransportConnection:
        """Start opening one line; never blocks and never raises for what the network does."""
        ...
