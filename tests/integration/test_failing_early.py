"""Mistakes that would let a program wait without end are told at once, or a moment later, in every scope."""

from __future__ import annotations

import asyncio
import gc
import logging
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

import onesocket
from onesocket import Client, Json, Raw
from onesocket.client import _connect_reminder
from onesocket.errors import ClientClosed, InvalidOption, ManuallyDisconnected, UsageError
from onesocket.protocols import Deliver, Protocol
from onesocket.sharing.host import HostOptions
from onesocket.testing import FaultyServer
from tests.integration.test_client_parity import KINDS, open_handle
from tests.support.waiting import until

LOOP_KINDS = [kind for kind in KINDS if kind != "blocking"]
each_kind = pytest.mark.parametrize("kind", KINDS)
each_loop_kind = pytest.mark.parametrize("kind", LOOP_KINDS)


@pytest.fixture
async def server() -> AsyncIterator[FaultyServer]:
    async with FaultyServer() as server:
        yield server
        await server.wait_until(lambda counts: counts.sockets_now == 0)


def unconnected(kind: str, url: str, directory: Path, **options: Any) -> Any:
    """A client of this kind that nothing has connected yet."""
    if kind == "client":
        return Client(url, **options)
    if kind == "host":
        options["host_options"] = HostOptions(directory=str(directory / "run"))
    return onesocket.join(url, scope=kind, **options).client()  # type: ignore[call-overload]


# --- event names ------------------------------------------------------------------------------------------------------


class NamedByTopic(Json):
    """Messages with names that the class itself knows."""

    def event_of(self, message: Any) -> str | None:
        topic: str = message["topic"]
        return topic


class Upper(Protocol[str]):
    """A protocol without event names that is no codec."""

    name = "upper"

    def received(self, data: Any, now: float) -> tuple[Deliver]:
        return (Deliver(data),)

    def decoder(self) -> Callable[[Any], str]:
        return str

    def encode(self, message: Any) -> str:
        return str(message).upper()


@each_kind
@pytest.mark.parametrize("protocol", [None, Raw(), Json(), Upper()], ids=["default", "raw", "json", "own"])
async def test_an_event_is_refused_where_the_protocol_names_none(
    server: FaultyServer, tmp_path: Path, kind: str, protocol: Any
) -> None:
    async with open_handle(kind, server.url, tmp_path, protocol=protocol) as handle:
        for call in (
            lambda client: client.subscribe("trade"),
            lambda client: client.on("trade", print),
            lambda client: client.on("trade")(print),
        ):
            with pytest.raises(InvalidOption, match=r"event name 'trade'.*Json\(event=\"type\"\).*where="):
                await handle.call(call)


@each_kind
@pytest.mark.parametrize(
    "protocol",
    [Json(event="topic"), Json(event=lambda message: str(message["topic"])), NamedByTopic()],
    ids=["key", "function", "own"],
)
async def test_an_event_is_fine_where_the_protocol_names_some(
    server: FaultyServer, tmp_path: Path, kind: str, protocol: Any
) -> None:
    key = {} if kind == "client" else {"key": "us"}  # processes can't compare functions
    async with open_handle(kind, server.url, tmp_path, protocol=protocol, **key) as handle:
        stream = await handle.call(lambda client: client.subscribe("trade"))
        await server.broadcast('{"topic": "other"}')
        await server.broadcast('{"topic": "trade"}')
        assert await handle.receive(stream) == {"topic": "trade"}


# --- a client that nothing connects -----------------------------------------------------------------------------------


@pytest.fixture
def short_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    """The warning comes after 10 ms."""
    monkeypatch.setattr(_connect_reminder, "_GRACE", 0.01)


