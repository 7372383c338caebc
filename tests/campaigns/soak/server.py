"""The other process of the soak: a faulty server that is told by lines of JSON on stdin what to break.

Clients say who they are by their path, /client/<number>; the server records their messages and connections.
"""

from __future__ import annotations

import asyncio
import base64
import dataclasses
import random
import signal
from collections.abc import Callable
from typing import Any, Final

from onesocket.testing import Fault, FaultyServer
from onesocket.testing._faulty_connection import FaultyConnection
from onesocket.testing._handshake_endpoint import ConnectionPhase
from onesocket.testing._server_context import OnMessage
from tests.campaigns.harness.ledger import ConnectionRecord
from tests.campaigns.harness.orders import serve_orders, setup, write_event
from tests.campaigns.harness.sockets import held_by_a_process
from tests.campaigns.soak.director import INVALID_FRAMES, UPGRADES

_ALIVE: Final = (ConnectionPhase.ANSWERING, ConnectionPhase.OPEN)
_HARMLESS_FAULTS: Final = frozenset({"", "no pong", "never acknowledge", UPGRADES["slow upgrade"].label})
"""Faults that a connection can survive."""
_UPGRADES_SECONDS: Final = 1.5
_ECHOED: Final = 4096
"""Longer messages are answered with their number alone."""


class LiveConnection:
    """A connection, and what is to be remembered of it."""

    def __init__(self, client: int, connection: FaultyConnection) -> None:
        self.connection = connection
        self.client = client
        self.record = ConnectionRecord()

    def struck(self, cause: str) -> None:
        """Note the fault; the first one that breaks the connection counts."""
        if self.record.cause in _HARMLESS_FAULTS:
            self.record.cause = cause


class _CloseTrackingServer(FaultyServer):
    """Remembers which WebSockets ended with CLOSE in both ways; a connection itself forgets it when TCP ends."""

    def __init__(self, choose: Callable[[FaultyConnection], Fault | None], on_message: OnMessage) -> None:
        super().__init__(faults=choose, on_message=on_message, received_limit=0)
        self.clean: set[FaultyConnection] = set()

    def over(self, connection: FaultyConnection, *, clean: bool) -> None:
        """Note that the WebSocket is over."""
        super().over(connection, clean=clean)
        if clean:
            self.clean.add(connection)


