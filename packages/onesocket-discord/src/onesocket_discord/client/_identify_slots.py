"""The identify slots of one client."""

from __future__ import annotations

import asyncio
import time

from ..protocol._session_state import SpentIdentifies
from ._token_state import TokenState


class IdentifySlots:
    """The `IdentifyScheduler` of one shard. `token_state` is set when the token is known."""

    def __init__(self, shard: int, keep: int | None) -> None:
        self.token_state = TokenState()
        self._shard = shard
        self._keep = keep
        self._taken: tuple[TokenState, float] | None = None

    def check(self, now: float) -> None:
        """Raise `IdentifyBudgetExhausted` before a connection is opened in vain."""
        self.token_state.budget.check(now, self._keep)

    def reserve(self, now: float) -> float:
        """Reserve a slot; returns its time. Raises `IdentifyBudgetExhausted`."""
        state = self.token_state
        slot = state.budget.reserve(self._shard, now, self._keep)
        self._taken = state, slot
        return slot

    def sent(self, now: float) -> None:
        """Count the reserved Identify as sent."""
        if self._taken is not None:
            self._taken[0].budget.sent(self._shard, now)
            self._taken = None

    def release(self) -> None:
        """Give the reserved slot back: the connection was lost before it."""
        if self._taken is not None:
            state, slot = self._taken
            state.budget.release(self._shard, slot)
            self._taken = None

    def spent(self) -> SpentIdentifies:
        """The identifies that were used up, for the next host of a cluster."""
        return self.token_state.budget.spent(self._shard, asyncio.get_running_loop().time(), time.time())

    def restore(self, spent: SpentIdentifies) -> None:
        """Count those that hosts before have used up."""
        self.token_state.budget.restore(spent, self._shard, asyncio.get_running_loop().time(), time.time())
