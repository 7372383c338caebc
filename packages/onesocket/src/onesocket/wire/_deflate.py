"""Compression and decompression of messages by permessage-deflate (RFC 7692, section 7.2), on zlib.

A sender may end a message, or any part of it, with a *final* DEFLATE block (section 7.2.3.4). zlib's decompressor ends
there; the bytes after it need a new one, that knows the bytes before it.
"""

from __future__ import annotations

import zlib
from collections import deque
from typing import Any, Final

from ._frame_error import FrameError

MAX_WINDOW_BITS: Final = 15
_MIN_WINDOW_BITS: Final = 9
"""zlib's least for raw DEFLATE; the extension's is 8."""
_MEMORY_LEVEL: Final = 5
"""Of 1 to 9. Each level above doubles a part of the compressor's memory, and saves next to nothing for messages."""
_TAIL: Final = b"\x00\x00\xff\xff"
"""The end of an empty block without compression: the sender leaves it out (section 7.2.1)."""
_FINAL_BLOCK: Final = b"\x01\x00\x00\xff\xff"
"""An empty, final block: it ends the stream, unless it lies in the middle of another block."""
_MAX_FINAL_BLOCKS: Final = 16
"""In one frame. A final block takes two bytes, and every one of them a new decompressor with the whole window."""
_PROTOCOL_ERROR: Final = 1002
_MESSAGE_TOO_BIG: Final = 1009


class Inflater:
    """Decompresses the messages of a connection, one after another, each frame by frame."""

    def __init__(self, window_bits: int, *, context_takeover: bool, max_size: int | None = None) -> None:
        """`max_size`: bytes of one decompressed message, all its fragments together; None: no limit."""
        self._window_bits = max(window_bits, _MIN_WINDOW_BITS)  # a larger window takes the same input
        self._context_takeover = context_takeover
        self._max_size = max_size
        self._zlib: Any = None
        """zlib's decompressor, whose type has no public name; None: begin a new one."""
        self._window_size = 1 << self._window_bits
        self._recent: deque[bytes] = deque()
        """The last decompressed bytes: after a final block, a sender may still refer to them."""
        self._recent_size = 0
        self._is_empty = True
        """True if no byte of the current message has come yet."""
        self._size = 0
        """Decompressed bytes of the current message."""

    def __repr__(self) -> str:
        return f"<Inflater window_bits={self._window_bits} context_takeover={self._context_takeover}>"

    def inflate(self, payload: bytes, first: bool, last: bool) -> bytes:  # noqa: FBT001 - called by the frame reader
        """Decompress the payload of one frame: the `first` or `last` of its message, both, or neither.

        Raises `FrameError`: 1002 for invalid data, 1009 for a message beyond `max_size`.
        """
        if first:
            self._begin()
        self._is_empty = self._is_empty and not payload
        if self._is_empty or not (payload or last):
            return b""
        try:
            found = self._inflate(payload + _TAIL if last else payload, last=last)
        except zlib.error as error:
            raise FrameError(_PROTOCOL_ERROR, "a compressed message is invalid DEFLATE data") from error
        return found

    def _begin(self) -> None:
        self._is_empty = True
        self._size = 0
        if not self._context_takeover:
            self._zlib = None
            self._recent.clear()
            self._recent_size = 0

    def _inflate(self, data: bytes, *, last: bool) -> bytes:
        found: list[bytes] = []
        for _ in range(_MAX_FINAL_BLOCKS + 1):
            if self._zlib is None:
                if last and data == _TAIL:  # the message has ended with a final block
                    break
                window = self._window()
                self._zlib = zlib.decompressobj(-self._window_bits, zdict=window)
            piece = self._zlib.decompress(data, 0 if self._max_size is None else self._max_size - self._size + 1)
            self._size += len(piece)
            if self._max_size is not None and self._size > self._max_size:
                raise FrameError(
                    _MESSAGE_TOO_BIG, f"a message is larger than max_size ({self._max_size} bytes), decompressed"
                )
            found.append(piece)
            self._remember(piece)
            if not self._zlib.eof:
                if last and not _is_between_blocks(self._zlib):
                    raise FrameError(_PROTOCOL_ERROR, "a compressed message ends in the middle of a block")
                break
            data = self._zlib.unused_data
            self._zlib = None
            if not data:
                if last:
                    raise FrameError(_PROTOCOL_ERROR, "a compressed message ends in the middle of a block")
                break
        else:
            raise FrameError(_PROTOCOL_ERROR, f"a frame has more than {_MAX_FINAL_BLOCKS} final DEFLATE blocks")
        return found[0] if len(found) == 1 else b"".join(found)

    def _window(self) -> bytes:
        """Return the remembered bytes, and keep them as one piece: the next final block may follow at once."""
        window = b"".join(self._recent)[-self._window_size :]
        self._recent.clear()
        self._recent_size = 0
        self._remember(window)
        return window

    def _remember(self, piece: bytes) -> None:
        if not piece:
            return  # blocks without output may come without end
        piece = piece[-self._window_size :]
        self._recent.append(piece)
        self._recent_size += len(piece)
        while self._recent_size - len(self._recent[0]) >= self._window_size:
            self._recent_size -= len(self._recent.popleft())


def _is_between_blocks(decompressor: Any) -> bool:
    probe = decompressor.copy()
    return not probe.decompress(_FINAL_BLOCK, 1) and bool(probe.eof)


class Deflater:
    """Compresses the messages of a connection, one after another."""

    def __init__(self, window_bits: int, *, context_takeover: bool) -> None:
        # zlib can't keep a window of 8 bits. Run-length encoding refers to the byte before at the farthest.
        strategy = zlib.Z_RLE if window_bits < _MIN_WINDOW_BITS else zlib.Z_DEFAULT_STRATEGY
        self._arguments = (
            zlib.Z_DEFAULT_COMPRESSION,
            zlib.DEFLATED,
            -max(window_bits, _MIN_WINDOW_BITS),
            _MEMORY_LEVEL,
            strategy,
        )
        self._context_takeover = context_takeover
        self._zlib: Any = None
        """zlib's compressor: made for the first message, since it takes 150 kB."""

    def __repr__(self) -> str:
        return f"<Deflater window_bits={-self._arguments[2]} context_takeover={self._context_takeover}>"

    def deflate(self, message: bytes) -> bytes:
        """Compress one whole message; returns the payload for a frame with RSV1."""
        if not message:
            return _TAIL[:1]  # section 7.2.3.6; zlib writes nothing at all, the second time
        if self._zlib is None:
            self._zlib = zlib.compressobj(*self._arguments)
        packed: bytes = self._zlib.compress(message)
        # A full flush forgets what came before it; it costs far less than a new compressor.
        packed += self._zlib.flush(zlib.Z_SYNC_FLUSH if self._context_takeover else zlib.Z_FULL_FLUSH)
        return packed[: -len(_TAIL)]
