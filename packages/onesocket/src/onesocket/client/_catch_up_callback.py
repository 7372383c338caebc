"""A plain function as a subscriber, put on when messages wait for it already."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, Final

from ._sinks import Sink, name_of
from ._user_code import USER_ERRORS

SLICE: Final = 128
"""Number of waiting messages delivered in one turn of the loop."""


class CatchUpCallback:
    """Calls `callback` with what waited, from the next turn of the loop on: by then its caller has its `remove`.

    What comes meanwhile is behind that; once nothing waits any more, the callback itself is the sink.
    """

    def __init__(self, callback: Sink, waited: Iterable[Any], add: Callable[[Sink], Callable[[], None]]) -> None:
        self._callback = callback
        self._items = deque(waited)
        self._add = add
        self._take_off = add(self._items.append)
        self._is_on = True

    def __repr__(self) -> str:
        return f"<CatchUpCallback {name_of(self._callback)} waiting={len(self._items)}>"

    def begin(
        self, soon: Callable[[Callable[[], None]], object], report: Callable[[BaseException, str], None]
    ) -> Callable[[], None]:
        """Begin in the next turn of the loop; returns the function that takes the callback off again."""

        def catch_up() -> None:
            try:
                for _ in range(min(SLICE, len(self._items))):
                    if not self._items:
                        break
                    try:
                        self._callback(self._items.popleft())
                    except USER_ERRORS as error:
                        report(error, name_of(self._callback))
            finally:  # what ends the program takes no message along, should the loop go on
                if self._is_on and self._items:
                    soon(catch_up)
                elif self._is_on:
                    self._take_off()
                    self._take_off = self._add(self._callback)

        soon(catch_up)
        return self._remove

    def _remove(self) -> None:
        self._is_on = False
        self._items.clear()
        self._take_off()
