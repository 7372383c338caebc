"""The options of `on()`, and callbacks that return awaitables, on virtual time and the in-memory transport."""

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import pytest

from onesocket import Client, Gap
from onesocket.client._fan_out import FanOut
from onesocket.errors import SlowConsumer
from onesocket.testing import MemoryServer

from ...virtual_time import greets, make_client, on_virtual_time, settle


def plain(client: Client, got: list[Any], **options: Any) -> None:
    client.on(lambda item: got.append(item), **options)  # noqa: PLW0108 - a function of its own for each


def coroutine(client: Client, got: list[Any], **options: Any) -> None:
    async def callback(item: Any) -> None:
        await asyncio.sleep(0)
        got.append(item)

    client.on(callback, **options)


def returns_awaitable(client: Client, got: list[Any], **options: Any) -> None:
    async def append(item: Any) -> None:
        await asyncio.sleep(0)
        got.append(item)

    client.on(lambda item: append(item), **options)  # noqa: PLW0108 - it is no coroutine function itself


def make_fan_out(errors: list[BaseException] | None = None) -> FanOut:
    return FanOut(
        event_of=lambda _: None,
        hold=lambda: None,
        release=lambda: None,
        report=lambda error, _source: pytest.fail(repr(error)) if errors is None else errors.append(error),
        on_loop=lambda call, *args: call(*args),
    )


KINDS = [plain, coroutine, returns_awaitable]


@pytest.mark.parametrize("add", KINDS)
def test_where_filters_messages_before_and_after_the_call_and_no_gap_markers(add: Callable[..., None]) -> None:
    @on_virtual_time
    async def test() -> None:
        server = greets("a1", "b1")
        asked: list[Any] = []

        def is_a(message: str) -> bool:
            asked.append(message)
            return message.startswith("a")

        client = make_client(server)
        await client.connect()
        await settle()
        got: list[Any] = []
        add(client, got, where=is_a, gaps=True)
        server.peers[0].send("a2")
        server.peers[0].send("b2")
        await asyncio.sleep(1)
        server.peers[0].drop()
        await asyncio.sleep(10)
        server.peers[1].send("a3")
        await asyncio.sleep(1)
        assert [item if isinstance(item, str) else type(item) for item in got] == ["a1", "a2", Gap, "a1", "a3"]
        assert asked == ["a1", "b1", "a2", "b2", "a1", "b1", "a3"], "each message once, and no gap marker"
        await client.aclose()

    test()


@pytest.mark.parametrize("add", KINDS)
def test_a_where_that_raises_is_reported_by_its_name(
    add: Callable[..., None], caplog: pytest.LogCaptureFixture
) -> None:
    @on_virtual_time
    async def test() -> None:
        server = MemoryServer()

        def is_odd(message: str) -> bool:
            return bool(int(message) % 2)

        async with make_client(server) as client:
            got: list[Any] = []
            add(client, got, where=is_odd)
            for text in ("1", "x", "2", "3"):
                server.peers[0].send(text)
            await asyncio.sleep(1)
            assert got == ["1", "3"]

    with caplog.at_level(logging.ERROR, "onesocket"):
        test()
    (record,) = caplog.records
    assert "is_odd failed: ValueError" in record.getMessage()


@on_virtual_time
async def test_an_awaitable_that_is_returned_for_a_gap_marker_is_awaited_before_the_next_message() -> None:
    server = MemoryServer()
    client = make_client(server)
    got: list[Any] = []

    async def handle(item: Any) -> None:
        await asyncio.sleep(5)
        got.append(type(item))

    client.on(lambda item: handle(item) if isinstance(item, Gap) else got.append(item), gaps=True)
    await client.connect()
    server.peers[0].drop()
    await asyncio.sleep(1)
    server.peers[1].send("x")
    await asyncio.sleep(10)
    assert got == [Gap, "x"]
    await client.aclose()


@on_virtual_time
async def test_a_callback_that_removes_itself_while_it_catches_up_finishes_its_message() -> None:
    client = make_client(greets("a", "b"))
    await client.connect()
    await settle()
    got: list[str] = []

    async def handle(message: str) -> None:
        await asyncio.sleep(1)
        got.append(message)

    def once(message: str) -> Any:
        client.off(once)
        return handle(message)

    client.on(once)
    await asyncio.sleep(10)
    assert got == ["a"]
    await client.aclose()


async def test_a_plain_callback_that_catches_up_with_a_flood_gets_everything_and_is_direct_again() -> None:
    fan_out = make_fan_out()
    fan_out.early.keep()
    fan_out.publish_many(list(range(1000)))
    got: list[int] = []
    fan_out.on(None, got.append, limit=1)
    sent = 1000
    for _ in range(20):
        fan_out.publish_many(list(range(sent, sent + 20_000)))
        sent += 20_000
        await asyncio.sleep(0)
    assert got == list(range(sent))
    fan_out.publish(sent)
    assert got[-1] == sent, "in the turn that delivers it"


async def test_a_function_that_returns_an_awaitable_while_it_catches_up_is_bound_by_its_limit() -> None:
    errors: list[BaseException] = []
    fan_out = make_fan_out(errors)
    fan_out.early.keep()
    fan_out.publish_many(["a", "b"])
    got: list[str] = []
    go_on = asyncio.Event()

    async def handle(message: str) -> None:
        got.append(message)
        await go_on.wait()

    fan_out.on(None, lambda message: handle(message), limit=2)  # noqa: PLW0108 - no coroutine function
    while not got:  # noqa: ASYNC110 - a few turns of the loop
        await asyncio.sleep(0)
    for message in ("c", "d", "e"):
        fan_out.publish(message)
    go_on.set()
    await fan_out.settle(1)
    assert got == ["a", "b", "c", "d"]
    assert [type(error) for error in errors] == [SlowConsumer]
