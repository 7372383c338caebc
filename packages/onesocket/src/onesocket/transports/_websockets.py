"""The second transport: the library `websockets`, for permessage-deflate and for platforms without a picows wheel."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from ..errors import InvalidOption, MissingExtra
from ..wire._handshake import Data, DialRequest
from ._dialled_connection import DialledConnection
from ._dialler import Dialler
from ._transport import TransportEvents

try:
    from websockets.version import version as _version

    from ._websockets_stream import WebsocketsStream
except ImportError as error:  # pragma: no cover - depends on the installation
    raise MissingExtra('this transport needs websockets: pip install "onesocket[websockets]"') from error


class WebsocketsTransport:
    """Opens connections with the library `websockets`.

    `compression`: ``"deflate"`` offers permessage-deflate (RFC 7692), which the server may decline; None: no extension.
    """

    name = "websockets"

    def __init__(self, *, compression: Literal["deflate"] | None = "deflate") -> None:
        if compression not in ("deflate", None):
            raise InvalidOption(f"compression must be 'deflate' or None, not {compression!r}")
        self.compression = compression

    def __repr__(self) -> str:
        return f"<WebsocketsTransport {_version} compression={self.compression}>"

    def dial(
        self, request: DialRequest, events: TransportEvents, received: Callable[[Data], object]
    ) -> DialledConnection:
        """Begin to open one connection."""
        stream = WebsocketsStream(request, events, received, deflate=self.compression == "deflate")
        return DialledConnection(Dialler(request), stream, events)
