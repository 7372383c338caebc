"""Chooses the twin that parses and writes frames: the C module, or the same in Python.

``ONESOCKET_WIRE=python`` in the environment chooses Python, ``ONESOCKET_WIRE=c`` makes a missing C module an error; by
default it is C where that module is installed.
"""

from __future__ import annotations

import importlib
import os
from typing import TYPE_CHECKING, Any, Final

from ._frame_flags import CLOSED, CONTROLS, PENDING, SLICE, VIOLATED, Inflate


def _choose() -> tuple[Any, str]:
    wanted = os.environ.get("ONESOCKET_WIRE")
    if wanted != "python":
        try:
            return importlib.import_module("._native", __package__), "c"
        except ImportError:
            if wanted == "c":
                raise
    return importlib.import_module("._python_frames", __package__), "python"


_twin, _name = _choose()
IMPLEMENTATION: Final[str] = _name
"""The twin in use: ``"c"`` or ``"python"``."""

if TYPE_CHECKING:
    from ._python_frames import FrameReader, encode_frame
else:
    FrameReader = _twin.FrameReader
    encode_frame = _twin.encode_frame

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_twin.forget_masks)

__all__ = [
    "CLOSED",
    "CONTROLS",
    "IMPLEMENTATION",
    "PENDING",
    "SLICE",
    "VIOLATED",
    "FrameReader",
    "Inflate",
    "encode_frame",
]
