"""One client's connection to a served gateway, from HELLO to its end."""

from __future__ import annotations

import abc
import asyncio
from collections import deque
from collections.abc import Mapping
from typing import Any, Final, Generic, TypeVar

from onesocket.transports._server_connection import ServerConnection, ServerConnectionLimits
from onesocket.wire._handshake import Data

from ..protocol._close_codes import REASONS, CloseCode
from ..protocol._compression import COMPRESSORS, Compressor
from ..protocol._limits import API_VERSION
from ..protocol._opcodes import Opcode
from ._client_payloads import (
    ClientPayload,
    ClientViolation,
    Identify,
    Resume,
    decode_payload,
    read_heartbeat,
    read_identify,
    read_resume,
)
from ._options import GatewayOptions
from ._server_payloads import HEARTBEAT_ACK, RESUMED, hello, invalid_session
from ._session import ServedSession
from ._session_registry import ServedSessions

_ENDS_SESSION: Final = frozenset({1000, 1001})
"""Close codes of a client that will not resume."""
_SESSION_OPCODES: Final = frozenset(
    {
        Opcode.PRESENCE_UPDATE,
        Opcode.VOICE_STATE_UPDATE,
        Opcode.REQUEST_GUILD_MEMBERS,
        Opcode.REQUEST_SOUNDBOARD_SOUNDS,
        43,  # channel info
    }
)
_RESUMED_ELSEWHERE: Final = "The session was resumed on another connection"

S = TypeVar("S", bound=ServedSession)


