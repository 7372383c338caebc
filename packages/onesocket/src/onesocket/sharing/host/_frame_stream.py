"""One end of a Unix socket between two processes: frames in, frames out, written once per turn of the loop."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable
from typing import Any, Final, cast

from ...errors import ForeignUser, IpcError
from ._ipc_frames import FrameSplitter, ToFollower, ToOwner, encode_ipc_frame
from ._peer_credentials import check_peer_user

_FLUSH_TIMEOUT: Final = 1.0
"""Seconds for the other end to read the last frames."""


class FrameStream(asyncio.BufferedProtocol):
    """Base of both ends: subclasses handle each frame (`on_frame`) and the end (`on_end`), which is called once.

    It reads into a buffer of its own: asyncio would map 256 KiB anew for each read, and release them.
    """

    def __init__(self, buffer_bytes: int = 2**14) -> None:
        self._read_buffer = memoryview(bytearray(buffer_bytes))
        self._transport: asyncio.Transport | None = None
        self._socket: socket.socket | None = None
        """Set before there is a transport, for a forked child."""
        self._splitter = FrameSplitter()
        self._outgoing: list[bytes | memoryview] = []
        self._flush_deadline: asyncio.TimerHandle | None = None
        """Abort of a closed stream whose other end does not read."""
        self._loop = asyncio.get_running_loop()
        self.is_over = False
        """True once either end has closed the stream."""
        self.peer_pid = 0
        self.written = 0
        """Bytes given to the socket."""

    # --- for subclasses ---------------------------------------------------------------------------------------------

    def on_open(self, transport: asyncio.Transport) -> None:
        """The stream is open, and the other end belongs to this user."""

    def on_foreign_user(self, error: ForeignUser) -> None:
        """The other end belongs to another user; nothing is read from it, and the stream is closed."""

    def on_frame(self, body: bytes | bytearray) -> None:
        """Handle one frame. An `IpcError` ends the stream."""
        raise NotImplementedError

    def on_end(self, error: IpcError | None) -> None:
        """The other end has closed the stream, or sent an invalid frame (`error`)."""

    # --- used by subclasses -----------------------------------------------------------------------------------------

    def send_frame(self, frame: ToFollower | ToOwner) -> None:
        """Write a frame at the end of this turn of the loop."""
        self.send_encoded(encode_ipc_frame(frame))

    def send_encoded(self, data: bytes) -> None:
        """Write an encoded frame at the end of this turn of the loop."""
        if self.is_over:
            return
        if not self._outgoing:
            self._loop.call_soon(self.flush)
        self._outgoing.append(data)

    def write_now(self, data: bytes | memoryview) -> None:
        """Write an encoded frame, or a part of one, now, behind those that wait for the end of the turn."""
        self._outgoing.append(data)
        self.flush()

    def flush(self) -> None:
        """Write the waiting frames now."""
        outgoing, self._outgoing = self._outgoing, []
        if outgoing and self.is_writable:
            try:
                data = outgoing[0] if len(outgoing) == 1 else b"".join(outgoing)
                self.written += len(data)
                cast("asyncio.Transport", self._transport).write(data)
            except MemoryError:  # without these frames the stream is worth nothing: the follower attaches again
                self._end(None)
                self.abort()

    @property
    def is_writable(self) -> bool:
        """False before the stream is open, and as soon as a write has failed or either end has closed it."""
        return not self.is_over and self._transport is not None and not self._transport.is_closing()

    def close(self) -> None:
        """Close the stream once the waiting frames are written; neither `on_frame` nor `on_end` is called any more."""
        self.flush()
        self.is_over = True
        transport = self._transport
        if transport is not None:
            transport.close()
            if transport.get_write_buffer_size():
                self._flush_deadline = self._loop.call_later(_FLUSH_TIMEOUT, transport.abort)

    def abort(self) -> None:
        """Close the stream now; neither `on_frame` nor `on_end` is called any more."""
        self.is_over = True
        self._outgoing.clear()
        if self._transport is not None:
            self._transport.abort()

    def break_off(self) -> None:
        """Let the other end notice that nothing more comes, as our event loop takes no turn; in any thread."""
        if self._socket is not None:
            with contextlib.suppress(OSError):  # closed
                self._socket.shutdown(socket.SHUT_RDWR)
        if self._loop.is_closed():
            self.is_over = True
            # asyncio's transport can't be closed without its loop, and warns of that when it's collected.
            lost: Callable[[None], object] | None = getattr(self._transport, "_call_connection_lost", None)
            if lost is not None:
                with contextlib.suppress(Exception):
                    lost(None)

    @property
    def descriptor(self) -> int | None:
        """The socket's file descriptor; None once it is closed."""
        number = -1 if self._socket is None else self._socket.fileno()
        return None if number < 0 else number

    def set_reading(self, *, on: bool) -> None:
        """Start or stop reading from the socket."""
        if self._transport is not None and not self.is_over:
            with contextlib.suppress(RuntimeError):
                self._transport.resume_reading() if on else self._transport.pause_reading()

    # --- called by asyncio ------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Check the user at the other end, and begin."""
        self._transport = cast("asyncio.Transport", transport)
        if self.is_over:
            self._transport.abort()
            return
        sock: Any = transport.get_extra_info("socket")
        try:
            self.peer_pid = check_peer_user(sock.fileno())
        except ForeignUser as error:
            self.on_foreign_user(error)
            self.close()
            return
        except OSError:  # closed already
            self._transport.abort()
            return
        self.on_open(self._transport)

    def get_buffer(self, sizehint: int) -> memoryview:
        """The buffer for the next read."""
        del sizehint
        return self._read_buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Handle the bytes of one read."""
        try:
            for body in self._splitter.feed(self._read_buffer[:nbytes]):
                if self.is_over:
                    return
                self.on_frame(body)
        except IpcError as error:
            self._end(error)
            self.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """The socket is closed."""
        del exc
        if self._flush_deadline is not None:
            self._flush_deadline.cancel()  # asyncio's transport can't be aborted once it's closed
        self._end(None)

    def _end(self, error: IpcError | None) -> None:
        if not self.is_over:
            self.is_over = True
            self._outgoing.clear()
            self.on_end(error)
