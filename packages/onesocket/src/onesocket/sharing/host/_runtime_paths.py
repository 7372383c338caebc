"""The directory that is this user's alone, and what is where in it."""

from __future__ import annotations

import contextlib
import hashlib
import os
import os.path
import stat
import sys
from collections.abc import Generator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from ...errors import OnesocketError
from ._abstract_socket_lock import notify_holder
from ._errors import REMEDY, NoRuntimeDirectory, translate_os_error

RUNTIME_DIR_VARIABLE: Final = "ONESOCKET_RUNTIME_DIR"
# sockaddr_un has 108 bytes on Linux and 104 on macOS and the BSDs, the closing NUL included.
_MAX_SOCKET_PATH: Final = 107 if sys.platform == "linux" else 103


def runtime_directory(given: str | None = None) -> Path:
    """The directory for locks and sockets, made if need be; raises `NoRuntimeDirectory` or `OutOfResources`.

    That is `given`, else what `ONESOCKET_RUNTIME_DIR` names, else ``onesocket`` in the user's runtime directory
    (`XDG_RUNTIME_DIR`, or ``/run/user/UID`` where that is there), else ``/tmp/onesocket-UID``.
    """
    return _ensure_directory(_requested_directory(given))


def _ensure_directory(named: str | None, *, again: bool = False) -> Path:
    """`again`: it was there before, so the directories above it are made, too."""
    if not hasattr(os, "geteuid"):
        raise NoRuntimeDirectory("scope='host' needs Unix sockets and file locks, which this system does not have")
    path = _directory_path(named)
    try:
        for one in (*(reversed(path.parents) if again else ()), path):
            with contextlib.suppress(FileExistsError):
                one.mkdir(mode=0o700)
        found = os.lstat(path)
    except OSError as error:
        raise translate_os_error(error, f"{path} can't be used to share connections") from error
    except ValueError as error:  # a NUL in the path
        raise NoRuntimeDirectory(f"{path} can't be used to share connections: {error}; {REMEDY}") from error
    why = _unsafe_reason(found)
    if why is not None:
        raise NoRuntimeDirectory(f"{path} is not safe to share connections in: {why}; {REMEDY}")
    return path


def _requested_directory(given: str | None) -> str | None:
    """The directory that is asked for by name, the same one when the program changes its own; None: none is."""
    named = given or os.environ.get(RUNTIME_DIR_VARIABLE)
    return os.path.abspath(named) if named else None  # noqa: PTH100 - without its dots, for a name made from it


def _directory_path(named: str | None) -> Path:
    if named is not None:
        return Path(named)
    uid = os.geteuid()
    for base in (os.environ.get("XDG_RUNTIME_DIR"), f"/run/user/{uid}"):
        if base and Path(base).is_absolute():
            try:
                found = os.lstat(base)
            except OSError:
                continue
            if _unsafe_reason(found) is None:
                return Path(base, "onesocket")
    # Not tempfile.gettempdir(): TMPDIR may differ from process to process, and then they would not find each other.
    return Path("/tmp", f"onesocket-{uid}")  # noqa: S108 - looked at before it's used


def _unsafe_reason(found: os.stat_result) -> str | None:
    if stat.S_ISLNK(found.st_mode):
        return "it is a link"
    if not stat.S_ISDIR(found.st_mode):
        return "it is no directory"
    if found.st_uid != os.geteuid():
        return f"it belongs to user {found.st_uid}, and we are user {os.geteuid()}"
    if stat.S_IMODE(found.st_mode) & 0o077:
        return f"others may enter it (mode {stat.S_IMODE(found.st_mode):04o})"
    return None


def _mount_namespace() -> str:
    """Identity of the file systems seen by this process; a name alone doesn't keep containers apart that see others."""
    try:
        return str(Path("/proc/self/ns/mnt").readlink())
    except OSError:
        return ""


@dataclass(frozen=True, slots=True)
class RuntimePaths:
    """The files of one key. Their names are made from a hash, so they tell nothing."""

    directory: Path
    name: str
    requested_directory: str | None = None
    """The directory that was asked for by name; None: the user's own, wherever that is at the moment."""

    @classmethod
    def of(cls, key: str, directory: str | None = None) -> RuntimePaths:
        """The place of `key`; raises `NoRuntimeDirectory` or `OutOfResources`."""
        given = _requested_directory(directory)
        place = cls(_directory_path(given), hashlib.sha256(key.encode()).hexdigest()[:24], given)
        try:
            return place.ensure()
        except NoRuntimeDirectory as error:
            if not place.is_being_restored(error):
                raise
            return place

    def ensure(self, *, again: bool = False) -> RuntimePaths:
        """The place as it is at this moment, made if need be. Raises as `runtime_directory`.

        `again`: it was there before, so the directories above it are made, too.
        """
        return replace(self, directory=_ensure_directory(self.requested_directory, again=again))

    def is_being_restored(self, error: OnesocketError) -> bool:
        """True if the error is about a removed file of a running owner; the owner is asked to make it again."""
        return isinstance(error.__cause__, FileNotFoundError) and notify_holder(self.socket_lock_name)

    @property
    def socket_lock_name(self) -> str:
        """The name of the lock that doesn't depend on the directory (see `sentinel.py`). It tells nothing."""
        scope = f"{os.geteuid()} {_mount_namespace()} {self.requested_directory or ''} {self.name}"
        return f"\0onesocket-{hashlib.sha256(os.fsencode(scope)).hexdigest()[:32]}"

    @property
    def lock(self) -> Path:
        """The lock file of the owner. Never removed, because a lock on a removed file would exclude no process."""
        return self.directory / f"{self.name}.lock"

    @property
    def takeover_lock(self) -> Path:
        """Held for a moment by whoever replaces the lock of a stopped owner."""
        return self.directory / f"{self.name}.fence"

    @property
    def socket(self) -> Path:
        """Where the owner listens."""
        return self.directory / f"{self.name}.sock"

    @contextlib.contextmanager
    def opened(self) -> Generator[int]:
        """The descriptor of `open_directory`, closed at the end of the block."""
        descriptor = self.open_directory()
        try:
            yield descriptor
        finally:
            os.close(descriptor)

    def open_directory(self) -> int:
        """A descriptor of the directory, checked again; raises `NoRuntimeDirectory`. To be closed by the caller."""
        try:
            descriptor = os.open(self.directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError as error:
            raise translate_os_error(error, f"{self.directory} can't be opened") from error
        why = _unsafe_reason(os.fstat(descriptor))
        if why is not None:
            os.close(descriptor)
            raise NoRuntimeDirectory(f"{self.directory} is not safe to share connections in: {why}; {REMEDY}")
        return descriptor

    def socket_address(self, directory: int) -> str:
        """The socket's path for bind and connect, however long the directory's is; raises `NoRuntimeDirectory`."""
        path = str(self.socket)
        if len(os.fsencode(path)) <= _MAX_SOCKET_PATH:
            return path
        if sys.platform == "linux":
            return f"/proc/self/fd/{directory}/{self.socket.name}"
        raise NoRuntimeDirectory(
            f"{path} is too long for a Unix socket ({_MAX_SOCKET_PATH} bytes at most); "
            f"set {RUNTIME_DIR_VARIABLE} to a shorter one"
        )
