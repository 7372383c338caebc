"""The frames between processes, valid and invalid."""

import contextlib
import dataclasses
import enum
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from onesocket import Client, Gap, OnesocketError, Outcome, State, Status
from onesocket._printable import printable
from onesocket.client import ConnectionStats, GapReason
from onesocket.errors import ClosedByPeer, ConnectionReset, EncodeError, HandshakeRejected
from onesocket.sharing.host import IpcError, VersionMismatch
from onesocket.sharing.host import _ipc_frames as frames
from onesocket.sharing.host._ipc_errors import deserialize_error, serialize_error
from onesocket.sharing.host._ipc_frames import (
    FrameSplitter,
    checked_key,
    decode_follower_frame,
    decode_owner_frame,
    encode_ipc_frame,
    split_by_size,
)
from tests.exceptions import error_type


class StrSubclass(str):
    __slots__ = ()


class BytesSubclass(bytes):
    __slots__ = ()


class IntSubclass(int):
    __slots__ = ()


class StrEnumKey(enum.StrEnum):
    TICKER = "ticker"


ANYTHING: Any = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(st.lists(st.text() | st.binary()), st.lists(st.integers(1, 40)))
def test_messages_arrive_as_they_were_however_the_stream_is_cut(messages: list[str | bytes], cuts: list[int]) -> None:
    stream = (
        encode_ipc_frame(frames.MessageBatch(messages))
        + encode_ipc_frame(frames.OwnerHeartbeat(ConnectionStats(attempts=1)))
        + encode_ipc_frame(frames.MessageBatch(messages))
    )
    splitter = FrameSplitter()
    bodies: list[bytes | bytearray] = []
    for cut in cuts:
        bodies += splitter.feed(stream[:cut])
        stream = stream[cut:]
    bodies += splitter.feed(stream)
    assert list(map(decode_owner_frame, bodies)) == [
        frames.MessageBatch(messages),
        frames.OwnerHeartbeat(ConnectionStats(attempts=1)),
        frames.MessageBatch(messages),
    ]


@given(st.binary())
def test_bytes_from_anywhere_are_read_or_an_ipc_error(junk: bytes) -> None:
    for read in (decode_owner_frame, decode_follower_frame):
        assert error_type(read, junk) in {None, IpcError}
    assert error_type(lambda: list(map(decode_follower_frame, FrameSplitter(1000).feed(junk)))) in {None, IpcError}


@given(st.integers(0, 45), st.lists(ANYTHING, max_size=8))
def test_frames_with_wrong_contents_are_read_or_an_ipc_error(tag: int, fields: list[Any]) -> None:
    def read_from_follower() -> None:
        frame = decode_follower_frame(body)
        for key in frame.add if isinstance(frame, frames.Subscribe) else []:
            assert error_type(lambda key=key: hash(checked_key(key))) in {None, IpcError}

    body = msgspec.msgpack.encode([tag, *fields])
    assert error_type(decode_owner_frame, body) in {None, IpcError}
    assert error_type(read_from_follower) in {None, IpcError}


@given(
    st.text(),
    st.text(),
    st.dictionaries(
        st.sampled_from(["retryable", "retry_after", "status", "location", "code", "args", "__class__", "x"]),
        st.text() | st.integers() | st.floats() | st.booleans() | st.none(),
    ),
)
def test_an_error_from_elsewhere_is_one_of_ours_or_an_ipc_error(kind: str, text: str, state: dict[str, Any]) -> None:
    for name in (kind, "ClosedByPeer", "HandshakeRejected", "DeliveryUnknown"):
        with contextlib.suppress(IpcError, msgspec.ValidationError):
            error = deserialize_error([name, text, state])
            assert type(error).__name__ == name
            assert str(error) == printable(text[:2000])
            assert isinstance(error.retryable, bool)
            str(error.copy())


