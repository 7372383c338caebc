"""Objects that can't be copied into another process."""

from __future__ import annotations

from ..errors import UsageError


def not_picklable(owner: object) -> UsageError:
    """Returns the error for pickling or copying an object with a connection or a token, which would go along."""
    kind = type(owner).__name__
    return UsageError(
        f"a {kind} can't be pickled or copied: it belongs to this process, and may hold a token; "
        f"make a {kind} in each process"
    )
