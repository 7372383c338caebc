"""Heartbeats made of messages, on virtual time: ours, their answers, and replies to those of the peer."""

from __future__ import annotations

import asyncio
import itertools
import json
import logging
from typing import Any

import pytest

from onesocket import Gap, Heartbeat, Json, Login, Msgpack, Pace, Raw, State
from onesocket.errors import EncodeError, InvalidOption, PingTimeout, UsageError
from onesocket.protocols._protocol import NoMessage, Send, WakeAt, as_is
from onesocket.sharing._options import same_protocol
from onesocket.testing import MemoryServer
from onesocket.transports._memory import MemoryPeer
from onesocket.wire._handshake import Data
from tests.unit.virtual_time import make_client, on_virtual_time

PING = {"op": "ping"}


def is_pong(message: Any) -> bool:
    return bool(message.get("op") == "pong")


def pong(message: Any) -> Any:
    return {"pong": message["ping"]} if "ping" in message else None


class BeatingVenue:
    """Notes the time of each message, and answers pings while it is told to."""

    def __init__(self) -> None:
        self.answers = True
        self.got: list[tuple[float, Any]] = []
        self.server = MemoryServer(on_message=self._take)

    def _take(self, peer: MemoryPeer, data: Data) -> None:
        message = json.loads(data)
        self.got.append((asyncio.get_running_loop().time(), message))
        if message == PING and self.answers:
            peer.send('{"op": "pong"}')

    def times(self, message: Any = PING) -> list[float]:
        return [time for time, each in self.got if each == message]


@on_virtual_time
async def test_it_is_sent_on_idle_connections_after_the_login_and_its_answers_reach_nobody() -> None:
    venue = BeatingVenue()
    login = Login(request=lambda _: {"op": "login"}, ready=lambda message: message.get("ready"))
    protocol = Json(login=login, heartbeat=Heartbeat(PING, 20, timeout=5, answer=is_pong))
    client = make_client(venue.server, protocol=protocol)
    loop = asyncio.get_running_loop()
    connecting = asyncio.ensure_future(client.connect())
    await asyncio.sleep(9)
    assert venue.times() == [], "not before the login is complete"
    venue.server.peers[0].send('{"ready": true}')
    await connecting
    begin = loop.time()
    messages = client.subscribe()
    await asyncio.sleep(70)
    venue.server.peers[0].send('{"t": 1}')
    assert await anext(messages) == {"t": 1}
    assert venue.times() == pytest.approx([begin + 20, begin + 40, begin + 60])
    assert client.epoch == 1
    await client.aclose()
    count = len(venue.got)
    await asyncio.sleep(100)
    assert len(venue.got) == count


@on_virtual_time
async def test_without_an_answer_the_connection_is_dead() -> None:
    venue = BeatingVenue()
    protocol = Json(heartbeat=Heartbeat(lambda: PING, 20, timeout=5, answer=is_pong))
    async with make_client(venue.server, protocol=protocol, ping_interval=1, ping_timeout=1) as client:
        messages = client.subscribe()
        await asyncio.sleep(50)
        venue.answers = False
        before = asyncio.get_running_loop().time()
        gap = await anext(messages)
        assert isinstance(gap, Gap)
        assert isinstance(gap.error, PingTimeout)
        assert "no answer to a heartbeat within 5 s" in str(gap.error)
        assert asyncio.get_running_loop().time() - before == pytest.approx(15, abs=0.1)
        assert len(venue.server.peers) == 2


@on_virtual_time
async def test_a_time_out_longer_than_the_interval_counts_from_the_oldest_unanswered_one() -> None:
    venue = BeatingVenue()
    protocol = Json(heartbeat=Heartbeat(PING, 2, timeout=15, answer=is_pong))
    venue.answers = False
    async with make_client(venue.server, protocol=protocol) as client:
        await asyncio.sleep(16.9)
        assert client.epoch == 1
        assert len(venue.times()) == 8
        await asyncio.sleep(0.2)
        assert client.epoch == 2


