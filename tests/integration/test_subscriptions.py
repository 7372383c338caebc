"""Subscriptions that a protocol declares: what the server has is what is wanted, and refusals reach their readers."""

from __future__ import annotations

import asyncio
import functools
import gc
import json
import random
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from onesocket import Client, Gap, Json, OnesocketError, Pace, ReconnectPolicy, State, Status, join
from onesocket.client._status import Change
from onesocket.errors import InvalidOption, SubscriptionRefused
from onesocket.protocols import SubscriptionAnswer, Subscriptions
from onesocket.sharing._connection_key import ConnectionKey
from onesocket.sharing._upstream import ConnectionSpec
from onesocket.sharing.host import HostOptions, HostUpstream
from onesocket.sharing.host._owner import Owner
from onesocket.testing import FaultyConnection, FaultyServer, run_virtual
from tests.integration.test_client_parity import KINDS, open_handle
from tests.support.ledger_venue import UNKNOWN, LedgerVenue, key_of, read_answer, subscribe, unsubscribe
from tests.support.waiting import until

URL = "ws://venue.test/"
FAST = ReconnectPolicy(initial=0.05, cap=0.1)
KEYS = "abcdefghxyz"


def protocol(**options: Any) -> Json:
    return Json(subscriptions=Subscriptions(subscribe=subscribe, unsubscribe=unsubscribe, key=key_of, **options))


def answer(connection: FaultyConnection, message: str | bytes) -> str | None:
    """Refuse x, accept all others, and send a message of each."""
    del connection
    asked = json.loads(message)
    if asked["op"] != "subscribe":
        return None
    refused = [key for key in asked["args"] if key == "x"]
    return json.dumps({"answer": "no" if refused else "ok", "keys": refused or asked["args"]})


@pytest.fixture
async def server() -> AsyncIterator[FaultyServer]:
    async with FaultyServer(on_message=answer) as server:
        yield server
        await server.wait_until(lambda counts: counts.sockets_now == 0)


@pytest.mark.parametrize("kind", KINDS)
async def test_a_refusal_is_raised_once_in_the_reader_and_its_other_keys_go_on(
    server: FaultyServer, tmp_path: Path, kind: str
) -> None:
    options = {"protocol": protocol(ack=read_answer, batch=1), "key": "k"}
    if kind == "client":
        del options["key"]
    async with open_handle(kind, server.url, tmp_path, **options) as handle:
        stream = await handle.call(lambda client: client.subscribe(keys=["x", "a"], gaps=False))
        with pytest.raises(SubscriptionRefused, match=r"the key 'x' was refused \(unknown or too many\)") as caught:
            await handle.receive(stream)
        assert caught.value.keys == ("x",)
        assert caught.value.reason == "unknown or too many"
        await server.wait_until(lambda _: server.connections[0].subscriptions.keys == {"a", "x"})
        server.connections[0].send_nowait('{"key": "b", "n": 1}')
        server.connections[0].send_nowait('{"key": "a", "n": 2}')
        assert await handle.receive(stream) == {"key": "a", "n": 2}
        again = await handle.call(lambda client: client.subscribe(keys=["x"]))
        with pytest.raises(SubscriptionRefused):
            await handle.receive(again)
        await handle.call(lambda _: stream.close())
        await server.wait_until(lambda _: server.received[-1] == '{"op":"unsubscribe","args":["a"]}')


@pytest.mark.parametrize("kind", KINDS)
async def test_a_key_beyond_the_limit_is_refused(server: FaultyServer, tmp_path: Path, kind: str) -> None:
    options = {"protocol": protocol(limit=2), "key": "k"}
    if kind == "client":
        del options["key"]
    async with open_handle(kind, server.url, tmp_path, **options) as handle:
        first = await handle.call(lambda client: client.subscribe(keys=["a", "b"]))
        second = await handle.call(lambda client: client.subscribe(keys=["b", "c"]))
        with pytest.raises(SubscriptionRefused, match=r"the key 'c' was refused \(a connection has at most 2 keys\)"):
            await handle.receive(second)
        await handle.call(lambda _: first.close())
        third = await handle.call(lambda client: client.subscribe(keys=["c"]))
        await server.wait_until(lambda _: server.connections[0].subscriptions.keys == {"b", "c"})
        server.connections[0].send_nowait('{"key": "c"}')
        assert await handle.receive(third) == {"key": "c"}


