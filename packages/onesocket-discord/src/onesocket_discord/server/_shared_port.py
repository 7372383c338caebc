"""One port for HTTP and the gateway: a request for an upgrade goes to the gateway, all others to HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from onesocket.transports._connection_acceptor import AcceptedConnection

from ._address_counter import AddressCounter
from .gateway import GatewayServer
from .rest import HttpConnectionLimiter, asks_for_upgrade


class SharedPort:
    """A protocol factory: reads the head of the first request, and passes the connection on.

    An upgrade may be asked for on a connection that HTTP has kept alive: libraries and reverse proxies reuse theirs.
    """

    def __init__(
        self, http: HttpConnectionLimiter, gateway: GatewayServer, limit: int, idle: float, addresses: AddressCounter
    ) -> None:
        """`limit`: connections that may be without a whole head; `addresses` counts them for each client.

        `idle`: seconds until the first request begins to arrive.
        """
        self.http = http
        self.gateway = gateway
        self.idle = idle
        self.addresses = addresses
        self.waiting: set[UndecidedConnection] = set()
        """Connections whose first request has not arrived."""
        self._limit = limit
        http.on_upgrade = self._take_over

    def __repr__(self) -> str:
        return f"<SharedPort waiting={len(self.waiting)} {self.http!r}>"

    def __call__(self) -> asyncio.Protocol:
        """Create the protocol of a new connection."""
        return UndecidedConnection(self) if len(self.waiting) < self._limit else self.http.unavailable()

    def _take_over(self, transport: asyncio.Transport, data: bytes) -> None:
        pass_to(self(), transport, data)

    def close(self) -> None:
        """Abort the connections whose first request has not arrived."""
        for connection in tuple(self.waiting):
            connection.abort()


class UndecidedConnection(asyncio.Protocol):
    """A connection until the head of its first request has arrived."""

    def __init__(self, port: SharedPort) -> None:
        self._port = port
        self._loop = asyncio.get_running_loop()
        self._head = bytearray()
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._network: str | None = None

    def __repr__(self) -> str:
        return f"<UndecidedConnection bytes={len(self._head)}>"

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Wait for the first request."""
        if not isinstance(transport, asyncio.Transport):
            raise TypeError("the transport can't be written to")
        self._network = self._port.addresses.enter(_address_of(transport))
        if self._network is None:
            refusal = self._port.http.too_many()
            transport.set_protocol(refusal)
            refusal.connection_made(transport)
            return
        self._transport = transport
        self._port.waiting.add(self)
        self._timer = self._loop.call_later(self._port.idle, self.abort)

    def data_received(self, data: bytes) -> None:
        """Take a part of the request; its end decides."""
        if not self._head and self._timer is not None:
            self._timer.cancel()
            self._timer = self._loop.call_later(self._port.http.head_timeout, self.abort)
        self._head += data
        match asks_for_upgrade(self._head):
            case True:
                self._to_gateway()
            case False:
                self._pass_on(self._to_http)
            case None:
                pass

    def connection_lost(self, exc: Exception | None) -> None:
        """Note that the client has left without a request."""
        del exc
        self._forget()

    def abort(self) -> None:
        """End the connection."""
        if self._transport is not None:
            self._transport.abort()

    def _to_gateway(self) -> None:
        delay = self._port.gateway.delay()
        if not delay:
            self._pass_on(self._accepted)
            return
        if self._timer is not None and self._transport is not None:
            self._timer.cancel()
            self._transport.pause_reading()
            self._timer = self._loop.call_later(delay, self._after_delay)

    def _after_delay(self) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()
            self._pass_on(self._accepted)

    def _to_http(self) -> asyncio.Protocol:
        return self._port.http("" if self._transport is None else _address_of(self._transport))

    def _accepted(self) -> asyncio.Protocol:
        return AcceptedConnection(self._port.gateway, waits=False)

    def _pass_on(self, make: Callable[[], asyncio.Protocol]) -> None:
        transport = self._transport
        if transport is not None:
            protocol = make()
            self._forget()
            pass_to(protocol, transport, bytes(self._head))

    def _forget(self) -> None:
        self._port.waiting.discard(self)
        if self._network is not None:
            self._port.addresses.leave(self._network)
            self._network = None
        self._transport = None
        if self._timer is not None:
            self._timer.cancel()


def _address_of(transport: asyncio.BaseTransport) -> str:
    peer = transport.get_extra_info("peername")
    return str(peer[0]) if peer else ""


def pass_to(protocol: asyncio.Protocol, transport: asyncio.Transport, data: bytes) -> None:
    """Let this protocol go on with an open connection, from these bytes on."""
    transport.set_protocol(protocol)
    protocol.connection_made(transport)
    protocol.data_received(data)
