"""A follower's end at its owner: what it gets from the ring, what passes by, and when it is cut off."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any, cast

import pytest

from onesocket import Client
from onesocket.client import ConnectionStats, GapReason
from onesocket.sharing.host import HostOptions
from onesocket.sharing.host._back_pressure import BackPressure
from onesocket.sharing.host._follower_connection import FollowerConnection
from onesocket.sharing.host._follower_set import FollowerSet
from onesocket.sharing.host._ipc_frames import (
    PART_STRIDE,
    Answer,
    Challenge,
    FeedPosition,
    FrameSplitter,
    GapNotice,
    MessageBatch,
    OwnerHeartbeat,
    Results,
    Shutdown,
    SnapshotAnswer,
    StatusUpdate,
    Welcome,
    decode_owner_frame,
)
from onesocket.sharing.host._join_credentials import JoinCredentials

EPOCH = 7
STATUS = Client("ws://x/").status
WELCOME = Welcome(1, 2, 1.0, STATUS, ConnectionStats())
CREDENTIALS = JoinCredentials(b"", "1")


class FakeTransport:
    """A socket that takes what the test lets it take."""

    def __init__(self, protocol: FollowerConnection) -> None:
        self.protocol = protocol
        self.written = b""
        self.waiting = 0
        self.high = self.low = 0
        self.is_taking = True
        self.is_reading = True
        self.is_aborted = False
        self.is_closed = False
        self._splitter = FrameSplitter()

    def set_write_buffer_limits(self, high: int, low: int) -> None:
        self.high, self.low = high, low

    def get_write_buffer_size(self) -> int:
        return self.waiting

    def is_closing(self) -> bool:
        return self.is_closed or self.is_aborted

    def write(self, data: Any) -> None:
        self.written += data
        self.waiting += 0 if self.is_taking else len(data)
        if self.waiting > self.high and not self.protocol.is_write_paused:
            self.protocol.pause_writing()

    def take(self, count: int) -> None:
        """The follower reads so much."""
        self.waiting = max(0, self.waiting - count)
        if self.waiting <= self.low and self.protocol.is_write_paused:
            self.protocol.resume_writing()

    def frames(self) -> list[Any]:
        """Return the frames written since the last call, messages and markers unpacked."""
        bodies, self.written = self._splitter.feed(self.written), b""
        frames: list[Any] = []
        for frame in map(decode_owner_frame, bodies):
            match frame:
                case MessageBatch(messages):
                    frames += messages
                case GapNotice(gap):
                    frames.append((gap.reason, gap.epoch, gap.missed))
                case _:
                    frames.append(type(frame))
        return frames

    def pause_reading(self) -> None:
        self.is_reading = False

    def resume_reading(self) -> None:
        self.is_reading = True

    def abort(self) -> None:
        self.is_aborted = True

    def close(self) -> None:
        self.is_closed = True


class OwnerSide:
    """An owner's followers, and what they sent."""

    def __init__(self, **options: Any) -> None:
        self.received: list[Any] = []
        self.options = HostOptions(**options)
        self.held: list[bool] = []
        back_pressure = BackPressure(self.options.hold, lambda: self.held.append(True), lambda: self.held.append(False))
        self.followers = FollowerSet(CREDENTIALS, self.options, self.receive, STATUS, back_pressure)

    def receive(self, follower: FollowerConnection, frame: Any) -> None:
        self.received.append(frame)
        if frame is None:
            self.followers.detach(follower)

    def attach(self, position: FeedPosition | None = None) -> tuple[FollowerConnection, FakeTransport]:
        follower = FollowerConnection(CREDENTIALS, self.options, self.receive)
        transport = FakeTransport(follower)
        follower._transport = cast("Any", transport)
        follower.on_open(cast("Any", transport))
        follower._stop_timer()
        self.followers.attach(follower, WELCOME, position)
        return follower, transport


@pytest.fixture
async def owner() -> AsyncIterator[OwnerSide]:
    owner = OwnerSide(buffer=2_000_000)
    yield owner
    for follower in owner.followers._attached:
        follower._stop_timer()


