"""`request()` on a connection in memory: ids, answers, time-outs, losses and cancellation, as the peer sees them."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Callable
from typing import Any

import pytest

from onesocket import Client, Gap, Json, Pace, Requests, State
from onesocket.errors import (
    ConnectFailed,
    EncodeError,
    InvalidOption,
    ManuallyDisconnected,
    MessageExpired,
    RequestLost,
    RequestRefused,
    RequestTimeout,
    SilenceTimeout,
    UsageError,
)
from onesocket.lifecycle import OutboxLimits, ReconnectPolicy
from onesocket.testing import MemoryServer
from onesocket.transports._memory import MemoryPeer

from ...virtual_time import make_client, on_virtual_time, settle

PROTOCOL = Json(requests=Requests(refused=lambda answer: answer.get("error")))
NOW = ReconnectPolicy(initial=0.0, cap=0.0)
LATER = ReconnectPolicy(initial=20.0, cap=20.0)


def asked(peer: MemoryPeer) -> list[dict[str, Any]]:
    """The messages that the peer got."""
    return [json.loads(data) for data in peer.received]


def answer(peer: MemoryPeer, request: dict[str, Any], **more: Any) -> None:
    peer.send(json.dumps({"id": request["id"], "answer": request.get("q"), **more}))


def answering(reply: Callable[[MemoryPeer, dict[str, Any]], object] = answer) -> MemoryServer:
    """A server that answers each request at once."""
    return MemoryServer(on_message=lambda peer, data: reply(peer, json.loads(data)))


def requesting(client: Client[Any], *numbers: int, **options: Any) -> list[asyncio.Task[Any]]:
    """Tasks with a request each; all of them have the same id."""
    return [
        asyncio.get_running_loop().create_task(client.request({"q": number, "id": 7}, **options)) for number in numbers
    ]


async def outcome(task: asyncio.Task[Any]) -> Any:
    await asyncio.wait([task])
    return task.exception() or task.result()


@on_virtual_time
async def test_each_caller_gets_its_own_answer_with_its_own_id_in_whatever_order_they_come() -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")  # noqa: T201 - pytest shows it when the test fails
    server = MemoryServer()
    async with make_client(server, protocol=PROTOCOL) as client:
        stream = client.subscribe()
        tasks = requesting(client, *range(20))
        await settle(100)
        peer = server.peers[0]
        requests = asked(peer)
        assert [request["q"] for request in requests] == [*range(20)], "in the order of the calls"
        assert len({request["id"] for request in requests}) == 20
        random.Random(seed).shuffle(requests)
        for request in requests:
            answer(peer, request)
            peer.send('{"event": 1}')
        await settle(100)
        assert await asyncio.gather(*tasks) == [{"id": 7, "answer": number} for number in range(20)]
        await settle()
        assert [await anext(stream) for _ in range(len(stream))] == [{"event": 1}] * 20, "answers are the callers'"
        assert (client.stats.received, client.stats.sent, client.stats.late_answers) == (40, 20, 0)


@on_virtual_time
async def test_an_answer_without_a_request_goes_to_the_subscribers() -> None:
    server = MemoryServer()
    async with make_client(server, protocol=PROTOCOL) as client:
        stream = client.subscribe()
        task = requesting(client, 1)[0]
        await settle()
        server.peers[0].send('{"id": 99}')
        assert await anext(stream) == {"id": 99}
        answer(server.peers[0], asked(server.peers[0])[0])
        assert (await task)["answer"] == 1
        server.peers[0].send('{"id": 1}')
        assert await anext(stream) == {"id": 1}, "nothing is remembered of a request that was answered"


@on_virtual_time
async def test_a_refusal_is_raised_with_its_answer() -> None:
    server = answering(lambda peer, request: answer(peer, request, error="no such pair"))
    async with make_client(server, protocol=PROTOCOL) as client:
        refusal = await outcome(requesting(client, 1)[0])
        assert isinstance(refusal, RequestRefused)
        assert not refusal.retryable
        assert refusal.answer == {"id": 7, "answer": 1, "error": "no such pair"}


@on_virtual_time
async def test_a_late_answer_is_dropped_and_counted() -> None:
    server = MemoryServer()
    loop = asyncio.get_running_loop()
    async with make_client(server, protocol=PROTOCOL) as client:
        stream = client.subscribe()
        start = loop.time()
        late = await outcome(requesting(client, 1, timeout=2.5)[0])
        assert (type(late), late.was_sent, late.retryable, loop.time() - start) == (RequestTimeout, True, False, 2.5)
        assert isinstance(late, TimeoutError)
        peer = server.peers[0]
        answer(peer, asked(peer)[0])
        answer(peer, asked(peer)[0])
        task = requesting(client, 2)[0]
        await settle()
        answer(peer, asked(peer)[1])
        assert (await task)["answer"] == 2
        assert (client.stats.late_answers, client.stats.connection.late_answers, len(stream)) == (2, 2, 0)


@on_virtual_time
async def test_the_default_time_out_is_ten_seconds_and_none_waits_on() -> None:
    server = MemoryServer()
    loop = asyncio.get_running_loop()
    async with make_client(server, protocol=PROTOCOL) as client:
        start = loop.time()
        patient = requesting(client, 1, timeout=None)[0]
        assert isinstance(await outcome(requesting(client, 2)[0]), RequestTimeout)
        assert loop.time() - start == 10
        await asyncio.sleep(1000)
        answer(server.peers[0], asked(server.peers[0])[0])
        assert (await patient)["answer"] == 1


@on_virtual_time
async def test_a_cancelled_request_harms_no_other() -> None:
    server = MemoryServer()
    async with make_client(server, protocol=PROTOCOL) as client:
        stream = client.subscribe()
        one, two = requesting(client, 1, 2)
        await settle()
        one.cancel()
        assert isinstance((await asyncio.gather(one, return_exceptions=True))[0], asyncio.CancelledError)
        for request in asked(server.peers[0]):
            answer(server.peers[0], request)
        assert (await two)["answer"] == 2
        assert (client.stats.late_answers, len(stream)) == (1, 0)


@on_virtual_time
async def test_requests_are_lost_with_the_connection_on_which_they_were_sent() -> None:
    server = MemoryServer()
    async with make_client(server, protocol=PROTOCOL, reconnect=NOW) as client:
        one, two = requesting(client, 1, 2)
        await settle()
        answer(server.peers[0], asked(server.peers[0])[0])
        server.peers[0].drop()
        assert (await one)["answer"] == 1
        lost = await outcome(two)
        assert (type(lost), lost.retryable) == (RequestLost, False)
        await client.connect()
        answer(server.peers[1], {"id": 2})
        assert (await outcome(requesting(client, 3, timeout=1)[0])).was_sent
        assert client.stats.late_answers == 0, "an answer on another connection answers nothing"


@on_virtual_time
async def test_an_answer_on_the_next_connection_is_no_late_one() -> None:
    server = MemoryServer()
    async with make_client(server, protocol=PROTOCOL, reconnect=NOW) as client:
        assert isinstance(await outcome(requesting(client, 1, timeout=1)[0]), RequestTimeout)
        server.peers[0].drop()
        await settle()
        stream = client.subscribe(gaps=False)
        server.peers[1].send('{"id": 1}')
        assert await anext(stream) == {"id": 1}
        assert client.stats.late_answers == 0


@on_virtual_time
async def test_a_request_is_asked_again_after_a_loss_where_the_program_wants_that() -> None:
    server = MemoryServer()
    async with make_client(server, protocol=PROTOCOL, reconnect=NOW) as client:
        task = requesting(client, 1, resend=True)[0]
        await settle()
        for number in range(3):
            server.peers[number].drop()
            await client.connect()
            await settle()
        assert [[request["q"] for request in asked(peer)] for peer in server.peers] == [[1]] * 4
        assert len({request["id"] for peer in server.peers for request in asked(peer)}) == 4, "an id of its own each"
        answer(server.peers[3], asked(server.peers[3])[0])
        assert await task == {"id": 7, "answer": 1}
        endless = requesting(client, 2, resend=True, timeout=3)[0]
        await settle()
        server.peers[3].drop()
        assert isinstance(await outcome(endless), RequestTimeout), "one time for all"


def failing(is_up: list[bool], **options: Any) -> MemoryServer:
    """A server that refuses connections while `is_up` is empty, and answers nothing."""
    return MemoryServer(lambda peer: peer.accept() if is_up else peer.refuse(ConnectFailed("down")), **options)


@on_virtual_time
@pytest.mark.parametrize(
    ("options", "then", "expected"),
    [
        ({}, None, RequestTimeout),
        ({"outbox": None}, None, RequestTimeout),
        ({"outbox": OutboxLimits(messages=4, age=1.0)}, None, RequestTimeout),
        ({}, "disconnect", RequestLost),
        ({}, "aclose", RequestLost),
    ],
)
async def test_a_request_that_was_lost_and_not_sent_again_may_have_been_carried_out(
    options: dict[str, Any], then: str | None, expected: type[RequestTimeout | RequestLost]
) -> None:
    is_up = [True]
    server = failing(is_up)
    async with make_client(server, protocol=PROTOCOL, reconnect=LATER, **options) as client:
        task = requesting(client, 1, resend=True, timeout=5)[0]
        await settle()
        is_up.clear()
        server.peers[0].drop()
        await asyncio.sleep(2)
        if then is not None:
            await getattr(client, then)()
        error = await outcome(task)
        assert type(error) is expected
        assert getattr(error, "was_sent", True)


@on_virtual_time
async def test_a_request_that_is_to_be_repeated_waits_for_the_connection_without_an_outbox() -> None:
    is_up = [True]

    def reply(peer: MemoryPeer, data: str | bytes) -> None:
        if len(server.peers) > 1:
            answer(peer, json.loads(data))

    server = failing(is_up, on_message=reply)
    async with make_client(server, protocol=PROTOCOL, reconnect=LATER, outbox=None) as client:
        task = requesting(client, 1, resend=True, timeout=None)[0]
        await settle()
        is_up.clear()
        server.peers[0].drop()
        await asyncio.sleep(1000)
        is_up.append(True)
        assert (await task)["answer"] == 1


@on_virtual_time
async def test_ids_increase_on_a_connection_in_whatever_order_requests_are_sent() -> None:
    server = answering()
    client = make_client(server, protocol=PROTOCOL)
    waiting = requesting(client, 1, 2)
    await settle()
    first: list[asyncio.Task[Any]] = []

    async def ask_first() -> None:
        async for change in client.changes():
            if change.new is State.CONNECTED:
                assert (await client.request({"q": 0, "id": 7}))["answer"] == 0

    first.append(asyncio.get_running_loop().create_task(ask_first()))
    await settle()
    async with client:
        assert [(await task)["answer"] for task in waiting] == [1, 2]
        got = asked(server.peers[0])
        assert [request["q"] for request in got] == [0, 1, 2]
        assert [request["id"] for request in got] == sorted(request["id"] for request in got)
    await first[0]


@on_virtual_time
async def test_a_message_with_the_id_of_a_request_that_is_not_sent_is_no_answer() -> None:
    server = answering(lambda peer, request: answer(peer, request) if "id" in request else None)
    protocol = Json(requests=Requests(), pace=Pace(1, per=5.0))
    async with make_client(server, protocol=protocol) as client:
        stream = client.subscribe(gaps=False)
        await client.send({"first": True})
        task = requesting(client, 1)[0]
        await settle()
        server.peers[0].send('{"id": 1, "event": "nobody asked for it"}')
        assert (await anext(stream))["event"]
        assert (await task)["answer"] == 1


@on_virtual_time
async def test_an_id_that_make_id_repeats_is_told_to_the_request_that_would_get_it() -> None:
    server = MemoryServer()
    client = make_client(server, protocol=Json(requests=Requests(make_id=lambda _: 1)))
    one, two = requesting(client, 1, 2)
    await settle()
    async with client:
        with pytest.raises(UsageError, match="returned 1 again"):
            await two
        answer(server.peers[0], asked(server.peers[0])[0])
        assert (await one)["answer"] == 1


@on_virtual_time
async def test_a_request_waits_for_the_connection_as_a_message_does() -> None:
    def reply(peer: MemoryPeer, request: dict[str, Any]) -> None:
        if "id" in request:
            answer(peer, request)

    server = answering(reply)
    client = make_client(server, protocol=PROTOCOL)
    client.send_nowait({"first": True})
    task = requesting(client, 1)[0]
    await settle()
    late = requesting(client, 2, timeout=0)[0]
    refused = await outcome(late)
    assert (type(refused), refused.was_sent, refused.retryable) == (RequestTimeout, False, True)
    cancelled = requesting(client, 3)[0]
    await settle()
    cancelled.cancel()
    await settle()
    async with client:
        assert (await task)["answer"] == 1
        assert [request.get("q") for request in asked(server.peers[0])] == [None, 1], "neither 2 nor 3"


@on_virtual_time
async def test_what_keeps_a_message_from_being_sent_is_raised() -> None:
    server = answering()
    client = make_client(server, protocol=PROTOCOL, outbox=OutboxLimits(messages=4, age=2.0))
    assert isinstance(await outcome(requesting(client, 1)[0]), MessageExpired)
    waits = requesting(client, 1)[0]
    await settle()
    await client.disconnect()
    assert isinstance(await outcome(waits), ManuallyDisconnected)
    with pytest.raises(ManuallyDisconnected):
        await client.request({"q": 1})
    await client.reconnect()
    with pytest.raises(EncodeError):
        await client.request({"q": object()})
    with pytest.raises(UsageError, match="with_id"):
        await client.request("no message that can get an id")
    assert (await client.request({"q": 2}))["answer"] == 2, "none of them has left anything behind"
    await client.aclose()


@on_virtual_time
@pytest.mark.parametrize("is_answered", [False, True])
async def test_a_request_that_was_being_written_is_lost_unless_it_was_answered(is_answered: bool) -> None:
    server = MemoryServer()
    async with make_client(server, protocol=PROTOCOL, reconnect=NOW) as client:
        server.peers[0].stop_reading()
        one, two = requesting(client, 1, 2)
        await settle()
        if is_answered:
            server.peers[0].send('{"id": 1, "answer": 1}')
        server.peers[0].drop()
        expected = {"id": 7, "answer": 1} if is_answered else RequestLost
        assert expected in (await outcome(one), type(await outcome(one)))
        await settle()
        answer(server.peers[1], asked(server.peers[1])[0])
        assert (await two)["answer"] == 2, "it was not sent before, and so not lost"


@on_virtual_time
async def test_requests_keep_to_the_pace() -> None:
    server = answering()
    loop = asyncio.get_running_loop()
    protocol = Json(requests=Requests(), pace=Pace(2, per=1.0))
    async with make_client(server, protocol=protocol) as client:
        start = loop.time()
        await asyncio.gather(*requesting(client, *range(6)))
        assert loop.time() - start > 1.5


@on_virtual_time
async def test_an_answer_is_a_sign_of_life() -> None:
    server = answering()
    async with make_client(server, protocol=PROTOCOL, silence_timeout=10) as client:
        for number in range(8):
            await asyncio.gather(*requesting(client, number))
            await asyncio.sleep(6)
        assert client.epoch == 1
    named = make_client(server, protocol=PROTOCOL, silence_timeout=10, silence_of=lambda message: "answer" in message)
    async with named:
        for number in range(8):
            await asyncio.gather(*requesting(named, number))
            await asyncio.sleep(6)
        assert named.epoch == 1
        await asyncio.sleep(20)
        assert isinstance(named.status.last_loss, SilenceTimeout)


@on_virtual_time
async def test_of_an_array_of_messages_each_answer_finds_its_caller() -> None:
    server = MemoryServer()
    async with make_client(server, protocol=Json(many=True, requests=Requests())) as client:
        stream = client.subscribe()
        one, two = requesting(client, 1, 2)
        await settle()
        server.peers[0].send('[{"id": 2}, {"event": 1}, {"id": 1}, {"event": 2}]')
        assert (await one, await two) == ({"id": 7}, {"id": 7})
        assert [await anext(stream), await anext(stream)] == [{"event": 1}, {"event": 2}]


@on_virtual_time
async def test_a_function_that_fails_is_reported_once_and_costs_no_message() -> None:
    def id_of(_message: Any) -> int:
        raise LookupError("no member")

    errors: list[BaseException] = []
    server = MemoryServer()
    protocol = Json(requests=Requests(id_of=id_of))
    async with make_client(server, protocol=protocol, on_error=errors.append) as client:
        stream = client.subscribe()
        task = requesting(client, 1, timeout=5)[0]
        await settle()
        for number in range(3):
            server.peers[0].send(f'{{"n": {number}}}')
        assert [await anext(stream) for _ in range(3)] == [{"n": 0}, {"n": 1}, {"n": 2}]
        assert isinstance(await outcome(task), RequestTimeout)
        assert [type(error) for error in errors] == [LookupError]


@on_virtual_time
async def test_more_messages_of_an_answered_operation_are_dropped_without_being_late() -> None:
    server = MemoryServer()
    protocol = Json(requests=Requests(last=lambda message: message.get("type") == "complete"))
    async with make_client(server, protocol=protocol) as client:
        stream = client.subscribe()
        task = requesting(client, 1)[0]
        await settle()
        server.peers[0].send('{"id": 1, "type": "next"}')
        server.peers[0].send('{"id": 1, "type": "complete"}')
        assert (await task)["type"] == "next"
        await settle()
        assert (len(stream), client.stats.late_answers) == (0, 0)


@on_virtual_time
async def test_a_client_without_requests_refuses_them_and_names_the_remedy() -> None:
    async with make_client(MemoryServer(), protocol=Json()) as client:
        assert client.internals.requests is None, "and has no part for them"
        with pytest.raises(InvalidOption, match=r"Json\(requests=Requests\(id='id'\)\)"):
            await client.request({})
    async with make_client(MemoryServer(), protocol=PROTOCOL) as client:
        with pytest.raises(InvalidOption, match="timeout must be a number of seconds"):
            await client.request({}, timeout=-1)
        with pytest.raises(InvalidOption, match="resend must be True or False"):
            await client.request({}, resend=1)  # type: ignore[arg-type]


@on_virtual_time
async def test_random_losses_cancellations_and_late_answers_leave_nothing_behind() -> None:
    """Whatever happens, each request has the answer to its own question, or a typed error, and no reader gets one."""
    seed = random.randrange(2**32)
    print(f"seed {seed}")  # noqa: T201 - pytest shows it when the test fails
    chance = random.Random(seed)
    loop = asyncio.get_running_loop()

    def reply(peer: MemoryPeer, request: dict[str, Any]) -> None:
        if chance.random() < 0.1:
            peer.drop()
        elif chance.random() < 0.9:
            loop.call_later(chance.choice([0, 0.5, 3]), answer, peer, request)

    server = answering(reply)
    async with make_client(server, protocol=PROTOCOL, reconnect=NOW) as client:
        stream = client.subscribe()
        tasks: list[asyncio.Task[Any]] = []
        for number in range(300):
            tasks += requesting(client, number, timeout=2, resend=chance.random() < 0.3)
            if chance.random() < 0.1:
                chance.choice(tasks).cancel()
            await asyncio.sleep(chance.choice([0, 0.1]))
        results = await asyncio.gather(*tasks, return_exceptions=True)
        for number, result in enumerate(results):
            if isinstance(result, BaseException):
                assert isinstance(result, RequestTimeout | RequestLost | asyncio.CancelledError), result
            else:
                assert result == {"id": 7, "answer": number}
        await asyncio.sleep(5)
        table = client.internals.requests
        assert table is not None
        assert not table.table.pending
        assert {type(await anext(stream)) for _ in range(len(stream))} == {Gap}
