"""Encodes WebSocket frames without checks, so that they may break RFC 6455."""

from __future__ import annotations

import struct
import zlib
from enum import IntEnum

# Up to here the payload's length fits into the second byte of the frame.
_MAX_SHORT_LENGTH = 125


class Opcode(IntEnum):
    """The opcodes of RFC 6455, section 5.2."""

    CONTINUATION = 0x0
    TEXT = 0x1
    BINARY = 0x2
    CLOSE = 0x8
    PING = 0x9
    PONG = 0xA


def encode_frame(
    opcode: int,
    payload: bytes = b"",
    *,
    fin: bool = True,
    reserved: int = 0,
    mask: bytes | None = None,
    claimed_length: int | None = None,
) -> bytes:
    """Encode one frame and check nothing.

    `reserved` holds RSV1-3 as a number from 0 to 7. `mask` is a four-byte masking key, which a server must
    not use. `claimed_length`, in bytes, replaces the payload's length in the header.
    """
    length = len(payload) if claimed_length is None else claimed_length
    first = (0x80 if fin else 0) | (reserved & 0x7) << 4 | (opcode & 0xF)
    mask_bit = 0x80 if mask is not None else 0
    if length <= _MAX_SHORT_LENGTH:
        header = struct.pack("!BB", first, mask_bit | length)
    elif length < 1 << 16:
        header = struct.pack("!BBH", first, mask_bit | 126, length)
    else:
        header = struct.pack("!BBQ", first, mask_bit | 127, length)
    if mask is None:
        return header + payload
    key = (mask * (len(payload) // 4 + 1))[: len(payload)]
    masked = int.from_bytes(payload, "big") ^ int.from_bytes(key, "big")
    return header + mask + masked.to_bytes(len(payload), "big")


def encode_message(message: str | bytes) -> bytes:
    """Encode one whole message: `str` as a text frame, `bytes` as a binary frame."""
    if isinstance(message, str):
        return encode_frame(Opcode.TEXT, message.encode())
    return encode_frame(Opcode.BINARY, message)


def encode_close(code: int | None, reason: str = "") -> bytes:
    """Encode a CLOSE frame with any code, also one that must never be sent (RFC 6455, section 7.4.1)."""
    payload = b"" if code is None else struct.pack("!H", code) + reason.encode()
    return encode_frame(Opcode.CLOSE, payload)


def deflate(payload: bytes, *, final: bool = False) -> bytes:
    """Compress the payload of one message without context (RFC 7692, section 7.2.1), for a frame with RSV1.

    With `final` it ends with a final DEFLATE block (section 7.2.3.4).
    """
    compressor = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    if final:
        return compressor.compress(payload) + compressor.flush(zlib.Z_FINISH) + b"\x00"
    return (compressor.compress(payload) + compressor.flush(zlib.Z_SYNC_FLUSH))[:-4]
