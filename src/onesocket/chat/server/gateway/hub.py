"""What all connections of one gateway share, and the connections."""

from __future__ import annotations

from collections.abc import Callable

from ....transports.server_line import LineLimits
from ..ports import Directory, Event
from . import opening
from .close_codes import TOO_LARGE, UNKNOWN_ERROR
from .connection import Connection
from .options import MAX_CLIENT_PAYLOAD, GatewayOptions
from .plan import Fault, Plan
from .presences import Presences
from .requests import Identify, Resume
from .session import Session
from .sessions import Sessions
from .starts import Starts
from .stats import Counting


class Hub:
    """One of each. Implements `connection.House`."""

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

    def arrived(self, connection: Connection) -> None:
        """There is one connection more."""
        self.connections.add(connection)
        self.counting.add("open")

    def left(self, connection: Connection) -> None:
        """There is one connection less."""
        self.connections.discard(connection)
        self.counting.add("open", -1)

    async def identify(self, connection: Connection, wanted: Identify) -> None:
        """Give it a new session. Raises `Misuse`."""
        await opening.identify(connection, wanted, self.starts, self.url)

    async def resume(self, connection: Connection, wanted: Resume) -> None:
        """Give it the session that it had. Raises `Misuse`."""
        await opening.resume(connection, wanted)

    def _plan_changed(self, fault: Fault) -> None:
        for connection in tuple(self.connections):
            connection.fault_changed(fault)
