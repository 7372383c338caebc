"""The constants of the frame reader, for both twins and for their users."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

PENDING: Final = 1
"""Messages are left in the buffer: call `more()`."""
CONTROLS: Final = 2
"""PINGs or PONGs came: call `take_controls()`."""
CLOSED: Final = 4
"""The peer's CLOSE came: see `close`."""
VIOLATED: Final = 8
"""The peer violated the protocol: see `violation`."""

SLICE: Final = 512
"""Messages and control frames of one call; the rest waits for `more()`."""

Inflate = Callable[[bytes, bool, bool], bytes]
"""Decompresses the payload of one frame; the flags: the first, the last of its message. Raises `FrameError`."""
