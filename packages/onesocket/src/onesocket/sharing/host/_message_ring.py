"""The newest messages of a connection, kept by its owner: followers read them at their own pace. No I/O."""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Mapping
from typing import Final, TypeVar

import msgspec

from ...client._gap import Gap, GapReason, merge_gaps
from ...client._status import Status
from ._ipc_frames import FeedPosition, GapNotice, StatusUpdate, encode_ipc_frame

_OVERHEAD: Final = 256
"""Bytes that an entry counts beside its frame: about the size of its objects."""
_MAX_EVICTED_GAPS: Final = 64
"""Gap markers that are remembered after their eviction, for readers that have not passed them."""

Numbered = TypeVar("Numbered", Gap, Status)


class RingEntry(msgspec.Struct, frozen=True, gc=False):
    """One encoded frame: a batch of messages, a gap marker, or a status."""

    data: bytes
    added_at: float
    end: FeedPosition
    """The place behind it."""
    status: Status
    """The connection's status by then."""
    added_bytes: int
    """Bytes of all entries before it, evicted ones included."""
    gap: Gap | None = None
    is_status: bool = False


class MessageRing:
    """Entries in order, numbered; the oldest are evicted beyond `max_bytes`, and `keep` seconds after all have them.

    The newest of those that are longer than `max_bytes` by themselves is not counted: it passes as any other. Each
    frame is encoded once for all readers.
    """

    def __init__(self, max_bytes: int, keep: float, status: Status) -> None:
        self._max_bytes = max_bytes
        self._keep = keep
        self._entries: dict[int, RingEntry] = {}
        self.first_number = 0
        """Number of the oldest entry."""
        self.next_number = 0
        """Number of the entry to come."""
        self._bytes = 0
        """Bytes of all entries but the longest."""
        self._added_bytes = 0
        """Bytes of all entries ever added."""
        self._longest = -1
        """Number of the newest entry that is longer than the limit by itself."""
        self._start = FeedPosition()
        """The place before the oldest entry, and ..."""
        self._start_status = status
        """... the connection's status there."""
        self._evicted_gaps: deque[Gap] = deque(maxlen=_MAX_EVICTED_GAPS)
        self.end = FeedPosition()
        """The place behind the newest entry."""
        self.status = status
        """The connection's present status."""

    def __repr__(self) -> str:
        return f"<MessageRing {len(self._entries)} bytes={self._bytes} end={self.end}>"

    # --- the owner --------------------------------------------------------------------------------------------------

    def add_messages(self, data: bytes, count: int, now: float) -> None:
        """Add an encoded batch of `count` messages."""
        end = FeedPosition(self.end.messages + count, self.end.gaps)
        self._add(RingEntry(data, now, end, self.status, self._added_bytes))

    def add_gap(self, gap: Gap, now: float) -> None:
        """Add a gap marker."""
        end = FeedPosition(self.end.messages, self.end.gaps + 1)
        self._add(RingEntry(encode_ipc_frame(GapNotice(gap, end)), now, end, self.status, self._added_bytes, gap))

    def add_status(self, status: Status, now: float) -> None:
        """Add a status of the connection."""
        self.status = status
        data = encode_ipc_frame(StatusUpdate(status))
        self._add(RingEntry(data, now, self.end, status, self._added_bytes, is_status=True))

    def skip_messages(self, count: int) -> None:
        """Count messages that no process will read, instead of adding them."""
        while self._entries:
            self._evict()
        self._start = self.end = FeedPosition(self.end.messages + count, self.end.gaps)

    def renumber(self, by: int) -> None:
        """Add `by` to all epochs."""
        self._evicted_gaps = deque((_renumbered(gap, by) for gap in self._evicted_gaps), maxlen=_MAX_EVICTED_GAPS)
        before, status = self._start_status, _renumbered(self._start_status, by)
        self._start_status = status
        for number, entry in self._entries.items():
            if entry.status is not before:  # entries go on sharing one status, by which readers know it
                before, status = entry.status, _renumbered(entry.status, by)
            gap = None if entry.gap is None else _renumbered(entry.gap, by)
            if gap is not None:
                data = encode_ipc_frame(GapNotice(gap, entry.end))
            else:
                data = encode_ipc_frame(StatusUpdate(status)) if entry.is_status else entry.data
            self._bytes += 0 if number == self._longest else len(data) - len(entry.data)
            self._entries[number] = msgspec.structs.replace(entry, data=data, gap=gap, status=status)
        self.status = status

    def expire(self, now: float, read_by_all: int) -> None:
        """Evict what is older than `keep` and before entry `read_by_all`."""
        while self.first_number < read_by_all and self._entries[self.first_number].added_at <= now - self._keep:
            self._evict()

    def _add(self, entry: RingEntry) -> None:
        size = _OVERHEAD + len(entry.data)
        self._added_bytes += size
        if size > self._max_bytes:
            earlier = self._entries.get(self._longest)
            size = 0 if earlier is None else _OVERHEAD + len(earlier.data)
            self._longest = self.next_number
        self._bytes += size
        self._entries[self.next_number] = entry
        self.next_number += 1
        self.end = entry.end
        while self._bytes > self._max_bytes:
            self._evict()

    def _evict(self) -> None:
        entry = self._entries.pop(self.first_number)
        self._bytes -= 0 if self.first_number == self._longest else _OVERHEAD + len(entry.data)
        self.first_number += 1
        self._start, self._start_status = entry.end, entry.status
        if entry.gap is not None:
            self._evicted_gaps.append(entry.gap)

    # --- readers ----------------------------------------------------------------------------------------------------

    def reader_at_end(self) -> RingReader:
        """Return a reader that begins with the next entry."""
        return RingReader(self, self.next_number, self.end, self.status)

    def reader_at(self, position: FeedPosition) -> RingReader:
        """Return a reader that goes on at this place, with the status by then; beyond the end: it begins there.

        Of several entries at one place it begins behind the statuses, which its own status stands for.
        """
        if position >= self.end:
            return self.reader_at_end()
        status = self._start_status
        if position < self._start:
            return RingReader(self, self.first_number - 1, position, status)
        for number, entry in self._entries.items():
            if entry.end > position:
                return RingReader(self, number, position, status)
            status = entry.status
        return RingReader(self, self.next_number, position, status)

    @property
    def entries(self) -> Mapping[int, RingEntry]:
        """The entries by number, from the oldest to the newest."""
        return self._entries

    def lag_of(self, number: int) -> float:
        """The bytes from an entry on, as a share of the limit; of an evicted one: all of it."""
        if number == self.next_number:
            return 0.0
        entry = self._entries.get(number)
        return 1.0 if entry is None else (self._added_bytes - entry.added_bytes) / self._max_bytes

    def missed_since(self, position: FeedPosition) -> int:
        """Number of evicted messages behind this place."""
        return max(0, self._start.messages - position.messages)

    def evicted_since(self, position: FeedPosition) -> tuple[Gap | None, FeedPosition, Status]:
        """Return one marker for what was evicted behind this place, with the oldest place, and the status there."""
        gap: Gap | None = None
        if missed := self.missed_since(position):
            gap = Gap(GapReason.OVERFLOW, self._start_status.epoch, missed)
        gaps = self._start.gaps - position.gaps
        for evicted in list(self._evicted_gaps)[-gaps:] if gaps > 0 else ():
            gap = evicted if gap is None else merge_gaps(gap, evicted)
        return gap, self._start, self._start_status


