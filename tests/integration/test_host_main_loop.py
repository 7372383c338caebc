"""Scope "host" on the main thread's loop: a member of its own, whose end is that of a process; the server counts."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import os
import random
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from onesocket import Gap, ReconnectPolicy, SharedClient, State, blocking, join
from onesocket.errors import OptionConflict
from onesocket.sharing import _main_loop as main_loop
from onesocket.sharing import _relocation as relocation
from onesocket.sharing import offer_loop
from onesocket.sharing._registry import current_registry
from onesocket.sharing.host import HostOptions, listing
from onesocket.sharing.host import _loop_heartbeat as loop_heartbeat
from onesocket.testing import FaultyServer, ThreadedServer
from tests.integration.ending_loop import ENDINGS, EndingLoop, check_ledger, send_numbered

pytestmark = pytest.mark.usefixtures("no_threads_left", "private_runtime")

OPTIONS: dict[str, Any] = {"scope": "host", "reconnect": ReconnectPolicy(initial=0.01, cap=0.01)}
Server = ThreadedServer[FaultyServer]


@pytest.fixture
def server() -> Iterator[Server]:
    with ThreadedServer(FaultyServer()) as server:
        yield server
        server.call(lambda faulty: faulty.wait_until(lambda counts: counts.sockets_now == 0))
        assert server.server.counts.most_sockets <= 1


async def joined(url: str, **options: Any) -> SharedClient[Any]:
    client: SharedClient[Any] = await join(url, **{**OPTIONS, **options})
    return client


def joined_elsewhere(url: str, **options: Any) -> blocking.SharedClient[Any]:
    return blocking.join(url, **{**OPTIONS, **options})


def share(ending: EndingLoop, server: Server) -> blocking.SharedClient[Any]:
    """Join on the loop, which holds the connection, and in a thread; returns the thread's client."""
    client = ending.run(joined(server.server.url))
    assert current_registry().host_thread is None, "a program with one loop starts no thread"
    ending.clients.append(client)
    other = ending.in_thread(joined_elsewhere, server.server.url)
    assert client.shared.upstream.is_owner
    assert len(current_registry()) == 2
    return other


def received(server: Server) -> list[Any]:
    return server.call(lambda faulty: list(faulty.received))


def until(server: Server, holds: Callable[[FaultyServer], bool]) -> None:
    server.call(lambda faulty: faulty.wait_until(lambda _: holds(faulty)))


def rest_of(client: blocking.SharedClient[Any], last: str) -> list[Any]:
    got: list[Any] = []
    while got[-1:] != [last]:
        got.append(client.receive(timeout=10))
    return got


async def test_a_program_with_one_loop_needs_no_thread_and_no_hop(server: Server) -> None:
    async with join(server.server.url, **OPTIONS) as client:
        stream = client.subscribe()
        before = client.loop_inbox.posted, client.host_inbox.posted
        await client.send("x")
        assert await anext(stream) == "x"
        assert (client.loop_inbox.posted, client.host_inbox.posted) == before
        assert current_registry().host_thread is None
    assert len(current_registry()) == 0


async def test_a_loop_joins_the_connection_that_lives_in_the_thread_or_on_an_offered_loop(server: Server) -> None:
    url = server.server.url
    first = await asyncio.to_thread(joined_elsewhere, url)
    async with join(url, **OPTIONS) as client:
        assert current_registry().all() == [client.shared]
        await asyncio.to_thread(first.close)
    async with offer_loop():
        client = await joined(url)
        other = await asyncio.to_thread(joined_elsewhere, url)
        assert current_registry().all() == [client.shared]
        await asyncio.to_thread(other.close)
    assert len(current_registry()) == 0


@pytest.mark.parametrize(
    "other", [{"headers": {"x": "1"}}, {"scope": "process"}, {"host_options": HostOptions(keep=1)}]
)
async def test_both_members_of_a_process_are_joined_with_the_same_options(server: Server, other: Any) -> None:
    url = server.server.url
    async with join(url, **OPTIONS):
        with pytest.raises(OptionConflict):
            await asyncio.to_thread(joined_elsewhere, url, **other)
        with pytest.raises(OptionConflict):
            await joined(url, **other)
        with contextlib.closing(await asyncio.to_thread(joined_elsewhere, url)) as thread:
            with pytest.raises(OptionConflict):
                await asyncio.to_thread(joined_elsewhere, url, **other)
            assert [one.followers for one in await asyncio.to_thread(listing)] == [1]
            await asyncio.to_thread(thread.close)


