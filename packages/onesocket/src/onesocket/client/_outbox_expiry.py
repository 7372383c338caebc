"""End of messages that have waited in an outbox for too long."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Iterable

from ..errors import MessageExpired, OnesocketError
from ..lifecycle._outbox import Outbox
from ._delivery import Delivery


class OutboxExpiry:
    """Settles messages of an outbox that are older than its limit, by a timer for the next one."""

    __slots__ = ("_outbox", "_remedy", "_settle", "_timer")

    def __init__(
        self,
        outbox: Outbox[Delivery],
        settle: Callable[[Iterable[Delivery], OnesocketError], None],
        remedy: Callable[[], str],
    ) -> None:
        """`remedy`: advice for the sender of an expired message, or an empty text."""
        self._outbox = outbox
        self._settle = settle
        self._remedy = remedy
        self._timer: asyncio.TimerHandle | None = None

    def __repr__(self) -> str:
        return f"<OutboxExpiry of {self._outbox!r}>"

    @property
    def is_watching(self) -> bool:
        """True while the timer runs: no message that is added now is due before."""
        return self._timer is not None

    def expire(self) -> None:
        """Settle what is due, and wait for the next; a lasting message waits anew."""
        self.stop()
        now = asyncio.get_running_loop().time()
        late = self._outbox.expired(now)
        for lasting in [delivery for delivery in late if delivery.late is not None and delivery.late.is_lasting]:
            late.remove(lasting)
            self._outbox.put(lasting, now, is_lasting=True)
        if late:
            remedy = self._remedy()
            text = f"this message waited {self._outbox.limits.age:g} s for the connection (outbox=) and was not sent"
            self._settle(late, MessageExpired(f"{text}; {remedy}" if remedy else text))
        self.watch()

    def watch(self) -> None:
        """Wait for the age of the oldest message, if there is any."""
        due = self._outbox.next_expiry()
        if due is None:
            self.stop()
        elif self._timer is None and due != math.inf:
            self._timer = asyncio.get_running_loop().call_at(due, self.expire)

    def stop(self) -> None:
        """Wait no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
