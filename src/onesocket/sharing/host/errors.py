"""What can go wrong between the processes of one machine."""

from __future__ import annotations

from ...errors import ConnectFailed, InvalidOption, LineLost, PeerError, UsageError


class NoRuntimeDirectory(UsageError):
    """There is no directory that is this user's alone, so nothing can be shared safely."""


class OtherRelease(PeerError):
    """The process that holds the shared connection runs a release that speaks another protocol."""

    def __init__(self, text: str, *, ours: int, theirs: int) -> None:
        super().__init__(text)
        self.ours = ours
        self.theirs = theirs


class OtherUser(PeerError):
    """The process at the other end of the Unix socket belongs to another user."""


class OtherToken(InvalidOption):
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


class OwnerLost(LineLost):
    """The process that held the shared connection is gone, or let go of it; another takes over."""
