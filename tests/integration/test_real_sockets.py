"""The client against a real server on loopback. The *server* counts."""

import asyncio
import random
from collections.abc import AsyncIterator
from typing import Any

import pytest

from onesocket import (
    Client,
    ConnectAborted,
    Gap,
    GapReason,
    Json,
    ManuallyDisconnected,
    Outcome,
    PortRefused,
    ReconnectPolicy,
    State,
    ZombieLine,
)
from onesocket.testing import Fault, FaultyServer

DEADLINE = 10


@pytest.fixture
async def server() -> AsyncIterator[FaultyServer]:
    async with FaultyServer() as running:
        yield running


def assert_clean(server: FaultyServer, *, handshakes: int, upgraded: int | None = None) -> None:
    """What the server saw: so many handshakes, one socket at a time, nothing abandoned."""
    counts = server.counts
    assert counts.handshakes == handshakes, counts
    assert counts.upgraded == (handshakes if upgraded is None else upgraded), counts
    assert counts.most_sockets <= 1, counts
    assert counts.most_open <= 1, counts
    assert counts.premature_closes == 0, counts
    assert counts.unclean_closes == 0, counts
    assert counts.protocol_errors == 0, counts


async def test_a_thousand_callers_one_handshake(server: FaultyServer) -> None:
    async with Client(server.url) as client:
        await client.disconnect()
        server.reset_counts()
        outcomes = await asyncio.gather(*(client.reconnect() for _ in range(1000)))
    assert outcomes.count(Outcome.OPENED) == 1
    assert_clean(server, handshakes=1)
    counts = await server.wait_until(lambda counts: counts.sockets_now == 0, timeout=DEADLINE)
    assert counts.close_codes == {1000: 1}


async def test_echo_of_text_binary_and_large_messages(server: FaultyServer) -> None:
    async with Client(server.url) as client:
        stream = client.subscribe()
        for message in ("text ☃", b"\x00\xff", "", b"", "x" * 200_000, b"y" * 3_000_000):
            await client.send(message)
            assert await anext(stream) == message
    assert_clean(server, handshakes=1)


async def test_json_protocol_over_a_real_socket(server: FaultyServer) -> None:
    async with Client(server.url, protocol=Json(event="t")) as client:
        stream = client.subscribe("hello")
        await client.send({"t": "other"})
        await client.send({"t": "hello", "n": 1})
        assert await anext(stream) == {"t": "hello", "n": 1}


async def test_reconnect_awaits_the_acknowledged_close(server: FaultyServer) -> None:
    async with Client(server.url) as client:
        for _ in range(20):
            await client.reconnect()
    assert_clean(server, handshakes=21)


@pytest.mark.parametrize("stage", ["before the dial", "in the upgrade", "just accepted"])
async def test_every_caller_cancelled_at_any_stage_leaves_nothing_open(server: FaultyServer, stage: str) -> None:
    release = asyncio.Event()
    server.faults = Fault.hold_upgrade(release)
    client = Client(server.url, open_timeout=DEADLINE)
    tasks = [asyncio.create_task(client.connect()) for _ in range(20)]
    if stage == "before the dial":
        await asyncio.sleep(0)
    else:
        await server.wait_until(lambda counts: counts.handshakes == 1, timeout=DEADLINE)
    if stage == "just accepted":
        release.set()
        await server.wait_until(lambda counts: counts.upgraded == 1, timeout=DEADLINE)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    release.set()
    await client.wait_for(State.DISCONNECTED, State.CONNECTED, timeout=DEADLINE)
    await client.aclose()
    await server.wait_until(lambda counts: counts.sockets_now == 0, timeout=DEADLINE)
    counts = server.counts
    assert counts.premature_closes == 0, counts
    assert counts.unclean_closes == 0, counts
    assert counts.most_open <= 1


