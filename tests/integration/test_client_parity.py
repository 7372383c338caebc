"""`Client`, `SharedClient` in every scope and `blocking.SharedClient` are one interface: methods, defaults, checks."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from operator import methodcaller
from pathlib import Path
from typing import Any

import pytest

from onesocket import Client, Json, Outcome, ReconnectPolicy, SharedClient, State, blocking, join
from onesocket.client import MessageClient
from onesocket.errors import InvalidOption
from onesocket.sharing import HostOptions
from onesocket.testing import Fault, FaultyServer
from tests.support.waiting import until

BLOCKING_NAMES = {"aclose": "close", "__aenter__": "__enter__", "__aiter__": "__iter__"}
EXTRA_PARAMETERS: dict[tuple[type, str], set[str]] = {
    **{
        (blocking.SharedClient, name): {"timeout"}
        for name in ("connect", "reconnect", "rotate", "disconnect", "send", "aclose")
    },
}
INTERFACE = [
    name
    for name, member in vars(MessageClient).items()
    if (isinstance(member, property) or inspect.isfunction(member))
    and (not name.startswith("_") or name in BLOCKING_NAMES)
]


@pytest.mark.parametrize("kind", [Client, SharedClient, blocking.SharedClient])
@pytest.mark.parametrize("name", INTERFACE)
def test_each_method_has_the_names_kinds_and_defaults_of_the_interface(kind: type, name: str) -> None:
    own_name = BLOCKING_NAMES.get(name, name) if kind is blocking.SharedClient else name
    expected, actual = inspect.getattr_static(MessageClient, name), inspect.getattr_static(kind, own_name)
    if isinstance(expected, property):
        assert isinstance(actual, property)
        return
    parameters = [
        (parameter.name, parameter.kind, parameter.default)
        for parameter in inspect.signature(actual).parameters.values()
        if parameter.name not in EXTRA_PARAMETERS.get((kind, name), ())
    ]
    assert parameters == [
        (parameter.name, parameter.kind, parameter.default)
        for parameter in inspect.signature(expected).parameters.values()
    ]
    assert inspect.iscoroutinefunction(actual) == (
        inspect.iscoroutinefunction(expected) and kind is not blocking.SharedClient
    )


class Handle:
    """A client of one of the kinds, whose calls can be awaited."""

    def __init__(self, client: Any) -> None:
        self.client = client

    async def call(self, function: Callable[[Any], Any]) -> Any:
        """Call this with the client, where it belongs."""
        if isinstance(self.client, blocking.SharedClient):
            return await asyncio.wait_for(asyncio.to_thread(function, self.client), 10)
        result = function(self.client)
        return await asyncio.wait_for(result, 10) if inspect.isawaitable(result) else result

    async def receive(self, stream: Any) -> Any:
        """The next message of this stream."""
        if isinstance(self.client, blocking.SharedClient):
            return await asyncio.to_thread(stream.receive, 10)
        return await asyncio.wait_for(anext(stream), 10)


@asynccontextmanager
async def open_handle(kind: str, url: str, directory: Path, **options: Any) -> AsyncIterator[Handle]:
    if kind == "client":
        async with Client(url, **options) as client:
            yield Handle(client)
    elif kind == "blocking":
        thread_client = await asyncio.to_thread(lambda: blocking.join(url, **options))
        try:
            yield Handle(thread_client)
        finally:
            await asyncio.to_thread(thread_client.close)
    else:
        if kind == "host":
            options |= {"host_options": HostOptions(directory=str(directory / "run"), heartbeat=0.2)}
        async with join(url, scope=kind, **options) as shared_client:  # type: ignore[call-overload]
            yield Handle(shared_client)


KINDS = ["client", "loop", "process", "host", "blocking"]


@pytest.fixture
async def server() -> AsyncIterator[FaultyServer]:
    async with FaultyServer() as server:
        yield server
        await server.wait_until(lambda counts: counts.sockets_now == 0)


@pytest.fixture(params=KINDS)
async def handle(request: pytest.FixtureRequest, server: FaultyServer, tmp_path: Path) -> AsyncIterator[Handle]:
    async with open_handle(request.param, server.url, tmp_path, protocol=Json(event="t")) as handle:
        yield handle


def takes(_message: Any) -> None:
    pass


async def takes_later(_message: Any) -> None:
    pass


BAD_CALLS: dict[str, tuple[Callable[[Any], Any], str]] = {
    "subscribe, overflow": (
        lambda client: client.subscribe(overflow="nonsense"),
        "overflow must be one of 'fail', 'drop_oldest', 'wait', not 'nonsense'",
    ),
    "subscribe, limit": (
        lambda client: client.subscribe(limit=-3),
        "limit must be a whole number of messages, at least 1, not -3",
    ),
    "subscribe, event": (
        lambda client: client.subscribe(5),
        "an event name is a str, or None for all messages, not int",
    ),
    "subscribe, where": (lambda client: client.subscribe(where=3), "where must be a function of the message, not int"),
    "subscribe, where is async": (
        lambda client: client.subscribe(where=takes_later),
        "where must be a plain function, not a coroutine function: nothing would await it",
    ),
    "subscribe, gaps": (lambda client: client.subscribe(gaps="no"), "gaps must be True or False, not 'no'"),
    "subscribe, raise_on_failure": (
        lambda client: client.subscribe(raise_on_failure=None),
        "raise_on_failure must be True or False, not None",
    ),
    "on, gaps": (lambda client: client.on(takes, gaps=1), "gaps must be True or False, not 1"),
    "on, overflow": (
        lambda client: client.on(takes, overflow="nonsense"),
        "overflow must be one of 'fail', 'drop_oldest', 'wait', not 'nonsense'",
    ),
    "on, limit": (
        lambda client: client.on("a", takes, limit=-3),
        "limit must be a whole number of messages, at least 1, not -3",
    ),
    "on, where": (lambda client: client.on(takes, where=3), "where must be a function of the message, not int"),
    "on, where is async": (
        lambda client: client.on(takes, where=takes_later),
        "where must be a plain function, not a coroutine function: nothing would await it",
    ),
    "on, event": (lambda client: client.on(5, takes), "an event name is a str, or None for all messages, not int"),
    "on, callback": (lambda client: client.on("a", 3), "on() needs a function, not int"),
    "on, decorator": (lambda client: client.on("a")(3), "on() needs a function, not int"),
    "on, two callbacks": (
        lambda client: client.on(takes, takes),
        "on() takes an event name and one callback, not two callbacks",
    ),
    "on_change, callback": (lambda client: client.on_change(3), "on_change() needs a function, not int"),
    "wait_for, nothing": (lambda client: client.wait_for(), "wait_for() needs at least one state"),
    "wait_for, a name": (
        lambda client: client.wait_for("CONNECTED"),
        "wait_for() needs states, such as State.CONNECTED, not 'CONNECTED'",
    ),
    "wait_for, timeout": (
        lambda client: client.wait_for(State.CONNECTED, timeout="1"),
        "timeout must be a number of seconds, 0 or more, or None, not '1'",
    ),
    "wait_for, timeout is no number": (
        lambda client: client.wait_for(State.CONNECTED, timeout=float("nan")),
        "timeout must be a number of seconds, 0 or more, or None, not nan",
    ),
}


async def test_bad_input_is_refused_with_the_same_words(handle: Handle) -> None:
    for case, (call, text) in BAD_CALLS.items():
        with pytest.raises(InvalidOption) as caught:
            await handle.call(call)
        assert str(caught.value) == text, case
    with pytest.raises(InvalidOption, match=r"needs a plain function|takes no coroutine function"):
        await handle.call(lambda client: client.on_change(takes_later))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("on_error", "text"),
    [
        (3, "on_error must be a function, not int"),
        (takes_later, "on_error must be a plain function, not a coroutine function: nothing would await it"),
    ],
)
async def test_an_error_handler_has_to_be_a_plain_function(
    server: FaultyServer, tmp_path: Path, kind: str, on_error: Any, text: str
) -> None:
    with pytest.raises(InvalidOption) as caught:
        async with open_handle(kind, server.url, tmp_path, on_error=on_error):
            pass
    assert str(caught.value) == text
    assert server.counts.tcp_accepted == 0


async def test_callbacks_get_their_messages_and_no_gap_until_they_are_removed(
    server: FaultyServer, handle: Handle
) -> None:
    loop = asyncio.get_running_loop()
    came: asyncio.Queue[tuple[str, Any]] = asyncio.Queue()

    def passes_on(name: str) -> Callable[[Any], object]:
        return lambda message: loop.call_soon_threadsafe(came.put_nowait, (name, message))

    every, named, odd, gaps = (passes_on(name) for name in ("every", "named", "odd", "gaps"))
    assert await handle.call(lambda client: client.on(every)) is every
    assert await handle.call(lambda client: client.on("a", named)) is named
    assert await handle.call(lambda client: client.on(where=lambda message: bool(message["n"] % 2))(odd)) is odd
    assert await handle.call(lambda client: client.on("none", gaps, gaps=True)) is gaps
    changes = await handle.call(lambda client: client.changes())
    await server.close_connections(1012)
    while (change := await handle.receive(changes)).new is not State.CONNECTED:
        pass
    assert (change.epoch, handle.client.epoch) == (2, 2)
    async with asyncio.timeout(10):
        name, gap = await came.get()
    assert (name, gap.reason) == ("gaps", "reconnected")
    await handle.call(lambda client: client.off(gaps))
    for message in ('{"t": "a", "n": 0}', '{"t": "b", "n": 1}'):
        await server.broadcast(message)
    async with asyncio.timeout(10):
        told = [await came.get() for _ in range(4)]
    calls = sorted((name, message["n"]) for name, message in told)
    assert calls == [("every", 0), ("every", 1), ("named", 0), ("odd", 1)]
    for callback in (every, named, odd):
        await handle.call(methodcaller("off", callback))
    stream = await handle.call(lambda client: client.subscribe())
    await server.broadcast('{"t": "a", "n": 3}')
    assert await handle.receive(stream) == {"t": "a", "n": 3}
    assert came.empty()


async def test_watchers_of_the_state_are_told_until_they_are_removed(server: FaultyServer, handle: Handle) -> None:
    loop = asyncio.get_running_loop()
    came: asyncio.Queue[State] = asyncio.Queue()

    def watches(change: Any) -> None:
        loop.call_soon_threadsafe(came.put_nowait, change.new)

    assert await handle.call(lambda client: client.on_change(watches)) is watches
    await handle.call(lambda client: client.disconnect())
    async with asyncio.timeout(10):
        assert [await came.get() for _ in range(2)] == [State.CLOSING, State.STOPPED]
    await handle.call(lambda client: client.off(watches))
    assert await handle.call(lambda client: client.reconnect()) is Outcome.OPENED
    await handle.call(lambda client: client.wait_for(State.CONNECTED, timeout=10))
    assert came.empty()


async def test_the_counters_are_kept(server: FaultyServer, handle: Handle) -> None:
    loop = asyncio.get_running_loop()
    failed = asyncio.Event()

    def raises(_message: Any) -> None:
        loop.call_soon_threadsafe(failed.set)
        raise RuntimeError("a subscriber's")

    assert handle.client.epoch == 1
    assert await handle.call(lambda client: client.connect_nowait()) is Outcome.ALREADY_CONNECTED
    stream = await handle.call(lambda client: client.subscribe())
    await server.broadcast("no JSON")
    gap = await handle.receive(stream)
    assert gap.reason == "undecodable"
    await handle.call(lambda client: client.on(raises))
    await handle.call(lambda client: client.send({"t": "echo"}))
    assert await handle.receive(stream) == {"t": "echo"}
    await asyncio.wait_for(failed.wait(), 10)
    async with asyncio.timeout(10):
        while handle.client.stats.callback_errors == 0:  # noqa: ASYNC110 - counted in another thread
            await asyncio.sleep(0)
    stats = handle.client.stats
    assert (stats.attempts, stats.handshakes, stats.opened, stats.reconnects) == (1, 1, 1, 0)
    assert (stats.received, stats.sent, stats.undecodable, stats.stale_dropped) == (1, 1, 1, 0)
    assert stats.callback_errors == 1
    assert handle.client.status.epoch == 1


@pytest.mark.parametrize("kind", KINDS)
async def test_the_status_tells_what_changes_without_the_state(server: FaultyServer, tmp_path: Path, kind: str) -> None:
    policy = ReconnectPolicy(initial=0.01, cap=0.02, stable_after=0.05)
    async with open_handle(kind, server.url, tmp_path, ping_interval=0.05, reconnect=policy) as handle:
        await until(lambda: handle.client.status.rtt is not None)
        server.faults = [Fault.refuse(503)]
        await server.close_connections(1012)
        await until(lambda: handle.client.epoch == 3 and handle.client.status.attempt == 0)


async def test_the_answer_to_the_upgrade_of_the_present_connection(server: FaultyServer, tmp_path: Path) -> None:
    """Also by clients of another process: a follower gets it with the status."""
    for kind in KINDS:
        server.faults = [Fault.odd_head(headers=[("X-Shard", str(number)), ("X-Shard", "ü")]) for number in (1, 2)]
        async with open_handle(kind, server.url, tmp_path, subprotocols=["chat"]) as handle:
            await handle.call(lambda client: client.connect())
            answers = [await handle.call(lambda client: client.handshake)]
            await handle.call(lambda client: client.reconnect())
            answers.append(await handle.call(lambda client: client.handshake))
            for number, answer in enumerate(answers, 1):
                assert answer.header("x-shard") == answer.header("X-Shard") == str(number)
                assert [value for name, value in answer.headers if name == "x-shard"] == [str(number), "ü"]
                assert answer.header("X-None") is None
                assert "X-Shard" not in repr(answer)
            status = await handle.call(lambda client: client.status)
            assert status.handshake == answers[1]
            assert status.subprotocol == answers[1].subprotocol
            await handle.call(lambda client: client.disconnect())
            assert await handle.call(lambda client: client.handshake) is None
            await handle.call(lambda client: client.reconnect())
