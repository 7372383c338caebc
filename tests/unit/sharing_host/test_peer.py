"""A follower that doesn't read: what its owner keeps for it, and tells it afterwards."""

import asyncio
from typing import Any, cast

import pytest

from onesocket import ConnectionLost, Gap, GapReason
from onesocket.sharing.host.convey import gap_of, missing_of
from onesocket.sharing.host.frames import Batch, Missing, Splitter, pack, read_as_follower
from onesocket.sharing.host.peer import Peer, PeerOwner

MESSAGE = pack(Batch(["x"]))
LOST = ConnectionLost("lost")


class Owner:
    buffer = 1_000
    cut_off_after = 60.0
    epoch = 7


class Socket:
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
    peer = Peer(cast("PeerOwner", Owner()), b"nonce")
    peer._transport = cast("Any", Socket())
    yield peer
    peer._stop_timer()


def miss(peer: Peer, gap: Gap) -> None:
    peer.miss(gap, pack(missing_of(gap, gap.epoch)))


async def told(peer: Peer) -> list[Any]:
    """Everything that it was told, markers as (reason, epoch, missed, error)."""
    await asyncio.sleep(0)  # what is told is written at the end of the turn
    frames = [read_as_follower(body) for body in Splitter().feed(cast("Socket", peer._transport).written)]
    gaps = [gap_of(frame) if isinstance(frame, Missing) else None for frame in frames]
    return [
        "batch" if gap is None else (gap.reason, gap.epoch, gap.missed, gap.error and str(gap.error)) for gap in gaps
    ]


async def test_it_hears_of_a_new_line_that_came_while_it_did_not_read(peer: Peer) -> None:
    peer.feed(MESSAGE, 1)
    peer.pause_writing()
    miss(peer, Gap(GapReason.RECONNECTED, 2, error=LOST))
    peer.resume_writing()
    peer.feed(MESSAGE, 1)
    assert await told(peer) == ["batch", (GapReason.RECONNECTED, 2, None, "lost"), "batch"]


@pytest.mark.parametrize("first", [True, False])
async def test_how_many_are_missing_is_not_known_where_a_new_line_is_among_it(peer: Peer, *, first: bool) -> None:
    peer.pause_writing()
    if not first:
        peer.feed(MESSAGE, 1)
    miss(peer, Gap(GapReason.RECONNECTED, 7, error=LOST))
    peer.feed(MESSAGE, 2)
    peer.resume_writing()
    assert await told(peer) == [(GapReason.RECONNECTED, 7, None, "lost")]
    assert peer.dropped == (2 if first else 3)


async def test_messages_that_were_too_long_for_anybody_are_counted_in(peer: Peer) -> None:
    peer.pause_writing()
    peer.feed(MESSAGE, 3)
    miss(peer, Gap(GapReason.OVERFLOW, 7, 2))
    peer.resume_writing()
    assert await told(peer) == [(GapReason.OVERFLOW, 7, 5, None)]


async def test_it_hears_of_each_time_once(peer: Peer) -> None:
    for _ in range(2):
        peer.pause_writing()
        peer.feed(MESSAGE, 1)
        peer.resume_writing()
    miss(peer, Gap(GapReason.RECONNECTED, 8))
    peer.pause_writing()
    peer.resume_writing()
    assert await told(peer) == [
        (GapReason.OVERFLOW, 7, 1, None),
        (GapReason.OVERFLOW, 7, 1, None),
        (GapReason.RECONNECTED, 8, None, None),
    ]
