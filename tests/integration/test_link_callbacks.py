"""Plain functions as subscribers of links, in every scope, over real sockets."""

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from onesocket import State
from onesocket.sharing.host import HostOptions
from onesocket.sharing.join import join
from onesocket.sharing.registry import offer_loop
from onesocket.testing import FaultyServer

MANY = 2_000


@pytest.fixture(params=["loop", "process", "host", "host, offered"])
async def options(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[dict[str, Any]]:
    scope, _, offered = str(request.param).partition(", ")
    options: dict[str, Any] = {"scope": scope}
    if scope == "host":
        options["host"] = HostOptions(directory=str(tmp_path / "run"))
    async with contextlib.AsyncExitStack() as stack:
        if offered:
            await stack.enter_async_context(offer_loop())
        yield options


@pytest.fixture
async def server() -> AsyncIterator[FaultyServer]:
    async with FaultyServer() as server:
        yield server
        await server.wait_until(lambda counts: counts.sockets_now == 0)


async def test_each_gets_everything_in_order_on_its_loop_whatever_others_raise(
    server: FaultyServer, options: dict[str, Any]
) -> None:
    told: list[BaseException] = []
    got: list[list[str]] = [[], []]
    done = [asyncio.Event(), asyncio.Event(), asyncio.Event()]
    here = threading.current_thread()

    def raises(message: str) -> None:
        if int(message) == MANY - 1:
            done[2].set()
        if int(message) % 500 == 0:
            raise RuntimeError(message)

    def takes(reader: int, message: str) -> None:
        assert threading.current_thread() is here
        got[reader].append(message)
        if len(got[reader]) == MANY:
            done[reader].set()

    async with join(server.url, on_error=told.append, **options) as link:
        link.on(raises)
        link.on(lambda message: takes(0, message))
        link.on(lambda message: takes(1, message), limit=10, overflow="wait")
        for number in range(MANY):
            server.connections[0].send_nowait(f"{number}")
        async with asyncio.timeout(20):
            for event in done:
                await event.wait()
    assert got == [[f"{number}" for number in range(MANY)]] * 2
    assert [str(error) for error in told] == ["0", "500", "1000", "1500"]


async def test_one_that_takes_itself_off_gets_nothing_more(server: FaultyServer, options: dict[str, Any]) -> None:
    got: list[str] = []
    done = asyncio.Event()

    async with join(server.url, **options) as link:

        def takes(message: str) -> None:
            got.append(message)
            off()

        off = link.on(takes)
        link.on(lambda message: done.set() if message == "99" else None)
        for number in range(100):
            server.connections[0].send_nowait(f"{number}")
        async with asyncio.timeout(20):
            await done.wait()
    assert got == ["0"]


async def test_one_may_have_its_link_closed_and_is_waited_for(server: FaultyServer, options: dict[str, Any]) -> None:
    closed = asyncio.Event()
    link = await join(server.url, **options)

    async def close() -> None:
        await link.aclose()
        closed.set()

    link.on(lambda _message: close())
    await link.send("x")
    async with asyncio.timeout(20):
        await closed.wait()
    assert link.state is State.CLOSED