@on_virtual_time
async def test_what_is_not_read_yet_excuses_a_missing_answer() -> None:
    venue = BeatingVenue()
    protocol = Json(heartbeat=Heartbeat(PING, 10, timeout=5, answer=is_pong))
    async with make_client(venue.server, protocol=protocol) as client:
        (peer,) = venue.server.peers
        messages = client.subscribe(limit=1, overflow="wait")
        for number in range(3):
            peer.send(str({"n": number}).replace("'", '"'))
        await asyncio.sleep(100)
        assert client.epoch == 1, "a reader holds the socket"
        for _ in range(3):
            await anext(messages)
        venue.answers = False
        for _ in range(30):
            peer.send_part()
            await asyncio.sleep(1)
        assert client.epoch == 1, "a big message is arriving"
        await asyncio.sleep(16)
        assert client.epoch == 2


@on_virtual_time
async def test_heartbeats_of_the_peer_are_replied_to_and_reach_nobody() -> None:
    venue = BeatingVenue()
    login = Login(ready=lambda message: message.get("ready"))
    protocol = Json(login=login, heartbeat=Heartbeat(reply=pong))
    client = make_client(venue.server, protocol=protocol)
    client.connect_nowait()
    await asyncio.sleep(1)
    (peer,) = venue.server.peers
    messages = client.subscribe()
    peer.send('{"ping": 1}')
    peer.send('{"ready": true}')
    await asyncio.sleep(1)
    peer.send('{"ping": 2}')
    await asyncio.sleep(1)
    peer.send('{"t": 1}')
    assert await anext(messages) == {"t": 1}
    assert [message for _, message in venue.got] == [{"pong": 1}, {"pong": 2}]
    await client.aclose()


@pytest.mark.parametrize("protocol", [Raw, Json, Msgpack])
def test_raw_heartbeats_stand_beside_the_codec(protocol: Any) -> None:
    @on_virtual_time
    async def main() -> None:
        server = MemoryServer(on_message=lambda peer, data: peer.send("pong") if data == "ping" else None)
        heartbeat = Heartbeat(
            "ping",
            10,
            timeout=5,
            answer=lambda frame: frame == "pong",
            reply=lambda frame: b"back" if frame == b"hey" else None,
            raw=True,
        )
        async with make_client(server, protocol=protocol(heartbeat=heartbeat)) as client:
            messages = client.subscribe()
            server.peers[0].send(b"hey")
            await asyncio.sleep(35)
            assert client.epoch == 1
            assert client.stats.undecodable == 0
            assert client.stats.received == 0
            assert server.peers[0].received == [b"back", "ping", "ping", "ping"]
            sent = protocol().encode("text")
            server.peers[0].send(sent)
            assert await anext(messages) == "text"

    main()


@on_virtual_time
async def test_heartbeats_and_replies_keep_to_the_pace_and_are_not_starved_by_messages() -> None:
    venue = BeatingVenue()
    heartbeat = Heartbeat(PING, 2, timeout=4, answer=is_pong, reply=pong)
    protocol = Json(heartbeat=heartbeat, pace=Pace(4, per=1.0))
    async with make_client(venue.server, protocol=protocol) as client:
        (peer,) = venue.server.peers
        for number in range(30):
            client.send_nowait({"n": number})
        for number in range(100):
            peer.send(json.dumps({"ping": number}))
            await asyncio.sleep(0.2)
        assert client.epoch == 1
    times = [time for time, _ in venue.got]
    assert all(later - first >= 1.0 for first, later in zip(times, times[4:], strict=False))
    assert all(later - first < 5 for first, later in itertools.pairwise(venue.times()))
    assert len(venue.times()) >= 6
    replies = [message["pong"] for _, message in venue.got if "pong" in message]
    assert len(replies) > 10
    assert replies == sorted(replies), "the newest heartbeat is replied to"


@on_virtual_time
async def test_a_message_that_cannot_be_sent_fails_the_connection() -> None:
    for message, kind in ((lambda: 1 / 0, UsageError), ({1, object()}, EncodeError)):
        client = make_client(MemoryServer(), protocol=Json(heartbeat=Heartbeat(message, 1)), reconnect=None)
        await client.connect()
        await client.wait_for(State.FAILED, timeout=10)
        assert isinstance(client.status.last_error, kind)
        await client.aclose()


