"""One subscriber's stream: a bounded queue with one reader and a named overflow rule."""

from __future__ import annotations

import asyncio
import enum
from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import Any, Final, Generic, Self, TypeVar, cast

from ..errors import InvalidOption, OnesocketError, SlowConsumer, UsageError
from .gap import Gap, GapReason

T = TypeVar("T")


class Overflow(enum.Enum):
    """What happens to a subscriber that is slower than the feed."""

    FAIL = "fail"
    """It gets what is queued, then `SlowConsumer`; nobody else notices."""
    DROP_OLDEST = "drop_oldest"
    """Its oldest messages are dropped and counted, and a `Gap` stands in their place."""
    WAIT = "wait"
    """The socket is not read until it has caught up: nothing is lost, and everybody waits."""

    @classmethod
    def of(cls, value: Overflow | str) -> Overflow:
        """The rule of that name; raises `InvalidOption`."""
        try:
            return cls(value)
        except ValueError:
            names = ", ".join(repr(rule.value) for rule in cls)
            raise InvalidOption(f"overflow must be one of {names}, not {value!r}") from None


def _nothing() -> None:
    pass


class Queue(Generic[T]):
    """The bounded queue behind a subscription.

    The feed holds this one, the reader holds the `Subscription`: so a reader that just goes away is noticed, and can't
    block the feed.
    """

    __slots__ = (
        "dropped",
        "ended",
        "epoch",
        "error",
        "hold",
        "items",
        "kept_gap",
        "limit",
        "marks_gaps",
        "on_item",
        "overflow",
        "release",
        "unmarked",
        "waiter",
        "waits",
    )

    def __init__(
        self,
        limit: int,
        overflow: Overflow,
        *,
        marks_gaps: bool = False,
        hold: Callable[[], None] = _nothing,
        release: Callable[[], None] = _nothing,
    ) -> None:
        if limit < 1:
            raise InvalidOption(f"limit must be at least 1 message, not {limit!r}")
        self.items: deque[T | Gap] = deque()
        self.marks_gaps: Final = marks_gaps
        """Whether a `Gap` stands where messages were dropped."""
        self.unmarked = 0
        """Messages dropped that no `Gap` stands for yet."""
        self.kept_gap: Gap | None = None
        """A gap marker that had to make room: it's still told."""
        self.limit: Final = limit
        self.overflow: Final = overflow
        self.hold = hold
        self.release = release
        self.waits = False
        """Whether it holds the feed back at the moment."""
        self.dropped = 0
        self.epoch = 0
        self.error: OnesocketError | None = None
        self.ended = False
        self.waiter: asyncio.Future[None] | None = None
        self.on_item: Callable[[], None] | None = None
        """Called once, with the first message."""

    def put(self, item: T | Gap) -> None:
        """Queue one message for the reader."""
        items = self.items
        if len(items) >= self.limit and not self._make_room():
            return
        items.append(item)
        if self.waiter is not None:
            self.wake()
        elif self.on_item is not None:
            on_item, self.on_item = self.on_item, None
            on_item()

    def wake(self) -> None:
        """Let the waiting reader look again."""
        waiter, self.waiter = self.waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    def fail(self, error: OnesocketError) -> None:
        """Raise this in the reader, after what is queued."""
        if self.error is None:
            self.error = error
            self.wake()

    def end(self) -> None:
        """No more will come; the reader gets what is queued."""
        self.ended = True
        self.stop_holding()
        self.wake()

    def stop_holding(self) -> None:
        """Let the feed go on, if it's held back by this queue."""
        if self.waits:
            self.waits = False
            self.release()

    def take(self) -> T | Gap:
        """The oldest message; raises IndexError when there's none."""
        if self.unmarked:
            missed, self.unmarked = self.unmarked, 0
            return Gap(GapReason.OVERFLOW, self.epoch, missed)
        if self.kept_gap is not None:
            gap, self.kept_gap = self.kept_gap, None
            return gap
        item = self.items.popleft()
        if self.waits and len(self.items) <= self.limit // 2:
            self.stop_holding()
        return item

    def _make_room(self) -> bool:
        if self.overflow is Overflow.DROP_OLDEST:
            oldest = self.items.popleft()
            if isinstance(oldest, Gap):
                self.kept_gap = oldest
            else:
                self.dropped += 1
                self.unmarked += self.marks_gaps
            return True
        if self.overflow is Overflow.WAIT:
            # The feed stops before the next slice; what is on its way already is taken in, so nothing is lost.
            if not self.waits:
                self.waits = True
                self.hold()
            return True
        self.dropped += 1
        if self.error is None:
            self.fail(
                SlowConsumer(
                    f"this subscriber fell {self.limit} messages behind; read faster, raise limit=, "
                    "or choose overflow='drop_oldest' or 'wait'"
                )
            )
        return False


class Subscription(AsyncIterator[T]):
    """What `subscribe()` returns: ``async for message in subscription``.

    It is registered at once: nothing that comes after the call is missed. It ends with `close()`, when the client is
    closed, or when nobody holds it any more.
    """

    def __init__(self, queue: Queue[Any], detach: Callable[[Queue[Any]], None]) -> None:
        self._queue = queue
        self._detach = detach
        self._closed = False

    def __repr__(self) -> str:
        queue = self._queue
        state = "closed" if self._closed or queue.ended else "held back" if queue.waits else "open"
        return f"<Subscription {state} queued={len(queue.items)}/{queue.limit} overflow={queue.overflow.value}>"

    def __len__(self) -> int:
        """Messages that wait to be read."""
        return len(self._queue.items)

    def __aiter__(self) -> Self:
        """Itself: a subscription has one reader."""
        return self

    async def __anext__(self) -> T:
        """The next message, or a `Gap`. Raises `SlowConsumer`, or what made the client fail."""
        queue = self._queue
        while True:
            if queue.items or queue.unmarked or queue.kept_gap is not None:
                return cast("T", queue.take())
            if queue.error is not None:
                raise self._take_error()
            if queue.ended or self._closed:
                raise StopAsyncIteration
            if queue.waiter is not None:
                raise UsageError("a subscription has one reader; subscribe() once for each task")
            waiter = queue.waiter = asyncio.get_running_loop().create_future()
            try:
                await waiter
            finally:
                if queue.waiter is waiter:
                    queue.waiter = None

    async def __aenter__(self) -> Self:
        """Itself."""
        return self

    async def __aexit__(self, *_exc: object) -> None:
        """Close it."""
        self.close()

    @property
    def dropped(self) -> int:
        """Messages that this subscriber did not get because it was too slow."""
        return self._queue.dropped

    @property
    def is_closed(self) -> bool:
        """Whether it was closed."""
        return self._closed

    def on_item(self, call: Callable[[], None]) -> None:
        """Call this once, with the first message."""
        self._queue.on_item = call

    def close(self) -> None:
        """End this subscription; what is queued is let go."""
        if not self._closed:
            self._closed = True
            self._queue.items.clear()
            self._queue.end()
            self._detach(self._queue)

    def __del__(self) -> None:
        """A reader that just goes away must not hold the feed back."""
        if not getattr(self, "_closed", True):
            self.close()

    def _take_error(self) -> OnesocketError:
        queue = self._queue
        error = cast("OnesocketError", queue.error)
        queue.error = None  # the client may come back; the reader decides whether to go on
        if isinstance(error, SlowConsumer):
            self.close()
        return error.copy()


Predicate = Callable[[Any], bool]