def test_a_client_in_a_thread_goes_on_behind_one_gap(server: Server, ending: EndingLoop) -> None:
    client = share(ending, server)
    changes = ending.in_thread(client.changes)
    ending.in_thread(client.send, "before")
    assert ending.in_thread(client.receive) == "before"
    ending.end()
    client.send("after", timeout=10, resend=True)
    gap, *rest = rest_of(client, "after")
    assert isinstance(gap, Gap)
    assert gap.epoch == client.status.epoch == 2
    assert rest[-1] == "after"
    assert not [item for item in rest if isinstance(item, Gap)]
    states = [next(changes).new]
    while states[-1] is not State.CONNECTED:
        states.append(next(changes).new)
    assert State.CLOSED not in states
    client.close()
    if ending.is_in_order:
        assert received(server) == ["before", "after"]


def test_a_loop_that_goes_on_follows_the_connection_that_was_taken(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relocation, "LOOK_INTERVAL", 0.005)
    with EndingLoop("standstill", monkeypatch) as loop:
        other = share(loop, server)
        (client,) = loop.clients
        loop.end()
        other.send("meanwhile", timeout=10, resend=True)
        monkeypatch.setattr(main_loop, "STANDSTILL", 1e9)

        async def go_on() -> list[Any]:
            stream = client.subscribe()
            await client.send("again")
            assert not client.shared.upstream.is_owner
            got = [await anext(stream)]
            while got[-1] != "again":
                got.append(await anext(stream))
            return got

        got = loop.run(go_on())
        assert [item.epoch for item in got if isinstance(item, Gap)] == [2]
        loop.in_thread(other.close)
        loop.run(client.send("alone"))
        assert client.shared.upstream.is_owner
    assert received(server)[-1] == "alone"


def test_a_blocked_loop_keeps_no_connection_back_from_others(
    server: Server, pool: concurrent.futures.ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relocation, "LOOK_INTERVAL", 0.005)
    monkeypatch.setattr(main_loop, "BLOCKED_AFTER", 1e9)
    with EndingLoop("asyncio.run", monkeypatch) as loop:
        other = share(loop, server)
        (client,) = loop.clients

        async def block() -> None:
            monkeypatch.setattr(main_loop, "BLOCKED_AFTER", 0.0)
            pool.submit(other.send, "meanwhile", timeout=10, resend=True).result(10)
            monkeypatch.setattr(main_loop, "BLOCKED_AFTER", 1e9)
            await client.send_nowait("in the turn in which it goes on")

        loop.run(block())
        assert received(server)[-1] == "in the turn in which it goes on"
        assert other.status.epoch == 2
        loop.in_thread(other.close)


def test_what_ctrl_c_interrupted_on_the_loop_is_done_soon(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relocation, "LOOK_INTERVAL", 0.005)
    monkeypatch.setattr(loop_heartbeat, "_STOOD_STILL", 0.0)
    with EndingLoop("asyncio.run", monkeypatch) as loop:
        other = share(loop, server)
        role = loop.clients[0].shared.upstream._membership.role  # type: ignore[attr-defined]

        async def interrupted() -> None:
            role._forwarder._has_forwarded = True
            role._heartbeat.stop()
            role._heartbeat._due = 0.0

        loop.run(interrupted())
        loop.in_thread(other.send, "x")
        assert loop.in_thread(other.receive, 10) == "x"
        assert role._heartbeat._due > 0
        loop.in_thread(other.close)


def test_a_loop_that_stood_still_before_gives_way_to_one_that_joins(
    server: Server, pool: concurrent.futures.ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relocation, "LOOK_INTERVAL", 0.005)
    monkeypatch.setattr(loop_heartbeat, "_STOOD_STILL", -1.0)
    with EndingLoop("asyncio.run", monkeypatch) as loop:
        options = {"host_options": HostOptions(heartbeat=0.01)}
        loop.clients.append(loop.run(joined(server.server.url, **options)))

        async def until_watched() -> None:
            while current_registry().host_thread is None:  # noqa: ASYNC110 - no event tells it
                await asyncio.sleep(0.01)

        loop.run(until_watched())
        monkeypatch.setattr(main_loop, "STANDSTILL", 0.0)
        with joined_elsewhere(server.server.url, **options) as other:
            other.send("x", timeout=10)
            assert other.status.epoch == 2
        monkeypatch.setattr(main_loop, "STANDSTILL", 1e9)
        loop.run(loop.clients[0].send("y"))
    assert received(server) == ["x", "y"]


