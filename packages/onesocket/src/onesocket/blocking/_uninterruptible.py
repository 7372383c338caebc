"""Work in a thread of its own: Ctrl-C comes to the main thread alone, at any line; half-done is worse than undone."""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Callable
from typing import Generic, TypeVar, cast

from ._waiting import OneShotEvent

T = TypeVar("T")


def uninterruptible(work: Callable[[], T], undo: Callable[[T], object]) -> T:
    """What `work` returns or raises. Interrupted by Ctrl-C, `undo` is called with what it returned, or will return."""
    if threading.current_thread() is not threading.main_thread():
        return work()
    piece = _UninterruptibleCall(work, undo)
    context = contextvars.copy_context()
    thread = threading.Thread(target=context.run, args=(piece.do,), name="onesocket aside", daemon=True)
    try:
        try:
            thread.start()
        except RuntimeError:  # there are no more threads: too many, or the interpreter ends
            piece.do()
        while not piece.done.wait(threading.TIMEOUT_MAX):
            pass
        error = piece.error
        if error is None:
            return cast("T", piece.result)
    except BaseException:
        piece.give_up()
        raise
    raise error


class _UninterruptibleCall(Generic[T]):
    """The work, and who undoes it: whoever of the two threads is the last to hear that it's unwanted."""

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
        return f"<_Piece {'unwanted' if self._is_unwanted else 'done' if self._is_done else 'under way'}>"

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
