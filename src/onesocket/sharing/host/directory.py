"""The directory that is this user's alone, and what is where in it."""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from .errors import NoRuntimeDirectory

VARIABLE: Final = "ONESOCKET_RUNTIME_DIR"
# sockaddr_un has 108 bytes on Linux and 104 on macOS and the BSDs, the closing NUL included.
_LONGEST_PATH: Final = 107 if sys.platform == "linux" else 103
_REMEDY: Final = f"set {VARIABLE} to a directory of yours with mode 0700"


def runtime_directory(given: str | None = None) -> Path:
    """The directory for locks and sockets, made if need be; raises `NoRuntimeDirectory`.

    That is `given`, else what `ONESOCKET_RUNTIME_DIR` names, else ``onesocket`` in the user's runtime directory
    (`XDG_RUNTIME_DIR`, or ``/run/user/UID`` where that is there), else ``/tmp/onesocket-UID``.
    """
    if not hasattr(os, "geteuid"):
        raise NoRuntimeDirectory("scope='host' needs Unix sockets and file locks, which this system does not have")
    path = _candidate(given)
    try:
        with contextlib.suppress(FileExistsError):
            path.mkdir(mode=0o700)
        found = os.lstat(path)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        why = error.strerror if isinstance(error, OSError) else error
        raise NoRuntimeDirectory(f"{path} can't be used to share connections: {why}; {_REMEDY}") from error
    why = _unsafe(found)
    if why is not None:
        raise NoRuntimeDirectory(f"{path} is not safe to share connections in: {why}; {_REMEDY}")
    return path


def _candidate(given: str | None) -> Path:
    named = given or os.environ.get(VARIABLE)
    if named:
        return Path(named).absolute()  # the same one when the program changes its directory
    uid = os.geteuid()
    for base in (os.environ.get("XDG_RUNTIME_DIR"), f"/run/user/{uid}"):
        if base and Path(base).is_absolute():
            try:
                found = os.lstat(base)
            except OSError:
                continue
            if _unsafe(found) is None:
                return Path(base, "onesocket")
    # Not tempfile.gettempdir(): TMPDIR may differ from process to process, and then they would not find each other.
    return Path("/tmp", f"onesocket-{uid}")  # noqa: S108 - looked at before it's used


def _unsafe(found: os.stat_result) -> str | None:
    if stat.S_ISLNK(found.st_mode):
        return "it is a link"
    if not stat.S_ISDIR(found.st_mode):
        return "it is no directory"
    if found.st_uid != os.geteuid():
        return f"it belongs to user {found.st_uid}, and we are user {os.geteuid()}"
    if stat.S_IMODE(found.st_mode) & 0o077:
        return f"others may enter it (mode {stat.S_IMODE(found.st_mode):04o})"
    return None


@dataclass(frozen=True, slots=True)
class Place:
    """The files of one key. Their names are made from a hash, so they tell nothing."""

    directory: Path
    name: str

    @classmethod
    def of(cls, key: str, directory: str | None = None) -> Place:
        """The place of `key`; raises `NoRuntimeDirectory`."""
        return cls(runtime_directory(directory), hashlib.sha256(key.encode()).hexdigest()[:24])

    @property
    def lock(self) -> Path:
        """Whoever has this locked owns the connection. Never removed: whoever held a removed file would own nothing."""
        return self.directory / f"{self.name}.lock"

    @property
    def fence(self) -> Path:
        """Held for a moment by whoever replaces the lock of a stopped owner."""
        return self.directory / f"{self.name}.fence"

    @property
    def socket(self) -> Path:
        """Where the owner listens."""
        return self.directory / f"{self.name}.sock"

    def open_directory(self) -> int:
        """A descriptor of the directory, checked again; raises `NoRuntimeDirectory`. To be closed by the caller."""
        try:
            descriptor = os.open(self.directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError as error:
            raise NoRuntimeDirectory(f"{self.directory} can't be opened: {error.strerror}; {_REMEDY}") from error
        why = _unsafe(os.fstat(descriptor))
        if why is not None:
            os.close(descriptor)
            raise NoRuntimeDirectory(f"{self.directory} is not safe to share connections in: {why}; {_REMEDY}")
        return descriptor

    def socket_address(self, directory: int) -> str:
        """The socket's path for bind and connect, however long the directory's is; raises `NoRuntimeDirectory`."""
        path = str(self.socket)
        if len(os.fsencode(path)) <= _LONGEST_PATH:
            return path
        if sys.platform == "linux":
            return f"/proc/self/fd/{directory}/{self.socket.name}"
        raise NoRuntimeDirectory(
            f"{path} is too long for a Unix socket ({_LONGEST_PATH} bytes at most); set {VARIABLE} to a shorter one"
        )
