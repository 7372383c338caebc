"""A connection on the loop of the main thread moves to the thread when that loop ends first; the *server* counts."""

from __future__ import annotations

import asyncio
import concurrent.futures
import functools
import json
import random
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from onesocket import Gap, Json, Outcome, ReconnectPolicy, Requests, SharedClient, State, blocking, join
from onesocket.errors import DeliveryUnknown, ManuallyDisconnected, RequestLost
from onesocket.protocols import Subscriptions
from onesocket.sharing import _main_loop as main_loop
from onesocket.sharing import _relocation as relocation
from onesocket.sharing import _shared_connection as shared_connection
from onesocket.sharing._registry import Registry, current_registry
from onesocket.sharing._shared_connection import SharedConnection
from onesocket.testing import Fault, FaultyServer, ThreadedServer
from tests.integration.ending_loop import ENDINGS, EndingLoop, check_ledger, send_numbered
from tests.support.ledger_venue import key_of, subscribe, unsubscribe

pytestmark = pytest.mark.usefixtures("no_threads_left")

FAST = ReconnectPolicy(initial=0.01, cap=0.01)
Server = ThreadedServer[FaultyServer]


@pytest.fixture
def server() -> Iterator[Server]:
    with ThreadedServer(FaultyServer()) as server:
        yield server
        server.call(lambda faulty: faulty.wait_until(lambda counts: counts.sockets_now == 0))
        assert server.server.counts.most_sockets <= 1


async def joined(url: str, **options: Any) -> SharedClient[Any]:
    client: SharedClient[Any] = await join(url, **options)
    return client


async def unconnected(url: str, **options: Any) -> SharedClient[Any]:
    client: SharedClient[Any] = join(url, **options).client()
    return client


def share(ending: EndingLoop, server: Server, **options: Any) -> blocking.SharedClient[Any]:
    """Join on the loop, where the connection lives from then on, and in a thread; returns the thread's client."""
    ending.clients.append(ending.run(joined(server.server.url, **options)))
    assert current_registry().host_thread is None, "a program with one loop starts no thread"
    return ending.in_thread(lambda: blocking.join(server.server.url, **options))


def received(server: Server) -> list[Any]:
    return server.call(lambda faulty: list(faulty.received))


async def send(faulty: FaultyServer, text: str) -> None:
    await faulty.connections[0].send(text)


def until(server: Server, holds: Callable[[FaultyServer], bool]) -> None:
    server.call(lambda faulty: faulty.wait_until(lambda _: holds(faulty)))


def test_a_client_in_a_thread_goes_on_behind_one_gap(server: Server, ending: EndingLoop) -> None:
    client = share(ending, server)
    changes = ending.in_thread(client.changes)
    ending.in_thread(client.send, "before")
    until(server, lambda faulty: len(faulty.received) == 1)
    assert ending.in_thread(client.receive) == "before"
    ending.end()
    client.send("after")
    gap = client.receive(timeout=10)
    assert isinstance(gap, Gap)
    assert gap.epoch == 2
    assert "event loop" in str(gap.error)
    assert client.receive(timeout=10) == "after"
    assert client.status.epoch == 2
    assert client.stats.connection.handshakes == 2
    assert client.stats.sent == 2
    assert [next(changes).new for _ in range(3)] == [State.BACKING_OFF, State.CONNECTING, State.CONNECTED]
    assert current_registry().host_thread is not None
    client.close()
    assert received(server) == ["before", "after"]


def test_a_client_on_the_loop_of_a_thread_goes_on(
    server: Server, ending: EndingLoop, pool: concurrent.futures.ThreadPoolExecutor
) -> None:
    is_in, goes_on = threading.Event(), threading.Event()

    async def elsewhere() -> list[Any]:
        async with join(server.server.url) as client:
            stream = client.subscribe()
            await client.send("a")
            got: list[Any] = [await anext(stream)]
            is_in.set()
            await asyncio.to_thread(goes_on.wait, 10)
            deliveries = [client.send_nowait(text) for text in "bcd"]
            await asyncio.gather(*deliveries)
            return [*got, *[await anext(stream) for _ in range(4)]]

    ending.clients.append(ending.run(joined(server.server.url)))
    other = pool.submit(asyncio.run, elsewhere())
    ending.in_thread(is_in.wait, 10)
    ending.end()
    goes_on.set()
    first, gap, *rest = other.result(20)
    assert isinstance(gap, Gap)
    assert [first, *rest] == ["a", "b", "c", "d"]