def test_two_loops_of_the_main_thread_take_turns(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relocation, "LOOK_INTERVAL", 0.005)
    monkeypatch.setattr(main_loop, "STANDSTILL", 0.05)
    with asyncio.Runner() as first, asyncio.Runner() as second:
        clients = [first.run(joined(server.server.url)), second.run(joined(server.server.url))]
        second.run(clients[1].send("a"))
        first.run(clients[0].send("b", resend=True))
        second.run(clients[1].send("c", resend=True))
        assert received(server) == ["a", "b", "c"]


def test_a_thread_that_joins_while_the_loop_stands_still_gets_the_connection(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relocation, "LOOK_INTERVAL", 0.005)
    with EndingLoop("standstill", monkeypatch) as loop:
        loop.clients.append(loop.run(joined(server.server.url)))
        loop.end()
        with joined_elsewhere(server.server.url) as client:
            client.send("x", timeout=10)
    assert received(server) == ["x"]


def test_a_loop_that_stands_still_alone_keeps_its_connection(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relocation, "LOOK_INTERVAL", 0.005)
    monkeypatch.setattr(main_loop, "STANDSTILL", 0.0)
    looks = threading.Event()
    with EndingLoop("asyncio.run", monkeypatch) as loop:
        other = share(loop, server)
        (client,) = loop.clients
        monkeypatch.setattr(client.shared.upstream._membership.role._heartbeat, "was_late", True)  # type: ignore[attr-defined]
        loop.in_thread(other.close)  # the watch goes on nevertheless
        monkeypatch.setattr(main_loop, "STANDSTILL", 0.0)
        stands_still = main_loop.MainLoop.stands_still

        def look(loop: main_loop.MainLoop, longest: float) -> bool:
            looks.set()
            return stands_still(loop, longest)

        monkeypatch.setattr(main_loop.MainLoop, "stands_still", look)
        assert looks.wait(10)
        looks.clear()
        assert looks.wait(10)
        monkeypatch.setattr(main_loop, "STANDSTILL", 1e9)
        loop.run(client.send("x"))
        assert client.status.epoch == 1


def test_the_thread_ends_with_the_last_follower(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relocation, "LOOK_INTERVAL", 0.005)
    with EndingLoop("asyncio.run", monkeypatch) as loop:
        other = share(loop, server)
        thread = current_registry().host_thread
        assert thread is not None
        loop.in_thread(other.close)
        loop.in_thread(thread.join, 10)
        assert current_registry().host_thread is None
        (client,) = loop.clients
        loop.run(client.send("x"))


