"""Transport compression: one context for each connection, and no message larger than allowed comes out of it."""

from __future__ import annotations

import abc
import zlib
from typing import Any, Final, Literal

from ...errors import InvalidOption, MissingExtra
from .errors import DecompressionBomb, DecompressionFailed

Compress = Literal["zlib-stream", "zstd-stream"]

ZLIB_SUFFIX: Final = b"\x00\x00\xff\xff"
"""The end of a flush (RFC 7692, section 7.2.1): with `zlib-stream` a payload may span several messages up to here."""
STEP: Final = 1 << 16
"""Bytes that zlib makes at once: a bomb is noticed at so many over the limit."""
ZSTD_EXPANSION: Final = (128 << 10) // 4
"""The most that zstd can make of a byte: a block of 128 KiB from four (RFC 8878, section 3.1.1.2)."""
MAX_WINDOW: Final = 1 << 23
"""Bytes of memory that a zstd frame may ask for (RFC 8878, section 3.1.1.1.2: up to 8 MiB should be supported)."""


class Inflater(abc.ABC):
    """The compressed messages of one connection, in order."""

    def __init__(self, limit: int | None) -> None:
        self.limit = limit

    @abc.abstractmethod
    def feed(self, data: bytes) -> bytes | None:
        """One binary message; the payload that it completes, or None.

        Raises `DecompressionFailed` (a bomb: `DecompressionBomb`), and then nothing after it can be read.
        """

    def _check(self, size: int) -> None:
        if self.limit is not None and size > self.limit:
            raise DecompressionBomb(f"a payload is larger than max_size ({self.limit} bytes) once decompressed")


class ZlibInflater(Inflater):
    """`zlib-stream`."""

    def __init__(self, limit: int | None) -> None:
        super().__init__(limit)
        self._context = zlib.decompressobj()
        self._pending = bytearray()

    def feed(self, data: bytes) -> bytes | None:
        """One binary message."""
        self._pending += data
        self._check(len(self._pending))
        if not data.endswith(ZLIB_SUFFIX) and not self._pending.endswith(ZLIB_SUFFIX):
            return None
        todo: bytes = bytes(self._pending)
        self._pending.clear()
        out = bytearray()
        try:
            while todo:
                out += self._context.decompress(todo, STEP)
                self._check(len(out))
                todo = self._context.unconsumed_tail
                if self._context.eof:
                    raise DecompressionFailed("the zlib stream ended, but the connection did not")
            # What fills the step exactly may leave output behind.
            while more := self._context.decompress(b"", STEP):
                out += more
                self._check(len(out))
        except zlib.error as error:
            raise DecompressionFailed("the zlib stream is broken") from error
        return bytes(out)


class ZstdInflater(Inflater):
    """`zstd-stream`: each message is one payload, in one endless frame or in a complete frame of its own."""

    def __init__(self, limit: int | None) -> None:
        super().__init__(limit)
        zstandard = load_zstandard()
        self._error: type[Exception] = zstandard.ZstdError
        self._stream: Any = zstandard.ZstdDecompressor(max_window_size=MAX_WINDOW).decompressobj(
            read_across_frames=True
        )
        # The library returns all that its input makes, so it gets little at once: no more than `limit` comes of it.
        self._slice = None if limit is None else max(limit // ZSTD_EXPANSION, 4)

    def feed(self, data: bytes) -> bytes | None:
        """One binary message."""
        step = self._slice or len(data)
        out = bytearray()
        try:
            for start in range(0, len(data), step):
                out += self._stream.decompress(data[start : start + step])
                self._check(len(out))
        except (self._error, MemoryError) as error:
            raise DecompressionFailed("the zstd stream is broken") from error
        return bytes(out)


def load_zstandard() -> Any:
    """The library; raises `MissingExtra`."""
    try:
        import zstandard  # noqa: PLC0415 - optional
    except ImportError as error:
        raise MissingExtra("compress='zstd-stream' needs zstandard: pip install 'onesocket[discord]'") from error
    return zstandard


def checked_compress(value: object) -> Compress | None:
    """`value` if it's a compression that we can read; raises `InvalidOption` or `MissingExtra`."""
    match value:
        case None:
            return None
        case "zlib-stream":
            return "zlib-stream"
        case "zstd-stream":
            load_zstandard()
            return "zstd-stream"
        case _:
            raise InvalidOption(f"compress must be 'zlib-stream', 'zstd-stream' or None, not {value!r}")


def make_inflater(compress: Compress | None, limit: int | None) -> Inflater | None:
    """The context for one connection."""
    match compress:
        case None:
            return None
        case "zlib-stream":
            return ZlibInflater(limit)
        case "zstd-stream":
            return ZstdInflater(limit)
