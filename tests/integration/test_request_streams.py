"""`request_stream()` of every kind of client, over real sockets; the *server* tells what was asked and stopped."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from onesocket import Gap, Json, Requests, SharedClient, join
from onesocket.errors import ClientClosed, RequestLost, RequestRefused, SlowConsumer, UsageError
from onesocket.sharing._answer_relay import AnswerRelay
from onesocket.sharing._loop_inbox import LoopInbox
from onesocket.testing import FaultyServer
from onesocket.testing._faulty_connection import FaultyConnection
from tests.integration.test_client_parity import KINDS, Handle, open_handle
from tests.integration.test_requests import open_processes
from tests.support.waiting import until


def refused(message: dict[str, Any]) -> str | None:
    return message["payload"] if message["type"] == "error" else None


def is_last(message: dict[str, Any]) -> bool:
    return bool(message["type"] == "complete")


def stop(request: dict[str, Any]) -> dict[str, Any]:
    return {"id": request["id"], "type": "complete"}


PROTOCOL = Json(requests=Requests(make_id=str, refused=refused, last=is_last, stop=stop))
HOME_ASSISTANT = Json(requests=Requests(stop=lambda request: {"type": "unsubscribe", "subscription": request["id"]}))


def operate(connection: FaultyConnection, text: str | bytes) -> None:
    """An operation counts to its number, and goes on if that is negative."""
    message = json.loads(text)
    if message["type"] != "subscribe":
        return
    count = message["count"]
    for number in range(abs(count)):
        connection.send_nowait(json.dumps({"id": message["id"], "type": "next", "n": number}))
    if count == 0:
        connection.send_nowait(json.dumps({"id": message["id"], "type": "error", "payload": "nothing to count"}))
    elif count > 0:
        connection.send_nowait(json.dumps({"id": message["id"], "type": "complete"}))


def stopped(server: FaultyServer) -> list[str]:
    messages = [json.loads(data) for data in server.received]
    return [message["id"] for message in messages if message["type"] == "complete"]


def count_to(count: int) -> dict[str, Any]:
    return {"id": "mine", "type": "subscribe", "count": count}


@pytest.fixture
async def server() -> AsyncIterator[FaultyServer]:
    async with FaultyServer(on_message=operate) as server:
        yield server
        await server.wait_until(lambda counts: counts.sockets_now == 0)


@pytest.fixture(params=KINDS)
async def handle(request: pytest.FixtureRequest, server: FaultyServer, tmp_path: Path) -> AsyncIterator[Handle]:
    named = {"key": "account"} if request.param == "host" else {}
    async with open_handle(request.param, server.url, tmp_path, protocol=PROTOCOL, **named) as handle:
        yield handle


async def open_stream(handle: Handle, count: int, **options: Any) -> Any:
    return await handle.call(lambda client: client.request_stream(count_to(count), **options))


async def test_every_kind_of_client_reads_its_own_streams(server: FaultyServer, handle: Handle) -> None:
    streams = [await open_stream(handle, count) for count in (2, 3, 1)]
    for count, stream in zip((2, 3, 1), streams, strict=True):
        for number in range(count):
            assert await handle.receive(stream) == {"id": "mine", "type": "next", "n": number}
        with pytest.raises((StopAsyncIteration, ClientClosed)):
            await handle.receive(stream)
    with pytest.raises(RequestRefused, match="nothing to count"):
        await handle.receive(await open_stream(handle, 0))
    endless = await open_stream(handle, -2)
    await handle.receive(endless)
    await handle.call(lambda _: endless.close())
    await until(lambda: stopped(server) == ["5"])


async def test_a_loss_ends_a_stream_or_leaves_a_gap(server: FaultyServer, handle: Handle) -> None:
    lost, kept = await open_stream(handle, -1), await open_stream(handle, -1, resend=True)
    for stream in (lost, kept):
        assert (await handle.receive(stream))["n"] == 0
    server.kill_connections()
    with pytest.raises(RequestLost):
        await handle.receive(lost)
    gap = await handle.receive(kept)
    assert isinstance(gap, Gap)
    assert (await handle.receive(kept))["n"] == 0
    await handle.call(lambda _: kept.close())
    await until(lambda: stopped(server) == ["3"])


async def test_a_request_that_cannot_be_made_is_raised_and_no_stream_waits_for_it(
    server: FaultyServer, tmp_path: Path
) -> None:
    def fails(message: Any, id_: Any) -> Any:
        raise TypeError(message, id_)

    protocol = Json(requests=Requests(id_of=lambda message: message["id"], with_id=fails))
    for kind in KINDS:
        named = {} if kind == "client" else {"key": "account"}
        async with open_handle(kind, server.url, tmp_path, protocol=protocol, **named) as handle:
            with pytest.raises((TypeError, UsageError)):
                await handle.receive(await open_stream(handle, 1))


async def test_a_client_that_leaves_stops_its_streams(server: FaultyServer) -> None:
    async with join(server.url, protocol=PROTOCOL) as stays:
        leaves: SharedClient[Any] = await join(server.url, protocol=PROTOCOL)
        stream = leaves.request_stream(count_to(-1))
        kept: Any = stays.request_stream(count_to(-1))
        await anext(stream)
        await leaves.aclose()
        with pytest.raises(StopAsyncIteration):
            await anext(stream)
        await until(lambda: stopped(server) == ["1"])
        assert (await anext(kept))["n"] == 0


async def test_a_loop_that_does_not_run_loses_its_stream_and_holds_no_memory() -> None:
    class StoppedInbox:
        def __init__(self) -> None:
            self.posted: list[Any] = []

        def post(self, call: Any, *arguments: Any) -> bool:
            self.posted.append((call, arguments))
            return True

    class Sink:
        def __init__(self) -> None:
            self.errors: list[BaseException] = []
            self.taken = 0

        def take(self, answer: Any) -> None:
            assert answer == self.taken
            self.taken += 1

        def fail(self, error: BaseException) -> None:
            self.errors.append(error)

        def end(self) -> None:
            raise NotImplementedError

    inbox: Any = StoppedInbox()
    sink: Any = Sink()
    assert hasattr(LoopInbox, "post")
    relay = AnswerRelay(inbox, sink)
    for number in range(20_000):
        relay.take(number)
    assert len(inbox.posted) == 16_385
    for call, arguments in inbox.posted:
        call(*arguments)
    assert (sink.taken, [type(error) for error in sink.errors]) == (16_384, [SlowConsumer])


# --- processes --------------------------------------------------------------------------------------------------------


class AnswerList:
    """Takes the answers of an upstream."""

    def __init__(self) -> None:
        self.answers: list[Any] = []
        self.errors: list[BaseException] = []
        self.ended = 0

    def take(self, answer: Any) -> None:
        self.answers.append(answer)

    def fail(self, error: BaseException) -> None:
        self.errors.append(error)

    def end(self) -> None:
        self.ended += 1


@pytest.mark.parametrize("asks", [0, 1], ids=["owner", "follower"])
async def test_a_process_gets_its_answers_and_stops_what_it_leaves(
    server: FaultyServer, tmp_path: Path, asks: int
) -> None:
    async with open_processes(server, tmp_path, PROTOCOL, 2) as upstreams:
        whole, refused, left, unread = AnswerList(), AnswerList(), AnswerList(), AnswerList()
        upstreams[asks].open_answers(count_to(2), whole)
        upstreams[asks].open_answers(count_to(0), refused)
        close = upstreams[asks].open_answers(count_to(-3), left)
        upstreams[1].open_answers(count_to(-1), unread)
        await until(lambda: bool(whole.ended and refused.answers and len(left.answers) == 3 and unread.answers))
        assert [answer["type"] for answer in whole.answers] == ["next", "next", "complete"]
        assert refused.answers[0]["type"] == "error"
        close()
        close()
        await until(lambda: stopped(server) == ["3"])
        await upstreams[1].aclose()
        await until(lambda: stopped(server) == ["3", "4"])
        assert upstreams[0]._owner is not None
        requests = upstreams[0]._owner.client.internals.requests
        assert requests is not None
        assert not requests.table.pending


async def test_a_followers_messages_and_streams_keep_their_order(server: FaultyServer, tmp_path: Path) -> None:
    async with open_processes(server, tmp_path, PROTOCOL, 2) as (_, follower):
        sends = []
        for number in range(3):
            sends.append(asyncio.ensure_future(follower.send({"type": "note", "n": number})))
            await asyncio.sleep(0)
            follower.open_answers(count_to(1), AnswerList())
        await asyncio.gather(*sends)
        await until(lambda: len(server.received) == 6)
        assert [json.loads(data)["type"] for data in server.received] == ["note", "subscribe"] * 3


async def test_a_followers_stop_gets_an_id_of_its_own(server: FaultyServer, tmp_path: Path) -> None:
    async with open_processes(server, tmp_path, HOME_ASSISTANT, 2) as (_, follower):
        answers = AnswerList()
        close = follower.open_answers({"type": "subscribe", "count": -1}, answers)
        await until(lambda: len(answers.answers) == 1)
        close()
        await until(lambda: len(server.received) == 2)
        assert json.loads(server.received[1]) == {"id": 2, "type": "unsubscribe", "subscription": 1}


@pytest.mark.parametrize("in_order", [True, False])
async def test_the_end_of_the_owner_loses_a_followers_streams(
    server: FaultyServer, tmp_path: Path, in_order: bool
) -> None:
    async with open_processes(server, tmp_path, PROTOCOL, 2) as (owner, follower):
        answers, again = AnswerList(), AnswerList()
        follower.open_answers(count_to(-1), answers)
        await until(lambda: len(answers.answers) == 1)
        assert owner._owner is not None
        if in_order:
            await owner.aclose()
        else:
            for connection in owner._owner._followers._attached:
                connection.abort()
        await until(lambda: bool(answers.errors))
        assert isinstance(answers.errors[0], RequestLost)
        while not again.answers:  # an owner that is leaving may have got the first one
            again.errors.clear()
            follower.open_answers(count_to(-1), again)
            await until(lambda: bool(again.answers or again.errors))


async def test_a_follower_that_does_not_read_loses_its_streams(
    server: FaultyServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_processes(server, tmp_path, PROTOCOL, 2) as (owner, follower):
        answers = AnswerList()
        follower.open_answers(count_to(-1), answers)
        await until(lambda: len(answers.answers) == 1)
        assert owner._owner is not None
        (connection,) = owner._owner._followers._attached
        # As the transport reports it when more answers wait for the socket than `buffer`.
        monkeypatch.setattr(connection._transport, "get_write_buffer_size", lambda: 2**40)
        await server.broadcast('{"id": "1", "type": "next", "n": 1}')
        await until(lambda: bool(answers.errors))
        monkeypatch.undo()
        assert isinstance(answers.errors[0], SlowConsumer)
        await until(lambda: stopped(server) == ["1"])