def test_messages_that_wait_go_out_in_order_on_the_new_connection(
    server: Server, ending: EndingLoop, pool: concurrent.futures.ThreadPoolExecutor
) -> None:
    client = share(ending, server, reconnect=FAST)
    server.call(lambda faulty: faulty.stop_listening(kill=True))
    ending.in_thread(client.wait_for, State.BACKING_OFF)
    texts = [f"{number}" for number in range(50)]
    futures = [ending.in_thread(client.send_nowait, text) for text in texts]
    waiting = pool.submit(client.send, "last")
    ending.in_thread(lambda: client.wait_for(State.CONNECTING, State.BACKING_OFF))
    ending.end()
    server.call(lambda faulty: faulty.start())
    for future in futures:
        future.result(10)
    waiting.result(10)
    until(server, lambda faulty: len(faulty.received) >= len(texts) + 1)
    got = received(server)
    assert sorted(got) == sorted([*texts, "last"]), "each once"
    assert [text for text in got if text != "last"] == texts
    client.close()


def test_a_message_on_its_way_is_unknown_or_sent_again(ending: EndingLoop) -> None:
    with ThreadedServer(FaultyServer()) as server:  # one that reads no more sees no end, either
        client = share(ending, server, close_timeout=0.2)
        server.call(lambda faulty: faulty.connections[0].strike(Fault.stop_reading()))
        big = "x" * (8 << 20)
        unknown = ending.in_thread(lambda: client.send_nowait(big))
        again = ending.in_thread(lambda: client.send_nowait(f"{big}y", resend=True))
        ending.in_thread(lambda: client.status)
        ending.end()
        with pytest.raises(DeliveryUnknown):
            unknown.result(10)
        again.result(10)
        until(server, lambda faulty: any(len(message) > len(big) for message in faulty.received))
        client.close()


def requests_protocol() -> Json[Any]:
    return Json(requests=Requests())


def test_requests_are_lost_asked_again_or_asked_later(
    ending: EndingLoop, pool: concurrent.futures.ThreadPoolExecutor
) -> None:
    answers = threading.Event()

    def answer(_: Any, message: str | bytes) -> str | bytes | None:
        return message if answers.is_set() else None

    with ThreadedServer(FaultyServer(on_message=answer)) as server:
        protocol = requests_protocol()
        client = share(ending, server, protocol=protocol, reconnect=FAST)
        lost = pool.submit(client.request, {"q": "lost"}, timeout=20)
        again = pool.submit(client.request, {"q": "again"}, timeout=20, resend=True)
        ending.run(asyncio.sleep(0))
        ending.in_thread(until, server, lambda faulty: len(faulty.received) == 2)
        answers.set()
        ending.end()
        with pytest.raises(RequestLost):
            lost.result(10)
        assert again.result(10)["q"] == "again"
        assert client.request({"q": "later"}, timeout=10)["q"] == "later"
        asked = [json.loads(message)["q"] for message in received(server)]
        assert sorted(asked) == ["again", "again", "later", "lost"]
        client.close()
        ending.close()
        until(server, lambda faulty: faulty.counts.sockets_now == 0)
        assert server.server.counts.most_sockets == 1


def test_a_request_that_waits_for_the_connection_is_asked_on_the_new_one(
    server: Server, ending: EndingLoop, pool: concurrent.futures.ThreadPoolExecutor
) -> None:
    client = share(ending, server, protocol=requests_protocol(), reconnect=FAST)
    server.call(lambda faulty: faulty.stop_listening(kill=True))
    ending.in_thread(client.wait_for, State.BACKING_OFF)
    waiting = pool.submit(client.request, {"q": 1}, timeout=20)
    ending.in_thread(lambda: client.status)
    ending.end()
    server.call(lambda faulty: faulty.start())
    assert waiting.result(10)["q"] == 1
    assert len(received(server)) == 1
    client.close()


def test_a_first_connect_that_is_under_way_succeeds_on_the_other_loop(
    server: Server, ending: EndingLoop, pool: concurrent.futures.ThreadPoolExecutor
) -> None:
    ending.clients.append(ending.run(unconnected(server.server.url, close_timeout=0.1)))
    server.server.faults = Fault.never_answer()
    joining = pool.submit(blocking.join, server.server.url, timeout=20, close_timeout=0.1)
    ending.in_thread(until, server, lambda faulty: len(faulty.pending) == 1)
    server.server.faults = None
    ending.end()
    with joining.result(10) as client:
        client.send("x")
        assert client.receive(timeout=10) == "x"


def test_a_connect_without_waiting_goes_on(server: Server, ending: EndingLoop) -> None:
    ending.clients.append(ending.run(unconnected(server.server.url, reconnect=FAST)))
    server.call(lambda faulty: faulty.stop_listening(kill=True))
    client = ending.in_thread(lambda: blocking.join(server.server.url, wait=False, reconnect=FAST))
    ending.in_thread(client.wait_for, State.BACKING_OFF)
    ending.end()
    server.call(lambda faulty: faulty.start())
    client.send("x", timeout=10)
    assert client.receive(timeout=10) == "x"
    client.close()


