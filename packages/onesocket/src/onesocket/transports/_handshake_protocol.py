"""The protocol of a byte stream between the upgrade request and the end of its response."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from typing import Final

from ..errors import OnesocketError
from ..wire._handshake import DialRequest
from ..wire._response_parser import AcceptedHandshake, ResponseParser
from ._connect_errors import connect_failed

# Seconds for the body of a refusal, which is only shown: many servers keep the connection open after it.
_BODY_TIMEOUT: Final = 0.25


class HandshakeProtocol(asyncio.Protocol):
    """Reads the response, and calls `accepted`, or aborts the stream and calls `failed`; one of both, once."""

    def __init__(
        self,
        request: DialRequest,
        transport: asyncio.Transport,
        response: ResponseParser,
        successor: asyncio.BaseProtocol,
        *,
        accepted: Callable[[AcceptedHandshake], None],
        failed: Callable[[OnesocketError], None],
    ) -> None:
        """`successor` already gets the events of the write buffer and of the end of the stream."""
        self._request = request
        self._transport = transport
        self._response = response
        self._accepted = accepted
        self._failed = failed
        self._successor = successor
        self._over = False
        self._deadline: asyncio.TimerHandle | None = None
        self.pause_writing = successor.pause_writing  # type: ignore[method-assign]
        self.resume_writing = successor.resume_writing  # type: ignore[method-assign]

    def __repr__(self) -> str:
        return f"<HandshakeProtocol {self._response!r}>"

    def data_received(self, data: bytes) -> None:
        """Take bytes (asyncio calls this)."""
        if self._over:
            return
        found = self._response.feed(data)
        if isinstance(found, AcceptedHandshake):
            self._over = True
            self._accepted(found)
        elif found is not None:
            self._fail(found)
        elif self._response.refuses and self._deadline is None:
            self._deadline = asyncio.get_running_loop().call_later(_BODY_TIMEOUT, self._on_body_timeout)

    def eof_received(self) -> None:
        """Let the transport close itself, which is reported by `connection_lost`."""

    def connection_lost(self, exc: Exception | None) -> None:
        """Note the end of the stream (asyncio calls this)."""
        if not self._over:
            error = self._response.cut_off()
            if isinstance(exc, ssl.SSLError):  # TLS 1.3: the server rejects a client certificate after the handshake
                error = connect_failed(exc, self._request.address.host_port)
            elif not self._response.refuses:
                error.__cause__ = exc
            self._fail(error)
        self._successor.connection_lost(exc)

    def _on_body_timeout(self) -> None:
        if not self._over:
            self._fail(self._response.cut_off())

    def _fail(self, error: OnesocketError) -> None:
        self._over = True
        if self._deadline is not None:
            self._deadline.cancel()
        self._failed(error)
        self._transport.abort()
