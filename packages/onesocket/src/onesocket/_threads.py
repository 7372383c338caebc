"""Threads of the library, where the system may refuse one."""

from __future__ import annotations

import threading

from .errors import OutOfResources


def start_thread(thread: threading.Thread) -> None:
    """Start it. Raises `OutOfResources` if the system or the interpreter has no further thread for this process."""
    try:
        thread.start()
    except RuntimeError as error:
        raise thread_refusal(error) from error


def thread_refusal(error: RuntimeError) -> OutOfResources:
    """The error for a thread that can't be started."""
    return OutOfResources(f"this process can have no further thread ({error}): end some, or raise its limit")


def is_thread_refusal(error: BaseException) -> bool:
    """True for the error of a thread that can't be started, as an executor passes it on."""
    return isinstance(error, RuntimeError) and str(error).startswith("can't start new thread")
