"""The server's side of the transport compressions: one context per connection, flushed after every payload."""

from __future__ import annotations

import zlib
from collections.abc import Callable

from ._zstd import zstd

Compressor = Callable[[bytes], bytes]


def zlib_compressor() -> Compressor:
    """Compress payloads as `zlib-stream`: each ends in ``00 00 ff ff``."""
    context = zlib.compressobj()

    def compress(payload: bytes) -> bytes:
        return context.compress(payload) + context.flush(zlib.Z_SYNC_FLUSH)

    return compress


def zstd_compressor() -> Compressor:
    """Compress payloads as `zstd-stream`: each ends a block of one endless frame."""
    # Level 1 and a small window: the context is kept as long as the connection.
    names = zstd.CompressionParameter
    context = zstd.ZstdCompressor(options={names.compression_level: 1, names.window_log: 17})

    def compress(payload: bytes) -> bytes:
        return context.compress(payload, context.FLUSH_BLOCK)

    return compress


COMPRESSORS: dict[str, Callable[[], Compressor]] = {"zlib-stream": zlib_compressor, "zstd-stream": zstd_compressor}
"""Compressors by the name in the client's query."""
