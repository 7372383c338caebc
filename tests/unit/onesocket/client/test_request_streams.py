"""`request_stream()` on a connection in memory: answers by id until an end, an error or a loss; what is stopped."""

from __future__ import annotations

import asyncio
import gc
import json
from typing import Any

import pytest

from onesocket import Client, Gap, Json, Pace, Requests
from onesocket.errors import (
    ClientClosed,
    ConnectFailed,
    EncodeError,
    InvalidOption,
    ManuallyDisconnected,
    MessageExpired,
    RequestLost,
    RequestRefused,
    SlowConsumer,
    UsageError,
)
from onesocket.lifecycle import OutboxLimits, ReconnectPolicy
from onesocket.testing import MemoryServer
from onesocket.transports._memory import MemoryPeer

from ...virtual_time import make_client, on_virtual_time, settle

GRAPHQL = Json(
    requests=Requests(
        make_id=str,
        refused=lambda message: message["payload"] if message["type"] == "error" else None,
        last=lambda message: message["type"] == "complete",
        stop=lambda request: {"id": request["id"], "type": "complete"},
    )
)
HOME_ASSISTANT = Json(requests=Requests(stop=lambda request: {"type": "unsubscribe", "subscription": request["id"]}))
NOW = ReconnectPolicy(initial=0.0, cap=0.0)
LATER = ReconnectPolicy(initial=20.0, cap=20.0)


def asked(peer: MemoryPeer) -> list[dict[str, Any]]:
    """The messages that the peer got."""
    return [json.loads(data) for data in peer.received]


def say(peer: MemoryPeer, id_: Any, type_: str, payload: Any = None) -> None:
    peer.send(json.dumps({"id": id_, "type": type_, "payload": payload}))


def operation(text: str) -> dict[str, Any]:
    return {"id": "mine", "type": "subscribe", "payload": text}


async def read(stream: Any) -> list[Any]:
    """The payloads until the end."""
    return [message if isinstance(message, Gap) else message["payload"] async for message in stream]


async def payload(stream: Any) -> Any:
    """The payload of the next answer."""
    return (await anext(stream))["payload"]


@on_virtual_time
async def test_streams_with_the_same_id_get_their_own_answers_until_their_end() -> None:
    server = MemoryServer()
    async with make_client(server, protocol=GRAPHQL) as client:
        others = client.subscribe()
        one, two = (client.request_stream(operation(text)) for text in ("one", "two"))
        await settle()
        peer = server.peers[0]
        assert [(message["id"], message["payload"]) for message in asked(peer)] == [("1", "one"), ("2", "two")]
        for number in range(3):
            say(peer, "2", "next", f"two {number}")
            say(peer, "1", "next", f"one {number}")
        say(peer, "1", "complete")
        say(peer, "2", "complete")
        assert await anext(one) == {"id": "mine", "type": "next", "payload": "one 0"}
        assert await read(one) == ["one 1", "one 2"]
        assert await read(two) == ["two 0", "two 1", "two 2"]
        one.close()
        await settle()
        assert len(asked(peer)) == 2, "what is complete is not stopped"
        assert (len(others), client.stats.late_answers) == (0, 0)
        requests = client.internals.requests
        assert requests is not None
        assert not requests.table.pending


@on_virtual_time
async def test_a_refusal_is_raised_behind_the_answers_before_it() -> None:
    server = MemoryServer()
    async with make_client(server, protocol=GRAPHQL) as client:
        stream = client.request_stream(operation("one"))
        await settle()
        say(server.peers[0], "1", "next", 1)
        say(server.peers[0], "1", "error", "no such field")
        assert await payload(stream) == 1
        with pytest.raises(RequestRefused, match="no such field") as refused:
            await anext(stream)
        assert refused.value.answer["id"] == "mine"
        with pytest.raises(StopAsyncIteration):
            await anext(stream)