@each_loop_kind
@pytest.mark.parametrize("first", ["send", "send_nowait", "subscribe"])
@pytest.mark.usefixtures("short_moment")
async def test_waiting_on_a_client_that_was_never_connected_warns_once(
    server: FaultyServer, tmp_path: Path, kind: str, first: str, caplog: pytest.LogCaptureFixture
) -> None:
    client = unconnected(kind, server.url, tmp_path)
    stream = client.subscribe()
    ways: dict[str, Callable[[], Any]] = {
        "send": lambda: client.send("sent"),
        "send_nowait": lambda: _settled(client.send_nowait("sent")),
        "subscribe": lambda: anext(stream),
    }

    def warnings() -> list[str]:
        return [record.message for record in caplog.records if record.levelno >= logging.WARNING]

    waiting = [asyncio.create_task(ways.pop(first)())]
    await until(lambda: len(warnings()) > 0)
    assert "connect() was never called on this client: messages wait until connect() is called" in warnings()[0]
    waiting += [asyncio.create_task(way()) for way in ways.values()]
    assert (await asyncio.wait(waiting, timeout=0.05))[0] == set()
    await client.connect()
    async with asyncio.timeout(10):
        assert sorted(filter(None, await asyncio.gather(*waiting))) == ["sent"]
    assert len(warnings()) == 1
    await client.aclose()


async def _settled(delivery: Any) -> None:
    await delivery


