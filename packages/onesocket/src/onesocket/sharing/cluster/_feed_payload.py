"""The payloads of the feed's batches: frames as between the processes of a host, and their place. Pure.

A payload begins with the number of messages that the epoch's feed had before it, so each reader can tell how many it
missed, whatever happened to the records between. The bytes of the payloads for all members are one stream of frames; a
frame that is longer than a payload goes on in the next ones.
"""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Iterable
from typing import Final

from ..._record import record
from ...client._gap import Gap, GapReason
from ...client._status import ConnectionStats, Status
from ...errors import EncodeError, IpcError
from ...wire._handshake import Data
from ..host._ipc_frames import (
    PART_STRIDE,
    FrameSplitter,
    GapNotice,
    MessageBatch,
    OwnerHeartbeat,
    SessionBatch,
    SnapshotAnswer,
    StatusUpdate,
    ToFollower,
    Welcome,
    decode_owner_frame,
    encode_ipc_frame,
    split_by_size,
)

_HEADER: Final = struct.Struct("!BQB")
"""Flags, the number of messages before, and the length of a member's name, which follows."""
_CONTINUES: Final = 1
"""The payload begins within a frame."""
MIN_PAYLOAD: Final = PART_STRIDE + _HEADER.size + 64
"""Bytes that a payload has to have room for: one part of a frame, and the header."""


@record
class FeedPayload:
    """One payload, taken apart."""

    first: int
    """Number of messages before it in the epoch."""
    continues: bool
    """True if it begins within a frame."""
    member: str
    """The member that it is for; "": all."""
    body: memoryview


def decode_payload(data: bytes) -> FeedPayload:
    """Take a payload apart. Raises `IpcError`."""
    if len(data) < _HEADER.size:
        raise IpcError("the leader of the cluster published a payload that is too short")
    flags, first, length = _HEADER.unpack_from(data)
    body = memoryview(data)[_HEADER.size :]
    try:
        member = str(body[:length], "ascii")
    except UnicodeError:
        raise IpcError("the leader of the cluster published a payload for no member") from None
    return FeedPayload(first, bool(flags & _CONTINUES), member, body[length:])


class _Piece:
    """A frame, or a part of one, that is to be published."""

    __slots__ = ("continues", "data", "first", "has_more", "member", "messages")

    def __init__(self, data: bytes, first: int, member: str) -> None:
        self.data = data
        self.first = first
        self.member = member
        self.messages = 0
        self.continues = False
        self.has_more = False


class FeedWriter:
    """Queue of frames for the feed of one epoch, in bytes bounded: beyond that, the oldest messages are dropped."""

    def __init__(self, room: int) -> None:
        """`room`: bytes that may wait."""
        self._room = room
        self._pieces: deque[_Piece] = deque()
        self._size = 0
        self.messages = 0
        """Messages of this epoch so far, dropped ones included."""
        self.dropped = 0
        """Messages that were dropped, as the engine took too long."""

    def __repr__(self) -> str:
        return f"<FeedWriter {self._size} bytes, messages={self.messages} dropped={self.dropped}>"

    def __bool__(self) -> bool:
        return bool(self._pieces)

    def add_batch(self, batch: list[Data], session: bytes | None = None) -> None:
        """Add messages. Those that can't be encoded are missing: readers see that by the count.

        `session`: the state of the session behind them, if it can be resumed.
        """
        portions = split_by_size(batch, len)
        for portion in portions:
            tells_session = session is not None and portion is portions[-1]
            try:
                data = encode_ipc_frame(SessionBatch(portion, session) if tells_session else MessageBatch(portion))
            except (IpcError, EncodeError):
                self.dropped += len(portion)
            else:
                self._add(data, messages=len(portion))
            self.messages += len(portion)
        self._make_room()

    def add_session(self, session: bytes | None, *, goes_on: bool = False) -> None:
        """Add the state of the session behind all messages so far, if it is known; `goes_on`: as of `SessionBatch`."""
        self._add(encode_ipc_frame(SessionBatch([], session, goes_on)))

    def add_gap(self, gap: Gap) -> None:
        """Add a gap marker of the connection."""
        self._add(encode_ipc_frame(GapNotice(gap)))

    def add_status(self, status: Status) -> None:
        """Add a status of the connection."""
        self._add(encode_ipc_frame(StatusUpdate(status)))

    def add_stats(self, stats: ConnectionStats) -> None:
        """Add the counters of the connection."""
        self._add(encode_ipc_frame(OwnerHeartbeat(stats)))

    def add_for(self, member: str, frames: Iterable[ToFollower]) -> None:
        """Add frames for one member, at this place of the feed."""
        for frame in frames:
            self._add(encode_ipc_frame(frame), member=member)

    def take(self, most: int) -> bytes | None:
        """Take one payload of at most `most` bytes (`MIN_PAYLOAD` or more); None: nothing waits."""
        if not self._pieces:
            return None
        first = self._pieces[0]
        name = first.member.encode()
        most -= _HEADER.size + len(name)
        parts: list[bytes] = []
        size = 0
        expected = first.first
        for piece in self._pieces:
            if parts and (size + len(piece.data) > most or piece.member != first.member or piece.first != expected):
                break
            parts.append(piece.data)
            size += len(piece.data)
            expected += piece.messages
        header = _HEADER.pack(_CONTINUES if first.continues else 0, first.first, len(name))
        payload = b"".join((header, name, *parts))  # before they are taken: there may be no memory for it
        for _ in parts:
            self._pieces.popleft()
        self._size -= size
        return payload

    def _add(self, data: bytes, *, messages: int = 0, member: str = "") -> None:
        pieces = [_Piece(data[at : at + PART_STRIDE], self.messages, member) for at in range(0, len(data), PART_STRIDE)]
        for piece in pieces[1:]:
            piece.continues = True
        for piece in pieces[:-1]:
            piece.has_more = True
        pieces[-1].messages = messages  # they are complete with the last part
        self._pieces += pieces
        self._size += len(data)

    def _make_room(self) -> None:
        """Drop the oldest messages that aren't being published in parts."""
        if self._size <= self._room:
            return
        kept: list[_Piece] = []
        pieces = self._pieces
        while pieces and self._size > self._room:
            run = [pieces.popleft()]
            while run[-1].has_more:
                run.append(pieces.popleft())
            if run[0].continues or not run[-1].messages or run[0].member:
                kept += run
                continue
            self.dropped += run[-1].messages
            self._size -= sum(len(piece.data) for piece in run)
        pieces.extendleft(reversed(kept))


