"""The transport of every client: WebSocket over TCP, TLS or a Unix socket, by the project's own engine."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from ..errors import InvalidOption
from ..wire._frames import IMPLEMENTATION
from ..wire._handshake import Data, DialRequest
from ._counting_stream import CountingStream
from ._dialled_connection import DialledConnection
from ._dialler import Dialler
from ._transport import TransportEvents
from ._websocket_stream import WebSocketStream


class WebSocketTransport:
    """Opens WebSocket connections.

    `compression`: ``"deflate"`` offers permessage-deflate (RFC 7692), which the server may decline; None: no extension.
    """

    name = "websocket"

    def __init__(self, *, compression: Literal["deflate"] | None = None) -> None:
        if compression not in ("deflate", None):
            raise InvalidOption(f"compression must be 'deflate' or None, not {compression!r}")
        self.compression = compression

    def __repr__(self) -> str:
        return f"<WebSocketTransport {IMPLEMENTATION} compression={self.compression}>"

    def dial(
        self, request: DialRequest, events: TransportEvents, received: Callable[[Data], object]
    ) -> DialledConnection:
        """Begin to open one connection."""
        compress = self.compression is not None
        stream = (
            WebSocketStream(request, events, received, compress=compress)
            if request.byte_counts is None
            else CountingStream(request, events, received, request.byte_counts, compress=compress)
        )
        return DialledConnection(Dialler(request, getattr(events, "may_dial", None)), stream, events)
