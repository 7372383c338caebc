"""The callbacks of one client, by the functions that were registered."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from ..errors import InvalidOption
from ._reader_options import check_callback, check_event

F = TypeVar("F", bound=Callable[..., Any])

AddCallback = Callable[[str | None, Callable[[Any], Any]], Callable[[], None]]
"""Adds a callback for an event (None: for all messages), and returns the function that removes it."""


class Registrations:
    """Keeps for each registered callback the function that removes it: `on()` returns the callback itself."""

    __slots__ = ("_entries",)

    def __init__(self) -> None:
        self._entries: list[tuple[Callable[..., Any], Callable[[], None]]] = []

    def __repr__(self) -> str:
        return f"<Registrations {len(self._entries)}>"

    def __len__(self) -> int:
        """Number of registered callbacks."""
        return len(self._entries)

    def on(self, event: object, callback: Callable[..., Any] | None, add: AddCallback) -> Callable[..., Any]:
        """The three forms of `on()`: with a callback, with an event and a callback, or as a decorator."""
        return register(event, callback, lambda name, function: self.add(function, add(name, function)))

    def add(self, callback: F, remove: Callable[[], None]) -> F:
        """Record a callback with the function that removes it, and return it."""
        self._entries.append((callback, remove))
        return callback

    def off(self, callback: Callable[..., Any]) -> None:
        """Remove the newest registration of this callback, if there is one."""
        for index in range(len(self._entries) - 1, -1, -1):
            if self._entries[index][0] == callback:
                self._entries.pop(index)[1]()
                return


def register(
    event: object, callback: Callable[..., Any] | None, add: Callable[[str | None, Callable[..., Any]], object]
) -> Callable[..., Any]:
    """Check the arguments of `on()`, call `add` with the event and the callback, and return that, or a decorator."""
    if callable(event):
        if callback is not None:
            raise InvalidOption("on() takes an event name and one callback, not two callbacks")
        event, callback = None, event
    name = check_event(event)

    def on(callback: F) -> F:
        check_callback(callback)
        add(name, callback)
        return callback

    return on if callback is None else on(callback)
