"""A function that is called with every message, in a thread of its own."""

from __future__ import annotations

import contextlib
import inspect
import logging
import threading
from collections.abc import Callable
from typing import Any

from ..errors import InvalidOption
from ._subscription import Subscription

_log = logging.getLogger("onesocket")
ErrorHandler = Callable[[BaseException], object] | None


class ThreadCallback:
    """One thread, one message after the other; whatever the function raises is reported, and hurts nobody else."""

    def __init__(self, function: Callable[[Any], Any], on_error: ErrorHandler) -> None:
        if not callable(function):  # pyright: ignore[reportUnnecessaryComparison]
            raise InvalidOption(f"on() needs a function, not {type(function).__name__}")
        if inspect.iscoroutinefunction(function):
            raise InvalidOption("on() of a blocking link needs a plain function; coroutines are for onesocket.join()")
        self._function = function
        self._on_error = on_error
        self._stream: Subscription[Any] | None = None
        self._thread: threading.Thread | None = None

    def __repr__(self) -> str:
        return f"<Callback {getattr(self._function, '__qualname__', self._function)}>"

    def start(self, stream: Subscription[Any]) -> None:
        """Begin to call it with what comes on this stream."""
        self._stream = stream
        self._thread = threading.Thread(target=self._run, args=(stream,), name="onesocket callback", daemon=True)
        self._thread.start()

    def stop(self, seconds: float = 1.0) -> None:
        """Call it no more; the message that it's at may take so long."""
        if self._stream is not None:
            self._stream.close()
        if self._thread is not None and self._thread is not threading.current_thread():
            with contextlib.suppress(RuntimeError):  # Ctrl-C came before it was started
                self._thread.join(seconds)

    def _run(self, stream: Subscription[Any]) -> None:
        try:
            while not stream.is_closed:
                try:
                    for message in stream:
                        self._function(message)
                except Exception as error:  # noqa: BLE001 - a subscriber's exception harms nobody else
                    report_error(error, repr(self), self._on_error)
                else:
                    return
        except BaseException as error:  # noqa: BLE001 - sys.exit(), which ends a thread without a word
            report_error(error, f"{self!r}, which is called no more,", self._on_error)
        finally:
            stream.close()  # or what nobody reads would hold everybody back


def report_error(error: BaseException, source: str, on_error: ErrorHandler) -> None:
    """Log what nobody awaits, and tell `on_error`, in this thread."""
    _log.error("%s failed: %s", source, type(error).__name__, exc_info=error)
    if on_error is not None:
        try:
            on_error(error)
        except Exception:  # noqa: BLE001 - an error handler that fails has nobody left to tell
            _log.exception("on_error itself failed")
