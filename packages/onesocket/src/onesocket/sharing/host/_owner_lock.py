"""The lock that decides which process owns the connection.

`flock`, not POSIX record locks: those vanish when the process closes *any* descriptor of the file, and a forked child
that keeps a copy of the socket would not keep the lock. With `flock` both are inherited alike, so the lock is held for
as long as any process can hold the socket.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import enum
import os
import secrets
import socket
import stat
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final, Self, TypeAlias

from ..._forking import FORK_LOCK, replace_with_null_device
from ...errors import NoRuntimeDirectory, OutOfResources
from ._abstract_socket_lock import AbstractSocketLock, notify_holder
from ._owner_record import OwnerRecord
from ._process_stat import ExecWatch
from ._runtime_paths import RuntimePaths, translate_os_error

if sys.platform != "win32":  # where `RuntimePaths` raises `NoRuntimeDirectory`
    import fcntl

FileIdentity: TypeAlias = tuple[int, int]
"""Device and inode."""
# A dying process releases lock and sockets in no stated order, within microseconds of each other; this bounds a bug.
_MAX_EXIT_WAIT: Final = 2.0
_MAX_ATTEMPTS: Final = 10
_MAX_STOPPED: Final = 8
"""Owners that are stopped one after the other, whose successor is looked for."""


class LockState(enum.Enum):
    """State of a lock that was taken before."""

    OURS = "ours"
    BUSY = "busy"
    """Another process has its file open for a moment, to find out whether the lock is free."""
    LOST = "lost"
    """Another process owns the connection, or has owned it since."""


class OwnerLock:
    """Lock that is held from `acquire` or `take_over` to `release`, or to the death of the process.

    It consists of two: the lock on the file decides among all processes that see the file; the `AbstractSocketLock`
    stays when the file is gone. An owner that took over from a stopped one, which keeps both of its own, has another
    file, and the socket lock of the next level: one process at a time can be the successor, whatever becomes of files.
    """

    def __init__(
        self,
        paths: RuntimePaths,
        file: _LockFile,
        predecessor: OwnerRecord | None,
        socket_lock: AbstractSocketLock,
        level: int,
    ) -> None:
        self.paths = paths
        self.descriptor = file.descriptor
        self.identity = file.identity
        self.predecessor = predecessor
        self._is_predecessor_gone = False
        self.is_surrendered = False
        """True once the locks were released in another thread: another member may own the connection."""
        self.ownership_id = secrets.randbits(53) | 1
        self._socket_lock = socket_lock
        self._level = level
        """Number of owners that were stopped, one after the other, when the next one took over."""
        self._epoch = 0 if predecessor is None else predecessor.epoch

    def __repr__(self) -> str:
        return f"<OwnerLock {self.paths.name} {'held' if self.descriptor >= 0 else 'released'}>"

    @classmethod
    def acquire(
        cls, paths: RuntimePaths, keep: Callable[[OwnerLock], None], *, beside_stopped: bool = False
    ) -> OwnerLock | None:
        """Take the lock if it is free. Returns None if not. `keep` stores it before any fork can come in between.

        `beside_stopped`: go at the level of the last owner, where stopped processes have the socket locks below.
        Raises `NoRuntimeDirectory` or `OutOfResources`.
        """
        with FORK_LOCK:
            for _ in range(_MAX_ATTEMPTS):
                with contextlib.ExitStack() as stack:
                    socket_lock: AbstractSocketLock | None = None
                    if file_identity(paths.lock) is None:
                        # A file that this process made, and locked for a moment, would keep a taker-over away.
                        socket_lock = _claim_socket_lock(paths, 0, stack)
                        if socket_lock is None:
                            return None
                    file = _LockFile.opened_in(paths)
                    if file is None:
                        continue
                    stack.enter_context(contextlib.closing(file))
                    if not file.lock():
                        return None
                    if file.identity != file_identity(paths.lock):
                        continue  # replaced just now
                    before, level = OwnerRecord.read(file.descriptor), 0
                    socket_lock = socket_lock or _claim_socket_lock(paths, 0, stack)
                    if socket_lock is None and beside_stopped and before is not None and before.level:
                        level = before.level
                        socket_lock = _claim_socket_lock(paths, level, stack)
                    if socket_lock is None:
                        return None  # this file is not the one that the owner began with
                    lock = cls(paths, file, before, socket_lock, level)
                    lock._write_waiting()
                    if lock._has_successor():  # after the record is written: see `take_over`
                        return None
                    file.keep()
                    stack.pop_all()
                    keep(lock)
                    return lock
        return None

    @classmethod
    def take_over(cls, paths: RuntimePaths, seen: int | None, keep: Callable[[OwnerLock], None]) -> OwnerLock | None:
        """Replace the lock file of a stopped owner with ownership id `seen`; None if another process did.

        A file that was removed is made anew. The old owner finds it when it goes on; until then it has its socket lock.
        Raises `NoRuntimeDirectory`, `OutOfResources` or OSError.
        """
        for _ in range(_MAX_ATTEMPTS):
            try:
                return cls._take_over(paths, seen, keep)
            except (FileNotFoundError, NoRuntimeDirectory) as error:
                if not isinstance(error.__cause__ or error, FileNotFoundError):
                    raise
                paths = paths.ensure(again=True)  # the directory was removed just now
        return None

    @classmethod
    def _take_over(cls, paths: RuntimePaths, seen: int | None, keep: Callable[[OwnerLock], None]) -> OwnerLock | None:
        with FORK_LOCK, contextlib.closing(_LockFile(paths.takeover_lock)) as fence, contextlib.ExitStack() as stack:
            stopped = None if seen is None or not fence.lock() else _stopped_owner(paths, seen)
            # The fence is a file, and can be removed while this process has it; the next socket lock can't.
            level = 0 if stopped is None else stopped.level + 1
            socket_lock = None if stopped is None else _claim_socket_lock(paths, level, stack)
            # A process that found the stopped owner dead may have got its lock meanwhile. It writes its id, and then
            # looks for a successor; this one does so in the reverse order: one of both sees the other.
            if stopped is None or socket_lock is None or _stopped_owner(paths, stopped.ownership_id) is None:
                return None
            path = paths.directory / f"{paths.name}.{os.getpid()}.new"
            with contextlib.suppress(FileNotFoundError):
                path.unlink()
            new = stack.enter_context(contextlib.closing(_LockFile(path)))
            if not new.lock():  # no other process uses its name
                return None
            # The stopped owner is not gone, and we don't wait for it; its epochs go on.
            before = OwnerRecord(0, "-", stopped.epoch, stopped.ownership_id)
            lock = cls(paths, new, before, socket_lock, level)
            lock.note(before.epoch)  # the old owner reads this when it goes on
            with contextlib.suppress(OSError):
                # It is the stopped owner's, and goes before our lock can be read: a process that reads our id and
                # connects to that one would take its silence for ours.
                paths.socket.unlink()
            path.rename(paths.lock)
            new.keep()
            stack.pop_all()
            keep(lock)
        notify_holder(paths.socket_lock_name_at(level - 1))  # it may have gone on just before
        return lock

    def restore(self, paths: RuntimePaths) -> LockState:
        """Make the lock file at `paths` again if it was removed.

        Raises `NoRuntimeDirectory` or `OutOfResources`.
        """
        if self.is_surrendered:
            return LockState.LOST
        if paths == self.paths and self.is_ours():
            return LockState.OURS
        try:
            return self._restore(paths)
        except OutOfResources:
            if paths == self.paths and _has_record(paths.lock):
                return LockState.LOST  # another owner's, which this process has no descriptor to read
            raise

    def _restore(self, paths: RuntimePaths) -> LockState:
        with FORK_LOCK, contextlib.closing(_LockFile(paths.lock)) as file:
            if self.is_surrendered:
                return LockState.LOST  # just now
            is_free = file.lock()
            if file.identity != file_identity(paths.lock):
                return LockState.BUSY
            record = OwnerRecord.read(file.descriptor)
            # Has another owner written to this file, since ours was removed or renamed away?
            is_others = paths == self.paths and record is not None and record.ownership_id != self.ownership_id
            if is_others and record is not None and ((record.pid and not is_free) or record.epoch > self._epoch):
                return LockState.LOST
            if self._has_successor():
                return LockState.LOST  # whose file was removed as well, or is in another directory
            if not is_free:
                return LockState.BUSY
            before, self.descriptor = self.descriptor, file.keep()
            self.paths, self.identity = paths, file.identity
            self.note(self._epoch if record is None else record.epoch)
            os.close(before)
        return LockState.OURS

    def claim_lower_socket_lock(self) -> AbstractSocketLock | None:
        """Take the socket lock of a stopped owner that has released it since. Raises OSError.

        Returns the one that this process had, which the caller closes; None: there was none to take.
        """
        if self.descriptor >= 0 and not self.is_surrendered:
            for level in range(self._level):
                with FORK_LOCK:
                    lower = AbstractSocketLock.claim(self.paths.socket_lock_name_at(level))
                    if lower is None:
                        continue
                    before, self._socket_lock, self._level = self._socket_lock, lower, level
                self.note(self._epoch)
                return before
        return None

    def _has_successor(self) -> bool:
        """True if another process took over from this one, or begins to, as it has the next socket lock.

        Or a later one, where owners that were stopped in between have ended. From the next one on, as whoever looks has
        each for a moment: so none is found that is only looked for.
        """
        for level in range(self._level + 1, self._level + 1 + _MAX_STOPPED):
            with contextlib.ExitStack() as stack:
                if _claim_socket_lock(self.paths, level, stack) is None:
                    return True
        return False

    @property
    def is_beside_stopped(self) -> bool:
        """True while a stopped process has the first socket lock."""
        return self._level > 0

    @property
    def notification_socket(self) -> socket.socket | None:
        """Socket to which processes connect that found the file free, but not the abstract socket lock."""
        return self._socket_lock.socket

    def descriptors(self) -> Iterable[int]:
        """File descriptors of both locks."""
        if self.notification_socket is not None and self.notification_socket.fileno() >= 0:
            yield self.notification_socket.fileno()
        if self.descriptor >= 0:
            yield self.descriptor

    async def predecessor_gone(self) -> None:
        """Wait until the last owner can't hold a socket any more."""
        before = self.predecessor
        if before is not None:
            watch = ExecWatch(before.pid, before.stack)
            end = time.monotonic() + _MAX_EXIT_WAIT
            while not before.is_gone() and not watch.is_done() and time.monotonic() < end:  # noqa: ASYNC110 - there is no event for it
                await asyncio.sleep(0.001)
        self._is_predecessor_gone = True
        self.note(0 if before is None else before.epoch)

    def note(self, epoch: int) -> None:
        """Write the record of this process, with this epoch if it is newer than the last one."""
        with FORK_LOCK:  # not in the midst of `surrender`: the next owner would wait for the end of this process
            if not self.is_surrendered:
                self._epoch = max(self._epoch, epoch)
                self._write(OwnerRecord.of(os.getpid(), self._epoch, self.ownership_id))

    def note_newer(self, epoch: int) -> None:
        """Write the record if this epoch is newer than the last one."""
        if epoch > self._epoch:
            self.note(epoch)

    def _write_waiting(self) -> bool:
        """Write that this lock is held, and that its last owner may not have ended; returns False if it has.

        A process that is about to take over from that owner sees by it that it comes too late.
        """
        before = self.predecessor
        if before is None or not before.pid or self._is_predecessor_gone:
            return False
        self._write(dataclasses.replace(before, epoch=self._epoch, ownership_id=self.ownership_id))
        return True

    def _write(self, record: OwnerRecord) -> None:
        if self.descriptor >= 0:
            record = dataclasses.replace(record, level=self._level)
            with contextlib.suppress(OSError):  # a full disk: the record helps, the lock decides
                record.write(self.descriptor)

    def surrender(self, sockets: Callable[[], Iterable[int]]) -> bool:
        """Release both locks in place of an event loop that takes no turn, and `sockets` before; in any thread.

        Returns False if they are released already.
        """
        with FORK_LOCK:
            if self.is_surrendered or self.descriptor < 0:
                return False
            self.is_surrendered = True
            replace_with_null_device(sockets())
            self._write(OwnerRecord(0, "-", self._epoch, self.ownership_id))
            replace_with_null_device(self.descriptors())
            return True

    def is_ours(self) -> bool:
        """True if the locked file is neither replaced nor removed."""
        return self.descriptor >= 0 and not self.is_surrendered and file_identity(self.paths.lock) == self.identity

    def refresh(self) -> None:
        """Touch the file, so that cleaners of old files leave it."""
        with contextlib.suppress(OSError):
            os.utime(self.descriptor)

    def release(self, *, is_followed: bool = True) -> None:
        """Release the lock. Idempotent. `is_followed`: other processes use the connection.

        The newest epoch stays in the file in any case: a process that is stopped may know it.
        """
        if not self._write_waiting():  # else the next process has to wait in place of this one
            self._write(OwnerRecord(0, "-", self._epoch, self.ownership_id if is_followed else 0))
        with FORK_LOCK:
            self._socket_lock.close()
            descriptor, self.descriptor = self.descriptor, -1
            if descriptor >= 0:
                os.close(descriptor)
        # The successor of a stopped owner comes down to this level at once: if it stopped as well, and its file were
        # removed, others would look for it there.
        notify_holder(self.paths.socket_lock_name_at(self._level + 1))


