"""Limits the number of HTTP connections, and the time that each may be idle."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from http import HTTPStatus
from typing import Final

from aiohttp import web

from ._responses import error_response
from ._upgrade_head import asks_for_upgrade

log = logging.getLogger(__name__)

IDLE_TIMEOUT: Final = 75.0
"""Seconds for a whole request to arrive."""
_UNAVAILABLE_BODY: Final = b'{"message":"503: Service Unavailable: too many connections","code":0}'
_UNAVAILABLE_RESPONSE: Final = (
    b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 5\r\nConnection: close\r\n"
    b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (len(_UNAVAILABLE_BODY), _UNAVAILABLE_BODY)
)


class HttpConnectionLimiter:
    """A protocol factory for `asyncio`'s ``create_server``: HTTP, or 503 over the limit."""

    def __init__(self, server: web.Server, limit: int, *, idle: float = IDLE_TIMEOUT) -> None:
        """`idle`: seconds for a whole request to arrive, from the connection's start or the last answer."""
        self._server = server
        self._limit = limit
        self._idle = idle
        self.open = 0
        """The number of open connections."""
        self.on_upgrade: Callable[[asyncio.Transport, bytes], object] | None = None
        """Takes a kept-alive connection over, with the request for an upgrade that came on it."""
        self.on_malformed: Callable[[str, int], object] = lambda _, __: None
        """Is told of each malformed request, by the other end's address, and of the status of its answer."""

    def __repr__(self) -> str:
        return f"<HttpConnectionLimiter {self.open}/{self._limit}>"

    def unavailable(self) -> asyncio.Protocol:
        """Create the protocol of a connection over the limit."""
        return _ServiceUnavailable()

    def __call__(self) -> asyncio.Protocol:
        """Create the protocol of a new connection."""
        if self.open >= self._limit:
            return self.unavailable()
        return _HttpHandler(self, self._server, self._idle)


class _HttpHandler(web.RequestHandler):
    __slots__ = ("_all", "_head")

    def __init__(self, connections: HttpConnectionLimiter, server: web.Server, idle: float) -> None:
        super().__init__(server, loop=asyncio.get_running_loop(), access_log=None, keepalive_timeout=idle)  # type: ignore[arg-type] # aiohttp's own way to switch it off
        self._all = connections
        self._head = bytearray()
        """The first bytes of a request that may be one for an upgrade."""

    def data_received(self, data: bytes) -> None:
        is_next = self._waiter is not None and not self._waiter.done()  # aiohttp waits for the next request
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
        if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            log.error("a request failed", exc_info=exc)
        response = error_response(status, 0, f"{status}: {HTTPStatus(status).phrase}")
        response.force_close()
        self._all.on_malformed(str(request.remote), status)
        return response


class _ServiceUnavailable(asyncio.Protocol):
    """Answers 503 and closes."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if isinstance(transport, asyncio.WriteTransport):
            transport.write(_UNAVAILABLE_RESPONSE)
        transport.close()
