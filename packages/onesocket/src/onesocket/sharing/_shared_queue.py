"""A subscriber's queue whose feed and reader may live in different threads."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

from ..client._gap import Gap, GapReason
from ..client._queue import Overflow, Queue
from ..errors import OnesocketError

T = TypeVar("T")


class SharedQueue(Queue[T]):
    """`Queue` under a lock. `ring` lets the waiting reader know, in whatever thread it is, once the lock is free.

    The lock may be taken again by its holder: the collector may end a subscription in the midst of anything.
    """

    __slots__ = ("__weakref__", "_due", "_on_owner", "_ring", "lock", "taken")

    def __init__(
        self,
        limit: object,
        overflow: Overflow,
        *,
        marks_gaps: bool,
        hold: Callable[[], None],
        release: Callable[[], None],
        on_owner: Callable[[Callable[[], None]], object],
        ring: Callable[[Any], object],
    ) -> None:
        super().__init__(limit, overflow, marks_gaps=marks_gaps, hold=hold, release=release)
        self._on_owner = on_owner
        self._ring = ring
        self._due: Any = None
        """The waiter that is to be rung."""
        self.lock = threading.RLock()
        self.taken: deque[T | Gap] = deque()
        """The reader's: it takes out what it has read, so that whatever interrupts it loses nothing."""

    def put(self, item: T | Gap) -> None:
        """Queue one message for the reader."""
        with self.lock:
            if not self.ended:  # the reader may have gone, and the feed not have heard of it: it must not be held again
                super().put(item)
        self._ring_if_due()

    def put_many(self, batch: Sequence[T]) -> None:
        """Queue several messages for the reader."""
        with self.lock:
            if not self.ended:
                super().put_many(batch)
        self._ring_if_due()

    def begin_with(self, items: Iterable[T | Gap]) -> None:
        """Let the reader get these first: they came before it."""
        with self.lock:
            super().begin_with(items)
            if self.head:
                self.wake()
        self._ring_if_due()

    def take_all(self) -> deque[T | Gap]:
        """`taken`, and if that was empty, everything that is to be told now is in it, in order."""
        with self.lock:
            if not self.taken:
                if self.head:
                    self.head, self.taken = self.taken, self.head
                elif self.unmarked:
                    # Nothing is let go of before what stands for it is in its place: Ctrl-C may come at any line.
                    gap = deque[T | Gap]((Gap(GapReason.OVERFLOW, self.epoch, self.unmarked),))
                    self.unmarked, self.taken = 0, gap
                elif self.kept_gap is not None:
                    gap = deque[T | Gap]((self.kept_gap,))
                    self.kept_gap, self.taken = None, gap
                else:
                    self.items, self.taken = self.taken, self.items
        self.stop_holding()
        return self.taken

    def stop_holding(self) -> None:
        """Let the feed go on, soon; asked for too often, it does no harm."""
        if self.waits:
            self._on_owner(self._caught_up)

    def _caught_up(self) -> None:
        with self.lock:
            if self.waits and (self.ended or len(self.items) <= self.limit // 2):
                super().stop_holding()

    def fail(self, error: OnesocketError) -> None:
        """Raise this in the reader, after what is queued."""
        with self.lock:
            super().fail(error)
        self._ring_if_due()

    def next_error(self) -> OnesocketError | None:
        """What is to be raised in the reader now that it has read everything; None: nothing (more)."""
        with self.lock:
            return super().next_error()

    def end(self) -> None:
        """No more will come; the reader gets what is queued."""
        with self.lock:
            super().end()
        self._ring_if_due()

    def clear(self) -> None:
        """Let go of everything."""
        with self.lock:
            super().clear()
            self.taken = deque()

    def wake(self) -> None:
        """Let the waiting reader look again."""
        if self.waiter is not None:
            self._due, self.waiter = self.waiter, None

    def _ring_if_due(self) -> None:
        # Not under the lock: the reader may be called right here.
        due = None
        try:
            if self._due is not None:
                with self.lock:
                    due, self._due = self._due, None
                if due is not None and self._ring(due) is False:
                    # The reader's event loop was closed without a word: it must not hold anybody back.
                    self.clear()
                    self.end()
        except KeyboardInterrupt:
            self._due = due  # perhaps it wasn't rung; a second ring does no harm
            raise

    def arm(self, waiter: Any) -> bool:
        """Ring this one when there's news. False: there is some already, or the end."""
        with self.lock:
            if self.has_items or self.error is not None or self.overflow_error is not None or self.ended:
                return False
            self.waiter = waiter
            return True

    def disarm(self, waiter: Any) -> None:
        """It doesn't wait any more."""
        with self.lock:
            if self.waiter is waiter:
                self.waiter = None


def resolve_waiter(waiter: asyncio.Future[None]) -> None:
    """`ring` of a reader on the event loop where this is called."""
    if not waiter.done():
        waiter.set_result(None)
