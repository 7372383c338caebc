"""`rotation=`: a connection is replaced by a successor, and no message is lost, doubled or out of order."""

from __future__ import annotations

import asyncio
import json
import logging
import random
from collections.abc import AsyncIterator, Callable, Hashable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from onesocket import (
    Client,
    Gap,
    Json,
    Outcome,
    Pace,
    Raw,
    Requests,
    Rotation,
    State,
    SubscriptionAnswer,
    Subscriptions,
)
from onesocket.errors import (
    ClientClosed,
    ConnectionRefused,
    HandshakeRejected,
    InvalidOption,
    ManuallyDisconnected,
    OnesocketError,
    OpenTimeout,
    RequestLost,
    ServerBusy,
    SubscriptionRefused,
    UsageError,
)
from onesocket.lifecycle._peer_errors import connection_reset, handshake_rejected
from onesocket.protocols import Heartbeat, Login, Protocol
from onesocket.protocols._protocol import Action, Deliver
from onesocket.testing import MemoryServer
from onesocket.transports._memory import MemoryPeer
from onesocket.wire._handshake import Data

from ...virtual_time import make_client, on_virtual_time, settle

OVERLAP = 1.0


def itself(message: str) -> Hashable:
    """The identity of a numbered message."""
    return message if message.isdigit() else None


def rotation(**options: Any) -> Rotation:
    return Rotation(**{"identity": itself, "overlap": OVERLAP, **options})