@pytest.mark.parametrize(
    "error",
    [
        ClosedByPeer("gone", code=4004, reason="no", retryable=False),
        HandshakeRejected("later", status=503, retryable=True, retry_after=2.5),
        VersionMismatch("old", ours=1, theirs=2),
        ConnectionReset("lost"),
    ],
)
def test_errors_arrive_as_they_were(error: OnesocketError) -> None:
    frame = decode_owner_frame(encode_ipc_frame(frames.Rejection(error))[4:])
    assert isinstance(frame, frames.Rejection)
    twin = frame.error
    assert type(twin) is type(error)
    assert (str(twin), twin.retryable, twin.retry_after) == (str(error), error.retryable, error.retry_after)
    for name in ("code", "reason", "status", "ours", "theirs"):
        assert getattr(twin, name, None) == getattr(error, name, None)


def test_an_error_of_somebody_elses_kind_goes_as_the_nearest_that_all_know() -> None:
    class Special(ConnectionReset):
        pass

    assert serialize_error(Special("so")).kind == "ConnectionReset"
    secret = serialize_error(RuntimeError("token=secret"))
    assert "secret" not in secret.text


def test_gap_markers_arrive_as_they_were() -> None:
    gap = Gap(GapReason.OVERFLOW, 3, 7, ConnectionReset("lost"))
    frame = decode_owner_frame(encode_ipc_frame(frames.GapNotice(gap))[4:])
    assert isinstance(frame, frames.GapNotice)
    twin = frame.gap
    assert (twin.reason, twin.epoch, twin.missed, str(twin.error)) == (gap.reason, 3, 7, "lost")


def test_a_frame_that_is_too_long_is_refused_before_it_is_held() -> None:
    splitter = FrameSplitter(10)
    assert splitter.feed(b"\0\0\0\x0a" + bytes(9)) == []
    assert splitter.feed(b"\0") == [bytes(10)]
    with pytest.raises(IpcError, match="11 bytes"):
        splitter.feed(b"\0\0\0\x0b")


PART = 1 << 31
MORE = 1 << 30
LANE = 1 << 29


def piece(flags: int, body: bytes) -> bytes:
    return (flags | len(body)).to_bytes(4, "big") + body


def feed_in_pieces(splitter: FrameSplitter, stream: bytes, length: int) -> list[bytes | bytearray]:
    return [body for at in range(0, len(stream), length) for body in splitter.feed(stream[at : at + length])]


@pytest.mark.parametrize("frame", [frames.MessageBatch, lambda messages: frames.SnapshotAnswer(1, messages)])
def test_a_long_frame_is_sent_in_parts_between_which_others_come(frame: Any) -> None:
    long, short = frame(["x" * 1_000_000, b"y" * 300_000]), frames.OwnerHeartbeat(ConnectionStats())
    data = encode_ipc_frame(long)
    splitter = FrameSplitter()
    bodies: list[Any] = []
    for at in range(0, len(data), frames.PART_STRIDE):
        bodies += splitter.feed(data[at : at + frames.PART_STRIDE] + encode_ipc_frame(short))
    *others, last_but_one, last = map(decode_owner_frame, bodies)
    assert others == [short] * 4
    assert (last_but_one, last) == (long, short)


def test_parts_of_messages_and_of_an_answer_may_alternate() -> None:
    messages = frames.MessageBatch(["x" * 600_000])
    answer = frames.Answer(1, "y" * 600_000)
    streams = [encode_ipc_frame(frame) for frame in (messages, answer)]
    splitter = FrameSplitter()
    bodies: list[Any] = []
    for at in range(0, len(streams[0]), frames.PART_STRIDE):
        for stream in streams:
            bodies += splitter.feed(stream[at : at + frames.PART_STRIDE])
    assert list(map(decode_owner_frame, bodies)) == [messages, answer]


def test_a_frame_in_parts_may_come_byte_by_byte() -> None:
    splitter = FrameSplitter()
    stream = piece(PART | MORE, b"ab") + piece(0, b"whole") + piece(PART | MORE, b"c") + piece(PART, b"d")
    assert feed_in_pieces(splitter, stream, 1) == [b"whole", b"abcd"]


