"""Sending and receiving through the client, on virtual time and the in-memory transport."""

import asyncio
import gc
from typing import Any

import pytest

from onesocket import Client, Gap, Json, Msgpack, OnesocketError, Raw, State
from onesocket.client import GapReason, OutboxLimits
from onesocket.errors import (
    ClosedByPeer,
    DecodeError,
    DeliveryUnknown,
    EncodeError,
    InvalidOption,
    ManuallyDisconnected,
    MessageExpired,
    OutboxFull,
    SlowConsumer,
    UsageError,
)
from onesocket.transports._memory import MemoryPeer, MemoryServer
from tests.unit.virtual_time import greets, make_client, on_virtual_time, settle


def held(client: Client) -> bool:
    """True while the feed is held back."""
    return client.status.is_held


# --- receiving ----------------------------------------------------------------------------------------------


@on_virtual_time
async def test_every_subscriber_gets_every_message_in_order() -> None:
    server = MemoryServer()
    client = make_client(server)
    streams = [client.subscribe() for _ in range(3)]
    called: list[Any] = []
    awaited: list[Any] = []

    async def later(message: Any) -> None:
        await asyncio.sleep(1)
        awaited.append(message)

    client.on(called.append)
    client.on(later)
    await client.connect()
    for number in range(300):
        server.peers[0].send(str(number))
    await settle(600)
    wanted = [str(number) for number in range(300)]
    assert called == wanted
    for stream in streams:
        assert [await anext(stream) for _ in range(300)] == wanted
    await asyncio.sleep(301)
    assert awaited == wanted
    await client.aclose()


@on_virtual_time
async def test_event_names_and_predicates_filter() -> None:
    server = MemoryServer()
    client = make_client(server, protocol=Json(event="t"))
    hello = client.subscribe("hello")
    big = client.subscribe(where=lambda message: message["n"] > 1)
    called: list[Any] = []
    client.on("bye", called.append)
    await client.connect()
    for text in ('{"t":"hello","n":1}', '{"t":"bye","n":2}', '{"n":3}'):
        server.peers[0].send(text)
    await settle()
    assert await anext(hello) == {"t": "hello", "n": 1}
    assert len(hello) == 0
    assert [await anext(big), await anext(big)] == [{"t": "bye", "n": 2}, {"n": 3}]
    assert called == [{"t": "bye", "n": 2}]
    await client.aclose()


@on_virtual_time
async def test_a_subscribers_exception_is_reported_and_harms_nobody() -> None:
    server = MemoryServer()
    problems: list[BaseException] = []
    client = make_client(server, on_error=problems.append)

    def broken(message: Any) -> None:
        raise ZeroDivisionError(message)

    async def broken_later(message: Any) -> None:
        raise KeyError(message)

    client.on(broken)
    client.on(broken_later)
    stream = client.subscribe()
    await client.connect()
    server.peers[0].send("a")
    server.peers[0].send("b")
    await settle()
    assert [await anext(stream), await anext(stream)] == ["a", "b"]
    assert sorted(type(problem).__name__ for problem in problems) == ["KeyError"] * 2 + ["ZeroDivisionError"] * 2
    await client.aclose()


@on_virtual_time
async def test_fail_gives_the_slow_one_what_is_queued_and_then_slow_consumer() -> None:
    server = MemoryServer()
    client = make_client(server)
    slow = client.subscribe(limit=2)
    fast = client.subscribe()
    await client.connect()
    for number in range(5):
        server.peers[0].send(str(number))
    await settle()
    assert [await anext(slow), await anext(slow)] == ["0", "1"]
    with pytest.raises(SlowConsumer, match="2 messages behind"):
        await anext(slow)
    with pytest.raises(StopAsyncIteration):
        await anext(slow)
    assert [await anext(fast) for _ in range(5)] == list("01234")
    await client.aclose()


@on_virtual_time
async def test_drop_oldest_counts_and_leaves_a_gap() -> None:
    server = MemoryServer()
    client = make_client(server)
    stream = client.subscribe(limit=2, overflow="drop_oldest")
    await client.connect()
    for number in range(5):
        server.peers[0].send(str(number))
    await settle()
    gap = await anext(stream)
    assert isinstance(gap, Gap)
    assert (gap.reason, gap.missed) == (GapReason.OVERFLOW, 3)
    assert [await anext(stream), await anext(stream)] == ["3", "4"]
    await client.aclose()


