"""One client's view of its account's identifies."""

from __future__ import annotations

from ._token_state import TokenState


class IdentifySlots:
    """The `IdentifyScheduler` of one shard. The account is known once there is a token."""

    def __init__(self, shard: int, keep: int | None) -> None:
        self.account = TokenState()
        self._shard = shard
        self._keep = keep
        self._taken: tuple[TokenState, float] | None = None

    def check(self, now: float) -> None:
        """Raise `IdentifyBudgetExhausted` before a line is opened for nothing."""
        self.account.budget.check(now, self._keep)

    def reserve(self, now: float) -> float:
        """The time of our turn."""
        account = self.account
        turn = account.budget.reserve(self._shard, now, self._keep)
        self._taken = account, turn
        return turn

    def sent(self, now: float) -> None:
        """The Identify is sent."""
        if self._taken is not None:
            self._taken[0].budget.sent(self._shard, now)
            self._taken = None

    def release(self) -> None:
        """The line was lost before."""
        if self._taken is not None:
            account, turn = self._taken
            account.budget.release(self._shard, turn)
            self._taken = None
