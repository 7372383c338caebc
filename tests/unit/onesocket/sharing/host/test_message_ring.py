"""The ring of an owner's newest messages: order, bounds, and the exact number of what a reader missed."""

import dataclasses
import random
from typing import Any

import pytest

from onesocket import Client, Gap, State, Status
from onesocket.client import GapReason
from onesocket.errors import ConnectionReset
from onesocket.sharing.host._ipc_frames import (
    FeedPosition,
    FrameSplitter,
    GapNotice,
    MessageBatch,
    StatusUpdate,
    decode_owner_frame,
    encode_ipc_frame,
)
from onesocket.sharing.host._message_ring import _OVERHEAD, MessageRing, RingReader

KEEP = 10.0
NO_STATUS = Client("ws://x/").status
LOST = ConnectionReset("lost")


def status(epoch: int) -> Status:
    return dataclasses.replace(NO_STATUS, state=State.CONNECTED, epoch=epoch)


def add(ring: MessageRing, *messages: str, now: float = 0.0) -> None:
    ring.add_messages(encode_ipc_frame(MessageBatch(list(messages))), len(messages), now)


def read_all(reader: RingReader) -> list[Any]:
    """Everything that it reads: messages, markers as (reason, epoch, missed), epochs of statuses."""
    items: list[Any] = []
    while (data := reader.read()) is not None:
        for body in FrameSplitter().feed(data):
            match decode_owner_frame(body):
                case MessageBatch(messages):
                    items += messages
                case GapNotice(gap):
                    items.append((gap.reason, gap.epoch, gap.missed))
                case StatusUpdate(status):
                    items.append(status.epoch)
                case other:
                    raise NotImplementedError(other)
    return items


def ring_of(entries: int) -> MessageRing:
    """A ring with room for so many batches of one message of one letter."""
    return MessageRing(entries * (_OVERHEAD + len(encode_ipc_frame(MessageBatch(["x"])))), KEEP, status(1))


def test_readers_read_at_their_own_pace_and_late_ones_begin_with_the_newest() -> None:
    ring = ring_of(10)
    early = ring.reader_at_end()
    add(ring, "a")
    late = ring.reader_at_end()
    add(ring, "b")
    assert (read_all(early), read_all(late)) == (["a", "b"], ["b"])
    add(ring, "c")
    assert (read_all(early), read_all(late)) == (["c"], ["c"])
    assert (early.missed, late.missed) == (0, 0)


def test_one_marker_stands_for_all_that_was_evicted_before_it_was_read() -> None:
    ring = ring_of(2)
    reader = ring.reader_at_end()
    for letter in "abcde":
        add(ring, letter)
    assert reader.missed == 3
    assert read_all(reader) == [(GapReason.OVERFLOW, 1, 3), "d", "e"]
    for letter in "fghi":
        add(ring, letter)
    assert read_all(reader) == [(GapReason.OVERFLOW, 1, 2), "h", "i"]
    assert reader.missed == 5


def test_a_status_that_was_evicted_is_told_before_what_came_on_its_connection() -> None:
    ring = ring_of(2)
    reader = ring.reader_at_end()
    add(ring, "a")
    ring.add_status(status(2), 0.0)
    for letter in "bcd":
        add(ring, letter)
    assert read_all(reader) == [2, (GapReason.OVERFLOW, 2, 2), "c", "d"]


def test_a_marker_that_was_evicted_is_merged_and_makes_the_number_unknown() -> None:
    ring = ring_of(2)
    reader, first = ring.reader_at_end(), ring.reader_at_end()
    add(ring, "a")
    assert read_all(first) == ["a"]
    ring.add_gap(Gap(GapReason.RECONNECTED, 2, error=LOST), 0.0)
    assert read_all(first) == [(GapReason.RECONNECTED, 2, None)]
    for letter in "bcd":
        add(ring, letter)
    assert read_all(reader) == [(GapReason.RECONNECTED, 2, None), "c", "d"]
    assert read_all(first) == [(GapReason.OVERFLOW, 1, 1), "c", "d"]
    assert (reader.missed, first.missed) == (2, 1)


def test_messages_that_were_too_long_for_any_process_are_counted_once() -> None:
    ring = ring_of(2)
    reader = ring.reader_at_end()
    add(ring, "a", "b", "c")
    ring.add_gap(Gap(GapReason.OVERFLOW, 1, 2), 0.0)
    for letter in "de":
        add(ring, letter)
    assert read_all(reader) == [(GapReason.OVERFLOW, 1, 5), "d", "e"]


def test_the_newest_stays_whatever_its_size_and_whoever_is_late() -> None:
    ring = MessageRing(1, KEEP, status(1))
    reader = ring.reader_at_end()
    add(ring, "a" * 1000)
    assert read_all(reader) == ["a" * 1000]


