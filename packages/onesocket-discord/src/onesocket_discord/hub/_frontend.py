"""The hub's frontend for Discord: many local clients on one gateway session."""

from __future__ import annotations

import asyncio
import logging
import re
from typing import Any, Final

import msgspec

from onesocket.client._gap import Gap, GapReason
from onesocket.errors import DecodeError
from onesocket.hub._counters import HubCounters
from onesocket.hub._frame_backlog import FrameBacklog
from onesocket.hub._frontend import wait_for_all
from onesocket.hub._hub import Hub
from onesocket.hub._options import HubOptions
from onesocket.transports._connection_acceptor import RequestAnswer
from onesocket.transports._server_connection import ServerConnectionLimits
from onesocket.wire._http_response import HttpResponse
from onesocket.wire._request_parser import HttpRequest

from .._serving import (
    ClientViolation,
    EncodedDispatch,
    GatewayOptions,
    Identify,
    Resume,
    ServedSession,
    ServedSessions,
)
from .._serving._server_payloads import RECONNECT
from ..client._client import DiscordClient
from ..client._guild_cache import STATE_EVENTS, GuildCache
from ..protocol._close_codes import REASONS, CloseCode
from ..protocol._identification import Presence
from ..protocol._intents import Intents
from ..protocol._limits import PAYLOAD_LIMIT
from ..protocol._payload import Dispatch
from ..protocol.models import JsonObject
from ._connection import FrontendConnection
from ._event_intents import DIRECT_EVENT_INTENTS, GUILD_EVENT_INTENTS
from ._member_requests import MemberRequests
from ._message_content import MessageLocation, without_content
from ._shared_session import SharedSession

log = logging.getLogger("onesocket")

_GATEWAY_PATH: Final = re.compile(r"/api(/v\d+)?/gateway(/bot)?")
_LOGIN_TIMEOUT: Final = 60.0
"""Seconds from HELLO to a session; the upstream may have to be connected first."""
_GOING_AWAY: Final = 1001
_SESSION_START_TOTAL: Final = 1000
_SESSION_EVENTS: Final = frozenset({"READY", "RESUMED", "GUILD_MEMBERS_CHUNK", "RATE_LIMITED"})
"""Events about the upstream session itself."""
_MESSAGE_EVENTS: Final = frozenset({"MESSAGE_CREATE", "MESSAGE_UPDATE"})
_encode: Final = msgspec.json.Encoder().encode