class Feed:
    """A server that sends the same numbered messages on all connections, each in order, with delays of its own."""

    def __init__(self, seed: int = 1, on_dial: Callable[[MemoryPeer], object] | None = None) -> None:
        self.chance = random.Random(seed)
        self.server = MemoryServer(on_dial)
        self.number = 0
        self._sent: dict[MemoryPeer, float] = {}
        self._timer: asyncio.TimerHandle | None = None

    def begin(self) -> None:
        """Send messages until `end`."""
        self.publish()
        self._timer = asyncio.get_running_loop().call_later(self.chance.uniform(0.01, 0.1), self.begin)

    def end(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def publish(self) -> None:
        self.number += 1
        loop = asyncio.get_running_loop()
        for peer in self.open_peers:
            at = max(loop.time() + self.chance.uniform(0, OVERLAP / 4), self._sent.get(peer, 0) + 1e-6)
            self._sent[peer] = at
            loop.call_at(at, self._send, peer, str(self.number))

    def _send(self, peer: MemoryPeer, text: str) -> None:
        if peer.is_open:
            peer.send(text)

    @property
    def open_peers(self) -> list[MemoryPeer]:
        return [peer for peer in self.server.peers if peer.is_open]


def refuse_second(error: OnesocketError) -> MemoryServer:
    """A server that refuses a connection while another one is open."""

    def on_dial(peer: MemoryPeer) -> None:
        if server.open_now > 1:
            peer.refuse(error)
        else:
            peer.accept()

    server = MemoryServer(on_dial)
    return server


# --- messages ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(10))
@on_virtual_time
async def test_each_message_is_delivered_once_and_in_order_over_many_rotations(seed: int) -> None:
    feed = Feed(seed)
    received: list[str | Gap] = []
    async with make_client(feed.server, rotation=rotation()) as client:
        client.on(None, received.append, gaps=True)
        feed.begin()
        for number in range(10):
            await asyncio.sleep(feed.chance.choice([0, 0, 0.3, 2]))
            assert await client.rotate() is Outcome.OPENED
            assert client.epoch == number + 2
            assert feed.server.open_now == 1, "it returns when the old connection is closed"
        await asyncio.sleep(3 * OVERLAP)
        feed.end()
        await asyncio.sleep(OVERLAP)
        assert repr(client.internals.runner._rotations) == "<Rotations None None>", "nothing is kept after it"
    assert received == [str(number + 1) for number in range(feed.number)]
    assert feed.server.most_open == 2
    assert [peer.close_code for peer in feed.server.peers] == [1000] * 11


@on_virtual_time
async def test_watchers_learn_of_the_new_epoch_and_there_is_no_gap() -> None:
    server = MemoryServer()
    async with make_client(server, rotation=rotation()) as client:
        changes = client.changes()
        await client.rotate()
        change = await anext(changes)
        assert (change.old, change.new, change.epoch) == (State.CONNECTED, State.CONNECTED, 2)
        assert client.stats.gaps == 0
        assert client.status.last_loss is None


@on_virtual_time
async def test_messages_without_an_identity_are_delivered_from_both_connections() -> None:
    server = MemoryServer(lambda peer: peer.accept(greeting=["welcome"]))
    async with make_client(server, rotation=rotation()) as client:
        messages = client.subscribe()
        await client.rotate()
        assert [await anext(messages) for _ in range(2)] == ["welcome", "welcome"]


@on_virtual_time
async def test_a_function_that_fails_is_reported_once_in_a_rotation_and_loses_nothing() -> None:
    def fails(message: str) -> Hashable:
        raise LookupError(message)

    reported: list[BaseException] = []
    feed = Feed()
    received: list[str] = []
    async with make_client(feed.server, rotation=rotation(identity=fails), on_error=reported.append) as client:
        client.on(received.append)
        feed.begin()
        await client.rotate()
        feed.end()
        await asyncio.sleep(OVERLAP)
    assert set(map(int, received)) == set(range(1, feed.number + 1))
    assert [type(error) for error in reported] == [LookupError]


# --- losses and refusals ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("after", [0.1, OVERLAP / 2, 1.9 * OVERLAP])
@on_virtual_time
async def test_if_the_connection_is_lost_before_the_successor_has_caught_up_there_is_a_gap(after: float) -> None:
    feed = Feed()
    received: list[str | Gap] = []
    async with make_client(feed.server, rotation=rotation(overlap=2 * OVERLAP)) as client:
        client.on(None, received.append, gaps=True)
        feed.begin()
        await asyncio.sleep(1)
        rotating = asyncio.create_task(client.rotate())
        await asyncio.sleep(after)
        feed.server.peers[0].drop()
        assert await rotating is Outcome.OPENED
        assert (client.epoch, client.state) == (2, State.CONNECTED)
        assert feed.server.most_open == 2
        await asyncio.sleep(1)
        feed.end()
        await asyncio.sleep(OVERLAP)
    gaps = [place for place, message in enumerate(received) if isinstance(message, Gap)]
    assert len(gaps) == 1
    numbers = [int(message) for message in received if isinstance(message, str)]
    assert numbers == sorted(set(numbers))
    before, behind = numbers[: gaps[0]], numbers[gaps[0] :]
    assert before == [*range(1, before[-1] + 1)]
    assert behind == [*range(behind[0], feed.number + 1)]


@on_virtual_time
async def test_a_successor_that_logs_in_after_the_connection_was_closed_brings_all_messages_from_then_on() -> None:
    def on_message(peer: MemoryPeer, data: Data) -> None:
        if data == '"login"':
            delay = 0.5 if peer is not server.peers[0] else 0.0
            asyncio.get_running_loop().call_later(delay, peer.send, '"welcome"')

    server = MemoryServer(on_message=on_message)
    login = Login(request=lambda token: "login", ready=lambda message: message == "welcome")
    received: list[Any] = []
    options = {"protocol": Json(login=login), "rotation": rotation(identity=str)}
    async with make_client(server, **options) as client:
        client.on(None, received.append, gaps=True)
        rotating = asyncio.create_task(client.rotate())
        await asyncio.sleep(0.1)
        server.peers[0].close(1001)
        assert await rotating is Outcome.OPENED
        for number in range(10):
            server.peers[1].send(str(number))
            await asyncio.sleep(OVERLAP / 5)
    assert isinstance(received[0], Gap)
    assert received[1:] == [*range(10)]
    assert server.peers[1].received == ['"login"']


@on_virtual_time
async def test_a_loss_in_the_turn_in_which_the_successor_has_caught_up_is_told() -> None:
    server = MemoryServer()
    async with make_client(server, rotation=rotation()) as client:
        stream = client.subscribe()
        rotating = asyncio.create_task(client.rotate())
        await asyncio.sleep(0.75 * OVERLAP)
        rotations = client.internals.runner._rotations
        assert rotations is not None
        assert rotations._successor is not None
        assert rotations._successor._timer is not None
        lose, due = server.peers[0]._connection.on_peer_close, rotations._successor._timer.when()
        asyncio.get_running_loop().call_at(due - 1e-12, lose, 1001, "")
        assert await rotating is Outcome.OPENED
        server.peers[1].send("1")
        await client.send("sent")
        assert isinstance(await anext(stream), Gap)
        assert await anext(stream) == "1"
        await settle()
        assert server.peers[1].received == ["sent"]
        await asyncio.sleep(2 * OVERLAP)
        assert repr(rotations) == "<Rotations None None>"


@on_virtual_time
async def test_a_successor_that_can_be_written_to_from_the_turn_of_the_loss_on_is_written_to() -> None:
    def on_dial(peer: MemoryPeer) -> None:
        if peer is not server.peers[0]:
            peer.stop_reading()
        peer.accept()

    server = MemoryServer(on_dial)
    options = {"protocol": Json(on_ready=lambda: [1, 2]), "rotation": rotation(identity=str)}
    async with make_client(server, **options) as client:
        rotating = asyncio.create_task(client.rotate())
        await settle()
        old, new = server.peers
        old._connection.end(connection_reset())
        new.resume_reading()
        assert await rotating is Outcome.OPENED
        await client.send("sent")
        await settle()
        assert new.received == ["1", "2", '"sent"']


@on_virtual_time
async def test_only_the_answer_to_its_own_ping_shows_that_the_connection_has_delivered_everything() -> None:
    server = MemoryServer()
    async with make_client(server, rotation=rotation(), open_timeout=5.0) as client:
        pings: list[bytes] = []
        await client.rotate()
        second = server.peers[1]
        second.on_ping = pings.append
        await asyncio.sleep(OVERLAP)  # the predecessor is gone: the copies of its last messages end with a PONG
        assert len(pings) == 1
        rotating = asyncio.create_task(client.rotate())
        await asyncio.sleep(OVERLAP)
        assert len(pings) == 2
        second.pong(pings[0])
        await asyncio.sleep(OVERLAP)
        assert client.epoch == 2
        second.pong(pings[1])
        await rotating
        assert client.epoch == 3


@on_virtual_time
async def test_a_connection_that_does_not_answer_is_not_replaced_in_silence() -> None:
    feed = Feed()
    async with make_client(feed.server, rotation=rotation(), open_timeout=5.0) as client:
        feed.begin()
        await asyncio.sleep(1)
        feed.server.peers[0].go_silent()
        with pytest.raises(OpenTimeout):
            await client.rotate()
        assert client.epoch == 1, "messages may be missing, so it is lost, with a gap, and not replaced"
        feed.end()
        feed.server.peers[0].drop()


@on_virtual_time
async def test_a_refusal_of_the_successor_is_raised_and_harms_nothing(caplog: pytest.LogCaptureFixture) -> None:
    server = refuse_second(ConnectionRefused("nobody home"))
    async with make_client(server, rotation=rotation()) as client:
        messages = client.subscribe()
        with caplog.at_level(logging.WARNING), pytest.raises(ConnectionRefused, match="nobody home"):
            await client.rotate()
        await settle()
        assert "no rotation: nobody home; the connection stays" in caplog.text
        assert (client.state, client.epoch, client.stats.gaps) == (State.CONNECTED, 1, 0)
        assert client.stats.attempts == client.stats.connection.attempts == 2
        server.peers[0].send("1")
        assert await anext(messages) == "1"
        await client.send("hello")
        await settle()
        assert server.peers[0].received == ["hello"]


@on_virtual_time
async def test_a_source_is_told_of_a_refused_token_until_a_successor_was_accepted() -> None:
    told: list[tuple[str | None, bool]] = []

    def token(previous: str | None, error: OnesocketError | None) -> str:
        told.append((previous, error is not None))
        return str(len(told))

    server = refuse_second(handshake_rejected(401, {}))
    async with make_client(server, rotation=rotation(), token=token) as client:
        with pytest.raises(HandshakeRejected):
            await client.rotate()
        server.on_dial = None
        await client.rotate()
        await client.rotate()
    assert told == [(None, False), (None, False), ("2", True), (None, False)]


@pytest.mark.parametrize("close_first", [True, False])
@on_virtual_time
async def test_where_a_second_connection_is_refused_the_first_is_closed_first_if_that_is_wanted(
    close_first: bool,
) -> None:
    server = refuse_second(handshake_rejected(429, {}, "too many connections"))
    async with make_client(server, rotation=rotation(close_first=close_first)) as client:
        messages = client.subscribe()
        if not close_first:
            with pytest.raises(ServerBusy):
                await client.rotate()
            assert (client.epoch, client.state) == (1, State.CONNECTED)
            return
        assert await client.rotate() is Outcome.OPENED
        assert (client.epoch, client.state) == (3, State.CONNECTED)
        assert isinstance(await anext(messages), Gap)
        assert server.peers[0].ended_in_order


@on_virtual_time
async def test_a_date_that_the_successor_was_told_is_waited_for() -> None:
    server = refuse_second(handshake_rejected(503, {"retry-after": "5"}))
    async with make_client(server, rotation=rotation()) as client:
        with pytest.raises(HandshakeRejected):
            await client.rotate()
        server.on_dial = None
        assert await client.rotate() is Outcome.OPENED
        assert asyncio.get_running_loop().time() >= 5


# --- other calls ------------------------------------------------------------------------------------------------------


@on_virtual_time
async def test_calls_share_a_rotation_and_a_cancelled_one_harms_no_other() -> None:
    server = MemoryServer()
    async with make_client(server, rotation=rotation()) as client:
        first, second = (asyncio.create_task(client.rotate()) for _ in range(2))
        await asyncio.sleep(0.1)
        first.cancel()
        assert await second is Outcome.JOINED
        assert len(server.peers) == 2


@on_virtual_time
async def test_disconnect_reconnect_and_aclose_end_both_connections() -> None:
    server = MemoryServer()
    client = make_client(server, rotation=rotation())
    assert await client.rotate() is Outcome.OPENED, "without a connection, it connects"
    rotating = asyncio.create_task(client.rotate())
    await asyncio.sleep(0.1)
    assert server.open_now == 2
    await client.disconnect()
    assert server.open_now == 0
    with pytest.raises(OnesocketError):
        await rotating
    with pytest.raises(ManuallyDisconnected):
        await client.rotate()
    await client.reconnect()
    rotating = asyncio.create_task(client.rotate())
    await asyncio.sleep(0.1)
    await client.reconnect()
    assert server.open_now == 1
    assert await rotating is Outcome.OPENED
    rotating = asyncio.create_task(client.rotate())
    await asyncio.sleep(0.1)
    await client.aclose()
    assert server.open_now == 0
    with pytest.raises(ClientClosed):
        await rotating


# --- sending ----------------------------------------------------------------------------------------------------------


@on_virtual_time
async def test_messages_go_to_the_authoritative_connection_and_none_is_lost_or_doubled() -> None:
    server = MemoryServer()
    async with make_client(server, rotation=rotation()) as client:
        rotating = asyncio.create_task(client.rotate())
        for number in range(30):
            await client.send(str(number))
            await asyncio.sleep(0.1)
        await rotating
    first, second = (peer.received for peer in server.peers)
    assert [*first, *second] == [str(number) for number in range(30)]
    assert first
    assert second


@on_virtual_time
async def test_messages_that_wait_move_and_those_in_flight_are_settled_where_they_are() -> None:
    server = MemoryServer()
    async with make_client(server, rotation=rotation()) as client:
        rotating = asyncio.create_task(client.rotate())
        await asyncio.sleep(0.9 * OVERLAP)
        server.peers[0].stop_reading()
        flying = client.send_nowait("in flight")
        waiting = client.send_nowait("waiting")
        assert [delivery.done for delivery in (flying, waiting)] == [False, False]
        await asyncio.sleep(0.2 * OVERLAP)
        assert client.epoch == 2
        assert server.peers[1].received == ["waiting"]
        assert [delivery.done for delivery in (flying, waiting)] == [False, True]
        server.peers[0].resume_reading()
        await rotating
        await flying
        assert server.peers[0].received == ["in flight"]


@on_virtual_time
async def test_the_successor_is_logged_in_and_gets_the_first_messages_before_it_takes_over() -> None:
    def on_message(peer: MemoryPeer, data: Data) -> None:
        if data == '"login"':
            peer.send('"welcome"')

    server = MemoryServer(on_message=on_message)
    protocol = Json(
        login=Login(request=lambda token: "login", ready=lambda message: message == "welcome"),
        on_ready=lambda: ["one", "two"],
        pace=Pace(2, per=4.0),
        heartbeat=Heartbeat("beat", interval=60.0),
    )
    async with make_client(server, rotation=rotation(identity=str), protocol=protocol) as client:
        await asyncio.sleep(10)
        began = asyncio.get_running_loop().time()
        await client.rotate()
        assert asyncio.get_running_loop().time() - began >= 4 + OVERLAP, (
            "the pace of the successor is its own, and kept"
        )
        assert server.peers[1].received == ['"login"', '"one"', '"two"']
        assert server.peers[0].received.count('"login"') == 1


# --- by age and announcement ------------------------------------------------------------------------------------------


@on_virtual_time
async def test_it_is_rotated_by_age() -> None:
    server = MemoryServer()
    async with make_client(server, rotation=rotation(age=100.0)) as client:
        await asyncio.sleep(1_000)
        assert 9 <= client.epoch <= 12
        assert client.stats.gaps == 0
        await client.disconnect()
        await asyncio.sleep(1_000)
        assert server.open_now == 0


@on_virtual_time
async def test_a_forked_child_that_runs_the_loop_rotates_nothing() -> None:
    server = MemoryServer()
    client = make_client(server, rotation=rotation(age=1.0))
    await client.connect()
    client.internals.runner._affinity.forked()
    await asyncio.sleep(10)  # what the loop is told of fails the test
    assert len(server.peers) == 1


@on_virtual_time
async def test_it_is_rotated_when_the_server_announces_its_close() -> None:
    server = MemoryServer()
    options = rotation(announced=lambda message: message == "goaway")
    async with make_client(server, rotation=options) as client:
        await asyncio.sleep(1)
        server.peers[0].send("1")
        await asyncio.sleep(10)
        assert client.epoch == 1
        for _ in range(3):
            server.peers[0].send("goaway")
            await asyncio.sleep(0.1)
        await asyncio.sleep(10)
        assert client.epoch == 2, "one rotation for all announcements"


@on_virtual_time
async def test_a_successor_that_announces_its_close_is_rotated_as_well() -> None:
    server = MemoryServer()
    async with make_client(server, rotation=rotation(announced=lambda message: message == "goaway")) as client:
        rotating = asyncio.create_task(client.rotate())
        await asyncio.sleep(OVERLAP / 2)
        server.peers[1].send("goaway")
        await rotating
        await asyncio.sleep(10)
        assert client.epoch == 3, "one rotation more, by the announcement"
        assert client.stats.gaps == 0


@on_virtual_time
async def test_a_rotation_by_age_that_failed_is_tried_again() -> None:
    server = refuse_second(ConnectionRefused("nobody home"))
    async with make_client(server, rotation=rotation(age=100.0, retry=30.0)) as client:
        await asyncio.sleep(101)
        assert client.epoch == 1
        server.on_dial = None
        await asyncio.sleep(31)
        assert client.epoch > 1


@on_virtual_time
async def test_a_failing_function_of_announcements_is_reported_once() -> None:
    def fails(message: str) -> bool:
        raise LookupError(message)

    reported: list[BaseException] = []
    server = MemoryServer()
    options = rotation(announced=fails)
    async with make_client(server, rotation=options, on_error=reported.append) as client:
        messages = client.subscribe()
        for number in range(3):
            server.peers[0].send(str(number))
        assert [await anext(messages) for _ in range(3)] == ["0", "1", "2"]
    assert [type(error) for error in reported] == [LookupError]


# --- bad input --------------------------------------------------------------------------------------------------------


async def coroutine_function(message: str) -> Hashable:
    return message


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"identity": None}, "identity"),
        ({"identity": coroutine_function}, "identity"),
        ({"announced": "goaway"}, "announced"),
        ({"age": 0}, "age"),
        ({"age": True}, "age"),
        ({"overlap": float("nan")}, "overlap"),
        ({"retry": -1}, "retry"),
        ({"close_first": 1}, "close_first"),
    ],
)
def test_options_of_the_wrong_kind_are_refused(options: dict[str, Any], named: str) -> None:
    with pytest.raises(InvalidOption, match=f"Rotation: {named} must be"):
        rotation(**options)


