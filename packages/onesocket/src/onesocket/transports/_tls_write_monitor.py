"""Monitors the write buffer between TLS and the socket, which asyncio's TLS doesn't report."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any


class TlsWriteMonitor(asyncio.BufferedProtocol):
    """Passes all events to the loop's TLS layer, and notes whether bytes still wait for the kernel below it.

    asyncio's TLS layer reports bytes as written while megabytes of them wait in the transport below.
    """

    def __init__(self, inner: Any) -> None:
        self.is_full = False
        """True if bytes wait below TLS."""
        self.reads = 0
        """Number of reads, those of an incomplete TLS record included."""
        self.on_change: Callable[[], None] | None = None
        self._inner = inner

    @classmethod
    def beneath(cls, raw: asyncio.Transport) -> TlsWriteMonitor:
        """Insert a monitor between `raw` and the TLS layer that `start_tls` has just made its protocol."""
        layer = cls(raw.get_protocol())
        raw.set_protocol(layer)
        disable_write_buffer(raw)
        return layer

    def connection_lost(self, exc: Exception | None) -> None:
        """Pass on the end of the socket."""
        self._inner.connection_lost(exc)

    def get_buffer(self, sizehint: int) -> Any:
        """Return the buffer of the TLS layer."""
        return self._inner.get_buffer(sizehint)

    def buffer_updated(self, nbytes: int) -> None:
        """Pass on a read."""
        self.reads += 1
        self._inner.buffer_updated(nbytes)

    def eof_received(self) -> Any:
        """Pass on the end of the peer's half."""
        return self._inner.eof_received()

    def pause_writing(self) -> None:
        """Note that bytes are left in the buffer below TLS."""
        self.is_full = True
        self._inner.pause_writing()
        self._notify()

    def resume_writing(self) -> None:
        """Note that the kernel has taken all bytes. TLS may write at once, and so pause again in between."""
        self.is_full = False
        self._inner.resume_writing()
        self._notify()

    def _notify(self) -> None:
        if self.on_change is not None:
            self.on_change()


def disable_write_buffer(transport: asyncio.Transport) -> None:
    """Make the transport pause writing for any byte that the kernel did not take at once."""
    # asyncio's TLS compares with >=, so a mark of 0 would make it pause with an empty buffer, and stay so.
    is_tls = transport.get_extra_info("ssl_object") is not None
    transport.set_write_buffer_limits(high=1 if is_tls else 0, low=0)
