"""Between TLS and the socket: it tells what TLS keeps to itself, whether the socket takes more."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any


class TlsWriteMonitor(asyncio.BufferedProtocol):
    """Passes everything on to the loop's TLS, and notes whether something still waits for the kernel below it.

    asyncio's TLS layer passes data on as long as the socket below takes any, and says "written" while megabytes of it
    wait there.
    """

    def __init__(self, inner: Any) -> None:
        self.is_full = False
        self.reads = 0
        """Number of times that bytes came, those of an incomplete TLS record included."""
        self.on_change: Callable[[], None] | None = None
        self._inner = inner

    @classmethod
    def beneath(cls, raw: asyncio.Transport) -> TlsWriteMonitor:
        """Put one between `raw` and the TLS layer that `start_tls` has just made its protocol."""
        layer = cls(raw.get_protocol())
        raw.set_protocol(layer)
        disable_write_buffer(raw)
        return layer

    def connection_lost(self, exc: Exception | None) -> None:
        """The socket ended."""
        self._inner.connection_lost(exc)

    def get_buffer(self, sizehint: int) -> Any:
        """Where to read to."""
        return self._inner.get_buffer(sizehint)

    def buffer_updated(self, nbytes: int) -> None:
        """So much was read."""
        self.reads += 1
        self._inner.buffer_updated(nbytes)

    def eof_received(self) -> Any:
        """The peer ended its half."""
        return self._inner.eof_received()

    def pause_writing(self) -> None:
        """Something is left in the buffer below TLS."""
        self.is_full = True
        self._inner.pause_writing()
        self._notify()

    def resume_writing(self) -> None:
        """The kernel has it. TLS may write on at once, and so pause again in between."""
        self.is_full = False
        self._inner.resume_writing()
        self._notify()

    def _notify(self) -> None:
        if self.on_change is not None:
            self.on_change()


def disable_write_buffer(transport: asyncio.Transport) -> None:
    """Have it tell of any byte that it could not pass on: "accepted" shall mean "the kernel has it"."""
    # asyncio's TLS compares with >=, so a mark of 0 would make it pause with an empty buffer, and stay so.
    is_tls = transport.get_extra_info("ssl_object") is not None
    transport.set_write_buffer_limits(high=1 if is_tls else 0, low=0)
