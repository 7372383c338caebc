"""The bounded queue behind one subscriber's stream, with its named overflow rule."""

from __future__ import annotations

import asyncio
import enum
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Final, Generic, TypeVar, cast

from ..errors import InvalidOption, OnesocketError, SlowConsumer
from ._gap import Gap, GapReason

T = TypeVar("T")

DEFAULT_LIMIT: Final = 16_384
"""Number of messages that may wait for a subscriber."""


class Overflow(enum.StrEnum):
    """What happens to a subscriber that is slower than the feed."""

    FAIL = "fail"
    """It gets what is queued, then `SlowConsumer`; no other reader is affected."""
    DROP_OLDEST = "drop_oldest"
    """Its oldest messages are dropped and counted, and a `Gap` stands in their place."""
    WAIT = "wait"
    """The socket is not read until it has caught up: nothing is lost, and all readers wait."""

    @classmethod
    def of(cls, value: object) -> Overflow:
        """The rule with this name; raises `InvalidOption`."""
        try:
            return cls(cast("str", value))
        except ValueError:
            names = ", ".join(repr(rule.value) for rule in cls)
            raise InvalidOption(f"overflow must be one of {names}, not {value!r}") from None


def check_limit(value: object) -> int:
    """`value` as a number of messages that may wait; raises `InvalidOption`."""
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise InvalidOption(f"limit must be a whole number of messages, at least 1, not {value!r}")
    return value


def _noop() -> None:
    pass


