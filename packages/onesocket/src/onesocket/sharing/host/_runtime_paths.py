"""Files of shared connections, in a directory that only this user can enter."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import os.path
import stat
import sys
from collections.abc import Generator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from ...errors import NoRuntimeDirectory, OnesocketError, OutOfResources
from ._abstract_socket_lock import notify_holder

RUNTIME_DIR_VARIABLE: Final = "ONESOCKET_RUNTIME_DIR"
_REMEDY: Final = f"set {RUNTIME_DIR_VARIABLE} to a directory of yours with mode 0700"
_EXHAUSTION_ERRNOS: Final = frozenset(
    getattr(errno, name)
    for name in ("EMFILE", "ENFILE", "ENOMEM", "ENOBUFS", "ENOSPC", "EDQUOT")
    if hasattr(errno, name)
)
# sockaddr_un has 108 bytes on Linux and 104 on macOS and the BSDs, the closing NUL included.
_MAX_SOCKET_PATH: Final = 107 if sys.platform == "linux" else 103


def translate_os_error(error: OSError, text: str) -> OnesocketError:
    """Convert an operating system's error to `OutOfResources` or `NoRuntimeDirectory`; `text` names the failed step."""
    why = f"{text}: {error.strerror or error}"
    failure = OutOfResources(why) if error.errno in _EXHAUSTION_ERRNOS else NoRuntimeDirectory(f"{why}; {_REMEDY}")
    failure.__cause__ = error
    return failure


def runtime_directory(given: str | None = None) -> Path:
    """Make the directory for locks and sockets, if need be. Raises `NoRuntimeDirectory` or `OutOfResources`.

    The directory is `given`, else `ONESOCKET_RUNTIME_DIR`, else ``onesocket`` in the user's runtime directory
    (`XDG_RUNTIME_DIR`, or ``/run/user/UID`` if it exists), else ``/tmp/onesocket-UID``.
    """
    return _ensure_directory(_requested_directory(given))


def _ensure_directory(named: str | None, *, again: bool = False) -> Path:
    """Make the directory if need be; with `again`, which says that it existed before, its parents as well."""
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
        raise NoRuntimeDirectory(f"{path} can't be used to share connections: {error}; {_REMEDY}") from error
    why = _unsafe_reason(found)
    if why is not None:
        raise NoRuntimeDirectory(f"{path} is not safe to share connections in: {why}; {_REMEDY}")
    return path


def _requested_directory(given: str | None) -> str | None:
    """The directory that an argument or the environment names, as an absolute path; None: neither does."""
    named = given or os.environ.get(RUNTIME_DIR_VARIABLE)
    return os.path.abspath(named) if named else None  # noqa: PTH100 - normalized, as a name is made from it


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
    """Identity of this process's view of the file systems, which differs between containers."""
    try:
        return str(Path("/proc/self/ns/mnt").readlink())
    except OSError:
        return ""


@dataclass(frozen=True, slots=True)
class RuntimePaths:
    """Paths of the files of one key. Their names are made from a hash, so they reveal nothing."""

    directory: Path
    name: str
    requested_directory: str | None = None
    """The directory that was named; None: the user's own, which may change."""

    @classmethod
    def of(cls, key: str, directory: str | None = None) -> RuntimePaths:
        """The paths of `key`. Raises `NoRuntimeDirectory` or `OutOfResources`."""
        given = _requested_directory(directory)
        paths = cls(_directory_path(given), hashlib.sha256(key.encode()).hexdigest()[:24], given)
        try:
            return paths.ensure()
        except NoRuntimeDirectory as error:
            if not paths.is_being_restored(error):
                raise
            return paths

    def ensure(self, *, again: bool = False) -> RuntimePaths:
        """The paths in the present directory, which is made if need be. Raises as `runtime_directory`.

        `again`: the directory existed before, so its parents are made as well.
        """
        return replace(self, directory=_ensure_directory(self.requested_directory, again=again))

    def is_being_restored(self, error: OnesocketError) -> bool:
        """True if the error is about a removed file of a running owner, which is asked to make it again."""
        return isinstance(error.__cause__, FileNotFoundError) and notify_holder(self.socket_lock_name)

    @property
    def socket_lock_name(self) -> str:
        """Name of the lock that doesn't depend on the directory (`AbstractSocketLock`). It reveals nothing."""
        scope = f"{os.geteuid()} {_mount_namespace()} {self.requested_directory or ''} {self.name}"
        return f"\0onesocket-{hashlib.sha256(os.fsencode(scope)).hexdigest()[:32]}"

    def socket_lock_name_at(self, level: int) -> str:
        """Name of that lock for an owner that took over from a stopped one of the level before; 0: for any other."""
        return f"{self.socket_lock_name}-{level}" if level else self.socket_lock_name

    @property
    def lock(self) -> Path:
        """The owner's lock file. Never removed, because a lock on a removed file would exclude no process."""
        return self.directory / f"{self.name}.lock"

    @property
    def takeover_lock(self) -> Path:
        """Lock file that is held while the lock of a stopped owner is replaced."""
        return self.directory / f"{self.name}.fence"

    @property
    def socket(self) -> Path:
        """The Unix socket of the owner."""
        return self.directory / f"{self.name}.sock"

    @contextlib.contextmanager
    def opened(self) -> Generator[int]:
        """Check the directory again, and open it for the block. Raises `NoRuntimeDirectory`."""
        try:
            descriptor = os.open(self.directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError as error:
            raise translate_os_error(error, f"{self.directory} can't be opened") from error
        try:
            why = _unsafe_reason(os.fstat(descriptor))
            if why is not None:
                raise NoRuntimeDirectory(f"{self.directory} is not safe to share connections in: {why}; {_REMEDY}")
            yield descriptor
        finally:
            os.close(descriptor)

    def socket_address(self, directory: int) -> str:
        """The socket's path for bind and connect, also in a long directory. Raises `NoRuntimeDirectory`."""
        path = str(self.socket)
        if len(os.fsencode(path)) <= _MAX_SOCKET_PATH:
            return path
        if sys.platform == "linux":
            return f"/proc/self/fd/{directory}/{self.socket.name}"
        raise NoRuntimeDirectory(
            f"{path} is too long for a Unix socket ({_MAX_SOCKET_PATH} bytes at most); "
            f"set {RUNTIME_DIR_VARIABLE} to a shorter one"
        )
