"""Messages that wait for the connection: bounded in number and age; it refuses, and never drops in silence. Pure."""

from __future__ import annotations

from collections import deque
from typing import Any, Final, Generic, TypeVar

from .._record import record
from ..errors import InvalidOption, OutboxFull

T = TypeVar("T")
# When it expires, its number, and the message. A named tuple would take several times as long to make.
_Entry = tuple[float, int, T]
_NOTHING: Final[deque[Any]] = deque()
"""An empty queue: never changed, and shared by all, as one of its own takes 0.7 KB."""


@record
class OutboxLimits:
    """How many messages may wait for the connection, and for how many seconds."""

    messages: int = 2_000
    age: float = 300.0

    def __post_init__(self) -> None:
        messages: Any = self.messages
        if not isinstance(messages, int) or isinstance(messages, bool) or messages < 0:
            raise InvalidOption(f"OutboxLimits: messages must be a whole number >= 0, not {messages!r}")
        age: Any = self.age
        if not isinstance(age, int | float) or isinstance(age, bool) or not age > 0:
            raise InvalidOption(f"OutboxLimits: age must be a number of seconds > 0, not {age!r}")


class Outbox(Generic[T]):
    """First in, first out, in two queues: messages that go first on a new connection, and the others.

    Each of its messages was accepted: it leaves by `take`, `expired` or `discard`.
    """

    __slots__ = ("_first", "_waiting", "count", "limits", "next_number")

    def __init__(self, limits: OutboxLimits) -> None:
        self.limits = limits
        self._first: deque[_Entry[T]] = _NOTHING
        self._waiting: deque[_Entry[T]] = _NOTHING
        self.count = 0
        """Number of messages that wait."""
        self.next_number = 1
        """The number of the next message that is accepted."""

    def __len__(self) -> int:
        return self.count

    @property
    def has_first(self) -> bool:
        """True if there are messages that go first."""
        return bool(self._first)

    @property
    def number(self) -> int:
        """The number of the next message to be taken; raises IndexError when there is none."""
        return self._next[0][1]

    def put(self, item: T, now: float, *, first: bool = False, is_lasting: bool = False) -> None:
        """Accept `item`; raises `OutboxFull` when there's no room, unless it `is_lasting`."""
        if self.count >= self.limits.messages and not is_lasting:
            raise OutboxFull(
                f"{self.count} messages wait for the connection already, which is the limit (outbox=); "
                "wait until it is back, or await send() instead of calling send_nowait() in a loop"
            )
        entry = now + self.limits.age, self.next_number, item
        if first:
            self._first = _append(self._first, entry)
        else:
            self._waiting = _append(self._waiting, entry)
        self.next_number += 1
        self.count += 1

    def peek(self) -> T:
        """The next message, which stays; raises IndexError when there is none."""
        return self._next[0][2]

    def take(self) -> T:
        """The next message; raises IndexError when there is none."""
        item = self._next.popleft()[2]
        self.count -= 1
        return item

    def discard(self, item: T) -> bool:
        """Withdraw a message; False when it isn't here any more."""
        for queue in (self._first, self._waiting):
            for place, (_, _, other) in enumerate(queue):
                if other is item:
                    del queue[place]
                    self.count -= 1
                    return True
        return False

    def expired(self, now: float) -> list[T]:
        """Remove and return everything whose time is up."""
        gone: list[T] = []
        for queue in (self._first, self._waiting):
            while queue and queue[0][0] <= now:
                gone.append(queue.popleft()[2])
        self.count -= len(gone)
        return gone

    def next_expiry(self) -> float | None:
        """When the oldest message expires, on the clock behind `now`; None when nothing waits."""
        if not self.count:
            return None
        return min((queue[0][0] for queue in (self._first, self._waiting) if queue), default=None)

    @property
    def _next(self) -> deque[_Entry[T]]:
        return self._first or self._waiting


def _append(queue: deque[_Entry[T]], entry: _Entry[T]) -> deque[_Entry[T]]:
    """Return the queue with this entry: a new one in the place of `_NOTHING`."""
    if queue is _NOTHING:
        return deque((entry,))
    queue.append(entry)
    return queue
