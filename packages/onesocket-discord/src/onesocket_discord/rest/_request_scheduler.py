"""Schedules calls by their rate limits: the asyncio shell around `RateLimits`."""

from __future__ import annotations

import asyncio

from onesocket.errors import ClientClosed, WrongEventLoop

from ._bucket import Ticket
from ._rate_limit_info import RateLimitInfo
from ._rate_limits import RateLimits
from ._route import Route


class RequestScheduler:
    """Wakes waiting calls by one timer, on the clock of the running loop."""

    def __init__(self, limits: RateLimits) -> None:
        self._limits = limits
        self._waiters: dict[Ticket, asyncio.Future[None]] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self.closed = False
        """True after `close()`."""

    def check_open(self) -> None:
        """Raise `ClientClosed`, or `WrongEventLoop`."""
        running = asyncio.get_running_loop()
        if self.closed:
            raise ClientClosed("aclose() was called on this Rest, which is final; make a new one")
        if self._loop is None:
            self._loop = running
        elif self._loop is not running:
            raise WrongEventLoop("this Rest belongs to another event loop; make one for each loop")

    def enter(self, route: Route) -> Ticket:
        """Queue a call. Raises `TooManyWaiting`."""
        return self._limits.enter(route, _now())

    def opens_at(self, ticket: Ticket) -> float:
        """The earliest time at which this call can be sent."""
        return self._limits.opens_at(ticket)

    async def wait(self, ticket: Ticket, deadline: float) -> None:
        """Wait until the call may be sent. Raises `TimeoutError` at the deadline, and `ClientClosed`."""
        self.check_open()
        waiter = self._waiters[ticket] = asyncio.get_running_loop().create_future()
        self._pump()
        try:
            async with asyncio.timeout_at(deadline):
                await waiter
        finally:
            self._waiters.pop(ticket, None)

    def settle(self, ticket: Ticket, info: RateLimitInfo | None, *, again_at: float | None = None) -> None:
        """Record the end of an attempt."""
        self._limits.settle(ticket, info, _now(), again_at=again_at)
        self._pump()

    def leave(self, ticket: Ticket) -> None:
        """Remove a call whose caller has stopped waiting."""
        self._limits.leave(ticket, _now())
        self._pump()

    def close(self) -> None:
        """Send no more calls; waiting callers get `ClientClosed`."""
        self.closed = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for waiter in self._waiters.values():
            if not waiter.done():
                waiter.set_exception(
                    ClientClosed("aclose() was called on this Rest while the call waited for its turn")
                )

    def _pump(self) -> None:
        if self.closed:
            return
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        now = _now()
        for ticket in self._limits.grant(now):
            waiter = self._waiters.get(ticket)
            if waiter is not None and not waiter.done():
                waiter.set_result(None)
        wake_at = self._limits.wake_at(now)
        if wake_at is not None:
            self._timer = asyncio.get_running_loop().call_at(wake_at, self._pump)


def _now() -> float:
    return asyncio.get_running_loop().time()
