"""The fate of one message that was accepted for sending."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator
from typing import Any, Protocol

from ..errors import DeliveryUnknown, OnesocketError
from ..wire._handshake import Data
from ._loop_future import resolve_on_loop


class LateFrame(Protocol):
    """A message that waits in the outbox, and is made when its turn has come."""

    is_lasting: bool
    """True if it waits for the connection as long as that takes, whatever the limits of the outbox are."""

    def make_frame(self) -> Data:
        """Make the message. It may raise."""
        ...

    def on_sent(self) -> None:
        """Note that the message that was made last is sent."""


class Delivery:
    """Fate of one message, returned by `send_nowait()`: await it, read `done` and `error`, or ignore it.

    A delivery that fails while it is not awaited is reported (log, `on_error`).
    """

    __slots__ = ("_future", "_watchers", "data", "done", "earlier_unknown", "error", "late", "on_done", "resend")

    def __init__(self, data: Data | None, *, done: bool = False, resend: bool = False) -> None:
        self.data = data
        """The message, until its fate is known."""
        self.done = done
        """True once its fate is known."""
        self.error: OnesocketError | None = None
        """Reason for which it was not (or may not have been) delivered to the socket."""
        self.resend = resend
        """True if sending it twice does no harm."""
        self.earlier_unknown: DeliveryUnknown | None = None
        """The result of an earlier copy, which may have arrived; it is being sent again."""
        self.on_done: Callable[[Delivery], None] | None = None
        """Called when its fate is known, by the part of the client that sent it for a caller of its own."""
        self.late: LateFrame | None = None
        """Makes the message when it is sent; None: it is `data`."""
        self._future: asyncio.Future[None] | None = None
        self._watchers = 0

    def __repr__(self) -> str:
        fate = "waiting" if not self.done else f"failed: {type(self.error).__name__}" if self.error else "delivered"
        return f"<Delivery {fate}>"

    def __await__(self) -> Generator[Any, None, None]:
        """Wait until the socket has the message; raises `error`."""
        if not self.done:
            future = self._future
            loop = asyncio.get_running_loop()
            if future is None or future.get_loop() is not loop:
                future = self._future = _future_beside(future, loop)
            self._watchers += 1
            try:
                # Shielded: one waiter's cancellation is not another's.
                yield from asyncio.shield(future).__await__()
            finally:
                self._watchers -= 1
        if self.error is not None:
            raise self.error.copy()

    async def accepted(self) -> None:
        """Wait as `send()` does: with a `DurableOutbox` until the message is on disk, else as awaiting the delivery."""
        await self

    @property
    def has_waiters(self) -> bool:
        """True while a caller awaits it."""
        return self._watchers > 0

    @property
    def is_awaited(self) -> bool:
        """True while a caller awaits it, or a part of the client tells its caller."""
        return self._watchers > 0 or self.on_done is not None

    def resolve(self, error: OnesocketError | None = None) -> None:
        """Set the fate. The fate of a copy that was not sent is that of the earlier one."""
        if error is not None and self.earlier_unknown is not None and error is not self.earlier_unknown:
            cause, error = error, self.earlier_unknown
            error.__cause__ = cause
        self.done = True
        self.error = error
        self.data = None
        if self._future is not None:
            resolve_on_loop(self._future)
        if self.on_done is not None:
            self.on_done(self)


def _future_beside(earlier: asyncio.Future[None] | None, loop: asyncio.AbstractEventLoop) -> asyncio.Future[None]:
    """Return a future of this loop; one of a loop that the connection has left is resolved with it."""
    future: asyncio.Future[None] = loop.create_future()
    if earlier is not None:
        future.add_done_callback(lambda _: resolve_on_loop(earlier))
    return future


DELIVERED = Delivery(None, done=True)
"""The delivery of every message that went straight to the socket."""