class SessionProtocol(Protocol[str]):
    """A protocol whose session allows one connection."""

    name = "session"

    def received(self, data: Data, now: float) -> list[Action]:
        return [Deliver(data)]

    def encode(self, message: Any) -> Data:
        return str(message)


def test_a_protocol_without_a_second_session_is_refused() -> None:
    with pytest.raises(InvalidOption, match=r"SessionProtocol has no successor\(\)"):
        Client("ws://localhost", protocol=SessionProtocol(), rotation=rotation())
    with pytest.raises(InvalidOption, match="rotation must be a Rotation"):
        Client("ws://localhost", rotation=True)  # type: ignore[call-overload]


@on_virtual_time
async def test_rotate_needs_the_option() -> None:
    with pytest.raises(UsageError, match=r"rotation=Rotation"):
        await make_client(MemoryServer()).rotate()


def test_the_codec_of_a_successor_has_a_session_of_its_own() -> None:
    raw = Raw(heartbeat=Heartbeat("beat", interval=60.0))
    twin = raw.successor()
    assert type(twin) is Raw
    assert twin is not raw
    assert twin.fingerprint == raw.fingerprint


# --- subscriptions and requests ---------------------------------------------------------------------------------------


class KeyedServer(MemoryServer):
    """A service that sends the messages of the keys that a connection is subscribed to."""

    def __init__(self) -> None:
        super().__init__(on_message=self._take)
        self.keys: dict[MemoryPeer, set[str]] = {}
        self.number = 0

    def _take(self, peer: MemoryPeer, data: Data) -> None:
        message = json.loads(data)
        keys = self.keys.setdefault(peer, set())
        if "id" in message:
            return
        if message["op"] == "subscribe":
            keys.update(message["keys"])
        else:
            keys.difference_update(message["keys"])
        peer.send(json.dumps({"ack": message["keys"]}))

    def publish(self) -> None:
        self.number += 1
        for peer, keys in self.keys.items():
            for key in sorted(keys):
                if peer.is_open:
                    peer.send(json.dumps({"key": key, "number": self.number}))