async def attached(owner: OwnerSide) -> tuple[FollowerConnection, FakeTransport]:
    follower, transport = owner.attach()
    await asyncio.sleep(0)
    transport.frames()
    return follower, transport


async def test_a_batch_is_written_in_the_same_turn(owner: OwnerSide) -> None:
    _, transport = await attached(owner)
    owner.followers.send_batch(["a", "b"], EPOCH)
    assert transport.frames() == ["a", "b"]


async def test_what_a_full_socket_does_not_take_waits_in_the_ring_and_comes_whole(owner: OwnerSide) -> None:
    (_, slow), (_, quick) = await attached(owner), await attached(owner)
    slow.is_taking = False
    messages = [f"{number:04}" + "x" * 10_000 for number in range(120)]
    for message in messages:
        owner.followers.send_batch([message], EPOCH)
    assert quick.frames() == messages
    assert slow.waiting < 300_000
    read: list[Any] = []
    while slow.waiting:
        slow.take(200_000)
        read += slow.frames()
    assert read == messages
    assert owner.followers.dropped == 0


async def test_the_bytes_that_wait_are_those_of_one_ring_whatever_the_number_of_followers(owner: OwnerSide) -> None:
    transports = [(await attached(owner))[1] for _ in range(20)]
    for transport in transports:
        transport.is_taking = False
    for number in range(500):
        owner.followers.send_batch([f"{number:04}" + "x" * 10_000], EPOCH)
    assert owner.followers._ring._bytes <= 2_000_000
    assert max(transport.waiting for transport in transports) < 300_000


async def test_one_marker_has_the_exact_number_of_what_the_ring_had_no_more(owner: OwnerSide) -> None:
    follower, transport = await attached(owner)
    transport.is_taking = False
    for number in range(1_000):
        owner.followers.send_batch([f"{number:04}" + "x" * 10_000], EPOCH)
    assert owner.followers.dropped == follower.dropped > 0
    read = transport.frames()
    while transport.waiting:
        transport.take(200_000)
        read += transport.frames()
    (gap,) = (item for item in read if isinstance(item, tuple))
    assert gap == (GapReason.OVERFLOW, STATUS.epoch, follower.dropped)
    assert len(read) - 1 + follower.dropped == 1_000
    assert read[-1].startswith("0999")
    follower.on_end(None)
    assert owner.followers.dropped == follower.dropped


async def test_a_long_message_goes_in_parts_and_heartbeats_results_and_answers_between_them(owner: OwnerSide) -> None:
    follower, transport = await attached(owner)
    transport.is_taking = False
    owner.followers.send_batch(["x" * 1_500_000], EPOCH)
    assert transport.waiting <= 2 * PART_STRIDE
    owner.followers.send_heartbeat(ConnectionStats())
    follower.add_result(1, None, None)
    assert follower.add_answer(2, "y" * 600_000)
    await asyncio.sleep(0)
    await asyncio.sleep(0)  # results are gathered for a turn
    assert transport.frames() == [OwnerHeartbeat, Answer, Results]
    owner.followers.send_batch(["z"], EPOCH)
    while transport.waiting:
        transport.take(PART_STRIDE)
    assert transport.frames() == ["x" * 1_500_000, "z"]


async def test_a_follower_that_reads_little_is_not_cut_off_and_one_that_reads_nothing_is(owner: OwnerSide) -> None:
    follower, transport = await attached(owner)
    transport.is_taking = False
    owner.followers.send_batch(["x" * 1_000_000], EPOCH)
    for _ in range(3):
        transport.take(1_000)
        assert follower._timer is not None
        follower._check_progress()
    assert owner.received == []
    follower._check_progress()
    assert owner.received == [None]
    assert transport.is_aborted


async def test_one_that_reads_fewer_answers_than_come_is_not_cut_off(owner: OwnerSide) -> None:
    follower, transport = await attached(owner)
    transport.is_taking = False
    owner.followers.send_batch(["x" * 1_000_000], EPOCH)
    for number in range(3):
        transport.take(1_000)
        follower.add_answer(number, "y" * 2_000)
        await asyncio.sleep(0)
        follower._check_progress()
    assert owner.received == []
    follower.add_answer(3, "y")
    await asyncio.sleep(0)
    follower._check_progress()
    assert owner.received == [None]


