"""Who watches the state: streams and callbacks that get every change, in order."""

from __future__ import annotations

import asyncio
import inspect
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from ..errors import ClientClosed, InvalidOption, WaitTimeout
from ..lifecycle.states import State
from .fanout import HARMLESS
from .queue import Overflow, Queue
from .status import Change
from .subscription import Subscription
from .trouble import Trouble

# Changes of state are few; whoever lets so many pile up is told so instead of missing one.
_LIMIT = 10_000


@dataclass(eq=False, slots=True)
class _Watcher:
    """One registration: the same function may be registered twice, and be taken off once."""

    callback: Callable[[Change], object]


class Changes:
    """The watchers of one client."""

    def __init__(self, trouble: Trouble) -> None:
        self._trouble = trouble
        self._queues: dict[Queue[Change], None] = {}
        self._watchers: list[_Watcher] = []
        self._untold: deque[Change] = deque()
        self._closed = False

    def __repr__(self) -> str:
        return f"<Changes streams={len(self._queues)} callbacks={len(self._watchers)} untold={len(self._untold)}>"

    def tell(self, change: Change) -> None:
        """Something changed; CLOSED is the last that is told."""
        self._closed = change.new is State.CLOSED
        for queue in tuple(self._queues):
            queue.put(change)
            if self._closed:
                queue.end()
        if self._watchers:
            self._untold.append(change)
            # Soon, not now: the runner is in the middle of something. Whichever call comes first tells all, in order.
            asyncio.get_running_loop().call_soon(self._call_watchers)

    def stream(self) -> Subscription[Change]:
        """Every change from now on; ends after CLOSED."""
        queue: Queue[Change] = Queue(_LIMIT, Overflow.FAIL)
        self._queues[queue] = None
        if self._closed:
            queue.end()
        return Subscription(queue, lambda gone: self._queues.pop(gone, None))

    async def wait_for(self, states: tuple[State, ...], timeout: float | None, now: Callable[[], State]) -> State:
        """Wait for one of these states and return it, at once if it is one of them `now`."""
        if not states:
            raise InvalidOption("wait_for() needs at least one state")
        if now() in states:
            return now()
        try:
            async with asyncio.timeout(timeout), self.stream() as stream:
                async for change in stream:
                    if change.new in states:
                        return change.new
        except TimeoutError:
            wanted = " or ".join(state.name for state in states)
            raise WaitTimeout(f"not {wanted} within {timeout:g} s; it is {now().name}") from None
        raise ClientClosed(f"it was closed, and so can't become {' or '.join(state.name for state in states)} any more")

    def on_change(self, callback: object) -> Callable[[], None]:
        """Call it with every change; returns the function that takes it off again."""
        if not callable(callback):
            raise InvalidOption(f"on_change() needs a function, not {type(callback).__name__}")
        if inspect.iscoroutinefunction(callback):
            raise InvalidOption("on_change() needs a plain function; for a coroutine: async for change in changes()")
        watcher = _Watcher(callback)
        self._watchers.append(watcher)

        def remove() -> None:
            if watcher in self._watchers:
                self._watchers.remove(watcher)

        return remove

    def _call_watchers(self) -> None:
        while self._untold:
            change = self._untold.popleft()
            for watcher in tuple(self._watchers):
                try:
                    watcher.callback(change)
                except HARMLESS as error:
                    self._trouble.report(error, getattr(watcher.callback, "__qualname__", repr(watcher.callback)))
