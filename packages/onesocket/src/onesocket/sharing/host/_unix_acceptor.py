"""The listening end of a Unix socket, which answers even when the process has no file descriptor left."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Final

from ..._forking import FORK_LOCK
from ._descriptor_reserve import DescriptorReserve

_MAX_ACCEPTS: Final = 64


class UnixAcceptor:
    """Accepts connections from its creation until `close`, which closes the socket."""

    def __init__(
        self,
        sock: socket.socket,
        reserve: DescriptorReserve,
        accepted: Callable[[socket.socket], object],
        exhausted: Callable[[socket.socket], object],
    ) -> None:
        self._sock = sock
        self._reserve = reserve
        self._accepted = accepted
        self._exhausted = exhausted
        """Called with a socket that took a descriptor of the reserve, and is closed right after."""
        self._loop = asyncio.get_running_loop()
        self._is_reading = False
        self.resume()

    def __repr__(self) -> str:
        return f"<Acceptor {'closed' if self.descriptor is None else 'open' if self._is_reading else 'paused'}>"

    @property
    def descriptor(self) -> int | None:
        """The listening socket's file descriptor; None once it is closed."""
        number = self._sock.fileno()
        return None if number < 0 else number

    def resume(self) -> None:
        """Accept again after a pause, which begins when even the reserve has no descriptor."""
        if not self._is_reading and self.descriptor is not None:
            self._is_reading = True
            self._loop.add_reader(self._sock, self._readable)

    def close(self) -> None:
        """Stop accepting. Idempotent."""
        self._pause()
        with FORK_LOCK:  # as its number may be replaced in another thread
            self._sock.close()

    def _pause(self) -> None:
        if self._is_reading:
            self._is_reading = False
            self._loop.remove_reader(self._sock)

    def _readable(self) -> None:
        # No fork comes between: a copy of the socket in a child would hide our end from the process over there.
        with FORK_LOCK:
            for _ in range(_MAX_ACCEPTS):
                try:
                    sock, _address = self._sock.accept()
                except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                    return
                except OSError:
                    self._reject_exhausted()
                    return
                self._accepted(sock)

    def _reject_exhausted(self) -> None:
        """Tell a connecting process, with a descriptor of the reserve, that no other descriptor is free."""
        self._reserve.release()
        try:
            sock, _address = self._sock.accept()
        except OSError:
            self._pause()  # the socket stays readable, so this would be called again and again
        else:
            with sock:
                self._exhausted(sock)
        self._reserve.fill()
