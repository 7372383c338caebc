"""One client's connection: Discord's opcodes, heartbeats and limits, from HELLO to its end."""

from __future__ import annotations

import asyncio
import logging
import zlib
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, Final, Protocol

from picows import WSMsgType

from onesocket.transports._server_connection import ServerConnection, ServerConnectionLimits
from onesocket.wire._handshake import Data

from ...protocol._compression import COMPRESSORS, Compressor
from .._ports import Directory
from . import _client_payloads as requests
from . import _server_payloads as payloads
from ._client_payloads import ClientViolation
from ._close_codes import (
    ALREADY_AUTHENTICATED,
    DECODE_ERROR,
    ENDS_SESSION,
    INVALID_VERSION,
    NO_HEARTBEAT,
    NOT_AUTHENTICATED,
    RATE_LIMITED,
    SESSION_TIMED_OUT,
    UNKNOWN_ERROR,
    UNKNOWN_OPCODE,
    CloseStatus,
)
from ._dispatch_fault_injector import DispatchFaultInjector
from ._fault_schedule import Fault, FaultSchedule
from ._guild_members import may_request_members, push_members
from ._options import GatewayOptions
from ._presence_tracker import PresenceTracker
from ._session import GatewaySession
from ._session_registry import SessionRegistry
from ._stats import StatsCounter

log = logging.getLogger("onesocket_discord.server")

_IGNORED_OPCODES: Final = frozenset(
    {4, 31, 43}
)  # voice states, soundboard sounds, channel info: accepted, nothing comes of it
_API_VERSION: Final = "10"

Job = Callable[[], Awaitable[None]]


class GatewayContext(Protocol):
    """The hub, as its connections see it."""

    options: GatewayOptions
    connection_limits: ServerConnectionLimits
    stats_counter: StatsCounter
    fault_schedule: FaultSchedule
    presences: PresenceTracker
    sessions: SessionRegistry

    def get_directory(self) -> Directory:
        """The service."""
        ...

    def arrived(self, connection: GatewayConnection) -> None:
        """This one is open."""

    def left(self, connection: GatewayConnection) -> None:
        """Its socket is closed."""

    async def identify(self, connection: GatewayConnection, wanted: requests.Identify) -> None:
        """Give it a new session. Raises `ClientViolation`."""

    async def resume(self, connection: GatewayConnection, wanted: requests.Resume) -> None:
        """Give it the session that it had. Raises `ClientViolation`."""


