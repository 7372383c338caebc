"""The fate of one message that was accepted for sending."""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from typing import Any

from ..errors import OnesocketError
from ..wire import Data


class Delivery:
    """What `send_nowait()` returns: await it, or look at `done` and `error`, or forget it.

    A delivery that fails and that nobody awaits is reported (log, `on_error`): nothing is lost in silence.
    """

    __slots__ = ("_future", "data", "done", "error")

    def __init__(self, data: Data, *, done: bool = False) -> None:
        self.data = data
        self.done = done
        """Whether its fate is known."""
        self.error: OnesocketError | None = None
        """Why it was not (or may not have been) delivered to the socket."""
        self._future: asyncio.Future[None] | None = None

    def __repr__(self) -> str:
        fate = "waiting" if not self.done else f"failed: {type(self.error).__name__}" if self.error else "delivered"
        return f"<Delivery {fate} size={len(self.data)}>"

    def __await__(self) -> Generator[Any, None, None]:
        """Wait until the socket has it; raises what kept it from that."""
        if not self.done:
            if self._future is None or self._future.cancelled():
                self._future = asyncio.get_running_loop().create_future()
            # Shielded: one waiter's cancellation is not another's.
            yield from asyncio.shield(self._future).__await__()
        if self.error is not None:
            raise self.error.copy()

    @property
    def is_watched(self) -> bool:
        """Whether somebody awaits it."""
        return self._future is not None

    def resolve(self, error: OnesocketError | None = None) -> None:
        """Its fate is known."""
        self.done = True
        self.error = error
        if self._future is not None and not self._future.done():
            self._future.set_result(None)


DELIVERED = Delivery("", done=True)
"""The delivery of every message that went straight to the socket."""
