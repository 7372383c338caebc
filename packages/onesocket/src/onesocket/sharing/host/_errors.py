"""The errors of sharing between processes; `onesocket.errors` defines them. The operating system's are translated."""

from __future__ import annotations

import errno
from typing import Final

from ...errors import (
    ForeignUser,
    NoRuntimeDirectory,
    OnesocketError,
    OutOfResources,
    OwnerLost,
    OwnerSilent,
    TokenMismatch,
    VersionMismatch,
    WireError,
)

__all__ = [
    "REMEDY",
    "ForeignUser",
    "NoRuntimeDirectory",
    "OutOfResources",
    "OwnerLost",
    "OwnerSilent",
    "TokenMismatch",
    "VersionMismatch",
    "WireError",
    "translate_os_error",
]


_EXHAUSTION_ERRNOS: Final = frozenset(
    getattr(errno, name)
    for name in ("EMFILE", "ENFILE", "ENOMEM", "ENOBUFS", "ENOSPC", "EDQUOT")
    if hasattr(errno, name)
)
REMEDY: Final = "set ONESOCKET_RUNTIME_DIR to a directory of yours with mode 0700"


def translate_os_error(error: OSError, text: str) -> OnesocketError:
    """Convert an operating system's error to the one that sharing raises; `text` says what could not be done."""
    why = f"{text}: {error.strerror or error}"
    failure = OutOfResources(why) if error.errno in _EXHAUSTION_ERRNOS else NoRuntimeDirectory(f"{why}; {REMEDY}")
    failure.__cause__ = error
    return failure
