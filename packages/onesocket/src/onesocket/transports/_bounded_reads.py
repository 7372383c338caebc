"""A bound on what one read of the socket takes in."""

from __future__ import annotations

import asyncio
from typing import Final

# Bytes. picows' buffer doubles whenever a read fills it, so a flood would be read by the megabyte, and its messages
# would fall out of the processor's caches before anybody sees them.
READ_SIZE: Final = 64 * 2**10


class BoundedReads(asyncio.BufferedProtocol):
    """Stands between an asyncio transport and a protocol, and offers no more than `READ_SIZE` of its buffer at once."""

    def __init__(self, inner: asyncio.BufferedProtocol) -> None:
        self.reads = 0
        """Number of times that the socket had something to read."""
        self._inner_buffer = inner.get_buffer
        # The rest goes straight to the protocol: one call less for each.
        self.buffer_updated = inner.buffer_updated  # type: ignore[method-assign]
        self.eof_received = inner.eof_received  # type: ignore[method-assign]
        self.connection_lost = inner.connection_lost  # type: ignore[method-assign]
        self.pause_writing = inner.pause_writing  # type: ignore[method-assign]
        self.resume_writing = inner.resume_writing  # type: ignore[method-assign]

    def get_buffer(self, sizehint: int) -> memoryview:
        """The beginning of the protocol's buffer."""
        self.reads += 1  # here, as it is asked for when there is something to read, and this call is there anyway
        return memoryview(self._inner_buffer(sizehint))[:READ_SIZE]

    def feed(self, data: bytes) -> None:
        """Pass on what was read before this stood in between."""
        while data:
            buffer = self.get_buffer(-1)
            size = min(len(buffer), len(data))
            buffer[:size] = data[:size]
            self.buffer_updated(size)
            data = data[size:]
