"""The stream of one reader that is a thread."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from typing import Any, Final, Generic, NoReturn, Self, TypeVar

from ..client._gap import Gap
from ..client._subscription import Predicate
from ..errors import ClientClosed, ForkedCopy, OnesocketError, SlowConsumer, UsageError, WaitTimeout
from ..sharing._loop_inbox import LoopInbox
from ..sharing._registry import current_registry
from ..sharing._shared_queue import SharedQueue
from ._waiting import Deadline, OneShotEvent, check_may_block

T = TypeVar("T")
_ENDED: Final = "this subscription has ended: its link or the connection was closed"


class Subscription(Iterator[T], Generic[T]):
    """What `Link.subscribe()` returns: ``for message in subscription``. It has one reader."""

    def __init__(
        self,
        queue: SharedQueue[Any],
        detach: Callable[[SharedQueue[Any]], None],
        *,
        where: Predicate | None,
        keeps: object,
        there: LoopInbox,
    ) -> None:
        self._queue = queue
        self._detach = detach
        self._where = where
        self._keeps: object = keeps
        self._host_inbox = there
        self._registry = current_registry()
        self._closed = False

    def __repr__(self) -> str:
        queue = self._queue
        state = "closed" if self._closed or queue.ended else "held back" if queue.waits else "open"
        return f"<Subscription {state} queued={len(self)}/{queue.limit} overflow={queue.overflow.value}>"

    def __len__(self) -> int:
        """Messages that wait to be read."""
        return len(self._queue.taken) + len(self._queue)

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
        when nothing more will come. Interrupted by Ctrl-C, it has taken nothing: the next call gets it.
        """
        check_may_block()
        if self._registry is not current_registry():
            raise ForkedCopy
        deadline = Deadline(timeout)
        where = self._where
        looked = False
        while True:
            taken: deque[Any] = self._queue.taken
            if not taken or self._closed:
                if looked and deadline.left == 0:  # messages that aren't wanted may come without end
                    raise _receive_timeout(deadline)
                taken = self._more(deadline)
                looked = True
            item: T = taken[0]
            try:
                is_wanted = where is None or isinstance(item, Gap) or bool(where(item))
            except Exception:
                if taken and taken[0] is item:
                    del taken[0]
                raise
            # No call from here on, so no place where Python looks for signals, or lets other threads run: it's taken
            # and returned, or neither. A thread that shouldn't be here may have taken it meanwhile.
            if taken and taken[0] is item:
                del taken[0]
                if is_wanted:
                    return item

    def _more(self, deadline: Deadline) -> deque[Any]:
        queue = self._queue
        while True:
            if self._closed:
                raise ClientClosed(_ENDED)
            taken = queue.take_all()
            if taken:
                return taken
            error = queue.error or queue.overflow_error
            if error is not None:
                self._raise(error)
            waiter: Any = queue.waiter
            if waiter is not None and not waiter.is_abandoned:  # one may be left from a wait that was interrupted
                raise UsageError("a subscription has one reader; subscribe() once for each thread")
            bell = OneShotEvent()
            try:
                if queue.arm(bell):
                    if not deadline.wait(bell, self._host_inbox):
                        raise _receive_timeout(deadline)
                elif queue.ended and not queue.has_items and queue.error is None:
                    raise ClientClosed(_ENDED)
            finally:
                bell.is_abandoned = True
                queue.disarm(bell)

    def _raise(self, error: OnesocketError) -> NoReturn:
        queue, copy = self._queue, error.copy()
        if isinstance(error, SlowConsumer):
            self._detach(queue)
            self._closed = True
        # It is told once, and not let go of before: there's no call from here on, either.
        queue.error = None
        raise copy

    def __enter__(self) -> Self:
        """Itself."""
        return self

    def __exit__(self, *_exc: object) -> None:
        """Close it."""
        self.close()

    def __del__(self) -> None:
        """A reader that just goes away must not hold the feed back."""
        if not getattr(self, "_closed", True):
            self.close()

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
            self._detach(self._queue)
            self._keeps = None
            self._closed = True  # last, so that one that was interrupted is made good by the next


def _receive_timeout(deadline: Deadline) -> WaitTimeout:
    return WaitTimeout(f"no message within {deadline.timeout:g} s")
