"""One named check of a transport, and the bench that it works on."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Final

from ...transports._transport import Transport
from ...wire._handshake import DialRequest
from .._checked_connection import CheckedConnection
from .._test_peer import LoopbackTestPeer, PeerFeature, TransportTestPeer

# Bounds a hang; no check waits for a time to pass.
_DEADLINE: Final = 60.0
_ITERATIONS_TO_END: Final = 100

CheckFunction = Callable[["CheckContext"], Awaitable[None]]


class CheckContext:
    """What a check works with: the transport, the other side, and its lines."""

    def __init__(self, transport: Transport, side: TransportTestPeer) -> None:
        self.transport = transport
        self.peer = side
        self.connections: list[CheckedConnection] = []

    def dial(self, url: str | None = None, **request: Any) -> CheckedConnection:
        """Begin one line."""
        line = CheckedConnection(self.transport, DialRequest(url=url or self.peer.url, close_timeout=1.0, **request))
        self.connections.append(line)
        return line

    async def open(self, **request: Any) -> CheckedConnection:
        """Open one line."""
        line = self.dial(**request)
        await line.wait_open()
        # What the line knows first, the other side may still have to count.
        await self.peer.until(lambda: self.peer.open_now >= 1)
        return line

    async def aclose(self) -> None:
        """End what is left, and raise if a promise was broken or the other side still counts a line."""
        for line in self.connections:
            if not line.is_over:
                line.connection.abort()
            await line.end()
        self.peer.resume_reading()
        await self.peer.until(lambda: self.peer.open_now == 0)
        broken = [promise for line in self.connections for promise in line.violations]
        expect(not broken, f"broken promises: {broken}")


@dataclass(frozen=True)
class TransportCheck:
    """One check; `str()` of it is its name."""

    name: str
    body: CheckFunction = field(repr=False)
    needs: frozenset[PeerFeature] = frozenset()

    def __str__(self) -> str:
        return self.name

    async def run(self, make_transport: Callable[[], Transport], other_side: TransportTestPeer | None = None) -> None:
        """Run it against a fresh other side; raises `AssertionError` when it fails."""
        side = other_side if other_side is not None else LoopbackTestPeer()
        loop = asyncio.get_running_loop()
        problems: list[dict[str, Any]] = []
        handler = loop.get_exception_handler()
        loop.set_exception_handler(lambda _loop, context: problems.append(context))
        before = asyncio.all_tasks()
        try:
            async with asyncio.timeout(_DEADLINE):
                await side.start()
                bench = CheckContext(make_transport(), side)
                try:
                    await self.body(bench)
                    await bench.aclose()
                finally:
                    for line in bench.connections:
                        line.connection.abort()
                    await side.aclose()
            for _ in range(_ITERATIONS_TO_END):
                if not asyncio.all_tasks() - before:
                    break
                await asyncio.sleep(0)
            left = asyncio.all_tasks() - before
            expect(not left, f"tasks that are left: {left}")
            expect(not problems, f"errors that nobody handled: {problems}")
        finally:
            loop.set_exception_handler(handler)


class CheckRegistry(list[TransportCheck]):
    """The checks of one module."""

    def add(self, *needs: PeerFeature) -> Callable[[CheckFunction], CheckFunction]:
        """Take a coroutine function in, under its own name."""

        def take(body: CheckFunction) -> CheckFunction:
            name = getattr(body, "__name__", "check").replace("_", " ")
            self.append(TransportCheck(name, body, frozenset(needs)))
            return body

        return take

    def add_named(self, name: str, body: CheckFunction, *needs: PeerFeature) -> None:
        """Take one of a table in."""
        self.append(TransportCheck(name, body, frozenset(needs)))


def expect(true: object, what: str) -> None:
    """Raise `AssertionError` unless it is true; an `assert` would vanish under `python -O`."""
    if not true:
        raise AssertionError(what)


def expect_equal(is_now: object, should_be: object, what: str) -> None:
    """Raise `AssertionError` unless both are equal."""
    expect(is_now == should_be, f"{what}: {_short(is_now)}, where {_short(should_be)} was expected")


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) < 200 else text[:200] + "…"