@on_virtual_time
async def test_wait_holds_the_socket_and_loses_nothing() -> None:
    server = MemoryServer()
    client = make_client(server)
    stream = client.subscribe(limit=10, overflow="wait")
    other = client.subscribe()
    await client.connect()
    for number in range(100):
        server.peers[0].send(str(number))
    await settle(300)
    assert held(client)
    assert len(stream) <= 11
    assert len(other) == len(stream)
    assert [await anext(stream) for _ in range(100)] == [str(number) for number in range(100)]
    await settle()
    assert not held(client)
    await client.aclose()


@on_virtual_time
async def test_a_waiting_subscriber_that_goes_away_does_not_hold_the_feed() -> None:
    server = MemoryServer()
    client = make_client(server)
    stream: Any = client.subscribe(limit=1, overflow="wait")
    other = client.subscribe()
    await client.connect()
    for number in range(10):
        server.peers[0].send(str(number))
    await settle(50)
    assert held(client)
    assert client.status.subscribers == 2
    del stream
    gc.collect()
    await settle(50)
    assert not held(client)
    assert client.status.subscribers == 1
    assert len(other) == 10
    await client.aclose()


@on_virtual_time
async def test_a_held_feed_does_not_look_like_a_zombie_and_still_closes_in_order() -> None:
    server = MemoryServer()
    client = make_client(server, ping_interval=1, ping_timeout=1)
    stream = client.subscribe(limit=1, overflow="wait")
    await client.connect()
    for number in range(10):
        server.peers[0].send(str(number))
    server.peers[0].answers_ping = False
    await asyncio.sleep(60)
    assert client.state is State.CONNECTED
    await client.disconnect()
    assert server.peers[0].close_code == 1000
    assert [await anext(stream) for _ in range(10)] == [str(number) for number in range(10)], "all that came is kept"
    await client.aclose()


@on_virtual_time
async def test_streams_end_with_the_client_and_give_what_is_queued() -> None:
    server = MemoryServer()
    client = make_client(server)
    stream = client.subscribe()
    waiting = client.subscribe()
    await client.connect()
    server.peers[0].send("last words")
    await settle()
    assert await anext(waiting) == "last words"
    task = asyncio.ensure_future(anext(waiting))
    await settle()
    await client.aclose()
    assert [message async for message in stream] == ["last words"]
    with pytest.raises(StopAsyncIteration):
        await task
    assert [message async for message in client.subscribe()] == []


@on_virtual_time
async def test_a_subscription_has_one_reader_and_says_so() -> None:
    server = MemoryServer()
    client = make_client(server)
    stream = client.subscribe()
    first = asyncio.ensure_future(anext(stream))
    await settle()
    with pytest.raises(UsageError, match="one reader"):
        await anext(stream)
    await client.connect()
    server.peers[0].send("x")
    assert await first == "x"
    cancelled = asyncio.ensure_future(anext(stream))
    await settle()
    cancelled.cancel()
    await settle()
    server.peers[0].send("y")
    assert await anext(stream) == "y", "a cancelled reader loses nothing"
    await client.aclose()


@on_virtual_time
async def test_a_closed_subscription_gets_nothing_more() -> None:
    server = MemoryServer()
    client = make_client(server)
    called: list[Any] = []
    client.on(called.append)
    async with client.subscribe() as stream:
        await client.connect()
    client.off(called.append)
    client.off(called.append)
    server.peers[0].send("x")
    await settle()
    assert called == []
    assert client.status.subscribers == 0
    with pytest.raises(StopAsyncIteration):
        await anext(stream)
    await client.aclose()


@on_virtual_time
async def test_bad_options_of_subscribe_and_on_are_named() -> None:
    client = make_client(MemoryServer())
    with pytest.raises(InvalidOption, match="'fail', 'drop_oldest', 'wait'"):
        client.subscribe(overflow="block")
    with pytest.raises(InvalidOption, match="at least 1"):
        client.subscribe(limit=0)
    with pytest.raises(InvalidOption, match="one callback"):
        client.on(print, print)  # type: ignore[call-overload]
    await client.aclose()


