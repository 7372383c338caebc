"""Times of a lease, as its holder counts them. Pure: the time is an argument (`boot_time()` in a program)."""

from __future__ import annotations

import math
from typing import Final

from ...client._options import check_seconds
from ...errors import InvalidOption
from ._coordinator import PreviousEpoch

_RENEWALS: Final = 3
"""A lease is renewed after this part of its time to live, so one lost renewal costs nothing."""


class LeaseClock:
    """Says when to renew, when to have closed the connection, and when a new leader may dial. Times are seconds.

    The lease is counted from *before* the request that was granted, so it ends here before it ends at the engine.
    """

    __slots__ = ("_until", "margin", "renew_at", "ttl")

    def __init__(self, ttl: float, margin: float) -> None:
        """`ttl`: of the lease; `margin`: for closing the connection before it ends. Raises `InvalidOption`."""
        check_seconds("ttl", ttl)
        check_seconds("margin", margin)
        if margin * _RENEWALS > ttl and not math.isclose(margin * _RENEWALS, ttl):  # 3 * 0.1 is more than 0.3
            raise InvalidOption(
                f"the margin ({margin:g} s) must be at most a third of the lease's time to live ({ttl:g} s)"
            )
        self.ttl = ttl
        self.margin = margin
        self.renew_at = -math.inf
        """Time of the next renewal; -inf: there is no lease."""
        self._until = -math.inf

    def __repr__(self) -> str:
        return f"<LeaseClock close_at={self.close_at:g}>"

    def granted(self, requested_at: float) -> None:
        """Note a lease, or a renewal, that was granted to a request of this time. A late reply shortens nothing."""
        self._until = max(self._until, requested_at + self.ttl)
        self.renew_at = self._until - self.ttl + self.ttl / _RENEWALS

    def renewal_failed(self, now: float) -> None:
        """Note a renewal without a reply: the next one is due after a quarter of what is left."""
        self.renew_at = now + max(0.0, self.close_at - now) / 4

    def ended(self) -> None:
        """Note that the lease is another's, or released."""
        self._until = self.renew_at = -math.inf

    @property
    def close_at(self) -> float:
        """Time at which the connection is closed, unless the lease was renewed."""
        return self._until - self.margin

    @property
    def reset_at(self) -> float:
        """Time at which another thread resets the connection, if the event loop has not closed it; inf: no lease."""
        return math.inf if math.isinf(self._until) else self._until - self.margin / 4

    def may_send(self, now: float) -> bool:
        """True while the connection may be used; asked before each use, as timers don't count suspended time."""
        return now < self.close_at

    def dial_delay(self, previous: PreviousEpoch) -> float:
        """Seconds from the grant until the new leader may dial: none after an orderly release."""
        match previous:
            case PreviousEpoch.NONE | PreviousEpoch.RELEASED:
                return 0.0
            case PreviousEpoch.EXPIRED:
                return self.margin
            case PreviousEpoch.LOST:
                return self.ttl + self.margin
