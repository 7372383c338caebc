"""Messages before the first reader of everything wait for it: bounded, reported, and at no cost for those who read."""

from __future__ import annotations

import asyncio
import tracemalloc
from typing import Any

import pytest

from onesocket import Client, Gap, Json, State, Subscription, join
from onesocket.client import GapReason
from onesocket.client import _backlog as waiting
from onesocket.client._backlog import Backlog
from onesocket.client._fan_out import FanOut
from onesocket.errors import ClosedByPeer
from onesocket.testing import MemoryServer

from ...virtual_time import greets, make_client, on_virtual_time, settle


def queued(stream: Subscription[Any]) -> Any:
    """Read what there is, without waiting."""

    async def read() -> list[Any]:
        return [await anext(stream) for _ in range(len(stream))]

    return read()


@on_virtual_time
async def test_a_reader_made_after_the_connect_gets_the_greeting_and_the_next_one_does_not() -> None:
    server = greets("hello", "limits")
    async with make_client(server) as client:
        await asyncio.sleep(5)
        first = client.subscribe()
        assert await queued(first) == ["hello", "limits"]
        assert await queued(client.subscribe()) == []
        server.peers[0].send("third")
        assert await anext(first) == "third"
        assert client.status.subscribers == 1, "what keeps waiting messages is no subscriber"


@on_virtual_time
async def test_a_callback_made_after_the_connect_is_called_once_its_caller_has_its_remove() -> None:
    server = greets(*map(str, range(300)))
    async with make_client(server) as client:
        await settle(400)
        called: list[Any] = []
        client.on(called.append)
        assert called == []
        server.peers[0].send("live")
        await settle(2)
        assert 0 < len(called) < 300, "the loop gets its turns"
        await settle()
        assert called == [*map(str, range(300)), "live"]
        client.off(called.append)
        server.peers[0].send("unheard")
        await settle()
        assert called[-1] == "live"
        assert client.status.subscribers == 0


@on_virtual_time
async def test_a_callback_that_takes_itself_off_while_it_catches_up_hears_nothing_more() -> None:
    async with make_client(greets("1", "2", "3")) as client:
        await settle()
        called: list[Any] = []

        def once(message: Any) -> None:
            called.append(message)
            client.off(once)

        client.on(once)
        await settle()
        assert called == ["1"]
        assert client.status.subscribers == 0


@on_virtual_time
async def test_a_coroutine_made_after_the_connect_is_called_with_the_greeting() -> None:
    async with make_client(greets("1", "2")) as client:
        await settle()
        called: list[Any] = []

        async def callback(message: Any) -> None:
            called.append(message)
            await asyncio.sleep(1)

        client.on(callback)
        await asyncio.sleep(5)
        assert called == ["1", "2"]


def test_a_callback_may_be_put_on_while_the_loop_does_not_run() -> None:
    server = greets("hello")
    loop = asyncio.new_event_loop()
    client = make_client(server)
    loop.run_until_complete(client.connect())
    loop.run_until_complete(settle())
    called: list[Any] = []
    client.on(called.append)
    loop.run_until_complete(settle())
    loop.run_until_complete(client.aclose())
    loop.close()
    assert called == ["hello"]


@on_virtual_time
async def test_a_callback_that_raises_while_it_catches_up_is_reported_and_goes_on() -> None:
    reported: list[BaseException] = []
    async with make_client(greets("1", "2"), on_error=reported.append) as client:
        await settle()
        called: list[Any] = []

        def raises(message: Any) -> None:
            called.append(message)
            raise ValueError(message)

        client.on(raises)
        await settle()
        assert called == ["1", "2"]
        assert [str(error) for error in reported] == ["1", "2"]


@on_virtual_time
async def test_readers_of_an_event_take_nothing_away_from_the_reader_of_everything() -> None:
    server = greets('{"type":"hello"}', '{"type":"note","n":1}', "5")
    async with make_client(server, protocol=Json(event="type")) as client:
        notes = client.subscribe("note")
        assert await anext(notes) == {"type": "note", "n": 1}
        server.peers[0].send('{"type":"note","n":2}')
        assert await anext(notes) == {"type": "note", "n": 2}
        again = client.subscribe("note")
        assert len(again) == 0, "the first reader of an event had what waited of it"
        everything = client.subscribe()
        assert await queued(everything) == [{"type": "hello"}, {"type": "note", "n": 1}, 5, {"type": "note", "n": 2}]
        hellos: list[Any] = []
        client.on("hello", hellos.append)
        await settle()
        assert hellos == [], "since somebody reads everything, nothing waits"


