"""SIGINT and SIGTERM for a command that runs until it is stopped."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal


class StopSignal(asyncio.Event):
    """An event that the first SIGINT or SIGTERM sets; the second one ends the process at once, with `status`."""

    def __init__(self, last_words: str = "") -> None:
        """`last_words`: written to stderr at the second signal. To be made on a running event loop."""
        super().__init__()
        self.status = 0
        """128 + the number of the last signal; 0 before the first one."""
        self._last_words = last_words.encode()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            try:
                loop.add_signal_handler(number, self._signalled, number)
            except NotImplementedError:  # Windows: Ctrl-C only
                signal.signal(number, lambda got, _frame: loop.call_soon_threadsafe(self._signalled, got))

    def _signalled(self, number: int) -> None:
        self.status = 128 + number
        if self.is_set():
            with contextlib.suppress(OSError):
                os.write(2, self._last_words)
            os._exit(self.status)  # the kernel closes the sockets
        self.set()