@on_virtual_time
async def test_a_message_that_can_not_be_read_is_announced_and_the_connection_goes_on() -> None:
    server = MemoryServer()
    client = make_client(server, protocol=Json())
    stream = client.subscribe()
    await client.connect()
    server.peers[0].send("{broken")
    server.peers[0].send("[1]")
    gap = await anext(stream)
    assert isinstance(gap, Gap)
    assert gap.reason is GapReason.UNDECODABLE
    assert isinstance(gap.error, DecodeError)
    assert await anext(stream) == [1]
    assert client.stats.undecodable == 1
    await client.aclose()


@on_virtual_time
async def test_msgpack_both_ways() -> None:
    server = MemoryServer(on_message=lambda peer, data: peer.send(data))
    client = make_client(server, protocol=Msgpack())
    stream = client.subscribe()
    await client.connect()
    await client.send({"a": [1, b"x"]})
    assert await anext(stream) == {"a": [1, b"x"]}
    assert isinstance(server.peers[0].received[0], bytes)
    with pytest.raises(EncodeError, match="a message of type object can't be sent as MessagePack"):
        await client.send(object())
    await client.aclose()


# --- sending ------------------------------------------------------------------------------------------------


@on_virtual_time
async def test_messages_wait_while_the_connection_is_down_and_go_first_when_it_is_back() -> None:
    server = MemoryServer()
    client = make_client(server)
    sending = [asyncio.create_task(client.send(f"early {number}")) for number in range(3)]
    await settle()
    assert client.status.outbox == 3
    await client.connect()
    await asyncio.gather(*sending)
    await client.send("then")
    await settle()
    assert server.peers[0].received == ["early 0", "early 1", "early 2", "then"]
    assert client.status.outbox == 0
    await client.aclose()


@on_virtual_time
async def test_the_outbox_is_bounded_in_number_and_age() -> None:
    client = make_client(MemoryServer(), outbox=OutboxLimits(messages=2, age=30))
    sending = [asyncio.create_task(client.send(str(number))) for number in range(2)]
    await settle()
    with pytest.raises(OutboxFull, match="2 messages"):
        await client.send("one too many")
    loop = asyncio.get_running_loop()
    results = await asyncio.gather(*sending, return_exceptions=True)
    assert [type(result) for result in results] == [MessageExpired, MessageExpired]
    assert loop.time() == pytest.approx(30)
    await client.aclose()


@on_virtual_time
async def test_no_outbox_refuses_while_the_connection_is_down() -> None:
    server = MemoryServer()
    client = make_client(server, outbox=None)
    with pytest.raises(OutboxFull):
        await client.send("x")
    await client.connect()
    await client.send("y")
    await settle()
    assert server.peers[0].received == ["y"]
    await client.aclose()


@on_virtual_time
async def test_a_delivery_that_fails_unwatched_is_reported() -> None:
    problems: list[BaseException] = []
    client = make_client(MemoryServer(), outbox=OutboxLimits(age=5), on_error=problems.append)
    delivery = client.send_nowait("x")
    await asyncio.sleep(6)
    assert [type(problem) for problem in problems] == [MessageExpired]
    assert delivery.done
    with pytest.raises(MessageExpired):
        await delivery
    await client.aclose()


@on_virtual_time
async def test_a_cancelled_send_is_not_sent() -> None:
    server = MemoryServer()
    client = make_client(server)
    task = asyncio.create_task(client.send("x"))
    await settle()
    task.cancel()
    await settle()
    assert client.status.outbox == 0
    await client.connect()
    await settle()
    assert server.peers[0].received == []
    await client.aclose()


@on_virtual_time
async def test_disconnect_gives_waiting_messages_back_to_their_senders() -> None:
    client = make_client(MemoryServer(on_dial=lambda _peer: None))
    client.connect_nowait()
    task = asyncio.create_task(client.send("x"))
    await settle()
    await client.disconnect()
    with pytest.raises(ManuallyDisconnected):
        await task
    with pytest.raises(ManuallyDisconnected):
        client.send_nowait("y")
    await client.aclose()


