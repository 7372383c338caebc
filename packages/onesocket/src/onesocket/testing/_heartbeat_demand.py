"""A server's demand on its clients to show life by messages."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..wire._handshake import Data

if TYPE_CHECKING:
    from ._faulty_connection import FaultyConnection


@dataclass(frozen=True, slots=True, kw_only=True)
class HeartbeatDemand:
    """Demand of a heartbeat `within` so many seconds, again and again; a client that sends none is closed.

    `is_heartbeat(message)`: whether a message of the client is one (default: each is). `question`: the message that
    asks for it; None: the client sends it by itself. `pause`: seconds from a heartbeat to the next question.
    """

    within: float
    is_heartbeat: Callable[[Data], bool] | None = None
    question: Data | None = None
    pause: float = 0.0
    code: int = 1008
    reason: str = "No heartbeat"


class HeartbeatCheck:
    """The demand on one connection."""

    def __init__(self, demand: HeartbeatDemand, connection: FaultyConnection) -> None:
        self._demand = demand
        self._connection = connection
        self._beat = asyncio.Event()

    def __repr__(self) -> str:
        return f"<HeartbeatCheck {self._connection!r}>"

    def note(self, message: Data) -> None:
        """Take a message of the client."""
        if self._demand.is_heartbeat is None or self._demand.is_heartbeat(message):
            self._beat.set()

    async def run(self) -> None:
        """Ask for heartbeats until the connection is over, and close it if one is missing."""
        demand, connection = self._demand, self._connection
        while connection.can_send:
            self._beat.clear()
            if demand.question is not None:
                connection.send_nowait(demand.question)
            try:
                async with asyncio.timeout(demand.within):
                    await self._beat.wait()
            except TimeoutError:
                connection.close_nowait(demand.code, demand.reason)
                return
            await asyncio.sleep(demand.pause)
