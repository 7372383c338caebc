"""Readers that come late begin with a snapshot, in order with what follows: on a client, in each scope, in the hub."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection

from onesocket import Client, Gap, OnesocketError, Status, blocking, join
from onesocket.client import GapReason
from onesocket.client._status import Change
from onesocket.hub import JsonField, JsonMerge
from onesocket.protocols import Json, LastValues, SnapshotHook, Subscriptions
from onesocket.sharing import JoinRequest
from onesocket.sharing._client_upstream import ClientUpstream
from onesocket.sharing._connection_key import ConnectionKey
from onesocket.sharing._upstream import ConnectionSpec, Upstream
from onesocket.sharing.host import HostOptions, HostUpstream
from onesocket.testing import FaultyServer
from tests.integration.hub_clients import connected_program, next_message, running_hub
from tests.support.waiting import until


def value(key: str, number: int) -> str:
    return json.dumps({"key": key, "number": number})


def numbers(items: list[Any]) -> list[str]:
    return [f"{item['key']}{item['number']}" for item in items]


class Relay:
    """A receiver of an upstream, which is asked for snapshots."""

    def __init__(self, upstream: Upstream) -> None:
        self.upstream = upstream
        self.items: list[Any] = []
        self.came = asyncio.Event()
        upstream.attach(self)

    def messages(self, batch: list[Any]) -> None:
        self._add(batch)

    def gap(self, gap: Gap) -> None:
        self._add([gap.reason])

    def changed(self, change: Change, status: Status) -> None:
        pass

    def failed(self, error: OnesocketError) -> None:
        raise error

    def _add(self, items: list[Any]) -> None:
        self.items += items
        self.came.set()

    async def until(self, end: Callable[[list[Any]], bool]) -> None:
        async with asyncio.timeout(10):
            while not end(self.items):
                self.came.clear()
                await self.came.wait()

    def ask(self) -> None:
        self.upstream.ask_snapshot(lambda items: self._add([numbers(items)]))


def got(*items: Any) -> Callable[[list[Any]], bool]:
    return lambda present: present[-len(items) :] == list(items)


@contextlib.asynccontextmanager
async def a_server() -> AsyncIterator[FaultyServer]:
    async with FaultyServer(echo=False) as server:
        yield server


def make_upstream(scope: str, url: str, directory: Path, protocol: Json[Any] | None = None) -> Upstream:
    protocol = protocol or Json(snapshot=LastValues(key="key"))

    def make_client() -> Client[Any]:
        return Client(url, protocol=protocol)

    if scope == "process":
        return ClientUpstream(make_client())
    return HostUpstream(
        ConnectionSpec(
            key=ConnectionKey.of(url, key="feed"),  # functions can't be compared between processes
            options={},
            protocol=protocol,
            make_client=make_client,
            host_options=HostOptions(directory=str(directory), heartbeat=0.2),
        )
    )


@pytest.mark.parametrize("scope", ["process", "host"])
async def test_a_snapshot_stands_at_its_place_among_the_messages(scope: str, tmp_path: Path) -> None:
    async with a_server() as server:
        relay = Relay(make_upstream(scope, server.url, tmp_path / "run"))
        relay.ask()  # before there is any connection
        await relay.upstream.connect()
        await relay.until(got([]))
        for message in (value("a", 1), value("b", 2), value("a", 3)):
            await server.broadcast(message)
        await relay.until(lambda items: len(items) == 4)
        relay.ask()
        await server.broadcast(value("b", 4))
        await relay.until(got(["b2", "a3"], {"key": "b", "number": 4}))
        await relay.upstream.aclose()


async def test_a_snapshot_of_several_portions_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = "onesocket.sharing.host._follower_connection.split_by_size"
    monkeypatch.setattr(module, lambda frames, _: [[frame] for frame in frames])
    async with a_server() as server:
        owner, follower = (Relay(make_upstream("host", server.url, tmp_path / "run")) for _ in range(2))
        await owner.upstream.connect()
        await follower.upstream.connect()
        for key in "abc":
            await server.broadcast(value(key, 1))
        await follower.until(lambda items: len(items) == 3)
        follower.ask()
        await follower.until(got(["a1", "b1", "c1"]))
        await follower.upstream.aclose()
        await owner.upstream.aclose()


async def test_functions_of_the_owner_make_the_snapshot_of_other_processes(tmp_path: Path) -> None:
    def hook() -> Json[Any]:
        total = [0]

        def update(message: Any) -> None:
            total[0] += message["number"]

        return Json(snapshot=SnapshotHook(messages=lambda: [{"key": "total", "number": total[0]}], update=update))

    async with a_server() as server:
        owner, follower = (Relay(make_upstream("host", server.url, tmp_path / "run", hook())) for _ in range(2))
        await owner.upstream.connect()
        for number in (3, 4):
            await server.broadcast(value("a", number))
        await server.broadcast("{")  # it can't be read
        await owner.until(lambda items: len(items) == 3)
        await follower.upstream.connect()
        follower.ask()
        await follower.until(got(["total7"]))
        await follower.upstream.aclose()
        await owner.upstream.aclose()


async def test_another_process_gets_the_owners_snapshot(tmp_path: Path) -> None:
    async with a_server() as server:
        owner, follower = (Relay(make_upstream("host", server.url, tmp_path / "run")) for _ in range(2))
        await owner.upstream.connect()
        for number in range(3):
            await server.broadcast(value("a", number))
        await owner.until(lambda items: len(items) == 3)
        follower.ask()
        await follower.upstream.connect()
        await follower.until(got(["a2"]))
        assert follower.items == [["a2"]]
        await server.broadcast(value("b", 9))
        await follower.until(got({"key": "b", "number": 9}))
        # The next owner has a connection of its own, and knows what came on that.
        await owner.upstream.aclose()
        await follower.until(got(GapReason.RECONNECTED))
        follower.ask()
        await follower.until(got([]))
        await server.broadcast(value("c", 1))
        await follower.until(got({"key": "c", "number": 1}))
        follower.ask()
        await follower.until(got(["c1"]))
        await follower.upstream.aclose()


# --- shared clients -------------------------------------------------------------------------------------------------


def options_of(scope: str, directory: Path) -> Any:
    options: dict[str, Any] = {"scope": scope, "protocol": Json(snapshot=LastValues(key="key"))}
    return options | ({"host_options": HostOptions(directory=str(directory))} if scope == "host" else {})


def joined(server: FaultyServer, scope: str, directory: Path) -> JoinRequest[Any]:
    return join(server.url, **options_of(scope, directory))


async def take(stream: Any, count: int) -> list[str]:
    async with asyncio.timeout(10):
        return numbers([await anext(stream) for _ in range(count)])


@pytest.mark.parametrize("scope", ["process", "host"])
async def test_a_shared_client_that_joins_late_begins_with_the_snapshot(scope: str, tmp_path: Path) -> None:
    async with a_server() as server, joined(server, scope, tmp_path / "run") as early:
        first = early.subscribe()
        for message in (value("a", 1), value("b", 2), value("a", 3)):
            await server.broadcast(message)
        assert await take(first, 3) == ["a1", "b2", "a3"]
        async with joined(server, scope, tmp_path / "run") as late:
            await server.broadcast(value("a", 4))
            await server.broadcast(value("a", 5))
            assert await take(first, 2) == ["a4", "a5"]
            # What came since it joined waits for its first reader, behind the snapshot of that moment.
            assert await take(late.subscribe(), 4) == ["b2", "a3", "a4", "a5"]
            later = late.subscribe(where=lambda message: message["key"] == "a")
            again = early.subscribe()
            assert await take(later, 1) == ["a5"]
            assert await take(again, 2) == ["b2", "a5"]
            await server.broadcast(value("b", 6))
            await server.broadcast(value("a", 7))
            assert await take(later, 1) == ["a7"]
            assert await take(again, 2) == ["b6", "a7"]
        assert early.status.subscribers == 2


@pytest.mark.parametrize("scope", ["process", "host"])
async def test_every_reader_ends_with_the_newest_values_and_gets_each_once_in_order(scope: str, tmp_path: Path) -> None:
    """Readers join in threads and tasks while the server sends: no value goes back, none comes twice."""
    rounds, keys = 40, "abcde"

    def check(read: list[Any]) -> None:
        for key in keys:
            mine = [item["number"] for item in read if item["key"] == key]
            assert mine == list(range(mine[0], rounds)), key  # from its snapshot on, all of them

    def read_in_thread() -> list[Any]:
        with blocking.join(server.url, **options_of(scope, tmp_path / "run")) as shared:
            return until_end(shared.subscribe())

    def until_end(stream: Any) -> list[Any]:
        read: list[Any] = []
        for item in stream:
            read.append(item)
            if {each["key"] for each in read if each["number"] == rounds - 1} == set(keys):
                break
        return read

    async def read_in_task(shared: Any) -> list[Any]:
        read: list[Any] = []
        async for item in shared.subscribe():
            read.append(item)
            if {each["key"] for each in read if each["number"] == rounds - 1} == set(keys):
                break
        return read

    async with a_server() as server, joined(server, scope, tmp_path / "run") as shared:
        readers: list[asyncio.Future[list[Any]]] = [asyncio.ensure_future(read_in_task(shared))]
        for number in range(rounds):
            for key in keys:
                await server.broadcast(value(key, number))
            if number % 8 == 1:
                readers.append(asyncio.ensure_future(asyncio.to_thread(read_in_thread)))
                readers.append(asyncio.ensure_future(read_in_task(shared)))
        async with asyncio.timeout(20):
            streams = await asyncio.gather(*readers)
        for stream in streams:
            check(stream)
        assert any(min(item["number"] for item in stream) > 0 for stream in streams), "no reader came late"


@pytest.mark.parametrize("scope", ["process", "host"])
async def test_a_late_reader_of_a_lost_connection_begins_with_the_next(scope: str, tmp_path: Path) -> None:
    async with a_server() as server, joined(server, scope, tmp_path / "run") as shared:
        first = shared.subscribe()
        await server.broadcast(value("a", 1))
        assert await take(first, 1) == ["a1"]
        server.kill_connections()
        gap = await anext(first)
        assert isinstance(gap, Gap)
        late = shared.subscribe()
        await server.broadcast(value("b", 2))
        assert await take(late, 1) == ["b2"]


@pytest.mark.parametrize("scope", ["process", "host"])
async def test_a_reader_may_come_before_the_snapshot(scope: str, tmp_path: Path) -> None:
    async with a_server() as server:
        shared = joined(server, scope, tmp_path / "run").client()
        stream = shared.subscribe()
        await shared.connect()
        await server.broadcast(value("a", 1))
        assert await take(stream, 1) == ["a1"]
        await shared.aclose()


async def test_a_reader_whose_snapshot_never_comes_ends_with_the_connection(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ClientUpstream, "ask_snapshot", lambda *_: None)
    async with a_server() as server, joined(server, "loop", tmp_path) as shared:
        stream = shared.subscribe()
        shared.shared.is_closing = True
        await shared.shared.close()
        async with asyncio.timeout(10):
            assert [item async for item in stream] == []


class TopicsByMethods(Json[Any]):
    """Describes its subscriptions by methods."""

    def subscribe_frames(self, keys: frozenset[str]) -> list[str]:
        return [json.dumps({"add": sorted(keys)})]

    def unsubscribe_frames(self, keys: frozenset[str]) -> list[str]:
        return [json.dumps({"remove": sorted(keys)})]

    def key_of(self, message: Any) -> Any:
        return message["key"]


DECLARED = Subscriptions(
    subscribe=lambda keys: {"add": keys}, unsubscribe=lambda keys: {"remove": keys}, key=lambda message: message["key"]
)


@pytest.mark.parametrize(
    "protocol", [TopicsByMethods(snapshot=LastValues()), Json(snapshot=LastValues(), subscriptions=DECLARED)]
)
@pytest.mark.parametrize("scope", ["client", "process", "host"])
async def test_the_snapshot_of_a_key_ends_with_its_subscription(
    scope: str, protocol: Json[Any], tmp_path: Path
) -> None:
    async with a_server() as server:
        options = options_of(scope, tmp_path / "run") | {"protocol": protocol, "key": "feed"}
        client = Client(server.url, protocol=protocol) if scope == "client" else join(server.url, **options)

        async def asked(*words: str) -> None:
            """Wait until the server was asked for this, one after the other."""
            await server.wait_until(lambda _: [next(iter(json.loads(text))) for text in server.received] == [*words])

        async with client as one:
            everything = one.subscribe()
            stream = one.subscribe(keys=["a"])
            await asked("add")
            await server.broadcast(value("a", 1))
            assert await take(stream, 1) == ["a1"]
            again = one.subscribe(keys=["a"])
            assert await take(again, 1) == ["a1"]
            await server.broadcast(value("a", 2))
            assert await take(again, 1) == ["a2"]
            stream.close()
            again.close()
            await asked("add", "remove")
            third = one.subscribe(keys=["a"])
            await asked("add", "remove", "add")
            await server.broadcast(value("a", 3))
            assert await take(third, 1) == ["a3"]
            assert await take(everything, 3) == ["a1", "a2", "a3"]


# --- the hub --------------------------------------------------------------------------------------------------------

BY_KEY = LastValues(key=JsonField("key"))


async def read(program: ClientConnection, count: int) -> list[str]:
    return numbers([json.loads(await next_message(program)) for _ in range(count)])


@pytest.mark.usefixtures("private_runtime")
async def test_a_program_that_comes_late_to_a_hub_begins_with_the_snapshot() -> None:
    async with a_server() as server, running_hub(server, snapshot=BY_KEY) as hub, connected_program(hub) as first:
        await server.broadcast("not JSON")
        for message in (value("a", 1), value("b", 2), value("a", 3)):
            await server.broadcast(message)
        assert await next_message(first) == "not JSON"
        assert await read(first, 3) == ["a1", "b2", "a3"]
        async with connected_program(hub) as late:
            await server.broadcast(value("b", 4))
            assert await read(late, 3) == ["b2", "a3", "b4"]
        assert await read(first, 1) == ["b4"]


@pytest.mark.usefixtures("private_runtime")
async def test_the_first_program_of_a_hub_gets_all_that_waited() -> None:
    async with a_server() as server, running_hub(server, snapshot=BY_KEY) as hub:
        for message in (value("a", 1), value("a", 2)):
            await server.broadcast(message)
        await until(lambda: hub.connection_stats.received == 2)
        async with connected_program(hub) as first, connected_program(hub) as second:
            assert await read(first, 2) == ["a1", "a2"]
            assert await read(second, 1) == ["a2"]


@pytest.mark.usefixtures("private_runtime")
async def test_a_second_subscriber_of_a_key_begins_with_its_newest_message() -> None:
    merge = JsonMerge(key="key")
    async with (
        a_server() as server,
        running_hub(server, merge=merge, snapshot=BY_KEY) as hub,
        connected_program(hub) as one,
        connected_program(hub) as two,
    ):

        async def subscribe(program: ClientConnection, verb: str, *keys: str) -> None:
            await program.send(json.dumps({"op": verb, "args": keys}))

        await subscribe(one, "subscribe", "a", "b")
        await server.wait_until(lambda counts: counts.messages_received == 1)
        for message in (value("a", 1), value("b", 2), value("c", 3), value("a", 4)):
            await server.broadcast(message)
        assert await read(one, 3) == ["a1", "b2", "a4"]
        await subscribe(two, "subscribe", "a", "a")
        assert await read(two, 1) == ["a4"]
        await server.broadcast(value("a", 5))
        assert await read(two, 1) == await read(one, 1) == ["a5"]
        # The last subscriber leaves, and the key begins anew.
        await subscribe(one, "unsubscribe", "b")
        await server.wait_until(lambda counts: counts.messages_received == 2)
        await subscribe(two, "subscribe", "b")
        await server.wait_until(lambda counts: counts.messages_received == 3)
        await server.broadcast(value("b", 6))
        assert await read(two, 1) == ["b6"]


@pytest.mark.usefixtures("private_runtime")
async def test_a_program_gets_nothing_before_its_snapshot(monkeypatch: pytest.MonkeyPatch) -> None:
    async with a_server() as server, running_hub(server, snapshot=BY_KEY) as hub, connected_program(hub) as first:
        asked: list[Callable[[list[Any]], object]] = []
        monkeypatch.setattr(ClientUpstream, "ask_snapshot", lambda _, ready: asked.append(ready))
        async with connected_program(hub) as late:
            await until(lambda: len(asked) == 1)
            await server.broadcast(value("a", 1))
            assert await read(first, 1) == ["a1"]
            asked[0]([value("a", 1)])
            await server.broadcast(value("a", 2))
            assert await read(late, 2) == ["a1", "a2"]


@pytest.mark.usefixtures("private_runtime")
async def test_a_key_begins_with_its_snapshot_unless_it_was_unsubscribed(monkeypatch: pytest.MonkeyPatch) -> None:
    async with (
        a_server() as server,
        running_hub(server, merge=JsonMerge(key="key"), snapshot=BY_KEY) as hub,
        connected_program(hub) as one,
    ):
        asked: list[Callable[[list[Any]], object]] = []
        monkeypatch.setattr(ClientUpstream, "ask_snapshot", lambda _, ready: asked.append(ready))
        await one.send(json.dumps({"op": "subscribe", "args": ["a", "b"]}))
        await one.send(json.dumps({"op": "unsubscribe", "args": ["b"]}))
        await until(lambda: len(asked) == 1)
        await server.wait_until(lambda counts: counts.messages_received >= 1)
        await one.send("a word that goes upstream")
        await server.wait_until(lambda _: "a word that goes upstream" in server.received)
        await server.broadcast(value("a", 1))
        await server.broadcast(json.dumps({"no key": "so for all"}))
        assert json.loads(await next_message(one)) == {"no key": "so for all"}
        asked[0]([value("a", 1), value("b", 2)])
        await server.broadcast(value("b", 3))
        await server.broadcast(value("a", 4))
        assert await read(one, 2) == ["a1", "a4"]
