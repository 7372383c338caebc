"""The role of this process: owner or follower."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from typing import Protocol

from ...client._gap import Gap
from ...errors import OnesocketError
from ...lifecycle._effects import Outcome
from ...wire._handshake import Data
from ._ipc_frames import SharedStatus
from ._process_outbox import OutboxEntry


class Role(Protocol):
    """How the connection is used, whoever holds it."""

    def post(self, entries: list[OutboxEntry]) -> None:
        """Send these; the result of each is told once, unless the role ends before."""

    def withdraw(self, entry: OutboxEntry) -> None:
        """Don't, if that is still possible."""

    async def ask(self, verb: str) -> Outcome | None:
        """connect, reconnect or disconnect. Raises `OwnerLost` when the role ends meanwhile."""
        ...

    def update_subscriptions(self, add: Iterable[Hashable], remove: Iterable[Hashable]) -> None:
        """The subscriptions of this process changed."""

    def descriptors(self) -> Iterable[int]:
        """Its sockets."""
        ...


class RoleEvents(Protocol):
    """Callbacks of a role, in order."""

    def on_messages(self, batch: list[Data]) -> None:
        """Messages, as they came."""

    def on_gap(self, gap: Gap) -> None:
        """Here messages may be missing."""

    def on_status(self, shared: SharedStatus) -> None:
        """The state changed, or something else of note."""

    def on_result(self, number: int, error: OnesocketError | None) -> None:
        """A message has its result."""

    def on_step_down(self) -> None:
        """The owner was silent for too long, or the lock is another's: it has to hand over."""

    def on_owner_lost(self, role: Role, *, in_order: bool, error: OnesocketError | None) -> None:
        """A follower's owner is gone."""