def keyed_json(**options: Any) -> Json[Any]:
    subscriptions = Subscriptions(
        subscribe=lambda keys: {"op": "subscribe", "keys": sorted(keys)},
        unsubscribe=lambda keys: {"op": "unsubscribe", "keys": sorted(keys)},
        key=lambda message: message.get("key"),
        ack=lambda message: SubscriptionAnswer(message["ack"]) if "ack" in message else None,
        **options,
    )
    return Json(subscriptions=subscriptions)


def key_and_number(message: Any) -> Hashable:
    return (message["key"], message["number"]) if "key" in message else None


@pytest.mark.parametrize("options", [{}, {"batch": 1, "pace": Pace(2, per=1.0)}])
@on_virtual_time
async def test_subscriptions_are_replayed_on_the_successor_before_it_takes_over(options: dict[str, Any]) -> None:
    server = KeyedServer()
    got: list[tuple[str, int]] = []
    keys = [f"key {number}" for number in range(6)]

    async def read(stream: Any) -> None:
        nonlocal got
        async for message in stream:
            got += [(message["key"], message["number"])]

    client = make_client(server, protocol=keyed_json(**options), rotation=rotation(identity=key_and_number))
    async with client:
        first = client.subscribe(keys=keys[:4], gaps=False)
        reader = asyncio.create_task(read(first))
        await asyncio.sleep(5)
        rotating = asyncio.create_task(client.rotate())
        later = None
        while not rotating.done():
            server.publish()
            await asyncio.sleep(0.05)
            if server.open_now == 2 and later is None:
                later = client.subscribe(keys=keys[4:], gaps=False)  # wanted while the successor catches up
                await asyncio.sleep(0.1)
        old, new = server.peers
        assert not old.is_open
        assert server.keys[new] == set(keys)
        server.publish()
        await settle()
        reader.cancel()
        expected = [(key, number) for number in range(1, server.number + 1) for key in keys[:4]]
        assert got == expected, "nothing is lost or doubled"
        assert later is not None
        later.close()
        await asyncio.sleep(5)
        assert server.keys[new] == set(keys[:4]), "the subscriptions go on on the successor"
        await client.rotate()
        assert server.keys[server.peers[2]] == set(keys[:4])


