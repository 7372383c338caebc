"""Discord's session start limit: how often a bot may identify."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from enum import Enum
from typing import Final

from ..._serving import GatewayOptions
from .._ports import Account, Json

_DAY: Final = 86_400.0


class IdentifyVerdict(Enum):
    """The decision about one Identify."""

    GRANTED = "granted"
    TOO_FAST = "too fast"
    SPENT = "spent"


@dataclass(slots=True)
class _BotIdentifies:
    since: float
    used: int = 0
    last: dict[int, float] = field(default_factory=dict[int, float])


class IdentifyLimiter:
    """Counts Identifies per bot. Those of people are not limited."""

    def __init__(self, options: GatewayOptions) -> None:
        self._options = options
        self._budgets: dict[int, _BotIdentifies] = {}

    def __repr__(self) -> str:
        return f"<IdentifyLimiter of {len(self._budgets)} bots>"

    def check(self, account: Account, shard: int) -> IdentifyVerdict:
        """Decide about one Identify of this account."""
        if not account.bot:
            return IdentifyVerdict.GRANTED
        now = asyncio.get_running_loop().time()
        budget = self._budget(account, now)
        bucket = shard % self._options.max_concurrency
        if budget.used >= self._options.identify_limit:
            return IdentifyVerdict.SPENT
        if now - budget.last.get(bucket, -_DAY) < self._options.identify_interval:
            return IdentifyVerdict.TOO_FAST
        budget.used += 1
        budget.last[bucket] = now
        return IdentifyVerdict.GRANTED

    def limit(self, account: Account) -> Json:
        """The `session_start_limit` of ``GET /gateway/bot``."""
        now = asyncio.get_running_loop().time()
        budget = self._budget(account, now)
        return {
            "total": self._options.identify_limit,
            "remaining": max(0, self._options.identify_limit - budget.used),
            "reset_after": round((budget.since + _DAY - now) * 1000),
            "max_concurrency": self._options.max_concurrency,
        }

    def _budget(self, account: Account, now: float) -> _BotIdentifies:
        budget = self._budgets.get(account.user_id)
        if budget is None or now - budget.since >= _DAY:
            budget = self._budgets[account.user_id] = _BotIdentifies(now)
        return budget