def test_a_function_that_fails_takes_no_message_and_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    @on_virtual_time
    async def main() -> None:
        server = MemoryServer()
        heartbeat = Heartbeat(PING, 10, answer=lambda message: message["op"] == "pong")
        async with make_client(server, protocol=Json(heartbeat=heartbeat)) as client:
            messages = client.subscribe()
            for number in range(5):
                server.peers[0].send(json.dumps({"n": number}))
            assert [await anext(messages) for _ in range(5)] == [{"n": number} for number in range(5)]

    with caplog.at_level(logging.ERROR, "onesocket"):
        main()
    assert len(caplog.records) == 1
    assert "heartbeat=" in caplog.text


def test_heartbeats_are_no_messages_and_each_is_shown_to_reply_once() -> None:
    shown: list[Any] = []

    def reply(message: Any) -> Any:
        shown.append(message)
        return {"op": "pong"} if message == PING else None

    protocol = Json(heartbeat=Heartbeat(reply=reply))
    list(protocol.opened(None, 0.0))
    decode = protocol.decoder()
    assert decode is not None
    assert decode('{"t": 1}') == {"t": 1}
    with pytest.raises(NoMessage):
        decode('{"op": "ping"}')
    assert list(protocol.received('{"op": "ping"}', 1.0)) == [WakeAt(1.0, sends=True)]
    assert list(protocol.wake(1.0)) == [Send('{"op":"pong"}'), WakeAt(None, sends=True)]
    assert shown == [{"t": 1}, PING]
    assert Raw(heartbeat=Heartbeat(PING, 5)).decoder() is as_is


def test_it_is_a_part_of_the_fingerprint() -> None:
    assert same_protocol(Json(heartbeat=Heartbeat(PING, 5)), Json(heartbeat=Heartbeat(dict(PING), 5)))
    assert not same_protocol(Json(heartbeat=Heartbeat(PING, 5)), Json(heartbeat=Heartbeat(PING, 6)))
    assert not same_protocol(Json(heartbeat=Heartbeat(PING, 5)), Json())


async def is_late(_message: Any) -> bool:
    return True


class LateAnswer:
    async def __call__(self, _message: Any) -> bool:
        return True


NO_HEARTBEAT: Any = 5


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({}, "give a message with its interval, or reply="),
        ({"message": PING}, "message and interval go together"),
        ({"interval": 5}, "message and interval go together"),
        ({"message": PING, "interval": 0}, "interval must be a finite number of seconds > 0"),
        ({"message": PING, "interval": True}, "interval must be a finite number of seconds > 0"),
        ({"message": PING, "interval": 5, "timeout": float("inf"), "answer": is_pong}, "timeout must be a finite"),
        ({"message": PING, "interval": 5, "timeout": 5}, "timeout needs a message, and answer="),
        ({"reply": pong, "timeout": 5, "answer": is_pong}, "timeout needs a message"),
        ({"message": PING, "interval": 5, "answer": "pong"}, "answer must be a plain function"),
        ({"reply": is_late}, "reply must be a plain function"),
        ({"reply": LateAnswer()}, "reply must be a plain function of a message, not a coroutine function"),
        ({"message": is_late, "interval": 5}, "message must be one, or a plain function"),
        ({"message": "ping", "interval": 5, "raw": "yes"}, "raw must be True or False"),
        ({"message": PING, "interval": 5, "raw": True}, "message must be str or bytes"),
    ],
)
def test_what_is_no_heartbeat_is_refused(arguments: dict[str, Any], text: str) -> None:
    with pytest.raises(InvalidOption, match=f"Heartbeat: .*{text}|Heartbeat: {text}"):
        Heartbeat(**arguments)


def test_what_is_given_as_a_heartbeat_is_one() -> None:
    with pytest.raises(InvalidOption, match="heartbeat must be a Heartbeat"):
        Raw(heartbeat=NO_HEARTBEAT)
