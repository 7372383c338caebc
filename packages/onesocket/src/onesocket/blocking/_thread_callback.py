"""A function that is called with every message, in a thread of its own."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from typing import Any

from .._threads import start_thread
from ..client._error_reporter import ErrorReporter
from ..client._user_code import refuse_awaitable
from ._subscription import Subscription


class ThreadErrorReporter(ErrorReporter):
    """Calls `on_error` at once, in the thread in which the exception was raised."""

    def _schedule(self, error: BaseException) -> None:
        self._call_on_error(error)


class ThreadCallback:
    """Calls a function in one thread, with one message after the other, and reports what it raises."""

    def __init__(self, function: Callable[[Any], Any], reporter: ErrorReporter) -> None:
        self.function = function
        self._error_reporter = reporter
        self._stream: Subscription[Any] | None = None
        self._thread: threading.Thread | None = None

    def __repr__(self) -> str:
        return f"<ThreadCallback {self._name}>"

    @property
    def _name(self) -> str:
        """Name of the function, for reports."""
        return getattr(self.function, "__qualname__", None) or repr(self.function)

    def start(self, stream: Subscription[Any]) -> None:
        """Begin to call it with the messages of this stream."""
        self._stream = stream
        self._thread = threading.Thread(target=self._run, args=(stream,), name="onesocket callback", daemon=True)
        start_thread(self._thread)

    def stop(self, seconds: float = 1.0) -> None:
        """Call it no more; waits so many seconds for a call that is under way."""
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
                        answer = self.function(message)
                        if answer is not None:
                            refuse_awaitable(answer, "onesocket.blocking", "use onesocket.join()")
                except Exception as error:  # noqa: BLE001 - a subscriber's exception harms no other subscriber
                    self._error_reporter.report(error, self._name)
                else:
                    return
        except BaseException as error:  # noqa: BLE001 - sys.exit(), which ends a thread without a message
            self._error_reporter.report(error, f"{self._name}, which is called no more,")
        finally:
            stream.close()  # or its unread messages would hold all readers back
