"""The local server's gateway: accepts connections, publishes events, stops in order."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from itertools import chain
from typing import Final

from onesocket.errors import InvalidOption
from onesocket.hub._frontend import wait_for_all
from onesocket.transports._connection_acceptor import AcceptedConnection, RequestAnswer
from onesocket.transports._socket_server import bind_host, serve_sockets
from onesocket.wire._frames import encode_frame
from onesocket.wire._http_response import HttpResponse
from onesocket.wire._request_parser import HttpRequest

from ..._serving import GatewayOptions
from ..._serving._server_payloads import RECONNECT
from ...protocol._close_codes import CloseCode
from .._ports import Account, Directory, Event, Json
from .._requests import GATEWAY_ROUTE, RequestObserver, RequestRecord
from .._trusted_proxies import RequestSource, TrustedProxies, network_of
from ._connection import GatewayConnection
from ._gateway_state import GatewayState
from ._published_dispatch import PublishedDispatch
from ._session import GatewaySession

log = logging.getLogger("onesocket_discord.server")

# Thousands may dial in the same moment; the kernel cuts this to its own limit (net.core.somaxconn).
_BACKLOG: Final = 4096
# This many connections over the limit are answered with an HTTP error; more are reset.
_MAX_REJECTED_CONNECTIONS: Final = 256
_RETRY_AFTER: Final = 5
_TEXT: Final = 0x81
_GOING_AWAY: Final = (1001, "Discord WebSocket requesting client reconnect.")


class GatewayServer:
    """A WebSocket server that speaks Discord's gateway, version 10, on behalf of a `Directory`."""

    def __init__(
        self,
        options: GatewayOptions | None = None,
        public_url: str | None = None,
        allows_origin: Callable[[str | None, str, str | None], bool] = lambda _, __, ___: True,
        proxies: TrustedProxies | None = None,
        observers: Sequence[RequestObserver] = (),
    ) -> None:
        """`public_url`: the address that clients are told for a resume; by default the server's own.

        `allows_origin`: whether a web page, by its ``Origin`` and ``Host`` headers and the scheme that a trusted proxy
        tells, may connect. `proxies`: those that tell the addresses of clients. `observers` are told of each request.
        """
        self.options = options if options is not None else GatewayOptions()
        self.state = GatewayState(self.options, self.publish, lambda: public_url or self.url)
        self.handshake_timeout = self.options.handshake_timeout
        self.url = ""
        """Its address, with a slash at the end; empty before `start()` or `serve()`."""
        self._allows_origin = allows_origin
        self._proxies = proxies if proxies is not None else TrustedProxies()
        self._observers = observers
        self._close_server: Callable[[], None] | None = None
        self._addresses: Counter[str] = Counter()
        self._accepted: set[asyncio.Transport] = set()
        self._stopping = False

    def __repr__(self) -> str:
        return f"<GatewayServer {self.url or 'not started'} {self.state!r}>"

    async def start(self, directory: Directory, host: str = "127.0.0.1", port: int = 0) -> None:
        """Listen for clients of `directory`. Raises `OSError` if the port is taken."""
        self._check_not_started()
        sockets = await bind_host(host, port)
        number = sockets[0].getsockname()[1]
        self.serve(directory, f"ws://{f'[{host}]' if ':' in host else host}:{number}/")
        self._close_server = await serve_sockets(sockets, lambda: AcceptedConnection(self), backlog=_BACKLOG)

    def serve(self, directory: Directory, url: str) -> None:
        """Begin without a port: another server, whose address is `url`, passes its connections on."""
        self._check_not_started()
        self.state.directory = directory
        self.url = url

    def _check_not_started(self) -> None:
        if self.url:
            raise InvalidOption("a gateway is started once; make a new one")

    async def stop(self) -> None:
        """Send op 7 to all clients, close their connections in order, and abort the rest after the close timeout."""
        if not self.url or self._stopping:
            return
        self._stopping = True
        if self._close_server is not None:
            self._close_server()
        await self.state.presences.stop()
        connections = tuple(self.state.connections)
        for connection in connections:
            connection.write(RECONNECT)
            connection.close(*_GOING_AWAY)
        await self._until_empty(self.options.close_timeout)
        for transport in tuple(self._accepted):  # those that never asked for an upgrade too
            transport.abort()
        await self._until_empty(1.0)
        if self.state.cluster is not None:
            await self.state.cluster.sessions.stop()  # so that the sessions can be resumed on another server
        self.state.sessions.end_all()

    async def _until_empty(self, seconds: float) -> None:
        await wait_for_all((connection.websocket.wait_closed() for connection in self.state.connections), seconds)

    # --- published events ---------------------------------------------------------------------------------------------

    def publish(self, event: Event) -> None:
        """Push the event to the sessions of its recipients, on every server; doesn't block and doesn't fail."""
        if self.state.cluster is not None:
            self.state.cluster.publish(event)
        else:
            self.deliver(event)

    def deliver(self, event: Event) -> None:
        """Push the event to the sessions of its recipients on this server."""
        try:
            self._fan_out(PublishedDispatch(event), event.recipients)
        except Exception:
            log.exception("%s could not be published", event.name)
        self.state.stats_counter.add("events")

    def _fan_out(self, dispatch: PublishedDispatch, recipients: frozenset[int]) -> None:
        """Do what `GatewaySession.offer` does for each session, inlined: a busy server spends its time here.

        All are numbered before the first is written to: a system call between any two of them would turn the sessions
        out of the processor's caches.
        """
        sessions = list(chain.from_iterable(filter(None, map(self.state.sessions.by_user.get, recipients))))
        if not sessions:
            return
        if dispatch.is_guild:
            for session in sessions:
                session.offer(dispatch)
            return
        wanted, hides_content, limit = dispatch.intents, dispatch.hides_content, self.options.replay_bytes
        shown, body, last, frame = dispatch.shown, None, 0, b""
        frames: list[tuple[GatewaySession, bytes]] = []
        for session in sessions:
            if not session.plain or session.write_frame is None:
                session.offer(dispatch)
            elif not wanted or session.intents & wanted:
                mine = dispatch.form_for(session.account.user_id) if hides_content and session.blind else shown
                session.seq = seq = session.seq + 1
                session.replay.append(mine)
                session.replay_bytes += mine.size
                if session.replay_bytes > limit:
                    session.trim()
                if seq != last or mine is not body:  # many sessions are equally far
                    body, last, frame = mine, seq, encode_frame(_TEXT, mine.pattern % seq)
                frames.append((session, frame))
        for session, frame in frames:
            write = session.write_frame
            if write is not None:  # an earlier one may have set off a fault that ended this connection
                write(frame)

    def sign_out(self, user_id: int, login: bytes | None = None) -> None:
        """End the sessions of this user with 4004. `login`: the digest of one token; None: of all tokens."""
        found = (session for session in self.state.sessions.of(user_id) if login in {None, session.login})
        self._end(found, CloseCode.AUTHENTICATION_FAILED)

    def invalidate(self, user_id: int) -> None:
        """End the sessions of this bot with 4003, after which it identifies anew.

        Discord does so when an intent is switched off, whether or not the session uses it: Identify tells.
        """
        self._end(self.state.sessions.of(user_id), CloseCode.NOT_AUTHENTICATED)

    def _end(self, sessions: Iterable[GatewaySession], code: CloseCode) -> None:
        for session in sessions:
            connection = session.connection
            session.signed_out = code is CloseCode.AUTHENTICATION_FAILED
            self.state.sessions.end(session)
            if connection is not None:
                connection.close(code)

    def logins(self) -> frozenset[bytes]:
        """The digests of the tokens that open connections have logged in with."""
        return frozenset(one.session.login for one in self.state.connections if one.session is not None)

    def status_of(self, user_id: int) -> str:
        """``online``, ``idle``, ``dnd`` or ``offline``."""
        return str(self.state.presences.of(user_id)["status"])

    async def session_start_limit(self, account: Account) -> Json:
        """The `session_start_limit` of ``GET /gateway/bot`` for this account."""
        return await self.state.session_start_limit(account)

    # --- accepting connections ----------------------------------------------------------------------------------------

    def delay(self) -> float:
        """Seconds to wait before a new connection is read."""
        fault = self.state.fault_schedule.take("slow_upgrade")
        return float(fault.values["seconds"]) if fault is not None else 0.0

    def accept(self, address: str, transport: asyncio.Transport) -> bool:
        """Count a TCP connection; returns False to refuse it."""
        if self._stopping or len(self._accepted) >= self.options.max_connections + _MAX_REJECTED_CONNECTIONS:
            return False
        self._accepted.add(transport)
        self._addresses[network_of(address)] += 1
        return True

    def upgraded(self, transport: asyncio.Transport) -> None:
        """Do nothing: one limit is for all connections."""

    def connection_ended(self, address: str, transport: asyncio.Transport) -> None:
        """Forget a TCP connection that has ended."""
        self._accepted.discard(transport)
        network = network_of(address)
        self._addresses[network] -= 1
        if not self._addresses[network]:
            del self._addresses[network]

    def answer_request(self, request: HttpRequest, address: str) -> RequestAnswer:
        """Answer a request."""
        source = self._proxies.source_of(address, request.headers.getall)
        answer = self._answer(request, source)
        if self._observers:
            status = answer.status if isinstance(answer, HttpResponse) else 101 if request.is_upgrade else 426
            record = RequestRecord(
                address=source.address,
                scheme=source.scheme,
                method="GET",
                route=GATEWAY_ROUTE,
                path=GATEWAY_ROUTE,
                status=status,
            )
            for observer in self._observers:
                observer(record)
        return answer

    @property
    def is_stopping(self) -> bool:
        """True once `stop` was called."""
        return self._stopping

    def _answer(self, request: HttpRequest, source: RequestSource) -> RequestAnswer:
        self.state.stats_counter.add("handshakes")
        fault = self.state.fault_schedule.take("refuse_upgrade")
        if fault is not None:
            return self._refuse(fault.values["status"], "refused by a scripted fault", fault.values["retry_after"])
        if not self._allows_origin(request.headers.get("Origin"), request.headers.get("Host", ""), source.scheme):
            return self._refuse(403, "web pages of other hosts can't use this server", None)
        # Behind a proxy the connections are all its own: those of the client that it names count, this one added.
        counted = self.state.forwarded[source.network] + 1 if source.is_forwarded else self._addresses[source.network]
        if counted > self.options.max_per_address:
            return self._refuse(429, "too many connections from this address", _RETRY_AFTER)
        if self._stopping or len(self._accepted) > self.options.max_connections:
            return self._refuse(503, "too many connections", _RETRY_AFTER)
        return GatewayConnection(self.state, request.query, source).websocket

    def _refuse(self, status: int, text: str, retry_after: float | None) -> HttpResponse:
        self.state.stats_counter.add("refused")
        headers = {"Retry-After": f"{retry_after:g}"} if retry_after is not None else {}
        return HttpResponse.text(status, text, headers)
