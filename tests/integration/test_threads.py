"""Threads and event loops that share one connection: one handshake, every message to each once and in order."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

from onesocket import Gap, ReconnectPolicy, State, blocking
from onesocket.errors import SlowConsumer
from onesocket.sharing._join import join
from onesocket.sharing._loop_inbox import inbox_of
from onesocket.testing import Fault, FaultyServer

pytestmark = pytest.mark.usefixtures("no_threads_left")

THREADS, TASKS = 4, 8


@pytest.fixture
async def server() -> AsyncIterator[FaultyServer]:
    async with FaultyServer() as server:
        yield server
        await server.wait_until(lambda counts: counts.sockets_now == 0)
        assert server.counts.most_sockets <= 1


async def in_threads(work: Any, count: int = THREADS) -> list[Any]:
    """Run the coroutine function once in each of so many threads, each with a loop of its own."""
    return await asyncio.gather(*(asyncio.to_thread(lambda: asyncio.run(work())) for _ in range(count)))


async def test_threads_and_tasks_join_at_once(server: FaultyServer) -> None:
    server.faults = Fault.slow_upgrade(0.05)
    messages = [f"{number}" for number in range(2000)]
    start = threading.Barrier(THREADS)
    inside = asyncio.Event()
    loop = asyncio.get_running_loop()
    count = iter(range(1, THREADS * TASKS + 1))

    async def one() -> bool:
        async with join(server.url) as client:
            stream = client.subscribe()
            if next(count) == THREADS * TASKS:
                loop.call_soon_threadsafe(inside.set)
            return [await anext(stream) for _ in messages] == messages

    async def thread() -> list[bool]:
        start.wait(10)
        return await asyncio.gather(*(one() for _ in range(TASKS)))

    threads = asyncio.create_task(in_threads(thread))
    await inside.wait()
    assert server.counts.handshakes == 1
    # What comes after the subscription has been asked for is not missed, wherever it was asked for.
    for message in messages:
        server.connections[0].send_nowait(message)
    assert await threads == [[True] * TASKS] * THREADS
    assert server.counts.handshakes == 1
    assert server.counts.close_codes == {1000: 1}


async def test_loops_and_threads_come_and_go_in_any_order(server: FaultyServer) -> None:
    async with join(server.url) as stays:
        reading = stays.subscribe()

        async def comes_and_goes() -> None:
            for _ in range(5):
                async with join(server.url) as one, join(server.url) as two:
                    stream = two.subscribe()
                    await one.send("x")
                    assert await anext(stream) == "x"
                    await one.aclose()

        await in_threads(comes_and_goes)
        assert [await anext(reading) for _ in range(THREADS * 5)] == ["x"] * (THREADS * 5)
    assert server.counts.handshakes == 1


async def test_a_loop_that_dies_takes_only_its_own_links_along(server: FaultyServer) -> None:
    clients: list[Any] = []

    def dies() -> None:
        loop = asyncio.new_event_loop()
        loop.run_until_complete(enters())
        loop.close()

    async def enters() -> None:
        client = await join(server.url)
        clients.extend((client, client.subscribe()))

    async with join(server.url) as stays:
        reading = stays.subscribe()
        await asyncio.to_thread(dies)
        await stays.send("x")
        assert await anext(reading) == "x"
        async with join(server.url):  # whoever comes next finds out
            pass
        await server.send("y")
        assert await anext(reading) == "y"
    assert server.counts.close_codes == {1000: 1}  # the dead one's client was not waited for


async def test_the_thread_that_built_it_may_leave_first(server: FaultyServer) -> None:
    first_is_in, may_leave = threading.Event(), threading.Event()

    async def first() -> None:
        async with join(server.url):
            first_is_in.set()
            await asyncio.to_thread(may_leave.wait, 10)

    building = asyncio.create_task(in_threads(first, 1))
    await asyncio.to_thread(first_is_in.wait, 10)
    async with join(server.url) as client:
        may_leave.set()
        await building
        stream = client.subscribe()
        await client.send("x")
        assert await anext(stream) == "x"
    assert server.counts.handshakes == 1


async def test_a_slow_reader_in_another_thread_harms_nobody(server: FaultyServer) -> None:
    stuck, go_on = threading.Event(), threading.Event()

    async def slow() -> str:
        async with join(server.url) as client:
            stream = client.subscribe(limit=10)
            dropping = client.subscribe(limit=10, overflow="drop_oldest")
            stuck.set()
            go_on.wait(20)
            assert [await anext(stream) for _ in range(10)] == [f"{number}" for number in range(10)]
            with pytest.raises(SlowConsumer):
                await anext(stream)
            items: list[Any] = []
            while items[-1:] != ["4999"]:  # the last of them may be handed over while the first are read
                items.append(await anext(dropping))
            assert isinstance(items[0], Gap)
            missed = sum(item.missed or 0 for item in items if isinstance(item, Gap))
            return f"{items[-10]}, {missed + sum(isinstance(item, str) for item in items)}"

    threads = asyncio.create_task(in_threads(slow, 1))
    await asyncio.to_thread(stuck.wait, 10)
    async with join(server.url) as client:
        stream = client.subscribe()
        for number in range(5000):
            server.connections[0].send_nowait(f"{number}")
        for number in range(5000):
            assert await anext(stream) == f"{number}"
        go_on.set()
        assert await threads == ["4990, 5000"]


async def test_a_reader_that_waits_holds_back_the_feed_across_threads(server: FaultyServer) -> None:
    stuck, go_on = threading.Event(), threading.Event()
    many = 30_000

    async def slow() -> bool:
        async with join(server.url) as client:
            stream = client.subscribe(limit=10, overflow="wait")
            stuck.set()
            go_on.wait(20)
            return [await anext(stream) for _ in range(many)] == [f"{number}" for number in range(many)]

    threads = asyncio.create_task(in_threads(slow, 1))
    await asyncio.to_thread(stuck.wait, 10)
    async with join(server.url) as client:
        stream = client.subscribe(limit=many)
        for number in range(many):
            server.connections[0].send_nowait(f"{number}")
        first = await anext(stream)
        assert first == "0"
        while not client.shared.upstream.status.is_held:  # noqa: ASYNC110 - there's no event: the socket itself isn't read any more
            await asyncio.sleep(0)
        go_on.set()
        for number in range(1, many):
            assert await anext(stream) == f"{number}"
        assert await threads == [True]


async def test_gaps_stay_in_their_place_in_every_thread(server: FaultyServer) -> None:
    inside = threading.Barrier(THREADS + 1)

    async def reads() -> list[Any]:
        async with join(server.url, reconnect=ReconnectPolicy(initial=0.01, cap=0.01)) as client:
            stream = client.subscribe()
            inside.wait(10)
            seen: list[Any] = []
            while len(seen) < 201:
                item = await anext(stream)
                seen.append("gap" if isinstance(item, Gap) else item)
            return seen

    threads = asyncio.create_task(in_threads(reads))
    await asyncio.to_thread(inside.wait, 10)
    for number in range(100):
        server.connections[0].send_nowait(f"{number}")
    await server.close_connections(1012)
    await server.wait_until(lambda counts: counts.upgraded == 2)
    for number in range(100, 200):
        server.connections[0].send_nowait(f"{number}")
    wanted = [*(f"{number}" for number in range(100)), "gap", *(f"{number}" for number in range(100, 200))]
    assert await threads == [wanted] * THREADS


async def test_sends_from_many_threads_arrive_once_and_in_each_ones_order(server: FaultyServer) -> None:
    names = iter("abcdefgh")

    async def sends() -> None:
        name = next(names)
        async with join(server.url) as client:
            for number in range(100):
                client.send_nowait(f"{name}{number}")
            await client.send(f"{name}100")

    async with join(server.url):
        await in_threads(sends)
        await server.wait_until(lambda counts: counts.messages_received == 101 * THREADS)
    for name in "abcd":
        mine = [message for message in server.received if str(message).startswith(name)]
        assert mine == [f"{name}{number}" for number in range(101)]


async def test_a_cancelled_joiner_in_another_thread_hurts_nobody(server: FaultyServer) -> None:
    server.faults = Fault.slow_upgrade(0.1)

    async def gives_up() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.03):
                await join(server.url)

    async def stays() -> State:
        async with join(server.url) as client:
            return client.state

    results = await asyncio.gather(in_threads(gives_up, 2), in_threads(stays, 2))
    assert results[1] == [State.CONNECTED] * 2
    assert server.counts.handshakes == 1


async def test_all_joiners_in_all_threads_cancelled(server: FaultyServer) -> None:
    server.faults = Fault.slow_upgrade(0.1)

    async def gives_up() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.03):
                await join(server.url)

    await in_threads(gives_up)
    await server.wait_until(lambda counts: counts.sockets_now == 0)
    assert server.counts.unclean_closes == server.counts.premature_closes == 0


async def test_a_burst_wakes_each_loop_once_per_turn_not_once_per_message(server: FaultyServer) -> None:
    many = 20_000
    inside = threading.Barrier(THREADS + 1)
    started = 0.0

    async def reads() -> tuple[int, float]:
        async with join(server.url) as client:
            stream = client.subscribe(limit=many)
            inbox = inbox_of(asyncio.get_running_loop())
            before = inbox.wakeups
            inside.wait(10)
            for _ in range(many):
                await anext(stream)
            return inbox.wakeups - before, time.perf_counter()

    threads = asyncio.create_task(in_threads(reads))
    await asyncio.to_thread(inside.wait, 10)
    started = time.perf_counter()
    for _ in range(many // 100):
        for number in range(100):
            server.connections[0].send_nowait(f"{number:64}")
        await asyncio.sleep(0)
    results = await threads
    seconds = max(end for _, end in results) - started
    wakeups = [count for count, _ in results]
    print(f"{many / seconds:,.0f} messages/s into each of {THREADS} threads; wake-ups: {wakeups}")  # noqa: T201
    assert all(count < many / 10 for count in wakeups)


async def test_async_and_blocking_share_one_connection(server: FaultyServer) -> None:
    def blocks() -> Any:
        with blocking.join(server.url) as client:
            client.send("from a thread")
            return client.receive(timeout=5)

    async with join(server.url) as client:
        stream = client.subscribe()
        assert await asyncio.to_thread(blocks) == "from a thread"
        assert await anext(stream) == "from a thread"
    assert server.counts.handshakes == 1