@pytest.mark.parametrize("kind", KINDS)
async def test_a_callback_of_keys_gets_their_messages_alone_until_it_is_removed(
    server: FaultyServer, tmp_path: Path, kind: str
) -> None:
    errors: list[BaseException] = []
    options = {"protocol": protocol(ack=read_answer, batch=1), "on_error": errors.append}
    async with open_handle(
        kind, server.url, tmp_path, **options, **({} if kind == "client" else {"key": "k"})
    ) as handle:
        got: list[Any] = []
        await handle.call(lambda client: client.on(None, got.append, keys=["a", "x"], gaps=True))
        others = await handle.call(lambda client: client.subscribe(keys=["b"]))
        await server.wait_until(lambda _: server.connections[0].subscriptions.keys == {"a", "b", "x"})
        await until(lambda: len(errors) == 1)
        assert isinstance(errors[0], SubscriptionRefused), "as what a callback raises"
        assert errors[0].keys == ("x",)
        for key in "bab":
            server.connections[0].send_nowait(json.dumps({"key": key}))
        assert await handle.receive(others) == {"key": "b"}
        await until(lambda: len(got) == 1)
        server.kill_connections()
        await server.wait_until(
            lambda _: len(server.history) == 2 and server.history[1].subscriptions.keys == {"a", "b"}
        )
        server.connections[0].send_nowait('{"key": "a", "n": 2}')
        await until(lambda: len(got) == 3)
        assert [message if isinstance(message, dict) else type(message) for message in got] == [
            {"key": "a"},
            Gap,
            {"key": "a", "n": 2},
        ]
        await handle.call(lambda client: client.off(got.append))
        await server.wait_until(lambda _: server.history[1].subscriptions.keys == {"b"})


async def test_a_callback_of_keys_leaves_however_it_ends(server: FaultyServer) -> None:
    def subscribed() -> frozenset[str]:
        return server.connections[0].subscriptions.keys

    async with Client(server.url, protocol=protocol(), on_error=lambda _: None) as client:

        @client.on(keys=["a"])
        async def lasting(message: Any) -> None:
            """A coroutine function."""

        @client.on(keys=iter(["b", "a"]))
        async def ends(message: Any) -> None:
            raise asyncio.InvalidStateError if message.get("n") else BaseException

        @client.on(keys=["c"])
        def ends_itself(message: Any) -> None:
            client.off(ends_itself)

        await server.wait_until(lambda _: subscribed() == {"a", "b", "c"})
        for message in ('{"key": "b", "n": 1}', '{"key": "b"}', '{"key": "c"}'):
            server.connections[0].send_nowait(message)
        await server.wait_until(lambda _: subscribed() == {"a"})
        client.off(lasting)
        await server.wait_until(lambda _: not subscribed())
        with pytest.raises(InvalidOption, match="more than 100000 keys"):
            client.on(None, print, keys=range(100_001))
        with pytest.raises(InvalidOption, match="keys must be several hashable keys"):
            client.on(keys=5)  # type: ignore[call-overload]
        assert "subscribers=0" in repr(client)


async def test_a_client_of_its_own_counts_its_streams_and_restores_them(server: FaultyServer) -> None:
    async with Client(server.url, protocol=protocol(), reconnect=FAST) as client:
        one, two = client.subscribe(keys=["a", "b"]), client.subscribe(keys="b")
        all_messages = client.subscribe(gaps=False)
        await server.wait_until(lambda _: server.connections[0].subscriptions.keys == {"a", "b"})
        one.close()
        await server.wait_until(lambda _: server.connections[0].subscriptions.keys == {"b"})
        server.kill_connections()
        await server.wait_until(lambda _: len(server.history) == 2 and server.history[1].subscriptions.keys == {"b"})
        server.connections[0].send_nowait('{"key": "b"}')
        assert isinstance(await anext(two), Gap)
        assert await anext(two) == {"key": "b"}
        while (message := await anext(all_messages)) != {"key": "b"}:
            assert "answer" in message
        assert "subscribers=2" in repr(client)
        del two
        gc.collect()
        await server.wait_until(lambda _: not server.history[1].subscriptions.keys)
        assert not any(connection.subscriptions.odd for connection in server.history)
        assert client.subscribe(keys=[]) is not None