@on_virtual_time
async def test_a_congested_socket_is_felt_by_the_sender() -> None:
    server = MemoryServer()
    client = make_client(server)
    await client.connect()
    server.peers[0].stop_reading()
    sending = [asyncio.create_task(client.send(str(number))) for number in range(3)]
    await asyncio.sleep(10)
    assert not any(task.done() for task in sending)
    server.peers[0].resume_reading()
    await asyncio.gather(*sending)
    await settle()
    assert server.peers[0].received == ["0", "1", "2"]
    await client.aclose()


@on_virtual_time
async def test_messages_on_their_way_in_a_loss_have_an_unknown_fate_and_the_rest_goes_by_the_next_connection() -> None:
    server = MemoryServer()
    client = make_client(server)
    await client.connect()
    server.peers[0].stop_reading()
    sending = [asyncio.create_task(client.send(str(number))) for number in range(3)]
    await settle()
    server.peers[0].drop()
    results = await asyncio.gather(*sending, return_exceptions=True)
    assert [type(result) for result in results] == [DeliveryUnknown, type(None), type(None)]
    await settle()
    assert server.peers[1].received == ["1", "2"]
    await client.aclose()


@on_virtual_time
async def test_an_orderly_close_takes_along_what_still_waits_for_the_socket() -> None:
    server = MemoryServer()
    client = make_client(server)
    await client.connect()
    peer = server.peers[0]
    peer.stop_reading()
    deliveries = [client.send_nowait(str(number)) for number in range(5)]
    leaving = asyncio.create_task(client.disconnect())
    await settle()
    peer.resume_reading()
    await leaving
    assert peer.received == list("01234")
    assert peer.close_code == 1000
    assert all(delivery.done and delivery.error is None for delivery in deliveries)
    await client.aclose()


@on_virtual_time
async def test_messages_wait_through_a_failure_and_go_out_with_the_next_connection() -> None:
    server = MemoryServer()
    client = make_client(server)
    await client.connect()
    server.peers[0].close(1008)
    await client.wait_for(State.FAILED, timeout=1)
    assert isinstance(client.status.last_error, ClosedByPeer)
    task = asyncio.create_task(client.send("still there?"))
    await settle()
    await client.connect()
    await task
    await settle()
    assert server.peers[1].received == ["still there?"]
    await client.aclose()


def test_a_coroutine_callback_may_be_given_before_there_is_a_loop() -> None:
    server = MemoryServer()
    client = make_client(server)
    got: list[Any] = []

    async def later(message: Any) -> None:
        got.append(message)
        client.off(later)

    client.on(later)

    @on_virtual_time
    async def main() -> None:
        await client.connect()
        server.peers[0].send("x")
        server.peers[0].send("y")
        await settle()
        await client.aclose()

    main()
    assert got == ["x"], "a callback may take itself off, and finishes its message"


@on_virtual_time
async def test_aclose_lets_callbacks_finish_what_is_queued_and_can_be_called_by_one() -> None:
    server = MemoryServer()
    client = make_client(server)
    got: list[Any] = []

    async def slow(message: Any) -> None:
        await asyncio.sleep(1)
        got.append(message)
        if message == "c":
            await client.aclose()

    client.on(slow)
    await client.connect()
    for text in "abc":
        server.peers[0].send(text)
    await settle()
    await client.wait_for(State.CLOSED, timeout=60)
    assert got == ["a", "b", "c"]
    await settle()


# --- what must not happen -----------------------------------------------------------------------------------


