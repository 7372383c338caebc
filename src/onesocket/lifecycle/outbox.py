"""Messages that wait for the line: bounded in number and age; it refuses, and never drops in silence. Pure."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from ..errors import InvalidOption, OutboxFull

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class OutboxLimits:
    """How many messages may wait for the line, and for how many seconds."""

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
    """First in, first out. What is in it is somebody's accepted message: it leaves by `take`, `expired`, `discard`."""

    def __init__(self, limits: OutboxLimits) -> None:
        self.limits = limits
        self._waiting: deque[tuple[float, T]] = deque()

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, item: T, now: float) -> None:
        """Accept `item`; raises `OutboxFull` when there's no room."""
        if len(self._waiting) >= self.limits.messages:
            raise OutboxFull(
                f"{len(self._waiting)} messages wait for the line already, which is the limit (outbox=); "
                "wait until it is back, or await send() instead of calling send_nowait() in a loop"
            )
        self._waiting.append((now + self.limits.age, item))

    def peek(self) -> T:
        """The oldest message, which stays; raises IndexError when there is none."""
        return self._waiting[0][1]

    def take(self) -> T:
        """The oldest message; raises IndexError when there is none."""
        return self._waiting.popleft()[1]

    def discard(self, item: T) -> bool:
        """Withdraw a message; False when it isn't here any more."""
        place = next((place for place, (_, other) in enumerate(self._waiting) if other is item), None)
        if place is not None:
            del self._waiting[place]
        return place is not None

    def expired(self, now: float) -> list[T]:
        """Remove and return everything whose time is up."""
        gone: list[T] = []
        while self._waiting and self._waiting[0][0] <= now:
            gone.append(self._waiting.popleft()[1])
        return gone

    def next_expiry(self) -> float | None:
        """When the oldest message expires, on the clock behind `now`; None when nothing waits."""
        return self._waiting[0][0] if self._waiting else None
