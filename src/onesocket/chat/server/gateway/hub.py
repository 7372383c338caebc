"""What all connections of one gateway share."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from ....transports.server_line import LineLimits
from ..ports import Directory, Event
from .close_codes import TOO_LARGE, UNKNOWN_ERROR
from .options import MAX_CLIENT_PAYLOAD, GatewayOptions
from .plan import Fault, Plan
from .presences import Presences
from .session import Session
from .sessions import Sessions
from .starts import Starts
from .stats import Counting

if TYPE_CHECKING:
    from .connection import Connection


class Hub:
    """One of each."""

    def __init__(self, options: GatewayOptions, publish: Callable[[Event], None], url: Callable[[], str]) -> None:
        self.options = options
        self.line_limits = LineLimits(
            max_size=MAX_CLIENT_PAYLOAD,
            write_buffer=options.write_buffer,
            close_timeout=options.close_timeout,
            too_large=TOO_LARGE,
            failed=UNKNOWN_ERROR,
        )
        self.url = url
        """Where a session is resumed."""
        self.counting = Counting()
        self.starts = Starts(options)
        self.plan = Plan()
        self.plan.on_change = self._plan_changed
        self.presences = Presences(self.the_directory, self.sessions_of, publish)
        self.sessions = Sessions(options, self.counting, self.presences.changed)
        self.connections: set[Connection] = set()
        self.directory: Directory | None = None

    def __repr__(self) -> str:
        return f"<Hub connections={len(self.connections)} {self.sessions!r}>"

    def the_directory(self) -> Directory:
        """The service; it is made after the gateway."""
        if self.directory is None:
            raise RuntimeError("the gateway was started before it was given its directory")
        return self.directory

    def sessions_of(self, user_id: int) -> tuple[Session, ...]:
        """Every session of this user."""
        return self.sessions.of(user_id)

    def _plan_changed(self, fault: Fault) -> None:
        for connection in tuple(self.connections):
            connection.fault_changed(fault)
