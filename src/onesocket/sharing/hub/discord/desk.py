"""Many clients, one Discord session: each thinks that it is alone."""

from __future__ import annotations

import asyncio
import logging
import re
from typing import Any, Final

import msgspec
from picows import WSUpgradeRequest

from ....client.gap import Gap
from ....discord.client import DiscordClient
from ....errors import DecodeError
from ....protocols.discord.close_codes import CloseCode
from ....protocols.discord.identify import Presence
from ....protocols.discord.intents import Intents
from ....protocols.discord.limits import PAYLOAD_LIMIT
from ....protocols.discord.payload import Dispatch
from ....transports.server_accepting import Answer
from ....transports.server_line import LineLimits
from ..counters import Counters
from ..desk import House
from ..gate import answer, path_of, query_of, refuse
from ..options import HubOptions
from ..waiting import wait_for_all
from . import payloads, requests
from .connection import Connection
from .events import DIRECT, IN_GUILDS
from .guild import Json
from .members import Questions
from .message import Where, without_content
from .payloads import Body
from .requests import Misuse
from .session import Session
from .world import STATE, World

log = logging.getLogger("onesocket")

_GATEWAY: Final = re.compile(r"/api(/v\d+)?/gateway(/bot)?")
_SESSION_TTL: Final = 300.0
_GOING_AWAY: Final = 1001
_BEGINS: Final = 1000
_OWN: Final = frozenset({"READY", "RESUMED", "GUILD_MEMBERS_CHUNK", "RATE_LIMITED"})
"""Events of one session, not of the world."""
_MESSAGES: Final = frozenset({"MESSAGE_CREATE", "MESSAGE_UPDATE"})
_encode: Final = msgspec.json.Encoder().encode