@pytest.mark.parametrize(
    "stream",
    [
        piece(PART, b"alone"),
        piece(PART | LANE, b"alone"),
        piece(PART | MORE, b""),
        piece(PART | MORE, b"a") + piece(PART | MORE, b""),
        piece(PART | MORE, b"a") + piece(PART, b""),
        piece(PART | MORE, b"a") + piece(PART | LANE, b"of the other lane"),
        piece(PART | MORE, b"a" * 9) + piece(PART | MORE, b"b" * 2),
        piece(PART | MORE, b"a" * 10) + piece(PART, b"b"),
        piece(PART | MORE, b"a" * 11),
        piece(MORE, b"a"),
        piece(LANE, b"a"),
        b"\xff\xff\xff\xff",
    ],
)
def test_wrong_parts_are_an_ipc_error_and_never_more_than_the_limit_is_held(stream: bytes) -> None:
    for cut in range(1, len(stream) + 1):
        splitter = FrameSplitter(10)
        with pytest.raises(IpcError):
            feed_in_pieces(splitter, stream, cut)
        assert sum(map(len, splitter._parts.values())) <= 10


@given(st.lists(st.tuples(st.sampled_from([0, PART, PART | MORE, PART | LANE, PART | LANE | MORE]), st.binary())))
def test_any_order_of_parts_is_read_or_an_ipc_error(pieces: list[tuple[int, bytes]]) -> None:
    splitter = FrameSplitter(1_000)
    stream = b"".join(piece(*each) for each in pieces)
    assert error_type(splitter.feed, stream) in {None, IpcError}


def test_a_message_beyond_the_limit_is_an_error_that_no_further_try_helps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frames, "MAX_FRAME_BYTES", 300_000)
    with pytest.raises(EncodeError, match=r"of 4000\d\d bytes .*\(300000\)") as raised:
        encode_ipc_frame(frames.SendMessages(1, ["x" * 400_000]))
    assert not raised.value.retryable


def test_messages_of_other_kinds_are_refused() -> None:
    with pytest.raises(IpcError):
        decode_owner_frame(msgspec.msgpack.encode([4, ["text", 1]]))
    with pytest.raises(IpcError):
        decode_follower_frame(msgspec.msgpack.encode([34, 1, ["text", None]]))
    with pytest.raises(IpcError):
        decode_owner_frame(msgspec.msgpack.encode([11, 1, 2]))
    for wrong in (["", ""], ["a", ""], ["a", b"a"], [1, 1], [None, None], ["a", "a", True, True, b"a"], ["a", None]):
        with pytest.raises(IpcError):
            decode_follower_frame(msgspec.msgpack.encode([40, 1, *wrong[:2], True, *wrong[3:]]))
    for right in (["a", "a", True], [b"a", b"a", True, True, b"a", b"b"], ["a", "a", True, True, None, None]):
        assert isinstance(decode_follower_frame(msgspec.msgpack.encode([40, 1, *right])), frames.Ask)


@given(st.lists(st.binary(max_size=20)))
def test_portions_hold_everything_in_order(messages: list[bytes]) -> None:
    portions = split_by_size(list(messages), len, 30)
    assert [message for portion in portions for message in portion] == messages
    assert all(portion and sum(map(len, portion[:-1])) <= 30 for portion in portions)


def test_keys_travel() -> None:
    keys = [
        "a",
        "ä",
        1,
        -(2**63),
        2**64 - 1,
        b"x",
        ("channel", 7),
        StrEnumKey.TICKER,
        StrSubclass("own"),
        BytesSubclass(b"own"),
        IntSubclass(5),
    ]
    frame = decode_follower_frame(encode_ipc_frame(frames.Subscribe(keys, []))[4:])
    assert isinstance(frame, frames.Subscribe)
    assert [checked_key(key) for key in frame.add] == keys
    for wrong in (None, 1.5, {"a": 1}, [None], True, 2**64, -(2**63) - 1, [2**70], "\ud800"):
        with pytest.raises(IpcError):
            checked_key(wrong)


