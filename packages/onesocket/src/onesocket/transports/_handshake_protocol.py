"""Holds a byte stream between the upgrade request and the end of its answer, in front of whoever takes it over."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from typing import Final

from ..errors import OnesocketError
from ..urls import parse_url
from ..wire._handshake import DialRequest
from ._connect_errors import connect_failed
from ._handshake_parser import AcceptedHandshake, HandshakeParser

# Seconds for the body of a refusal, which is only shown: its status is known, and many a server keeps the line open.
_BODY_TIMEOUT: Final = 0.25


class HandshakeProtocol(asyncio.Protocol):
    """Reads the answer, and tells once: `accepted`, or `failed` with the stream aborted."""

    def __init__(
        self,
        request: DialRequest,
        transport: asyncio.Transport,
        answer: HandshakeParser,
        successor: asyncio.BaseProtocol,
        *,
        accepted: Callable[[AcceptedHandshake], None],
        failed: Callable[[OnesocketError], None],
    ) -> None:
        """`successor` is told about the write buffer and the end of the stream as if it were there already."""
        self._request = request
        self._transport = transport
        self._answer = answer
        self._accepted = accepted
        self._failed = failed
        self._successor = successor
        self._over = False
        self._deadline: asyncio.TimerHandle | None = None
        self.pause_writing = successor.pause_writing  # type: ignore[method-assign]
        self.resume_writing = successor.resume_writing  # type: ignore[method-assign]

    def __repr__(self) -> str:
        return f"<HandshakeProtocol {self._answer!r}>"

    def data_received(self, data: bytes) -> None:
        """Bytes came (asyncio calls this)."""
        if self._over:
            return
        found = self._answer.feed(data)
        if isinstance(found, AcceptedHandshake):
            self._over = True
            self._accepted(found)
        elif found is not None:
            self._fail(found)
        elif self._answer.refuses and self._deadline is None:
            self._deadline = asyncio.get_running_loop().call_later(_BODY_TIMEOUT, self._on_body_timeout)

    def eof_received(self) -> None:
        """The server ended its half; the transport closes itself, and tells by `connection_lost`."""

    def connection_lost(self, exc: Exception | None) -> None:
        """The stream ended."""
        if not self._over:
            error = self._answer.cut_off()
            if isinstance(exc, ssl.SSLError):  # TLS 1.3: the server's "no" to our certificate comes after the handshake
                error = connect_failed(exc, parse_url(self._request.url).host_port)
            elif not self._answer.refuses:
                error.__cause__ = exc
            self._fail(error)
        self._successor.connection_lost(exc)

    def _on_body_timeout(self) -> None:
        if not self._over:
            self._fail(self._answer.cut_off())

    def _fail(self, error: OnesocketError) -> None:
        self._over = True
        if self._deadline is not None:
            self._deadline.cancel()
        self._transport.abort()
        self._failed(error)