@on_virtual_time
async def test_a_request_without_an_answer_is_lost_with_the_connection_that_it_was_sent_on() -> None:
    server = KeyedServer()
    protocol = Json(requests=Requests(id="id"))
    async with make_client(server, protocol=protocol, rotation=rotation(identity=lambda _: None)) as client:
        asked = asyncio.create_task(client.request({"what": 1}))
        await settle()
        rotating = asyncio.create_task(client.rotate())
        await asyncio.sleep(OVERLAP / 2)
        answered = asyncio.create_task(client.request({"what": 2}))
        await settle()
        second = json.loads(server.peers[0].received[1])
        server.peers[0].send(json.dumps({"id": second["id"], "answer": 2}))
        assert (await answered)["answer"] == 2
        await rotating
        with pytest.raises(RequestLost):
            await asked
        asked = asyncio.create_task(client.request({"what": 3}))
        await settle()
        third = json.loads(server.peers[1].received[0])
        server.peers[1].send(json.dumps({"id": third["id"], "answer": 3}))
        assert (await asked)["answer"] == 3


def answered_json() -> Json[Any]:
    """Keys one by one, accepted or refused by answers in the order of their subscriptions."""
    return Json(
        subscriptions=Subscriptions(
            subscribe=lambda keys: {"subscribe": keys},
            unsubscribe=lambda keys: {"unsubscribe": keys},
            key=lambda message: message.get("key"),
            ack=lambda message: SubscriptionAnswer(refused=message["answer"]) if "answer" in message else None,
            batch=1,
        )
    )


