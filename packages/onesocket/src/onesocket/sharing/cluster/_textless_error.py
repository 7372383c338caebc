"""Exceptions for the log by type and place alone: their texts may show what an engine was sent, or its password."""

from __future__ import annotations

import errno
import os

from ...errors import OnesocketError


def textless(error: BaseException) -> OnesocketError:
    """A stand-in for an unexpected exception: its type and traceback, the system's words for its errno, no causes."""
    name = type(error).__name__
    # Those of the modules ssl and socket have numbers of TLS and of the resolver there.
    number = error.errno if isinstance(error, OSError) and type(error).__module__ == "builtins" else None
    known = f": {os.strerror(number)}" if number is not None and number in errno.errorcode else ""
    return OnesocketError(f"{name}{known}").with_traceback(error.__traceback__)