@on_virtual_time
async def test_a_callback_before_the_connect_leaves_the_greeting_to_the_reader_after_it() -> None:
    client = make_client(greets('{"type":"hello"}'), protocol=Json(event="type"))
    errors: list[Any] = []
    client.on("error", errors.append)
    async with client:
        assert await anext(client.subscribe()) == {"type": "hello"}
    assert errors == []


@on_virtual_time
async def test_the_first_reader_with_a_condition_gets_what_meets_it() -> None:
    reported: list[BaseException] = []
    server = greets('{"ack":1}', "7", '{"ack":2}')
    async with make_client(server, protocol=Json(), on_error=reported.append) as client:
        await settle()
        assert await queued(client.subscribe(where=lambda message: "ack" in message)) == [{"ack": 1}, {"ack": 2}]
        await settle()
        assert [type(error) for error in reported] == [TypeError], "reported, and nobody else notices"
        assert len(client.subscribe(where=lambda _: True)) == 0
        assert len(client.subscribe()) == 3


@on_virtual_time
async def test_a_gap_marker_stands_between_two_connections() -> None:
    server = greets("hello")
    async with make_client(server) as client:
        await settle()
        server.peers[0].drop()
        await client.wait_for(State.BACKING_OFF)
        await client.wait_for(State.CONNECTED)
        await settle()
        first, gap, second = await queued(client.subscribe())
        assert (first, second) == ("hello", "hello")
        assert isinstance(gap, Gap)
        assert (gap.reason, gap.epoch) == (GapReason.RECONNECTED, 2)


@on_virtual_time
async def test_a_reader_of_an_event_that_nobody_sent_begins_with_its_call() -> None:
    server = greets('{"type":"hello"}')
    async with make_client(server, protocol=Json(event="type")) as client:
        await settle()
        server.peers[0].drop()
        await client.wait_for(State.BACKING_OFF)
        await client.wait_for(State.CONNECTED)
        await settle()
        assert len(client.subscribe("answer")) == 0
        assert len(client.subscribe("hello")) == 3
        assert len(client.subscribe(gaps=False)) == 2


@on_virtual_time
async def test_the_end_of_a_connection_that_was_up_is_told_to_the_first_reader_too() -> None:
    server = greets("error: who are you?", then=lambda peer: peer.close(1008, "bye"))
    async with make_client(server) as client:
        await client.wait_for(State.FAILED)
        stream = client.subscribe()
        assert await anext(stream) == "error: who are you?"
        with pytest.raises(ClosedByPeer):
            await anext(stream)


@on_virtual_time
async def test_what_waited_can_be_read_after_the_client_was_closed() -> None:
    client = make_client(greets("hello"))
    await client.connect()
    await settle()
    await client.aclose()
    assert [message async for message in client.subscribe()] == ["hello"]


@pytest.mark.parametrize("rule", ["fail", "drop_oldest", "wait"])
def test_what_waited_does_not_count_against_the_limit(rule: str) -> None:
    @on_virtual_time
    async def test() -> None:
        server = greets(*map(str, range(10)))
        async with make_client(server) as client:
            await settle()
            stream = client.subscribe(limit=2, overflow=rule)
            server.peers[0].send("10")
            server.peers[0].send("11")
            await settle()
            assert not client.status.is_held
            assert await queued(stream) == [*map(str, range(12))]

    test()


@on_virtual_time
async def test_beyond_the_bound_the_oldest_are_dropped_and_a_gap_has_their_number() -> None:
    server = greets(*map(str, range(3000)))
    async with make_client(server) as client:
        await settle(3000)
        got = await queued(client.subscribe())
        assert got[0] == Gap(GapReason.OVERFLOW, 1, 3000 - waiting.MAX_MESSAGES)
        assert got[1:] == [str(number) for number in range(3000 - waiting.MAX_MESSAGES, 3000)]


