"""The stream of one reader on an event loop, fed from whatever thread the connection lives in."""

from __future__ import annotations

import asyncio
import functools
from collections import deque
from collections.abc import Callable
from typing import Any, TypeVar, cast

from ..client._gap import Gap
from ..client._subscription import Predicate, Subscription
from ..errors import SlowConsumer, UsageError
from ._shared_queue import SharedQueue, resolve_waiter

T = TypeVar("T")


class SharedSubscription(Subscription[T]):
    """What `Link.subscribe()` returns: ``async for message in subscription``.

    `where` is asked in the reader's own turn, and what it raises is raised there: a slow predicate harms nobody else.
    """

    def __init__(
        self,
        queue: SharedQueue[Any],
        detach: Callable[[SharedQueue[Any]], None],
        *,
        where: Predicate | None,
        keeps: object,
    ) -> None:
        super().__init__(queue, cast("Any", detach))
        self._shared = queue
        self._where = where
        self._keeps: object = keeps
        """The link: it stays as long as somebody reads."""
        self.waiting: deque[Any] = deque()
        """What was taken out of the queue, and is read first."""

    def __len__(self) -> int:
        """Messages that wait to be read."""
        return len(self.waiting) + len(self._shared)

    async def __anext__(self) -> T:
        """The next message, or a `Gap`. Raises `SlowConsumer`, or what made the connection fail."""
        where = self._where
        while True:
            if not self.waiting:
                await self._more()
            item = self.waiting.popleft()
            if where is None or isinstance(item, Gap) or where(item):
                return cast("T", item)

    async def _more(self) -> None:
        queue = self._shared
        while True:
            news: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            waiter = functools.partial(resolve_waiter, news)
            if queue.waiter is not None:
                raise UsageError("a subscription has one reader; subscribe() once for each task")
            if self.fill(waiter):
                return
            try:
                await news
            finally:
                queue.disarm(waiter)

    def fill(self, waiter: Callable[[], object]) -> bool:
        """Whether something is `waiting` to be read; if not, `waiter` is called, in the reader's loop, once there is.

        Raises what `__anext__` raises, the end of the stream included.
        """
        queue = self._shared
        if self._closed:
            raise StopAsyncIteration
        while not queue.arm(waiter):
            self.waiting = queue.take_all()
            if self.waiting:
                return True
            error = queue.next_error()
            if error is not None:
                if isinstance(error, SlowConsumer):
                    self.close()
                # Anything else is told once: the connection may come back, and the reader decides whether to go on.
                raise error.copy()
            if queue.ended and not queue.has_items and queue.error is None:
                raise StopAsyncIteration
        return False

    def close(self) -> None:
        """End this subscription; what is queued is let go."""
        if not self._closed:
            self._closed = True
            self.waiting.clear()
            self._shared.clear()
            self._shared.end()
            self._detach(self._shared)
            self._keeps = None