@each_loop_kind
async def test_a_connection_that_comes_within_a_moment_brings_no_warning(
    server: FaultyServer, tmp_path: Path, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    client = unconnected(kind, server.url, tmp_path)
    stream = client.subscribe()
    reading = asyncio.create_task(anext(stream))
    sending = asyncio.create_task(client.send("sent"))
    await asyncio.sleep(0)
    await client.connect()
    async with asyncio.timeout(10):
        assert await reading == "sent"
        await sending
    await client.aclose()
    assert [record.message for record in caplog.records if record.levelno >= logging.WARNING] == []


@each_kind
async def test_send_raises_at_once_only_where_no_connection_can_come_any_more(
    server: FaultyServer, tmp_path: Path, kind: str
) -> None:
    async with open_handle(kind, server.url, tmp_path) as handle:
        await handle.call(lambda client: client.disconnect())
        with pytest.raises(ManuallyDisconnected):
            await handle.call(lambda client: client.send("never"))
        await handle.call(lambda client: client.reconnect())
        await handle.call(lambda client: client.send("sent"))
        await handle.call(lambda client: client.close() if kind == "blocking" else client.aclose())
        with pytest.raises(ClientClosed):
            await handle.call(lambda client: client.send("never"))
        with pytest.raises(ClientClosed):
            await handle.call(lambda client: client.send_nowait("never"))
    assert server.received == ["sent"]


# --- keys -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
async def test_keys_are_refused_where_they_can_t_work(server: FaultyServer, tmp_path: Path, kind: str) -> None:
    async with open_handle(kind, server.url, tmp_path) as handle:
        for keys, text in (
            (
                ["a"],
                r"describes its subscriptions: it has neither subscriptions=.* nor subscribe_frames\(\)",
            ),
            ("a", "needs a protocol that describes its subscriptions"),
            (b"a", "needs a protocol that describes its subscriptions"),
            (5, r"keys must be several hashable keys, such as \['a', 'b'\], not 5"),
            ([["a"]], r"keys must be several hashable keys, .*, not \[\['a'\]\]"),
        ):
            with pytest.raises(InvalidOption, match=text):
                await handle.call(lambda client, keys=keys: client.subscribe(keys=keys))  # type: ignore[misc]


# --- callbacks --------------------------------------------------------------------------------------------------------


def plain(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """A plain function that returns the coroutine of this one."""

    def call(message: Any) -> Any:
        return function(message)

    return call


@each_loop_kind
async def test_a_coroutine_that_a_plain_callback_returns_is_awaited(
    server: FaultyServer, tmp_path: Path, kind: str
) -> None:
    got: asyncio.Queue[Any] = asyncio.Queue()

    async def later(message: Any) -> None:
        await asyncio.sleep(0)
        got.put_nowait(message)

    async with open_handle(kind, server.url, tmp_path) as handle:
        handle.client.on(plain(later))
        for text in ("one", "two"):
            await handle.client.send(text)
        async with asyncio.timeout(10):
            assert [await got.get(), await got.get()] == ["one", "two"]


async def later(_: Any) -> None:
    """Nothing that anybody awaits."""


async def refused(kind: str, server: FaultyServer, directory: Path, add: Callable[[Any], Any]) -> BaseException:
    """The error told to `on_error` when this callback was called."""
    loop, errors = asyncio.get_running_loop(), asyncio.Queue[BaseException]()

    def told(error: BaseException) -> None:
        loop.call_soon_threadsafe(errors.put_nowait, error)

    async with open_handle(kind, server.url, directory, on_error=told) as handle:
        await handle.call(add)
        await handle.call(lambda client: client.send("echo"))
        await handle.call(lambda client: client.disconnect())
        async with asyncio.timeout(10):
            return await errors.get()


@each_kind
async def test_an_awaitable_of_a_watcher_is_told_as_nothing_awaits_it(
    server: FaultyServer, tmp_path: Path, kind: str
) -> None:
    error = await refused(kind, server, tmp_path, lambda client: client.on_change(plain(later)))
    assert isinstance(error, UsageError)
    assert "the function returned an awaitable, and " in str(error)
    gc.collect()  # a coroutine that was never awaited is a warning, and so an error


async def test_an_awaitable_of_a_thread_s_callback_is_told_with_the_remedy(
    server: FaultyServer, tmp_path: Path
) -> None:
    error = await refused("blocking", server, tmp_path, lambda client: client.on(plain(later)))
    assert str(error) == "the function returned an awaitable, and onesocket.blocking awaits none: use onesocket.join()"


@each_loop_kind
async def test_an_awaitable_of_an_error_handler_is_logged(
    server: FaultyServer, tmp_path: Path, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    def fails(_: Any) -> None:
        raise ValueError

    async with open_handle(kind, server.url, tmp_path, on_error=plain(later)) as handle:
        handle.client.on(fails)
        await handle.client.send("echo")
        await until(lambda: any("on_error itself failed" in record.message for record in caplog.records))


@each_kind
async def test_an_object_that_is_called_like_a_coroutine_function_is_no_watcher(
    server: FaultyServer, tmp_path: Path, kind: str
) -> None:
    class Watcher:
        async def __call__(self, _: Any) -> None:
            """Never called."""

    async with open_handle(kind, server.url, tmp_path) as handle:
        with pytest.raises(InvalidOption, match=r"needs a plain function|takes no coroutine function"):
            await handle.call(lambda client: client.on_change(Watcher()))


# --- kinds of options -------------------------------------------------------------------------------------------------


async def _coroutine_function(_: Any) -> bool:
    return True


WRONG_KINDS: list[dict[str, Any]] = [
    {"protocol": "json"},
    {"protocol": Json},
    {"open_timeout": "x"},
    {"open_timeout": None},
    {"close_timeout": "x"},
    {"ping_interval": 0},
    {"silence_timeout": True},
    {"silence_of": _coroutine_function, "silence_timeout": 1.0},
    {"max_size": "x"},
    {"pace": 5},
    {"control_pace": "x"},
    {"reconnect": 5},
    {"outbox": "outbox.db"},
    {"recorder": 5},
    {"instruments": [5]},
    {"compression": "x"},
    {"headers": {"X": 5}},
    {"local_address": 5},
]


@each_kind
async def test_an_option_of_the_wrong_kind_is_refused_by_its_name(
    server: FaultyServer, tmp_path: Path, kind: str
) -> None:
    for options in WRONG_KINDS:
        name = next(iter(options))
        with pytest.raises(InvalidOption, match="header X" if name == "headers" else name):
            async with open_handle(kind, server.url, tmp_path, **options):
                pass
    assert server.counts.tcp_accepted == 0
