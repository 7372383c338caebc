"""The identify slots of one client."""

from __future__ import annotations

import asyncio
import time

from onesocket.protocols import ReserveSlot

from ..protocol._session_state import SpentIdentifies
from ._fleet_slots import FleetSlots
from ._token_state import TokenState


class IdentifySlots:
    """The `IdentifyScheduler` of one shard. `token_state` is set when the token is known."""

    def __init__(self, shard: int, keep: int | None) -> None:
        self.token_state = TokenState()
        self._shard = shard
        self._keep = keep
        self._taken: tuple[TokenState, float] | None = None
        self._fleet: FleetSlots | None = None

    def share(self, reserve: ReserveSlot) -> None:
        """Reserve slots among the hosts of a cluster from now on."""
        self._fleet = FleetSlots(reserve)

    def check(self, now: float) -> None:
        """Raise `IdentifyBudgetExhausted` before a connection is opened in vain."""
        self.token_state.budget.check(now, self._keep)

    def reserve(self, now: float) -> float:
        """Reserve a slot; returns the time for `turn`. Raises `IdentifyBudgetExhausted`."""
        state = self.token_state
        self._taken = state, state.budget.reserve(self._shard, now, self._keep)
        return self.turn(now)

    def turn(self, now: float) -> float:
        """Return the present time if this is the reserved slot, or a later one to ask again."""
        if self._taken is None:
            return now
        state, slot = self._taken
        if self._fleet is not None:
            slot = self._fleet.time(state.slot_name(self._shard), slot, now)
        return max(slot, now)

    def sent(self, now: float) -> None:
        """Count the reserved Identify as sent."""
        if self._taken is not None:
            self._taken[0].budget.sent(self._shard, now)
            self._taken = None
        if self._fleet is not None:
            self._fleet.used()

    def release(self) -> None:
        """Give the reserved slot back: the connection was lost before it."""
        if self._taken is not None:
            state, slot = self._taken
            state.budget.release(self._shard, slot)
            self._taken = None
        if self._fleet is not None:
            self._fleet.released()

    async def aclose(self) -> None:
        """Cancel what is under way at the engine of a cluster: the client is closed."""
        if self._fleet is not None:
            await self._fleet.aclose()

    def spent(self) -> SpentIdentifies:
        """The identifies that were used up, for the next host of a cluster."""
        return self.token_state.budget.spent(self._shard, asyncio.get_running_loop().time(), time.time())

    def restore(self, spent: SpentIdentifies) -> None:
        """Count those that hosts before have used up."""
        self.token_state.budget.restore(spent, self._shard, asyncio.get_running_loop().time(), time.time())
