"""Releases a process's sockets and locks in its forked children.

A copy of a descriptor keeps alive what it stands for: a connection that its owner closes or resets stays open at the
server, a lock stays held. In a child each of them is replaced by the null device: the number stays taken, so whatever
closes it later closes nothing of the child's, and an event loop that the child inherited can neither write to the
parent's stream nor take it out of an epoll that both share. `exec` is no case of this: all of them are close-on-exec.
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import weakref
from collections.abc import Iterable
from typing import Any, Final, Protocol

_CAN_FORK: Final = hasattr(os, "register_at_fork")


class ForkAware(Protocol):
    """Has to be told that it lives in a forked child from now on."""

    def forked(self) -> None:
        """Called once in the child, in the fork itself: note it, and call nothing of the program's."""
        ...


class DescriptorHolder(ForkAware, Protocol):
    """Has descriptors, besides `ForkSafeSocket`s, that a child must not keep."""

    def file_descriptors(self) -> Iterable[int]:
        """All of them, in the order of their release; a lock last: it's held for as long as any socket is."""
        ...


FORK_LOCK: Final = threading.RLock()
"""Held while a descriptor is opened and registered, so that no fork comes in between."""
_process_token: Final = [object()]
_sockets: Final[weakref.WeakSet[ForkSafeSocket]] = weakref.WeakSet()
_holders: Final[weakref.WeakSet[DescriptorHolder]] = weakref.WeakSet()
_fork_aware: Final[weakref.WeakSet[ForkAware]] = weakref.WeakSet()


class ForkSafeSocket(socket.socket):
    """A socket that no forked child keeps, from its first moment to its last; so are those that it accepts.

    To listen, it has to be non-blocking: a fork waits for `accept`.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        with FORK_LOCK:
            super().__init__(*args, **options)
            # Whoever owns the descriptor may close it behind our back, and its number be given to another file.
            self._inode = os.fstat(self.fileno()).st_ino if _CAN_FORK else 0
            _sockets.add(self)

    def accept(self) -> tuple[ForkSafeSocket, Any]:
        """The next connection."""
        with FORK_LOCK:
            accepted, address = super().accept()
            return ForkSafeSocket(fileno=accepted.detach()), address

    def close(self) -> None:
        """Close it."""
        with FORK_LOCK:
            super().close()

    def is_open(self) -> bool:
        """Whether the socket's descriptor still is the one that it was made with."""
        if not _CAN_FORK:
            return self.fileno() >= 0
        try:
            return os.fstat(self.fileno()).st_ino == self._inode
        except OSError:
            return False


def process_token() -> object:
    """Stands for this process: another object in a forked child."""
    return _process_token[0]


def fork_safe_sockets() -> list[ForkSafeSocket]:
    """The guarded sockets of this process that are open."""
    with FORK_LOCK:
        return [sock for sock in _sockets if sock.is_open()]


def register_holder(holder: DescriptorHolder) -> None:
    """Release the descriptors of `holder` in every child, and tell it."""
    with FORK_LOCK:
        _holders.add(holder)
        _fork_aware.add(holder)


def register_fork_aware(member: ForkAware) -> None:
    """Tell `member` in every child."""
    with FORK_LOCK:
        _fork_aware.add(member)


def replace_with_null_device(descriptors: Iterable[int]) -> None:
    """Replace these by the null device, in order. Needs no spare descriptor, and closes them where it must."""
    numbers = list(dict.fromkeys(descriptors))
    if not numbers:
        return
    null = _null_device()
    if null < 0:  # the process has no descriptor left: the first of them makes room
        _close(numbers[0])
        null = _null_device()
    for number in numbers:
        if null < 0:
            _close(number)
        elif number != null:
            with contextlib.suppress(OSError):
                os.dup2(null, number, inheritable=False)
    if null >= 0 and null not in numbers:
        os.close(null)


def _null_device() -> int:
    try:
        return os.open(os.devnull, os.O_RDWR | getattr(os, "O_CLOEXEC", 0))
    except OSError:
        return -1


def _close(number: int) -> None:
    with contextlib.suppress(OSError):
        os.close(number)


def _after_fork_in_child() -> None:
    try:
        _process_token[0] = object()
        found = [sock.fileno() for sock in _sockets if sock.is_open()]
        for holder in list(_holders):
            with contextlib.suppress(Exception):
                found.extend(holder.file_descriptors())
        told = list(_fork_aware)
        for registered in (_sockets, _holders, _fork_aware):
            registered.clear()
        replace_with_null_device(found)
        for member in told:
            with contextlib.suppress(Exception):
                member.forked()
    finally:
        FORK_LOCK.release()


if _CAN_FORK:
    os.register_at_fork(
        before=FORK_LOCK.acquire, after_in_parent=FORK_LOCK.release, after_in_child=_after_fork_in_child
    )
