"""`Json(many=True)` and `Msgpack(many=True)`: a frame that is an array holds several messages."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from onesocket import Gap, Json, Login, Msgpack, State
from onesocket.client import GapReason
from onesocket.errors import DecodeError, LoginRefused
from onesocket.protocols import Deliver, Heartbeat, Ready, Undecodable
from onesocket.sharing.host._forwarding_protocol import ForwardingProtocol, unpacker
from onesocket.transports._memory import MemoryServer
from tests.unit.virtual_time import make_client, on_virtual_time, settle


class NumberedTrade(msgspec.Struct):
    t: str
    n: int


def decode_trade(frame: str | bytes) -> Any:
    return msgspec.json.decode(frame, type=NumberedTrade)


def trades(*numbers: int, event: str = "a") -> list[dict[str, Any]]:
    return [{"t": event, "n": number} for number in numbers]


CODECS: dict[str, tuple[Callable[[], Any], Callable[[Any], str | bytes]]] = {
    "json": (lambda: Json(many=True, event="t"), json.dumps),
    "json, binary": (lambda: Json(many=True, event="t"), lambda value: json.dumps(value).encode()),
    "json, spaces": (lambda: Json(many=True, event="t"), lambda value: " \r\n\t" + json.dumps(value)),
    "json, type": (lambda: Json(type=NumberedTrade, many=True, event="t"), json.dumps),
    "json, decode": (lambda: Json(decode=decode_trade, many=True, event="t"), json.dumps),
    "msgpack": (lambda: Msgpack(many=True, event="t"), msgspec.msgpack.encode),
    "msgpack, type": (lambda: Msgpack(type=NumberedTrade, many=True, event="t"), msgspec.msgpack.encode),
}


@pytest.fixture(params=CODECS)
def codec(request: pytest.FixtureRequest) -> Any:
    return CODECS[request.param]


def numbers_of(items: list[Any]) -> list[Any]:
    """The numbers of messages, whatever their type, and the gaps."""
    return [item if isinstance(item, Gap) else msgspec.to_builtins(item)["n"] for item in items]


async def take(stream: Any, count: int) -> list[Any]:
    return [await asyncio.wait_for(anext(stream), 1) for _ in range(count)]


def test_every_message_comes_in_order_to_streams_and_callbacks(codec: Any) -> None:
    make, encode = codec

    @on_virtual_time
    async def scenario() -> None:
        server = MemoryServer()
        client = make_client(server, protocol=make())
        called: list[Any] = []
        early: list[Any] = []
        client.on(called.append)
        client.on("b", early.append)
        odd = client.subscribe(where=lambda message: bool(msgspec.to_builtins(message)["n"] % 2))
        await client.connect()
        for value in (trades(1, 2, 3), trades(4)[0], [], trades(5), trades(6, 7, event="b")):
            server.peers[0].send(encode(value))
        await settle()
        assert numbers_of(called) == [1, 2, 3, 4, 5, 6, 7]
        assert numbers_of(early) == [6, 7]
        assert numbers_of(await take(odd, 4)) == [1, 3, 5, 7]
        assert client.stats.received == 7
        assert client.state is State.CONNECTED
        await client.send(trades(8)[0])
        await client.send(trades(9, 10))
        await settle()
        assert len(server.peers[0].received) == 2
        await client.aclose()

    scenario()


def test_messages_before_the_first_reader_wait_for_it(codec: Any) -> None:
    make, encode = codec

    @on_virtual_time
    async def scenario() -> None:
        server = MemoryServer()
        client = make_client(server, protocol=make())
        await client.connect()
        server.peers[0].send(encode(trades(1, 2, 3)))
        await settle()
        assert numbers_of(await take(client.subscribe(), 3)) == [1, 2, 3]
        await client.aclose()

    scenario()


@pytest.mark.parametrize("name", ["json, type", "json, decode", "msgpack, type"])
def test_a_bad_message_is_a_gap_in_its_place_and_the_others_are_delivered(name: str) -> None:
    make, encode = CODECS[name]

    @on_virtual_time
    async def scenario() -> None:
        server = MemoryServer()
        client = make_client(server, protocol=make())
        stream = client.subscribe()
        await client.connect()
        bad = {"t": "a", "n": "s3cret"}
        server.peers[0].send(encode([trades(1)[0], bad, trades(2)[0], bad]))
        server.peers[0].send(encode(bad))
        server.peers[0].send(encode(trades(3, 4)))
        one, gap, two, *gaps, three, four = await take(stream, 7)
        assert numbers_of([one, two, three, four]) == [1, 2, 3, 4]
        for each in (gap, *gaps):
            assert (each.reason, each.missed) == (GapReason.UNDECODABLE, 1)
            assert isinstance(each.error, DecodeError)
            assert each.error.data is not None
            assert "s3cret" not in repr(each)
        decode = msgspec.msgpack.decode if name.startswith("msgpack") else msgspec.json.decode
        assert decode(gap.error.data) == bad
        assert client.stats.undecodable == 3
        await client.aclose()

    scenario()


@pytest.mark.parametrize(
    ("protocol", "frame"),
    [
        (Json(many=True), '[{"n": 1}, {"n": 2'),
        (Json(many=True, type=NumberedTrade), '[{"t": "a", "n": 1}, nope]'),
        (Json(many=True, decode=decode_trade), '[{"t": "a", "n": 1}}'),
        (Json(many=True), b"[\xff]"),
        (Msgpack(many=True), b"\x93\x01"),
        (Msgpack(many=True), "[1]"),
        (Json(many=True), ""),
        (Msgpack(many=True), b""),
    ],
)
def test_a_malformed_frame_is_one_gap(protocol: Any, frame: str | bytes) -> None:
    @on_virtual_time
    async def scenario() -> None:
        server = MemoryServer()
        client = make_client(server, protocol=protocol)
        stream = client.subscribe()
        await client.connect()
        server.peers[0].send(frame)
        server.peers[0].send(protocol.encode(trades(1)))
        gap, message = await take(stream, 2)
        assert gap.reason is GapReason.UNDECODABLE
        assert gap.error.data == frame
        assert numbers_of([message]) == [1]
        assert client.state is State.CONNECTED
        await client.aclose()

    scenario()


def test_elements_that_are_arrays_themselves_are_messages() -> None:
    codec = Json(type=list[int], many=True)
    decode = codec.batch_decoder()
    assert decode is not None
    assert decode("[[1,2],[3]]") == [[1, 2], [3]]
    with pytest.raises(DecodeError):
        decode("[1,2]")


LOGIN = Login(
    request=lambda token: {"op": "login", "key": token},
    ready=lambda message: message.get("op") == "welcome",
    refused=lambda message: message.get("error"),
)


@on_virtual_time
async def test_a_login_may_be_answered_inside_an_array() -> None:
    server = MemoryServer()
    client = make_client(server, protocol=Json(many=True, login=LOGIN), token="t")
    stream = client.subscribe()
    connecting = asyncio.create_task(client.connect())
    await settle()
    server.peers[0].send(json.dumps([{"op": "hello"}, {"op": "welcome"}, {"n": 1}, {"n": 2}]))
    await connecting
    server.peers[0].send(json.dumps([{"n": 3}]))
    assert numbers_of(await take(stream, 3)) == [1, 2, 3]
    await client.aclose()


@on_virtual_time
async def test_a_login_may_be_refused_inside_an_array_and_the_rest_of_it_is_not_read() -> None:
    server = MemoryServer()
    client = make_client(server, protocol=Json(many=True, login=LOGIN), token="t", reconnect=None)
    stream = client.subscribe(raise_on_failure=False)
    connecting = asyncio.create_task(client.connect())
    await settle()
    server.peers[0].send(json.dumps([{"op": "hello"}, {"error": "wrong key"}, {"op": "welcome"}, {"n": 1}]))
    with pytest.raises(LoginRefused, match="wrong key"):
        await connecting
    assert len(stream) == 0
    assert client.state is State.FAILED
    await client.aclose()


@pytest.mark.parametrize("raw", [False, True])
def test_heartbeats_of_the_peer_are_answered_and_not_delivered(raw: bool) -> None:
    def reply(message: Any) -> Any:
        if raw:
            return "pong" if message == '["ping"]' else None
        return {"pong": message["ping"]} if "ping" in message else None

    @on_virtual_time
    async def scenario() -> None:
        server = MemoryServer()
        client = make_client(server, protocol=Json(many=True, heartbeat=Heartbeat(reply=reply, raw=raw)))
        stream = client.subscribe()
        await client.connect()
        server.peers[0].send('["ping"]' if raw else '[{"n": 1}, {"ping": 7}, {"n": 2}]')
        server.peers[0].send('[{"n": 3}]')
        await settle()
        wanted = [3] if raw else [1, 2, 3]
        assert numbers_of(await take(stream, len(wanted))) == wanted
        assert len(stream) == 0
        assert server.peers[0].received == ["pong" if raw else '{"pong":7}']
        await client.aclose()

    scenario()


def test_all_of_a_frame_is_decoded_at_once_once_the_login_is_complete() -> None:
    single, several = Json(), Json(many=True)
    assert single.decoder() is not None
    assert single.batch_decoder() is None
    assert several.decoder() is None
    assert several.batch_decoder() is not None


def test_each_message_goes_to_other_processes_as_a_frame_of_its_own() -> None:
    inner = Json(type=NumberedTrade, many=True, login=LOGIN)
    forwarding = ForwardingProtocol(inner)
    list(forwarding.opened("t", 0))
    assert forwarding.decoder() is None
    inner._ready = True
    good, bad = '{"t":"a","n":1}', '{"t":"a","n":"x"}'
    frames = list(forwarding.received(f"[{good}, {bad}, {good}]", 0))
    assert frames == [Deliver(text, text) for text in (good, bad, good)]
    decode = unpacker(inner)
    assert decode(good) == NumberedTrade("a", 1)
    with pytest.raises(DecodeError):
        decode(bad)
    (malformed,) = forwarding.received("[1,", 0)
    assert isinstance(malformed, Undecodable)
    assert malformed.count is None
    assert list(forwarding.received(good, 0)) == [Deliver(good)]


def test_ready_is_an_action_of_the_middle_of_a_frame() -> None:
    protocol = Json(many=True, login=LOGIN)
    list(protocol.opened("t", 0))
    first, *rest = protocol.received('[{"op":"welcome"},{"n":1}]', 0)
    assert isinstance(first, Ready)
    assert rest == [Deliver({"n": 1}, '{"n":1}')]
