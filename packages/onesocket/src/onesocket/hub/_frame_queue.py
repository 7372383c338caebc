"""The frames of one client of a hub, written as fast as the client reads."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final, Protocol

from ..transports._server_connection import ServerConnection
from ._frame_backlog import FrameBacklog, FrameBatch

_AT_ONCE: Final = 256 << 10
"""Bytes of small batches that are joined to one write."""


class FrameQueueOwner(Protocol):
    """Port of the client that a queue belongs to."""

    def cut_off(self, reason: str) -> None:
        """Close the connection: what the client has not read was dropped."""


class FrameQueue:
    """Writes at once to a client that reads; for another one, batches wait in the backlog of the hub.

    A client that reads keeps its connection, however much waits for it, until the backlog is full; one that reads
    nothing for `patience` seconds is cut off.
    """

    def __init__(
        self, owner: FrameQueueOwner, connection: ServerConnection, backlog: FrameBacklog, *, patience: float
    ) -> None:
        self._owner = owner
        self._connection = connection
        self._backlog = backlog
        self._patience = patience
        self._loop = asyncio.get_running_loop()
        self.size = 0
        """Bytes that wait."""
        self._batches: deque[FrameBatch] = deque()
        self._chunks: deque[bytes] = deque()
        """Chunks of the batch that is being written, which are not written yet."""
        self._is_full = False
        """The transport has bytes that the kernel has not taken."""
        self._next: asyncio.Handle | None = None
        self._watch: asyncio.TimerHandle | None = None
        self._deadline: asyncio.TimerHandle | None = None
        self._written = 0
        self._progress = (0, 0)
        """Chunks written, and bytes that the client's system had not taken, when the client was looked at last."""
        self._farewell: tuple[int, str] | None = None
        """Close code and reason behind what waits."""

    def __repr__(self) -> str:
        return f"<FrameQueue batches={len(self._batches)}{' full' if self._is_full else ''}>"

    @property
    def is_closing(self) -> bool:
        """True if the connection is closing, or will be behind what waits: it takes nothing any more."""
        return self._farewell is not None or self._connection.closing

    @property
    def oldest(self) -> int:
        """Number of the first batch that waits."""
        return self._batches[0].number

    @property
    def lags(self) -> bool:
        """True if the client has not read everything that was written before."""
        return self._is_full or bool(self._chunks or self._batches)

    def put(self, batch: FrameBatch) -> bool:
        """Write a batch, or let it wait behind others; returns False if the connection is closing."""
        if self.is_closing:
            return False
        if self.lags:
            self._batches.append(batch)
            self.size += batch.size
            self._backlog.keep(batch, self)
        elif len(batch.chunks) == 1:
            self._connection.write_frames(batch.chunks[0])
        else:
            self._chunks.extend(batch.chunks)
            self._write()
        return True

    def pause(self) -> None:
        """Write no more for now: the kernel takes no bytes."""
        self._is_full = True
        if self._watch is None:
            self._look_again()

    def resume(self) -> None:
        """Write on: the kernel has taken everything."""
        self._is_full = False
        if self._next is None:
            self._write()

    def fall_out(self) -> None:
        """Drop what waits, which is kept no longer."""
        self._cut_off(f"cut off: more than {self._backlog.limit} bytes waited, and of those most for this client")

    def close(self, code: int, reason: str) -> None:
        """Close the connection, behind what waits; a client that doesn't read it in time is closed before."""
        if self._chunks or self._batches:
            if self._farewell is None:
                self._farewell = code, reason
                self._deadline = self._loop.call_later(self._connection.close_timeout, self._end)
        else:
            self._connection.close(code, reason)

    def ended(self) -> None:
        """Note that the socket is closed."""
        self._drop()
        for handle in (self._next, self._watch, self._deadline):
            if handle is not None:
                handle.cancel()
        del self._owner  # which refers to this queue: no cycle is left

    # --- writing ------------------------------------------------------------------------------------------------------

    def _write(self) -> None:
        """Write the next bytes; others that the kernel could take at once follow in the next turn of the loop."""
        self._next = None
        if self._is_full:
            return
        part = self._take()
        if part:
            self._written += 1
            self._connection.write_frames(part)
        if self._chunks or self._batches:
            if not self._is_full:
                self._next = self._loop.call_soon(self._write)
        elif self._farewell is not None:
            self._end()

    def _take(self) -> bytes:
        """Take the bytes for one write."""
        parts: list[bytes] = []
        size = 0
        while size < _AT_ONCE:
            if not self._chunks:
                if not self._batches:
                    break
                batch = self._batches.popleft()
                if not self._batches:
                    self._backlog.forget(self)
                self.size -= batch.size
                self._backlog.release(batch)
                self._chunks.extend(batch.chunks)
            parts.append(self._chunks.popleft())
            size += len(parts[-1])
        return b"".join(parts)

    def _drop(self) -> None:
        self._chunks.clear()
        self.size = 0
        self._backlog.forget(self)
        while self._batches:
            self._backlog.release(self._batches.popleft())

    def _end(self) -> None:
        if self._farewell is not None:
            self._drop()
            self._connection.close(*self._farewell)

    # --- a client that doesn't read -----------------------------------------------------------------------------------

    def _look_again(self) -> None:
        self._progress = (self._written, self._connection.unsent)
        self._watch = self._loop.call_later(self._patience, self._look)

    def _look(self) -> None:
        self._watch = None
        written, unsent = self._progress
        if not self._is_full:
            return
        if self._written > written or self._connection.unsent < unsent:
            self._look_again()
        else:
            self._cut_off(f"cut off: nothing was read for {self._patience:g} seconds")

    def _cut_off(self, reason: str) -> None:
        self._drop()
        if self._farewell is not None:
            self._end()
        elif not self._connection.closing:
            self._owner.cut_off(reason)
