"""The feed of one process: where messages of two owners meet, there is a marker if any can be missing, else none."""

import asyncio
import dataclasses
from typing import Any

import pytest

from onesocket import Gap, OnesocketError, State, Status
from onesocket.client import ConnectionStats, GapReason
from onesocket.client._losses import Losses
from onesocket.client._status import Change
from onesocket.errors import OwnerLost
from onesocket.sharing.host._follower import FollowerAttached
from onesocket.sharing.host._ipc_frames import GapNotice, OwnerHeartbeat, StatusUpdate, Welcome
from onesocket.sharing.host._local_status import LocalStatus
from onesocket.sharing.host._process_feed import ProcessFeed

LOST = OwnerLost("gone")


class FeedSink:
    """Messages, markers and changes that a process gets, in order."""

    def __init__(self) -> None:
        self.got: list[Any] = []

    def messages(self, batch: list[Any]) -> None:
        self.got += batch

    def gap(self, gap: Gap) -> None:
        self.got.append((gap.reason, gap.epoch))

    def changed(self, change: Change, status: Status) -> None:
        self.got.append((change.new, status.epoch))

    def failed(self, error: OnesocketError) -> None:
        raise error


class ConnectedFeed:
    """A feed of a connection that was up in epoch 3."""

    def __init__(self) -> None:
        local = LocalStatus("ws://feed.test/", lambda: False)
        self.sink = FeedSink()
        self.feed = ProcessFeed(lambda data: data, 1000, local)
        local.attach(self.sink)
        self.feed.attach(self.sink)
        self._present = local.present
        self.connect(3)
        self.sink.got.clear()

    def connect(self, epoch: int) -> None:
        """The owner tells that the connection is up."""
        self.feed.on_event(StatusUpdate(self.up(epoch)))

    def up(self, epoch: int) -> Status:
        """The status of a connection that is up."""
        return dataclasses.replace(self._present, state=State.CONNECTED, epoch=epoch)

    def attach(self, gap: Gap | None, *, goes_on: bool) -> None:
        """An owner accepts this process."""
        stats = ConnectionStats(attempts=9)
        self.feed.on_event(FollowerAttached(Welcome(1, 2, 0.1, self.up(3), stats, gap=gap), goes_on=goes_on))


@pytest.fixture
async def connected() -> ConnectedFeed:
    return ConnectedFeed()


async def test_the_messages_of_the_next_owner_come_behind_a_marker(connected: ConnectedFeed) -> None:
    feed = connected.feed
    feed.on_owner_lost(LOST)
    feed.losses = losses = Losses()
    feed.on_event(GapNotice(Gap(GapReason.RECONNECTED, 4)))  # the next owner's own is a part of it
    connected.connect(4)
    feed.on_messages(["b"])
    assert connected.sink.got == [
        (State.CONNECTING, 3),
        (GapReason.RECONNECTED, 4),
        (State.CONNECTED, 4),
        "b",
    ]
    assert losses.gaps == 1


async def test_a_process_that_goes_on_at_its_place_misses_what_its_owner_says(connected: ConnectedFeed) -> None:
    feed = connected.feed
    feed.on_owner_lost(LOST)
    connected.attach(None, goes_on=True)
    feed.on_owner_lost(LOST)
    connected.attach(Gap(GapReason.OVERFLOW, 3, 7), goes_on=True)
    feed.on_messages(["b"])
    changes = [(State.CONNECTING, 3), (State.CONNECTED, 3)]
    assert connected.sink.got == [*changes, changes[0], (GapReason.OVERFLOW, 3), changes[1], "b"]
    assert feed.heard_stats.attempts == 9


async def test_a_marker_that_was_due_before_stays_due_whoever_owns(connected: ConnectedFeed) -> None:
    feed = connected.feed
    feed.on_owner_lost(LOST)
    feed.on_owner_lost(LOST)  # the second owner was lost before its connection was up
    connected.attach(None, goes_on=True)
    assert connected.sink.got[-2:] == [(GapReason.RECONNECTED, 3), (State.CONNECTED, 3)]


async def test_a_feed_that_is_held_again_in_the_turn_of_its_release_stays_held(connected: ConnectedFeed) -> None:
    feed = connected.feed
    feed.hold()
    feed.on_messages(["b"])
    feed.release()
    feed.hold()
    await asyncio.sleep(0)
    assert not connected.sink.got
    feed.release()
    await asyncio.sleep(0)
    assert connected.sink.got == ["b"]


async def test_counters_are_those_that_the_owner_told_last(connected: ConnectedFeed) -> None:
    connected.feed.on_event(OwnerHeartbeat(ConnectionStats(attempts=4)))
    assert connected.feed.heard_stats.attempts == 4
