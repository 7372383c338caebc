"""SIGINT and SIGTERM for a command that serves until it is stopped."""

from __future__ import annotations

import asyncio
import os
import signal


def stop_signal() -> asyncio.Event:
    """Return an event that the first SIGINT or SIGTERM sets; the second one ends the process with 128 + its number."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def signalled(number: int) -> None:
        if stop.is_set():
            os._exit(128 + number)
        stop.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        try:
            loop.add_signal_handler(number, signalled, number)
        except NotImplementedError:  # Windows
            signal.signal(number, lambda got, _frame: loop.call_soon_threadsafe(signalled, got))
    return stop
