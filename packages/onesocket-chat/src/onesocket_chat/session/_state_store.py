"""Holds the chat's state, and calls listeners after changes."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

from ..model._chat_state import ChatState


class StateStore:
    """The state as it is now. Listeners are called after each change, at once; they must not block."""

    def __init__(self) -> None:
        self.state = ChatState()
        self._listeners: list[Callable[[], object]] = []

    def __repr__(self) -> str:
        return f"<StateStore of {len(self.state.channels)} channels, {len(self._listeners)} listeners>"

    def change(self, change: Callable[[ChatState], ChatState]) -> None:
        """Replace the state by the result of `change`."""
        before = self.state
        self.state = change(before)
        if self.state is not before:
            self.notify()

    def listen(self, listener: Callable[[], object]) -> Callable[[], None]:
        """Call `listener` after each change; returns the function that removes it."""
        self._listeners.append(listener)

        def forget() -> None:
            with contextlib.suppress(ValueError):
                self._listeners.remove(listener)

        return forget

    def notify(self) -> None:
        """Call the listeners."""
        for listener in tuple(self._listeners):
            listener()
