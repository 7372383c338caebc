"""The gateway: a WebSocket server that speaks Discord's protocol, version 10."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from itertools import chain
from typing import Final
from urllib.parse import parse_qsl, urlsplit

import aiofastnet
from picows import WSUpgradeRequest, WSUpgradeResponse

from onesocket.errors import InvalidOption
from onesocket.transports._connection_acceptor import AcceptedConnection, HandshakeAnswer

from .._ports import Account, Directory, Event, Json
from . import _server_payloads as payloads
from ._close_codes import AUTHENTICATION_FAILED, GOING_AWAY
from ._connection import GatewayConnection
from ._gateway_state import GatewayState
from ._options import MAX_FRAME, GatewayOptions
from ._server_payloads import PublishedDispatch
from ._session import GatewaySession

log = logging.getLogger("onesocket_discord.server")

# Thousands may dial in the same moment; the kernel cuts this to its own limit (net.core.somaxconn).
_BACKLOG: Final = 4096
# So many connections over the limit are told so by an HTTP error; more are reset.
_MAX_REJECTED_CONNECTIONS: Final = 256
_RETRY_AFTER: Final = 5


class GatewayServer:
    """Implements `ports.Publisher`. Made first, then given its directory, then started."""

    def __init__(self, options: GatewayOptions | None = None) -> None:
        self.options = options if options is not None else GatewayOptions()
        self.state = GatewayState(self.options, self.publish, lambda: self.url)
        self.handshake_timeout = self.options.handshake_timeout
        self.max_frame = MAX_FRAME
        self.url = ""
        """Where it listens, with a slash at the end."""
        self._server: asyncio.Server | None = None
        self._addresses: Counter[str] = Counter()
        self._accepted: set[asyncio.Transport] = set()
        self._stopping = False

    def __repr__(self) -> str:
        return f"<Gateway {self.url or 'not started'} {self.state!r}>"

    async def start(self, directory: Directory, host: str = "127.0.0.1", port: int = 0) -> None:
        """Listen. Raises `OSError` if the port is taken."""
        if self._server is not None:
            raise InvalidOption("a gateway is started once; make a new one")
        self.state.directory = directory
        loop = asyncio.get_running_loop()
        # What picows itself takes: its transports cost less for each write than asyncio's own.
        self._server = await aiofastnet.create_server(
            loop, lambda: AcceptedConnection(self), host, port, backlog=_BACKLOG
        )
        number = self._server.sockets[0].getsockname()[1]
        self.url = f"ws://{f'[{host}]' if ':' in host else host}:{number}/"

    async def stop(self) -> None:
        """Tell everybody to reconnect, close in order, and after the close timeout without it."""
        if self._server is None or self._stopping:
            return
        self._stopping = True
        self._server.close()
        await self.state.presences.stop()
        connections = tuple(self.state.connections)
        for connection in connections:
            connection.send(payloads.RECONNECT)
            connection.close(GOING_AWAY)
        await self._until_empty(self.options.close_timeout)
        for transport in tuple(self._accepted):  # those that never asked for an upgrade too
            transport.abort()
        await self._until_empty(1.0)
        self.state.sessions.end_all()

    async def _until_empty(self, seconds: float) -> None:
        if self.state.connections:
            ends = [asyncio.ensure_future(connection.line.wait_closed()) for connection in self.state.connections]
            _, late = await asyncio.wait(ends, timeout=seconds)
            for end in late:
                end.cancel()

    # --- Publisher --------------------------------------------------------------------------------------------------

    def publish(self, event: Event) -> None:
        """Hand this to whoever is connected (or may resume); doesn't block and doesn't fail."""
        try:
            self._fan_out(PublishedDispatch(event), event.recipients)
        except Exception:
            log.exception("%s could not be published", event.name)
        self.state.stats_counter.add("events")

    def _fan_out(self, dispatch: PublishedDispatch, recipients: frozenset[int]) -> None:
        """`GatewaySession.offer` for each of them, written out: this is the loop that a busy server runs.

        All are numbered before the first is written to: a system call between any two of them would turn the sessions
        out of the processor's caches.
        """
        sessions = list(chain.from_iterable(filter(None, map(self.state.sessions.by_user.get, recipients))))
        if not sessions:
            return
        wanted, audience, limit = dispatch.intents, dispatch.audience, self.options.replay_bytes
        shown, body, last, frame = dispatch.shown, None, 0, b""
        frames: list[tuple[GatewaySession, bytes]] = []
        for session in sessions:
            if not session.plain:
                session.offer(dispatch)
            elif not wanted or session.intents & wanted:
                hidden = audience is not None and session.blind and session.account.user_id not in audience
                mine = dispatch.hidden if hidden else shown
                session.seq = seq = session.seq + 1
                session.replay.append(mine)
                session.replay_bytes += mine.size
                if session.replay_bytes > limit:
                    session.trim()
                if session.write is not None:
                    if seq != last or mine is not body:  # many sessions are equally far
                        body, last, frame = mine, seq, mine.pattern % seq
                    frames.append((session, frame))
        for session, frame in frames:
            write = session.write
            if write is not None:  # an earlier one may have set off a fault that ended this line
                write(frame)

    def sign_out(self, user_id: int, login: bytes | None = None) -> None:
        """A token of this user is void: end its sessions with 4004. `login`: the token's digest; None: all of them."""
        for session in self.state.sessions.of(user_id):
            if login not in {None, session.login}:
                continue
            connection = session.connection
            self.state.sessions.end(session)
            if connection is not None:
                connection.close(AUTHENTICATION_FAILED)

    def logins(self) -> frozenset[bytes]:
        """The digests of the tokens that open connections have logged in with."""
        return frozenset(one.session.login for one in self.state.connections if one.session is not None)

    def status_of(self, user_id: int) -> str:
        """``online``, ``idle``, ``dnd`` or ``offline``."""
        return str(self.state.presences.of(user_id)["status"])

    def session_start_limit(self, account: Account) -> Json:
        """What ``GET /gateway/bot`` says about this account."""
        return self.state.identify_limiter.limit(account)

    # --- Door -------------------------------------------------------------------------------------------------------

    def delay(self) -> float:
        """Seconds to wait before the next connection is read."""
        fault = self.state.fault_schedule.take("slow_upgrade")
        return float(fault.values["seconds"]) if fault is not None else 0.0

    def accept(self, address: str, transport: asyncio.Transport) -> bool:
        """Whether a TCP connection is taken."""
        if self._stopping or len(self._accepted) >= self.options.max_connections + _MAX_REJECTED_CONNECTIONS:
            return False
        self._accepted.add(transport)
        self._addresses[address] += 1
        return True

    def connection_ended(self, address: str, transport: asyncio.Transport) -> None:
        """A TCP connection that was taken has ended."""
        self._accepted.discard(transport)
        self._addresses[address] -= 1
        if not self._addresses[address]:
            del self._addresses[address]

    def answer_upgrade(self, request: WSUpgradeRequest, address: str) -> HandshakeAnswer:
        """A complete upgrade request."""
        self.state.stats_counter.add("handshakes")
        fault = self.state.fault_schedule.take("refuse_upgrade")
        if fault is not None:
            return self._refuse(fault.values["status"], "refused by a scripted fault", fault.values["retry_after"])
        if self._addresses[address] > self.options.max_per_address:
            return self._refuse(429, "too many connections from this address", _RETRY_AFTER)
        if self._stopping or len(self._accepted) > self.options.max_connections:
            return self._refuse(503, "too many connections", _RETRY_AFTER)
        query = dict(parse_qsl(urlsplit(request.path.decode("ascii", "replace")).query))
        return GatewayConnection(self.state, query).line

    def _refuse(self, status: int, text: str, retry_after: float | None) -> WSUpgradeResponse:
        self.state.stats_counter.add("refused")
        headers = {"Retry-After": f"{retry_after:g}"} if retry_after is not None else {}
        refusal: WSUpgradeResponse = WSUpgradeResponse.create_error_response(status, text.encode(), headers)
        return refusal
