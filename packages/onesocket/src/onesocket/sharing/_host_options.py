"""The options of host sharing: time-outs and bounds, checked once."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from pathlib import Path

from ..client._options import check_seconds
from ..errors import InvalidOption


class Own(enum.StrEnum):
    """The part of a process in the choice of the one that holds the connection."""

    PREFER = "prefer"
    """Hold it if possible: an owner that merely may do so hands over to this process, in order."""
    ALLOW = "allow"
    """Hold it if no other process does, and leave it to one that prefers to."""
    NEVER = "never"
    """Only use the connection of another process, and wait while there is none."""


class OnStopped(enum.StrEnum):
    """The reaction of followers to an owner that is stopped (SIGSTOP, a debugger, a frozen container)."""

    WAIT = "wait"
    """Wait until it goes on, with the connection that it has. Never two connections at once."""
    TAKE_OVER = "take-over"
    """Dial after `stopped_after`; the old owner's connection stays open until it goes on and notices."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HostOptions:
    """Times are seconds."""

    directory: str | None = None
    """Where lock and socket are; None: `ONESOCKET_RUNTIME_DIR`, else the user's runtime directory."""
    own: Own | str = Own.ALLOW
    """The part of this process in the choice of the one that holds the connection."""
    heartbeat: float = 1.0
    """Between two signs of life of the owner."""
    stopped_after: float = 3.5
    """Silence after which the owner counts as stopped."""
    on_stopped: OnStopped | str = OnStopped.WAIT
    attach_timeout: float = 2.0
    """For an owner's answer to a process that attaches."""
    buffer: int = 64 * 2**20
    """Bytes of the newest messages that the owner keeps for processes that lag; those get a gap for what is older.

    As many wait within a process for a reader of its own that holds it back, with 64 bytes more for each message."""
    keep: float = 10.0
    """Time for which messages are kept that all attached processes have: for one that attaches again."""
    hold: float = 0.0
    """Time for which the owner may hold the feed back for all when a process that reads is about to miss messages."""
    cut_off_after: float = 60.0
    """A follower that has read nothing for so long is disconnected; it attaches again when it goes on."""
    most_followers: int = 1024

    def __post_init__(self) -> None:
        directory: object = self.directory
        if isinstance(directory, Path):
            object.__setattr__(self, "directory", str(directory))
        elif directory is not None and not isinstance(directory, str):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise InvalidOption(f"directory must be a path as a str, or None, not {directory!r}")
        for name in ("heartbeat", "stopped_after", "attach_timeout", "keep", "cut_off_after"):
            check_seconds(name, getattr(self, name))
        if self.hold != 0 or isinstance(self.hold, bool):
            check_seconds("hold", self.hold)
        if self.stopped_after < 2 * self.heartbeat:
            raise InvalidOption(
                f"stopped_after ({self.stopped_after:g} s) must be at least two heartbeats ({self.heartbeat:g} s each)"
            )
        for name in ("buffer", "most_followers"):
            value: object = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise InvalidOption(f"{name} must be a whole number above 0, not {value!r}")
        for name, kind in (("own", Own), ("on_stopped", OnStopped)):
            given: str = getattr(self, name)
            try:
                object.__setattr__(self, name, kind(given))
            except ValueError:
                names = " or ".join(repr(rule.value) for rule in kind)
                raise InvalidOption(f"{name} must be {names}, not {given!r}") from None

    @property
    def takes_over(self) -> bool:
        """True if this process replaces a stopped owner."""
        return self.on_stopped is OnStopped.TAKE_OVER and self.own is not Own.NEVER
