"""One TCP connection before and below its WebSocket: limits, slow and refused upgrades, frames that can't be parsed."""

from __future__ import annotations

import asyncio
import logging
from typing import Any, Final, Protocol

from picows import WSAutoPingStrategy, WSUpgradeRequest, WSUpgradeResponse, WSUpgradeResponseWithListener
from picows.picows import WSProtocol  # type: ignore[attr-defined] # pyright: ignore[reportAttributeAccessIssue, reportUnknownVariableType]

from ..wire._header_fields import header_tokens
from ._server_connection import ServerConnection

# picows logs whole requests, and a child logger for each connection costs more than the rest of accepting it.
_SILENT: Final = logging.Logger("onesocket.picows.server", level=logging.CRITICAL + 1)  # noqa: LOG001
_READ_BUFFER: Final = 4096

HandshakeAnswer = ServerConnection | WSUpgradeResponse
"""The answer to an upgrade request: the connection that it becomes, or a refusal."""


class ConnectionAcceptor(Protocol):
    """Port of a server: it accepts TCP connections and answers upgrade requests."""

    handshake_timeout: float
    max_frame: int
    """Bytes; a frame that is too large is read to its end up to here, for a complete close handshake."""

    def delay(self) -> float:
        """Return the seconds to wait before the next connection is read."""
        ...

    def accept(self, address: str, transport: asyncio.Transport) -> bool:
        """Return whether a TCP connection is accepted."""
        ...

    def connection_ended(self, address: str, transport: asyncio.Transport) -> None:
        """Note that an accepted TCP connection has ended."""

    def answer_upgrade(self, request: WSUpgradeRequest, address: str) -> HandshakeAnswer:
        """Answer a complete upgrade request."""
        ...


class _ParserError(Exception):
    """picows' parser can't continue; `code` is the close code that it would send."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


class _ServerParserLog(logging.LoggerAdapter[logging.Logger]):
    """The logger that picows is given. It raises at the ERROR that picows logs before it sends a CLOSE of its own."""

    def __init__(self) -> None:
        super().__init__(_SILENT, {})

    def error(self, msg: object, *args: Any, **_: Any) -> None:
        if isinstance(msg, str) and msg.startswith("WS parser error"):
            raise _ParserError(int(args[0][0]))


class AcceptedConnection(WSProtocol):  # type: ignore[misc] # pyright: ignore[reportUntypedBaseClass]
    """picows' protocol for one connection, with the options that `ws_create_server` lacks."""

    def __init__(self, acceptor: ConnectionAcceptor) -> None:
        self._delay = acceptor.delay()
        super().__init__(  # pyright: ignore[reportUnknownMemberType]
            host_port=None,
            ws_path=None,
            is_client_side=False,
            ws_listener_factory=self._answer,
            logger=_ServerParserLog(),
            disconnect_on_exception=True,
            websocket_handshake_timeout=acceptor.handshake_timeout + self._delay,
            enable_auto_ping=False,
            auto_ping_idle_timeout=20,
            auto_ping_reply_timeout=20,
            auto_ping_strategy=WSAutoPingStrategy.PING_WHEN_IDLE,
            enable_auto_pong=False,
            max_frame_size=acceptor.max_frame,
            extra_headers=None,
            read_buffer_init_size=_READ_BUFFER,
        )
        self._acceptor = acceptor
        self._connection: ServerConnection | None = None
        self._address = ""
        self._is_accepted = False
        self._tcp: asyncio.Transport
        self._ignores_input = False

    def connection_made(self, transport: asyncio.Transport) -> None:
        """Accept the TCP connection, or abort it (asyncio calls this)."""
        peer: Any = transport.get_extra_info("peername")
        self._address = str(peer[0]) if peer else ""
        super().connection_made(transport)  # pyright: ignore[reportUnknownMemberType]
        self._tcp = transport
        self._is_accepted = self._acceptor.accept(self._address, transport)
        if not self._is_accepted:
            transport.abort()
        elif self._delay:
            transport.pause_reading()
            asyncio.get_running_loop().call_later(self._delay, _resume, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """Note the end of TCP (asyncio calls this)."""
        super().connection_lost(exc)  # pyright: ignore[reportUnknownMemberType]
        if self._is_accepted:
            self._acceptor.connection_ended(self._address, self._tcp)

    def buffer_updated(self, nbytes: int) -> None:
        """Take bytes (asyncio calls this). After a frame that can't be parsed they are dropped."""
        if self._ignores_input:
            return
        try:
            super().buffer_updated(nbytes)  # pyright: ignore[reportUnknownMemberType]
        except _ParserError as refused:
            self._ignores_input = True
            if self._connection is not None:
                self._connection.parser_refused(refused.code)

    def _answer(self, request: WSUpgradeRequest) -> WSUpgradeResponseWithListener:
        # RFC 6455, section 4.2.1 wants these tokens to be in the lists; picows wants them to be alone. Firefox sends
        # "keep-alive, Upgrade".
        for name, wanted in (("Connection", "upgrade"), ("Upgrade", "websocket")):
            if wanted in header_tokens(request.headers.getall(name, [])):
                request.headers[name] = wanted
        answer = self._acceptor.answer_upgrade(request, self._address)
        if isinstance(answer, ServerConnection):
            self._connection = answer
            chosen = {} if answer.subprotocol is None else {"Sec-WebSocket-Protocol": answer.subprotocol}
            return WSUpgradeResponseWithListener(WSUpgradeResponse.create_101_response(chosen), answer)
        return WSUpgradeResponseWithListener(answer, None)


def _resume(transport: asyncio.Transport) -> None:
    if not transport.is_closing():
        transport.resume_reading()