class _LockFile:
    """An open lock file, for `contextlib.closing`."""

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

    @classmethod
    def opened_in(cls, paths: RuntimePaths) -> Self | None:
        """Open the lock file; None: the directory was removed since it was looked at, and is made again."""
        try:
            return cls(paths.lock)
        except NoRuntimeDirectory as error:
            if not isinstance(error.__cause__, FileNotFoundError):
                raise
            paths.ensure(again=True)
            return None

    def close(self) -> None:
        """Close the file, unless it is kept."""
        if not self._is_kept:
            os.close(self.descriptor)

    def keep(self) -> int:
        """Leave the file open; returns the descriptor."""
        self._is_kept = True
        return self.descriptor

    def lock(self) -> bool:
        """Lock the file. Returns False if another process has. Raises `NoRuntimeDirectory` or `OutOfResources`."""
        try:
            fcntl.flock(self.descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError as error:
            raise translate_os_error(error, "this file system has no locks, use a local one") from error
        return True


def _claim_socket_lock(paths: RuntimePaths, level: int, stack: contextlib.ExitStack) -> AbstractSocketLock | None:
    """Take the socket lock of a level, which `stack` closes; None if another process has it."""
    try:
        lock = AbstractSocketLock.claim(paths.socket_lock_name_at(level))
    except OSError as error:
        raise translate_os_error(error, "the connection can't be locked against other processes") from error
    if lock is not None:
        stack.callback(lock.close)
    return lock


def _stopped_owner(paths: RuntimePaths, seen: int) -> OwnerRecord | None:
    """The record of the stopped owner with this ownership id; None if another process has, or had, the lock since.

    Where its file was removed, the epoch isn't known, and the level is taken to be 0.
    """
    record = OwnerRecord.read_at(paths.lock)
    if record is not None:
        return record if record.pid != 0 and record.ownership_id == seen else None
    return None if _is_locked(paths.lock) else OwnerRecord(0, "-", 0, seen)


def file_identity(path: Path) -> FileIdentity | None:
    """Identity of the file that is at `path` now; None: there is none."""
    try:
        return _stat_identity(os.lstat(path))
    except OSError:
        return None


def _has_record(path: Path) -> bool:
    try:
        return os.lstat(path).st_size > 0
    except OSError:
        return False


def _is_locked(path: Path) -> bool:
    """True if a process has the lock of the file at `path`, or that can't be found out; False if there is no file."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError as error:
        return not isinstance(error, FileNotFoundError)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(descriptor)
    return False


def ownership_id_of(path: Path) -> int | None:
    """Ownership id in a lock file; 0: not written yet, or its owner released it; None: there is no file."""
    record = OwnerRecord.read_at(path)
    if record is None:
        return None if file_identity(path) is None else 0
    return record.ownership_id if record.pid else 0


def _stat_identity(found: os.stat_result) -> FileIdentity:
    return found.st_dev, found.st_ino