def test_a_disconnect_stays_in_force_until_it_is_lifted(server: Server, ending: EndingLoop) -> None:
    client = share(ending, server)
    ending.in_thread(client.disconnect)
    ending.end()
    with pytest.raises(ManuallyDisconnected):
        client.send("x")
    assert client.state is State.STOPPED
    assert client.reconnect() is Outcome.OPENED
    client.send("y")
    assert received(server) == ["y"]
    client.close()


def test_a_reader_that_holds_the_feed_back_loses_nothing_without_a_gap(server: Server, ending: EndingLoop) -> None:
    client = share(ending, server)
    stream = ending.in_thread(lambda: client.subscribe(limit=2, overflow="wait"))
    for number in range(100):
        server.call(functools.partial(send, text=f"{number}"))
    assert ending.in_thread(stream.receive) == "0"
    ending.end()
    client.send("end", timeout=20)
    got: list[Any] = [stream.receive(timeout=10)]
    while got[-1] != "end":
        got.append(stream.receive(timeout=10))
    places = [place for place, item in enumerate(got) if isinstance(item, Gap)]
    assert len(places) == 1
    assert got[: places[0]] == [f"{number}" for number in range(1, places[0] + 1)]
    assert got[places[0] + 1 :] == ["end"]
    client.close()


def test_keys_are_subscribed_to_anew(server: Server, ending: EndingLoop) -> None:
    declared = Subscriptions(subscribe=subscribe, unsubscribe=unsubscribe, key=key_of)
    protocol = Json(subscriptions=declared)
    client = share(ending, server, protocol=protocol, key="k")
    streams = [ending.in_thread(lambda keys=keys: client.subscribe(keys=keys)) for keys in (["a", "b"], ["b", "c"])]
    ending.in_thread(until, server, lambda faulty: faulty.connections[0].subscriptions.keys == {"a", "b", "c"})
    ending.end()
    until(server, lambda faulty: len(faulty.history) == 2)
    until(server, lambda faulty: faulty.history[1].subscriptions.keys == {"a", "b", "c"})
    for stream in streams:
        stream.close()
    client.close()


def test_the_client_of_a_loop_that_goes_on_shares_the_connection_in_the_thread(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relocation, "LOOK_INTERVAL", 0.005)
    with EndingLoop("standstill", monkeypatch) as loop:
        other = share(loop, server)
        (client,) = loop.clients
        loop.end()
        other.send("moved")

        async def goes_on() -> list[Any]:
            reading = client.subscribe()
            await client.send("here again")
            got = [await anext(reading) for _ in range(3)]
            await client.aclose()
            return got

        gap, *rest = loop.run(goes_on())
        assert isinstance(gap, Gap)
        assert rest == ["moved", "here again"]
        assert current_registry().host_thread is not None
        other.close()


