"""The lock that decides who owns the connection.

`flock`, not POSIX record locks: those vanish when the process closes *any* descriptor of the file, and a forked child
that keeps a copy of the socket would not keep the lock. With `flock` both are inherited alike, so the lock is held for
as long as anybody can hold the socket.
"""

from __future__ import annotations

import asyncio
import contextlib
import enum
import os
import secrets
import select
import socket
import stat
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Self, TypeAlias

from ... import _forking as forking
from ._abstract_socket_lock import AbstractSocketLock
from ._errors import NoRuntimeDirectory, translate_os_error
from ._runtime_paths import RuntimePaths

if sys.platform != "win32":  # where nobody gets further than `NoRuntimeDirectory`
    import fcntl

FileIdentity: TypeAlias = tuple[int, int]
"""Device and inode."""
_RECORD_BYTES: Final = 128
# A dying process releases lock and sockets in no stated order, within microseconds of each other; this bounds a bug.
_MAX_EXIT_WAIT: Final = 2.0
_MAX_ATTEMPTS: Final = 10


@dataclass(frozen=True, slots=True)
class OwnerRecord:
    """Content of the lock file, written by the owner."""

    pid: int
    """0: it has let go in order."""
    process_start_time: str
    epoch: int
    ownership_id: int = 0
    """A random number, the same for as long as one process owns the connection without a break."""

    def is_gone(self) -> bool:
        """True if the kernel has closed all descriptors of the process."""
        if self.pid in (0, os.getpid()):
            return True
        if not hasattr(os, "pidfd_open"):
            return self._has_no_process()
        try:
            handle = os.pidfd_open(self.pid)
        except ProcessLookupError:
            return True
        except OSError:  # no descriptor is free
            return self._has_no_process()
        try:
            if process_start_time(self.pid) not in (self.process_start_time, "-"):
                return True  # another process has the number now
            poll = select.poll()
            poll.register(handle, select.POLLIN)
            return bool(poll.poll(0))
        finally:
            os.close(handle)

    def _has_no_process(self) -> bool:
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return True
        except PermissionError:
            pass
        return False


def process_start_time(pid: int) -> str:
    """When this process began, in ticks since the machine did; ``-`` where nobody says."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
        return text.rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return "-"


class LockState(enum.Enum):
    """State of a lock that was taken before."""

    OURS = "ours"
    BUSY = "busy"
    """Another process has its file in hand, for a moment, in order to look whether it can have it."""
    LOST = "lost"
    """Another process owns the connection, or has owned it since."""


class OwnerLock:
    """Held from `acquire` or `take_over` to `release`, or to the death of the process.

    Consists of two locks: the lock on the file decides among all who see the file; the `AbstractSocketLock` stays when
    the file is gone.
    """

    def __init__(
        self,
        place: RuntimePaths,
        descriptor: int,
        identity: FileIdentity,
        predecessor: OwnerRecord | None,
        sentinel: AbstractSocketLock | None,
    ) -> None:
        self.paths = place
        self.descriptor = descriptor
        self.identity = identity
        self.predecessor = predecessor
        self.ownership_id = secrets.randbits(53) | 1
        self._socket_lock = sentinel
        self._epoch = 0 if predecessor is None else predecessor.epoch

    def __repr__(self) -> str:
        return f"<OwnerLock {self.paths.name} {'held' if self.descriptor >= 0 else 'released'}>"

    @classmethod
    def acquire(cls, place: RuntimePaths, keep: Callable[[OwnerLock], None]) -> OwnerLock | None:
        """The lock, if it's free, else None. `keep` notes it before any fork can come in between.

        Raises `NoRuntimeDirectory` or `OutOfResources`.
        """
        with forking.FORK_LOCK:
            for _ in range(_MAX_ATTEMPTS):
                with _LockFile(place.lock) as file:
                    if not file.lock():
                        return None
                    if file.identity != file_identity(place.lock):
                        continue  # replaced just now
                    sentinel = _claim_socket_lock(place)
                    if sentinel is None:
                        return None  # this file is not the one that the owner began with
                    lock = cls(place, file.keep(), file.identity, _read_record(file.descriptor), sentinel)
                    keep(lock)
                    return lock
        return None

    @classmethod
    def take_over(cls, place: RuntimePaths, seen: int | None, keep: Callable[[OwnerLock], None]) -> OwnerLock | None:
        """Put a lock of ours in the place of the stopped owner's, whose tenure was `seen`; None: somebody was quicker.

        The old owner finds that its lock is not in its place any more. It still has the sentinel, until it goes on.
        Raises `NoRuntimeDirectory` or `OutOfResources`.
        """
        with forking.FORK_LOCK, _LockFile(place.takeover_lock) as fence:
            if not fence.lock() or seen is None or ownership_id_of(place.lock) != seen:
                return None
            last = _read_record_at(place.lock)
            path = place.directory / f"{place.name}.{os.getpid()}.new"
            with contextlib.suppress(FileNotFoundError):
                path.unlink()
            with _LockFile(path) as new:
                if not new.lock():  # nobody else knows its name
                    return None
                # Whom we replace is not gone, and we don't wait for it; its epochs go on.
                before = OwnerRecord(0, "-", 0 if last is None else last.epoch)
                lock = cls(place, new.descriptor, new.identity, before, None)
                lock.note(before.epoch)  # the old owner, when it goes on, sees whose it is
                path.rename(place.lock)
                new.keep()
                with contextlib.suppress(OSError):
                    # It leads to the stopped one: who asked there would take the silence for that of the new owner.
                    place.socket.unlink()
                keep(lock)
                return lock

    def restore(self, place: RuntimePaths) -> LockState:
        """See to it that our lock is the one at `place`, where it may have been removed.

        Raises `NoRuntimeDirectory` or `OutOfResources`.
        """
        if place == self.paths and self.is_ours():
            return LockState.OURS
        with forking.FORK_LOCK, _LockFile(place.lock) as file:
            is_free = file.lock()
            if file.identity != file_identity(place.lock):
                return LockState.BUSY
            record = _read_record(file.descriptor)
            # A file in our place that another owner has written to, since ours was removed or renamed away?
            is_others = place == self.paths and record is not None and record.ownership_id != self.ownership_id
            if is_others and record is not None and ((record.pid and not is_free) or record.epoch > self._epoch):
                return LockState.LOST
            if not is_free:
                return LockState.BUSY
            before, self.descriptor = self.descriptor, file.keep()
            self.paths, self.identity = place, file.identity
            self.note(self._epoch)
            os.close(before)
        return LockState.OURS

    def claim_socket_lock(self) -> None:
        """Have the second lock as well, if it was a stopped owner's when we began. Raises OSError."""
        if self._socket_lock is None and self.descriptor >= 0:
            with forking.FORK_LOCK:
                self._socket_lock = AbstractSocketLock.claim(self.paths.socket_lock_name)

    @property
    def notification_socket(self) -> socket.socket | None:
        """Socket to which processes connect that found the file free, but not the sentinel."""
        return None if self._socket_lock is None else self._socket_lock.socket

    def descriptors(self) -> Iterable[int]:
        """File descriptors of both locks."""
        if self.notification_socket is not None and self.notification_socket.fileno() >= 0:
            yield self.notification_socket.fileno()
        if self.descriptor >= 0:
            yield self.descriptor

    async def predecessor_gone(self) -> None:
        """Wait until the one before us can't hold a socket any more."""
        before = self.predecessor
        end = time.monotonic() + _MAX_EXIT_WAIT
        while before is not None and not before.is_gone() and time.monotonic() < end:  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.001)
        self.note(0 if before is None else before.epoch)

    def note(self, epoch: int) -> None:
        """Write down who holds it, and how far the epochs are."""
        self._epoch = epoch
        self._write(f"{os.getpid()} {process_start_time(os.getpid())} {epoch} {self.ownership_id}")

    def _write(self, record: str) -> None:
        if self.descriptor >= 0:
            with contextlib.suppress(OSError):  # a full disk: the record helps, the lock decides
                os.pwrite(self.descriptor, (record.ljust(_RECORD_BYTES - 1) + "\n").encode(), 0)

    def is_ours(self) -> bool:
        """True if the locked file still is the lock file: neither replaced nor removed."""
        return self.descriptor >= 0 and file_identity(self.paths.lock) == self.identity

    def refresh(self) -> None:
        """Let cleaners of old files see that it's in use."""
        with contextlib.suppress(OSError):
            os.utime(self.descriptor)

    def release(self, epoch: int = 0) -> None:
        """Let go in order. `epoch`: how far the epochs are, if the connection's story goes on. Idempotent."""
        self._write(f"0 - {epoch} {self.ownership_id}")
        with forking.FORK_LOCK:
            if self._socket_lock is not None:
                self._socket_lock.close()
            descriptor, self.descriptor = self.descriptor, -1
            if descriptor >= 0:
                os.close(descriptor)