async def test_disconnect_during_a_slow_upgrade_closes_with_1000(server: FaultyServer) -> None:
    release = asyncio.Event()
    server.faults = Fault.hold_upgrade(release)
    client = Client(server.url, open_timeout=DEADLINE)
    caller = asyncio.create_task(client.connect())
    await server.wait_until(lambda counts: counts.handshakes == 1, timeout=DEADLINE)
    leaving = asyncio.create_task(client.disconnect())
    with pytest.raises(ConnectAborted):
        await caller
    assert not leaving.done()
    release.set()
    await leaving
    counts = await server.wait_until(lambda counts: counts.sockets_now == 0, timeout=DEADLINE)
    assert counts.close_codes == {1000: 1}
    assert_clean(server, handshakes=1)
    with pytest.raises(ManuallyDisconnected):
        await client.connect()
    await client.aclose()


async def test_a_killed_line_is_resumed_with_one_handshake(server: FaultyServer) -> None:
    client = Client(server.url)
    stream = client.subscribe()
    await client.connect()
    server.reset_counts()
    server.kill_connections()
    await client.wait_for(State.BACKING_OFF, timeout=DEADLINE)
    outcomes = await asyncio.gather(*(client.connect() for _ in range(100)))
    assert Outcome.ALREADY_CONNECTED not in outcomes
    assert_clean(server, handshakes=1)
    gap = await anext(stream)
    assert isinstance(gap, Gap)
    assert gap.reason is GapReason.RECONNECTED
    await client.aclose()


async def test_a_restarted_server_is_found_again(server: FaultyServer) -> None:
    client = Client(server.url, reconnect=ReconnectPolicy(initial=0.01, cap=0.02))
    await client.connect()
    await server.stop_listening(kill=True)
    changes = client.changes()
    async for change in changes:
        if change.new is State.BACKING_OFF and isinstance(change.error, PortRefused):
            break
    await server.start()
    await client.wait_for(State.CONNECTED, timeout=DEADLINE)
    assert server.counts.most_open == 1
    await client.aclose()


async def test_a_half_open_line_is_found_by_ping_and_resumed(server: FaultyServer) -> None:
    client = Client(server.url, ping_interval=0.05, ping_timeout=0.05)
    changes = client.changes()
    await client.connect()
    server.connections[0].go_silent()
    async for change in changes:
        if change.error is not None:
            assert isinstance(change.error, ZombieLine)
            break
    await client.wait_for(State.CONNECTED, timeout=DEADLINE)
    await client.aclose()
    assert server.counts.handshakes == 2


async def test_accept_then_close_is_not_hammered(server: FaultyServer) -> None:
    server.faults = Fault.accept_then_close(1011)
    client = Client(server.url)
    await client.connect()
    await server.wait_until(lambda counts: counts.handshakes == 4, timeout=DEADLINE)
    # By then the back-off has grown; how far is checked on virtual time.
    assert client.status.reconnect_attempts >= 3
    await client.aclose()
    assert server.counts.most_open == 1


async def test_a_close_that_is_never_acknowledged_is_aborted_at_close_timeout(server: FaultyServer) -> None:
    server.faults = Fault.never_acknowledge_close()
    client = Client(server.url, close_timeout=0.2)
    await client.connect()
    async with asyncio.timeout(DEADLINE):
        await client.disconnect()
    await server.wait_until(lambda counts: counts.sockets_now == 0, timeout=DEADLINE)
    await client.aclose()


async def test_a_server_that_acknowledges_but_keeps_the_connection_does_not_delay_us(server: FaultyServer) -> None:
    server.faults = Fault.keep_tcp_after_close()
    client = Client(server.url, close_timeout=DEADLINE)
    await client.connect()
    async with asyncio.timeout(DEADLINE / 2):
        await client.disconnect()
    await client.aclose()


