"""Frames for clients that read more slowly than they come: kept once for all of these clients, within a size."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Protocol

from ..transports._server_connection import encode_fragments, encode_message
from ..wire._handshake import Data

MAX_CHUNK: Final = 1 << 20
"""Bytes that are written to a client at once; a longer message goes out in fragments of this size."""


class FrameBatch:
    """Frames that came together, in chunks to write. All clients share it."""

    __slots__ = ("chunks", "count", "number", "readers", "size")

    def __init__(self, chunks: list[bytes], count: int) -> None:
        self.chunks = chunks
        self.count = count
        """Messages in it."""
        self.size = sum(map(len, chunks))
        self.readers = 0
        """Clients that have not begun to read it."""
        self.number = 0
        """Its place in the order of all that is kept."""

    def __repr__(self) -> str:
        return f"<FrameBatch #{self.number} messages={self.count} bytes={self.size} readers={self.readers}>"

    @classmethod
    def of(cls, messages: Sequence[Data]) -> FrameBatch:
        """Encode messages, each as a frame, or as several if it is longer than a chunk."""
        if sum(map(len, messages)) <= MAX_CHUNK:
            return cls([b"".join(map(encode_message, messages))], len(messages))
        frames: list[bytes] = []
        for message in messages:
            if len(message) <= MAX_CHUNK:
                frames.append(encode_message(message))
            else:
                frames.extend(encode_fragments(message, MAX_CHUNK))
        return cls.of_frames(frames, len(messages))

    @classmethod
    def of_frames(cls, frames: Sequence[bytes], count: int) -> FrameBatch:
        """Join encoded frames to chunks."""
        if sum(map(len, frames)) <= MAX_CHUNK:
            return cls([b"".join(frames)], count)
        chunks: list[list[bytes]] = []
        room = 0
        for frame in frames:
            if len(frame) > room:
                chunks.append([])
                room = MAX_CHUNK
            chunks[-1].append(frame)
            room -= len(frame)
        return cls([b"".join(chunk) for chunk in chunks], count)


class BacklogReader(Protocol):
    """Port of a client for whom batches are kept."""

    @property
    def oldest(self) -> int:
        """Number of the first batch that waits."""
        ...

    @property
    def size(self) -> int:
        """Bytes that wait."""
        ...

    def fall_out(self) -> None:
        """Drop everything that waits: it is kept no longer."""


class FrameBacklog:
    """Keeps what clients have not read yet: each batch once, and the newest one whatever its size.

    Beyond the limit, the client with the most to read falls out, and the next one, until the rest fits: a client that
    lags furthest, or has asked for the most, costs no other client its connection.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.size = 0
        """Bytes of all batches that are kept."""
        self._newest = 0
        self._readers: dict[BacklogReader, None] = {}
        """The clients for whom a batch waits."""

    def __repr__(self) -> str:
        return f"<FrameBacklog bytes={self.size} clients={len(self._readers)}>"

    def keep(self, batch: FrameBatch, reader: BacklogReader) -> None:
        """Keep a batch, which is the last one that waits for this client now."""
        if not batch.readers:
            self._newest += 1
            batch.number = self._newest
            self.size += batch.size
        batch.readers += 1
        self._readers[reader] = None
        while self.size > self.limit:
            behind = [each for each in self._readers if each.oldest != self._newest]
            if not behind:
                return
            max(behind, key=lambda each: each.size).fall_out()

    def release(self, batch: FrameBatch) -> None:
        """Keep a batch no longer for one of its clients."""
        batch.readers -= 1
        if not batch.readers:
            self.size -= batch.size

    def forget(self, reader: BacklogReader) -> None:
        """Note that no batch waits for this client any more."""
        self._readers.pop(reader, None)
