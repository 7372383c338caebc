"""Work that no fork may come into: the child would inherit locks, of imports or of the C library, held by nobody."""

from __future__ import annotations

import threading
from types import TracebackType


class ForkGuard:
    """``with undisturbed:`` in any thread; a fork waits for that, and what would begin meanwhile waits for the fork."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._at_work: list[int] = []
        self._is_fork = False

    def __enter__(self) -> None:
        """Begin."""
        me = threading.get_ident()
        with self._changed:
            self._changed.wait_for(lambda: not self._is_fork or me in self._at_work)
            self._at_work.append(me)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End."""
        with self._changed:
            self._at_work.remove(threading.get_ident())
            self._changed.notify_all()

    def pause_for_fork(self, seconds: float) -> None:
        """Before a fork: let nothing begin, and wait for what the other threads are at, for so long."""
        me = threading.get_ident()
        with self._changed:
            self._is_fork = True
            self._changed.wait_for(lambda: all(thread == me for thread in self._at_work), seconds)

    def resume_after_fork(self) -> None:
        """The fork is over."""
        with self._changed:
            self._is_fork = False
            self._changed.notify_all()
