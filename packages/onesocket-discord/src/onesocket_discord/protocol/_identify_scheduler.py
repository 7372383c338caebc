"""The port to what assigns identify slots, and the one without limits."""

from __future__ import annotations

from typing import Protocol

from onesocket.protocols import ReserveSlot

from ._session_state import SpentIdentifies


class IdentifyScheduler(Protocol):
    """Assigns identify slots to all clients of one token."""

    def reserve(self, now: float) -> float:
        """Reserve a slot; returns the time for `turn`. Raises `IdentifyBudgetExhausted`."""
        ...

    def turn(self, now: float) -> float:
        """Return the present time if this is the reserved slot, or a later one to ask again."""
        ...

    def share(self, reserve: ReserveSlot) -> None:
        """Reserve slots among the hosts of a cluster from now on."""

    def sent(self, now: float) -> None:
        """Count the reserved Identify as sent."""

    def release(self) -> None:
        """Give the reserved slot back: the connection was lost before it."""

    def spent(self) -> SpentIdentifies | None:
        """The identifies that were used up, for the next host of a cluster; None: there is nothing to tell."""
        ...

    def restore(self, spent: SpentIdentifies) -> None:
        """Count those that hosts before have used up."""


class ImmediateIdentify:
    """Allows every Identify at once."""

    def reserve(self, now: float) -> float:
        """Return the present time."""
        return now

    def turn(self, now: float) -> float:
        """Return the present time."""
        return now

    def share(self, reserve: ReserveSlot) -> None:
        """Do nothing."""

    def sent(self, now: float) -> None:
        """Do nothing."""

    def release(self) -> None:
        """Do nothing."""

    def spent(self) -> SpentIdentifies | None:
        """Return None: nothing is counted."""
        return None

    def restore(self, spent: SpentIdentifies) -> None:
        """Do nothing."""
