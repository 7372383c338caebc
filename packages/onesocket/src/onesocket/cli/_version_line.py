"""The line that ``onesocket --version`` prints; it needs no library beside this one."""

from __future__ import annotations

from typing import Final

from .._version import __version__
from ..wire import IMPLEMENTATION

_TWINS: Final = {"c": "C", "python": "Python"}
VERSION_LINE: Final = f"onesocket {__version__} (frames: {_TWINS[IMPLEMENTATION]})"
