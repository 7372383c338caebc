"""Messages of the connection on their way to the processes of a host: few writes for many messages."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from ...wire._handshake import Data
from ._owner_snapshot import OwnerSnapshot


class BatchForwarder:
    """Forwards the first batch of a turn of the event loop at once, and the others together at the end of the turn.

    A write costs more than a message.
    """

    __slots__ = ("_batch", "_forward", "_has_forwarded", "_loop", "_on_loss", "_snapshot")

    def __init__(
        self, snapshot: OwnerSnapshot | None, forward: Callable[[list[Data]], object], on_loss: Callable[[], object]
    ) -> None:
        """`snapshot`: takes note of all batches; `on_loss`: called before the error of a batch is raised again."""
        self._snapshot = snapshot
        self._forward = forward
        self._on_loss = on_loss
        self._loop = asyncio.get_running_loop()
        self._batch: list[Data] = []
        """Messages for the end of this turn of the loop."""
        self._has_forwarded = False
        """True if messages were forwarded in this turn: further ones wait for its end."""

    def __repr__(self) -> str:
        return f"<BatchForwarder waiting={len(self._batch)}>"

    def on_batch(self, batch: list[Data]) -> None:
        """Take messages as they come from the connection. Raises the error of their forwarding."""
        try:
            self._take(batch)
        except BaseException:
            self._on_loss()
            raise

    def _take(self, batch: list[Data]) -> None:
        if self._snapshot is not None:
            self._snapshot.on_batch(batch)
        if self._has_forwarded:
            self._batch += batch
            return
        self._has_forwarded = True
        self._loop.call_soon(self.on_turn_end)
        self._forward(batch)

    def on_turn_end(self) -> None:
        """Forward what has come since the first batch; the next turn begins with a batch that is forwarded at once."""
        self._has_forwarded = bool(self._batch)
        if self._has_forwarded:
            self._loop.call_soon(self.on_turn_end)
            self.flush()

    def flush(self) -> None:
        """Forward the messages that wait for the end of this turn. Raises the error of their forwarding."""
        batch, self._batch = self._batch, []
        try:
            if batch:
                self._forward(batch)
        except BaseException:
            self._on_loss()
            raise
