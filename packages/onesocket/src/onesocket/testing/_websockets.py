"""The parts of the library `websockets` that the faulty server is built on."""

from __future__ import annotations

from ..errors import MissingExtra

try:
    from websockets.exceptions import ProtocolError
    from websockets.extensions.permessage_deflate import ServerPerMessageDeflateFactory
    from websockets.frames import Frame
    from websockets.frames import Opcode as WireOpcode
    from websockets.http11 import Request
    from websockets.protocol import State
    from websockets.server import ServerProtocol
    from websockets.typing import Subprotocol
except ImportError as error:
    raise MissingExtra('the faulty server needs websockets: pip install "onesocket[testing]"') from error

__all__ = [
    "Frame",
    "ProtocolError",
    "Request",
    "ServerPerMessageDeflateFactory",
    "ServerProtocol",
    "State",
    "Subprotocol",
    "WireOpcode",
]