class SoakServer:
    """A faulty server that records messages and connections."""

    def __init__(self, seed: int) -> None:
        self.server = _CloseTrackingServer(self._choose, self._received)
        self._random = random.Random(seed)
        self._upgrades: tuple[str, float] | None = None
        self._upgrades_until = 0.0
        self._live: dict[FaultyConnection, LiveConnection] = {}
        self._by_client: dict[int, list[LiveConnection]] = {}
        self._records: list[tuple[int, ConnectionRecord]] = []
        self._messages: dict[int, bytearray] = {}
        self._wrong: list[str] = []
        self._unnoticed = 0
        self._again: asyncio.Task[None] | None = None

    # --- what the faulty server asks --------------------------------------------------------------------------------

    def _choose(self, connection: FaultyConnection) -> Fault | None:
        client = int(connection.request_path.rpartition("/")[2])
        connections = self._by_client.setdefault(client, [])
        for old in tuple(connections):
            if old.connection.phase not in _ALIVE:
                self._finish(old)
            elif held_by_a_process(old.connection):
                self._wrong.append(f"client {client} has two sockets: {old.connection!r} and {connection!r}")
            else:
                # The client's socket is gone; a server that does not read can't know.
                self._unnoticed += 1
                old.connection.kill()
        live = LiveConnection(client, connection)
        connections.append(live)
        self._live[connection] = live
        late = asyncio.get_running_loop().time() > self._upgrades_until
        if self._upgrades is None or late or self._random.random() > self._upgrades[1]:
            return None
        fault = UPGRADES[self._upgrades[0]]
        live.struck(fault.label)
        return fault

    def _received(self, connection: FaultyConnection, message: str | bytes) -> str | bytes:
        live = self._live[connection]
        head = message[:12].decode() if isinstance(message, bytes) else message[:12]
        number = int(head.partition(":")[0])
        times = self._messages.setdefault(live.client, bytearray(1))
        if number >= len(times):
            times.extend(bytes(number + 1000 - len(times)))
        times[number] = min(times[number] + 1, 255)
        if number <= live.record.last:
            self._wrong.append(f"client {live.client}: {number} came after {live.record.last} on one connection")
        live.record.first = live.record.first or number
        live.record.last = number
        return message if len(message) <= _ECHOED else encode_number(number)

    def _finish(self, live: LiveConnection) -> None:
        live.record.clean = live.connection in self.server.clean
        self.server.clean.discard(live.connection)
        if live.connection.opened_at is not None:
            self._records.append((live.client, live.record))
        self._by_client[live.client].remove(live)
        del self._live[live.connection]

    # --- orders -----------------------------------------------------------------------------------------------------

    async def obey(self, order: dict[str, Any]) -> object:
        """Carry out an order; returns the answer."""
        what = order["do"]
        if what == "upgrades":
            self._upgrades = (order["fault"], order["chance"])
            self._upgrades_until = asyncio.get_running_loop().time() + _UPGRADES_SECONDS
        if what in {"restart", "refuse"}:
            self._strike_all(what)
            await self._stop(order.get("seconds", 0.0))
        elif what == "calm":
            await self._calm()
        elif what == "report":
            return self._report()
        elif what == "state":
            return {"open": self.server.counts.open_now, "wrong": len(self._wrong)}
        for client in order.get("clients", ()):
            for live in self._by_client.get(client, ()):
                if live.connection.phase is ConnectionPhase.OPEN:
                    self._strike(live, order.get("strike", what), order)
        return None

    def _strike(self, live: LiveConnection, what: str, order: dict[str, Any]) -> None:
        live.struck(what)
        connection = live.connection
        match what:
            case "kill":
                connection.kill()
            case "half-open":
                connection.go_silent()
            case "stop reading":
                connection.stop_reading()
            case "close":
                connection.strike(Fault.accept_then_close(order["code"], "soak"))
            case "drop":
                connection.strike(Fault.accept_then_drop())
            case "no pong":
                connection.strike(Fault.no_pong())
            case "never acknowledge":
                connection.strike(Fault.never_acknowledge_close())
            case "garbage":
                connection.strike(INVALID_FRAMES[order["garbage"]])
            case _:
                raise ValueError(f"what is {what!r}?")

    def _strike_all(self, what: str) -> None:
        for live in self._live.values():
            live.struck(what)

    async def _stop(self, seconds: float) -> None:
        if self._again is not None:
            await self._again
        await self.server.stop_listening(kill=True)
        self._again = asyncio.create_task(self._start(seconds))

    async def _start(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
        await self.server.start()

    async def _calm(self) -> None:
        """End every fault, also those that would show only later."""
        self._upgrades = None
        if self._again is not None:
            await self._again
        for live in tuple(self._live.values()):
            if live.record.cause or live.connection.is_unresponsive:
                live.connection.kill()

    def _report(self) -> dict[str, Any]:
        for live in tuple(self._live.values()):
            self._finish(live)
        counts = self.server.counts
        return {
            "wrong": self._wrong,
            "unnoticed": self._unnoticed,
            "counts": {
                "handshakes": counts.handshakes,
                "upgraded": counts.upgraded,
                "refused": counts.refused,
                "most_open": counts.most_open,
                "open_now": counts.open_now,
                "messages": counts.messages_received,
                "protocol_errors": counts.protocol_errors,
            },
            "received": {client: base64.b64encode(times).decode() for client, times in self._messages.items()},
            "connections": [[client, *dataclasses.astuple(record)] for client, record in self._records],
        }


def encode_number(number: int) -> str:
    """The short answer to a long message."""
    return f"{number}:"


async def serve(seed: int) -> None:
    """Serve orders until stdin ends."""
    soak = SoakServer(seed)
    async with soak.server:
        write_event("ready", url=soak.server.url)
        await serve_orders(soak.obey, last=None)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the other process, which ends this one
    asyncio.run(serve(setup()))
