"""The stream of one reader that is a thread."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from typing import Any, Generic, Self, TypeVar, cast

from ..client.gap import Gap
from ..client.subscription import Predicate
from ..errors import ClientClosed, SlowConsumer, UsageError, WaitTimeout
from ..sharing.errors import ForkedCopy
from ..sharing.mailbox import Mailbox
from ..sharing.queue import SharedQueue
from ..sharing.registry import current_registry
from .waiting import Bell, Deadline, check_may_block

T = TypeVar("T")


class Subscription(Iterator[T], Generic[T]):
    """What `Link.subscribe()` returns: ``for message in subscription``. It has one reader."""

    def __init__(
        self,
        queue: SharedQueue[Any],
        detach: Callable[[SharedQueue[Any]], None],
        *,
        where: Predicate | None,
        keeps: object,
        there: Mailbox,
    ) -> None:
        self._queue = queue
        self._detach = detach
        self._where = where
        self._keeps: object = keeps
        self._there = there
        self._registry = current_registry()
        self._taken: deque[Any] = deque()
        self._closed = False

    def __repr__(self) -> str:
        queue = self._queue
        state = "closed" if self._closed or queue.ended else "held back" if queue.waits else "open"
        return f"<Subscription {state} queued={len(self)}/{queue.limit} overflow={queue.overflow.value}>"

    def __len__(self) -> int:
        """Messages that wait to be read."""
        return len(self._taken) + len(self._queue.items)

    def __iter__(self) -> Self:
        """Itself."""
        return self

    def __next__(self) -> T:
        """The next message, or a `Gap`; the end is when the link or the connection is closed."""
        try:
            return self.receive()
        except ClientClosed:
            raise StopIteration from None

    def receive(self, timeout: float | None = None) -> T:
        """The next message, or a `Gap`.

        Raises `WaitTimeout` after `timeout` seconds, `SlowConsumer`, what made the connection fail, or `ClientClosed`
        when nothing more will come.
        """
        check_may_block()
        if self._registry is not current_registry():
            raise ForkedCopy
        deadline = Deadline(timeout)
        where = self._where
        looked = False
        while True:
            if not self._taken:
                if looked and deadline.left == 0:  # messages that aren't wanted may come without end
                    raise _nothing_within(deadline)
                self._more(deadline)
                looked = True
            item = self._taken.popleft()
            if where is None or isinstance(item, Gap) or where(item):
                return cast("T", item)

    def _more(self, deadline: Deadline) -> None:
        queue = self._queue
        while True:
            self._taken = queue.take_all()
            if self._taken:
                return
            error = queue.next_error()
            if error is not None and not self._closed:
                if isinstance(error, SlowConsumer):
                    self.close()
                raise error.copy()
            if queue.waiter is not None:
                raise UsageError("a subscription has one reader; subscribe() once for each thread")
            bell = Bell()
            if queue.arm(bell):
                try:
                    if not deadline.wait(bell, self._there):
                        raise _nothing_within(deadline)
                finally:
                    queue.disarm(bell)
            elif (queue.ended or self._closed) and not queue.has_news and queue.error is None:
                raise ClientClosed("this subscription has ended: its link or the connection was closed")

    def __enter__(self) -> Self:
        """Itself."""
        return self

    def __exit__(self, *_exc: object) -> None:
        """Close it."""
        self.close()

    def __del__(self) -> None:
        """A reader that just goes away must not hold the feed back."""
        if not getattr(self, "_closed", True) and self._registry is current_registry():
            self._closed = True
            self._detach(self._queue)

    @property
    def dropped(self) -> int:
        """Messages that this subscriber did not get because it was too slow."""
        return self._queue.dropped

    @property
    def is_closed(self) -> bool:
        """Whether it was closed."""
        return self._closed

    def close(self) -> None:
        """End this subscription, from any thread; what is queued is let go."""
        if not self._closed and self._registry is current_registry():
            self._closed = True
            self._detach(self._queue)
            self._taken.clear()
            self._keeps = None


def _nothing_within(deadline: Deadline) -> WaitTimeout:
    return WaitTimeout(f"no message within {deadline.timeout:g} s")
