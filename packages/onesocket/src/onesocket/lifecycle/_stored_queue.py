"""Messages that are kept on disk until they are settled: their order, states, bounds and ages. Pure."""

from __future__ import annotations

import enum
import heapq
from collections import deque
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from ..errors import DuplicateMessage, OutboxFull

T = TypeVar("T")
MessageId = str | int
"""The id of a message, by which the peer acknowledges it."""


class StoredState(enum.Enum):
    """Progress of one message."""

    STORING = "being stored"
    WAITING = "waiting"
    SENT = "sent"
    """Written to the present connection."""
    GONE = "settled"
    """Acknowledged, expired, withdrawn, or not stored."""


@dataclass(slots=True, eq=False)
class StoredEntry(Generic[T]):
    """One message, from its acceptance until it is settled."""

    number: int
    """Its place in the order, over all runs of the program."""
    data: str | bytes
    message_id: MessageId | None
    expires: float
    """On the clock behind `now`."""
    ticket: T
    """The handle of its sender."""
    is_marked: bool
    """True if the file says that it may have been sent: only then it is."""
    state: StoredState = StoredState.STORING
    size: int = field(init=False)

    def __post_init__(self) -> None:
        self.size = len(self.data.encode()) if isinstance(self.data, str) else len(self.data)


class StoredQueue(Generic[T]):
    """First in, first out. Each message stays until it is settled; those that were sent can be sent again, in order."""

    def __init__(self, messages: int, size: int) -> None:
        self._max_messages = messages
        self._max_size = size
        self._size = 0
        self._entries: dict[int, StoredEntry[T]] = {}
        self._ids: dict[MessageId, StoredEntry[T]] = {}
        self._waiting: deque[StoredEntry[T]] = deque()
        """May hold entries that are gone: they are skipped."""
        self._sent: dict[int, StoredEntry[T]] = {}
        self._expiries: list[tuple[float, int]] = []
        """A heap, which may hold entries that are gone."""
        self._next_number = 1

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def entries(self) -> list[StoredEntry[T]]:
        """All messages, in order."""
        return list(self._entries.values())

    def put(
        self, data: str | bytes, message_id: MessageId | None, ticket: T, *, expires: float, is_marked: bool
    ) -> StoredEntry[T]:
        """Take a message that is being stored. Raises `OutboxFull`, `DuplicateMessage`, or UnicodeError."""
        entry = StoredEntry(self._next_number, data, message_id, expires, ticket, is_marked)
        if message_id is not None and message_id in self._ids:
            raise DuplicateMessage(
                f"a message with the id {message_id!r} is in the outbox already, and waits for its acknowledgement: "
                "each message needs an id of its own"
            )
        if len(self._entries) >= self._max_messages:
            raise OutboxFull(
                f"{len(self._entries)} messages wait in the durable outbox, which is its limit (messages=): wait until "
                "some are settled"
            )
        if self._size + entry.size > self._max_size:
            raise OutboxFull(
                f"a message of {entry.size} bytes has no room in the durable outbox beside the {self._size} that wait, "
                f"as its limit (bytes=) is {self._max_size}: wait until some are settled"
            )
        self._add(entry)
        return entry

    def restore(self, entry: StoredEntry[T]) -> None:
        """Take a message of an earlier run, in order, before any `put`; the bounds don't hold for it."""
        self._add(entry)
        self.stored(entry)

    def _add(self, entry: StoredEntry[T]) -> None:
        self._next_number = entry.number + 1
        self._entries[entry.number] = entry
        self._size += entry.size
        if entry.message_id is not None:
            self._ids[entry.message_id] = entry

    def find(self, number: int) -> StoredEntry[T] | None:
        """The message with this number; None: it is gone."""
        return self._entries.get(number)

    def stored(self, entry: StoredEntry[T]) -> None:
        """The message is on disk: from now on it may be sent."""
        entry.state = StoredState.WAITING
        self._waiting.append(entry)
        heapq.heappush(self._expiries, (entry.expires, entry.number))

    @property
    def next(self) -> StoredEntry[T] | None:
        """The next message to be sent; None: all were."""
        while self._waiting and self._waiting[0].state is not StoredState.WAITING:
            self._waiting.popleft()
        return self._waiting[0] if self._waiting else None

    @property
    def to_mark(self) -> StoredEntry[T] | None:
        """The last message that waits, if the next one isn't marked yet; None: nothing has to be marked."""
        following = self.next
        if following is None or following.is_marked:
            return None
        return next(entry for entry in reversed(self._waiting) if entry.state is StoredState.WAITING)

    def marked(self, number: int) -> None:
        """The file says of the messages up to this one that they may have been sent."""
        for entry in self._waiting:
            if entry.number <= number:
                entry.is_marked = True

    def taken(self, entry: StoredEntry[T]) -> None:
        """The next message was written to the connection."""
        self._waiting.popleft()
        entry.state = StoredState.SENT
        self._sent[entry.number] = entry

    def sent(self) -> list[StoredEntry[T]]:
        """The messages that were written to the connection, and aren't settled."""
        return list(self._sent.values())

    def rewind(self) -> list[StoredEntry[T]]:
        """The connection is gone: what was sent waits again, before the others. Returns these messages."""
        again, self._sent = list(self._sent.values()), {}
        for entry in again:
            entry.state = StoredState.WAITING
        self._waiting.extendleft(reversed(again))
        return again

    def acknowledged(self, message_id: MessageId) -> StoredEntry[T] | None:
        """Remove and return the message with this id; None: there is none, or it can't have been sent."""
        entry = self._ids.get(message_id)
        if entry is None or entry.state is StoredState.STORING or not entry.is_marked:
            return None
        self.remove(entry)
        return entry

    def remove(self, entry: StoredEntry[T]) -> bool:
        """Remove a message; False if it is gone already."""
        if self._entries.pop(entry.number, None) is None:
            return False
        entry.state = StoredState.GONE
        self._size -= entry.size
        self._sent.pop(entry.number, None)
        if entry.message_id is not None:
            del self._ids[entry.message_id]
        return True

    def expired(self, now: float) -> list[StoredEntry[T]]:
        """Remove and return every message whose time is up."""
        late: list[StoredEntry[T]] = []
        while (due := self.next_expiry()) is not None and due <= now:
            entry = self._entries[heapq.heappop(self._expiries)[1]]
            self.remove(entry)
            late.append(entry)
        return late

    def next_expiry(self) -> float | None:
        """When the next message expires, on the clock behind `now`; None: none is stored."""
        while self._expiries and self._expiries[0][1] not in self._entries:
            heapq.heappop(self._expiries)
        return self._expiries[0][0] if self._expiries else None
