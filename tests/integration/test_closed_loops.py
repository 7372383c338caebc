"""An event loop that is closed without a word: whoever read there holds nobody back."""

import asyncio
import gc
from typing import Any

import pytest

from onesocket.client import Overflow
from onesocket.client._queue import Queue
from onesocket.sharing import _shared_connection as shared
from onesocket.sharing._join import join
from onesocket.sharing._member import RemoteReader
from onesocket.sharing._registry import current_registry
from onesocket.testing import FaultyServer, MemoryServer

MANY = 10_000
LIMIT = 5


async def ignore_message(_message: object) -> None:
    pass


@pytest.fixture(params=["plain", "coroutine", "stream"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def abandon_loop(url: str, kind: str, kept: list[Any]) -> None:
    """In a thread: join, read with `wait`, and end the loop with all of it open, and still referred to."""

    async def main() -> None:
        client = await join(url)
        kept.append(client)
        if kind == "stream":
            kept.append(client.subscribe(limit=LIMIT, overflow="wait"))
        else:
            callback = ignore_message if kind == "coroutine" else lambda _message: None
            kept.append(client.on(callback, limit=LIMIT, overflow="wait"))
        await asyncio.sleep(0)  # it begins

    asyncio.run(main())


async def test_the_others_get_everything(server: FaultyServer, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared, "_LIVENESS_INTERVAL", 0.01)
    kept: list[Any] = []
    got: list[str] = []
    done = asyncio.Event()

    def takes(message: Any) -> None:
        got.append(message)
        if len(got) == MANY:
            done.set()

    async with join(server.url) as client:
        client.on(takes, limit=2 * MANY)
        await asyncio.to_thread(abandon_loop, server.url, kind, kept)
        for number in range(MANY):
            server.connections[0].send_nowait(f"{number}")
        async with asyncio.timeout(20):
            await done.wait()
    assert got == [f"{number}" for number in range(MANY)]


async def test_with_the_next_join_nothing_is_left_of_it(
    server: FaultyServer, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared, "_LIVENESS_INTERVAL", 3600.0)
    kept: list[Any] = []
    async with join(server.url) as client:
        stream = client.subscribe()
        await asyncio.to_thread(abandon_loop, server.url, kind, kept)
        async with join(server.url):
            for number in range(MANY):
                server.connections[0].send_nowait(f"{number}")
            async with asyncio.timeout(20):
                assert [await anext(stream) for _ in range(MANY)] == [f"{number}" for number in range(MANY)]


async def test_a_reader_whose_client_has_left_meanwhile_is_not_added(server: FaultyServer) -> None:
    async with await join(server.url) as client, await join(server.url) as other:
        one = client.shared
        reader = RemoteReader(other.loop_inbox, Queue(1, Overflow.FAIL))
        await other.aclose()

        async def in_host_loop() -> bool:
            one.open(other.member)
            one.hold(other.member, "readers")
            one.add_keys(other.member, object(), ("a",), reader)
            return other.member.is_open or bool(other.member.readers) or bool(one._holders)

        assert not await client._run(in_host_loop)
        await asyncio.sleep(0)
        assert other.fan_out.ended


def test_a_forgotten_client_goes_with_its_loop(kind: str) -> None:
    async def forgets() -> None:
        client = await join("ws://memory.test/", scope="loop", transport=MemoryServer().transport())
        if kind == "stream":
            client.subscribe()
        else:
            client.on(ignore_message if kind == "coroutine" else lambda _message: None)

    def connections() -> int:
        gc.collect()
        return sum(isinstance(item, shared.SharedConnection) for item in gc.get_objects())

    before = connections()
    for _ in range(10):
        asyncio.run(forgets())
    current_registry().remove_dead()
    assert connections() == before