@on_virtual_time
@pytest.mark.parametrize("way", ["close", "with", "forgotten"])
async def test_a_stream_that_is_left_is_stopped_once_and_its_answers_are_dropped(way: str) -> None:
    server = MemoryServer()
    async with make_client(server, protocol=GRAPHQL) as client:
        others = client.subscribe()
        stream = client.request_stream(operation("one"))
        await settle()
        say(server.peers[0], "1", "next", 1)
        if way == "with":
            async with stream:
                await anext(stream)
        elif way == "close":
            stream.close()
            stream.close()
        del stream
        gc.collect()
        await settle()
        assert asked(server.peers[0])[1:] == [{"id": "1", "type": "complete"}]
        say(server.peers[0], "1", "next", 2)
        await settle()
        assert (len(others), client.stats.late_answers) == (0, 0)


@on_virtual_time
async def test_a_message_that_stops_a_stream_gets_an_id_of_its_own_where_it_has_none() -> None:
    server = MemoryServer()
    async with make_client(server, protocol=HOME_ASSISTANT) as client:
        others = client.subscribe()
        stream = client.request_stream({"type": "subscribe_events"})
        await settle()
        stream.close()
        await settle()
        assert asked(server.peers[0])[1] == {"id": 2, "type": "unsubscribe", "subscription": 1}
        server.peers[0].send('{"id": 2, "type": "result", "success": true}')
        await settle()
        assert (len(others), client.stats.late_answers) == (0, 0)


@on_virtual_time
async def test_a_loss_is_raised() -> None:
    server = MemoryServer()
    async with make_client(server, protocol=GRAPHQL, reconnect=NOW) as client:
        stream = client.request_stream(operation("one"))
        await settle()
        say(server.peers[0], "1", "next", 1)
        await settle()
        server.peers[0].drop()
        await settle()
        assert client.epoch == 2, "the next connection is up before the reader looks"
        assert await payload(stream) == 1
        with pytest.raises(RequestLost):
            await anext(stream)
        stream.close()
        await settle()
        assert asked(server.peers[1]) == [], "there is nothing to stop"


@on_virtual_time
async def test_with_resend_a_stream_goes_on_behind_a_gap() -> None:
    server = MemoryServer()
    async with make_client(server, protocol=GRAPHQL, reconnect=NOW) as client:
        stream = client.request_stream(operation("one"), resend=True)
        for number in range(3):
            await settle()
            say(server.peers[number], str(number + 1), "next", number)
            await settle()
            if number < 2:
                server.peers[number].drop()
                await client.connect()
        say(server.peers[2], "3", "complete")
        items = await read(stream)
        assert [item if isinstance(item, int) else (item.reason, item.epoch) for item in items] == [
            0,
            ("reconnected", 2),
            1,
            ("reconnected", 3),
            2,
        ]
        assert [[message["payload"] for message in asked(peer)] for peer in server.peers] == [["one"]] * 3
        left = client.request_stream(operation("two"), resend=True)
        await settle()
        left.close()
        server.peers[2].drop()
        await client.connect()
        await settle()
        assert asked(server.peers[3]) == [], "a stream that was closed is not asked for again"


@on_virtual_time
@pytest.mark.parametrize("outbox", [OutboxLimits(), None])
async def test_with_resend_a_stream_outlives_every_outage_as_a_subscription_does(outbox: OutboxLimits | None) -> None:
    is_up = [True]
    server = MemoryServer(
        lambda peer: peer.accept() if is_up else peer.refuse(ConnectFailed("down")),
        on_message=lambda peer, data: say(peer, json.loads(data)["id"], "next", len(server.peers)),
    )
    async with make_client(server, protocol=GRAPHQL, reconnect=LATER, outbox=outbox) as client:
        stream = client.request_stream(operation("prices"), resend=True)
        assert await payload(stream) == 1
        is_up.clear()
        server.peers[0].drop()
        await asyncio.sleep(2 * OutboxLimits().age)
        is_up.append(True)
        assert isinstance(await anext(stream), Gap)
        assert await payload(stream) == len(server.peers)
        assert len(stream) == 0


@on_virtual_time
async def test_a_stream_is_stopped_on_its_own_connection_or_not_at_all() -> None:
    server = MemoryServer(on_message=lambda peer, data: say(peer, json.loads(data)["id"], "next", "first"))
    protocol = Json(requests=HOME_ASSISTANT.requests, pace=Pace(1, per=5.0))
    async with make_client(server, protocol=protocol, reconnect=NOW) as client:
        stream = client.request_stream(operation("events"))
        assert await payload(stream) == "first"
        stream.close()
        await settle()
        server.peers[0].drop()
        await asyncio.sleep(20)
        assert [len(peer.received) for peer in server.peers] == [1, 0], "the next one knows nothing of it"