async def test_answers_to_one_that_reads_end_neither_by_their_length_nor_by_a_short_ring() -> None:
    owner = OwnerSide(buffer=1_000)
    follower, transport = await attached(owner)
    transport.is_taking = False
    owner.followers.send_batch(["x" * 500_000], EPOCH)
    assert follower.add_answer(1, "y" * 5_000_000)
    await asyncio.sleep(0)
    assert not follower.add_answer(2, "y")
    follower._stop_timer()


async def test_requests_are_read_during_a_burst_but_not_while_their_results_are_not(owner: OwnerSide) -> None:
    follower, transport = await attached(owner)
    transport.is_taking = False
    owner.followers.send_batch(["x" * 1_000_000], EPOCH)
    assert follower.is_write_paused
    reading = [transport.is_reading]
    for number in range(2):
        assert follower.add_answer(number, "y" * 900_000)
    follower.add_result(1, None, None)
    await asyncio.sleep(0)
    reading.append(transport.is_reading)
    owner.followers.send_heartbeat(ConnectionStats())
    await asyncio.sleep(0)
    assert OwnerHeartbeat not in transport.frames()
    assert not follower.add_answer(3, "y" * 900_000)  # more than `buffer`: this stream is lost
    await asyncio.sleep(0)
    while transport.waiting:
        transport.take(500_000)
    assert [*reading, transport.is_reading] == [True, False, True]


async def test_a_snapshot_comes_behind_the_messages_before_it_also_to_a_follower_that_never_catches_up(
    owner: OwnerSide,
) -> None:
    follower, transport = await attached(owner)
    transport.is_taking = False
    before, after = "b" * 1_000_000, "a" * 100_000
    owner.followers.send_batch([before], EPOCH)
    follower.send_snapshot(1, ["s"])
    read: list[Any] = []
    while SnapshotAnswer not in read:
        assert not follower.is_caught_up
        owner.followers.send_batch([after], EPOCH)
        transport.take(150_000)
        read += transport.frames()
    assert read == [before, SnapshotAnswer, *[after] * (len(read) - 2)]


async def test_a_snapshot_comes_before_the_marker_for_the_messages_behind_it(owner: OwnerSide) -> None:
    follower, transport = await attached(owner)
    transport.is_taking = False
    message = "x" * 500_000
    owner.followers.send_batch([message], EPOCH)
    follower.send_snapshot(1, ["s"])
    for _ in range(10):
        owner.followers.send_batch([message], EPOCH)
    transport.is_taking = True
    transport.take(transport.waiting)
    assert transport.frames() == [message, SnapshotAnswer, (GapReason.OVERFLOW, STATUS.epoch, 7), *[message] * 3]


async def test_it_goes_on_at_its_place_when_it_attaches_again(owner: OwnerSide) -> None:
    follower, transport = await attached(owner)
    place = FeedPosition()
    owner.followers.send_batch(["a", "b"], EPOCH)
    follower.on_end(None)
    owner.followers.send_batch(["c"], EPOCH)
    _, again = owner.attach(FeedPosition(2, 0))
    await asyncio.sleep(0)
    assert again.frames() == [Challenge, Welcome, "c"]
    _, late = owner.attach(place)
    await asyncio.sleep(0)
    assert late.frames() == [Challenge, Welcome, "a", "b", "c"]
    _, new = owner.attach()
    owner.followers.send_status(STATUS)
    await asyncio.sleep(0)
    assert new.frames() == [Challenge, Welcome, StatusUpdate]
    assert transport.frames() == ["a", "b"]


