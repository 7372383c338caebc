"""Chooses the transport of a client: the given one, if it can compress as asked, or the default."""

from __future__ import annotations

from functools import cache
from typing import Any, Literal

from ..errors import InvalidOption
from ..transports._transport import Transport

Compression = Literal["deflate"]


def choose_transport(transport: Transport | None, compression: object) -> Transport:
    """The given transport, or the default one; raises `InvalidOption` when it can't compress as asked."""
    if compression not in ("deflate", None):
        raise InvalidOption(f"compression must be 'deflate' (permessage-deflate) or None, not {compression!r}")
    if transport is None:
        return default_transport("deflate" if compression else None)
    does: Any = getattr(transport, "compression", None)
    if compression is not None and does != compression:
        raise InvalidOption(
            f"compression={compression!r} was asked for, but the transport {transport.name} was given, which does not "
            "compress; leave transport= out, or give WebSocketTransport(compression='deflate')"
        )
    return transport


# Imported here, so that only programs that need a transport pay for its import.
@cache
def default_transport(compression: Compression | None) -> Transport:
    """The project's own WebSocket over TCP."""
    from ..transports._websocket import WebSocketTransport  # noqa: PLC0415

    return WebSocketTransport(compression=compression)