def test_a_program_that_cancels_all_tasks_and_goes_on_has_a_connection_again(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    with EndingLoop("asyncio.run", monkeypatch) as loop:
        other = share(loop, server)
        (client,) = loop.clients

        async def cancels() -> None:
            for task in asyncio.all_tasks() - {asyncio.current_task()}:
                task.cancel()
            await client.wait_for(State.CONNECTING)
            await client.wait_for(State.CONNECTED)
            await client.send("x")
            await client.aclose()

        loop.run(cancels())
        other.send("y", timeout=10)
        other.close()
    assert received(server) == ["x", "y"]


@pytest.mark.parametrize("turns", [1, 3, 6])
def test_a_loop_that_ends_in_the_midst_of_a_close_waits_for_nothing_else(server: Server, turns: int) -> None:
    async def begin_close() -> None:
        client = await joined(server.server.url)
        closing = asyncio.create_task(client.aclose())
        for _ in range(turns):
            await asyncio.sleep(0)
        assert not closing.done()

    asyncio.run(begin_close())
    assert server.server.counts.close_codes.keys() <= {1000, 1001}


FOLLOWER = """
import sys
from onesocket import Gap, ReconnectPolicy, blocking
with blocking.join(sys.argv[1], scope="host", reconnect=ReconnectPolicy(initial=0.01, cap=0.01)) as client:
    print("joined", flush=True)
    for text in map(str.strip, sys.stdin):
        client.send(text, timeout=20, resend=True)
        while not isinstance(message := client.receive(timeout=20), str) or message != text:
            if isinstance(message, Gap):
                print("gap", message.epoch, flush=True)
        print(message, flush=True)
"""


@contextlib.contextmanager
def another_process(server: Server) -> Iterator[tuple[Callable[[str], object], Callable[[], str]]]:
    """A process that joins; gives what writes a text that it is to send, and what reads a line of its output."""
    command = [sys.executable, "-c", FOLLOWER, server.server.url]
    with subprocess.Popen(  # noqa: S603 - our own Python
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        stdin = process.stdin
        yield (lambda text: stdin.write(f"{text}\n")), process.stdout.readline
        stdin.close()
        assert process.wait(10) == 0


def test_another_process_has_the_connection_next(server: Server, ending: EndingLoop) -> None:
    ending.clients.append(ending.run(joined(server.server.url)))
    with another_process(server) as (send, line):
        assert ending.in_thread(line) == "joined\n"
        send("one")
        assert ending.in_thread(line) == "one\n"
        assert [one.pid for one in ending.in_thread(listing)] == [os.getpid()]
        assert current_registry().host_thread is not None, "that watches the loop, on which another process depends"
        ending.end()
        send("two")
        assert [line() for _ in range(2)] == ["gap 2\n", "two\n"]


@pytest.mark.parametrize("in_thread", [False, True])
def test_an_offered_loop_that_is_blocked_keeps_no_connection_back_from_another_process(
    server: Server, monkeypatch: pytest.MonkeyPatch, *, in_thread: bool
) -> None:
    monkeypatch.setattr(relocation, "LOOK_INTERVAL", 0.005)
    monkeypatch.setattr(main_loop, "BLOCKED_AFTER", 1e9)

    owns: list[bool] = []

    async def offers() -> None:
        async with offer_loop():
            client = await joined(server.server.url)
            with another_process(server) as (send, line):
                assert await asyncio.to_thread(line) == "joined\n"
                monkeypatch.setattr(main_loop, "BLOCKED_AFTER", 0.0)
                send("meanwhile")
                assert [line() for _ in range(2)] == ["gap 2\n", "meanwhile\n"], "this loop is blocked until then"
                monkeypatch.setattr(main_loop, "BLOCKED_AFTER", 1e9)
                await client.send("when it goes on")
                owns.append(client.shared.upstream.is_owner)
            await client.send("alone", resend=True)
            owns.append(client.shared.upstream.is_owner)
            await client.aclose()

    if in_thread:
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            pool.submit(asyncio.run, offers()).result(40)
    else:
        asyncio.run(offers())
    assert owns == [False, True]
    assert received(server) == ["meanwhile", "when it goes on", "alone"]
    assert server.server.counts.handshakes == 3


def test_a_loop_that_was_closed_is_forgotten_with_its_lock(server: Server) -> None:
    loop = asyncio.new_event_loop()
    kept = [loop.run_until_complete(joined(server.server.url))]
    loop.close()
    with joined_elsewhere(server.server.url) as client:
        client.send("x", timeout=10)
        assert client.status.epoch == 2
    assert kept[0].state is State.CLOSED


def test_a_forked_child_holds_neither_socket_nor_lock(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    with EndingLoop("asyncio.run", monkeypatch) as loop:
        loop.clients.append(loop.run(joined(server.server.url)))
        is_over, end = os.pipe()
        child = os.fork()
        if not child:
            os.close(end)
            os.read(is_over, 1)  # until the parent is through
            os._exit(0)
        os.close(is_over)
        loop.end()
        with joined_elsewhere(server.server.url) as client:
            client.send("x", timeout=10)
        os.close(end)
        assert os.waitpid(child, 0)[1] == 0
    assert server.server.counts.most_sockets == 1


@pytest.mark.parametrize("seed", range(3))
def test_a_ledger_over_ends_at_random_moments(
    server: Server, ending: EndingLoop, pool: concurrent.futures.ThreadPoolExecutor, seed: int
) -> None:
    chance = random.Random(seed)
    clients = [share(ending, server), *(ending.in_thread(joined_elsewhere, server.server.url) for _ in range(2))]
    counts = [chance.randrange(1, 200) for _ in clients]
    begun = threading.Barrier(len(clients) + 1)

    working = [
        pool.submit(send_numbered, client, number, counts[number], begun) for number, client in enumerate(clients)
    ]
    ending.in_thread(begun.wait, 10)
    for _ in range(chance.randrange(4)):
        ending.run(asyncio.sleep(0))
    ending.end()
    certain = [future.result(30) for future in working]
    clients[0].send("all are there", timeout=20, resend=True)
    until(server, lambda faulty: faulty.received[-1:] == ["all are there"])
    got = [text for text in received(server) if text != "all are there"]
    check_ledger(got, certain, is_in_order=ending.is_in_order)
    for client in clients:
        client.close()


def test_on_uvloop(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relocation, "LOOK_INTERVAL", 0.005)
    for ends_by in ENDINGS:
        if ends_by == "close":  # uvloop warns of each transport that it has open then
            continue
        with EndingLoop(ends_by, monkeypatch, on_uvloop=True) as loop:
            client = share(loop, server)
            loop.end()
            client.send(ends_by, timeout=10, resend=True)
            gap, *rest = rest_of(client, ends_by)
            assert isinstance(gap, Gap)
            assert rest[-1] == ends_by
            client.close()
