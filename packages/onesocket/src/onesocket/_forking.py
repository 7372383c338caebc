"""Everything that a fork needs: what is paused before it, and what is released and reset in the child.

A copy of a descriptor keeps alive what it stands for: a connection that its owner closes or resets stays open at the
server, a lock stays held. In a child each of them is replaced by the null device: the number stays taken, so whatever
closes it later closes nothing of the child's, and an event loop that the child inherited can neither write to the
parent's stream nor take it out of an epoll that both share. `exec` is no case of this: all of them are close-on-exec.

Before a fork, threads that hold a lock (of imports, of the C library) are waited for: a child inherits locks as they
are, and the threads that would release them do not exist there.
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
import weakref
from collections.abc import Callable, Iterable
from typing import Any, Final, Protocol

_CAN_FORK: Final = hasattr(os, "register_at_fork")


class ForkAware(Protocol):
    """An object that has to know that it lives in a forked child."""

    def forked(self) -> None:
        """Called once in the child, in the fork itself: note it, and call nothing of the program's."""
        ...


class DescriptorHolder(ForkAware, Protocol):
    """An object with descriptors, besides `ForkSafeSocket`s, that a child must not keep."""

    def file_descriptors(self) -> Iterable[int]:
        """All of them, in the order of their release; a lock last: it's held for as long as any socket is."""
        ...


FORK_LOCK: Final = threading.RLock()
"""Held while a descriptor is opened and registered, so that no fork comes in between."""
_process_token: Final = [object()]
_sockets: Final[weakref.WeakSet[ForkSafeSocket]] = weakref.WeakSet()
_holders: Final[weakref.WeakSet[DescriptorHolder]] = weakref.WeakSet()
_fork_aware: Final[weakref.WeakSet[ForkAware]] = weakref.WeakSet()
_pauses: Final[list[Callable[[], Callable[[], None]]]] = []
_resets: Final[list[Callable[[], None]]] = []
_fork_turn = threading.Lock()
"""Threads fork one after the other: the second would wait for a stand that only the first one ends."""
_resume: list[Callable[[], None]] = []
"""The functions that end the pause of the fork under way."""


class ForkSafeSocket(socket.socket):
    """A socket that no forked child keeps, from its first moment to its last; so are those that it accepts.

    To listen, it has to be non-blocking: a fork waits for `accept`.
    """

    __slots__ = ("_inode",)

    def __init__(self, *args: Any, **options: Any) -> None:
        with FORK_LOCK:
            super().__init__(*args, **options)
            # The descriptor may be closed without this object, and its number be given to another file.
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
        """True if the socket still has the descriptor that it was made with."""
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


def pause_before_fork(pause: Callable[[], Callable[[], None]]) -> None:
    """Call `pause` before every fork, and the function that it returns after it, in the parent."""
    _pauses.append(pause)


def reset_in_child(reset: Callable[[], None]) -> None:
    """Call `reset` in every forked child, once the parent's descriptors have been released there."""
    _resets.append(reset)


class ForkGuard:
    """Blocks `os.fork()` while a lock-holding operation runs, so that a child never inherits a locked mutex.

    An operation is a ``with guard.operation():`` block, in any thread, which may be nested; operations that would begin
    during a fork wait for its end. Only locks of the interpreter are entered, so Ctrl-C leaves none of them held.
    """

    def __init__(self) -> None:
        self._gate = threading.RLock()
        """Held during a fork."""
        self._operations: dict[int, threading.RLock] = {}
        """A lock for each thread, held during its operations, and by a fork."""
        self._held: list[threading.RLock] = []

    def operation(self) -> threading.RLock:
        """The lock to hold during an operation of this thread."""
        with self._gate:
            return self._operations.setdefault(threading.get_ident(), threading.RLock())

    def pause_for_fork(self, seconds: float) -> None:
        """Let no operation begin, and wait up to `seconds` for those of other threads."""
        end = time.monotonic() + seconds
        self._gate.acquire()
        for thread, lock in self._operations.items():
            if thread != threading.get_ident() and lock.acquire(timeout=max(0.0, end - time.monotonic())):
                self._held.append(lock)

    def resume_after_fork(self) -> None:
        """Let operations begin again; in the thread that paused them."""
        while self._held:
            self._held.pop().release()
        self._gate.release()


def was_forked() -> bool:
    """True in a forked child of a process that had imported this module."""
    return _process_token[0] is not _first_token


def _before_fork() -> None:
    _fork_turn.acquire()
    _resume[:] = [pause() for pause in _pauses]
    FORK_LOCK.acquire()  # last, as a thread may need it to come to a stand


def _after_fork_in_parent() -> None:
    FORK_LOCK.release()
    for resume in reversed(_resume):
        resume()
    _resume.clear()
    _fork_turn.release()


def _after_fork_in_child() -> None:
    global _fork_turn  # noqa: PLW0603 - the parent's is locked
    _fork_turn = threading.Lock()
    _resume.clear()
    try:
        _process_token[0] = object()
        found = [sock.fileno() for sock in _sockets if sock.is_open()]
        for holder in list(_holders):
            with contextlib.suppress(Exception):
                found.extend(holder.file_descriptors())
        members = list(_fork_aware)
        for registered in (_sockets, _holders, _fork_aware):
            registered.clear()
        replace_with_null_device(found)
        for member in members:
            with contextlib.suppress(Exception):
                member.forked()
    finally:
        FORK_LOCK.release()
    for reset in _resets:
        reset()


_first_token: Final = _process_token[0]

if _CAN_FORK:
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child)
