"""The environment of one row: a fresh server that counts, one client, and the callers that race for its connection."""

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
# Seconds that callers of the check-then-connect client, which has no deadline of its own, may take.
BASELINE_DEADLINE = 2.0

# The results of callers of the check-then-connect client, whose `connect()` returns nothing.
CONNECTED = "connected"
NO_CONNECTION = "returned without a connection"


class Harness:
    """The environment of a scenario: `server`, `callers` (their number), `rng`, `group`, and a client to race for."""

    def __init__(self, server: FaultyServer, callers: int, rng: random.Random) -> None:
        self.server = server
        self.callers = callers
        self.rng = rng
        self.group = CallerGroup(rng)
        self.broken: list[str] = []
        """Broken promises that the scenario itself has found."""
        self.notes: list[str] = []
        """Further results, in words."""
        self.figures: dict[str, float] = {}
        """The numbers of the notes, for the JSON report."""
        self._clients: list[Client] = []
        self._baselines: list[CheckThenConnectClient] = []
        self._loop = asyncio.get_running_loop()
        self._began = self._loop.time()

    def __repr__(self) -> str:
        return f"<Harness {self.server.url} group={self.group!r} broken={self.broken}>"

    @property
    def seconds(self) -> float:
        """Seconds since `begin()`."""
        return self._loop.time() - self._began

    def begin(self) -> None:
        """Begin the measurement; what the server counted before is discarded."""
        self.server.reset_counts()
        self._began = self._loop.time()

    def client(self, *, close_timeout: float = CLOSE_TIMEOUT, **options: Any) -> Client:
        """Return a new client of onesocket; its callers may take as long as its deadlines allow."""
        client = Client(self.server.url, open_timeout=OPEN_TIMEOUT, close_timeout=close_timeout, **options)
        self.group.deadline = OPEN_TIMEOUT + close_timeout
        self._clients.append(client)
        return client

    def baseline(self) -> CheckThenConnectClient:
        """Return a new check-then-connect client."""
        client = CheckThenConnectClient(self.server.url)
        self.group.deadline = BASELINE_DEADLINE
        self._baselines.append(client)
        return client

    def require(self, holds: bool, otherwise: str) -> None:
        """Record the broken promise `otherwise` unless `holds`."""
        if not holds:
            self.broken.append(otherwise)

    def expect(self, outcomes: dict[str, int], *, rest: frozenset[str] = frozenset()) -> None:
        """Check the callers' results: so many of each outcome, and one of `rest` for all others."""
        for name, count in self.group.outcomes.items():
            if name not in outcomes and name not in rest:
                self.broken.append(f"{count} callers: {name}")
        for name, count in outcomes.items():
            seen = self.group.outcomes[name]
            self.require(seen == count, f"{seen} callers: {name}, {count} expected")

    @property
    def forgotten(self) -> int:
        """WebSockets open at the server that are connected for none of the clients."""
        known = sum(client.is_connected() for client in self._baselines)
        known += sum(client.status.is_connected for client in self._clients)
        return max(0, self.server.counts.open_now - known)

    async def clear(self) -> None:
        """Close the clients, in order and within their deadlines."""
        await self.group.end()
        for client in self._clients:
            try:
                async with asyncio.timeout(OPEN_TIMEOUT + CLOSE_TIMEOUT):
                    await client.aclose()
            except TimeoutError:
                self.broken.append("aclose() hangs")
        if self._baselines:
            # Without this it would wait 10 s for the close of each socket whose server doesn't answer.
            self.server.kill_connections()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(BASELINE_DEADLINE):
                    await asyncio.gather(*(client.force_cleanup() for client in self._baselines))
        # The last bytes of a close may still be in transit to the server; sockets open after a second count as left.
        with contextlib.suppress(TimeoutError):
            await self.server.wait_until(lambda counts: counts.sockets_now == 0, timeout=1.0)