@on_virtual_time
async def test_a_stream_waits_for_the_connection_and_is_not_sent_once_it_is_closed() -> None:
    server = MemoryServer()
    client = make_client(server, protocol=GRAPHQL)
    stays, leaves = client.request_stream(operation("stays")), client.request_stream(operation("leaves"))
    leaves.close()
    async with client:
        await settle()
        assert [message["payload"] for message in asked(server.peers[0])] == ["stays"]
        say(server.peers[0], "1", "next", 1)
        assert await payload(stays) == 1


@on_virtual_time
async def test_what_keeps_it_from_being_sent_is_raised() -> None:
    client = make_client(MemoryServer(), protocol=GRAPHQL, outbox=OutboxLimits(messages=1, age=2.0))
    stream = client.request_stream(operation("late"))
    with pytest.raises(MessageExpired):
        await anext(stream)
    waits = client.request_stream(operation("waits"), resend=True)
    await client.disconnect()
    with pytest.raises(ManuallyDisconnected):
        await anext(waits)
    with pytest.raises(ManuallyDisconnected):
        client.request_stream(operation("refused"))
    await client.reconnect()
    with pytest.raises(EncodeError):
        client.request_stream({"q": object()})
    with pytest.raises(InvalidOption, match="overflow must be one of"):
        client.request_stream(operation("x"), overflow="nonsense")
    with pytest.raises(InvalidOption, match="limit must be"):
        client.request_stream(operation("x"), limit=0)
    await client.aclose()
    with pytest.raises(ClientClosed):
        client.request_stream(operation("x"))
    assert client.status.subscribers == 0


@on_virtual_time
async def test_a_reader_that_is_too_slow_loses_its_stream_alone() -> None:
    server = MemoryServer()
    async with make_client(server, protocol=GRAPHQL) as client:
        slow = client.request_stream(operation("slow"), limit=2)
        drops = client.request_stream(operation("drops"), limit=2, overflow="drop_oldest")
        await settle()
        for number in range(4):
            for id_ in ("1", "2"):
                say(server.peers[0], id_, "next", number)
        say(server.peers[0], "2", "complete")
        await settle()
        assert [await payload(slow) for _ in range(2)] == [0, 1]
        with pytest.raises(SlowConsumer):
            await anext(slow)
        await settle()
        assert asked(server.peers[0])[2:] == [{"id": "1", "type": "complete"}]
        gap, *rest = await read(drops)
        assert (gap.missed, rest) == (2, [2, 3])


@on_virtual_time
async def test_a_function_that_fails_ends_its_stream_and_nothing_else() -> None:
    def refused(message: dict[str, Any]) -> None:
        if message.get("bad"):
            raise LookupError

    errors: list[BaseException] = []
    server = MemoryServer()
    protocol = Json(requests=Requests(refused=refused, stop=lambda _: 1 / 0))
    async with make_client(server, protocol=protocol, on_error=errors.append) as client:
        stream, other = client.request_stream({}), client.request_stream({})
        await settle()
        server.peers[0].send('{"id": 1, "bad": true}')
        server.peers[0].send('{"id": 2, "good": true}')
        with pytest.raises(UsageError, match="a function of Requests raised LookupError"):
            await anext(stream)
        assert await anext(other) == {"id": 2, "good": True}
        other.close()
        assert [type(error) for error in errors] == [LookupError], "reported once"


@on_virtual_time
async def test_a_client_without_requests_refuses_a_stream() -> None:
    async with make_client(MemoryServer(), protocol=Json()) as client:
        with pytest.raises(InvalidOption, match=r"Json\(requests=Requests\(id='id'\)\)"):
            client.request_stream({})


@on_virtual_time
async def test_a_stream_ends_with_its_client() -> None:
    server = MemoryServer()
    client: Client[Any] = make_client(server, protocol=GRAPHQL)
    await client.connect()
    stream = client.request_stream(operation("one"))
    task = asyncio.get_running_loop().create_task(read(stream))
    await settle()
    await client.aclose()
    with pytest.raises(RequestLost):
        await task