class _LockFile:
    """A lock file that is open inside the block, and after it if it's kept."""

    def __init__(self, path: Path) -> None:
        try:
            self.descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except OSError as error:
            raise translate_os_error(error, f"the lock {path} can't be opened") from error
        found = os.fstat(self.descriptor)
        if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid():
            os.close(self.descriptor)
            raise NoRuntimeDirectory(f"the lock {path} is no file of ours; remove it")
        self.identity = _stat_identity(found)
        self._is_kept = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._is_kept:
            os.close(self.descriptor)

    def keep(self) -> int:
        """Leave it open; returns the descriptor."""
        self._is_kept = True
        return self.descriptor

    def lock(self) -> bool:
        """Lock it; False: it's another's. Raises `NoRuntimeDirectory` or `OutOfResources`."""
        try:
            fcntl.flock(self.descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError as error:
            raise translate_os_error(error, "this file system has no locks, use a local one") from error
        return True


def _claim_socket_lock(place: RuntimePaths) -> AbstractSocketLock | None:
    try:
        return AbstractSocketLock.claim(place.socket_lock_name)
    except OSError as error:
        raise translate_os_error(error, "the connection can't be locked against other processes") from error


def file_identity(path: Path) -> FileIdentity | None:
    """Which file is there now; None: none."""
    try:
        return _stat_identity(os.lstat(path))
    except OSError:
        return None


def ownership_id_of(path: Path) -> int | None:
    """The tenure of the owner whose lock is there; 0: nobody has written to it, or its owner let go; None: no lock."""
    record = _read_record_at(path)
    if record is None:
        return None if file_identity(path) is None else 0
    return record.ownership_id if record.pid else 0


def _stat_identity(found: os.stat_result) -> FileIdentity:
    return found.st_dev, found.st_ino


def _read_record(descriptor: int) -> OwnerRecord | None:
    parts = os.pread(descriptor, _RECORD_BYTES, 0).split()
    try:
        pid, since, epoch, *tenure = parts
        return OwnerRecord(int(pid), since.decode("ascii"), int(epoch), *map(int, tenure))
    except (ValueError, TypeError):
        return None


def _read_record_at(path: Path) -> OwnerRecord | None:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return None
    try:
        return _read_record(descriptor)
    finally:
        os.close(descriptor)
