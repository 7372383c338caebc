"""Serializes input, so that keys take effect in the order in which they were typed."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Final

from textual import events
from textual.app import App
from textual.dom import DOMNode

from .model._safe_text import JOINERS

_SETTLE_ROUNDS: Final = 3
"""Times that `InputSettled` travels from the focused widget to the application: a key becomes an action, the action a
message, and the message another one that opens a channel."""
_CHECK_INTERVAL: Final = 0.5
"""Seconds between two checks whether the widget was removed with its queue, so that no `InputSettled` returns."""
_MAX_CHECKS: Final = 20
"""Checks after which the next key is handled in any case."""


class InputSettled(events.Event, bubble=True):
    """Follows a key through the queues of all widgets that may handle it, up to the application."""

    def __init__(self, number: int, target: DOMNode) -> None:
        super().__init__()
        self.number = number
        self.target = target


class InputOrder:
    """Passes keys, pastes and clicks to the application, each after the effect of the previous one.

    Textual passes a key to the widget that is focused when the key arrives, and runs bindings when the key has come
    back from there, or, with priority, at once. So fast input over a slow terminal would be reordered: text goes to
    the widget that was focused before Tab, Backspace deletes characters that were typed after it.
    """

    def __init__(self, app: App[None], handle: Callable[[events.Event], Awaitable[None]]) -> None:
        self._app = app
        self._handle = handle
        self._waiting: deque[events.Event] = deque()
        self._rounds = 0
        self._number = 0
        self._is_text = False
        self._followed: DOMNode | None = None
        self._overdue: asyncio.TimerHandle | None = None

    def __repr__(self) -> str:
        return f"<InputOrder waiting={len(self._waiting)} rounds={self._rounds}>"

    @property
    def is_idle(self) -> bool:
        """True if all input has had its effect."""
        return not self._rounds and not self._waiting

    @staticmethod
    def concerns(event: events.Event) -> bool:
        """True if the event is ordered input from the terminal."""
        kinds = (events.Key, events.Paste, events.MouseDown, events.MouseUp)
        return isinstance(event, kinds) and not event.is_forwarded

    async def take(self, event: events.Event) -> None:
        """Handle an event, now or after the events before it."""
        if isinstance(event, events.Key) and event.character is not None and event.character in JOINERS:
            event = events.Paste(event.character)  # a field would drop the key, as Python calls it not printable
        self._waiting.append(event)
        await self._dispatch_all()

    async def settled(self, event: InputSettled) -> None:
        """Handle a returned `InputSettled`: send it once more, or go on to the next event."""
        if event.number != self._number:
            return
        self._rounds -= 1
        target = self._target()
        if target is not None and (self._rounds or target is not event.target):
            self._rounds = max(self._rounds, 1)
            self._follow(target)
        else:
            await self._go_on()

    def close(self) -> None:
        """Cancel the check."""
        if self._overdue is not None:
            self._overdue.cancel()

    async def _go_on(self) -> None:
        self._rounds = 0
        self.close()
        await self._dispatch_all()

    async def _dispatch_all(self) -> None:
        # Text after text needs no waiting: both go into the same queue.
        while self._waiting and (not self._rounds or (self._is_text and self._is_text_now(self._waiting[0]))):
            await self._dispatch(self._waiting.popleft())

    async def _dispatch(self, event: events.Event) -> None:
        self._is_text = self._is_text_now(event)
        self._rounds = 1 if self._is_text else _SETTLE_ROUNDS
        try:
            await self._handle(event)
        finally:
            self._number += 1
            self.close()
            self._look_after(self._number, _MAX_CHECKS)
            target = self._target()
            if target is not None:
                self._follow(target)

    def _follow(self, target: DOMNode) -> None:
        self._followed = target
        target.post_message(InputSettled(self._number, target))

    def _look_after(self, number: int, looks: int) -> None:
        self._overdue = asyncio.get_running_loop().call_later(_CHECK_INTERVAL, self._look, number, looks)

    def _look(self, number: int, looks: int) -> None:
        if number != self._number:
            return
        if looks and self._followed is not None and self._followed.is_attached:
            self._look_after(number, looks - 1)  # it is slow
        else:
            self._app.call_later(self._go_on)

    def _target(self) -> DOMNode | None:
        stack = self._app.screen_stack
        return (stack[-1].focused or stack[-1]) if stack else None

    def _is_text_now(self, event: events.Event) -> bool:
        target = self._target()
        match event:
            case events.Key(key=key, character=character):
                focused = getattr(target, "check_consume_key", None)
                return focused is not None and bool(focused(key, character))
            case events.Paste():
                return True
            case _:
                return False
