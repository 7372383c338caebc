"""The client's side of one WebSocket, which counts the bytes of its frames: for `instruments=` alone."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from ..wire._handshake import ByteCounts, Data, DialRequest
from ..wire._response_parser import AcceptedHandshake
from ._tcp import TcpSocket
from ._tls_write_monitor import TlsWriteMonitor
from ._transport import TransportEvents
from ._tunnel import Tunnel
from ._websocket_stream import WebSocketStream


class CountingStream(WebSocketStream):
    """Adds to `counts` what comes with each read, and what the byte stream takes with each write."""

    def __init__(
        self,
        request: DialRequest,
        events: TransportEvents,
        received: Callable[[Data], object],
        counts: ByteCounts,
        *,
        compress: bool = False,
    ) -> None:
        super().__init__(request, events, received, compress=compress)
        self._counts = counts
        self._write_uncounted = self._write

    def start_handshake(
        self, transport: asyncio.Transport, tunnel: Tunnel, sock: TcpSocket, under_tls: TlsWriteMonitor | None
    ) -> None:
        """Take the byte stream from its first protocol; frames are counted from now on, the upgrade is not."""
        self._counts.is_counting = True
        super().start_handshake(transport, tunnel, sock, under_tls)
        self._write_uncounted, self._write = self._write, self._write_counted

    def buffer_updated(self, nbytes: int) -> None:
        """Take the bytes of one read."""
        self._counts.received += nbytes
        super().buffer_updated(nbytes)

    def release(self) -> None:
        """Drop the references to the ended byte stream."""
        super().release()
        self._write_uncounted = self._write

    def _accepted(self, accepted: AcceptedHandshake) -> None:
        self._counts.received += len(accepted.rest)
        super()._accepted(accepted)

    def _write_counted(self, data: bytes) -> bool:
        taken = self._write_uncounted(data)
        if taken:
            self._counts.sent += len(data)
        return taken