class FeedReader:
    """Reads the payloads of one epoch after another, for one member; a marker stands where messages are missing."""

    def __init__(self, member: str) -> None:
        self._member = member
        self._count: int | None = None
        """Messages of the epoch so far; None: the first frame for this member is still to come."""
        self._splitters: dict[bool, FrameSplitter | None] = {}
        """For all, and for this member alone; None: a part of a frame is missing, up to the next frame."""
        self._is_marker_due = False
        """True if frames were lost here, of which the count of messages may tell nothing."""
        self.has_lost_state = False
        """True if a frame for this member alone was among them; set to False by who asks the leader again."""

    def __repr__(self) -> str:
        return f"<FeedReader messages={self._count}>"

    @property
    def is_waiting(self) -> bool:
        """True until the first frame for this member, if it began within the epoch."""
        return self._count is None

    def begin(self, *, from_start: bool) -> None:
        """Begin with the feed of an epoch: with its first message, or behind the first frame for this member."""
        self._splitters.clear()
        self._count = 0 if from_start else None
        self._is_marker_due = self.has_lost_state = False

    def miss(self) -> None:
        """Note that payloads are missing."""
        self._splitters.clear()

    def read(self, data: bytes, epoch: int) -> list[ToFollower]:
        """Return the frames that are complete with this payload. `epoch`: of the connection, for the marker.

        Raises `IpcError`. After an exception, a marker stands before the next frame.
        """
        count, is_own = self._count, False
        try:
            payload = decode_payload(data)
            is_own = payload.member == self._member
            return self._read(payload, epoch)
        except BaseException:
            self._count = count
            self.miss()
            self._note_lost(is_own=is_own)
            raise

    def lose(self, frames: Iterable[ToFollower]) -> None:
        """Note that the last frames of the payload read last did not reach all: the next marker counts their messages.

        They were not passed on, or to some processes only.
        """
        for frame in frames:
            if isinstance(frame, MessageBatch):
                self._count = (self._count or 0) - len(frame.messages)
            elif isinstance(frame, GapNotice):
                self._count = (self._count or 0) - (frame.gap.missed or 0)
            self._note_lost(is_own=isinstance(frame, Welcome | SnapshotAnswer))

    def _note_lost(self, *, is_own: bool) -> None:
        self._is_marker_due = True
        self.has_lost_state |= is_own

    def _read(self, payload: FeedPayload, epoch: int) -> list[ToFollower]:
        is_own = payload.member != ""
        if is_own:
            if payload.member != self._member:
                return []
            if self._count is None:
                self._count = payload.first
        if self._count is None:
            return []
        splitter = self._splitters.get(is_own)
        if not payload.continues or splitter is None:
            if payload.continues:
                return []
            splitter = self._splitters[is_own] = FrameSplitter()
        frames: list[ToFollower] = []
        if payload.first > self._count or self._is_marker_due:
            frames.append(GapNotice(Gap(GapReason.OVERFLOW, epoch, max(0, payload.first - self._count) or None)))
            self._is_marker_due = False
        self._count = payload.first
        for body in splitter.feed(payload.body):
            frame = decode_owner_frame(body)
            if isinstance(frame, MessageBatch):
                self._count += len(frame.messages)
            frames.append(frame)
        return frames