async def test_keys_go_with_events_and_predicates(server: FaultyServer) -> None:
    declared = Subscriptions(subscribe=subscribe, unsubscribe=unsubscribe, key=key_of)
    async with Client(server.url, protocol=Json(event="t", subscriptions=declared)) as client:
        plain = client.subscribe(keys=["a", "b"], gaps=False)
        odd = client.subscribe(keys=["a"], where=lambda message: message["n"] % 2 == 1, gaps=False)
        named = client.subscribe("trade", keys=["a"], gaps=False)
        for number, key in enumerate("aabac"):
            message = {"key": key, "n": number, "t": "trade" if number else "quote"}
            server.connections[0].send_nowait(json.dumps(message))
        assert [(await anext(plain))["n"] for _ in range(4)] == [0, 1, 2, 3]
        assert [(await anext(odd))["n"] for _ in range(2)] == [1, 3]
        assert [(await anext(named))["n"] for _ in range(2)] == [1, 3]


async def test_a_key_or_predicate_that_raises_harms_no_other_stream(server: FaultyServer) -> None:
    errors: list[str] = []
    async with Client(server.url, protocol=protocol(), on_error=lambda error: errors.append(repr(error))) as client:
        good = client.subscribe(keys=["a"], gaps=False)
        bad = client.subscribe(keys=["a"], where=lambda message: message["missing"], gaps=False)
        last = client.subscribe(keys=["a"], gaps=False)
        for message in ('{"key": ["list"]}', "5", '{"key": "a"}'):
            server.connections[0].send_nowait(message)
        assert await anext(good) == {"key": "a"} == await anext(last)
        assert len(bad) == 0
    assert [error.partition("(")[0] for error in errors] == ["TypeError", "AttributeError", "KeyError"]


async def test_streams_of_keys_that_a_callback_opens_miss_nothing_after_its_message(server: FaultyServer) -> None:
    streams: list[Any] = []
    async with Client(server.url, protocol=protocol()) as client:

        def opens(message: Any) -> None:
            if message["n"] == 1:
                streams.extend([client.subscribe(keys=["a"]), client.subscribe(keys=["b", "a"])])

        client.on(opens)
        for number in range(4):
            server.connections[0].send_nowait(json.dumps({"key": "a", "n": number}))
        await until(lambda: bool(streams) and len(streams[1]) == 2)
        assert [[(await anext(stream))["n"] for _ in range(2)] for stream in streams] == [[2, 3], [2, 3]]


async def test_a_refusal_is_seen_by_a_reader_that_never_catches_up(server: FaultyServer) -> None:
    async with Client(server.url, protocol=protocol(ack=read_answer, batch=1)) as client:
        stream = client.subscribe(keys=["a", "x"], gaps=False)
        for number in range(10):
            server.connections[0].send_nowait(json.dumps({"key": "a", "n": number}))
        await until(lambda: bool(stream.queue.refusals) and len(stream) == 10)
        server.kill_connections()
        await until(lambda: client.epoch == 2)
        with pytest.raises(SubscriptionRefused):
            await anext(stream)
        assert (await anext(stream))["n"] == 0


def test_the_key_of_a_message_has_to_be_known() -> None:
    declared = Subscriptions(subscribe=subscribe, unsubscribe=unsubscribe)
    with pytest.raises(InvalidOption, match=r"knows the key of a message: give its Subscriptions\(…\) a key="):
        Client(URL, protocol=Json(subscriptions=declared)).subscribe(keys=["a"])
    with pytest.raises(InvalidOption, match="more than 100000 keys"):
        Client(URL, protocol=protocol()).subscribe(keys=range(100_001))


