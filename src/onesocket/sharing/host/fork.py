"""A forked child holds none of its parent's sockets and locks.

Copies of descriptors keep alive what they stand for: the connection, the followers' lines, the lock. In the child each
of them is replaced by /dev/null: the number stays taken, so whatever closes it later closes nothing of the child's.
"""

from __future__ import annotations

import contextlib
import os
import threading
import weakref
from collections.abc import Iterable
from typing import Final, Protocol


class Holder(Protocol):
    """Has descriptors that a child must not have."""

    def held(self) -> Iterable[int]:
        """All of them: sockets first, the lock last, so that it's held for as long as any socket is."""
        ...

    def forked(self) -> None:
        """We are in the child."""


BARRIER: Final = threading.RLock()
"""Held while a descriptor is opened and noted, so that no fork comes in between."""
_holders: Final[weakref.WeakSet[Holder]] = weakref.WeakSet()


def watch(holder: Holder) -> None:
    """Look after the descriptors of `holder` from now on."""
    with BARRIER:
        _holders.add(holder)


def _in_child() -> None:
    try:
        holders = list(_holders)
        _holders.clear()
        blank = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        for holder in holders:
            with contextlib.suppress(Exception):
                for descriptor in holder.held():
                    with contextlib.suppress(OSError):
                        os.dup2(blank, descriptor, inheritable=False)
            holder.forked()
        os.close(blank)
    finally:
        BARRIER.release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=BARRIER.acquire, after_in_parent=BARRIER.release, after_in_child=_in_child)
