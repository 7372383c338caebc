"""What all connections of one gateway share, and the connections."""

from __future__ import annotations

from collections.abc import Callable

from onesocket.transports._server_connection import ServerConnectionLimits

from .._ports import Directory, Event
from . import _session_start as opening
from ._client_payloads import Identify, Resume
from ._close_codes import TOO_LARGE, UNKNOWN_ERROR
from ._connection import GatewayConnection
from ._fault_schedule import Fault, FaultSchedule
from ._identify_limiter import IdentifyLimiter
from ._options import MAX_CLIENT_PAYLOAD, GatewayOptions
from ._presence_tracker import PresenceTracker
from ._session import GatewaySession
from ._session_registry import SessionRegistry
from ._stats import StatsCounter


class GatewayState:
    """One of each. Implements `connection.House`."""

    def __init__(self, options: GatewayOptions, publish: Callable[[Event], None], url: Callable[[], str]) -> None:
        self.options = options
        self.connection_limits = ServerConnectionLimits(
            max_size=MAX_CLIENT_PAYLOAD,
            write_buffer=options.write_buffer,
            close_timeout=options.close_timeout,
            too_large=TOO_LARGE,
            failed=UNKNOWN_ERROR,
        )
        self.url = url
        """Where a session is resumed."""
        self.stats_counter = StatsCounter()
        self.identify_limiter = IdentifyLimiter(options)
        self.fault_schedule = FaultSchedule()
        self.fault_schedule.on_change = self._faults_changed
        self.presences = PresenceTracker(self.get_directory, self.sessions_of, publish)
        self.sessions = SessionRegistry(options, self.stats_counter, self.presences.changed)
        self.connections: set[GatewayConnection] = set()
        self.directory: Directory | None = None

    def __repr__(self) -> str:
        return f"<Hub connections={len(self.connections)} {self.sessions!r}>"

    def get_directory(self) -> Directory:
        """The service; it is made after the gateway."""
        if self.directory is None:
            raise RuntimeError("the gateway was started before it was given its directory")
        return self.directory

    def sessions_of(self, user_id: int) -> tuple[GatewaySession, ...]:
        """Every session of this user."""
        return self.sessions.of(user_id)

    def arrived(self, connection: GatewayConnection) -> None:
        """There is one connection more."""
        self.connections.add(connection)
        self.stats_counter.add("open")

    def left(self, connection: GatewayConnection) -> None:
        """There is one connection less."""
        self.connections.discard(connection)
        self.stats_counter.add("open", -1)

    async def identify(self, connection: GatewayConnection, wanted: Identify) -> None:
        """Give it a new session. Raises `Misuse`."""
        await opening.identify(connection, wanted, self.identify_limiter, self.url)

    async def resume(self, connection: GatewayConnection, wanted: Resume) -> None:
        """Give it the session that it had. Raises `Misuse`."""
        await opening.resume(connection, wanted)

    def _faults_changed(self, fault: Fault) -> None:
        for connection in tuple(self.connections):
            connection.fault_changed(fault)
