"""Order of messages on a new connection, as a server sees it: login, subscriptions, first messages, waiting ones."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

import onesocket
from onesocket import Client, Gap, Json, Login, Pace, Raw, ReconnectPolicy, State
from onesocket.client import Change, OutboxLimits
from onesocket.errors import InvalidOption, ServerBusy, UsageError
from onesocket.sharing._options import Scope
from onesocket.sharing.host import HostOptions
from onesocket.testing import FaultyServer, MessageLimit
from onesocket.testing._faulty_connection import FaultyConnection

DEADLINE = 20
KEPT_TASKS: set[asyncio.Task[None]] = set()
SCOPES: tuple[Scope, ...] = ("loop", "process", "host")
FAST = ReconnectPolicy(initial=0.01, cap=0.05, busy_delay=0.05)


class BatchedTopics(Json):
    """One frame for all keys."""

    def subscribe_frames(self, keys: Iterable[str]) -> list[str]:
        return [json.dumps({"op": "subscribe", "args": sorted(keys)})]

    def unsubscribe_frames(self, keys: Iterable[str]) -> list[str]:
        return [json.dumps({"op": "unsubscribe", "args": sorted(keys)})]

    def key_of(self, message: Any) -> str | None:
        key = message.get("key")
        return key if isinstance(key, str) else None


class OneFramePerTopic(BatchedTopics):
    """A frame for each key."""

    def subscribe_frames(self, keys: Iterable[str]) -> list[str]:
        return [frame for key in sorted(keys) for frame in super(OneFramePerTopic, self).subscribe_frames([key])]


@pytest.fixture
async def server() -> AsyncIterator[FaultyServer]:
    async with FaultyServer(echo=False) as running:
        yield running


async def seen(server: FaultyServer, condition: Callable[[], bool]) -> None:
    """Wait until the server has seen that."""
    await server.wait_until(lambda _: condition(), DEADLINE)


def got(server: FaultyServer, number: int) -> list[Any]:
    """Messages that the server got on that connection, in order."""
    return [str(message) for message in server.history[number].received] if len(server.history) > number else []


def join(scope: Scope, server: FaultyServer, directory: Path, protocol: Json, **more: Any) -> onesocket.SharedClient:
    if scope == "host":
        more |= {"host_options": HostOptions(directory=str(directory)), "key": "us"}
    more.setdefault("reconnect", FAST)
    return onesocket.join(server.url, scope=scope, protocol=protocol, **more).client()


async def lose(server: FaultyServer, client: Any) -> None:
    """End the connection, and come back when the client knows."""
    changes = client.changes()
    server.kill_connections()
    async with asyncio.timeout(DEADLINE):
        async for change in changes:
            if change.old is State.CONNECTED:
                break
    changes.close()


# --- the order ------------------------------------------------------------------------------------------------------


async def by_on_change(client: Client) -> None:
    def changed(change: Change) -> None:
        if change.new is State.CONNECTED:
            client.send_nowait("login")
            client.send_nowait("subscribe")

    client.on_change(changed)


async def by_changes(client: Client) -> None:
    changes = client.changes()

    async def watch() -> None:
        async for change in changes:
            if change.new is State.CONNECTED:
                client.send_nowait("login")
                client.send_nowait("subscribe")

    task = asyncio.create_task(watch())
    KEPT_TASKS.add(task)
    task.add_done_callback(KEPT_TASKS.discard)


async def by_gap(client: Client) -> None:
    def called(message: Any) -> None:
        if isinstance(message, Gap):
            client.send_nowait("login")
            client.send_nowait("subscribe")

    client.on(called, gaps=True)


@pytest.mark.parametrize("register", [by_on_change, by_changes, by_gap])
async def test_what_is_sent_on_hearing_of_the_new_connection_goes_before_what_waited(
    server: FaultyServer, register: Any
) -> None:
    client = Client(server.url, reconnect=FAST)
    await register(client)
    await client.connect()
    await lose(server, client)
    for number in range(3):
        client.send_nowait(f"waited {number}")
    await client.connect()
    await client.send("after connect()")
    await seen(server, lambda: len(got(server, 1)) == 6)
    assert got(server, 1) == ["login", "subscribe", "waited 0", "waited 1", "waited 2", "after connect()"]
    await client.aclose()


async def test_nobody_else_overtakes_what_was_accepted(server: FaultyServer) -> None:
    client = Client(server.url, reconnect=FAST)
    client.on_change(lambda change: client.send_nowait("hook") if change.new is State.CONNECTED else None)
    await client.connect()
    await lose(server, client)
    stop = asyncio.Event()
    sent: list[str] = []

    async def chatter() -> None:
        while not stop.is_set() and len(sent) < 1_000:
            sent.append(str(len(sent)))
            client.send_nowait(sent[-1])
            await asyncio.sleep(0.001)  # so that some are sent before, and some after

    async def on_connected() -> None:
        await client.wait_for(State.CONNECTED)
        client.send_nowait("waited for it")

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(on_connected())
        talking = tasks.create_task(chatter())
        await seen(server, lambda: len(got(server, 1)) > 20)
        stop.set()
        await talking
    await seen(server, lambda: len(got(server, 1)) == len(sent) + 2)
    assert got(server, 1)[0] == "hook"
    assert [text for text in got(server, 1) if text.isdecimal()] == sent
    await client.aclose()


@pytest.mark.parametrize("scope", SCOPES)
async def test_login_then_subscriptions_then_on_ready_then_the_outbox(
    server: FaultyServer, tmp_path: Path, scope: Scope
) -> None:
    server.on_message = lambda _, message: '{"ok":1}' if "login" in str(message) else None
    protocol = BatchedTopics(
        login=Login(request=lambda _: {"login": 1}, ready=lambda message: "ok" in message),
        on_ready=lambda: [{"hook": 1}, {"hook": 2}],
    )
    client = join(scope, server, tmp_path, protocol)
    await client.connect()
    stream = client.subscribe(keys=["a", "b"])
    await seen(server, lambda: server.history[0].subscriptions.keys == {"a", "b"})
    await lose(server, client)
    for number in range(3):
        client.send_nowait({"order": number})
    await seen(server, lambda: len(got(server, 1)) == 7)
    assert got(server, 0)[:3] == ['{"login":1}', '{"hook":1}', '{"hook":2}']
    assert got(server, 1) == [
        '{"login":1}',
        '{"op": "subscribe", "args": ["a", "b"]}',
        '{"hook":1}',
        '{"hook":2}',
        *(f'{{"order":{number}}}' for number in range(3)),
    ]
    stream.close()
    await client.aclose()


async def test_without_an_outbox_nothing_is_held(server: FaultyServer) -> None:
    client = Client(server.url, outbox=None)
    client.on_change(lambda _: None)
    await client.connect()
    await client.send("at once")
    await seen(server, lambda: got(server, 0) == ["at once"])
    await client.aclose()


async def test_an_on_ready_that_fails_fails_the_attempt_and_says_so(server: FaultyServer) -> None:
    def broken() -> list[str]:
        raise KeyError("secret")

    client = Client(server.url, protocol=Raw(on_ready=broken))
    with pytest.raises(UsageError, match="on_ready= raised KeyError") as caught:
        await client.connect()
    assert "secret" not in str(caught.value)
    with pytest.raises(onesocket.errors.EncodeError):
        await Client(server.url, protocol=Raw(on_ready=lambda: [1])).connect()
    await client.aclose()


@pytest.mark.parametrize("message", ["subscribe", b"subscribe", {"op": "subscribe"}])
async def test_one_message_of_on_ready_is_not_taken_apart(message: Any, server: FaultyServer) -> None:
    client = Client(server.url, protocol=Json(on_ready=lambda: message))
    with pytest.raises(UsageError, match=r"on_ready= must return a list of messages, not one (str|bytes|dict)"):
        await client.connect()
    await client.aclose()


@pytest.mark.parametrize("options", [{"pace": 5}, {"pace": (5, 1)}, {"on_ready": "x"}, {"on_ready": by_gap}])
def test_options_of_the_wrong_kind_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(InvalidOption, match=next(iter(options))):
        Json(**options)


# --- subscriptions belong to their connection -----------------------------------------------------------------------


async def congest(connection: FaultyConnection, send: Callable[[], object]) -> None:
    """Let the socket take no more."""
    connection.stop_reading()
    for _ in range(80):
        send()
    await asyncio.sleep(0)


@pytest.mark.parametrize("scope", SCOPES)
async def test_subscriptions_that_waited_on_the_old_connection_never_reach_the_new_one(
    server: FaultyServer, tmp_path: Path, scope: Scope
) -> None:
    client = join(scope, server, tmp_path, BatchedTopics(), outbox=OutboxLimits(messages=200))
    client.on(lambda _: None)
    await client.connect()
    streams = {key: client.subscribe(keys=[key]) for key in ("kept", "gone")}
    await seen(server, lambda: server.history[0].subscriptions.keys == {"kept", "gone"})
    await congest(server.connections[0], lambda: client.send_nowait({"x": "y" * 100_000}))
    streams["stale"] = client.subscribe(keys=["stale"])
    streams["new"] = client.subscribe(keys=["new"])
    streams.pop("gone").close()
    await server.stop_listening()
    await lose(server, client)
    streams.pop("stale").close()
    await server.start()
    await seen(server, lambda: len(got(server, 1)) > 0)
    await client.send({"last": 1})
    await seen(server, lambda: '{"last":1}' in got(server, 1))
    assert server.history[1].subscriptions.keys == {"kept", "new"}
    assert server.history[1].subscriptions.odd == {}
    await client.aclose()


async def test_a_subscription_takes_its_place_behind_what_was_accepted_before_it(server: FaultyServer) -> None:
    client = join("loop", server, Path(), BatchedTopics())
    await client.connect()
    await congest(server.connections[0], lambda: client.send_nowait({"before": "y" * 200_000}))
    stream = client.subscribe(keys=["a"])
    client.send_nowait({"after": 1})
    await asyncio.sleep(0)
    server.connections[0].resume()
    await seen(server, lambda: len(got(server, 0)) == 82)
    assert got(server, 0)[80:] == ['{"op": "subscribe", "args": ["a"]}', '{"after":1}']
    stream.close()
    await client.aclose()


async def test_a_subscription_does_not_grow_too_old(server: FaultyServer) -> None:
    """As a message in the outbox would: what waits for the connection is what is wanted, not a frame."""
    client = join("loop", server, Path(), BatchedTopics(), outbox=OutboxLimits(age=0.05))
    await client.connect()
    deliveries: list[Any] = []
    await congest(server.connections[0], lambda: deliveries.append(client.send_nowait({"x": "y" * 200_000})))
    stream = client.subscribe(keys=["a"])
    fates = await asyncio.wait_for(asyncio.gather(*deliveries[-10:], return_exceptions=True), DEADLINE)
    assert {type(fate) for fate in fates} == {onesocket.errors.MessageExpired}, (
        "all that is older than the subscription"
    )
    server.connections[0].resume()
    await seen(server, lambda: server.history[0].subscriptions.keys == {"a"})
    stream.close()
    await client.aclose()


# --- pace -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scope", SCOPES)
async def test_restored_subscriptions_keep_the_pace_and_the_outbox_waits_behind_them(
    server: FaultyServer, tmp_path: Path, scope: Scope
) -> None:
    server.message_limit = MessageLimit(messages=5, per=0.7)
    client = join(scope, server, tmp_path, OneFramePerTopic(pace=Pace(5, per=1.0)))
    keys = [f"k{number}" for number in range(8)]
    await client.connect()
    streams = [client.subscribe(keys=[key]) for key in keys]
    await seen(server, lambda: server.history[0].subscriptions.keys == set(keys))
    await lose(server, client)
    client.send_nowait({"waited": 1})
    await seen(server, lambda: '{"waited":1}' in got(server, 1))
    assert got(server, 1)[-1] == '{"waited":1}'
    assert server.history[1].subscriptions.keys == set(keys)
    assert server.history[1].subscriptions.odd == {}
    assert len(server.history) == 2, "nothing was closed for being too fast"
    assert client.state is State.CONNECTED
    del streams
    await client.aclose()


async def test_the_login_counts_and_pings_go_on_meanwhile(server: FaultyServer) -> None:
    server.message_limit = MessageLimit(messages=2, per=0.7)
    login = Login(request=lambda _: "login")
    protocol = Raw(login=login, on_ready=lambda: ["first", "second"], pace=Pace(2, per=1.0))
    client = Client(server.url, protocol=protocol, ping_interval=0.05)
    await client.connect()
    client.send_nowait("third")
    await seen(server, lambda: len(got(server, 0)) == 2)
    pings = server.counts.pings
    await seen(server, lambda: len(got(server, 0)) == 4)
    assert got(server, 0) == ["login", "first", "second", "third"]
    assert server.counts.pings > pings
    await client.aclose()


# --- 1008 -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("reason", ["Too many requests", ""])
@pytest.mark.parametrize("scope", SCOPES)
async def test_1008_on_a_resumed_connection_is_retried_slowly(
    server: FaultyServer, tmp_path: Path, scope: Scope, reason: str
) -> None:
    client = join(scope, server, tmp_path, OneFramePerTopic())
    await client.connect()
    streams = [client.subscribe(keys=[f"k{number}"]) for number in range(12)]
    await seen(server, lambda: len(server.history[0].subscriptions.keys) == 12)
    server.message_limit = MessageLimit(messages=5, reason=reason)
    changes = client.changes()
    server.kill_connections()
    async with asyncio.timeout(DEADLINE):
        async for change in changes:
            assert change.new is not State.FAILED
            if isinstance(change.error, ServerBusy):
                assert "1008" in str(change.error)
                break
    server.message_limit = None
    await seen(server, lambda: any(len(each.subscriptions.keys) == 12 for each in server.history[2:]))
    await client.wait_for(State.CONNECTED, timeout=DEADLINE)
    del streams
    await client.aclose()