@on_virtual_time
async def test_a_gap_marker_that_had_to_make_room_is_still_told() -> None:
    server = greets("hello")
    async with make_client(server) as client:
        server.peers[0].drop()
        await client.wait_for(State.BACKING_OFF)
        await client.wait_for(State.CONNECTED)
        for number in range(1100):
            server.peers[1].send(str(number))
        await settle(1200)
        overflow, reconnected, *rest = await queued(client.subscribe())
        assert (overflow.reason, reconnected.reason) == (GapReason.OVERFLOW, GapReason.RECONNECTED)
        assert overflow.missed + len(rest) == 1102


@pytest.mark.parametrize("as_json", [False, True])
def test_a_client_that_never_reads_keeps_no_more_than_its_bound(as_json: bool) -> None:
    @on_virtual_time
    async def test() -> None:
        server = MemoryServer()
        async with make_client(server, protocol=Json() if as_json else None) as client:
            await settle()
            tracemalloc.start()
            before, _ = tracemalloc.get_traced_memory()
            for number in range(100):
                text = f"{number:07}" + "x" * 1_000_000
                server.peers[0].send(f'{{"text": "{text}"}}' if as_json else text)
                await settle(3)
            after, _ = tracemalloc.get_traced_memory()
            tracemalloc.stop()
            assert after - before < 1.5 * waiting.MAX_BYTES
            gap, *rest = await queued(client.subscribe())
            assert gap.missed + len(rest) == 100
            assert "0000099" in str(rest[-1])

    test()


@on_virtual_time
async def test_a_program_that_reads_by_event_for_long_keeps_nothing_for_a_reader_of_everything() -> None:
    server = MemoryServer()
    async with make_client(server, protocol=Json(event="t")) as client:
        notes: list[Any] = []
        client.on("note", notes.append)
        server.peers[0].send('{"t":"greeting"}')
        tracemalloc.start()
        before, _ = tracemalloc.get_traced_memory()
        for number in range(1100):
            server.peers[0].send(f'{{"t":"other","n":{number},"text":"{"x" * 1000}"}}')
        server.peers[0].send('{"t":"note"}')
        await settle(1200)
        after, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert after - before < waiting.MAX_MESSAGES * 1000 // 4
        assert len(client.subscribe("other")) == 0, "it begins with its call: no gap for what it didn't ask for"
        everything = client.subscribe()
        server.peers[0].send('{"t":"note","n":2}')
        assert await anext(everything) == Gap(GapReason.OVERFLOW, 1, 1102)
        assert await anext(everything) == {"t": "note", "n": 2}
        assert notes == [{"t": "note"}, {"t": "note", "n": 2}]


def test_the_messages_of_one_backlog_are_not_in_another() -> None:
    buffer, other = Backlog(), Backlog()
    reader = other.expect()
    buffer.expect()
    buffer.put("a")
    assert other.since(reader, 1) == []


def test_where_nothing_is_kept_any_more_the_messages_and_the_last_gap_are_told_all_the_same() -> None:
    buffer = Backlog(messages=2)
    first = buffer.expect()
    assert first.serves("event", filtered=False)
    for item in "abc":
        buffer.put(item)
    lost = Gap(GapReason.RECONNECTED, 2)
    buffer.put_gap(lost)
    buffer.put_many(["d", "e"])
    assert buffer.since(first, 2) == [Gap(GapReason.OVERFLOW, 2, 5), lost]
    second = buffer.expect()
    assert not buffer.only_counts, "the second one reads nothing yet"
    buffer.put_many(["f", "g", "h"])
    assert buffer.since(second, 2) == [Gap(GapReason.OVERFLOW, 2, 1), "g", "h"]
    assert buffer.since(first, 2) == [Gap(GapReason.OVERFLOW, 2, 6), lost, "g", "h"]


def test_the_newest_waits_whatever_its_size() -> None:
    buffer = Backlog()
    first = buffer.expect()
    buffer.put("small")
    buffer.put("x" * (waiting.MAX_BYTES + 1))
    gap, big = buffer.since(first, 3)
    assert gap == Gap(GapReason.OVERFLOW, 3, 1)
    assert len(big) == waiting.MAX_BYTES + 1
    buffer.forget(first)
    assert repr(buffer) == "<Waiting for 0 readers, 0 items, 0 bytes>"


