"""The lock that decides who owns the connection.

`flock`, not POSIX record locks: those vanish when the process closes *any* descriptor of the file, and a forked child
that keeps a copy of the socket would not keep the lock. With `flock` both are inherited alike, so the lock is held for
as long as anybody can hold the socket.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
import stat
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeAlias

from ... import forking
from .directory import Place
from .errors import NoRuntimeDirectory

if sys.platform != "win32":  # where nobody gets further than `NoRuntimeDirectory`
    import fcntl

Identity: TypeAlias = tuple[int, int]
"""Device and inode."""
_RECORD_BYTES: Final = 128
# A dying process releases lock and sockets in no stated order, within microseconds of each other; this bounds a bug.
_LONGEST_DYING: Final = 2.0
_TRIES: Final = 10


@dataclass(frozen=True, slots=True)
class Predecessor:
    """Who held the lock and did not release it in order."""

    pid: int
    started: str
    epoch: int

    def is_gone(self) -> bool:
        """Whether the kernel has closed everything it had."""
        if self.pid in (0, os.getpid()):
            return True
        if not hasattr(os, "pidfd_open"):
            try:
                os.kill(self.pid, 0)
            except ProcessLookupError:
                return True
            except PermissionError:
                pass
            return False
        try:
            handle = os.pidfd_open(self.pid)
        except OSError:
            return True
        try:
            if self.started != started(self.pid):
                return True  # another process has the number now
            poll = select.poll()
            poll.register(handle, select.POLLIN)
            return bool(poll.poll(0))
        finally:
            os.close(handle)


def started(pid: int) -> str:
    """When this process began, in ticks since the machine did; ``-`` where nobody says."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
        return text.rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return "-"


class OwnerLock:
    """Held from `acquire` or `take_over` to `release`, or to the death of the process."""

    def __init__(self, place: Place, descriptor: int, identity: Identity, predecessor: Predecessor | None) -> None:
        self._place = place
        self.descriptor = descriptor
        self.identity = identity
        self.predecessor = predecessor

    def __repr__(self) -> str:
        return f"<OwnerLock {self._place.name} {'held' if self.descriptor >= 0 else 'released'}>"

    @classmethod
    def acquire(cls, place: Place, keep: Callable[[OwnerLock], None]) -> OwnerLock | None:
        """The lock, if it's free, else None. `keep` notes it before any fork can come in between.

        Raises `NoRuntimeDirectory`.
        """
        with forking.BARRIER:
            for _ in range(_TRIES):
                descriptor = _open(place.lock)
                if not _lock(descriptor):
                    os.close(descriptor)
                    return None
                identity = _identity(os.fstat(descriptor))
                if identity == identity_of(place.lock):
                    lock = cls(place, descriptor, identity, _read(descriptor))
                    keep(lock)
                    return lock
                os.close(descriptor)  # replaced just now
        return None

    @classmethod
    def take_over(cls, place: Place, seen: Identity | None, keep: Callable[[OwnerLock], None]) -> OwnerLock | None:
        """Put a lock of ours in the place of the stopped owner's, the one that was `seen`; None: somebody was quicker.

        The old owner finds that its lock is not in its place any more. Raises `NoRuntimeDirectory`.
        """
        with forking.BARRIER:
            fence = _open(place.fence)
            try:
                if not _lock(fence) or seen is None or identity_of(place.lock) != seen:
                    return None
                last = _peek(place.lock)
                new = place.directory / f"{place.name}.{os.getpid()}.new"
                with contextlib.suppress(FileNotFoundError):
                    new.unlink()
                descriptor = _open(new)
                if not _lock(descriptor):  # nobody else knows its name
                    os.close(descriptor)
                    return None
                new.rename(place.lock)
                with contextlib.suppress(OSError):
                    # It leads to the stopped one: who asked there would take the silence for that of the new owner.
                    place.socket.unlink()
                # Whom we replace is not gone, and we don't wait for it; its epochs go on.
                before = Predecessor(0, "-", 0 if last is None else last.epoch)
                lock = cls(place, descriptor, _identity(os.fstat(descriptor)), before)
                keep(lock)
                return lock
            finally:
                os.close(fence)

    async def predecessor_gone(self) -> None:
        """Wait until the one before us can't hold a socket any more."""
        before = self.predecessor
        end = time.monotonic() + _LONGEST_DYING
        while before is not None and not before.is_gone() and time.monotonic() < end:  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.001)
        self.note(0 if before is None else before.epoch)

    def note(self, epoch: int) -> None:
        """Write down who holds it, and how far the epochs are."""
        self._write(f"{os.getpid()} {started(os.getpid())} {epoch}")

    def _write(self, record: str) -> None:
        if self.descriptor >= 0:
            with contextlib.suppress(OSError):  # a full disk: the record helps, the lock decides
                os.pwrite(self.descriptor, (record.ljust(_RECORD_BYTES - 1) + "\n").encode(), 0)

    def is_ours(self) -> bool:
        """Whether it still is *the* lock: nobody replaced it, and no cleaner removed it."""
        return self.descriptor >= 0 and identity_of(self._place.lock) == self.identity

    def refresh(self) -> None:
        """Let cleaners of old files see that it's in use."""
        with contextlib.suppress(OSError):
            os.utime(self.descriptor)

    def release(self, epoch: int = 0) -> None:
        """Let go in order. `epoch`: how far the epochs are, if the connection's story goes on. Idempotent."""
        self._write(f"0 - {epoch}")
        with forking.BARRIER:
            descriptor, self.descriptor = self.descriptor, -1
            if descriptor >= 0:
                os.close(descriptor)


def identity_of(path: Path) -> Identity | None:
    """Which file is there now; None: none."""
    try:
        return _identity(os.lstat(path))
    except OSError:
        return None


def _identity(found: os.stat_result) -> Identity:
    return found.st_dev, found.st_ino


def _open(path: Path) -> int:
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise NoRuntimeDirectory(f"the lock {path} can't be opened: {error.strerror}") from error
    found = os.fstat(descriptor)
    if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid():
        os.close(descriptor)
        raise NoRuntimeDirectory(f"the lock {path} is no file of ours; remove it")
    return descriptor


def _lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        raise NoRuntimeDirectory(f"this file system has no locks: {error.strerror}; use a local one") from error
    return True


def _read(descriptor: int) -> Predecessor | None:
    parts = os.pread(descriptor, _RECORD_BYTES, 0).split()
    try:
        pid, since, epoch = parts
        return Predecessor(int(pid), since.decode("ascii"), int(epoch))
    except ValueError:
        return None


def _peek(path: Path) -> Predecessor | None:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return None
    try:
        return _read(descriptor)
    finally:
        os.close(descriptor)