class ServedConnection(abc.ABC, Generic[S]):
    """Greets a client, logs it in, holds it to heartbeats and the rate limit, and passes its requests on."""

    def __init__(
        self,
        options: GatewayOptions,
        limits: ServerConnectionLimits,
        sessions: ServedSessions[S],
        query: Mapping[str, str],
    ) -> None:
        self.session: S | None = None
        self.websocket = ServerConnection(self, limits)
        self._options = options
        self._sessions = sessions
        self._query = query
        self._compress: Compressor | None = None
        self._interval = options.heartbeat_interval
        self._recent: deque[float] = deque(maxlen=options.rate_limit)
        self._loop = asyncio.get_running_loop()
        self._heartbeat_at = self._detached_at = self._loop.time()
        self._timer: asyncio.TimerHandle | None = None

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.session or 'without a session'}>"

    # --- what a kind of gateway adds --------------------------------------------------------------------------------

    @abc.abstractmethod
    def write(self, payload: bytes) -> None:
        """Write one payload, unless the connection is closing."""

    @abc.abstractmethod
    def _on_open(self) -> None:
        """The upgrade is complete, and the compression is chosen."""

    @abc.abstractmethod
    def _on_end(self) -> None:
        """The socket is closed, and the session detached."""

    @abc.abstractmethod
    def _identify(self, identify: Identify) -> None:
        """Handle op 2: attach a new session, now or later. Raises `ClientViolation`."""

    @abc.abstractmethod
    def _resume(self, resume: Resume) -> None:
        """Handle op 6: call `restore`, now or later. Raises `ClientViolation`."""

    @abc.abstractmethod
    def _request(self, opcode: int, d: Any) -> None:
        """Handle a request that needs a session. Raises `ClientViolation`."""

    @property
    @abc.abstractmethod
    def _is_logging_in(self) -> bool:
        """True if an Identify or Resume is under way."""

    @property
    def _accepts_requests(self) -> bool:
        """True if requests of the client are handled yet."""
        return self.session is not None

    @property
    def _login_deadline(self) -> float:
        """The time at which the connection is closed unless it carries a session."""
        return float("inf") if self.session is not None else self._detached_at + self._options.identify_timeout

    def _requested_compression(self) -> str:
        return self._query.get("compress", "")

    def _send_hello(self) -> None:
        self.write(hello(self._interval))

    def _acknowledge_heartbeat(self) -> None:
        self.write(HEARTBEAT_ACK)

    # --- what the WebSocket calls -----------------------------------------------------------------------------------

    def opened(self, connection: ServerConnection) -> None:
        """Send HELLO, unless the query is wrong."""
        del connection  # it is `websocket`
        make_compressor = COMPRESSORS.get(self._requested_compression())
        self._compress = make_compressor() if make_compressor is not None else None
        self._on_open()
        if self._query.get("v", str(API_VERSION)) != str(API_VERSION):
            self.close(CloseCode.INVALID_API_VERSION)
        elif self._query.get("encoding", "json") != "json":
            self.close(CloseCode.DECODE_ERROR, "This gateway speaks encoding=json")
        else:
            self._send_hello()
            self._heartbeat_at = self._detached_at = self._loop.time()
            self._watch()

    def received(self, data: Data) -> None:
        """Handle one payload of the client."""
        now = self._loop.time()
        recent = self._recent
        if len(recent) == recent.maxlen and now - recent[0] < self._options.rate_window:
            self.close(CloseCode.RATE_LIMITED)
            return
        recent.append(now)
        try:
            self._receive(decode_payload(data))
        except ClientViolation as violation:
            self.close(violation.code, violation.reason)

    @abc.abstractmethod
    def overflowed(self) -> None:
        """End the connection of a client that doesn't read; its session can be resumed."""

    def drained(self) -> None:
        """Do nothing: what waits is in the connection's own buffer."""

    def ended(self, code: int) -> None:
        """The socket is closed; `code` is the client's."""
        session = self.session
        self.detach()
        if session is not None and code in _ENDS_SESSION:
            self._sessions.end(session)
        if self._timer is not None:
            self._timer.cancel()
        self._on_end()

    # --- the session ------------------------------------------------------------------------------------------------

    def attach(self, session: S) -> None:
        """Carry this session from now on."""
        self.session = session
        session.connection = self
        session.write = self.write
        self._sessions.attached(session)

    def detach(self) -> None:
        """Carry no session any more."""
        session, self.session = self.session, None
        if session is not None:
            session.connection = session.write = None
            self._detached_at = self._loop.time()
            self._sessions.detached(session)
            self._watch()

    def invalidate(self, *, resumable: bool = False) -> None:
        """Detach the session, end it unless `resumable`, and send op 9; the client may log in again."""
        session = self.session
        self.detach()
        if session is not None and not resumable:
            self._sessions.end(session)
        self.write(invalid_session(resumable=resumable))

    def restore(self, session: S | None, seq: int) -> bool:
        """Move `session` here: what was missed after `seq`, once and in order, then RESUMED; else op 9.

        Returns whether the session is resumed. Raises `ClientViolation`.
        """
        if self.websocket.closing:
            return False
        if session is None:
            self.invalidate()
            return False
        previous = session.connection
        if session.covers(seq):
            if previous is not None:
                previous.close(CloseCode.UNKNOWN_ERROR, _RESUMED_ELSEWHERE)
            missed = list(session.missed(seq))
            self.attach(session)
            for payload in missed:
                self.write(payload)
            session.push(RESUMED)
            return True
        self._sessions.end(session)
        if previous is not None:
            previous.close(CloseCode.UNKNOWN_ERROR, _RESUMED_ELSEWHERE)
        if not 0 <= seq <= session.seq:
            raise ClientViolation(CloseCode.INVALID_SEQUENCE)
        self.invalidate()
        return False

    def close(self, code: int, reason: str | None = None) -> None:
        """Close in order; the session can be resumed. `reason`: by default Discord's for `code`."""
        self.detach()
        self._close_websocket(code, REASONS[CloseCode(code)] if reason is None else reason)

    def _close_websocket(self, code: int, reason: str) -> None:
        self.websocket.close(code, reason)

    # --- opcodes ----------------------------------------------------------------------------------------------------

    def _receive(self, payload: ClientPayload) -> None:
        match payload.op:
            case Opcode.HEARTBEAT:
                read_heartbeat(payload.d)
                self._heartbeat_at = self._loop.time()
                self._acknowledge_heartbeat()
            case Opcode.IDENTIFY | Opcode.RESUME if self._is_logging_in or self.session is not None:
                raise ClientViolation(CloseCode.ALREADY_AUTHENTICATED)
            case Opcode.IDENTIFY:
                self._identify(read_identify(payload.d))
            case Opcode.RESUME:
                self._resume(read_resume(payload.d))
            case opcode if opcode not in _SESSION_OPCODES:
                raise ClientViolation(CloseCode.UNKNOWN_OPCODE)
            case opcode:
                if not self._accepts_requests:
                    raise ClientViolation(CloseCode.NOT_AUTHENTICATED)
                self._request(opcode, payload.d)

    # --- time -------------------------------------------------------------------------------------------------------

    @property
    def _heartbeat_deadline(self) -> float:
        return self._heartbeat_at + self._interval * self._options.heartbeat_grace

    def _watch(self) -> None:
        """Set the one timer for both deadlines; it is set again when the nearer one has moved."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if not self.websocket.closing:
            self._timer = self._loop.call_at(min(self._heartbeat_deadline, self._login_deadline), self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        now = self._loop.time()
        if now >= self._heartbeat_deadline:
            self.close(CloseCode.UNKNOWN_ERROR, "No heartbeat came in time")
        elif now >= self._login_deadline:
            self.close(CloseCode.SESSION_TIMED_OUT)
        else:
            self._watch()
