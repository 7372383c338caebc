"""Limits the number of HTTP connections, in all and from one address, and the time that each may be idle."""

from __future__ import annotations

import asyncio
import functools
import logging
from collections.abc import Callable
from http import HTTPStatus
from typing import Final

from aiohttp import web

from .._address_counter import AddressCounter
from ._responses import SERVER_NAME, error_response
from ._upgrade_head import asks_for_upgrade

log = logging.getLogger(__name__)

IDLE_TIMEOUT: Final = 75.0
"""Seconds until a request begins to arrive, from the connection's start or the last answer."""
HEAD_TIMEOUT: Final = 20.0
"""Seconds for the head of a request to arrive, from its first byte."""
_PATIENCE: Final = 1.0
"""Seconds for which a refused connection waits for the request that is refused: closed before, it could be reset."""
_MAX_WAITING_REFUSALS: Final = 256
"""Refused connections that wait so; more are closed at once, as each takes a file descriptor."""


def _final_response(status: str, text: str) -> bytes:
    body = b'{"message":"%b: %b","code":0}' % (status.encode(), text.encode())
    return (
        b"HTTP/1.1 %b\r\nRetry-After: 5\r\nConnection: close\r\n"
        b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (status.encode(), len(body), body)
    )


_UNAVAILABLE_RESPONSE: Final = _final_response("503 Service Unavailable", "too many connections")
_TOO_MANY_RESPONSE: Final = _final_response("429 Too Many Requests", "too many connections from this address")


class HttpConnectionLimiter:
    """A protocol factory for `asyncio`'s ``create_server``: HTTP, or 503 and 429 over the limits."""

    def __init__(
        self,
        server: web.Server,
        limit: int,
        *,
        addresses: AddressCounter | None = None,
        idle: float = IDLE_TIMEOUT,
        head: float = HEAD_TIMEOUT,
    ) -> None:
        """`addresses` counts the connections of each client.

        `idle`, `head`: seconds until a request begins to arrive, and for its head from then on.
        """
        self._server = server
        self._limit = limit
        self._addresses = addresses
        self._idle = idle
        self.head_timeout = head
        self.open = 0
        """The number of open connections."""
        self.waiting_refusals = 0
        """The number of refused connections that wait for their request."""
        self.on_upgrade: Callable[[asyncio.Transport, bytes], object] | None = None
        """Takes a kept-alive connection over, with the request for an upgrade that came on it."""
        self.on_malformed: Callable[[str, int], object] = lambda _, __: None
        """Is told of each malformed request, by the other end's address, and of the status of its answer."""

    def __repr__(self) -> str:
        return f"<HttpConnectionLimiter {self.open}/{self._limit} {self._addresses!r}>"

    def unavailable(self) -> asyncio.Protocol:
        """Create the protocol of a connection over the limit of all."""
        return _Refusal(self, _UNAVAILABLE_RESPONSE, 0)

    def too_many(self) -> asyncio.Protocol:
        """Create the protocol of a connection over the limit of its address."""
        return _Refusal(self, _TOO_MANY_RESPONSE, _PATIENCE if self.waiting_refusals < _MAX_WAITING_REFUSALS else 0)

    def __call__(self, address: str = "") -> asyncio.Protocol:
        """Create the protocol of a new connection. `address`: of its other end; it is counted."""
        if self.open >= self._limit:
            return self.unavailable()
        if self._addresses is None:
            return _HttpHandler(self, self._server, self._idle, lambda: None)
        network = self._addresses.enter(address)
        if network is None:
            return self.too_many()
        return _HttpHandler(self, self._server, self._idle, functools.partial(self._addresses.leave, network))


class _HttpHandler(web.RequestHandler):
    __slots__ = ("_all", "_head", "_head_timer", "_on_lost")

    def __init__(
        self, connections: HttpConnectionLimiter, server: web.Server, idle: float, on_lost: Callable[[], None]
    ) -> None:
        super().__init__(server, loop=asyncio.get_running_loop(), access_log=None, keepalive_timeout=idle)  # type: ignore[arg-type] # aiohttp's own way to switch it off
        self._all = connections
        self._head = bytearray()
        """The first bytes of a request that may be one for an upgrade."""
        self._head_timer: asyncio.TimerHandle | None = None
        self._on_lost = on_lost

    @property
    def _awaits_request(self) -> bool:
        """True while aiohttp waits for the head of the next request."""
        return self._waiter is not None and not self._waiter.done()

    def data_received(self, data: bytes) -> None:
        is_next = self._awaits_request
        if is_next and self._head_timer is None:
            self._head_timer = self._loop.call_later(self._all.head_timeout, self._abort_slow_head)
        self._take(data, is_next=is_next)
        if self._head_timer is not None and not self._awaits_request:
            self._head_timer.cancel()
            self._head_timer = None

    def _abort_slow_head(self) -> None:
        self._head_timer = None
        if self._awaits_request and isinstance(self.transport, asyncio.Transport):
            self.transport.abort()

    def _take(self, data: bytes, *, is_next: bool) -> None:
        if self._all.on_upgrade is not None and (self._head or is_next):
            self._head += data
            asks = asks_for_upgrade(self._head) if self._head.startswith(b"GET "[: len(self._head)]) else False
            if asks is None:
                return
            data = bytes(self._head)
            self._head.clear()
            if asks and isinstance(self.transport, asyncio.Transport):
                transport, self.transport = self.transport, None  # so the end of this handler doesn't close it
                self.connection_lost(None)
                self._all.on_upgrade(transport, data)
                return
        super().data_received(data)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._all.open += 1
        super().connection_made(transport)

    def connection_lost(self, exc: BaseException | None) -> None:
        self._all.open -= 1
        self._on_lost()
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None
        super().connection_lost(exc)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer a malformed request. Neither the log nor the answer repeats it: it may hold a token."""
        del message
        if request.writer.output_size > 0:
            raise ConnectionError("a part of the answer is sent already")
        if isinstance(exc, UnicodeError):
            status = HTTPStatus.BAD_REQUEST.value  # aiohttp repeats a header in an answer of its own
        if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            log.error("a request failed", exc_info=exc)
        headers = {"Server": SERVER_NAME}  # such a request belongs to no application, which would set it
        response = error_response(status, 0, f"{status}: {HTTPStatus(status).phrase}", headers=headers)
        response.force_close()
        self._all.on_malformed(str(request.remote), status)
        return response


class _Refusal(asyncio.Protocol):
    """Answers the first bytes with an error and closes; after a while also without any."""

    def __init__(self, connections: HttpConnectionLimiter, response: bytes, patience: float) -> None:
        """`patience`: seconds to wait for the first bytes."""
        self._connections = connections
        self._response = response
        self._patience = patience
        self._transport: asyncio.BaseTransport | None = None
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        if self._patience:
            self._connections.waiting_refusals += 1
            self._timer = asyncio.get_running_loop().call_later(self._patience, self._answer)
        else:
            self._answer()

    def data_received(self, data: bytes) -> None:
        del data
        self._answer()

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        self._stop_waiting()
        self._transport = None

    def _stop_waiting(self) -> None:
        if self._timer is not None:
            self._connections.waiting_refusals -= 1
            self._timer.cancel()
            self._timer = None

    def _answer(self) -> None:
        self._stop_waiting()
        transport, self._transport = self._transport, None
        if isinstance(transport, asyncio.WriteTransport):
            transport.write(self._response)
            transport.close()
