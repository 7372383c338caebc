"""A snapshot of a provider."""

from __future__ import annotations

from dataclasses import dataclass

from ..client._status import Status
from ..notices import Notice


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderStatus:
    """A snapshot of a provider; it holds no secret."""

    service: str
    is_held: bool
    """`logout()` was called, and no `login()` since."""
    is_closed: bool
    is_connecting: bool
    """A call waits for the identity or the connection."""
    callers: int
    """Number of calls that wait."""
    client: Status | None
    """None until the client is built."""
    notices: tuple[Notice, ...]

    @property
    def is_connected(self) -> bool:
        """True if the connection is up."""
        return self.client is not None and self.client.is_connected
