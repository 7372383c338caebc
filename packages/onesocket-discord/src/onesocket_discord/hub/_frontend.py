"""Many clients, one Discord session: each thinks that it is alone."""

from __future__ import annotations

import asyncio
import logging
import re
from typing import Any, Final

import msgspec
from picows import WSUpgradeRequest

from onesocket.client._gap import Gap
from onesocket.errors import DecodeError
from onesocket.hub._access_policy import error_response, ok_response, path_of, query_of
from onesocket.hub._counters import HubCounters
from onesocket.hub._frontend import HubContext
from onesocket.hub._options import HubOptions
from onesocket.hub._wait_for_all import wait_for_all
from onesocket.transports._connection_acceptor import HandshakeAnswer
from onesocket.transports._server_connection import ServerConnectionLimits

from ..client._client import DiscordClient
from ..protocol._close_codes import CloseCode
from ..protocol._identification import Presence
from ..protocol._intents import Intents
from ..protocol._limits import PAYLOAD_LIMIT
from ..protocol._payload import Dispatch
from . import _client_payloads as requests
from . import _server_payloads as payloads
from ._cached_guild import Json
from ._client_payloads import FrontendViolation
from ._connection import FrontendConnection
from ._event_intents import DIRECT_EVENT_INTENTS, GUILD_EVENT_INTENTS
from ._guild_cache import STATE_EVENTS, GuildCache
from ._member_requests import MemberRequests
from ._message_content import MessageLocation, without_content
from ._server_payloads import FrontendDispatch
from ._session import FrontendSession

log = logging.getLogger("onesocket")

_GATEWAY_PATH: Final = re.compile(r"/api(/v\d+)?/gateway(/bot)?")
_SESSION_TTL: Final = 300.0
_GOING_AWAY: Final = 1001
_SESSION_START_TOTAL: Final = 1000
_SESSION_EVENTS: Final = frozenset({"READY", "RESUMED", "GUILD_MEMBERS_CHUNK", "RATE_LIMITED"})
"""Events of one session, not of the world."""
_MESSAGE_EVENTS: Final = frozenset({"MESSAGE_CREATE", "MESSAGE_UPDATE"})
_encode: Final = msgspec.json.Encoder().encode