@on_virtual_time
async def test_a_cancelled_error_out_of_a_subscriber_harms_nobody() -> None:
    server = MemoryServer()
    problems: list[BaseException] = []
    client = make_client(server, on_error=problems.append)
    cancelled = asyncio.get_running_loop().create_future()
    cancelled.cancel()
    told: list[State] = []

    async def awaits(_message: Any) -> None:
        await cancelled

    client.on(lambda _message: cancelled.result(), gaps=True)
    client.on(awaits, overflow="wait", limit=2, gaps=True)
    client.on_change(lambda _change: cancelled.result())
    client.on_change(lambda change: told.append(change.new))
    stream = client.subscribe()
    await client.connect()
    for number in range(20):
        server.peers[0].send(str(number))
    await asyncio.sleep(1)
    assert [await anext(stream) for _ in range(20)] == [str(number) for number in range(20)]
    assert not held(client)
    assert told == [State.CONNECTING, State.CONNECTED]
    await client.reconnect()
    await settle()
    assert told[2:] == [State.CLOSING, State.CONNECTING, State.CONNECTED]
    assert {type(problem) for problem in problems} == {asyncio.CancelledError}
    assert len(problems) == 20 + 20 + 5 + 2, "each message for both callbacks, each change, and the gap for both"
    await client.aclose()


@on_virtual_time
async def test_fail_leaves_no_hole_even_for_a_reader_that_stays_a_little_behind() -> None:
    server = MemoryServer()
    client = make_client(server)
    stream = client.subscribe(limit=4)
    await client.connect()
    got: list[Any] = []
    for number in range(6):
        server.peers[0].send(str(number))
    await settle()
    problem: SlowConsumer | None = None
    for number in range(6, 20):
        try:
            got.append(await anext(stream))
        except SlowConsumer as error:
            problem = error
            break
        server.peers[0].send(str(number))
        await settle()
    assert problem is not None
    assert got == list("0123")
    assert stream.dropped > 0
    await client.aclose()


@on_virtual_time
async def test_a_failure_that_is_over_is_not_raised_later() -> None:
    answers = iter([lambda peer: peer.refuse(ClosedByPeer("no", code=1008, reason="", retryable=False))])
    server = MemoryServer(on_dial=lambda peer: next(answers, MemoryPeer.accept)(peer))  # noqa: PLW0108 - one for each
    client = make_client(server)
    stream = client.subscribe()
    with pytest.raises(ClosedByPeer):
        await client.connect()
    await client.connect()
    server.peers[1].send("a")
    assert await anext(stream) == "a"
    waiting = asyncio.ensure_future(anext(stream))
    await settle()
    assert not waiting.done()
    await client.aclose()
    with pytest.raises(StopAsyncIteration):
        await waiting


@on_virtual_time
async def test_a_cancelled_aclose_still_ends_the_streams() -> None:
    server = MemoryServer()
    client = make_client(server, close_timeout=5)
    stream, changes = client.subscribe(), client.changes()
    await client.connect()
    server.peers[0].answers_close = False
    reading = asyncio.ensure_future(anext(stream))
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(1):
            await client.aclose()
    with pytest.raises(StopAsyncIteration):
        await reading
    assert [change.new async for change in changes][-1] is State.CLOSED


@on_virtual_time
async def test_several_callbacks_may_close_the_client() -> None:
    server = MemoryServer()
    client = make_client(server, close_timeout=2)
    ended: list[str] = []

    def closer(name: str) -> Any:
        async def close(_message: Any) -> None:
            await asyncio.wait_for(client.aclose(), 10)
            ended.append(name)

        return close

    client.on(closer("a"))
    client.on(closer("b"))
    await client.connect()
    server.peers[0].send("now")
    await client.wait_for(State.CLOSED, timeout=10)
    await asyncio.sleep(5)
    assert sorted(ended) == ["a", "b"]


@on_virtual_time
async def test_text_that_is_no_text_is_refused_at_once_connection_or_not() -> None:
    server = MemoryServer()
    client = make_client(server)
    with pytest.raises(EncodeError, match="UTF-8"):
        await client.send("\ud800")
    good = client.send_nowait("good")
    await client.connect()
    await good
    assert client.state is State.CONNECTED
    await client.aclose()


