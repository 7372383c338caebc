"""One TCP connection before its WebSocket: limits, slow and refused upgrades."""

from __future__ import annotations

import asyncio
import logging
from functools import partial
from typing import Any, Protocol

from ..errors import InvalidHandshake
from ..wire._http_response import HttpResponse, switching_protocols
from ..wire._request_parser import HttpRequest, RequestParser, upgrade_required
from ._server_connection import LINGER, ServerConnection, half_close

log = logging.getLogger("onesocket")

RequestAnswer = ServerConnection | HttpResponse
"""The answer to a request: the connection that it becomes, or a response."""


class ConnectionAcceptor(Protocol):
    """Port of a server: it accepts TCP connections and answers requests."""

    handshake_timeout: float

    def delay(self) -> float:
        """Return the seconds to wait before the next connection is read."""
        ...

    def accept(self, address: str, transport: asyncio.Transport) -> bool:
        """Return whether a TCP connection is accepted."""
        ...

    def upgraded(self, transport: asyncio.Transport) -> None:
        """Note that an accepted TCP connection carries a WebSocket now."""

    def connection_ended(self, address: str, transport: asyncio.Transport) -> None:
        """Note that an accepted TCP connection has ended."""

    def answer_request(self, request: HttpRequest, address: str) -> RequestAnswer:
        """Answer a valid request; a `ServerConnection` only counts for an upgrade. May raise `InvalidHandshake`."""
        ...


class AcceptedConnection(asyncio.Protocol):
    """Reads the request of one connection, and answers it; a `ServerConnection` takes the byte stream over."""

    def __init__(self, acceptor: ConnectionAcceptor, *, waits: bool = True) -> None:
        """`waits`: False: the acceptor's delay is over."""
        self._acceptor = acceptor
        self._waits = waits
        self._loop = asyncio.get_running_loop()
        self._parser: RequestParser | None = RequestParser()
        """None: the request is answered, and further bytes are dropped."""
        self._address = ""
        self._transport: asyncio.Transport
        self._is_accepted = False
        self._deadline: asyncio.TimerHandle | None = None

    def __repr__(self) -> str:
        return f"<AcceptedConnection {'answered' if self._parser is None else self._parser}>"

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Accept the TCP connection, or abort it."""
        if not isinstance(transport, asyncio.Transport):
            raise TypeError("the transport can't be written to")
        self._transport = transport
        peer: Any = transport.get_extra_info("peername")
        self._address = str(peer[0]) if peer else ""
        self._is_accepted = self._acceptor.accept(self._address, transport)
        if not self._is_accepted:
            transport.abort()
            return
        delay = self._acceptor.delay() if self._waits else 0.0
        self._deadline = self._loop.call_later(self._acceptor.handshake_timeout + delay, self._on_timeout)
        if delay:
            transport.pause_reading()
            self._loop.call_later(delay, _resume, transport)

    def data_received(self, data: bytes) -> None:
        """Take a part of the request."""
        parser = self._parser
        if parser is None:
            return
        found = parser.feed(data)
        if found is None:
            return
        self._parser = None
        if isinstance(found, HttpResponse):
            self._refuse(found, with_body=not parser.is_head)
            return
        answer = self._answer(found)
        if isinstance(answer, HttpResponse) or found.key is None:
            self._refuse(answer if isinstance(answer, HttpResponse) else upgrade_required())
            return
        self._cancel_deadline()
        self._acceptor.upgraded(self._transport)
        self._transport.write(
            switching_protocols(found.key, subprotocol=answer.subprotocol, extensions=answer.extensions)
        )
        ended = partial(self._acceptor.connection_ended, self._address, self._transport)
        answer.open(self._transport, parser.rest, ended)

    def connection_lost(self, exc: Exception | None) -> None:
        """Note the end of TCP."""
        del exc
        self._cancel_deadline()
        if self._is_accepted:
            self._acceptor.connection_ended(self._address, self._transport)

    def _answer(self, request: HttpRequest) -> RequestAnswer:
        try:
            return self._acceptor.answer_request(request, self._address)
        except InvalidHandshake as error:
            return HttpResponse.text(400, str(error))
        except Exception:
            log.exception("answering a request failed")
            return HttpResponse.text(500, "the server failed")

    def _refuse(self, response: HttpResponse, *, with_body: bool = True) -> None:
        """Send a response, and close when the client has read it."""
        self._transport.write(response.encode(with_body=with_body))
        half_close(self._transport)
        self._cancel_deadline()
        self._deadline = self._loop.call_later(LINGER, self._transport.abort)

    def _on_timeout(self) -> None:
        parser, self._parser = self._parser, None
        if parser is not None and parser.has_begun:
            seconds = self._acceptor.handshake_timeout
            self._refuse(HttpResponse.text(408, f"the request was not complete within {seconds:g} seconds"))
        else:
            self._transport.abort()

    def _cancel_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()


def _resume(transport: asyncio.Transport) -> None:
    if not transport.is_closing():
        transport.resume_reading()