class DiscordFrontend:
    """A hub's `Frontend` for one Discord session upstream.

    It is that of a `DiscordClient`, or a shared one: then this hub may come late, or miss something, and asks for the
    present state instead of waiting for the next READY.
    """

    kind = "discord"

    def __init__(
        self, client: DiscordClient | SharedSession, options: HubOptions, *, heartbeat_interval: float = 41.25
    ) -> None:
        self.member_requests = MemberRequests()
        self._client = client
        self._max_clients = options.max_clients
        self.client_timeout = options.client_timeout
        # The connections' limits are the hub's: see below.
        self.options = GatewayOptions(heartbeat_interval=heartbeat_interval, identify_timeout=_LOGIN_TIMEOUT)
        self.connection_limits = ServerConnectionLimits(
            max_size=PAYLOAD_LIMIT,
            write_buffer=0,  # what the kernel doesn't take at once waits in the hub's backlog
            close_timeout=options.close_timeout,
            too_large=(CloseCode.DECODE_ERROR, "Payload too large"),
            failed=(CloseCode.UNKNOWN_ERROR, REASONS[CloseCode.UNKNOWN_ERROR]),
        )
        self._cache = GuildCache()
        self._is_current = False
        """True while the cache is that of the present session, as far as is known."""
        self._connections: dict[FrontendConnection, None] = {}
        self.sessions = ServedSessions[ServedSession](self.options.session_ttl)
        self._unflushed: list[FrontendConnection] = []
        self._presence: Presence | None = None
        self._hub: Hub

    def __repr__(self) -> str:
        return f"<DiscordFrontend connections={len(self._connections)} sessions={len(self.sessions)} {self._cache!r}>"

    @property
    def clients(self) -> int:
        """The number of clients."""
        return len(self._connections)

    @property
    def waiting(self) -> int:
        """Requests of all clients that wait to be sent upstream."""
        return sum(connection.pending_requests for connection in self._connections)

    @property
    def counters(self) -> HubCounters:
        """The hub's counters."""
        return self._hub.counters

    @property
    def backlog(self) -> FrameBacklog:
        """The frames that the hub keeps for clients that lag."""
        return self._hub.backlog

    def open(self, hub: Hub) -> None:
        """Start to serve, as part of this hub."""
        self._hub = hub
        self._ask_state()

    # --- requests -----------------------------------------------------------------------------------------------------

    def respond(self, request: HttpRequest) -> RequestAnswer:
        """Answer an upgrade (the token comes with Identify), or a request for the gateway's address."""
        host = request.headers.get("Host") or self._hub.url.removeprefix("ws://").rstrip("/")
        if request.is_upgrade:
            return FrontendConnection(self, request.query, host).websocket
        found = _GATEWAY_PATH.fullmatch(request.path)
        if found is None:
            return HttpResponse.text(404, "here are only the gateway, /api/v10/gateway and /api/v10/gateway/bot")
        body: JsonObject = {"url": f"ws://{host}"}
        if found[2]:
            refusal = self._hub.access_policy.check_token(request)
            if refusal is not None:
                return refusal
            limit = {
                "total": _SESSION_START_TOTAL,
                "remaining": _SESSION_START_TOTAL,
                "reset_after": 0,
                "max_concurrency": 16,
            }
            body |= {"shards": self._shard[1], "session_start_limit": limit}
        return HttpResponse(200, _encode(body), {"Content-Type": "application/json"})

    @property
    def _shard(self) -> tuple[int, int]:
        return self._client.shard or (0, 1)

    # --- sessions -----------------------------------------------------------------------------------------------------

    def identify(self, connection: FrontendConnection, wanted: Identify) -> None:
        """Handle op 2: attach a new session, now or when the upstream is ready. Raises `ClientViolation`."""
        self._check_token(wanted.token)
        if wanted.intents & ~int(self._client.intents):
            raise ClientViolation(
                CloseCode.DISALLOWED_INTENTS, "The hub itself was not started with all of these intents"
            )
        if wanted.shard not in (None, self._shard):
            raise ClientViolation(CloseCode.INVALID_SHARD, f"The hub is shard {self._shard[0]} of {self._shard[1]}")
        connection.pending_identify = wanted
        if self._is_current:
            self._begin_session(connection, wanted)

    def resume(self, connection: FrontendConnection, wanted: Resume) -> None:
        """Handle op 6: continue the session, or send op 9. Raises `ClientViolation`."""
        self._check_token(wanted.token)
        connection.restore(self.sessions.get(wanted.session_id), wanted.seq)

    def _check_token(self, token: str) -> None:
        if not self._hub.access_policy.is_valid_token(token):
            raise ClientViolation(CloseCode.AUTHENTICATION_FAILED)

    def _begin_session(self, connection: FrontendConnection, wanted: Identify) -> None:
        session = ServedSession(wanted.intents, self.options)
        self._evict_oldest()
        self.sessions.add(session)
        connection.attach(session)
        ready = self._cache.ready_for(
            session_id=session.id,
            resume_gateway_url=f"ws://{connection.host}",
            shard=list(self._shard),
        )
        session.push(EncodedDispatch("READY", ready))
        if wanted.intents & Intents.GUILDS:
            for body in self._cache.guilds(wanted.intents):
                session.push(body)
        if wanted.presence is not None:
            connection.forward(wanted.presence)

    def _evict_oldest(self) -> None:
        """End the oldest detached session at the limit; the attached ones are bounded by the connections."""
        if len(self.sessions) >= 4 * self._max_clients:
            spare = next((session for session in self.sessions if session.connection is None), None)
            if spare is not None:
                self.sessions.end(spare)

    # --- upstream -----------------------------------------------------------------------------------------------------

    async def send_upstream(self, request: Any) -> None:
        """Send one request of a client. Raises the errors of `Client.send`."""
        if isinstance(request, Presence):
            if request == self._presence:
                return
            self._presence = request
            await self._client.update_presence(request)
        else:
            await self._client.send(request)
        self.counters.sent.add(1)

    # --- from upstream ------------------------------------------------------------------------------------------------

    def messages(self, batch: list[Any]) -> None:
        """Pass dispatches on to the clients."""
        for dispatch in batch:
            try:
                self._dispatch(dispatch)
            except (DecodeError, msgspec.DecodeError, KeyError, TypeError, ValueError, AttributeError) as error:
                # Not the shape that Discord documents: passed on unchanged, and not cached.
                log.warning("%s could not be read: %s", dispatch.event, type(error).__name__)
                if dispatch.event not in _SESSION_EVENTS:
                    self._broadcast(
                        EncodedDispatch(dispatch.event, _raw_body(dispatch)),
                        GUILD_EVENT_INTENTS.get(dispatch.event, 0),
                    )

    def size(self, message: Any) -> int:
        """The size of a dispatch's body in bytes."""
        return len(bytes(_raw_body(message)))

    def gap(self, gap: Gap) -> None:
        """Reset the clients of a shared session, as no READY need follow; that of a session of its own resets them."""
        if isinstance(self._client, SharedSession) and gap.reason is not GapReason.UNDECODABLE:
            self._end_sessions()
            self._ask_state()

    def _ask_state(self) -> None:
        if isinstance(self._client, SharedSession):
            self._client.ask_snapshot(self._take_state)

    def _take_state(self, dispatches: list[Any]) -> None:
        """Begin with READY and the guilds as they are by now, unless a READY has come meanwhile."""
        if self._is_current:
            return
        if dispatches:
            self.messages([each for each in dispatches if not isinstance(each, Gap)])
        elif self._cache.ready is not None:
            log.warning("no host knows the guilds: clients begin with those that this hub knows")
            self._begin_sessions()
        elif self._hub.status.is_connected:
            log.warning("no host knows the guilds of the present session: clients wait for the next one")

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
            location = MessageLocation.of(raw)
            bits = bits if location.guild_id is not None else DIRECT_EVENT_INTENTS[event]
        if event == "GUILD_MEMBER_UPDATE" and str(dispatch.plain["user"]["id"]) == self._cache.user_id:
            bits = 0  # about the bot itself: for all sessions
        if event == "GUILD_CREATE":
            self._on_guild_create(str(dispatch.plain["id"]), EncodedDispatch(event, raw))
        elif event in _MESSAGE_EVENTS and not all(
            session.intents & Intents.MESSAGE_CONTENT for session in self.sessions
        ):
            hidden = without_content(dispatch.plain, self._cache.user_id)
            self._broadcast(
                EncodedDispatch(event, raw), bits, None if hidden is None else EncodedDispatch(event, hidden)
            )
        else:
            self._broadcast(EncodedDispatch(event, raw), bits)

    def _handle_session_event(self, dispatch: Dispatch) -> None:
        match dispatch.event:
            case "READY":
                self._begin(dispatch.plain)
            case "GUILD_MEMBERS_CHUNK":
                self._send_answer(self.member_requests.chunk(dispatch.plain))
            case "RATE_LIMITED":
                self._send_answer(self.member_requests.rate_limited(dispatch.plain))
            case _:
                pass  # RESUMED: nothing was lost

    def _begin(self, ready: JsonObject) -> None:
        """Reset the clients for a new upstream session: those with a session of the last one identify again."""
        self._cache.begin(ready)
        self._end_sessions()
        self._begin_sessions()

    def _end_sessions(self) -> None:
        self._is_current = False
        self.member_requests.clear()
        if isinstance(self._client, SharedSession):
            self._presence = None  # it may have gone with the upstream session: clients bring it when they identify
        for session in self.sessions:
            self.sessions.end(session)
            if session.connection is not None:
                session.connection.invalidate()

    def _begin_sessions(self) -> None:
        self._is_current = True
        for connection in tuple(self._connections):
            if connection.pending_identify is not None:
                self._begin_session(connection, connection.pending_identify)

    def _send_answer(self, found: tuple[ServedSession, EncodedDispatch] | None) -> None:
        if found is not None and found[0] in self.sessions:
            self.counters.delivered += found[0].push(found[1])

    def _on_guild_create(self, name: str, raw: EncodedDispatch) -> None:
        for session in self.sessions:
            if session.intents & Intents.GUILDS:
                self.counters.delivered += session.push(self._cache.guild(name, session.intents) or raw)

    def _broadcast(self, body: EncodedDispatch, bits: int, hidden: EncodedDispatch | None = None) -> None:
        delivered = 0
        for session in self.sessions:
            if not bits or session.intents & bits:
                blind = hidden is not None and not session.intents & Intents.MESSAGE_CONTENT
                delivered += session.push(hidden if hidden is not None and blind else body)
        self.counters.delivered += delivered

    # --- connections --------------------------------------------------------------------------------------------------

    def client_connected(self, connection: FrontendConnection) -> None:
        """Add a client whose upgrade is complete."""
        self._connections[connection] = None
        self._hub.client_connected()

    def client_disconnected(self, connection: FrontendConnection) -> None:
        """Remove a client whose socket is closed."""
        if connection in self._connections:
            del self._connections[connection]
            self._hub.client_disconnected()

    def flush_soon(self, connection: FrontendConnection) -> None:
        """Flush this connection at the end of this turn of the event loop."""
        if not self._unflushed:
            asyncio.get_running_loop().call_soon(self._flush)
        self._unflushed.append(connection)

    def _flush(self) -> None:
        connections, self._unflushed = self._unflushed, []
        for connection in connections:
            connection.flush()

    def close_clients(self, code: int, reason: str) -> None:
        """Close the connections of all clients."""
        for connection in tuple(self._connections):
            connection.close(code, reason)

    async def stop(self, timeout: float) -> None:
        """Send op 7 to all clients, close their connections, and forget the sessions."""
        connections = tuple(self._connections)
        for connection in connections:
            connection.write(RECONNECT)
            connection.close(_GOING_AWAY, "The hub is stopping")
        await wait_for_all((connection.websocket.wait_closed() for connection in connections), timeout)
        self.sessions.end_all()


def _raw_body(dispatch: Dispatch) -> msgspec.Raw:
    return msgspec.Raw(dispatch._raw)  # noqa: SLF001 # pyright: ignore[reportPrivateUsage] - not decoded
