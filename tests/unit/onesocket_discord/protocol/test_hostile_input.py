"""Whatever comes: typed errors, bounded memory, and the connection goes on where it can."""

import contextlib
import json
import zlib
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onesocket.errors import DecodeError
from onesocket.protocols._protocol import Action, Deliver, Extend, Fail, Ready, Send, WakeAt
from onesocket_discord.protocol import DecompressionFailed, Intents
from onesocket_discord.protocol._zstd import zstd
from tests.unit.onesocket_discord.protocol.gateway_driver import GatewayDriver

HUGE = 10**40


@pytest.mark.parametrize(
    "data",
    [
        "",
        "{",
        "[]",
        "null",
        "1",
        '"op"',
        "{}",
        '{"op":null}',
        '{"op":"0"}',
        '{"op":1.5}',
        '{"op":true}',
        '{"op":0,"t":5,"d":{}}',
        '{"op":0,"t":"X","s":"1","d":{}}',
        '{"op":0,"t":"X","s":1,"d":}',
        '{"op":0,"t":null,"s":2,"d":{}}',
        '{"op":0,"s":2}',
        '{"op":10}',
        '{"op":10,"d":[]}',
        '{"op":10,"d":{"heartbeat_interval":"41250"}}',
        '{"op":0,"t":"READY","s":1,"d":[]}',
        '{"op":0,"t":"READY","s":1}',
        '{"op":0,"t":"READY","s":1,"d":{"session_id":5}}',
        "[" * 100_000,
        '{"op":0,"t":"X","s":1,"d":' + "[" * 100_000,
        b"\xff\xfe",
        b'{"op":0,"t":"\xff"}',
        "\ud800",
    ],
)
def test_what_cant_be_read_fails_the_login_and_is_told_afterwards(data: str | bytes) -> None:
    before = GatewayDriver().open()
    assert isinstance(before.receive(data).error, DecodeError)
    assert before.error.retryable
    after = GatewayDriver().up()
    with pytest.raises(DecodeError):
        after.receive(data)
    assert after.event("X", 9).delivered[0].sequence == 9  # it goes on


@pytest.mark.parametrize("op", [2, 3, 4, 6, 8, 12, 31, 99, -1, HUGE])
def test_ops_that_mean_nothing_to_a_client_are_passed_over(op: int) -> None:
    assert GatewayDriver().up().say(op, {"x": 1}).actions == []


def test_a_huge_number_is_a_number() -> None:
    drive = GatewayDriver().up()
    assert [d.sequence for d in drive.event("X", HUGE).delivered] == [HUGE]
    assert drive.say(1).only["d"] == HUGE
    assert [d.sequence for d in drive.event("X", HUGE - 1).delivered] == [HUGE - 1]
    assert drive.event("X", 5).delivered == []  # too far back to be remembered


def test_events_and_fields_that_nobody_knows_pass_through() -> None:
    drive = GatewayDriver().up()
    (dispatch,) = drive.event("A_NEW_EVENT", 2, {"new": [1, {"field": None}]}).delivered
    assert (dispatch.event, dispatch.data) == ("A_NEW_EVENT", {"new": [1, {"field": None}]})
    (dispatch,) = drive.event("MESSAGE_CREATE", 3, {"id": "1", "channel_id": "2", "new": True}).delivered
    assert dispatch.data.id == "1"
    assert dispatch.plain["new"] is True
    assert drive.receive('{"op":0,"t":"X","s":4,"d":{},"new":1}').delivered


def test_ready_keeps_the_fields_of_other_servers() -> None:
    drive = GatewayDriver().open().hello().ready(motd="hello", guilds="not even a list")
    assert drive.is_ready == [False]
    assert drive.delivered[0].plain["motd"] == "hello"


def test_a_broken_stream_fails_the_connection_and_nothing_after_it_is_read() -> None:
    drive = GatewayDriver(compress="zlib-stream").open()
    drive.receive(b"no zlib at all\x00\x00\xff\xff")
    assert isinstance(drive.error, DecompressionFailed)
    assert drive.fail.code == 4000
    stream = zlib.compressobj()
    payload = stream.compress(b'{"op":0,"t":"X","s":2,"d":{}}') + stream.flush(zlib.Z_SYNC_FLUSH)
    assert drive.receive(payload).actions == []
    assert drive.lose().open().receive(payload).delivered  # a new connection has a new context


