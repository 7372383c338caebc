"""The payloads of the feed: what readers get, and how they tell what is missing."""

import random
from typing import Any

import pytest

from onesocket import Gap
from onesocket.client import ConnectionStats, GapReason
from onesocket.errors import IpcError
from onesocket.sharing.cluster._feed_payload import MIN_PAYLOAD, FeedReader, FeedWriter, decode_payload
from onesocket.sharing.host._ipc_frames import (
    GapNotice,
    MessageBatch,
    OwnerHeartbeat,
    SessionBatch,
    SnapshotAnswer,
    ToFollower,
)
from onesocket.wire._handshake import Data

ROOM = 2**24


def reader(member: str = "b", *, from_start: bool = True) -> FeedReader:
    made = FeedReader(member)
    made.begin(from_start=from_start)
    return made


def payloads(writer: FeedWriter, most: int = MIN_PAYLOAD) -> list[bytes]:
    """All that wait."""
    found: list[bytes] = []
    while (payload := writer.take(most)) is not None:
        assert len(payload) <= most
        found.append(payload)
    return found


def texts(frames: list[ToFollower]) -> list[Any]:
    """The messages, and the numbers of missing ones."""
    found: list[Any] = []
    for frame in frames:
        if isinstance(frame, MessageBatch):
            found += frame.messages
        elif isinstance(frame, GapNotice):
            found.append(frame.gap.missed)
    return found


def read_all(target: FeedReader, taken: list[bytes]) -> list[Any]:
    return texts([frame for payload in taken for frame in target.read(payload, 7)])


def test_batches_of_several_turns_go_in_one_payload() -> None:
    writer = FeedWriter(ROOM)
    writer.add_batch(["one", b"two"])
    writer.add_gap(Gap(GapReason.RECONNECTED, 3))
    writer.add_stats(ConnectionStats(attempts=2))
    writer.add_batch(["three"])
    (payload,) = payloads(writer)
    assert reader().read(payload, 7) == [
        MessageBatch(["one", b"two"]),
        GapNotice(Gap(GapReason.RECONNECTED, 3)),
        OwnerHeartbeat(ConnectionStats(attempts=2)),
        MessageBatch(["three"]),
    ]


def test_a_message_that_is_longer_than_a_payload_goes_in_several() -> None:
    writer = FeedWriter(ROOM)
    long = "x" * (3 * MIN_PAYLOAD)
    writer.add_batch(["before", long, "after"])
    taken = payloads(writer)
    assert len(taken) > 3
    assert read_all(reader(), taken) == ["before", long, "after"]


@pytest.mark.parametrize("seed", range(30))
def test_a_reader_is_told_of_each_message_once_or_how_many_are_missing(seed: int) -> None:
    chance = random.Random(seed)
    writer, target = FeedWriter(ROOM), reader()
    count = next_number = 0

    def read(payload: bytes) -> None:
        nonlocal next_number
        for item in texts(target.read(payload, 7)):
            if isinstance(item, int):
                next_number += item
            else:
                assert item.split()[0] == str(next_number)
                next_number += 1

    for _ in range(60):
        for _ in range(chance.randrange(4)):
            size = chance.choice((1, 10, MIN_PAYLOAD // 2, 2 * MIN_PAYLOAD))
            batch: list[Data] = [f"{count + at} {'x' * size}" for at in range(chance.randrange(1, 4))]
            count += len(batch)
            writer.add_batch(batch)
        for payload in payloads(writer, chance.choice((MIN_PAYLOAD, 4 * MIN_PAYLOAD))):
            if chance.random() < 0.2:
                target.miss()
            else:
                read(payload)
    writer.add_batch([f"{count} last"])
    for payload in payloads(writer):
        read(payload)
    assert next_number == count + 1


def test_a_marker_names_the_connection_that_the_reader_knows() -> None:
    writer, target = FeedWriter(ROOM), reader()
    writer.add_batch(["lost", "lost"])
    payloads(writer)
    writer.add_batch(["found"])
    target.miss()
    (payload,) = payloads(writer)
    assert target.read(payload, 7)[0] == GapNotice(Gap(GapReason.OVERFLOW, 7, 2))


def test_frames_for_one_member_stand_at_their_place_and_reach_no_other() -> None:
    writer = FeedWriter(ROOM)
    answers: list[ToFollower] = [SnapshotAnswer(0, ["x" * MIN_PAYLOAD], more=True), SnapshotAnswer(0, ["end"])]
    writer.add_batch(["before"])
    writer.add_for("b", answers)
    writer.add_batch(["after"])
    taken = payloads(writer)
    new, other = reader(from_start=False), reader("c")
    assert [frame for payload in taken for frame in new.read(payload, 7)] == [*answers, MessageBatch(["after"])]
    assert read_all(other, taken) == ["before", "after"]


def test_a_member_that_begins_within_an_epoch_counts_from_its_first_frame() -> None:
    writer = FeedWriter(ROOM)
    writer.add_batch(["before"] * 3)
    writer.add_for("b", [SnapshotAnswer(0, [])])
    taken = payloads(writer)
    writer.add_batch(["missing"])
    payloads(writer)
    writer.add_batch(["after"])
    assert read_all(reader(from_start=False), [*taken, *payloads(writer)]) == [1, "after"]


def test_the_oldest_messages_are_dropped_while_the_engine_takes_none() -> None:
    writer, target = FeedWriter(4 * MIN_PAYLOAD), reader()
    long = "x" * (2 * MIN_PAYLOAD)
    writer.add_batch([f"first {long}"])
    begun = [writer.take(MIN_PAYLOAD)]
    for number in range(5):
        writer.add_batch([f"{number} {long}"])
    writer.add_stats(ConnectionStats())
    assert writer.dropped == 4
    taken = [payload for payload in begun if payload is not None] + payloads(writer)
    assert [item if isinstance(item, int) else item.split()[0] for item in read_all(target, taken)] == ["first", 4, "4"]


def test_messages_that_cannot_be_encoded_are_missing() -> None:
    writer = FeedWriter(ROOM)
    writer.add_batch(["\udcff"])
    writer.add_batch(["fine"])
    assert read_all(reader(), payloads(writer)) == [1, "fine"]


@pytest.mark.parametrize("payload", [b"", b"\0" * 9, b"\0" * 9 + b"\2\xff\xff"])
def test_payloads_that_no_release_publishes_are_refused(payload: bytes) -> None:
    with pytest.raises(IpcError):
        decode_payload(payload)


def test_the_state_of_a_session_is_told_with_the_last_message_that_it_covers() -> None:
    writer = FeedWriter(ROOM)
    long = "x" * 300_000
    writer.add_batch(["one", "two"], b"1")
    writer.add_batch([long, "last"], b"2")
    writer.add_session(None, goes_on=True)
    target = reader()
    found = [frame for payload in payloads(writer) for frame in target.read(payload, 7)]
    assert found == [
        SessionBatch(["one", "two"], b"1"),
        MessageBatch([long]),
        SessionBatch(["last"], b"2"),
        SessionBatch([], None, goes_on=True),
    ]
    assert (writer.messages, target._count) == (4, 4)
