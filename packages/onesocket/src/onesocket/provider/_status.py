"""What everybody may know of a provider."""

from __future__ import annotations

from dataclasses import dataclass

from ..client._status import Status
from ..notices import Notice


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderStatus:
    """The provider at one moment; nothing in it is secret."""

    service: str
    is_held: bool
    """logout() was called, and no login() since."""
    is_closed: bool
    is_connecting: bool
    """A call is asking for the identity or having the line up."""
    callers: int
    """How many calls wait for that."""
    client: Status | None
    """None until the client is built."""
    notices: tuple[Notice, ...]

    @property
    def is_connected(self) -> bool:
        """The line is up."""
        return self.client is not None and self.client.is_connected
