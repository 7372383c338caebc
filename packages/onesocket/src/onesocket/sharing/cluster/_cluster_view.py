"""The clusters of one prefix as their engine holds them, for ``onesocket status --cluster``."""

from __future__ import annotations

import re
from typing import Final, Protocol

from ..._record import record
from ...errors import OnesocketError
from ._coordinator import Lag, LeaseInfo

_DIGEST: Final = re.compile(r"[0-9a-f]{64}")
MOST_MEMBERS: Final = 100
"""Members of one cluster that an observer reads where each one costs a request."""


@record
class AnnouncedMember:
    """A member that has announced itself within its time."""

    member: str
    note: bytes
    """As the member wrote it."""
    lag: Lag | None
    """At its announcement."""
    remaining: float
    """Seconds until it is forgotten, if it does not announce itself again."""


@record
class ClusterView:
    """One cluster at one moment."""

    digest: str
    """Of its key; what stands in its place if another program wrote it."""
    lease: LeaseInfo | None = None
    members: tuple[AnnouncedMember, ...] = ()
    error: OnesocketError | None = None
    """Reason for which the rest can't be read: it is of another program or release."""

    @property
    def is_empty(self) -> bool:
        """True if no member takes part, and none leads."""
        return self.lease is None and not self.members and self.error is None


class ClusterObserver(Protocol):
    """Reads what the members of all clusters of one prefix have announced, and changes nothing.

    Its operations raise `EngineUnavailable` or a kind of `EngineUnusable`.
    """

    @property
    def commands(self) -> int:
        """Number of requests to the engine so far."""
        ...

    async def look(self, beginning: str) -> list[ClusterView]:
        """Return the clusters whose digests have this beginning, by digest, but for those without members."""
        ...

    async def aclose(self) -> None:
        """Close the connections to the engine. Idempotent."""


def is_digest(text: str) -> bool:
    """True for the digest of a key, as `ClusterKey` has it."""
    return _DIGEST.fullmatch(text) is not None