async def test_an_owner_alone_keeps_and_encodes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    owner = OwnerSide()
    owner.followers.send_batch(["a"], EPOCH)
    assert len(owner.followers._ring._entries) == 0
    follower, _ = owner.attach()
    owner.followers.send_batch(["b"], EPOCH)
    follower.on_end(None)
    owner.followers.send_batch(["c"], EPOCH)  # it may come back
    assert len(owner.followers._ring._entries) == 2
    later = asyncio.get_running_loop().time() + 11.0
    monkeypatch.setattr(owner.followers._loop, "time", lambda: later)
    owner.followers.send_batch(["d"], EPOCH)
    assert len(owner.followers._ring._entries) == 0
    _, again = owner.attach(FeedPosition(2, 0))
    monkeypatch.undo()
    await asyncio.sleep(0)
    _, welcome = map(decode_owner_frame, FrameSplitter().feed(again.written))
    assert isinstance(welcome, Welcome)
    assert (welcome.position, welcome.gap and welcome.gap.missed) == (FeedPosition(4, 0), 2)


async def test_one_that_lags_gets_the_rest_before_the_orderly_end(owner: OwnerSide) -> None:
    (_, slow), (_, quick) = await attached(owner), await attached(owner)
    slow.is_taking = False
    owner.followers.send_batch(["x" * 1_000_000], EPOCH)
    ending = asyncio.create_task(owner.followers.shut_down())
    await asyncio.sleep(0)
    assert quick.frames() == ["x" * 1_000_000, Shutdown]
    assert quick.is_closed
    assert not ending.done()
    while slow.waiting:
        assert not slow.is_closed
        slow.take(500_000)
    await asyncio.sleep(0)
    slow.waiting = 0
    await ending
    assert slow.frames() == ["x" * 1_000_000, Shutdown]
    assert slow.is_closed


async def test_the_feed_waits_for_one_that_reads_before_it_misses_anything() -> None:
    owner = OwnerSide(buffer=1_000_000, hold=5.0)
    follower, transport = await attached(owner)
    follower.read_at -= 1_000.0  # the socket had room all the time
    transport.is_taking = False
    sent = 0
    while not owner.held:
        owner.followers.send_batch(["x" * 50_000], EPOCH)
        sent += 1
    assert sent < 25
    while transport.waiting:
        transport.take(100_000)
    owner.followers._look()
    assert owner.held == [True, False]
    assert len(transport.frames()) == sent
    assert owner.followers.dropped == 0
    await owner.followers.shut_down()


async def test_the_feed_does_not_wait_for_one_that_does_not_read() -> None:
    owner = OwnerSide(buffer=1_000_000, hold=5.0)
    follower, transport = await attached(owner)
    transport.is_taking = False
    owner.followers.send_batch(["x" * 300_000], EPOCH)  # the socket is full
    follower.read_at -= 6.0
    for _ in range(50):
        owner.followers.send_batch(["x" * 50_000], EPOCH)
    assert owner.held == []
    assert owner.followers.dropped > 0
    transport.take(10**9)
    await owner.followers.shut_down()


async def test_the_feed_that_is_held_at_the_end_is_let_go() -> None:
    owner = OwnerSide(buffer=1_000_000, hold=5.0)
    _, transport = await attached(owner)
    transport.is_taking = False
    while not owner.held:
        owner.followers.send_batch(["x" * 50_000], EPOCH)
    ending = asyncio.create_task(owner.followers.shut_down())
    await asyncio.sleep(0)
    assert owner.held == [True, False]
    while transport.waiting:
        transport.take(100_000)
    await ending


def test_the_time_for_which_the_feed_is_held_is_bounded_until_all_have_caught_up() -> None:
    held: list[bool] = []
    back_pressure = BackPressure(2.0, lambda: held.append(True), lambda: held.append(False))
    for lag, now, expected in [
        (0.7, 0.0, []),
        (0.8, 1.0, [True]),
        (0.9, 2.9, [True]),
        (0.9, 3.0, [True, False]),
        (1.0, 4.0, [True, False]),
        (0.5, 5.0, [True, False]),
        (0.8, 6.0, [True, False, True]),
        (0.6, 7.0, [True, False, True]),
        (0.4, 7.5, [True, False, True, False]),
    ]:
        back_pressure.update(lag, now)
        assert held == expected
