"""Bytes of encoded frames that wait for the engine: a stream, cut into payloads."""

from __future__ import annotations

from collections import deque

from ..host._ipc_frames import PART_STRIDE


class ByteQueue:
    """Queue of encoded frames. A frame that is longer than a payload goes on in the next ones."""

    __slots__ = ("_parts",)

    def __init__(self) -> None:
        self._parts: deque[bytes] = deque()

    def __bool__(self) -> bool:
        return bool(self._parts)

    def put(self, frame: bytes) -> None:
        """Add an encoded frame."""
        if len(frame) <= PART_STRIDE:
            self._parts.append(frame)
        else:
            self._parts.extend(frame[at : at + PART_STRIDE] for at in range(0, len(frame), PART_STRIDE))

    def take(self, most: int) -> bytes:
        """Take one payload of at most `most` bytes, which is more than a part of a frame; b"": nothing waits."""
        taken: list[bytes] = []
        room = most
        while self._parts and (not taken or len(self._parts[0]) <= room):
            part = self._parts.popleft()
            room -= len(part)
            taken.append(part)
        return b"".join(taken)
