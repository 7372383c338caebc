"""What can go wrong between the processes of one machine."""

from __future__ import annotations

import errno
from typing import Final

from ...errors import ConnectFailed, ConnectionFailure, InvalidOption, OnesocketError, PeerError, UsageError

_EXHAUSTION_ERRNOS: Final = frozenset(
    getattr(errno, name)
    for name in ("EMFILE", "ENFILE", "ENOMEM", "ENOBUFS", "ENOSPC", "EDQUOT")
    if hasattr(errno, name)
)
REMEDY: Final = "set ONESOCKET_RUNTIME_DIR to a directory of yours with mode 0700"


class NoRuntimeDirectory(UsageError):
    """There is no directory that is this user's alone, so nothing can be shared safely."""


class OutOfResources(ConnectFailed):
    """A process of this connection has no file descriptor, no memory or no room on the disk left for sharing it."""


class VersionMismatch(PeerError):
    """The process that holds the shared connection runs a release that speaks another protocol."""

    def __init__(self, text: str, *, ours: int, theirs: int) -> None:
        super().__init__(text)
        self.ours = ours
        self.theirs = theirs


class ForeignUser(PeerError):
    """The process at the other end of the Unix socket belongs to another user."""


class TokenMismatch(InvalidOption):
    """Another process shares this key with another token."""


class WireError(PeerError):
    """A process of ours sent what no release of onesocket sends; it was hung up on."""

    retryable = True


class OwnerSilent(ConnectFailed):
    """The process that holds the shared connection doesn't answer: stopped, or far too busy."""

    @classmethod
    def of(cls, pid: int) -> OwnerSilent:
        """The error that names this process; 0: it isn't known."""
        who = f" (pid {pid})" if pid else ""
        return cls(f"the process that holds the connection{who} does not answer: it is stopped, or far too busy")


class OwnerLost(ConnectionFailure):
    """The process that held the shared connection is gone, or let go of it; another takes over."""


def translate_os_error(error: OSError, text: str) -> OnesocketError:
    """Convert an operating system's error to the one that sharing raises; `text` says what could not be done."""
    why = f"{text}: {error.strerror or error}"
    failure = OutOfResources(why) if error.errno in _EXHAUSTION_ERRNOS else NoRuntimeDirectory(f"{why}; {REMEDY}")
    failure.__cause__ = error
    return failure
