"""permessage-deflate (RFC 7692) for received messages, where that of `websockets` delivers wrong data.

A sender may end a message, or any part of it, with a *final* DEFLATE block (section 7.2.3.4). zlib's decompressor ends
there, and `websockets` keeps using the ended one: every later message is empty. A message that ends in the middle of a
block is delivered as zlib decodes the truncated bytes, and so is the next one.
"""

from __future__ import annotations

import zlib
from collections import deque
from collections.abc import Sequence
from typing import Any, Final

from websockets.exceptions import PayloadTooBig, ProtocolError
from websockets.extensions import Extension
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory, PerMessageDeflate
from websockets.frames import CTRL_OPCODES, Frame, Opcode
from websockets.typing import ExtensionParameter

# An empty block without compression: the sender leaves it out (RFC 7692, section 7.2.1).
_TAIL: Final = b"\x00\x00\xff\xff"
# The same, but final: at the end of a whole message it ends the stream, and in the middle of a block it doesn't.
_FINAL_TAIL: Final = b"\x01\x00\x00\xff\xff"
_MAX_WINDOW: Final = 32_768
# In one frame. A final block takes two bytes, and what follows it a new decompressor.
_MAX_FINAL_BLOCKS: Final = 256


class Inflater:
    """Decompresses one message after another, each piece by piece; raises `ProtocolError` or `PayloadTooBig`."""

    def __init__(self, window_bits: int, *, context_takeover: bool) -> None:
        self._window_bits = window_bits
        self._context_takeover = context_takeover
        self._zlib: Any = None
        """zlib's decompressor, whose type has no public name; None: begin a new one."""
        self._recent: deque[bytes] = deque()
        """The last decompressed bytes: after a final block, a sender may still refer to them."""
        self._recent_size = 0
        self._is_empty = True
        """True if no byte of the current message has come yet."""

    def __repr__(self) -> str:
        return f"<Inflater window={self._window_bits} context_takeover={self._context_takeover}>"

    def begin(self) -> None:
        """Begin a message."""
        self._is_empty = True
        if not self._context_takeover:
            self._zlib = None
            self._recent.clear()
            self._recent_size = 0

    def add(self, data: bytes, *, last: bool, limit: int | None) -> bytes:
        """Return the decompressed piece, of at most `limit` bytes."""
        self._is_empty = self._is_empty and not data
        try:
            found = self._inflate(data, limit)
            if last and not self._is_empty and self._zlib is not None:
                found += self._inflate(_TAIL, None if limit is None else limit - len(found))
                if self._zlib is None or not _is_between_blocks(self._zlib):
                    raise ProtocolError("a compressed message ends in the middle of a block")
        except zlib.error as error:
            raise ProtocolError("decompression failed") from error
        return found

    def _inflate(self, data: bytes, limit: int | None) -> bytes:
        found: list[bytes] = []
        room = None if limit is None else limit + 1  # to zlib, 0 means "no limit"
        for _ in range(_MAX_FINAL_BLOCKS):
            if not data:
                return b"".join(found)
            if self._zlib is None:
                window = b"".join(self._recent)[-_MAX_WINDOW:]
                self._zlib = zlib.decompressobj(-self._window_bits, zdict=window)
            piece = self._zlib.decompress(data, room or 0)
            if room is not None:
                room -= len(piece)
                if room <= 0:
                    raise PayloadTooBig(None, limit)
            found.append(piece)
            self._remember(piece)
            data = b""
            if self._zlib.eof:
                data = self._zlib.unused_data
                self._zlib = None
        raise ProtocolError("too many final blocks in one frame")

    def _remember(self, piece: bytes) -> None:
        piece = piece[-_MAX_WINDOW:]
        self._recent.append(piece)
        self._recent_size += len(piece)
        while self._recent_size - len(self._recent[0]) >= _MAX_WINDOW:
            self._recent_size -= len(self._recent.popleft())


def _is_between_blocks(decompressor: Any) -> bool:
    probe = decompressor.copy()
    return not probe.decompress(_FINAL_TAIL, 1) and bool(probe.eof)


class Deflate(PerMessageDeflate):
    """The extension after negotiation."""

    def __init__(self, agreed: PerMessageDeflate) -> None:
        super().__init__(
            agreed.remote_no_context_takeover,
            agreed.local_no_context_takeover,
            agreed.remote_max_window_bits,
            agreed.local_max_window_bits,
            agreed.compress_settings,
        )
        self._inflater = Inflater(self.remote_max_window_bits, context_takeover=not self.remote_no_context_takeover)
        self._compressed = False
        """True if the message under way is compressed."""

    def decode(self, frame: Frame, *, max_size: int | None = None) -> Frame:
        """Decompress the payload of one frame."""
        if frame.opcode in CTRL_OPCODES:
            return frame
        if frame.opcode is not Opcode.CONT:
            self._compressed = frame.rsv1
            self._inflater.begin()
        elif self._compressed and frame.rsv1:
            raise ProtocolError("RSV1 bit set in continuation frame")
        if not self._compressed:
            return frame
        self._compressed = not frame.fin
        data = self._inflater.add(bytes(frame.data), last=frame.fin, limit=max_size)
        return Frame(frame.opcode, data, frame.fin, False, frame.rsv2, frame.rsv3)  # noqa: FBT003 - its signature


class DeflateFactory(ClientPerMessageDeflateFactory):
    """Offers the extension."""

    def process_response_params(
        self, params: Sequence[ExtensionParameter], accepted_extensions: Sequence[Extension]
    ) -> Deflate:
        """Returns the extension as the server accepted it. Raises `NegotiationError`."""
        return Deflate(super().process_response_params(params, accepted_extensions))