class Queue(Generic[T]):
    """Where the feed puts messages and the reader takes them.

    The feed holds this one, the reader holds the `Subscription`: so a reader that just goes away is noticed, and can't
    block the feed.
    """

    __slots__ = (
        "dropped",
        "ended",
        "epoch",
        "error",
        "head",
        "hold",
        "items",
        "kept_gap",
        "limit",
        "marks_gaps",
        "on_item",
        "overflow",
        "overflow_error",
        "plain",
        "release",
        "unmarked",
        "waiter",
        "waits",
    )

    def __init__(
        self,
        limit: object,
        overflow: Overflow,
        *,
        marks_gaps: bool = False,
        hold: Callable[[], None] = _noop,
        release: Callable[[], None] = _noop,
    ) -> None:
        self.head: deque[T | Gap] = deque()
        """Messages that came before this reader: read first, and not counted against `limit`."""
        self.items: deque[T | Gap] = deque()
        self.limit: Final = check_limit(limit)
        self.overflow: Final = overflow
        self.marks_gaps: Final = marks_gaps
        """Whether a `Gap` stands where messages were dropped."""
        self.hold = hold
        self.release = release
        self.plain = True
        """Nothing but messages to be told: the reader's fast road."""
        self.waits = False
        """Whether it holds the feed back at the moment."""
        self.dropped = 0
        self.unmarked = 0
        """Messages dropped that no `Gap` stands for yet."""
        self.kept_gap: Gap | None = None
        """The newest gap marker that had to make room: it's still told."""
        self.overflow_error: SlowConsumer | None = None
        """The end of a reader with the rule `fail`: nothing is queued any more, so there's no hole in its stream."""
        self.error: OnesocketError | None = None
        self.epoch = 0
        self.ended = False
        self.waiter: asyncio.Future[None] | None = None
        self.on_item: Callable[[], None] | None = None
        """Called once, with the first message."""

    def __repr__(self) -> str:
        held = " holds the feed" if self.waits else ""
        return f"<Queue {len(self)}/{self.limit} {self.overflow.value} dropped={self.dropped}{held}>"

    def __len__(self) -> int:
        """Messages and gap markers that wait for the reader."""
        return len(self.head) + len(self.items)

    def begin_with(self, items: Iterable[T | Gap]) -> None:
        """Let the reader get these first: they came before it."""
        self.head.extend(item for item in items if self.marks_gaps or not isinstance(item, Gap))
        if self.head:
            self.plain = False

    def put(self, item: T | Gap) -> None:
        """Queue one message for the reader."""
        items = self.items
        if (len(items) >= self.limit or self.overflow_error is not None) and not self._make_room():
            return
        items.append(item)
        if self.waiter is not None:
            self.wake()
        elif self.on_item is not None:
            on_item, self.on_item = self.on_item, None
            on_item()

    def put_many(self, batch: Sequence[T]) -> None:
        """Queue several messages for the reader."""
        if len(self.items) + len(batch) > self.limit or self.overflow_error is not None or self.on_item is not None:
            for item in batch:
                self.put(item)
            return
        self.items.extend(batch)
        if self.waiter is not None:
            self.wake()

    def take(self) -> T | Gap:
        """The oldest thing to be told; raises IndexError when there's none."""
        if self.head:
            return self.head.popleft()
        if self.unmarked:
            missed, self.unmarked = self.unmarked, 0
            return Gap(GapReason.OVERFLOW, self.epoch, missed)
        if self.kept_gap is not None:
            gap, self.kept_gap = self.kept_gap, None
            return gap
        if not self.waits:
            self.plain = True
        elif len(self.items) <= self.limit // 2 + 1:
            self.stop_holding()
        return self.items.popleft()

    @property
    def has_items(self) -> bool:
        """Whether `take` would give something."""
        return bool(self.items) or bool(self.head) or self.unmarked > 0 or self.kept_gap is not None

    @property
    def is_idle(self) -> bool:
        """True if nothing waits for the reader, and more can come."""
        return not (self.has_items or self.ended or self.overflow_error is not None or self.error is not None)

    def lose(self, count: int) -> None:
        """Record messages that were lost before they came here: the end of a reader with the rule `fail`."""
        self.dropped += count
        if self.overflow is Overflow.FAIL:
            self._overflow()
        elif self.marks_gaps:
            self.put(Gap(GapReason.OVERFLOW, self.epoch, count))

    def wake(self) -> None:
        """Let the waiting reader look again."""
        waiter, self.waiter = self.waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    def fail(self, error: OnesocketError) -> None:
        """Raise this in the reader, after what is queued."""
        self.error = error
        self.wake()

    def end(self) -> None:
        """No more will come; the reader gets what is queued."""
        self.ended = True
        self.stop_holding()
        self.wake()

    def break_off(self, error: OnesocketError) -> None:
        """End it with this error, at once: what is queued is let go, and it holds no other reader back."""
        self.waits = False
        self.clear()
        self.end()
        self.fail(error)

    def clear(self) -> None:
        """Let go of everything, what stands for dropped messages included."""
        self.head.clear()
        self.items.clear()
        self.unmarked = 0
        self.kept_gap = None

    def stop_holding(self) -> None:
        """Let the feed go on, if it's held back by this queue."""
        if self.waits:
            self.waits = False
            self.release()

    def next_error(self) -> OnesocketError | None:
        """What is to be raised in the reader now that it has read everything; None: nothing (more)."""
        error, self.error = self.error, None
        return error if error is not None else self.overflow_error

    def _make_room(self) -> bool:
        if self.overflow is Overflow.WAIT:
            # The feed stops before the next slice; what is on its way already is taken in, so nothing is lost.
            if not self.waits:
                self.waits = True
                self.plain = False
                self.hold()
            return True
        if self.overflow is Overflow.DROP_OLDEST:
            oldest = self.items.popleft()
            if isinstance(oldest, Gap):
                self.kept_gap = oldest
            else:
                self.dropped += 1
                self.unmarked += self.marks_gaps
            self.plain = False
            return True
        self.dropped += 1
        self._overflow()
        # From here on it gets nothing, even when it makes room: its stream shall have no hole that nobody tells.
        return False

    def _overflow(self) -> None:
        if self.overflow_error is None:
            self.overflow_error = SlowConsumer(
                f"this subscriber fell {self.limit} messages behind; read faster, raise limit=, "
                "or choose overflow='drop_oldest' or 'wait'"
            )
            self.wake()
