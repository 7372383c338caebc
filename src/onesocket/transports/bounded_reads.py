"""A bound on what one read of the socket takes in."""

from __future__ import annotations

import asyncio
from typing import Final, cast

# Bytes. picows' buffer doubles whenever a read fills it, so a flood would be read by the megabyte, and its messages
# would fall out of the processor's caches before anybody sees them.
READ_SIZE: Final = 64 * 2**10


class BoundedReads(asyncio.BufferedProtocol):
    """Stands between an asyncio transport and a protocol, and offers no more than `READ_SIZE` of its buffer at once."""

    def __init__(self, inner: asyncio.BufferedProtocol) -> None:
        self._inner_buffer = inner.get_buffer
        # The rest goes straight to the protocol: one call less for each.
        self.buffer_updated = inner.buffer_updated  # type: ignore[method-assign]
        self.eof_received = inner.eof_received  # type: ignore[method-assign]
        self.connection_lost = inner.connection_lost  # type: ignore[method-assign]
        self.pause_writing = inner.pause_writing  # type: ignore[method-assign]
        self.resume_writing = inner.resume_writing  # type: ignore[method-assign]

    @classmethod
    def put_before(cls, transport: asyncio.Transport) -> None:
        """Bound the reads of this transport from now on."""
        transport.set_protocol(cls(cast("asyncio.BufferedProtocol", transport.get_protocol())))

    def get_buffer(self, sizehint: int) -> memoryview:
        """The beginning of the protocol's buffer."""
        return memoryview(self._inner_buffer(sizehint))[:READ_SIZE]
