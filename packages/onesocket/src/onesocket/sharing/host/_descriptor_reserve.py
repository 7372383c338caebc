"""File descriptors held in reserve for a moment in which the program has used up its limit."""

from __future__ import annotations

import contextlib
import os
from typing import Final

RESERVE_SIZE: Final = 4
"""Descriptors that a fail-over opens: the lock, its second one, the socket for followers, the connection."""


class DescriptorReserve:
    """Holds descriptors of the null device. `release` makes room in the process's table, `fill` takes it again."""

    def __init__(self, size: int = RESERVE_SIZE) -> None:
        self._size = size
        self._kept: list[int] = []

    def __repr__(self) -> str:
        return f"<DescriptorReserve {len(self._kept)} of {self._size}>"

    def __len__(self) -> int:
        """Number of descriptors that are held in reserve."""
        return len(self._kept)

    def __del__(self) -> None:
        """Close the descriptors of an upstream that was not closed."""
        self.release()

    def fill(self) -> None:
        """Open as many as the process's limit has room for."""
        with contextlib.suppress(OSError):
            while len(self._kept) < self._size:
                self._kept.append(os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC))

    def release(self) -> None:
        """Close all, so that the next one that is opened has room."""
        while self._kept:
            with contextlib.suppress(OSError):
                os.close(self._kept.pop())