class GatewayConnection:
    """Speaks with one client. What takes time is done by one task, in the order in which it was asked for."""

    def __init__(self, hub: GatewayContext, query: dict[str, str]) -> None:
        self.hub = hub
        self.session: GatewaySession | None = None
        self.line: ServerConnection = ServerConnection(self, hub.connection_limits)
        self._query = query
        self._compress: Compressor | None = None
        self._write: Callable[[bytes], object] = self._nowhere
        self._fault_injector: DispatchFaultInjector | None = None
        self._opening = False
        self._jobs: deque[Job] = deque()
        self._worker: asyncio.Task[None] | None = None
        self._recent: deque[float] = deque(maxlen=hub.options.rate_limit)
        self._loop = asyncio.get_running_loop()
        self._interval = hub.options.heartbeat_interval
        self._heard = self._without_session = self._loop.time()
        self._alarm: asyncio.TimerHandle | None = None

    def __repr__(self) -> str:
        return f"<Connection {self.session or 'without a session'}>"

    # --- the line ---------------------------------------------------------------------------------------------------

    def opened(self, line: ServerConnection) -> None:
        """The upgrade went through: HELLO, unless the query is wrong."""
        self.hub.arrived(self)
        self._choose_compression()
        if self._query.get("v", _API_VERSION) != _API_VERSION:
            line.close(*INVALID_VERSION)
        elif self._query.get("encoding", "json") != "json":
            line.close(*DECODE_ERROR)
        else:
            fault = self.hub.fault_schedule.take("heartbeat_interval")
            if fault is not None:
                self._interval = fault.values["seconds"]
            if self.hub.fault_schedule.take("no_hello") is None:
                self._write(payloads.hello(self._interval))
            self._heard = self._without_session = self._loop.time()
            self._watch()

    def received(self, data: Data) -> None:
        """One event from the client."""
        now = self._loop.time()
        recent = self._recent
        if len(recent) == recent.maxlen and now - recent[0] < self.hub.options.rate_window:
            self.close(RATE_LIMITED)
            return
        recent.append(now)
        try:
            self._take(requests.decode_payload(data))
        except ClientViolation as misuse:
            self.close(misuse.close)

    def overflowed(self) -> None:
        """The client doesn't read: its line is dropped, its session may be resumed."""
        self.hub.stats_counter.add("dropped")
        self.detach()
        self.line.abort()

    def ended(self, code: int) -> None:
        """The socket is closed."""
        session = self.session
        self.detach()
        if session is not None and code in ENDS_SESSION:
            self.hub.sessions.end(session)
        if self._alarm is not None:
            self._alarm.cancel()
        self._jobs.clear()
        if self._worker is not None:
            self._worker.cancel()
        self.hub.left(self)

    # --- what others ask for ----------------------------------------------------------------------------------------

    def send(self, payload: bytes) -> None:
        """Write one control payload."""
        if not self.line.closing:
            self._write(payload)

    def close(self, close: CloseStatus) -> None:
        """Close in order; the session, if there is one, can be resumed."""
        self.detach()
        self._jobs.clear()
        self.line.close(*close)

    def drop(self) -> None:
        """End the line by a reset."""
        self.detach()
        self.line.reset()

    def invalidate(self, *, resumable: bool) -> None:
        """Op 9. The client may go on, on this connection, with Resume or Identify."""
        session = self.session
        self.detach()
        if session is not None and not resumable:
            self.hub.sessions.end(session)
        self.hub.stats_counter.add("invalid_sessions")
        self.send(payloads.invalid_session(resumable=resumable))

    def attach(self, session: GatewaySession) -> None:
        """Carry this session from now on."""
        self.session = session
        session.connection = self
        self.hub.sessions.arrived(session)
        self.update_writer()

    def detach(self) -> None:
        """Carry no session any more."""
        session, self.session = self.session, None
        if self._fault_injector is not None:
            self._fault_injector.stop()
            self._fault_injector = None
        if session is not None:
            session.connection = session.write = None
            self._opening = False
            self._without_session = self._loop.time()
            self.hub.sessions.left(session)
            self._watch()

    def update_writer(self) -> None:
        """Dispatches go straight to the line, or through the mangler while a fault says so."""
        if self.session is None:
            return
        if self._fault_injector is None and self.hub.fault_schedule.affects_dispatches(self):
            self._fault_injector = DispatchFaultInjector(
                self, self.hub.fault_schedule, self._write, self.overflowed, self.update_writer
            )
        elif (
            self._fault_injector is not None
            and self._fault_injector.idle
            and not self.hub.fault_schedule.affects_dispatches(self)
        ):
            self._fault_injector = None
        self.session.write = self._write if self._fault_injector is None else self._fault_injector.write

    def fault_changed(self, fault: Fault) -> None:
        """A fault was added, is used up, or was lifted."""
        if self._fault_injector is not None and not fault.stands:
            self._fault_injector.settle(fault)
        self.update_writer()

    def write_packed(self, payload: bytes) -> None:
        """Write one payload, compressed by itself."""
        self.line.writer(WSMsgType.BINARY)(zlib.compress(payload))

    @property
    def is_compressed(self) -> bool:
        """Whether the whole connection is."""
        return self._compress is not None

    def replay(self, frames: list[bytes]) -> None:
        """Write dispatches again, as they were."""
        for frame in frames:
            self._write(frame)

    # --- opcodes ----------------------------------------------------------------------------------------------------

    def _take(self, payload: requests.ClientPayload) -> None:
        match payload.op:
            case 1:
                self._beat(payload)
            case 2 | 6 if self._opening or self.session is not None:
                raise ClientViolation(ALREADY_AUTHENTICATED)
            case 2:
                identity = requests.read_identify(requests.decode_body(payload))
                self._opening = True
                self._do(lambda: self._open(self.hub.identify(self, identity)))
            case 6:
                wanted = requests.read_resume(requests.decode_body(payload))
                self._opening = True
                self._do(lambda: self._open(self.hub.resume(self, wanted)))
            case 3 | 8 | 4 | 31 | 43 if not self._opening and self.session is None:
                raise ClientViolation(NOT_AUTHENTICATED)
            case 3:
                presence = requests.read_presence(requests.decode_body(payload))
                self._do(lambda: self._present(presence))
            case 8:
                members = requests.read_request_guild_members(requests.decode_body(payload))
                self._do(lambda: self._answer(members))
            case op if op in _IGNORED_OPCODES:
                pass
            case _:
                raise ClientViolation(UNKNOWN_OPCODE)

    def _beat(self, payload: requests.ClientPayload) -> None:
        requests.read_heartbeat(requests.decode_body(payload))
        self._heard = self._loop.time()
        self.hub.stats_counter.add("heartbeats")
        if self.hub.fault_schedule.take("withhold_acks", self) is None:
            self.send(payloads.HEARTBEAT_ACK)

    async def _open(self, attempt: Awaitable[None]) -> None:
        try:
            async with asyncio.timeout(self.hub.options.identify_timeout):
                await attempt
        except TimeoutError:
            raise ClientViolation(UNKNOWN_ERROR) from None
        finally:
            self._opening = False
            self._without_session = self._loop.time()
            self._watch()

    async def _present(self, presence: dict[str, Any]) -> None:
        if self.session is not None:
            self.session.presence = presence
            self.hub.presences.changed(self.session.account.user_id)

    async def _answer(self, wanted: requests.RequestGuildMembers) -> None:
        """Send the wanted members; none of a guild that the user is not in, nor a whole list without GUILD_MEMBERS."""
        session = self.session
        if session is not None and may_request_members(session, wanted):
            directory = self.hub.get_directory()
            members = await directory.members(session.account, wanted.guild_id, wanted.user_ids)
            if members is not None and session is self.session:
                push_members(session, wanted, members, self.hub.presences)

    def _do(self, job: Job) -> None:
        self._jobs.append(job)
        if self._worker is None:
            self._worker = self._loop.create_task(self._work())

    async def _work(self) -> None:
        try:
            while self._jobs:
                await self._jobs.popleft()()
        except ClientViolation as misuse:
            self.close(misuse.close)
        except Exception:
            log.exception("the gateway failed on a request of a client")
            self.close(UNKNOWN_ERROR)
        finally:
            self._worker = None

    # --- time -------------------------------------------------------------------------------------------------------

    def _watch(self) -> None:
        """One timer for both deadlines; it looks again when the nearer one has moved."""
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        if self.line.closing:
            return
        due = self._heard + self._interval * self.hub.options.heartbeat_grace
        if self.session is None and not self._opening:
            due = min(due, self._without_session + self.hub.options.identify_timeout)
        self._alarm = self._loop.call_at(due, self._look)

    def _look(self) -> None:
        self._alarm = None
        now = self._loop.time()
        if now >= self._heard + self._interval * self.hub.options.heartbeat_grace:
            self.close(NO_HEARTBEAT)
        elif (
            self.session is None
            and not self._opening
            and now >= self._without_session + self.hub.options.identify_timeout
        ):
            self.close(SESSION_TIMED_OUT)
        else:
            self._watch()

    # --- writing ----------------------------------------------------------------------------------------------------

    def _choose_compression(self) -> None:
        asked = self._query.get("compress", "")
        fault = self.hub.fault_schedule.take("force_compression")
        if fault is not None:
            asked = fault.values["name"]
        stream = COMPRESSORS.get(asked)
        if stream is None:
            self._write = self.line.writer()
            return
        self.hub.stats_counter.add(asked.replace("-", "_"))
        compress = self._compress = stream()
        write = self.line.writer(WSMsgType.BINARY)
        self._write = lambda payload: write(compress(payload))

    def _nowhere(self, _: bytes) -> None:
        """Before the line is open there is nothing to say."""
