"""One session of a served gateway: dispatches numbered for a client, and kept for its next connection."""

from __future__ import annotations

import asyncio
import secrets
from collections import deque
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from ._options import GatewayOptions
from ._server_payloads import EncodedDispatch

if TYPE_CHECKING:
    from ._connection import ServedConnection


class ServedSession:
    """A session from READY until its end, over any number of connections."""

    __slots__ = ("_max_bytes", "connection", "id", "intents", "replay", "replay_bytes", "seq", "timer", "write")

    def __init__(self, intents: int, options: GatewayOptions) -> None:
        self.id = secrets.token_hex(16)
        self.intents = intents
        self.seq = 0
        """The number of the last dispatch."""
        self.connection: ServedConnection[Any] | None = None
        self.write: Callable[[bytes], object] | None = None
        """Writes a dispatch to the connection; None without one."""
        self.timer: asyncio.TimerHandle | None = None
        """Runs while there is no connection."""
        self.replay: deque[EncodedDispatch] = deque(maxlen=options.replay_count)
        """The last dispatches; the oldest are dropped, by number or by bytes."""
        self.replay_bytes = 0
        """An upper bound of the bytes in `replay`, exact after `trim()`."""
        self._max_bytes = options.replay_bytes

    def __repr__(self) -> str:
        return f"<{type(self).__name__} seq={self.seq} {'detached' if self.write is None else 'attached'}>"

    def push(self, body: EncodedDispatch) -> bool:
        """Number a dispatch, keep it, and write it if there is a connection; returns whether there is one."""
        seq = self.seq = self.seq + 1
        self.replay.append(body)
        self.replay_bytes += body.size
        if self.replay_bytes > self._max_bytes:
            self.trim()
        if self.write is None:
            return False
        self.write(body.payload(seq))
        return True

    def trim(self) -> None:
        """Drop the oldest dispatches down to half of the allowed bytes, so that the next call is far away.

        The newest is kept if it is within the limit by itself.
        """
        size = sum(body.size for body in self.replay)
        while size > self._max_bytes // 2 and (len(self.replay) > 1 or size > self._max_bytes):
            size -= self.replay.popleft().size
        self.replay_bytes = size

    def covers(self, seq: int) -> bool:
        """True if every dispatch after `seq` is kept."""
        return self.seq - len(self.replay) <= seq <= self.seq

    def missed(self, seq: int) -> Iterator[bytes]:
        """The payloads after `seq`, in order."""
        first = self.seq - len(self.replay) + 1
        for number, body in enumerate(tuple(self.replay), first):
            if number > seq:
                yield body.payload(number)

    def cancel_timer(self) -> None:
        """Cancel `timer`."""
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None
