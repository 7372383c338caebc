"""The first protocol of a byte stream: it keeps early bytes, and connects through an HTTP proxy."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from .._version import __version__
from ..wire._response_head import HEAD_END, HTTP_PREFIX, MAX_HEAD, ResponseHead

_SWITCHING_PROTOCOLS: Final = 101


class MalformedResponse(Exception):
    """The proxy's response to CONNECT is not HTTP, or too long."""


class Tunnel(asyncio.Protocol):
    """Keeps received bytes until they are taken, and speaks HTTP CONNECT (RFC 9110, section 9.3.6)."""

    def __init__(self) -> None:
        self._end: asyncio.Future[Exception | None] = asyncio.get_running_loop().create_future()
        self._early = bytearray()
        self._seen = 0
        """Offset at which the search for the end of the head continues."""
        self._interim = 0
        """Bytes of interim responses."""
        self._response: asyncio.Future[ResponseHead] | None = None

    def take_early(self) -> bytes:
        """Return the bytes received so far, once."""
        early = bytes(self._early)
        self._early.clear()
        return early

    def on_lost(self, call: Callable[[Exception | None], None]) -> None:
        """Call this for an end of the stream that is reported here: event loops do so once they have scheduled it."""
        self._end.add_done_callback(lambda end: call(end.result()))

    async def request_connect(
        self, transport: asyncio.Transport, authority: str, authorization: str | None
    ) -> ResponseHead:
        """Ask the proxy to connect to `authority` (host:port), and return the head of its response.

        Raises `MalformedResponse`, or the socket's exception; ConnectionResetError for an end without an answer.
        """
        if transport.is_closing():
            raise ConnectionResetError("the proxy ended the connection before it was asked")
        self._response = asyncio.get_running_loop().create_future()
        lines = [f"CONNECT {authority} HTTP/1.1", f"Host: {authority}", f"User-Agent: onesocket/{__version__}"]
        if authorization is not None:
            lines.append(f"Proxy-Authorization: {authorization}")
        transport.write("\r\n".join([*lines, "", ""]).encode("ascii"))
        return await self._response

    def data_received(self, data: bytes) -> None:
        """Take bytes (asyncio calls this)."""
        self._early += data
        if self._response is None or self._response.done():
            return
        try:
            head = self._next_head()
        except MalformedResponse as error:
            self._response.set_exception(error)
        else:
            if head is not None:
                self._response.set_result(head)

    def connection_lost(self, exc: Exception | None) -> None:
        """Note the end of the stream (asyncio calls this)."""
        if not self._end.done():
            self._end.set_result(exc)
        if self._response is not None and not self._response.done():
            self._response.set_exception(exc or ConnectionResetError("the proxy ended the connection"))

    def _next_head(self) -> ResponseHead | None:
        """Return the head of the final response; None: more bytes are needed. Raises `MalformedResponse`."""
        while True:
            if not self._early.startswith(HTTP_PREFIX[: len(self._early)]):
                raise MalformedResponse("it is not HTTP")
            end = HEAD_END.search(self._early, max(0, self._seen - 3))
            self._seen = len(self._early)
            if self._interim + (self._seen if end is None else end.end()) > MAX_HEAD:
                raise MalformedResponse(f"its head is longer than {MAX_HEAD} bytes")
            if end is None:
                return None
            head = ResponseHead.parse(bytes(self._early[: end.start()]))
            del self._early[: end.end()]
            if head is None:
                raise MalformedResponse("it is not HTTP")
            if head.status >= 200 or head.status == _SWITCHING_PROTOCOLS:
                return head
            self._interim += end.end()
            self._seen = 0