# --- whatever comes between -------------------------------------------------------------------------------------------


def told_keys(stream: Any) -> set[str]:
    """The keys of which this stream's reader was told a refusal, which it has not read yet."""
    return {key for error in stream.queue.refusals or () for key in error.keys}


@pytest.mark.parametrize("seed", range(40))
def test_the_server_has_what_is_wanted_after_all_joins_leaves_and_losses(seed: int) -> None:
    chance = random.Random(seed)
    limit = chance.choice([None, 4])
    venue = LedgerVenue(
        chance,
        names_keys=chance.random() < 0.5,
        batch=chance.choice([None, 1, 3]),
        limit=limit,
        pace=chance.choice([None, Pace(5, per=1.0)]),
        delay=chance.choice([0.0, 2.0]),
    )
    declares_limit = chance.random() < 0.7
    shared = venue.protocol(declares_limit=declares_limit)
    options: dict[str, Any] = {"protocol": shared, "transport": venue.server.transport(), "reconnect": FAST}
    venue.server.latency = chance.choice([0.0, 0.05])

    async def main() -> None:
        clients: list[Any] = []
        streams: dict[Any, set[str]] = {}
        if chance.random() < 0.5:
            clients.append(Client(URL, **options))
        else:
            clients += [join(URL, scope="loop", key="k", **options).client() for _ in range(3)]
        await clients[0].connect()
        for _ in range(chance.randrange(5, 60)):
            match chance.randrange(10):
                case 0 | 1 | 2 | 3 | 4:
                    keys = set(chance.sample(KEYS, chance.randrange(1, 5)))
                    streams[chance.choice(clients).subscribe(keys=keys, overflow="drop_oldest")] = keys
                case 5 | 6 | 7:
                    if streams:
                        stream = chance.choice(list(streams))
                        del streams[stream]
                        stream.close()
                case 8:
                    venue.server.peers[-1].drop()
                case _:
                    await asyncio.sleep(chance.choice([0.0, 0.3, 3.0]))
        await asyncio.sleep(120)
        wanted = set[str]().union(*(keys - told_keys(stream) for stream, keys in streams.items()))
        assert venue.view == wanted
        assert not venue.wrong
        assert not (declares_limit and venue.over_limit)
        assert not wanted & UNKNOWN, "each reader of an unknown key was told"
        for stream, keys in streams.items():
            assert told_keys(stream) <= keys & UNKNOWN or limit is not None
        for client in clients:
            await client.aclose()

    run_virtual(main)


class QuietSink:
    def messages(self, batch: list[Any]) -> None:
        """Answers."""

    def gap(self, gap: Gap) -> None:
        """Losses."""

    def changed(self, change: Change, status: Status) -> None:
        """Changes."""

    def failed(self, error: OnesocketError) -> None:
        raise error


class KeyReader:
    """A subscriber of one of the processes."""

    def __init__(self) -> None:
        self.keys: set[str] = set()

    def refused(self, error: SubscriptionRefused) -> None:
        self.keys.difference_update(error.keys)


async def start(venue: LedgerVenue, shared: Json, directory: Path) -> HostUpstream:
    """One of the processes that share the connection; here they are all in one."""
    options: dict[str, Any] = {"protocol": shared, "transport": venue.server.transport(), "reconnect": FAST}
    upstream = HostUpstream(
        ConnectionSpec(
            key=ConnectionKey.of(URL, key="k"),
            options=options,
            protocol=shared,
            make_client=lambda: Client(URL, **options),
            host_options=HostOptions(directory=str(directory / "run"), heartbeat=0.2),
        )
    )
    upstream.attach(QuietSink())
    await upstream.connect()
    return upstream