@asynccontextmanager
async def rotating_client() -> AsyncIterator[tuple[Client, MemoryServer, Any, asyncio.Task[Outcome]]]:
    """A client with a stream of the key "first", whose rotation has begun."""
    server = MemoryServer()
    async with make_client(server, protocol=answered_json(), rotation=rotation(identity=lambda _: None)) as client:
        first = client.subscribe(keys=["first"], gaps=False)
        await settle()
        server.peers[0].send('{"answer": null}')
        yield client, server, first, asyncio.create_task(client.rotate())


@on_virtual_time
async def test_a_successor_takes_over_once_its_subscriptions_are_answered() -> None:
    async with rotating_client() as (client, server, first, rotating):
        await asyncio.sleep(2)
        old, new = server.peers
        assert client.epoch == 1, "the server has not subscribed the successor yet"
        second, bad = client.subscribe(keys=["second"], gaps=False), client.subscribe(keys=["bad"], gaps=False)
        await settle()
        old.send('{"answer": null}')
        old.send('{"answer": "no such key"}')
        with pytest.raises(SubscriptionRefused, match="no such key"):
            await anext(bad)
        await asyncio.sleep(1)
        assert new.received[:3] == [f'{{"subscribe":["{key}"]}}' for key in ("first", "second", "bad")]
        for answer in ("null", "null", '"no such key"'):
            new.send(f'{{"answer": {answer}}}')
        assert await rotating is Outcome.OPENED
        for key, stream in (("first", first), ("second", second)):
            new.send(f'{{"key": "{key}"}}')
            assert await anext(stream) == {"key": key}
        assert new.received[3:] == ['{"unsubscribe":["bad"]}']


