"""Plain functions as subscribers of shared clients, in every scope, over real sockets."""

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from onesocket import Json, State
from onesocket.client import GapReason
from onesocket.sharing._join import join
from onesocket.sharing._registry import offer_loop
from onesocket.sharing._shared_client import SharedClient
from onesocket.sharing.host import HostOptions
from onesocket.testing import FaultyServer
from tests.exceptions import CustomBaseException

MANY = 2_000


@pytest.fixture(params=["loop", "process", "host", "host, offered"])
async def options(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[dict[str, Any]]:
    scope, _, offered = str(request.param).partition(", ")
    options: dict[str, Any] = {"scope": scope}
    if scope == "host":
        options["host_options"] = HostOptions(directory=str(tmp_path / "run"))
    async with contextlib.AsyncExitStack() as stack:
        if offered:
            await stack.enter_async_context(offer_loop())
        yield options


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

    async with join(server.url, on_error=told.append, **options) as client:
        client.on(raises)
        client.on(lambda message: takes(0, message))
        client.on(lambda message: takes(1, message), limit=10, overflow="wait")
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

    async with join(server.url, **options) as client:

        def takes(message: str) -> None:
            got.append(message)
            client.off(takes)

        client.on(takes)
        client.on(lambda message: done.set() if message == "99" else None)
        for number in range(100):
            server.connections[0].send_nowait(f"{number}")
        async with asyncio.timeout(20):
            await done.wait()
    assert got == ["0"]


async def test_one_may_have_its_client_closed_and_is_waited_for(server: FaultyServer, options: dict[str, Any]) -> None:
    closed = asyncio.Event()
    client = await join(server.url, **options)

    async def close() -> None:
        await client.aclose()
        closed.set()

    client.on(lambda _message: close())
    await client.send("x")
    async with asyncio.timeout(20):
        await closed.wait()
    assert client.state is State.CLOSED


async def test_one_that_raises_no_exception_but_something_else_leaves_the_others_theirs(
    server: FaultyServer, options: dict[str, Any]
) -> None:
    got: asyncio.Queue[Any] = asyncio.Queue()
    told: list[BaseException] = []

    def raises(_message: str) -> None:
        raise CustomBaseException

    async with join(server.url, on_error=told.append, **options) as client, join(server.url, **options) as other:
        client.on(raises)
        other.on(got.put_nowait)
        async with asyncio.timeout(20):
            for message in ("0", "1", "2"):
                await server.broadcast(message)
                assert await got.get() == message
    assert [type(error) for error in told] == [CustomBaseException], "it is called no more"
    assert server.counts.upgraded == 1


async def test_a_task_that_one_returns_may_close_the_client_and_finishes(
    server: FaultyServer, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "onesocket.sharing._shared_client._CLOSE_GRACE", 30.0
    )  # whoever waits for itself waits too long here
    closed = asyncio.Event()
    client = await join(server.url, **options)

    async def close() -> None:
        await client.aclose()
        closed.set()

    client.on(lambda _message: asyncio.create_task(close()))
    await server.broadcast("x")
    async with asyncio.timeout(20):
        await closed.wait()
    assert client.state is State.CLOSED


async def test_gap_markers_are_for_those_who_want_them(server: FaultyServer, options: dict[str, Any]) -> None:
    plain: list[Any] = []
    told: list[Any] = []
    both = asyncio.Event()

    def takes(message: Any) -> None:
        plain.append(message)
        if len(told) == 2:
            both.set()

    async with join(server.url, **options) as client:

        @client.on(gaps=True)
        def takes_gaps(message: Any) -> None:
            told.append(message)

        assert client.on(takes) is takes
        changes = client.changes()
        server.kill_connections()
        async for change in changes:
            if change.new is State.CONNECTED:
                break
        await client.send("after")
        async with asyncio.timeout(10):
            await both.wait()
    assert plain == ["after"]
    assert [told[0].reason, told[1]] == [GapReason.RECONNECTED, "after"]
    assert callable(takes_gaps)


async def test_where_filters_its_messages(server: FaultyServer, options: dict[str, Any]) -> None:
    async with await join(server.url, **options) as client:
        got: asyncio.Queue[Any] = asyncio.Queue()
        client.on(got.put_nowait, where=lambda message: message != "b")
        for text in ("a", "b", "c"):
            await server.broadcast(text)
        async with asyncio.timeout(20):
            assert [await got.get(), await got.get()] == ["a", "c"]


async def test_a_message_that_can_not_be_decoded_is_counted_by_each_client(
    server: FaultyServer, options: dict[str, Any]
) -> None:
    async with join(server.url, protocol=Json(), **options) as one, join(server.url, protocol=Json(), **options) as two:
        streams = one.subscribe(), two.subscribe()
        await server.broadcast("{broken")
        async with asyncio.timeout(20):
            gaps = [await anext(stream) for stream in streams]
        assert [gap.reason for gap in gaps] == [GapReason.UNDECODABLE] * 2
        assert (one.stats.undecodable, two.stats.undecodable) == (1, 1)


@pytest.mark.parametrize("scope", ["loop", "process"])
def test_ctrl_c_in_one_leaves_the_others_theirs_in_a_loop_that_goes_on(scope: Any) -> None:
    got: asyncio.Queue[Any] = asyncio.Queue()
    loop = asyncio.new_event_loop()

    def interrupted(_message: object) -> None:
        raise KeyboardInterrupt

    async def begin() -> tuple[FaultyServer, SharedClient, SharedClient]:
        server = FaultyServer()
        await server.start()
        clients = await join(server.url, scope=scope), await join(server.url, scope=scope)
        clients[0].on(interrupted)
        clients[1].on(got.put_nowait)
        return server, *clients

    async def go_on(server: FaultyServer, sending: asyncio.Task[int], *clients: SharedClient) -> None:
        async with asyncio.timeout(20):
            await sending
            assert await got.get() == "0"
            await server.broadcast("1")
            assert await got.get() == "1"
            for client in clients:
                await client.aclose()
            await server.aclose()

    server, *clients = loop.run_until_complete(begin())
    sending = loop.create_task(server.broadcast("0"))
    with pytest.raises(KeyboardInterrupt):
        loop.run_until_complete(loop.create_future())
    loop.run_until_complete(go_on(server, sending, *clients))
    loop.close()