@on_virtual_time
async def test_a_protocol_that_misbehaves_is_a_typed_error_and_not_a_hang() -> None:
    class Odd(Json):
        def encode(self, message: Any) -> Any:
            return message if message != "boom" else {}[message]

        def decode(self, data: Any) -> Any:
            if data == "poison":
                raise KeyError(data)
            return super().decode(data)

    server = MemoryServer()
    client = make_client(server, protocol=Odd(), reconnect=None)
    with pytest.raises(EncodeError, match="made int of it"):
        await client.send(5)
    with pytest.raises(EncodeError, match="failed on a message of type str"):
        await client.send("boom")
    stream = client.subscribe()
    await client.connect()
    server.peers[0].send("poison")
    with pytest.raises(OnesocketError, match="the protocol json failed: KeyError"):
        await anext(stream)
    assert client.state is State.FAILED
    await client.aclose()


@on_virtual_time
async def test_an_event_name_that_is_none_is_no_trouble() -> None:
    server = MemoryServer()
    client = make_client(server, protocol=Json(event=lambda message: message["t"]))
    called: list[Any] = []
    client.on("x", called.append)
    await client.connect()
    for text in ('{"t":[]}', '{"t":{}}', '{"t":"x"}'):
        server.peers[0].send(text)
    await settle()
    assert called == [{"t": "x"}]
    assert client.state is State.CONNECTED
    await client.aclose()


@on_virtual_time
async def test_a_delivery_whose_waiter_went_away_is_reported() -> None:
    problems: list[BaseException] = []
    client = make_client(MemoryServer(), outbox=OutboxLimits(age=5), on_error=problems.append)
    delivery = client.send_nowait("x")

    async def wait() -> None:
        await delivery

    with pytest.raises(TimeoutError):
        await asyncio.wait_for(wait(), 1)
    await asyncio.sleep(10)
    assert [type(problem) for problem in problems] == [MessageExpired]
    await client.aclose()


@on_virtual_time
async def test_what_a_callback_sends_while_the_peer_closes_is_not_lost() -> None:
    server = MemoryServer()
    client = make_client(server)
    client.on(lambda message: client.send_nowait(f"re {message}"), gaps=False)
    await client.connect()
    stream = client.subscribe(overflow="wait", limit=1)  # holds the feed, so there's something to hand over at the end
    for number in range(5):
        server.peers[0].send(str(number))
    server.peers[0].close(1011)
    await settle()
    del stream
    gc.collect()
    await client.wait_for(State.CONNECTED, timeout=10)
    await asyncio.sleep(1)
    arrived = server.peers[0].received + server.peers[1].received
    assert sorted(arrived) == [f"re {number}" for number in range(5)]
    await client.aclose()


@on_virtual_time
async def test_subscriptions_collected_in_a_thread_leave_nothing_behind() -> None:
    server = MemoryServer()
    client = make_client(server)
    await client.connect()
    for _ in range(50):
        client.subscribe(overflow="wait", limit=1)
    await settle()
    assert client.status.subscribers == 0
    await client.aclose()


# --- messages that may be sent twice ------------------------------------------------------------------------


@on_virtual_time
async def test_a_message_with_resend_whose_fate_is_unknown_goes_by_the_next_connection() -> None:
    server = MemoryServer()
    client = make_client(server)
    await client.connect()
    server.peers[0].stop_reading()
    sending = [asyncio.create_task(client.send(text, resend=text == "twice")) for text in ("twice", "waits")]
    await settle()
    server.peers[0].drop()
    await asyncio.gather(*sending)
    await settle()
    assert sorted(server.peers[1].received) == ["twice", "waits"]
    await client.aclose()


@pytest.mark.parametrize("end", ["expires", "disconnect", "no outbox"])
def test_a_message_that_is_being_sent_again_and_is_not_has_an_unknown_fate(end: str) -> None:
    @on_virtual_time
    async def main() -> None:
        server = MemoryServer()
        client = make_client(server, outbox=OutboxLimits(messages=10, age=30) if end != "no outbox" else None)
        await client.connect()
        server.peers[0].stop_reading()
        sending = asyncio.create_task(client.send("twice", resend=True))
        await settle()
        server.on_dial = lambda peer: peer.refuse(OnesocketError("not now"))
        server.peers[0].drop()
        await settle()
        assert sending.done() == (end == "no outbox")
        if end == "disconnect":
            await client.disconnect()
        with pytest.raises(DeliveryUnknown):
            await sending
        await client.aclose()

    main()


# --- the forms of on() --------------------------------------------------------------------------------------


