"""The bounded queue behind one subscriber's stream, with its named overflow rule."""

from __future__ import annotations

import asyncio
import enum
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Final, Generic, TypeVar, cast

from ..errors import InvalidOption, OnesocketError, SlowConsumer, SubscriptionRefused
from ._gap import Gap, GapReason, merge_gaps
from ._losses import Losses

T = TypeVar("T")

DEFAULT_LIMIT: Final = 16_384
"""Number of messages that may wait for a subscriber."""


class Overflow(enum.StrEnum):
    """The rule for a subscriber that is slower than the connection."""

    FAIL = "fail"
    """The subscriber gets the queued messages, then `SlowConsumer`; no other reader is affected."""
    DROP_OLDEST = "drop_oldest"
    """The oldest messages are dropped and counted, and a `Gap` stands in their place."""
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
    """Bounded queue between the fan-out and one reader.

    The fan-out refers to this object, the reader to the `Subscription`: so a reader that is garbage-collected is
    noticed, and can't hold the connection back.
    """

    def __init__(
        self,
        limit: object,
        overflow: Overflow,
        *,
        marks_gaps: bool = False,
        losses: Losses | None = None,
        hold: Callable[[], None] = _noop,
        release: Callable[[], None] = _noop,
    ) -> None:
        self.head: deque[T | Gap] = deque()
        """Messages from before this reader: read first, and not counted against `limit`."""
        self.items: deque[T | Gap] = deque()
        self.limit = check_limit(limit)
        self.overflow: Final = overflow
        self.marks_gaps: Final = marks_gaps
        """True if a `Gap` stands where messages were dropped."""
        self.losses: Final = Losses() if losses is None else losses
        self.hold = hold
        self.release = release
        self.plain = True
        """True while `items` holds all there is to read: the reader's fast path."""
        self.waits = False
        """True while it holds the connection back."""
        self.dropped = 0
        self.unmarked = 0
        """Number of dropped messages without a `Gap` yet."""
        self.kept_gap: Gap | None = None
        """The gap markers that had to make room, merged, still to be read."""
        self.overflow_error: SlowConsumer | None = None
        """The end of a reader with the rule `fail`: no message is queued any more, so its stream has no hole."""
        self.error: OnesocketError | None = None
        self.refusals: list[SubscriptionRefused] | None = None
        """Refusals of its keys that the reader has not seen yet."""
        self.epoch = 0
        self.ended = False
        self.waiter: asyncio.Future[None] | None = None
        self.on_item: Callable[[], None] | None = None
        """Called once, with the first message."""

    def __repr__(self) -> str:
        held = " holds the connection" if self.waits else ""
        return f"<Queue {len(self)}/{self.limit} {self.overflow.value} dropped={self.dropped}{held}>"

    def __len__(self) -> int:
        """Messages and gap markers that wait for the reader."""
        return len(self.head) + len(self.items)

    def begin_with(self, items: Iterable[T | Gap]) -> None:
        """Let the reader begin with these messages from before it."""
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
        """The next message or gap marker; raises IndexError when there is none."""
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
        """True if `take` returns a message or gap marker."""
        return bool(self.items) or bool(self.head) or self.unmarked > 0 or self.kept_gap is not None

    @property
    def is_idle(self) -> bool:
        """True if nothing waits for the reader, and more can come."""
        is_over = self.ended or self.overflow_error is not None or self.error is not None
        return not (is_over or self.has_items or self.refusals)

    def lose(self, count: int) -> None:
        """Record messages that were lost on their way here: the end of a reader with the rule `fail`."""
        self.dropped += count
        self.losses.dropped += count
        if self.overflow is Overflow.FAIL:
            self._overflow()
        elif self.marks_gaps:
            self.losses.overflows += 1
            self.put(Gap(GapReason.OVERFLOW, self.epoch, count))

    def wake(self) -> None:
        """Wake the waiting reader."""
        waiter, self.waiter = self.waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    def fail(self, error: OnesocketError) -> None:
        """Raise this error in the reader, after the queued messages."""
        self.error = error
        self.wake()

    def refused(self, error: SubscriptionRefused) -> None:
        """Raise this refusal in the reader, before the queued messages: a busy reader may never have read them all."""
        self.refusals = [*(self.refusals or ()), error]
        self.plain = False
        self.wake()

    def end(self) -> None:
        """End the stream after the queued messages."""
        self.ended = True
        self.stop_holding()
        self.wake()

    def break_off(self, error: OnesocketError) -> None:
        """End the stream with this error at once: queued messages are dropped, and no other reader is held back."""
        self.waits = False
        self.clear()
        self.end()
        self.fail(error)

    def clear(self) -> None:
        """Drop all messages and gap markers."""
        self.head.clear()
        self.items.clear()
        self.unmarked = 0
        self.kept_gap = None

    def stop_holding(self) -> None:
        """Release the connection, if this queue holds it back."""
        if self.waits:
            self.waits = False
            self.release()

    def next_error(self) -> OnesocketError | None:
        """Returns the error to raise in a reader that has read everything; None: there is none (any more)."""
        error, self.error = self.error, None
        return error if error is not None else self.overflow_error

    def _make_room(self) -> bool:
        if self.overflow is Overflow.WAIT:
            # Reading stops before the next slice; messages that were read already are accepted, so none is lost.
            if not self.waits:
                self.waits = True
                self.plain = False
                self.hold()
            return True
        if self.overflow is Overflow.DROP_OLDEST:
            oldest = self.items.popleft()
            if isinstance(oldest, Gap):
                self.kept_gap = oldest if self.kept_gap is None else merge_gaps(self.kept_gap, oldest)
            else:
                self.dropped += 1
                self.losses.dropped += 1
                self.losses.overflows += self.marks_gaps and not self.unmarked
                self.unmarked += self.marks_gaps
            self.plain = False
            return True
        self.dropped += 1
        self.losses.dropped += 1
        self._overflow()
        # No message is queued from here on, even when there is room: the stream must have no hole without a marker.
        return False

    def _overflow(self) -> None:
        if self.overflow_error is None:
            self.losses.overflows += 1
            self.overflow_error = SlowConsumer(
                f"this subscriber fell {self.limit} messages behind; read faster, raise limit=, "
                "or choose overflow='drop_oldest' or 'wait'"
            )
            self.wake()
