"""Work that Ctrl-C can't leave half-done: it runs in a thread of its own, as signals come to the main thread alone."""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Callable
from typing import Generic, TypeVar, cast

from ._waiting import OneShotEvent

T = TypeVar("T")


def uninterruptible(work: Callable[[], T], undo: Callable[[T], object]) -> T:
    """The result of `work`. Interrupted by Ctrl-C, `undo` is called with the result, at once or when it is there."""
    if threading.current_thread() is not threading.main_thread():
        return work()
    call = _UninterruptibleCall(work, undo)
    context = contextvars.copy_context()
    thread = threading.Thread(target=context.run, args=(call.do,), name="onesocket uninterruptible", daemon=True)
    try:
        try:
            thread.start()
        except RuntimeError:  # there are no more threads: too many, or the interpreter ends
            call.do()
        while not call.done.wait(threading.TIMEOUT_MAX):
            pass
        error = call.error
        if error is None:
            return cast("T", call.result)
    except BaseException:
        call.give_up()
        raise
    raise error


class _UninterruptibleCall(Generic[T]):
    """The work, undone by the last of the two threads to learn that its result is unwanted."""

    def __init__(self, work: Callable[[], T], undo: Callable[[T], object]) -> None:
        self._work = work
        self._undo = undo
        self._lock = threading.Lock()
        self._is_unwanted = False
        self._is_done = False
        self.done = OneShotEvent()
        self.result: T | None = None
        self.error: BaseException | None = None

    def __repr__(self) -> str:
        return f"<_UninterruptibleCall {'unwanted' if self._is_unwanted else 'done' if self._is_done else 'running'}>"

    def do(self) -> None:
        try:
            self.result = self._work()
        except BaseException as error:  # noqa: BLE001 - it's raised where it was asked for
            self.error = error
        with self._lock:
            self._is_done = True
            is_unwanted = self._is_unwanted
        self.done.set()
        if is_unwanted:
            self._undo_it()

    def give_up(self) -> None:
        with self._lock:
            self._is_unwanted = True
            is_done = self._is_done
        if is_done:
            self._undo_it()

    def _undo_it(self) -> None:
        if self.error is None:
            self._undo(cast("T", self.result))