def test_a_message_longer_than_the_ring_neither_pushes_others_out_nor_is_pushed_out_by_the_next() -> None:
    ring = ring_of(3)
    reader = ring.reader_at_end()
    for message in ("a", "b" * 5_000, "c", "d"):
        add(ring, message)
    late = ring.reader_at(FeedPosition())
    assert read_all(reader) == ["a", "b" * 5_000, "c", "d"]
    add(ring, "e" * 5_000)
    assert read_all(late) == [(GapReason.OVERFLOW, 1, 2), "c", "d", "e" * 5_000]


def test_what_all_have_is_kept_for_a_while_and_what_one_lacks_for_longer() -> None:
    ring = ring_of(100)
    reader = ring.reader_at_end()
    start = reader.position
    add(ring, "a", now=1.0)
    add(ring, "b", now=2.0)
    ring.expire(1.0 + KEEP, reader.number)
    assert read_all(ring.reader_at(start)) == ["a", "b"]
    reader.read()
    ring.expire(0.9 + KEEP, reader.number)
    assert read_all(ring.reader_at(start)) == ["a", "b"]
    ring.expire(1.0 + KEEP, reader.number)
    assert read_all(ring.reader_at(start)) == [(GapReason.OVERFLOW, 1, 1), "b"]
    assert read_all(reader) == ["b"]


def test_messages_without_any_reader_are_counted() -> None:
    ring = ring_of(100)
    gone = ring.reader_at_end().position
    add(ring, "a")
    ring.skip_messages(1_000)
    ring.add_status(status(2), 0.0)
    new = ring.reader_at_end()
    add(ring, "b")
    assert read_all(new) == ["b"]
    late = ring.reader_at(gone)
    assert late.skip_evicted() == Gap(GapReason.OVERFLOW, 1, 1001)
    assert (late.status, read_all(late)) == (status(1), [2, "b"])


def test_a_reader_that_comes_again_begins_behind_the_statuses_at_its_place() -> None:
    ring = ring_of(100)
    ring.add_status(status(2), 0.0)
    add(ring, "a")
    ring.add_status(status(3), 0.0)
    ring.add_gap(Gap(GapReason.RECONNECTED, 3), 0.0)
    add(ring, "b")
    first = ring.reader_at(FeedPosition())
    assert (first.status, first.skip_evicted()) == (status(2), None)
    assert read_all(first) == ["a", 3, (GapReason.RECONNECTED, 3, None), "b"]
    second = ring.reader_at(FeedPosition(1, 0))
    assert (second.status, read_all(second)) == (status(3), [(GapReason.RECONNECTED, 3, None), "b"])
    assert read_all(ring.reader_at(FeedPosition(1, 1))) == ["b"]
    for end in (first.position, FeedPosition(7, 7)):
        reader = ring.reader_at(end)
        assert reader.is_at_end
        assert (reader.position, reader.status) == (ring.end, status(3))


class ModelReader:
    """Reads everything ever added, from its place on."""

    def __init__(self, real: RingReader, at: int, epoch: int) -> None:
        self.real = real
        self.at = at
        self.epoch = epoch
        self.missed = 0


