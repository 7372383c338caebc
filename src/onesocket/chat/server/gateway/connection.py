"""One client's connection: Discord's opcodes, heartbeats and limits, from HELLO to its end."""

from __future__ import annotations

import asyncio
import logging
import zlib
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, Final, Protocol

from picows import WSMsgType

from ....protocols.discord.deflate import STREAMS, Compress
from ....transports.server_line import LineLimits, ServerLine
from ....wire import Data
from ..ports import Directory
from . import payloads, requests
from .close_codes import (
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
    Close,
)
from .mangler import Mangler
from .members import may_list, push_members
from .options import GatewayOptions
from .plan import Fault, Plan
from .presences import Presences
from .requests import Misuse
from .session import Session
from .sessions import Sessions
from .stats import Counting

log = logging.getLogger("onesocket.chat")

_IGNORED: Final = frozenset({4, 31, 43})  # voice states, soundboard sounds, channel info: accepted, nothing comes of it
_VERSION: Final = "10"

Job = Callable[[], Awaitable[None]]


class House(Protocol):
    """The hub, as its connections see it."""

    options: GatewayOptions
    line_limits: LineLimits
    counting: Counting
    plan: Plan
    presences: Presences
    sessions: Sessions

    def the_directory(self) -> Directory:
        """The service."""
        ...

    def arrived(self, connection: Connection) -> None:
        """This one is open."""

    def left(self, connection: Connection) -> None:
        """Its socket is closed."""

    async def identify(self, connection: Connection, wanted: requests.Identify) -> None:
        """Give it a new session. Raises `Misuse`."""

    async def resume(self, connection: Connection, wanted: requests.Resume) -> None:
        """Give it the session that it had. Raises `Misuse`."""


class Connection:
    """Speaks with one client. What takes time is done by one task, in the order in which it was asked for."""

    def __init__(self, hub: House, query: dict[str, str]) -> None:
        self.hub = hub
        self.session: Session | None = None
        self.line: ServerLine = ServerLine(self, hub.line_limits)
        self._query = query
        self._compress: Compress | None = None
        self._write: Callable[[bytes], object] = self._nowhere
        self._mangler: Mangler | None = None
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

    def opened(self, line: ServerLine) -> None:
        """The upgrade went through: HELLO, unless the query is wrong."""
        self.hub.arrived(self)
        self._choose_compression()
        if self._query.get("v", _VERSION) != _VERSION:
            line.close(*INVALID_VERSION)
        elif self._query.get("encoding", "json") != "json":
            line.close(*DECODE_ERROR)
        else:
            fault = self.hub.plan.take("heartbeat_interval")
            if fault is not None:
                self._interval = fault.values["seconds"]
            if self.hub.plan.take("no_hello") is None:
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
            self._take(requests.decode(data))
        except Misuse as misuse:
            self.close(misuse.close)

    def overflowed(self) -> None:
        """The client doesn't read: its line is dropped, its session may be resumed."""
        self.hub.counting.add("dropped")
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

    def close(self, close: Close) -> None:
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
        self.hub.counting.add("invalid_sessions")
        self.send(payloads.invalid_session(resumable=resumable))

    def attach(self, session: Session) -> None:
        """Carry this session from now on."""
        self.session = session
        session.connection = self
        self.hub.sessions.arrived(session)
        self.rewire()

    def detach(self) -> None:
        """Carry no session any more."""
        session, self.session = self.session, None
        if self._mangler is not None:
            self._mangler.stop()
            self._mangler = None
        if session is not None:
            session.connection = session.write = None
            self._opening = False
            self._without_session = self._loop.time()
            self.hub.sessions.left(session)
            self._watch()

    def rewire(self) -> None:
        """Dispatches go straight to the line, or through the mangler while a fault says so."""
        if self.session is None:
            return
        if self._mangler is None and self.hub.plan.mangles(self):
            self._mangler = Mangler(self, self.hub.plan, self._write, self.overflowed, self.rewire)
        elif self._mangler is not None and self._mangler.idle and not self.hub.plan.mangles(self):
            self._mangler = None
        self.session.write = self._write if self._mangler is None else self._mangler.write

    def fault_changed(self, fault: Fault) -> None:
        """A fault was added, is used up, or was lifted."""
        if self._mangler is not None and not fault.stands:
            self._mangler.settle(fault)
        self.rewire()

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

    def _take(self, payload: requests.Payload) -> None:
        match payload.op:
            case 1:
                self._beat(payload)
            case 2 | 6 if self._opening or self.session is not None:
                raise Misuse(ALREADY_AUTHENTICATED)
            case 2:
                identity = requests.identify(requests.body(payload))
                self._opening = True
                self._do(lambda: self._open(self.hub.identify(self, identity)))
            case 6:
                wanted = requests.resume(requests.body(payload))
                self._opening = True
                self._do(lambda: self._open(self.hub.resume(self, wanted)))
            case 3 | 8 | 4 | 31 | 43 if not self._opening and self.session is None:
                raise Misuse(NOT_AUTHENTICATED)
            case 3:
                presence = requests.presence(requests.body(payload))
                self._do(lambda: self._present(presence))
            case 8:
                members = requests.members_wanted(requests.body(payload))
                self._do(lambda: self._answer(members))
            case op if op in _IGNORED:
                pass
            case _:
                raise Misuse(UNKNOWN_OPCODE)

    def _beat(self, payload: requests.Payload) -> None:
        requests.heartbeat(requests.body(payload))
        self._heard = self._loop.time()
        self.hub.counting.add("heartbeats")
        if self.hub.plan.take("withhold_acks", self) is None:
            self.send(payloads.HEARTBEAT_ACK)

    async def _open(self, attempt: Awaitable[None]) -> None:
        try:
            async with asyncio.timeout(self.hub.options.identify_timeout):
                await attempt
        except TimeoutError:
            raise Misuse(UNKNOWN_ERROR) from None
        finally:
            self._opening = False
            self._without_session = self._loop.time()
            self._watch()

    async def _present(self, presence: dict[str, Any]) -> None:
        if self.session is not None:
            self.session.presence = presence
            self.hub.presences.changed(self.session.account.user_id)

    async def _answer(self, wanted: requests.MembersWanted) -> None:
        """Send the wanted members; none of a guild that the user is not in, nor a whole list without GUILD_MEMBERS."""
        session = self.session
        if session is not None and may_list(session, wanted):
            directory = self.hub.the_directory()
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
        except Misuse as misuse:
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
        fault = self.hub.plan.take("force_compression")
        if fault is not None:
            asked = fault.values["name"]
        stream = STREAMS.get(asked)
        if stream is None:
            self._write = self.line.writer()
            return
        self.hub.counting.add(asked.replace("-", "_"))
        compress = self._compress = stream()
        write = self.line.writer(WSMsgType.BINARY)
        self._write = lambda payload: write(compress(payload))

    def _nowhere(self, _: bytes) -> None:
        """Before the line is open there is nothing to say."""
