"""Reports exceptions that no caller awaits: of subscribers, of watchers, of messages that were not delivered."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from ..errors import InvalidOption
from ._user_code import is_async, refuse_awaitable

_log = logging.getLogger("onesocket")


def one_line(text: str) -> str:
    """`text` without what could forge a line in a log or steer a terminal: a peer's close reason may be in it."""
    return "".join(character if character.isprintable() else " " for character in text)


ErrorHandler = Callable[[BaseException], object]


def check_on_error(value: object) -> ErrorHandler | None:
    """`value` as the function of `on_error=`; raises `InvalidOption`."""
    if value is None:
        return None
    if not callable(value):
        raise InvalidOption(f"on_error must be a function, not {type(value).__name__}")
    if is_async(value):
        raise InvalidOption("on_error must be a plain function, not a coroutine function: nothing would await it")
    return value


class ErrorReporter:
    """Counts exceptions, logs them, and passes them to `on_error`."""

    __slots__ = ("_on_error", "_shown_url", "count")

    def __init__(self, shown_url: str, on_error: ErrorHandler | None) -> None:
        self._shown_url = shown_url
        self._on_error = check_on_error(on_error)
        self.count = 0

    def __repr__(self) -> str:
        return f"<ErrorReporter {self.count}>"

    def report(self, error: BaseException, source: str, log: bool = True) -> None:  # noqa: FBT001, FBT002 - a callback
        """`source` raised this; `log`: not just one more of the same."""
        self.count += 1
        level = logging.ERROR if log else logging.DEBUG
        _log.log(level, "%s: %s failed: %s", self._shown_url, source, type(error).__name__, exc_info=error)
        if self._on_error is not None:
            self._schedule(error)

    def _schedule(self, error: BaseException) -> None:
        # Soon, not now: the client may be in the middle of something.
        asyncio.get_running_loop().call_soon(self._call_on_error, error)

    def _call_on_error(self, error: BaseException) -> None:
        try:
            if self._on_error is not None:
                refuse_awaitable(self._on_error(error), "on_error=")
        except Exception:  # noqa: BLE001 - an error handler that fails can't be reported to the program
            _log.exception("%s: on_error itself failed", self._shown_url)
