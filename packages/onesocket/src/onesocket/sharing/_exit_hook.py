"""The end of a child process of `multiprocessing`: where it was forked, no `atexit` of its parent's is called."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable

from .._forking import was_forked

# Finalizers with a lower number run later: those of the program may still use a link.
_EXIT_PRIORITY = -1000


class ExitHook:
    """Calls `close` when this process ends, if it's such a child."""

    def __init__(self, close: Callable[[], None]) -> None:
        self._close = close
        self._is_watched = False

    def __repr__(self) -> str:
        return f"<Ending {'watched' if self._is_watched else 'not watched'}>"

    def watch(self) -> None:
        """There is something to close from now on."""
        process = sys.modules.get("multiprocessing.process")  # imported in every child
        util = sys.modules.get("multiprocessing.util")
        if self._is_watched or process is None or util is None or process.parent_process() is None or _is_spawned():
            return
        self._is_watched = True
        util.Finalize(None, self._begin, exitpriority=_EXIT_PRIORITY)

    def _begin(self) -> None:
        """The child's function has returned. Up to Python 3.12 its threads are awaited after this, not before."""
        if _other_non_daemon_threads():
            threading.Thread(target=self._close_later, name="onesocket ending", daemon=False).start()
        else:
            self._close()

    def _close_later(self) -> None:
        while threads := _other_non_daemon_threads():
            for thread in threads:
                thread.join()
        self._close()


def _is_spawned() -> bool:
    """A child that was not forked: its `atexit` handlers are called, and may still use a link."""
    return "--multiprocessing-fork" in sys.orig_argv and not was_forked()


def _other_non_daemon_threads() -> list[threading.Thread]:
    """Those that keep the process from ending, but for the main one and this one."""
    spared = {threading.main_thread(), threading.current_thread()}
    return [thread for thread in threading.enumerate() if not thread.daemon and thread not in spared]
