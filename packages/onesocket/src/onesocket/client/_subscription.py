"""One subscriber's stream of messages."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any, Self, cast

from ..errors import SlowConsumer, UsageError
from ..protocols._message_type import M, M_co
from ._queue import Queue

Predicate = Callable[[M], bool]


class Subscription(AsyncIterator[M_co]):
    """Stream of one subscriber, returned by `subscribe()`: ``async for message in subscription``.

    It is registered by the call, so no message after that is missed. It ends with `close()`, when the client is closed,
    or when no reference to it is left.
    """

    def __init__(
        self,
        queue: Queue[Any],
        detach: Callable[[Queue[Any]], None],
        abandon: Callable[[Queue[Any]], None] | None = None,
    ) -> None:
        self._queue = queue
        self._items = queue.items
        self._detach = detach
        self._abandon = abandon if abandon is not None else detach
        self._closed = False
        self.on_wait: Callable[[], None] | None = None
        """Called whenever the reader begins to wait."""
        self.on_end: Callable[[], object] | None = None
        """Called once, in any thread, when it is closed or garbage-collected."""

    def __repr__(self) -> str:
        queue = self._queue
        state = "closed" if self._closed or queue.ended else "held back" if queue.waits else "open"
        return f"<Subscription {state} queued={len(queue)}/{queue.limit} overflow={queue.overflow.value}>"

    def __len__(self) -> int:
        """Number of messages that wait to be read."""
        return len(self._queue)

    def __aiter__(self) -> Self:
        """Return the subscription: it has one reader."""
        return self

    async def __anext__(self) -> M_co:
        """The next message, or a `Gap`.

        Raises `SlowConsumer`, the error with which the client failed, or once, and the stream goes on,
        `SubscriptionRefused`.
        """
        queue = self._queue
        if self._items and queue.plain:
            return cast("M_co", self._items.popleft())
        while True:
            if queue.refusals and not self._closed:
                raise queue.refusals.pop(0).copy()
            if queue.has_items:
                return cast("M_co", queue.take())
            error = queue.next_error()
            if error is not None and not self._closed:
                if isinstance(error, SlowConsumer):
                    self.close()
                # Any other error is raised once: the client may recover, and the reader decides whether to go on.
                raise error.copy()
            if queue.ended or self._closed:
                raise StopAsyncIteration
            if queue.waiter is not None:
                raise UsageError("a subscription has one reader; subscribe() once for each task")
            if self.on_wait is not None:
                self.on_wait()
            waiter = queue.waiter = asyncio.get_running_loop().create_future()
            try:
                await waiter
            finally:
                if queue.waiter is waiter:
                    queue.waiter = None

    async def __aenter__(self) -> Self:
        """Return the subscription."""
        return self

    async def __aexit__(self, *_exc: object) -> None:
        """Close the subscription."""
        self.close()

    @property
    def dropped(self) -> int:
        """Number of messages that were dropped because the reader was too slow."""
        return self._queue.dropped

    @property
    def is_closed(self) -> bool:
        """True after `close()`."""
        return self._closed

    def close(self) -> None:
        """End the subscription; queued messages are dropped."""
        if not self._closed:
            self._closed = True
            self._queue.clear()
            self._queue.end()
            self._detach(self._queue)
            if self.on_end is not None:
                self.on_end()

    @property
    def queue(self) -> Queue[Any]:
        """The queue, for `onesocket.sharing` and `onesocket.blocking`."""
        return self._queue

    def __del__(self) -> None:
        """Detach a subscription that was not closed: it must not hold the connection back. Runs in any thread."""
        if not getattr(self, "_closed", True):
            self._closed = True
            self._abandon(self._queue)
            if self.on_end is not None:
                self.on_end()