class RingReader:
    """Place of one follower in the ring."""

    __slots__ = ("_entries", "_missed", "_ring", "number", "position", "status")

    def __init__(self, ring: MessageRing, number: int, position: FeedPosition, status: Status) -> None:
        self._ring = ring
        self._entries = ring.entries
        self._missed = 0
        self.number = number
        """Number of the next entry to be read."""
        self.position = position
        self.status = status
        """The last status that was read."""

    def __repr__(self) -> str:
        return f"<RingReader {self.number} of {self._ring.next_number} at={self.position} missed={self._missed}>"

    @property
    def is_at_end(self) -> bool:
        """True if there is nothing to be read."""
        return self.number == self._ring.next_number

    @property
    def end_number(self) -> int:
        """Number of the entry to come."""
        return self._ring.next_number

    def reaches(self, number: int) -> bool:
        """Return whether nothing before entry `number` is left to be read, but a marker for what was evicted."""
        return max(self.number, self._ring.first_number) >= number

    @property
    def missed(self) -> int:
        """Number of messages that were evicted before this reader had them."""
        overtaken = self._ring.first_number > self.number
        return self._missed + (self._ring.missed_since(self.position) if overtaken else 0)

    def read(self) -> bytes | None:
        """Return the next frame, and go on behind it; None: there is none yet."""
        number = self.number
        entry = self._entries.get(number)
        if entry is None:
            return None if number == self._ring.next_number else self._read_evicted()
        self.number = number + 1
        self.position = entry.end
        self.status = entry.status
        return entry.data

    def skip_evicted(self) -> Gap | None:
        """Go on with the oldest entry if that is later; returns the marker for what lies between."""
        ring = self._ring
        missed = ring.missed_since(self.position)
        gap, start, status = ring.evicted_since(self.position)
        if start > self.position or ring.first_number > self.number:
            self.number, self.position, self.status = ring.first_number, start, status
        self._missed += missed
        return gap

    def _read_evicted(self) -> bytes | None:
        """Return the status at the oldest place, if it is another one, and the marker for what was evicted."""
        known = self.status
        gap = self.skip_evicted()
        frames = b"" if self.status is known else encode_ipc_frame(StatusUpdate(self.status))
        if gap is not None:
            frames += encode_ipc_frame(GapNotice(gap, self.position))
        return frames or self.read()


def _renumbered(item: Numbered, by: int) -> Numbered:
    return dataclasses.replace(item, epoch=item.epoch + by)