@pytest.mark.parametrize("wrong", [2**64, "\ud800", object(), [[]] * 3 + [{1: object()}]])
def test_what_cannot_travel_is_an_ipc_error(wrong: Any) -> None:
    with pytest.raises(IpcError):
        encode_ipc_frame(frames.Subscribe([wrong], []))


def test_messages_of_somebodys_own_kinds_of_text_and_bytes_travel() -> None:
    frame = decode_follower_frame(
        encode_ipc_frame(frames.SendMessages(1, [StrSubclass("ä"), BytesSubclass(b"x"), StrEnumKey.TICKER]))[4:]
    )
    assert frame == frames.SendMessages(1, ["ä", b"x", "ticker"])


def test_a_change_of_what_frames_carry_needs_another_protocol_version() -> None:
    fields = {
        kind.__name__: " ".join(sorted(field.name for field in dataclasses.fields(kind)))
        for kind in (ConnectionStats, Gap, Status)
    }
    values = {kind.__name__: sorted(kind) for kind in (GapReason, Outcome, State, frames.Verb)}
    assert (frames.PROTOCOL_VERSION, fields, values) == (
        4,
        {
            "ConnectionStats": "attempts gaps handshakes late_answers received received_bytes reconnects sent "
            "sent_bytes stale_dropped undecodable",
            "Gap": "epoch error keys missed reason",
            "Status": "attempt callers connected_at epoch handshake inbox is_held last_connected_at last_error "
            "last_loss last_lost_at outbox retry_in rtt state subscribers url",
        },
        {
            "GapReason": ["overflow", "reconnected", "undecodable"],
            "Outcome": ["already connected", "joined", "not authenticated", "opened"],
            "State": [
                "backing off",
                "closed",
                "closing",
                "connected",
                "connecting",
                "disconnected",
                "failed",
                "stopped",
            ],
            "Verb": ["connect", "connect, retrying", "disconnect", "reconnect", "rotate"],
        },
    ), "raise PROTOCOL_VERSION once 4 is released, and write the new contents here"


def test_messages_have_the_numbers_of_messages() -> None:
    for first in (0, frames.FIRST_REQUEST_NUMBER - 2):
        decode_follower_frame(encode_ipc_frame(frames.SendMessages(first, ["a", "b"]))[4:])
    for first in (-1, frames.FIRST_REQUEST_NUMBER - 1, 2**64 - 1):
        with pytest.raises(IpcError):
            decode_follower_frame(encode_ipc_frame(frames.SendMessages(first, ["a", "b"]))[4:])


def test_an_epoch_that_there_can_not_be_is_refused() -> None:
    for epoch in (0, frames.MAX_EPOCH):
        decode_follower_frame(encode_ipc_frame(frames.Hello(1, "1", epoch=epoch))[4:])
    for epoch in (-1, frames.MAX_EPOCH + 1):
        with pytest.raises(IpcError):
            decode_follower_frame(encode_ipc_frame(frames.Hello(1, "1", epoch=epoch))[4:])


def test_a_state_that_there_is_not_is_refused() -> None:
    lost = ConnectionReset("lost")
    status = dataclasses.replace(Client("ws://x/").status, state=State.CONNECTED, epoch=1, last_loss=lost)
    body = encode_ipc_frame(frames.StatusUpdate(status))[4:]
    frame = decode_owner_frame(body)
    assert isinstance(frame, frames.StatusUpdate)
    assert str(frame.status.last_loss) == "lost"
    assert dataclasses.replace(frame.status, last_loss=lost) == status
    with pytest.raises(IpcError):
        decode_owner_frame(body.replace(b"connected", b"levitates"))