class DiscordDesk:
    """A `Desk` in front of a `DiscordClient`."""

    kind = "discord"

    def __init__(self, client: DiscordClient, options: HubOptions, *, heartbeat_interval: float = 41.25) -> None:
        self.heartbeat_interval = heartbeat_interval
        """Seconds; what HELLO asks clients for."""
        self.questions = Questions()
        self._client = client
        self._options = options
        self._limits = LineLimits(
            max_size=PAYLOAD_LIMIT,
            write_buffer=options.client_buffer,
            close_timeout=options.close_timeout,
            too_large=(CloseCode.DECODE_ERROR, "Payload too large"),
            failed=(CloseCode.UNKNOWN_ERROR, "Unknown error"),
        )
        self._world = World()
        self._connections: dict[Connection, None] = {}
        self._sessions: dict[str, Session] = {}
        self._dirty: list[Connection] = []
        self._presence: Presence | None = None
        self._house: House

    def __repr__(self) -> str:
        return f"<DiscordDesk connections={len(self._connections)} sessions={len(self._sessions)} {self._world!r}>"

    @property
    def clients(self) -> int:
        """How many there are."""
        return len(self._connections)

    @property
    def waiting(self) -> int:
        """Requests of all clients that wait to go up."""
        return sum(connection.waiting for connection in self._connections)

    @property
    def counters(self) -> Counters:
        """What the hub counts."""
        return self._house.counters

    def open(self, house: House) -> None:
        """Begin."""
        self._house = house

    # --- requests ---------------------------------------------------------------------------------------------------

    def respond(self, request: WSUpgradeRequest) -> Answer:
        """A connection (its token comes with Identify), or where to find us, which libraries ask for."""
        host = request.headers.get("Host") or self._house.url.removeprefix("ws://").rstrip("/")
        if "Upgrade" in request.headers:
            return Connection(self, self._limits, query_of(request), host).line
        found = _GATEWAY.fullmatch(path_of(request))
        if found is None:
            return refuse(404, "here are only the gateway, /api/v10/gateway and /api/v10/gateway/bot")
        body: Json = {"url": f"ws://{host}"}
        if found[2]:
            refusal = self._house.gate.unknown(request)
            if refusal is not None:
                return refusal
            limit = {"total": _BEGINS, "remaining": _BEGINS, "reset_after": 0, "max_concurrency": 16}
            body |= {"shards": self._shard[1], "session_start_limit": limit}
        return answer(_encode(body), "application/json")

    @property
    def _shard(self) -> tuple[int, int]:
        return self._client.shard or (0, 1)

    # --- sessions ---------------------------------------------------------------------------------------------------

    def identify(self, connection: Connection, wanted: requests.Identify) -> None:
        """Op 2. Raises `Misuse`."""
        self._check_token(wanted.token)
        if wanted.intents & ~int(self._client.intents):
            raise Misuse(CloseCode.DISALLOWED_INTENTS, "The hub itself was not started with all of these intents")
        if wanted.shard not in (None, self._shard):
            raise Misuse(CloseCode.INVALID_SHARD, f"The hub is shard {self._shard[0]} of {self._shard[1]}")
        if wanted.presence is not None:
            requests.presence(wanted.presence)
        connection.wanted = wanted
        if self._world.ready is not None:
            self._greet(connection, wanted)

    def resume(self, connection: Connection, wanted: requests.Resume) -> None:
        """Op 6: what was missed, once and in order, then RESUMED; or op 9. Raises `Misuse`."""
        self._check_token(wanted.token)
        session = self._sessions.get(wanted.session_id)
        if session is None:
            connection.invalidate()
        elif wanted.seq > session.seq:
            self.end(session)
            raise Misuse(CloseCode.INVALID_SEQUENCE, "Invalid seq")
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
            session.push(Body.of("RESUMED", {"_trace": []}))

    def end(self, session: Session) -> None:
        """Nobody will resume it."""
        if session.timer is not None:
            session.timer.cancel()
        if self._sessions.pop(session.id, None) is not None and session.connection is not None:
            session.connection.close(CloseCode.SESSION_TIMED_OUT, "Session ended")

    def wait_for(self, session: Session) -> None:
        """Its connection is gone: it can be resumed for a while."""
        if session.id in self._sessions:
            session.timer = asyncio.get_running_loop().call_later(_SESSION_TTL, self.end, session)

    def _keep(self, session: Session) -> None:
        if session.timer is not None:
            session.timer.cancel()
            session.timer = None

    def _check_token(self, token: str) -> None:
        if not self._house.gate.knows(token):
            raise Misuse(CloseCode.AUTHENTICATION_FAILED, "Authentication failed")

    def _greet(self, connection: Connection, wanted: requests.Identify) -> None:
        session = Session(wanted.intents)
        self._make_room()
        self._sessions[session.id] = session
        connection.attach(session)
        greeting = self._world.greeting(
            session_id=session.id,
            resume_gateway_url=f"ws://{connection.host}",
            shard=list(self._shard),
        )
        session.push(Body.of("READY", greeting))
        if wanted.intents & Intents.GUILDS:
            for body in self._world.guilds(wanted.intents):
                session.push(body)
        if wanted.presence is not None:
            connection.send_up(requests.presence(wanted.presence))

    def _make_room(self) -> None:
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
                if dispatch.event not in _OWN:
                    self._give(Body(dispatch.event, _raw(dispatch)), IN_GUILDS.get(dispatch.event, 0))

    def size(self, message: Any) -> int:
        """Bytes of a dispatch's body."""
        return len(_raw(message))

    def gap(self, gap: Gap) -> None:
        """Told by the READY that follows."""

    def _dispatch(self, dispatch: Dispatch) -> None:
        event = dispatch.event
        if event in _OWN:
            self._own(dispatch)
            return
        if event in STATE:
            self._world.apply(event, dispatch.plain)
        raw = _raw(dispatch)
        bits = IN_GUILDS.get(event, 0)
        if event in DIRECT:
            where = Where.of(raw)
            bits = bits if where.guild_id is not None else DIRECT[event]
        if event == "GUILD_MEMBER_UPDATE" and str(dispatch.plain["user"]["id"]) == self._world.user_id:
            bits = 0  # of oneself everybody is told
        if event == "GUILD_CREATE":
            self._guild_came(str(dispatch.plain["id"]), Body(event, raw))
        elif event in _MESSAGES and not all(one.intents & Intents.MESSAGE_CONTENT for one in self._sessions.values()):
            hidden = without_content(dispatch.plain, self._world.user_id)
            self._give(Body(event, raw), bits, None if hidden is None else Body(event, hidden))
        else:
            self._give(Body(event, raw), bits)

    def _own(self, dispatch: Dispatch) -> None:
        match dispatch.event:
            case "READY":
                self._begin(dispatch.plain)
            case "GUILD_MEMBERS_CHUNK":
                self._answer(self.questions.chunk(dispatch.plain))
            case "RATE_LIMITED":
                self._answer(self.questions.limited(dispatch.plain))
            case _:
                pass  # RESUMED: the clients didn't notice anything

    def _begin(self, ready: Json) -> None:
        """A session. If it's a new one, what clients have seen is out of date: they identify anew."""
        self._world.begin(ready)
        self.questions.clear()
        sessions, self._sessions = tuple(self._sessions.values()), {}
        for session in sessions:
            self._keep(session)
            if session.connection is not None:
                session.connection.invalidate()
        for connection in tuple(self._connections):
            if connection.wanted is not None:
                self._greet(connection, connection.wanted)

    def _answer(self, found: tuple[Session, Body] | None) -> None:
        if found is not None and found[0].id in self._sessions:
            self.counters.delivered += found[0].push(found[1])

    def _guild_came(self, name: str, raw: Body) -> None:
        for session in tuple(self._sessions.values()):
            if session.intents & Intents.GUILDS:
                self.counters.delivered += session.push(self._world.guild(name, session.intents) or raw)

    def _give(self, body: Body, bits: int, hidden: Body | None = None) -> None:
        delivered = 0
        for session in tuple(self._sessions.values()):
            if not bits or session.intents & bits:
                blind = hidden is not None and not session.intents & Intents.MESSAGE_CONTENT
                delivered += session.push(hidden if hidden is not None and blind else body)
        self.counters.delivered += delivered

    # --- connections ------------------------------------------------------------------------------------------------

    def arrived(self, connection: Connection) -> None:
        """Its upgrade went through."""
        self._connections[connection] = None
        self._house.arrived()

    def left(self, connection: Connection) -> None:
        """Its socket is closed."""
        if connection in self._connections:
            del self._connections[connection]
            self._house.left()

    def flush_soon(self, connection: Connection) -> None:
        """Write for this connection at the end of this turn of the loop."""
        if not self._dirty:
            asyncio.get_running_loop().call_soon(self._flush)
        self._dirty.append(connection)

    def _flush(self) -> None:
        dirty, self._dirty = self._dirty, []
        for connection in dirty:
            connection.flush()

    def dismiss(self, code: int, reason: str) -> None:
        """Close every client."""
        for connection in tuple(self._connections):
            connection.close(code, reason)

    async def stop(self, timeout: float) -> None:
        """Op 7 and a close for everybody; nobody's session goes on."""
        connections = tuple(self._connections)
        for connection in connections:
            connection.write(payloads.RECONNECT)
            connection.close(_GOING_AWAY, "The hub is stopping")
        await wait_for_all((connection.line.gone() for connection in connections), timeout)
        for session in tuple(self._sessions.values()):
            self.end(session)


def _raw(dispatch: Dispatch) -> bytes:
    return bytes(dispatch._raw)  # noqa: SLF001 # pyright: ignore[reportPrivateUsage] - as it came, not decoded
