"""The client's side of the transport compressions: one context per connection, with a limit on the output."""

from __future__ import annotations

import abc
import zlib
from typing import Final, Literal

from onesocket.errors import InvalidOption

from ._errors import DecompressionBomb, DecompressionFailed
from ._zstd import zstd

Compress = Literal["zlib-stream", "zstd-stream"]

ZLIB_SUFFIX: Final = b"\x00\x00\xff\xff"
"""The end of a flush (RFC 7692, section 7.2.1): with `zlib-stream` a payload may span several messages up to here."""
CHUNK_SIZE: Final = 1 << 16
"""Bytes that are decompressed at once: the excess after which a bomb is noticed."""
MAX_WINDOW_LOG: Final = 23
"""Memory that a zstd frame may ask for, as a power of two (RFC 8878, section 3.1.1.1.2: 8 MiB should be supported)."""


class Decompressor(abc.ABC):
    """Decompresses the messages of one connection, in order."""

    def __init__(self, limit: int | None) -> None:
        self.limit = limit

    @abc.abstractmethod
    def feed(self, data: bytes) -> bytes | None:
        """Add one binary message; returns the payload that it completes, or None.

        Raises `DecompressionFailed` (a bomb: `DecompressionBomb`), and then nothing after it can be read.
        """

    def _check(self, size: int) -> None:
        if self.limit is not None and size > self.limit:
            raise DecompressionBomb(f"a payload is larger than max_size ({self.limit} bytes) once decompressed")


class ZlibStreamDecompressor(Decompressor):
    """Decompresses `zlib-stream`."""

    def __init__(self, limit: int | None) -> None:
        super().__init__(limit)
        self._context = zlib.decompressobj()
        self._pending = bytearray()

    def feed(self, data: bytes) -> bytes | None:
        """Add one binary message; returns the payload that it completes, or None."""
        self._pending += data
        self._check(len(self._pending))
        if not data.endswith(ZLIB_SUFFIX) and not self._pending.endswith(ZLIB_SUFFIX):
            return None
        todo: bytes = bytes(self._pending)
        self._pending.clear()
        out = bytearray()
        try:
            while todo:
                out += self._context.decompress(todo, CHUNK_SIZE)
                self._check(len(out))
                todo = self._context.unconsumed_tail
                if self._context.eof:
                    raise DecompressionFailed("the zlib stream ended, but the connection did not")
            # Output that fills the step exactly may leave more behind.
            while more := self._context.decompress(b"", CHUNK_SIZE):
                out += more
                self._check(len(out))
        except zlib.error as error:
            raise DecompressionFailed("the zlib stream is broken") from error
        return bytes(out)


class ZstdStreamDecompressor(Decompressor):
    """Decompresses `zstd-stream`: a message is one payload, in one endless frame or in a frame of its own."""

    def __init__(self, limit: int | None) -> None:
        super().__init__(limit)
        self._options: dict[int, int] = {zstd.DecompressionParameter.window_log_max: MAX_WINDOW_LOG}
        self._frame = zstd.ZstdDecompressor(options=self._options)

    def feed(self, data: bytes) -> bytes | None:
        """Add one binary message; returns the payload that it completes, or None."""
        out = bytearray()
        try:
            while data or not self._frame.needs_input:
                if self._frame.eof:
                    self._frame = zstd.ZstdDecompressor(options=self._options)
                out += self._frame.decompress(data, CHUNK_SIZE)
                self._check(len(out))
                data = self._frame.unused_data if self._frame.eof else b""
                if self._frame.eof and not data:
                    break
        except (zstd.ZstdError, MemoryError) as error:
            raise DecompressionFailed("the zstd stream is broken") from error
        return bytes(out)


def checked_compress(value: object) -> Compress | None:
    """Return `value` if it names a supported compression; raises `InvalidOption`."""
    match value:
        case None:
            return None
        case "zlib-stream":
            return "zlib-stream"
        case "zstd-stream":
            return "zstd-stream"
        case _:
            raise InvalidOption(f"compress must be 'zlib-stream', 'zstd-stream' or None, not {value!r}")


def make_decompressor(compress: Compress | None, limit: int | None) -> Decompressor | None:
    """Create the decompressor of one connection."""
    match compress:
        case None:
            return None
        case "zlib-stream":
            return ZlibStreamDecompressor(limit)
        case "zstd-stream":
            return ZstdStreamDecompressor(limit)
