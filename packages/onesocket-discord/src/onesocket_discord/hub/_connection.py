"""One local client's connection: a gateway's opcodes, heartbeats and limits, from HELLO to its end."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from typing import Any, Final, Protocol

from picows import WSMsgType

from onesocket.errors import DeliveryUnknown, OnesocketError
from onesocket.hub._counters import HubCounters
from onesocket.transports._server_connection import ServerConnection, ServerConnectionLimits, encode_frame
from onesocket.wire._handshake import Data

from ..protocol._close_codes import CloseCode
from ..protocol._compression import COMPRESSORS, Compressor
from . import _client_payloads as requests
from . import _server_payloads as payloads
from ._client_payloads import FrontendViolation
from ._member_requests import MemberRequests
from ._session import FrontendSession

log = logging.getLogger("onesocket")

_FORWARDED_OPCODES: Final = frozenset({4, 31, 43})  # voice states, soundboard sounds, channel info
_RATE_LIMIT: Final = 120
_RATE_WINDOW: Final = 60.0
_HEARTBEAT_GRACE: Final = 1.5
"""Heartbeat intervals without a heartbeat after which a client is given up."""
_LOGIN_TIMEOUT: Final = 60.0
"""Seconds from HELLO to a session; the upstream may have to come up first."""
_ENDS_SESSION: Final = frozenset({1000, 1001})
_TRY_LATER: Final = 1013


class DiscordFrontendContext(Protocol):
    """The desk, as its connections see it."""

    heartbeat_interval: float
    member_requests: MemberRequests

    @property
    def counters(self) -> HubCounters:
        """What the hub counts."""
        ...

    def client_connected(self, connection: FrontendConnection) -> None:
        """Its upgrade went through."""

    def client_disconnected(self, connection: FrontendConnection) -> None:
        """Its socket is closed."""

    def flush_soon(self, connection: FrontendConnection) -> None:
        """Flush it at the end of this turn of the loop."""

    def identify(self, connection: FrontendConnection, wanted: requests.FrontendIdentify) -> None:
        """Op 2: give it a session, now or when there is one upstream. Raises `FrontendViolation`."""

    def resume(self, connection: FrontendConnection, wanted: requests.FrontendResume) -> None:
        """Op 6: give it its session back, or invalidate it. Raises `FrontendViolation`."""

    def wait_for(self, session: FrontendSession) -> None:
        """Its connection is gone: it can be resumed for a while."""

    def end(self, session: FrontendSession) -> None:
        """Nobody will resume it."""

    async def pass_on(self, request: Any) -> None:
        """Send one request up. Raises what `Client.send` raises."""


class FrontendConnection:
    """Owns its line. What it writes goes out once for each turn of the loop."""

    def __init__(
        self, front: DiscordFrontendContext, limits: ServerConnectionLimits, query: dict[str, str], host: str
    ) -> None:
        self.line = ServerConnection(self, limits)
        self.host = host
        """The name under which it found us."""
        self.session: FrontendSession | None = None
        self.wanted: requests.FrontendIdentify | None = None
        """What it identified with, until it's greeted."""
        self._frontend_context = front
        self._query = query
        self._compress: Compressor | None = None
        self._out: list[bytes] = []
        self._up: deque[Any] = deque()
        self._sender: asyncio.Task[None] | None = None
        self._loop = asyncio.get_running_loop()
        self._recent: deque[float] = deque(maxlen=_RATE_LIMIT)
        self._interval = front.heartbeat_interval
        self._heard = self._without_session = self._loop.time()
        self._alarm: asyncio.TimerHandle | None = None

    def __repr__(self) -> str:
        return f"<Connection {self.session or 'without a session'} waiting={len(self._up)}>"

    @property
    def waiting(self) -> int:
        """Requests that wait to go up."""
        return len(self._up)

    # --- the line ---------------------------------------------------------------------------------------------------

    def opened(self, line: ServerConnection) -> None:
        """The upgrade went through: HELLO, unless the query is wrong."""
        self._frontend_context.client_connected(self)
        if self._query.get("v", "10") != "10":
            line.close(CloseCode.INVALID_API_VERSION, "Invalid API version")
        elif self._query.get("encoding", "json") != "json":
            line.close(CloseCode.DECODE_ERROR, "This hub speaks encoding=json")
        else:
            stream = COMPRESSORS.get(self._query.get("compress", ""))
            self._compress = stream() if stream is not None else None
            self.write(payloads.hello(self._interval))
            self._watch()

    def received(self, data: Data) -> None:
        """One event from the client."""
        now = self._loop.time()
        if len(self._recent) == _RATE_LIMIT and now - self._recent[0] < _RATE_WINDOW:
            self.close(CloseCode.RATE_LIMITED, "Rate limited")
            return
        self._recent.append(now)
        try:
            self._take(requests.decode_payload(data))
        except FrontendViolation as misuse:
            self.close(misuse.code, misuse.reason)

    def overflowed(self) -> None:
        """It doesn't read: it is cut off; its session may be resumed."""
        if not self.line.closing:
            self._frontend_context.counters.cut_off += 1
            self.close(_TRY_LATER, "cut off: too much was waiting to be read")

    def ended(self, code: int) -> None:
        """The socket is closed."""
        session = self.session
        self.detach()
        if session is not None and code in _ENDS_SESSION:
            self._frontend_context.end(session)
        if self._alarm is not None:
            self._alarm.cancel()
        self._frontend_context.client_disconnected(self)

    # --- writing ----------------------------------------------------------------------------------------------------

    def write(self, payload: bytes) -> None:
        """Write one payload, at the end of this turn of the loop."""
        if self.line.closing:
            return
        if not self._out:
            self._frontend_context.flush_soon(self)
        if self._compress is None:
            self._out.append(encode_frame(payload, WSMsgType.TEXT))
        else:
            self._out.append(encode_frame(self._compress(payload), WSMsgType.BINARY))

    def flush(self) -> None:
        """Write what was collected."""
        out, self._out = self._out, []
        if out and not self.line.closing:
            blob = b"".join(out)
            self._frontend_context.counters.delivered_bytes += len(blob)
            self.line.write_frames(blob)

    def close(self, code: int, reason: str) -> None:
        """Close in order; the session, if there is one, can be resumed."""
        self.detach()
        self.flush()
        self.line.close(code, reason)

    # --- the session ------------------------------------------------------------------------------------------------

    def attach(self, session: FrontendSession) -> None:
        """Carry this session from now on."""
        self.wanted = None
        self.session = session
        session.connection = self

    def detach(self) -> None:
        """Carry no session any more."""
        session, self.session = self.session, None
        self.wanted = None
        if session is not None:
            session.connection = None
            self._without_session = self._loop.time()
            self._frontend_context.wait_for(session)
            self._watch()

    def invalidate(self) -> None:
        """Op 9: the client may identify anew, on this connection."""
        self.detach()
        self.write(payloads.INVALID_SESSION)

    # --- opcodes ----------------------------------------------------------------------------------------------------

    def _take(self, payload: requests.FrontendPayload) -> None:
        match payload.op:
            case 1:
                self._heard = self._loop.time()
                self.write(payloads.HEARTBEAT_ACK)
            case 2 | 6 if self.session is not None or self.wanted is not None:
                raise FrontendViolation(CloseCode.ALREADY_AUTHENTICATED, "Already authenticated")
            case 2:
                self._frontend_context.identify(self, requests.read_identify(payload.d))
            case 6:
                self._frontend_context.resume(self, requests.read_resume(payload.d))
            case 3 | 8 | 4 | 31 | 43 if self.session is None:
                raise FrontendViolation(CloseCode.NOT_AUTHENTICATED, "Not authenticated")
            case 3:
                self.forward(requests.read_presence(payload.d))
            case 8 if self.session is not None:
                wanted = requests.read_request_guild_members(payload.d, self.session.intents)
                if wanted is not None:
                    self.forward({"op": 8, "d": self._frontend_context.member_requests.ask(self.session, wanted)})
            case op if op in _FORWARDED_OPCODES:
                self.forward({"op": op, "d": payload.d})
            case _:
                raise FrontendViolation(CloseCode.UNKNOWN_OPCODE, "Unknown opcode")

    def forward(self, request: Any) -> None:
        """Pass a request on, after those before it."""
        if len(self._up) >= _RATE_LIMIT:
            raise FrontendViolation(CloseCode.RATE_LIMITED, "Too many requests wait for the upstream")
        self._up.append(request)
        if self._sender is None:
            self._sender = self._loop.create_task(self._forward(), name="onesocket hub sends")

    async def _forward(self) -> None:
        try:
            while self._up:
                await self._frontend_context.pass_on(self._up.popleft())
        except OnesocketError as error:
            after = len(self._up)
            self._up.clear()
            self._frontend_context.counters.not_sent += 1 + after
            fate = "may not have gone up" if isinstance(error, DeliveryUnknown) else "was not sent up"
            reason = f"a request {fate}{f', nor were {after} after it' if after else ''} ({type(error).__name__})"
            if self.line.closing:
                log.warning("a client that has left can't be told: %s: %s", reason, error)
            self.close(CloseCode.UNKNOWN_ERROR, reason)
        finally:
            self._sender = None

    # --- time -------------------------------------------------------------------------------------------------------

    def _watch(self) -> None:
        """One timer for both deadlines; it looks again when the nearer one has moved."""
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        if not self.line.closing:
            self._alarm = self._loop.call_at(min(self._deadlines()), self._look)

    def _deadlines(self) -> tuple[float, float]:
        login = self._without_session + _LOGIN_TIMEOUT if self.session is None else float("inf")
        return self._heard + self._interval * _HEARTBEAT_GRACE, login

    def _look(self) -> None:
        self._alarm = None
        now = self._loop.time()
        heartbeat, login = self._deadlines()
        if now >= heartbeat:
            self.close(CloseCode.UNKNOWN_ERROR, "No heartbeat came in time")
        elif now >= login:
            self.close(CloseCode.SESSION_TIMED_OUT, "Session timed out")
        else:
            self._watch()
