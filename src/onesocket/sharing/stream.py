"""The stream of one reader on an event loop, fed from whatever thread the connection lives in."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any, TypeVar, cast

from ..client.gap import Gap
from ..client.subscription import Predicate, Subscription
from ..errors import SlowConsumer, UsageError
from .queue import SharedQueue

T = TypeVar("T")


class LinkSubscription(Subscription[T]):
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
        self._taken: deque[Any] = deque()

    def __len__(self) -> int:
        """Messages that wait to be read."""
        return len(self._taken) + len(self._shared.items)

    async def __anext__(self) -> T:
        """The next message, or a `Gap`. Raises `SlowConsumer`, or what made the connection fail."""
        where = self._where
        while True:
            if not self._taken:
                await self._more()
            item = self._taken.popleft()
            if where is None or isinstance(item, Gap) or where(item):
                return cast("T", item)

    async def _more(self) -> None:
        queue = self._shared
        while True:
            self._taken = queue.take_all()
            if self._taken:
                return
            error = queue.next_error()
            if error is not None and not self._closed:
                if isinstance(error, SlowConsumer):
                    self.close()
                # Anything else is told once: the connection may come back, and the reader decides whether to go on.
                raise error.copy()
            if queue.waiter is not None:
                raise UsageError("a subscription has one reader; subscribe() once for each task")
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            if queue.arm(waiter):
                try:
                    await waiter
                finally:
                    queue.disarm(waiter)
            elif (queue.ended or self._closed) and not queue.has_news and queue.error is None:
                raise StopAsyncIteration

    def close(self) -> None:
        """End this subscription; what is queued is let go."""
        if not self._closed:
            self._closed = True
            self._taken.clear()
            self._shared.clear()
            self._shared.end()
            self._detach(self._shared)
            self._keeps = None
