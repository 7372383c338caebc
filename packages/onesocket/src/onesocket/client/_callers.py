"""Keeps the callers that wait: for the outcome of an attempt, for the end of a connection, or for a date."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Final

from .._record import record
from ..errors import OnesocketError
from ..lifecycle._effects import Outcome

_TIMER_SLACK: Final = 0.001
"""Seconds: a timer of the event loop may fire so much before its time."""


@record
class Caller:
    """A caller of `connect()` or `reconnect()`; `retries`: it waits through failures."""

    outcome: Outcome
    retries: bool


class Callers:
    """The callers of one client that wait."""

    __slots__ = ("_callers", "_changed", "_closers", "outcomes")

    def __init__(self) -> None:
        self.outcomes = dict.fromkeys(Outcome, 0)
        """Number of calls that had each outcome."""
        self._callers: dict[asyncio.Future[Outcome], Caller] = {}
        self._closers: list[asyncio.Future[None]] = []
        self._changed: asyncio.Event | None = None
        """Set at the next change of the state; None: nobody waits for one."""

    def __repr__(self) -> str:
        return f"<Callers connecting={len(self._callers)} closing={len(self._closers)}>"

    def __len__(self) -> int:
        """Number of `connect()` calls that wait for an attempt."""
        return len(self._callers)

    def add(self, caller: Caller) -> asyncio.Future[Outcome]:
        """Return a future for this caller's outcome."""
        future: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self._callers[future] = caller
        return future

    def remove(self, future: asyncio.Future[Outcome]) -> Caller | None:
        """Remove a caller that was cancelled; None: its outcome was just about to arrive."""
        return self._callers.pop(future, None)

    def abandon(self) -> list[Caller]:
        """Forget all that wait, and return the callers of an attempt: their loop takes no further turn for them."""
        callers, self._callers = self._callers, {}
        self._closers = []
        self._changed = None
        return list(callers.values())

    def add_closer(self) -> asyncio.Future[None]:
        """Return a future for the end of the connection."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._closers.append(future)
        return future

    def resolve(self) -> None:
        """Hand all callers their outcomes."""
        callers, self._callers = self._callers, {}
        for future, caller in callers.items():
            if not future.done():
                self.outcomes[caller.outcome] += 1
                future.set_result(caller.outcome)

    def reject(self, error: OnesocketError, *, spares_retrying: bool) -> None:
        """Raise the error in all callers, or in those that don't wait through failures."""
        callers = self._callers
        self._callers = {future: caller for future, caller in callers.items() if spares_retrying and caller.retries}
        for future in callers:
            if future not in self._callers and not future.done():
                future.set_exception(error.copy())

    def release_closers(self) -> None:
        """Let the callers return that wait for the end."""
        closers, self._closers = self._closers, []
        for future in closers:
            if not future.done():
                future.set_result(None)

    async def wait_for_change(self, seconds: float) -> None:
        """Wait so many seconds, or until the state changes."""
        changed = self._changed = self._changed or asyncio.Event()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds + _TIMER_SLACK):
                await changed.wait()

    def on_change(self) -> None:
        """The state changed."""
        changed, self._changed = self._changed, None
        if changed is not None:
            changed.set()
