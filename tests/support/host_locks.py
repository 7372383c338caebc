"""Helpers of tests that take the lock of a shared connection's owner."""

from __future__ import annotations

import os

from onesocket.sharing.host._owner_lock import OwnerLock


def keep(_lock: OwnerLock) -> None:
    """Store nothing: the test has the lock."""


def end_as_by_kill(lock: OwnerLock) -> None:
    """Close what the kernel closes when a process is killed."""
    os.close(lock.descriptor)
    lock.descriptor = -1
    if lock.notification_socket is not None:
        lock.notification_socket.close()
