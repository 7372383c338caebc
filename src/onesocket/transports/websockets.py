"""The second transport: the library `websockets`, for permessage-deflate and for platforms without a picows wheel."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from ..errors import InvalidOption, MissingExtra
from ..wire import Data, DialRequest
from .base import LineEvents
from .dialled_line import DialledLine
from .dialling import Dialler

try:
    from websockets.version import version as _version

    from .websockets_stream import Stream
except ImportError as error:  # pragma: no cover - depends on the installation
    raise MissingExtra('this transport needs websockets: pip install "onesocket[websockets]"') from error


class WebsocketsTransport:
    """Makes lines on the library `websockets`.

    `compression`: ``"deflate"`` offers permessage-deflate (RFC 7692), which the server may decline; None: nothing.
    """

    name = "websockets"

    def __init__(self, *, compression: Literal["deflate"] | None = "deflate") -> None:
        if compression not in ("deflate", None):
            raise InvalidOption(f"compression must be 'deflate' or None, not {compression!r}")
        self.compression = compression

    def __repr__(self) -> str:
        return f"<WebsocketsTransport {_version} compression={self.compression}>"

    def dial(self, request: DialRequest, events: LineEvents, received: Callable[[Data], object]) -> DialledLine:
        """Start opening one line."""
        stream = Stream(request, events, received, deflate=self.compression == "deflate")
        return DialledLine(Dialler(request), stream, events)
