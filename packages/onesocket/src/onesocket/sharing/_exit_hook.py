"""Closes the connections of a `multiprocessing` child that was forked: no `atexit` handler runs there."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable

from .._forking import was_forked

# Finalizers with a lower number run later: those of the program may still use a shared client.
_EXIT_PRIORITY = -1000


class ExitHook:
    """Calls `close` at the end of this process, if it is a forked child of `multiprocessing`."""

    def __init__(self, close: Callable[[], None]) -> None:
        self._close = close
        self._is_watched = False

    def __repr__(self) -> str:
        return f"<ExitHook {'watched' if self._is_watched else 'not watched'}>"

    def watch(self) -> None:
        """Register the hook, now that there is a connection to close."""
        process = sys.modules.get("multiprocessing.process")  # imported in every child
        util = sys.modules.get("multiprocessing.util")
        if self._is_watched or process is None or util is None or process.parent_process() is None or _is_spawned():
            return
        self._is_watched = True
        util.Finalize(None, self._begin, exitpriority=_EXIT_PRIORITY)

    def _begin(self) -> None:
        """The child's function has returned. Up to Python 3.12 its threads are awaited after this, not before."""
        if _other_non_daemon_threads():
            threading.Thread(target=self._close_later, name="onesocket exit", daemon=False).start()
        else:
            self._close()

    def _close_later(self) -> None:
        while threads := _other_non_daemon_threads():
            for thread in threads:
                thread.join()
        self._close()


def _is_spawned() -> bool:
    """True for a child that was not forked: its `atexit` handlers are called, and may still use a shared client."""
    return "--multiprocessing-fork" in sys.orig_argv and not was_forked()


def _other_non_daemon_threads() -> list[threading.Thread]:
    """The threads that keep the process from ending, except for the main one and this one."""
    spared = {threading.main_thread(), threading.current_thread()}
    return [thread for thread in threading.enumerate() if not thread.daemon and thread not in spared]
