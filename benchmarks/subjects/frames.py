"""The reader of frames alone: bytes in, messages out, without a socket or an event loop."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from onesocket.wire import IMPLEMENTATION, FrameReader

from ..server import frame
from .base import Subject

_PIECE: Final = 65_536
PYTHON_TWIN_CHOSEN: Final[Mapping[str, str]] = {"ONESOCKET_WIRE": "python"}
"""The environment of a process whose frames are parsed and written in Python."""


def require_python_twin() -> None:
    """Raise RuntimeError unless this process parses and writes frames in Python."""
    if IMPLEMENTATION != "python":
        raise RuntimeError(f"onesocket.wire uses its twin {IMPLEMENTATION!r} here, not the one to be measured")


class ReaderAlone(Subject):
    """`FrameReader.feed()` with pieces as large as a read; each holds whole frames."""

    distribution = "onesocket"
    blocking = True

    @classmethod
    def check(cls) -> None:
        """Do nothing: the library is always installed."""

    async def open(self) -> None:
        """Do nothing: each measurement has a reader of its own."""

    async def close(self) -> None:
        """Do nothing."""

    async def receive(self, count: int, size: int) -> None:
        """Parse so many messages. Raises RuntimeError when one is missing."""
        one = frame(b"x" * size)
        many = max(1, min(count, _PIECE // len(one)))
        piece = one * many
        feed = FrameReader(masked=False).feed
        parsed = 0
        for _ in range(count // many):
            parsed += len(feed(piece))
        parsed += len(feed(one * (count % many)))
        if parsed != count:
            raise RuntimeError(f"the reader has returned {parsed} of {count} messages")


class PythonReaderAlone(ReaderAlone):
    """The same in Python."""

    environment = PYTHON_TWIN_CHOSEN

    async def open(self) -> None:
        """Raise RuntimeError in a process that uses the C module."""
        require_python_twin()
