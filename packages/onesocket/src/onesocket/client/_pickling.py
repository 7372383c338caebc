"""Handles that can't be copied into another process."""

from __future__ import annotations

from ..errors import UsageError


def not_picklable(handle: object) -> UsageError:
    """Returns the error for pickling or copying a handle on a connection: it would take the token along."""
    kind = type(handle).__name__
    return UsageError(
        f"a {kind} can't be pickled or copied: it holds a connection, and perhaps a token; "
        f"make a {kind} in each process"
    )
