"""One named check of a transport, and the context that it runs in."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Final

from ...transports._transport import Transport
from ...wire._handshake import DialRequest
from .._checked_connection import CheckedConnection
from .._faulty_connection import FaultyConnection
from .._test_peer import LoopbackTestPeer, PeerFeature, TransportTestPeer

# Bounds a hang; no check waits for a time to pass.
_DEADLINE: Final = 60.0
_ITERATIONS_TO_END: Final = 100
BLOCK: Final = random.Random(1).randbytes(500_000)
"""A message that compression doesn't make shorter."""
MAX_BLOCKS: Final = 400
"""More blocks than any kernel buffers on loopback."""

CheckFunction = Callable[["CheckContext"], Awaitable[None]]


class CheckContext:
    """The context of a check: the transport, the test peer, and the connections."""

    def __init__(self, transport: Transport, peer: TransportTestPeer) -> None:
        self.transport = transport
        self.peer = peer
        self.connections: list[CheckedConnection] = []

    def dial(self, url: str | None = None, **request: Any) -> CheckedConnection:
        """Begin to open one connection."""
        checked = CheckedConnection(self.transport, DialRequest(url=url or self.peer.url, close_timeout=1.0, **request))
        self.connections.append(checked)
        return checked

    async def open(self, **request: Any) -> CheckedConnection:
        """Open one connection."""
        checked = self.dial(**request)
        await checked.wait_open()
        # The peer may count it later than the client sees it open.
        await self.peer.until(lambda: self.peer.open_now >= 1)
        return checked

    @property
    def served(self) -> FaultyConnection:
        """The only connection, as the server has it; for checks that need `PeerFeature.BYTES`."""
        (connection,) = self.peer.server.connections
        return connection

    async def wait_all_closed(self) -> None:
        """Wait until the peer counts no connection any more."""
        await self.peer.until(lambda: self.peer.open_now == 0)

    async def expect_clean_end(self, codes: list[int] | None = None) -> None:
        """Wait for the end at the peer; raises unless it was clean, and with these close codes of the client."""
        await self.wait_all_closed()
        expect_equal(self.peer.unclean_closes, 0, "connections that ended without a close handshake")
        if codes is not None:
            expect_equal(self.peer.close_codes, codes, "the received close codes")

    async def aclose(self) -> None:
        """End the connections that are left; raise if one violated the contract, or the peer still counts one."""
        for checked in self.connections:
            if not checked.is_over:
                checked.connection.abort()
            await checked.end()
        self.peer.resume_reading()
        await self.wait_all_closed()
        violations = [text for checked in self.connections for text in checked.violations]
        expect(not violations, f"violations of the contract: {violations}")


@dataclass(frozen=True)
class TransportCheck:
    """One check; `str()` of it is its name."""

    name: str
    body: CheckFunction = field(repr=False)
    needs: frozenset[PeerFeature] = frozenset()

    def __str__(self) -> str:
        return self.name

    async def run(self, make_transport: Callable[[], Transport], peer: TransportTestPeer | None = None) -> None:
        """Run the check against a fresh test peer; raises `AssertionError` if it fails."""
        peer = peer if peer is not None else LoopbackTestPeer()
        loop = asyncio.get_running_loop()
        problems: list[dict[str, Any]] = []
        handler = loop.get_exception_handler()
        loop.set_exception_handler(lambda _loop, context: problems.append(context))
        before = asyncio.all_tasks()
        try:
            async with asyncio.timeout(_DEADLINE):
                await peer.start()
                context = CheckContext(make_transport(), peer)
                try:
                    await self.body(context)
                    await context.aclose()
                finally:
                    for checked in context.connections:
                        checked.connection.abort()
                    await peer.aclose()
            for _ in range(_ITERATIONS_TO_END):
                if not asyncio.all_tasks() - before:
                    break
                await asyncio.sleep(0)
            left = asyncio.all_tasks() - before
            expect(not left, f"tasks left: {left}")
            expect(not problems, f"unhandled errors: {problems}")
        finally:
            loop.set_exception_handler(handler)


class CheckRegistry(list[TransportCheck]):
    """The checks of one module."""

    def add(self, *needs: PeerFeature) -> Callable[[CheckFunction], CheckFunction]:
        """Decorate a coroutine function as a check with its own name."""

        def take(body: CheckFunction) -> CheckFunction:
            name = getattr(body, "__name__", "check").replace("_", " ")
            self.append(TransportCheck(name, body, frozenset(needs)))
            return body

        return take

    def add_named(self, name: str, body: CheckFunction, *needs: PeerFeature) -> None:
        """Add a check of a table."""
        self.append(TransportCheck(name, body, frozenset(needs)))


async def pass_turns(number: int = 20) -> None:
    """Let the event loop take so many turns."""
    for _ in range(number):
        await asyncio.sleep(0)


def fill(checked: CheckedConnection) -> int:
    """Send blocks until the connection is not writable; returns their number, at most `MAX_BLOCKS`."""
    sent = 0
    while checked.writable_now and sent < MAX_BLOCKS:
        expect(checked.connection.send(BLOCK), "an open connection takes messages")
        sent += 1
    return sent


def expect(true: object, label: str) -> None:
    """Raise `AssertionError` unless `true` is true; an `assert` would vanish under `python -O`."""
    if not true:
        raise AssertionError(label)


def expect_equal(is_now: object, should_be: object, label: str) -> None:
    """Raise `AssertionError` unless both are equal."""
    expect(is_now == should_be, f"{label}: {_short(is_now)}, where {_short(should_be)} was expected")


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) < 200 else text[:200] + "…"
