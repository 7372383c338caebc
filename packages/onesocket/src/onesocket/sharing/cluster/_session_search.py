"""Finds the session of the leader before in what the feed still holds, for a member that has not heard it."""

from __future__ import annotations

from typing import Final

from ...errors import IpcError
from ..host._ipc_frames import FrameSplitter, MessageBatch, decode_owner_frame
from ._coordinator import START, Coordinator, Position, Record, RecordKind
from ._feed_gaps import before
from ._feed_payload import decode_payload
from ._heard_session import HeardSession

_WAIT: Final = 5.0
"""Seconds for which the engine is asked to wait; the record with which the search ends is there."""
_LAST: Final = 16
"""Records that are read first: each batch of messages tells the state, and so does each renewal."""


async def find_session(coordinator: Coordinator, epoch: int) -> HeardSession:
    """Look for the session before `epoch`, which this member has begun: in the last records, then in all.

    Raises the errors of `Coordinator.follow`.
    """
    began = Position(epoch, 0)
    records = await coordinator.follow(before(began), began, _WAIT)
    end = next((each.previous for each in records if each.kind is RecordKind.BEGAN), START)
    found = HeardSession()
    for start in (Position(end.epoch, max(0, end.number - _LAST)), START):
        if end != START and found.state is None:
            found = await _read(coordinator, start, began)
    return found


async def _read(coordinator: Coordinator, start: Position, until: Position) -> HeardSession:
    session = HeardSession()
    splitter: FrameSplitter | None = None
    while start < until and (records := await coordinator.follow(start, until, _WAIT)):
        for record in records:
            start = max(start, record.position)
            if record.kind is RecordKind.BATCH and record.position < until:
                splitter = _take(record, splitter, session)
            elif record.kind is not RecordKind.ENDED:
                splitter = None  # what is under way goes no further
    return session


def _take(record: Record, splitter: FrameSplitter | None, session: HeardSession) -> FrameSplitter | None:
    """Take what a batch tells; returns what cuts the next one."""
    try:
        payload = decode_payload(record.payload)
        if payload.member:
            return splitter
        if splitter is None and not payload.continues:
            splitter = FrameSplitter()
        bodies = [] if splitter is None else splitter.feed(payload.body)
        for body in bodies:
            frame = decode_owner_frame(body)
            if isinstance(frame, MessageBatch):
                session.take(frame)
    except IpcError:
        return None
    return splitter