@pytest.mark.parametrize("when", ["in the replay", "later, a bomb", "later"])
def test_what_breaks_a_replay_is_not_replayed_again(when: str) -> None:
    stream = zlib.compressobj()

    def packed(text: bytes) -> bytes:
        return stream.compress(text) + stream.flush(zlib.Z_SYNC_FLUSH)

    drive = GatewayDriver(compress="zlib-stream", max_size=1000).up()
    if when == "in the replay":
        drive.lose().open().hello()
    drive.receive(packed(bytes(1001)) if when == "later, a bomb" else b"broken\x00\x00\xff\xff")
    assert drive.error.retryable
    assert drive.lose().open().hello().only["op"] == (6 if when == "later" else 2)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
_PAYLOADS = st.fixed_dictionaries(
    {},
    optional={
        "op": st.integers(-1, 12) | _JSON,
        "d": _JSON | st.fixed_dictionaries({"heartbeat_interval": st.integers() | st.floats(1, 90_000)}),
        "s": st.none() | st.integers(),
        "t": st.sampled_from(["READY", "RESUMED", "MESSAGE_CREATE", "GUILD_CREATE"]) | _JSON,
    },
)


def check(drive: GatewayDriver, actions: list[Action]) -> None:
    for action in actions:
        assert isinstance(action, Send | Ready | Deliver | WakeAt | Extend | Fail)
        if isinstance(action, Deliver):
            for part in ("data", "plain"):
                with contextlib.suppress(DecodeError):
                    getattr(action.message, part)
        if isinstance(action, Send):
            json.loads(action.data)
        if isinstance(action, WakeAt) and action.at is not None:
            assert action.at > drive.now - 1


def feed(drive: GatewayDriver, data: str | bytes) -> None:
    with contextlib.suppress(DecodeError):
        check(drive, drive.receive(data).actions)


@settings(max_examples=300, deadline=None)
@given(st.lists(_PAYLOADS | st.binary(max_size=60) | st.text(max_size=60), max_size=12), st.booleans())
def test_random_payloads_raise_nothing_but_decode_errors(payloads: list[Any], logged_in: bool) -> None:
    drive = GatewayDriver(intents=Intents.UNPRIVILEGED).open()
    if logged_in:
        drive.hello().ready()
    for payload in payloads:
        feed(drive, json.dumps(payload) if isinstance(payload, dict) else payload)
        if drive.wake_at is not None:
            drive.now = max(drive.now, drive.wake_at)
            check(drive, list(drive.protocol.wake(drive.now)))


@pytest.mark.parametrize("compress", ["zlib-stream", "zstd-stream"])
@settings(max_examples=200, deadline=None)
@given(chunks=st.lists(st.binary(max_size=200), max_size=8), ends=st.booleans())
def test_random_bytes_in_a_compressed_stream(compress: str, chunks: list[bytes], ends: bool) -> None:
    drive = GatewayDriver(compress=compress, max_size=10_000).open()
    for chunk in chunks:
        feed(drive, chunk + (b"\x00\x00\xff\xff" if ends else b""))


@pytest.mark.parametrize("compress", ["zlib-stream", "zstd-stream"])
@settings(max_examples=100, deadline=None)
@given(place=st.integers(0, 200), flip=st.integers(1, 255))
def test_a_flipped_byte_in_a_sound_stream(compress: str, place: int, flip: int) -> None:
    text = b'{"op":0,"t":"X","s":2,"d":{"content":"%s"}}' % (b"words " * 40)
    if compress == "zlib-stream":
        stream = zlib.compressobj()
        data = bytearray(stream.compress(text) + stream.flush(zlib.Z_SYNC_FLUSH))
    else:
        data = bytearray(zstd.compress(text))
    data[place % len(data)] ^= flip
    feed(GatewayDriver(compress=compress, max_size=100_000).open(), bytes(data))
