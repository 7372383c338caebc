"""Chooses the twin that parses and writes frames: the C module, or the same in Python.

``ONESOCKET_WIRE=python`` in the environment chooses Python, ``ONESOCKET_WIRE=c`` makes a missing C module an error; by
default it is C where that module is installed.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from ._python_frames import CLOSED, CONTROLS, PENDING, SLICE, VIOLATED, Inflate, is_sendable

if TYPE_CHECKING or os.environ.get("ONESOCKET_WIRE") == "python":
    from ._python_frames import FrameReader, encode_frame, forget_masks

    _implementation = "python"
else:
    try:
        from . import _native

        FrameReader, encode_frame, forget_masks = _native.FrameReader, _native.encode_frame, _native.forget_masks
        _implementation = "c"
    except ImportError:
        if os.environ.get("ONESOCKET_WIRE") == "c":
            raise
        from ._python_frames import FrameReader, encode_frame, forget_masks

        _implementation = "python"

IMPLEMENTATION: Final[str] = _implementation
"""The twin in use: ``"c"`` or ``"python"``."""

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=forget_masks)

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
    "is_sendable",
]
