"""Where one row is played: a fresh server that counts, one client, and the crowd that races for its connection."""

from __future__ import annotations

import asyncio
import contextlib
import random
from typing import Any

from onesocket.client._client import Client
from onesocket.testing._faulty_server import FaultyServer

from .callers import CallerGroup
from .check_then_connect import CheckThenConnectClient

OPEN_TIMEOUT = 3.0
CLOSE_TIMEOUT = 1.0
# The other client states no deadline of its own; so long its callers, and every other wait for it, may take.
BASELINE_DEADLINE = 2.0

# What a caller of the other client came to, since its `connect()` doesn't say.
CONNECTED = "connected"
NO_CONNECTION = "returned without a line"


class Harness:
    """What a play needs: `server`, `callers` (how many it shall use), `rng`, `crowd`, and a client to race for."""

    def __init__(self, server: FaultyServer, callers: int, rng: random.Random) -> None:
        self.server = server
        self.callers = callers
        self.rng = rng
        self.crowd = CallerGroup(rng)
        self.broken: list[str] = []
        """Promises that the play itself saw broken."""
        self.notes: list[str] = []
        """What else is worth telling, in plain words."""
        self.figures: dict[str, float] = {}
        """The numbers behind the notes, for machines."""
        self._clients: list[Client] = []
        self._rivals: list[CheckThenConnectClient] = []
        self._loop = asyncio.get_running_loop()
        self._began = self._loop.time()

    def __repr__(self) -> str:
        return f"<Stage {self.server.url} crowd={self.crowd!r} broken={self.broken}>"

    @property
    def seconds(self) -> float:
        """How long the window has been open."""
        return self._loop.time() - self._began

    def begin(self) -> None:
        """The scene is set: the window of measurement opens."""
        self.server.reset_counts()
        self._began = self._loop.time()

    def client(self, *, close_timeout: float = CLOSE_TIMEOUT, **options: Any) -> Client:
        """A client of onesocket to this server; its callers may take as long as it promises, and no longer."""
        client = Client(self.server.url, open_timeout=OPEN_TIMEOUT, close_timeout=close_timeout, **options)
        self.crowd.deadline = OPEN_TIMEOUT + close_timeout
        self._clients.append(client)
        return client

    def baseline(self) -> CheckThenConnectClient:
        """A check-then-connect client to this server."""
        rival = CheckThenConnectClient(self.server.url)
        self.crowd.deadline = BASELINE_DEADLINE
        self._rivals.append(rival)
        return rival

    def require(self, holds: bool, otherwise: str) -> None:
        """Note a broken promise unless it holds."""
        if not holds:
            self.broken.append(otherwise)

    def expect(self, outcomes: dict[str, int], *, rest: frozenset[str] = frozenset()) -> None:
        """Hold the callers to what was promised: so many of each outcome, and whoever is left has one of `rest`."""
        for name, count in self.crowd.outcomes.items():
            if name not in outcomes and name not in rest:
                self.broken.append(f"{count} callers: {name}")
        for name, count in outcomes.items():
            seen = self.crowd.outcomes[name]
            self.require(seen == count, f"{seen} callers: {name}, {count} expected")

    @property
    def forgotten(self) -> int:
        """WebSockets open at the server that no client of this stage knows of any more."""
        known = sum(rival.is_connected() for rival in self._rivals)
        known += sum(client.status.is_connected for client in self._clients)
        return max(0, self.server.counts.open_now - known)

    async def clear(self) -> None:
        """Close the clients, in order and within their deadlines."""
        await self.crowd.end()
        for client in self._clients:
            try:
                async with asyncio.timeout(OPEN_TIMEOUT + CLOSE_TIMEOUT):
                    await client.aclose()
            except TimeoutError:
                self.broken.append("aclose() hangs")
        if self._rivals:
            # It waits for the close of sockets whose server doesn't answer, for 10 s each: spare us that.
            self.server.kill_connections()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(BASELINE_DEADLINE):
                    await asyncio.gather(*(rival.force_cleanup() for rival in self._rivals))
        # The last bytes of a close are still on their way to the server; what isn't gone after a second stays.
        with contextlib.suppress(TimeoutError):
            await self.server.wait_until(lambda counts: counts.sockets_now == 0, timeout=1.0)