@pytest.mark.parametrize("code", [1000, 1001, 1011, 1012, 3000, 4000])
async def test_the_servers_close_is_answered_and_resumed(server: FaultyServer, code: int) -> None:
    client = Client(server.url)
    await client.connect()
    changes = client.changes()
    await server.close_connections(code, "bye")
    async with asyncio.timeout(DEADLINE):
        seen = [await anext(changes) for _ in range(4)]
    assert [change.new for change in seen] == [State.CLOSING, State.BACKING_OFF, State.CONNECTING, State.CONNECTED]
    assert str(code) in str(seen[0].error)
    assert server.counts.unclean_closes == 0
    assert server.counts.most_sockets == 1
    await client.aclose()


async def test_a_burst_in_one_read_reaches_everybody_and_leaves_the_loop_its_turns(server: FaultyServer) -> None:
    messages = [f"{number} " + "x" * 500 for number in range(5000)]
    server.faults = Fault.burst(messages).after(1)
    async with Client(server.url) as client:
        stream = client.subscribe(limit=10_000)
        turns_between: list[int] = []
        turns = 0
        loop = asyncio.get_running_loop()
        stop = False

        def tick() -> None:
            nonlocal turns
            turns += 1
            if not stop:
                loop.call_soon(tick)

        client.on(lambda message: turns_between.append(turns))
        await client.send("go")
        tick()
        got: list[Any] = []
        while len(got) < 5001:
            got.append(await anext(stream))
        stop = True
    assert [message for message in got if message != "go"] == messages
    per_turn = [turns_between.count(turn) for turn in set(turns_between)]
    assert max(per_turn) <= 2 * 128, "a burst is handed over in slices"


async def test_back_pressure_of_a_waiting_reader_reaches_the_server(server: FaultyServer) -> None:
    async with Client(server.url, ping_interval=None) as client:
        stream = client.subscribe(limit=4, overflow="wait", gaps=False)
        connection = server.connections[0]
        total = 400

        async def flood() -> None:
            for number in range(total):
                await connection.send(f"{number:06d}" + "x" * 50_000)

        flooding = asyncio.create_task(flood())
        first = await anext(stream)
        got = [first]
        while len(got) < total:
            got.append(await anext(stream))
        await flooding
    assert [message[:6] for message in got] == [f"{number:06d}" for number in range(total)]


async def test_back_pressure_of_the_server_reaches_the_sender(server: FaultyServer) -> None:
    server.faults = Fault.stop_reading()
    client = Client(server.url, ping_interval=None, close_timeout=0.2)
    await client.connect()
    block = b"z" * 1_000_000
    delivery = client.send_nowait(block)
    while delivery.done:
        delivery = client.send_nowait(block)
    waiting = asyncio.create_task(client.send(block))
    server.connections[0].resume()
    await delivery
    await waiting
    await client.aclose()


async def test_a_crowd_of_callers_doing_anything_never_has_two_sockets(server: FaultyServer) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")  # noqa: T201 - pytest shows it when the test fails
    chance = random.Random(seed)
    client = Client(server.url, open_timeout=2, close_timeout=1)

    async def somebody() -> None:
        for _ in range(15):
            verbs = [client.connect, client.reconnect, client.disconnect]
            verb = chance.choices(verbs, weights=[80, 15, 5])[0]
            task: asyncio.Task[Any] = asyncio.create_task(verb())
            for _ in range(chance.randrange(6)):
                await asyncio.sleep(0)
            if chance.random() < 0.3:
                task.cancel()
            if chance.random() < 0.05:
                server.kill_connections()
            await asyncio.gather(task, return_exceptions=True)

    async with asyncio.timeout(40):
        await asyncio.gather(*(somebody() for _ in range(20)))
        await client.reconnect()
        await client.aclose()
    counts = await server.wait_until(lambda counts: counts.sockets_now == 0, timeout=DEADLINE)
    assert counts.most_open == 1, counts
    assert counts.premature_closes == 0, counts
    assert counts.upgraded > 0