async def test_a_key_that_is_subscribed_to_while_its_refusal_is_on_its_way_is_given_back(tmp_path: Path) -> None:
    venue = LedgerVenue(random.Random(1))
    shared = venue.protocol()
    owner, follower = await start(venue, shared, tmp_path), await start(venue, shared, tmp_path)
    assert isinstance(owner._membership.role, Owner)
    subscriptions = owner._membership.role._operations._upstream_subscriptions
    first, second = KeyReader(), KeyReader()
    second.keys = {"x"}
    follower.add_keys(first, ["x"])
    await until(lambda: "missing=1" in repr(subscriptions) or venue.refusals == 1)
    await until(lambda: "keys=0 missing=0" in repr(subscriptions))
    venue.unknown.clear()
    follower.remove_keys(first)
    follower.add_keys(second, ["x"])
    await until(lambda: not second.keys)
    follower.add_keys(first, ["a"])
    await until(lambda: "a" in venue.view)
    assert venue.view == {"a"}
    await follower.aclose()
    await owner.aclose()


async def test_keys_that_are_too_many_for_all_processes_together_are_refused(tmp_path: Path) -> None:
    venue = LedgerVenue(random.Random(1))
    shared = venue.protocol()
    owner, follower = await start(venue, shared, tmp_path), await start(venue, shared, tmp_path)
    assert isinstance(owner._membership.role, Owner)
    subscriptions: Any = owner._membership.role._operations._upstream_subscriptions
    subscriptions._counts._max_keys = 3
    for process in (owner, follower):
        reader = KeyReader()
        reader.keys = {"a", "b", "c"}
        process.add_keys(reader, reader.keys)
        await until(lambda: venue.view == {"a", "b", "c"})
        greedy = KeyReader()
        greedy.keys = {"a", "d"}
        process.add_keys(greedy, greedy.keys)
        await until(functools.partial(greedy.keys.__eq__, {"a"}))
        assert reader.keys == {"a", "b", "c"}
    assert follower.status.state is State.CONNECTED, "it is not cut off for that"
    await follower.aclose()
    await owner.aclose()


@pytest.mark.parametrize("seed", range(6))
async def test_the_server_has_what_is_wanted_whoever_owns_the_connection(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    venue = LedgerVenue(chance, names_keys=bool(seed % 2), batch=chance.choice([None, 2]), limit=5, delay=0.01)
    shared = venue.protocol(declares_limit=chance.random() < 0.5)
    processes = {await start(venue, shared, tmp_path): KeyReader() for _ in range(3)}

    def is_settled() -> bool:
        wanted = set[str]().union(*(reader.keys for reader in processes.values()))
        return venue.view == wanted and not wanted & UNKNOWN

    for _ in range(25):
        process = chance.choice(list(processes))
        reader = processes[process]
        match chance.randrange(10):
            case 0 | 1 | 2 | 3 | 4:
                new = set(chance.sample(KEYS, 2)) - reader.keys
                reader.keys |= new
                process.add_keys(reader, new)
            case 5 | 6:
                gone = set(list(reader.keys)[:2])
                reader.keys -= gone
                process.remove_keys(reader, gone)
            case 7:
                del processes[process]
                await process.aclose()
                processes[await start(venue, shared, tmp_path)] = KeyReader()
            case 8:
                venue.server.peers[-1].drop()
            case _:
                await until(is_settled, 20)
    await until(is_settled, 20)
    assert not venue.wrong
    assert venue.server.most_open == 1
    for process in processes:
        await process.aclose()


async def test_answers_may_come_in_a_list() -> None:
    def both(message: dict[str, Any]) -> list[SubscriptionAnswer]:
        return [SubscriptionAnswer(message.get("ok", ())), SubscriptionAnswer(message.get("bad", ()), refused="bad")]

    async with (
        FaultyServer(on_message=lambda *_: '{"ok": ["a"], "bad": ["b", "c"]}') as venue,
        Client(venue.url, protocol=protocol(ack=both)) as client,
    ):
        stream = client.subscribe(keys=["a", "b", "c"])
        with pytest.raises(SubscriptionRefused, match=r"2 keys were refused: 'b', 'c' \(bad\)"):
            await anext(stream)