class RingModel:
    """Everything ever added, in a list, and a ring beside it."""

    def __init__(self, max_bytes: int) -> None:
        self.ring = MessageRing(max_bytes, KEEP, status(0))
        self.max_bytes = max_bytes
        self.items: list[tuple[str, Any, int, float]] = []
        self.first = 0
        self.readers: list[ModelReader] = []
        self.now = 0.0
        self.base = 0
        """Epoch from which this owner counts."""

    def add(self, kind: str, value: Any, size: int) -> None:
        self.items.append((kind, value, _OVERHEAD + size, self.now))
        while self.counted_bytes() > self.max_bytes:
            self.first += 1

    def counted_bytes(self) -> int:
        sizes = [item[2] for item in self.items[self.first :]]
        return sum(sizes) - next((size for size in reversed(sizes) if size > self.max_bytes), 0)

    def epoch_at(self, at: int) -> int:
        return next((value for kind, value, _, _ in reversed(self.items[:at]) if kind == "status"), self.base)

    def messages(self, count: int, length: int) -> None:
        batch = [f"{len(self.items)}.{number}".ljust(length) for number in range(count)]
        data = encode_ipc_frame(MessageBatch(batch))
        self.ring.add_messages(data, count, self.now)
        self.add("messages", batch, len(data))

    def gap(self, reason: GapReason) -> None:
        gap = Gap(reason, self.epoch_at(len(self.items)), 1 if reason is GapReason.OVERFLOW else None)
        self.ring.add_gap(gap, self.now)
        self.add("gap", gap, len(encode_ipc_frame(GapNotice(gap, self.ring.end))))

    def status(self) -> None:
        epoch = self.base + len(self.items) + 1
        self.ring.add_status(status(epoch), self.now)
        self.add("status", epoch, len(encode_ipc_frame(StatusUpdate(status(epoch)))))

    def renumber(self) -> None:
        by = 1_000  # more than there are epochs: no old one is a new one
        self.ring.renumber(by)
        self.base += by
        for number, (kind, old, size, at) in enumerate(self.items):
            match kind:
                case "status":
                    value = old + by
                case "gap":
                    value = dataclasses.replace(old, epoch=old.epoch + by)
                case _:
                    continue
            longer = self.frame_size(kind, value) - self.frame_size(kind, old)
            self.items[number] = kind, value, size + longer, at

    def frame_size(self, kind: str, value: Any) -> int:
        """Bytes of the frame of a status or a gap marker, but for the place in it."""
        frame = StatusUpdate(status(value)) if kind == "status" else GapNotice(value, FeedPosition())
        return len(encode_ipc_frame(frame))

    def expire(self, seconds: float) -> None:
        self.now += seconds
        by_all = min((reader.at for reader in self.readers), default=len(self.items))
        self.ring.expire(self.now, min((each.real.number for each in self.readers), default=self.ring.next_number))
        while self.first < min(by_all, len(self.items)) and self.items[self.first][3] <= self.now - KEEP:
            self.first += 1

    def join(self) -> None:
        self.readers.append(ModelReader(self.ring.reader_at_end(), len(self.items), self.epoch_at(len(self.items))))

    def expected_gap(self, reader: ModelReader) -> tuple[Any, ...] | None:
        """The marker for what lies between a reader and the ring's start; moves it there."""
        if reader.at >= self.first:
            return None
        evicted = self.items[reader.at : self.first]
        missed = sum(len(value) for kind, value, _, _ in evicted if kind == "messages")
        gaps = [value for kind, value, _, _ in evicted if kind == "gap"]
        reader.at = self.first
        reader.missed += missed
        if not missed and not gaps:
            return None
        is_lost = any(gap.reason is GapReason.RECONNECTED for gap in gaps)
        total = None if is_lost else missed + sum(gap.missed for gap in gaps)
        epochs = [gap.epoch for gap in gaps] + ([self.epoch_at(self.first)] if missed else [])
        return (GapReason.RECONNECTED if is_lost else GapReason.OVERFLOW, max(epochs), total)

    def expected(self, reader: ModelReader) -> list[Any]:
        read: list[Any] = []
        is_overtaken = reader.at < self.first
        gap = self.expected_gap(reader)
        if is_overtaken and self.epoch_at(reader.at) != reader.epoch:
            read.append(self.epoch_at(reader.at))
        read += [] if gap is None else [gap]
        for kind, value, _, _ in self.items[reader.at :]:
            if kind == "gap":
                read.append((value.reason, value.epoch, value.missed))
            else:
                read += value if kind == "messages" else [value]
        reader.at = len(self.items)
        reader.epoch = self.epoch_at(reader.at)
        return read

    def read(self, number: int) -> None:
        if self.readers:
            reader = self.readers[number % len(self.readers)]
            expected = self.expected(reader)
            assert read_all(reader.real) == expected
            assert reader.real.missed == reader.missed
            assert reader.real.is_at_end

    def come_again(self, number: int) -> None:
        """One of the readers is cut off, and attaches again."""
        if not self.readers:
            return
        reader = self.readers[number % len(self.readers)]
        real = self.ring.reader_at(reader.real.position)
        gap = self.expected_gap(reader)
        while gap is None and reader.at < len(self.items) and self.items[reader.at][0] == "status":
            reader.at += 1
        found = real.skip_evicted()
        assert (None if found is None else (found.reason, found.epoch, found.missed)) == gap
        reader.epoch = real.status.epoch
        reader.missed = real.missed
        reader.real = real


def operation(chance: random.Random) -> tuple[Any, ...]:
    return chance.choice(
        [
            ("messages", chance.randint(1, 3), chance.choice([1, 300, 2000])),
            ("gap", chance.choice([GapReason.OVERFLOW, GapReason.RECONNECTED])),
            ("status",),
            ("join",),
            ("renumber",),
            ("read", chance.randint(0, 5)),
            ("come_again", chance.randint(0, 5)),
            ("expire", chance.choice([1.0, 8.0])),
        ]
    )


@pytest.mark.parametrize("max_bytes", [1, 1_000, 3_000, 20_000])
def test_every_reader_reads_what_a_list_of_everything_says(max_bytes: int) -> None:
    """The model checks each read and each return."""
    for seed in range(25):
        chance, model = random.Random(seed), RingModel(max_bytes)
        for _ in range(chance.randint(5, 60)):
            name, *arguments = operation(chance)
            getattr(model, name)(*arguments)
        for number in range(len(model.readers)):
            model.read(number)
