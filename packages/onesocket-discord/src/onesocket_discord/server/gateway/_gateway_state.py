"""The state that all connections of the local server's gateway share."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from onesocket.transports._server_connection import ServerConnectionLimits

from ..._serving import EncodedDispatch, GatewayOptions
from ...protocol._close_codes import REASONS, CloseCode
from ...protocol._limits import PAYLOAD_LIMIT
from .._login_guard import LoginGuard
from .._ports import Account, Directory, Event, Json
from ._fault_schedule import Fault, FaultSchedule
from ._identify_limiter import IdentifyLimiter, IdentifyVerdict
from ._presence_tracker import PresenceTracker
from ._session import GatewaySession
from ._session_registry import SessionRegistry
from ._stats import StatsCounter

if TYPE_CHECKING:
    from ..cluster import ClusterNode
    from ._connection import GatewayConnection


class GatewayState:
    """The connections and sessions, the presences, the faults and the counters of one gateway."""

    def __init__(self, options: GatewayOptions, publish: Callable[[Event], None], url: Callable[[], str]) -> None:
        self.options = options
        self.connection_limits = ServerConnectionLimits(
            max_size=PAYLOAD_LIMIT,
            write_buffer=options.write_buffer,
            close_timeout=options.close_timeout,
            too_large=(CloseCode.DECODE_ERROR, "Payload too large"),
            failed=(CloseCode.UNKNOWN_ERROR, REASONS[CloseCode.UNKNOWN_ERROR]),
        )
        self.url = url
        """Returns the address at which a session is resumed."""
        self.stats_counter = StatsCounter()
        self.identify_limiter = IdentifyLimiter(options)
        self.fault_schedule = FaultSchedule()
        self.fault_schedule.on_change = self._faults_changed
        self.presences = PresenceTracker(self.get_directory, self.sessions_of, publish)
        self.sessions = SessionRegistry(options, self.stats_counter, self.presences.changed, self._session_ended)
        self.cluster: ClusterNode | None = None
        """Shares sessions, presences and limits with other servers; None: there are none."""
        self.login_guard = LoginGuard()
        self.connections: set[GatewayConnection] = set()
        self.forwarded: Counter[str] = Counter()
        """Open connections by the networks of the clients that trusted proxies have named."""
        self.directory: Directory | None = None

    def __repr__(self) -> str:
        return f"<GatewayState connections={len(self.connections)} {self.sessions!r}>"

    def get_directory(self) -> Directory:
        """The directory; it is set when the gateway starts."""
        if self.directory is None:
            raise RuntimeError("the gateway was started before it was given its directory")
        return self.directory

    def sessions_of(self, user_id: int) -> tuple[GatewaySession, ...]:
        """Every session of this user."""
        return self.sessions.of(user_id)

    async def push(self, session: GatewaySession, dispatches: Sequence[EncodedDispatch]) -> None:
        """Push dispatches that this session alone is sent."""
        if self.cluster is not None:
            await self.cluster.sessions.push(session, dispatches)
        else:
            for dispatch in dispatches:
                session.push(dispatch)

    async def check_identify(self, account: Account, shard: int) -> IdentifyVerdict:
        """Decide about one Identify of this account."""
        if self.cluster is not None:
            return await self.cluster.identifies.check(account, shard)
        return self.identify_limiter.check(account, shard)

    async def session_start_limit(self, account: Account) -> Json:
        """The `session_start_limit` of ``GET /gateway/bot`` for this account."""
        if self.cluster is not None:
            return await self.cluster.identifies.limit(account)
        return self.identify_limiter.limit(account)

    def _session_ended(self, session: GatewaySession) -> None:
        if self.cluster is not None:
            self.cluster.sessions.ended(session)

    def connection_opened(self, connection: GatewayConnection) -> None:
        """Add an open connection."""
        self.connections.add(connection)
        if connection.source.is_forwarded:
            self.forwarded[connection.source.network] += 1
        self.stats_counter.add("open")

    def connection_ended(self, connection: GatewayConnection) -> None:
        """Remove a connection whose socket is closed."""
        self.connections.discard(connection)
        source = connection.source
        if source.is_forwarded:
            self.forwarded[source.network] -= 1
            if not self.forwarded[source.network]:
                del self.forwarded[source.network]
        self.stats_counter.add("open", -1)

    def _faults_changed(self, fault: Fault) -> None:
        for connection in tuple(self.connections):
            connection.fault_changed(fault)