@on_virtual_time
async def test_on_returns_the_function_in_each_of_its_forms() -> None:
    server = MemoryServer()
    client = make_client(server, protocol=Json(event="type"))
    got: list[tuple[str, Any]] = []

    @client.on
    def every(message: Any) -> None:
        got.append(("every", message["type"]))

    @client.on("a")
    def named(message: Any) -> None:
        got.append(("named", message["type"]))

    @client.on(limit=5)
    async def later(message: Any) -> None:
        got.append(("later", message["type"]))

    assert client.on("b", named) is named
    assert client.on(None, every) is every
    named({"type": "called"})
    await client.connect()
    server.peers[0].send('{"type": "a"}')
    await settle()
    expected = [("every", "a"), ("every", "a"), ("named", "a"), ("later", "a")]
    assert got == [("named", "called"), *expected]
    got.clear()
    client.off(every)
    client.off(later)
    client.off(named)  # the newest registration: for "b"
    client.off(print)
    server.peers[0].send('{"type": "b"}')
    server.peers[0].send('{"type": "a"}')
    await settle()
    assert got == [("every", "b"), ("every", "a"), ("named", "a")]
    await client.aclose()


@on_virtual_time
async def test_a_client_can_be_iterated() -> None:
    server = greets("hello")
    got: list[Any] = []
    async with make_client(server) as client:
        server.peers[0].send("x")
        async for message in client:
            got.append(message)
            if message == "x":
                break
        assert client.status.subscribers == 0
    assert got == ["hello", "x"]


@on_virtual_time
async def test_a_callback_gets_gap_markers_only_if_it_wants_them() -> None:
    server = MemoryServer()
    client = make_client(server)
    without: list[Any] = []
    awaited: list[Any] = []
    with_gaps: list[Any] = []

    async def later(message: Any) -> None:
        awaited.append(message)

    client.on(without.append)
    client.on(later)
    client.on(None, with_gaps.append, gaps=True)
    await client.connect()
    server.peers[0].drop()
    await asyncio.sleep(1)
    server.peers[1].send("x")
    await settle()
    assert without == awaited == ["x"]
    assert [type(item) for item in with_gaps] == [Gap, str]
    await client.aclose()


@on_virtual_time
async def test_an_awaitable_that_a_plain_callback_returns_is_awaited_before_the_next_message() -> None:
    server = MemoryServer()
    problems: list[BaseException] = []
    client = make_client(server, on_error=problems.append)
    log: list[str] = []

    async def handle(message: str) -> None:
        log.append(f"begin {message}")
        await asyncio.sleep(1)
        log.append(f"end {message}")
        if message == "b":
            raise ValueError(message)

    callback = client.on(lambda message: None if message == "plain" else handle(message))
    await client.connect()
    for text in ("plain", "a", "b", "plain", "c"):
        server.peers[0].send(text)
    await asyncio.sleep(10)
    assert log == ["begin a", "end a", "begin b", "end b", "begin c", "end c"]
    assert [type(problem) for problem in problems] == [ValueError]
    server.peers[0].send("d")
    server.peers[0].send("e")
    await settle()
    client.off(callback)
    await asyncio.sleep(10)
    assert log[6:] == ["begin d"]
    assert client.status.subscribers == 0
    await client.aclose()


@on_virtual_time
async def test_a_plain_callback_may_return_an_awaitable_while_it_catches_up_or_has_removed_itself() -> None:
    server = greets("a", "b", "c")
    client = make_client(server, protocol=Raw(event=lambda _: None))
    await client.connect()
    await settle()
    log: list[str] = []

    async def handle(message: str) -> None:
        await asyncio.sleep(1)
        log.append(message)

    def once(message: str) -> Any:
        client.off(once)
        return handle(f"once {message}")

    client.on(lambda message: handle(message[:1]))
    await settle()
    server.peers[0].send("d")
    await asyncio.sleep(10)
    assert log == ["a", "b", "c", "d"]
    client.on("e", once)
    client.on(None, once)
    server.peers[0].send("e")
    await asyncio.sleep(10)
    assert log[4:] == ["e", "once e"]
    await client.aclose()
