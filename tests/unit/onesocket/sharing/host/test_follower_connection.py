"""A follower that doesn't read: what its owner keeps for it, and tells it afterwards."""

import asyncio
from typing import Any, cast

import pytest

from onesocket import Gap
from onesocket.client import GapReason
from onesocket.errors import ConnectionReset
from onesocket.sharing.host import HostOptions
from onesocket.sharing.host._follower_connection import FollowerConnection
from onesocket.sharing.host._ipc_frames import (
    FrameSplitter,
    GapNotice,
    MessageBatch,
    decode_owner_frame,
    encode_ipc_frame,
)
from onesocket.sharing.host._join_credentials import JoinCredentials

MESSAGE = encode_ipc_frame(MessageBatch(["x"]))
LOST = ConnectionReset("lost")


EPOCH = 7


class RecordingSocket:
    """Keeps what is written."""

    def __init__(self) -> None:
        self.written = b""

    def write(self, data: bytes) -> None:
        self.written += data

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass

    def abort(self) -> None:
        pass


@pytest.fixture
async def peer() -> Any:
    peer = FollowerConnection(JoinCredentials(b"", "1"), HostOptions(buffer=1_000), lambda *_: None)
    peer._transport = cast("Any", RecordingSocket())
    yield peer
    peer._stop_timer()


def miss(peer: FollowerConnection, gap: Gap) -> None:
    peer.send_gap(gap, encode_ipc_frame(GapNotice(gap)))


async def sent_messages(peer: FollowerConnection) -> list[Any]:
    """Everything that it was told, markers as (reason, epoch, missed, error)."""
    await asyncio.sleep(0)  # what is told is written at the end of the turn
    frames = [
        decode_owner_frame(body) for body in FrameSplitter().feed(cast("RecordingSocket", peer._transport).written)
    ]
    gaps = [frame.gap if isinstance(frame, GapNotice) else None for frame in frames]
    return [
        "batch" if gap is None else (gap.reason, gap.epoch, gap.missed, gap.error and str(gap.error)) for gap in gaps
    ]


async def test_it_hears_of_a_new_connection_that_came_while_it_did_not_read(peer: FollowerConnection) -> None:
    peer.send_batch(MESSAGE, 1, EPOCH)
    peer.pause_writing()
    miss(peer, Gap(GapReason.RECONNECTED, 2, error=LOST))
    peer.resume_writing()
    peer.send_batch(MESSAGE, 1, EPOCH)
    assert await sent_messages(peer) == ["batch", (GapReason.RECONNECTED, 2, None, "lost"), "batch"]


@pytest.mark.parametrize("first", [True, False])
async def test_how_many_are_missing_is_not_known_where_a_new_connection_is_among_it(
    peer: FollowerConnection, *, first: bool
) -> None:
    peer.pause_writing()
    if not first:
        peer.send_batch(MESSAGE, 1, EPOCH)
    miss(peer, Gap(GapReason.RECONNECTED, 7, error=LOST))
    peer.send_batch(MESSAGE, 2, EPOCH)
    peer.resume_writing()
    assert await sent_messages(peer) == [(GapReason.RECONNECTED, 7, None, "lost")]
    assert peer.dropped == (2 if first else 3)


async def test_messages_that_were_too_long_for_anybody_are_counted_in(peer: FollowerConnection) -> None:
    peer.pause_writing()
    peer.send_batch(MESSAGE, 3, EPOCH)
    miss(peer, Gap(GapReason.OVERFLOW, 7, 2))
    peer.resume_writing()
    assert await sent_messages(peer) == [(GapReason.OVERFLOW, 7, 5, None)]


async def test_it_hears_of_each_time_once(peer: FollowerConnection) -> None:
    for _ in range(2):
        peer.pause_writing()
        peer.send_batch(MESSAGE, 1, EPOCH)
        peer.resume_writing()
    miss(peer, Gap(GapReason.RECONNECTED, 8))
    peer.pause_writing()
    peer.resume_writing()
    assert await sent_messages(peer) == [
        (GapReason.OVERFLOW, 7, 1, None),
        (GapReason.OVERFLOW, 7, 1, None),
        (GapReason.RECONNECTED, 8, None, None),
    ]