@on_virtual_time
async def test_a_key_that_is_wanted_at_the_last_moment_is_answered_before_the_successor_takes_over() -> None:
    async with rotating_client() as (client, server, first, rotating):
        await asyncio.sleep(2.5 * OVERLAP)  # from now on no change delays it
        old, new = server.peers
        new.send('{"answer": null}')
        await asyncio.sleep(0.9 * OVERLAP)
        late = client.subscribe(keys=["late"], gaps=False)
        await settle()
        old.send('{"answer": null}')
        await asyncio.sleep(OVERLAP)
        assert new.received == ['{"subscribe":["first"]}', '{"subscribe":["late"]}']
        assert client.epoch == 1, "the server has not subscribed the successor to the late key yet"
        old.send('{"key": "late", "from": "old"}')
        assert await anext(late) == {"key": "late", "from": "old"}
        new.send('{"answer": null}')
        assert await rotating is Outcome.OPENED
        for key, stream in (("first", first), ("late", late)):
            new.send(f'{{"key": "{key}"}}')
            assert await anext(stream) == {"key": key}


@on_virtual_time
async def test_a_successor_without_answers_is_given_up() -> None:
    server = MemoryServer()
    client = make_client(server, protocol=answered_json(), rotation=rotation(identity=lambda _: None))
    async with client:
        stream = client.subscribe(keys=["key"], gaps=False)
        await settle()
        server.peers[0].send('{"answer": null}')
        with pytest.raises(OpenTimeout):
            await client.rotate()
        server.peers[0].send('{"key": "key"}')
        assert await anext(stream) == {"key": "key"}
        assert (server.open_now, client.epoch) == (1, 1)


@on_virtual_time
async def test_an_answer_that_comes_late_on_the_old_connection_is_none_to_a_request_on_the_new_one() -> None:
    server = MemoryServer()
    client = make_client(server, protocol=answered_json(), rotation=rotation(identity=lambda _: None))
    async with client:
        good = client.subscribe(keys=["good"], gaps=False)
        await settle()
        old = server.peers[0]
        old.answers_close = False
        old.send('{"answer": null}')
        rotating = asyncio.create_task(client.rotate())
        await asyncio.sleep(OVERLAP / 4)
        server.peers[1].send('{"answer": null}')
        await asyncio.sleep(3 * OVERLAP)
        assert client.epoch == 2
        other = client.subscribe(keys=["other"], gaps=False)
        await settle()
        old.is_open = True  # as it was when it sent this, before it read the client's CLOSE
        old.send('{"answer": "no such key"}')
        await settle()
        for key, stream in (("good", good), ("other", other)):
            server.peers[1].send(f'{{"key": "{key}"}}')
            assert await anext(stream) == {"key": key}
        assert server.open_now == 2
        await rotating
