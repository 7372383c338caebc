"""Chooses the twin that parses and writes frames: the C module, or the same in Python.

``ONESOCKET_WIRE=python`` in the environment chooses Python, ``ONESOCKET_WIRE=c`` makes a missing C module an error; by
default (``auto``) it is C where that module is installed.
"""

from __future__ import annotations

import importlib
import os
from typing import TYPE_CHECKING, Any, Final

from ..errors import InvalidOption, MissingExtra
from ._frame_flags import CLOSED, CONTROLS, PENDING, SLICE, VIOLATED, Inflate

_VARIABLE: Final = "ONESOCKET_WIRE"
_CHOICES: Final = ("auto", "c", "python")


def _choose() -> tuple[Any, str]:
    wanted = os.environ.get(_VARIABLE) or "auto"
    if wanted not in _CHOICES:
        raise InvalidOption(f"{_VARIABLE} is {wanted!r}; it may be {', '.join(_CHOICES[:-1])} or {_CHOICES[-1]}")
    if wanted != "python":
        try:
            return importlib.import_module("._native", __package__), "c"
        except ImportError as error:
            if wanted == "c":
                raise MissingExtra(
                    f"{_VARIABLE}=c asks for the C module, which this installation lacks ({error}): unset {_VARIABLE} "
                    "to use its twin in Python, or install onesocket again with ONESOCKET_BUILD=c and a C compiler"
                ) from error
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
