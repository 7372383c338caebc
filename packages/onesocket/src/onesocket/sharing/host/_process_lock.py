"""The lock of a connection's owner, as one process tries to get it and holds it."""

from __future__ import annotations

from collections.abc import Iterable

from ._owner_lock import OwnerLock, ownership_id_of
from ._owner_record import OwnerRecord
from ._runtime_paths import RuntimePaths, translate_os_error


class ProcessLock:
    """Holds an `OwnerLock`, or knows which owner has it."""

    __slots__ = ("_owner_id", "_owner_record", "_takes_over", "had_role", "held", "paths")

    def __init__(self, paths: RuntimePaths, *, takes_over: bool) -> None:
        """`takes_over`: this process takes the place of a stopped owner."""
        self.paths = paths
        self._takes_over = takes_over
        self.held: OwnerLock | None = None
        self.had_role = False
        """True once this process had a role: the directory existed, and may have been removed since."""
        self._owner_id: int | None = None
        """Ownership id of the owner that this process attaches to."""
        self._owner_record: OwnerRecord | None = None
        """Record of that owner, for when it ends and its lock file is gone."""

    def __repr__(self) -> str:
        return f"<ProcessLock {self.held!r}>"

    def acquire(self) -> bool:
        """Take the lock if it is free; returns False if not. Raises `NoRuntimeDirectory` or `OutOfResources`."""
        self.paths = self.paths.ensure(again=self.had_role)
        lock = OwnerLock.acquire(self.paths, self._keep, beside_stopped=self._takes_over)
        if lock is not None and lock.predecessor is None:
            lock.predecessor = self._owner_record
        return lock is not None

    def take_over(self) -> bool:
        """Replace the lock of the owner, which has stopped; returns False if another process has.

        Raises `NoRuntimeDirectory` or `OutOfResources`.
        """
        try:
            self.paths = self.paths.ensure(again=self.had_role)
            return OwnerLock.take_over(self.paths, self._owner_id, self._keep) is not None
        except OSError as error:
            raise translate_os_error(error, "the lock of a stopped owner can't be replaced") from error

    def _keep(self, lock: OwnerLock) -> None:
        self.held = lock

    def see_owner(self) -> None:
        """Find out which owner has the lock that this process could not get."""
        self._owner_id = ownership_id_of(self.paths.lock)

    def note_owner(self, owner_id: int, record: OwnerRecord | None) -> None:
        """Note the owner to which this process has attached."""
        self._owner_id, self._owner_record = owner_id, record

    def forget_owner(self) -> None:
        """Forget an owner that let go of its connection: it is not waited for."""
        self._owner_record = None

    def has_other_owner(self) -> bool:
        """Return True if another owner has the lock than the one that this process attaches to."""
        owner_id = ownership_id_of(self.paths.lock)
        return bool(owner_id) and owner_id != self._owner_id

    def release(self) -> None:
        """Release the lock, if this process holds it."""
        lock, self.held = self.held, None
        if lock is not None:
            lock.release()

    def descriptors(self) -> Iterable[int]:
        """File descriptors of the lock, if this process holds it."""
        if self.held is not None:
            yield from self.held.descriptors()
