"""One end of a Unix socket between two processes: frames in, frames out, written once per turn of the loop."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import Any, Final, cast

from ._errors import ForeignUser, WireError
from ._ipc_frames import FrameSplitter, ToFollower, ToOwner, encode_ipc_frame
from ._peer_credentials import check_peer_user

_FLUSH_TIMEOUT: Final = 1.0
"""Seconds for the other end to read what was written last."""


class FrameStream(asyncio.BufferedProtocol):
    """Subclasses say what a frame means (`frame`), and what an end means (`over`), which comes once.

    It reads into a buffer of its own: asyncio would map 256 KiB anew for each read, and give them back.
    """

    def __init__(self, room: int = 2**14) -> None:
        self._room = memoryview(bytearray(room))
        self._transport: asyncio.Transport | None = None
        self._socket: socket.socket | None = None
        """From its first moment on, for a forked child; a transport comes later."""
        self._splitter = FrameSplitter()
        self._outgoing: list[bytes] = []
        self._loop = asyncio.get_running_loop()
        self.is_over = False
        """Whether it ended, or was ended by us."""
        self.peer_pid = 0

    # --- for subclasses ---------------------------------------------------------------------------------------------

    def opened(self) -> None:
        """The other end is a process of our user."""

    def refused(self, error: ForeignUser) -> None:
        """The other end is not; nothing was read, and it's hung up on."""

    def on_frame(self, body: bytes) -> None:
        """One frame came. A `WireError` ends the stream."""
        raise NotImplementedError

    def on_end(self, error: WireError | None) -> None:
        """Nothing more comes; `error`: because it was nonsense."""

    # --- what subclasses do -----------------------------------------------------------------------------------------

    def tell(self, frame: ToFollower | ToOwner) -> None:
        """Write a frame at the end of this turn of the loop."""
        self.tell_packed(encode_ipc_frame(frame))

    def tell_packed(self, data: bytes) -> None:
        """The same, for what is packed already."""
        if self.is_over:
            return
        if not self._outgoing:
            self._loop.call_soon(self.flush)
        self._outgoing.append(data)

    def write(self, data: bytes) -> None:
        """Write this now, behind what was told."""
        self._outgoing.append(data)
        self.flush()

    def flush(self) -> None:
        """Write what was told now."""
        outgoing, self._outgoing = self._outgoing, []
        if outgoing and self._transport is not None and not self.is_over:
            self._transport.write(outgoing[0] if len(outgoing) == 1 else b"".join(outgoing))

    def close(self) -> None:
        """Hang up once all is written; nothing more is told."""
        self.flush()
        self.is_over = True
        transport = self._transport
        if transport is not None:
            transport.close()
            if transport.get_write_buffer_size():
                self._loop.call_later(_FLUSH_TIMEOUT, transport.abort)

    def abort(self) -> None:
        """Hang up now; nothing more is told."""
        self.is_over = True
        self._outgoing.clear()
        if self._transport is not None:
            self._transport.abort()

    @property
    def descriptor(self) -> int | None:
        """The socket's number; None: it's closed."""
        number = -1 if self._socket is None else self._socket.fileno()
        return None if number < 0 else number

    # --- asyncio's side ---------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The socket is open; the kernel knows whose the other end is."""
        self._transport = cast("asyncio.Transport", transport)
        if self.is_over:
            self._transport.abort()
            return
        sock: Any = transport.get_extra_info("socket")
        try:
            self.peer_pid = check_peer_user(sock.fileno())
        except ForeignUser as error:
            self.refused(error)
            self.close()
            return
        except OSError:  # gone already
            self._transport.abort()
            return
        self.opened()

    def get_buffer(self, sizehint: int) -> memoryview:
        """Where the next bytes go."""
        del sizehint
        return self._room

    def buffer_updated(self, nbytes: int) -> None:
        """So many came."""
        try:
            for body in self._splitter.feed(self._room[:nbytes]):
                if self.is_over:
                    return
                self.on_frame(body)
        except WireError as error:
            self._end(error)
            self.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """The socket is closed."""
        del exc
        self._end(None)

    def _end(self, error: WireError | None) -> None:
        if not self.is_over:
            self.is_over = True
            self._outgoing.clear()
            self.on_end(error)

    def set_write_limits(self, high: int) -> None:
        """When `pause_writing` is called."""
        if self._transport is not None:
            self._transport.set_write_buffer_limits(high, high // 4)

    def set_reading(self, *, on: bool) -> None:
        """Start or stop reading from the socket."""
        if self._transport is not None and not self.is_over:
            with contextlib.suppress(RuntimeError):
                self._transport.resume_reading() if on else self._transport.pause_reading()
