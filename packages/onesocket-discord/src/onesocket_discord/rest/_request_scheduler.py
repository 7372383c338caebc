"""Waiting for one's turn: the asyncio shell around `RateLimits`."""

from __future__ import annotations

import asyncio

from onesocket.errors import ClientClosed, WrongEventLoop

from ._bucket import Ticket
from ._rate_limit_info import RateLimitInfo
from ._rate_limits import RateLimits
from ._route import Route


class RequestScheduler:
    """One timer for all who wait; the running loop's clock is the clock."""

    def __init__(self, limits: RateLimits) -> None:
        self._limits = limits
        self._turns: dict[Ticket, asyncio.Future[None]] = {}
        self._alarm: asyncio.TimerHandle | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closed = False

    def check_open(self) -> None:
        """Raise `ClientClosed`, or `WrongEventLoop`."""
        running = asyncio.get_running_loop()
        if self._closed:
            raise ClientClosed("aclose() was called on this Rest, which is final; make a new one")
        if self._loop is None:
            self._loop = running
        elif self._loop is not running:
            raise WrongEventLoop("this Rest belongs to another event loop; make one for each loop")

    def enter(self, route: Route) -> Ticket:
        """Queue up. Raises `TooManyWaiting`."""
        return self._limits.enter(route, _now())

    def opens_at(self, ticket: Ticket) -> float:
        """The earliest time at which it can be this one's turn."""
        return self._limits.opens_at(ticket)

    async def turn(self, ticket: Ticket, deadline: float) -> None:
        """Wait for one's turn; raises `TimeoutError` at the deadline, and `ClientClosed`."""
        self.check_open()
        turn = self._turns[ticket] = asyncio.get_running_loop().create_future()
        self._pump()
        try:
            async with asyncio.timeout_at(deadline):
                await turn
        finally:
            self._turns.pop(ticket, None)

    def settle(self, ticket: Ticket, news: RateLimitInfo | None, *, again_at: float | None = None) -> None:
        """A call that was sent came to its end."""
        self._limits.settle(ticket, news, _now(), again_at=again_at)
        self._pump()

    def leave(self, ticket: Ticket) -> None:
        """A call's caller is gone, wherever it stood."""
        self._limits.leave(ticket, _now())
        self._pump()

    def close(self) -> None:
        """Send nothing any more; who waits gets `ClientClosed`."""
        self._closed = True
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        for turn in self._turns.values():
            if not turn.done():
                turn.set_exception(ClientClosed("aclose() was called on this Rest while the call waited for its turn"))

    def _pump(self) -> None:
        if self._closed:
            return
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        now = _now()
        for ticket in self._limits.grant(now):
            turn = self._turns.get(ticket)
            if turn is not None and not turn.done():
                turn.set_result(None)
        wake_at = self._limits.wake_at(now)
        if wake_at is not None:
            self._alarm = asyncio.get_running_loop().call_at(wake_at, self._pump)


def _now() -> float:
    return asyncio.get_running_loop().time()
