"""WebSocket (RFC 6455, RFC 7692) without input and output: frames, and the upgrade with its request and result."""

from ._frames import IMPLEMENTATION, FrameReader, encode_frame
from ._handshake import Data, DialRequest, Handshake, size_of, upgrade_headers

__all__ = [
    "IMPLEMENTATION",
    "Data",
    "DialRequest",
    "FrameReader",
    "Handshake",
    "encode_frame",
    "size_of",
    "upgrade_headers",
]
