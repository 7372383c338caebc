"""A plain function as a subscriber, called in the turn of the loop that reads the message."""

from __future__ import annotations

import inspect
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Final

from ._async_callback import AsyncCallback
from ._queue import DEFAULT_LIMIT, Overflow
from ._sinks import Sink, name_of
from ._user_code import USER_ERRORS

SLICE: Final = 128
"""Number of waiting messages delivered in one turn of the loop."""

QueueUp = Callable[[Awaitable[Any], Iterable[Any]], AsyncCallback]
"""Makes the callback one that is awaited in a task, behind the given answer and messages."""


class DirectCallback:
    """Calls `callback` with each message.

    What waited for it is called from the next turn of the loop on, with what comes meanwhile behind that; from then on
    the function itself is the sink. Once it returns an awaitable, that is awaited, and further messages queue up.
    """

    def __init__(
        self,
        event: str | None,
        callback: Sink,
        add: Callable[[Sink, Sink], Callable[[], None]],
        queue_up: QueueUp,
        report: Callable[[BaseException, str], None],
    ) -> None:
        """`add`: adds a sink for messages and one for gap markers; returns the function that removes both."""
        self.event = event
        self.callback = callback
        self.awaits: AsyncCallback | None = None
        """The task that calls it, once it has returned an awaitable."""
        self.limit = DEFAULT_LIMIT
        self.overflow = Overflow.FAIL
        self.marks_gaps = False
        self._add = add
        self._queue_up = queue_up
        self._report = report
        self._items: deque[Any] = deque()
        self._is_on = True
        self._remove_sink: Callable[[], None] = _nothing

    def __repr__(self) -> str:
        return f"<DirectCallback {name_of(self.callback)} waiting={len(self._items)}>"

    def start(self, waited: Iterable[Any], soon: Callable[[Callable[[], None]], object]) -> None:
        """Begin: at once, or behind the messages that waited, in the next turn of the loop."""
        items = self._items = deque(waited)
        if not items:
            self._remove_sink = self._add(self.callback, self.call)
            return

        def catch_up() -> None:
            try:
                for _ in range(min(SLICE, len(items))):
                    if not items:
                        break
                    self.call(items.popleft())
            finally:  # what ends the program takes no message along, should the loop go on
                if self._is_on and self.awaits is None:
                    if items:
                        soon(catch_up)
                    else:
                        self._remove_sink()
                        self._remove_sink = self._add(self.callback, self.call)

        self._remove_sink = self._add(items.append, items.append)
        soon(catch_up)

    def call(self, item: Any) -> None:
        """Call it with one message or gap marker, and have an awaitable that it returns awaited."""
        try:
            answer = self.callback(item)
        except USER_ERRORS as error:
            self._report(error, name_of(self.callback))
        else:
            if answer is not None and inspect.isawaitable(answer):
                self.await_answer(answer)

    def await_answer(self, answer: Awaitable[Any]) -> None:
        """From now on a task awaits what the callback returns, before the next message."""
        self._remove_sink()
        self.awaits = self._queue_up(answer, tuple(self._items))
        self._items.clear()
        if not self._is_on:  # it has removed itself in this call, which it finishes
            self.awaits.finish()

    def remove(self) -> None:
        """Call it no more."""
        self._is_on = False
        self._items.clear()
        self._remove_sink()
        if self.awaits is not None:
            self.awaits.remove()


def _nothing() -> None:
    pass