def test_what_was_dropped_came_on_the_connection_of_what_is_left_not_on_the_last_one() -> None:
    buffer = Backlog(messages=4)
    first = buffer.expect()
    for item in "abcd":
        buffer.put(item)
    buffer.put_gap(Gap(GapReason.RECONNECTED, 2))
    buffer.put("e")
    dropped = Gap(GapReason.OVERFLOW, 1, 2)
    assert buffer.since(first, 2) == [dropped, "c", "d", Gap(GapReason.RECONNECTED, 2), "e"]
    buffer.put_many("fgh")
    buffer.put_gap(Gap(GapReason.RECONNECTED, 5))
    lost = Gap(GapReason.RECONNECTED, 2)
    assert buffer.since(first, 5) == [Gap(GapReason.OVERFLOW, 2, 5), lost, "f", "g", "h", Gap(GapReason.RECONNECTED, 5)]
    buffer = Backlog(messages=2)
    first = buffer.expect()
    buffer.put("a")
    for gap in (counted := Gap(GapReason.OVERFLOW, 5, 7), Gap(GapReason.RECONNECTED, 8)):
        buffer.put_gap(gap)
    assert buffer.since(first, 8) == [Gap(GapReason.OVERFLOW, 5, 1), counted, Gap(GapReason.RECONNECTED, 8)]


def test_each_of_several_gets_what_came_since_it_was_expected() -> None:
    buffer = Backlog(messages=3)
    early = buffer.expect()
    buffer.put_many(["1", "2"])
    buffer.put_gap(Gap(GapReason.RECONNECTED, 2))
    late = buffer.expect()
    buffer.put_many(["3", "4"])
    assert buffer.since(late, 2) == ["3", "4"]
    assert buffer.since(early, 2) == [Gap(GapReason.OVERFLOW, 2, 2), Gap(GapReason.RECONNECTED, 2), "3", "4"]
    buffer.forget(early)
    buffer.put_many(["5", "6"])
    assert buffer.since(late, 2) == [Gap(GapReason.OVERFLOW, 2, 1), "4", "5", "6"]


@pytest.mark.parametrize("message", [object(), {"a": object()}, [1, {2, 3}], 10**400, None, float("nan")])
def test_whatever_a_protocol_makes_of_a_message_has_a_weight(message: Any) -> None:
    assert waiting.estimate_size(message) > 0


def test_once_somebody_reads_everything_nothing_is_between_the_socket_and_the_readers() -> None:
    fanout = FanOut(
        event_of=lambda _: None,
        hold=lambda: None,
        release=lambda: None,
        report=lambda error, _source: pytest.fail(repr(error)),
        on_loop=lambda call, *args: call(*args),
    )
    fanout.early.keep()
    fanout.publish("early")
    sinks = fanout._sinks.all  # pyright: ignore[reportPrivateUsage]
    assert len(sinks) == 1
    stream = fanout.subscribe(None, None, limit=5, overflow="fail", gaps=True, raise_on_failure=True)
    assert fanout._sinks.all != sinks  # pyright: ignore[reportPrivateUsage]
    assert (len(fanout._sinks.all), len(fanout._sinks.gaps), len(fanout)) == (1, 1, 1)  # pyright: ignore[reportPrivateUsage]
    assert len(stream) == 1


@on_virtual_time
async def test_a_handle_has_its_stream_from_its_joining_and_a_late_one_from_its_own() -> None:
    server = greets("hello")
    calls: list[int] = []

    def build() -> Client:
        calls.append(1)
        return make_client(server)

    async with join("ws://memory.test/", scope="loop", client_factory=build) as early:
        await settle()
        async with join("ws://memory.test/", scope="loop", client_factory=build) as late:
            server.peers[0].send("second")
            await settle()
            assert await queued(late.subscribe()) == ["second"]
            called: list[Any] = []
            early.on(called.append)
            await settle()
            assert called == ["hello", "second"]
            assert len(early.subscribe()) == 0
    assert len(calls) == 1


@on_virtual_time
async def test_a_client_that_leaves_unread_leaves_nothing_behind() -> None:
    server = greets("hello")

    def build() -> Client:
        return make_client(server)

    async with join("ws://memory.test/", scope="loop", client_factory=build) as client:
        shared = client.shared
        other = await join("ws://memory.test/", scope="loop", client_factory=build)
        reading = client.subscribe()
        kept = [bool(shared._backlog)]  # pyright: ignore[reportPrivateUsage]
        await other.aclose()
        kept.append(bool(shared._backlog))  # pyright: ignore[reportPrivateUsage]
        assert kept == [True, False], "kept for the other, and no longer"
        assert await queued(reading) == ["hello"]