def test_with_the_loop_a_connection_ends_that_nobody_else_shares(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(2):
        with EndingLoop("asyncio.run", monkeypatch) as loop:
            client = loop.run(joined(server.server.url))
            states = [client.state]
            assert current_registry().host_thread is None
            loop.end()
        assert [*states, client.state] == [State.CONNECTED, State.CLOSED]
        assert len(current_registry()) == 0
    until(server, lambda faulty: faulty.counts.sockets_now == 0)
    assert server.server.counts.close_codes == {1001: 2}
    assert server.server.counts.unclean_closes == 0


def test_who_joins_while_the_loop_ends_gets_a_connection_of_its_own(
    server: Server, monkeypatch: pytest.MonkeyPatch, pool: concurrent.futures.ThreadPoolExecutor
) -> None:
    url = server.server.url
    joining: list[concurrent.futures.Future[blocking.SharedClient[Any]]] = []
    is_counted = threading.Event()
    find, outlives_loop = Registry.find, SharedConnection.outlives_loop

    def note_find(registry: Registry, *args: Any, **options: Any) -> SharedConnection:
        found = find(registry, *args, **options)
        is_counted.set()
        return found

    def join_just_after(shared: SharedConnection) -> bool:
        goes_on = outlives_loop(shared)
        if not joining:
            is_counted.clear()
            joining.append(pool.submit(blocking.join, url, timeout=20))
            assert is_counted.wait(10)
        return goes_on

    monkeypatch.setattr(Registry, "find", note_find)
    monkeypatch.setattr(SharedConnection, "outlives_loop", join_just_after)
    with EndingLoop("asyncio.run", monkeypatch) as loop:
        loop.clients.append(loop.run(joined(url)))
        loop.end()
    with joining[0].result(10) as client:
        client.send("x", timeout=10)
        assert client.status.epoch == 1
    assert received(server) == ["x"]


def test_the_thread_ends_with_the_last_client_elsewhere(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relocation, "LOOK_INTERVAL", 0.005)
    with EndingLoop("asyncio.run", monkeypatch) as loop:
        other = share(loop, server)
        thread = current_registry().host_thread
        assert thread is not None
        loop.in_thread(other.close)
        loop.in_thread(thread.join, 10)
        assert not thread.is_alive()
        assert current_registry().host_thread is None
        (client,) = loop.clients
        loop.run(client.send("x"))
        loop.run(client.aclose())


def test_a_program_that_cancels_all_tasks_and_goes_on_keeps_the_connection_in_the_thread(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    with EndingLoop("asyncio.run", monkeypatch) as loop:
        other = share(loop, server)
        (client,) = loop.clients

        async def cancels() -> None:
            for task in asyncio.all_tasks() - {asyncio.current_task()}:
                task.cancel()
            await client.wait_for(State.BACKING_OFF, State.CONNECTING)
            await client.wait_for(State.CONNECTED)
            await client.send("x")
            await client.aclose()

        loop.run(cancels())
        other.send("y", timeout=10)
        other.close()
    assert received(server) == ["x", "y"]


def test_a_client_whose_program_forgot_it_counts_no_more(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    with EndingLoop("asyncio.run", monkeypatch) as loop:
        other = share(loop, server)
        loop.end()
        other.send("x", timeout=10)
        other.close()
    assert len(current_registry()) == 0


@pytest.mark.parametrize("seed", range(4))
def test_a_ledger_over_moves_at_random_moments(
    server: Server, ending: EndingLoop, pool: concurrent.futures.ThreadPoolExecutor, seed: int
) -> None:
    chance = random.Random(seed)
    clients = [share(ending, server, reconnect=FAST)]
    clients += [ending.in_thread(lambda: blocking.join(server.server.url, reconnect=FAST)) for _ in range(3)]
    counts = [chance.randrange(1, 200) for _ in clients]
    begun = threading.Barrier(len(clients) + 1)

    working = [
        pool.submit(send_numbered, client, number, counts[number], begun) for number, client in enumerate(clients)
    ]
    ending.in_thread(begun.wait, 10)
    for _ in range(chance.randrange(3)):
        ending.run(asyncio.sleep(0))
    ending.end()
    certain = [future.result(30) for future in working]
    clients[0].send("all are there", timeout=20)
    until(server, lambda faulty: faulty.received[-1:] == ["all are there"])
    got = received(server)
    check_ledger(got, certain, is_in_order=ending.is_in_order)
    for client in clients:
        client.close()


async def is_closing(client: SharedClient[Any]) -> None:
    """Return in the turn in which the close of the connection has begun."""
    while not client.shared.is_closing:  # noqa: ASYNC110 - no event tells it in that turn
        await asyncio.sleep(0)


@pytest.fixture
def standing(monkeypatch: pytest.MonkeyPatch) -> Iterator[asyncio.AbstractEventLoop]:
    """A loop of which is known at once that it doesn't run."""
    monkeypatch.setattr(main_loop, "STANDSTILL", 0.0)
    monkeypatch.setattr(relocation, "LOOK_INTERVAL", 0.005)
    monkeypatch.setattr(shared_connection, "_LIVENESS_INTERVAL", 0.005)
    loop = asyncio.new_event_loop()
    yield loop
    loop.close()


def test_a_loop_that_stops_in_the_midst_of_a_close_keeps_no_next_connection_back(
    server: Server, standing: asyncio.AbstractEventLoop
) -> None:
    async def begin_close() -> asyncio.Task[None]:
        client = await joined(server.server.url)
        closing = asyncio.create_task(client.aclose())
        await is_closing(client)
        return closing

    closing = standing.run_until_complete(begin_close())
    with blocking.join(server.server.url, timeout=10) as client:
        client.send("next", timeout=10)
    standing.run_until_complete(closing)
    assert received(server) == ["next"]


def test_a_loop_that_stops_in_the_midst_of_a_close_lets_the_thread_go_that_closes(
    server: Server, standing: asyncio.AbstractEventLoop, pool: concurrent.futures.ThreadPoolExecutor
) -> None:
    async def begin_close() -> concurrent.futures.Future[None]:
        client = await joined(server.server.url)
        other = await asyncio.wrap_future(pool.submit(blocking.join, server.server.url))
        await client.aclose()
        closing = pool.submit(other.close)
        await is_closing(client)
        return closing

    standing.run_until_complete(begin_close()).result(10)
    assert current_registry().all() == []


def test_on_uvloop(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relocation, "LOOK_INTERVAL", 0.005)
    for ends_by in ENDINGS:
        with EndingLoop(ends_by, monkeypatch, on_uvloop=True) as loop:
            client = share(loop, server)
            loop.end()
            client.send(ends_by, timeout=10)
            assert isinstance(client.receive(timeout=10), Gap)
            assert client.receive(timeout=10) == ends_by
            client.close()
    assert received(server) == list(ENDINGS)