class DiscordFrontend:
    """A `Desk` in front of a `DiscordClient`."""

    kind = "discord"

    def __init__(self, client: DiscordClient, options: HubOptions, *, heartbeat_interval: float = 41.25) -> None:
        self.heartbeat_interval = heartbeat_interval
        """Seconds; what HELLO asks clients for."""
        self.member_requests = MemberRequests()
        self._client = client
        self._options = options
        self._limits = ServerConnectionLimits(
            max_size=PAYLOAD_LIMIT,
            write_buffer=options.client_buffer,
            close_timeout=options.close_timeout,
            too_large=(CloseCode.DECODE_ERROR, "Payload too large"),
            failed=(CloseCode.UNKNOWN_ERROR, "Unknown error"),
        )
        self._cache = GuildCache()
        self._connections: dict[FrontendConnection, None] = {}
        self._sessions: dict[str, FrontendSession] = {}
        self._dirty: list[FrontendConnection] = []
        self._presence: Presence | None = None
        self._hub_context: HubContext

    def __repr__(self) -> str:
        return f"<DiscordFrontend connections={len(self._connections)} sessions={len(self._sessions)} {self._cache!r}>"

    @property
    def clients(self) -> int:
        """How many there are."""
        return len(self._connections)

    @property
    def waiting(self) -> int:
        """Requests of all clients that wait to go up."""
        return sum(connection.waiting for connection in self._connections)

    @property
    def counters(self) -> HubCounters:
        """What the hub counts."""
        return self._hub_context.counters

    def open(self, house: HubContext) -> None:
        """Begin."""
        self._hub_context = house

    # --- requests ---------------------------------------------------------------------------------------------------

    def respond(self, request: WSUpgradeRequest) -> HandshakeAnswer:
        """A connection (its token comes with Identify), or where to find us, which libraries ask for."""
        host = request.headers.get("Host") or self._hub_context.url.removeprefix("ws://").rstrip("/")
        if "Upgrade" in request.headers:
            return FrontendConnection(self, self._limits, query_of(request), host).line
        found = _GATEWAY_PATH.fullmatch(path_of(request))
        if found is None:
            return error_response(404, "here are only the gateway, /api/v10/gateway and /api/v10/gateway/bot")
        body: Json = {"url": f"ws://{host}"}
        if found[2]:
            refusal = self._hub_context.access_policy.check_token(request)
            if refusal is not None:
                return refusal
            limit = {
                "total": _SESSION_START_TOTAL,
                "remaining": _SESSION_START_TOTAL,
                "reset_after": 0,
                "max_concurrency": 16,
            }
            body |= {"shards": self._shard[1], "session_start_limit": limit}
        return ok_response(_encode(body), "application/json")

    @property
    def _shard(self) -> tuple[int, int]:
        return self._client.shard or (0, 1)

    # --- sessions ---------------------------------------------------------------------------------------------------

    def identify(self, connection: FrontendConnection, wanted: requests.FrontendIdentify) -> None:
        """Op 2. Raises `FrontendViolation`."""
        self._check_token(wanted.token)
        if wanted.intents & ~int(self._client.intents):
            raise FrontendViolation(
                CloseCode.DISALLOWED_INTENTS, "The hub itself was not started with all of these intents"
            )
        if wanted.shard not in (None, self._shard):
            raise FrontendViolation(CloseCode.INVALID_SHARD, f"The hub is shard {self._shard[0]} of {self._shard[1]}")
        if wanted.presence is not None:
            requests.read_presence(wanted.presence)
        connection.wanted = wanted
        if self._cache.ready is not None:
            self._greet(connection, wanted)

    def resume(self, connection: FrontendConnection, wanted: requests.FrontendResume) -> None:
        """Op 6: what was missed, once and in order, then RESUMED; or op 9. Raises `FrontendViolation`."""
        self._check_token(wanted.token)
        session = self._sessions.get(wanted.session_id)
        if session is None:
            connection.invalidate()
        elif wanted.seq > session.seq:
            self.end(session)
            raise FrontendViolation(CloseCode.INVALID_SEQUENCE, "Invalid seq")
        elif not session.covers(wanted.seq):
            self.end(session)
            connection.invalidate()
        else:
            if session.connection is not None:
                session.connection.close(CloseCode.UNKNOWN_ERROR, "The session was resumed on another connection")
            missed = list(session.missed(wanted.seq))
            self._keep(session)
            connection.attach(session)
            for payload in missed:
                connection.write(payload)
            session.push(FrontendDispatch.of("RESUMED", {"_trace": []}))

    def end(self, session: FrontendSession) -> None:
        """Nobody will resume it."""
        if session.timer is not None:
            session.timer.cancel()
        if self._sessions.pop(session.id, None) is not None and session.connection is not None:
            session.connection.close(CloseCode.SESSION_TIMED_OUT, "Session ended")

    def wait_for(self, session: FrontendSession) -> None:
        """Its connection is gone: it can be resumed for a while."""
        if session.id in self._sessions:
            session.timer = asyncio.get_running_loop().call_later(_SESSION_TTL, self.end, session)

    def _keep(self, session: FrontendSession) -> None:
        if session.timer is not None:
            session.timer.cancel()
            session.timer = None

    def _check_token(self, token: str) -> None:
        if not self._hub_context.access_policy.is_valid_token(token):
            raise FrontendViolation(CloseCode.AUTHENTICATION_FAILED, "Authentication failed")

    def _greet(self, connection: FrontendConnection, wanted: requests.FrontendIdentify) -> None:
        session = FrontendSession(wanted.intents)
        self._evict_oldest()
        self._sessions[session.id] = session
        connection.attach(session)
        greeting = self._cache.ready_for(
            session_id=session.id,
            resume_gateway_url=f"ws://{connection.host}",
            shard=list(self._shard),
        )
        session.push(FrontendDispatch.of("READY", greeting))
        if wanted.intents & Intents.GUILDS:
            for body in self._cache.guilds(wanted.intents):
                session.push(body)
        if wanted.presence is not None:
            connection.forward(requests.read_presence(wanted.presence))

    def _evict_oldest(self) -> None:
        """Connected sessions are bounded by the connections; of those that wait, the oldest gives way."""
        if len(self._sessions) >= 4 * self._options.max_clients:
            spare = next((one for one in self._sessions.values() if one.connection is None), None)
            if spare is not None:
                self.end(spare)

    # --- up ---------------------------------------------------------------------------------------------------------

    async def pass_on(self, request: Any) -> None:
        """One request of a client. Raises what `Client.send` raises."""
        if isinstance(request, Presence):
            if request == self._presence:
                return
            self._presence = request
            await self._client.update_presence(request)
        else:
            await self._client.send(request)
        self.counters.sent.add(1)

    # --- from above -------------------------------------------------------------------------------------------------

    def messages(self, batch: list[Any]) -> None:
        """Dispatches."""
        for dispatch in batch:
            try:
                self._dispatch(dispatch)
            except (DecodeError, msgspec.DecodeError, KeyError, TypeError, ValueError, AttributeError) as error:
                # Of a shape that Discord doesn't document: passed on as it came, and not remembered.
                log.warning("%s could not be read: %s", dispatch.event, type(error).__name__)
                if dispatch.event not in _SESSION_EVENTS:
                    self._broadcast(
                        FrontendDispatch(dispatch.event, _raw_body(dispatch)),
                        GUILD_EVENT_INTENTS.get(dispatch.event, 0),
                    )

    def size(self, message: Any) -> int:
        """Bytes of a dispatch's body."""
        return len(_raw_body(message))

    def gap(self, gap: Gap) -> None:
        """Told by the READY that follows."""

    def _dispatch(self, dispatch: Dispatch) -> None:
        event = dispatch.event
        if event in _SESSION_EVENTS:
            self._handle_session_event(dispatch)
            return
        if event in STATE_EVENTS:
            self._cache.apply(event, dispatch.plain)
        raw = _raw_body(dispatch)
        bits = GUILD_EVENT_INTENTS.get(event, 0)
        if event in DIRECT_EVENT_INTENTS:
            where = MessageLocation.of(raw)
            bits = bits if where.guild_id is not None else DIRECT_EVENT_INTENTS[event]
        if event == "GUILD_MEMBER_UPDATE" and str(dispatch.plain["user"]["id"]) == self._cache.user_id:
            bits = 0  # of oneself everybody is told
        if event == "GUILD_CREATE":
            self._on_guild_create(str(dispatch.plain["id"]), FrontendDispatch(event, raw))
        elif event in _MESSAGE_EVENTS and not all(
            one.intents & Intents.MESSAGE_CONTENT for one in self._sessions.values()
        ):
            hidden = without_content(dispatch.plain, self._cache.user_id)
            self._broadcast(
                FrontendDispatch(event, raw), bits, None if hidden is None else FrontendDispatch(event, hidden)
            )
        else:
            self._broadcast(FrontendDispatch(event, raw), bits)

    def _handle_session_event(self, dispatch: Dispatch) -> None:
        match dispatch.event:
            case "READY":
                self._begin(dispatch.plain)
            case "GUILD_MEMBERS_CHUNK":
                self._answer(self.member_requests.chunk(dispatch.plain))
            case "RATE_LIMITED":
                self._answer(self.member_requests.limited(dispatch.plain))
            case _:
                pass  # RESUMED: the clients didn't notice anything

    def _begin(self, ready: Json) -> None:
        """A session. If it's a new one, what clients have seen is out of date: they identify anew."""
        self._cache.begin(ready)
        self.member_requests.clear()
        sessions, self._sessions = tuple(self._sessions.values()), {}
        for session in sessions:
            self._keep(session)
            if session.connection is not None:
                session.connection.invalidate()
        for connection in tuple(self._connections):
            if connection.wanted is not None:
                self._greet(connection, connection.wanted)

    def _answer(self, found: tuple[FrontendSession, FrontendDispatch] | None) -> None:
        if found is not None and found[0].id in self._sessions:
            self.counters.delivered += found[0].push(found[1])

    def _on_guild_create(self, name: str, raw: FrontendDispatch) -> None:
        for session in tuple(self._sessions.values()):
            if session.intents & Intents.GUILDS:
                self.counters.delivered += session.push(self._cache.guild(name, session.intents) or raw)

    def _broadcast(self, body: FrontendDispatch, bits: int, hidden: FrontendDispatch | None = None) -> None:
        delivered = 0
        for session in tuple(self._sessions.values()):
            if not bits or session.intents & bits:
                blind = hidden is not None and not session.intents & Intents.MESSAGE_CONTENT
                delivered += session.push(hidden if hidden is not None and blind else body)
        self.counters.delivered += delivered

    # --- connections ------------------------------------------------------------------------------------------------

    def client_connected(self, connection: FrontendConnection) -> None:
        """Its upgrade went through."""
        self._connections[connection] = None
        self._hub_context.client_connected()

    def client_disconnected(self, connection: FrontendConnection) -> None:
        """Its socket is closed."""
        if connection in self._connections:
            del self._connections[connection]
            self._hub_context.client_disconnected()

    def flush_soon(self, connection: FrontendConnection) -> None:
        """Write for this connection at the end of this turn of the loop."""
        if not self._dirty:
            asyncio.get_running_loop().call_soon(self._flush)
        self._dirty.append(connection)

    def _flush(self) -> None:
        dirty, self._dirty = self._dirty, []
        for connection in dirty:
            connection.flush()

    def close_clients(self, code: int, reason: str) -> None:
        """Close every client."""
        for connection in tuple(self._connections):
            connection.close(code, reason)

    async def stop(self, timeout: float) -> None:
        """Op 7 and a close for everybody; nobody's session goes on."""
        connections = tuple(self._connections)
        for connection in connections:
            connection.write(payloads.RECONNECT)
            connection.close(_GOING_AWAY, "The hub is stopping")
        await wait_for_all((connection.line.wait_closed() for connection in connections), timeout)
        for session in tuple(self._sessions.values()):
            self.end(session)


def _raw_body(dispatch: Dispatch) -> bytes:
    return bytes(dispatch._raw)  # noqa: SLF001 # pyright: ignore[reportPrivateUsage] - as it came, not decoded
