"""A bound on the bytes that one read of the socket takes."""

from __future__ import annotations

import asyncio
from typing import Final

from ._stream_flow import StreamFlow

# Bytes. picows' buffer doubles whenever a read fills it, so a flood would be read by the megabyte, and its messages
# would fall out of the processor's caches before they are delivered.
READ_SIZE: Final = 64 * 2**10


class BoundedReads(asyncio.BufferedProtocol):
    """Sits between an asyncio transport and a protocol, and offers at most `READ_SIZE` of its buffer per read.

    Each time that the socket is readable is counted in `stream.activity`.
    """

    def __init__(self, inner: asyncio.BufferedProtocol, stream: StreamFlow) -> None:
        self._stream = stream
        self._inner_buffer = inner.get_buffer
        # Everything else goes straight to the protocol: one call less for each.
        self.buffer_updated = inner.buffer_updated  # type: ignore[method-assign]
        self.eof_received = inner.eof_received  # type: ignore[method-assign]
        self.connection_lost = inner.connection_lost  # type: ignore[method-assign]
        self.pause_writing = inner.pause_writing  # type: ignore[method-assign]
        self.resume_writing = inner.resume_writing  # type: ignore[method-assign]

    def get_buffer(self, sizehint: int) -> memoryview:
        """Return the beginning of the protocol's buffer."""
        self._stream.activity += 1  # asyncio calls this when the socket is readable; no other call is made for it
        return memoryview(self._inner_buffer(sizehint))[:READ_SIZE]

    def feed(self, data: bytes) -> None:
        """Pass on bytes that were read before this object was put in between."""
        while data:
            buffer = self.get_buffer(-1)
            size = min(len(buffer), len(data))
            buffer[:size] = data[:size]
            self.buffer_updated(size)
            data = data[size:]
