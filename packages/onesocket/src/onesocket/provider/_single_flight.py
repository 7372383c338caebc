"""Work that is done once for all callers that wait for it."""

from __future__ import annotations

import asyncio
import enum
from collections.abc import Callable, Coroutine
from typing import Any, Generic, TypeVar

from ..errors import ConnectAborted, OnesocketError
from ..lifecycle._effects import Outcome
from ._identity import Identity

T = TypeVar("T")


def cancel_task(task: asyncio.Task[Any]) -> None:
    """Cancel the task, unless its event loop is closed: the collector runs this, too, and has nothing to cancel."""
    if not task.get_loop().is_closed():
        task.cancel()


class SingleFlight(Generic[T]):
    """One task for any number of callers: all get its outcome, and it is cancelled with the last of them.

    `detached`: it goes on without a caller.
    """

    def __init__(self, work: Coroutine[Any, Any, T], name: str, *, detached: bool = False) -> None:
        self.callers = 0
        self.task = asyncio.get_running_loop().create_task(work, name=name)
        self._is_detached = detached
        self._abort_error: OnesocketError | None = None

    @property
    def is_over(self) -> bool:
        """True if the work has ended or was aborted, so that no caller can join."""
        return self._abort_error is not None or self.task.done()

    def abort(self, error: OnesocketError) -> None:
        """Cancel the work; all callers get this error."""
        if not self.is_over:
            self._abort_error = error
            cancel_task(self.task)

    async def join(self) -> T:
        """Wait for the value; raises a copy of the error. Cancelling one caller doesn't affect the others."""
        self.callers += 1
        try:
            await asyncio.wait((self.task,))
        finally:
            self.callers -= 1
            if self.callers == 0 and not self._is_detached:
                self.abort(ConnectAborted("all callers were cancelled"))
        if self._abort_error is not None:
            raise self._abort_error.copy()
        if self.task.cancelled():
            raise ConnectAborted("the task that did the work was cancelled")
        error = self.task.exception()
        if isinstance(error, OnesocketError):
            raise error.copy()
        return self.task.result()


class FlightStage(enum.Enum):
    """Progress of a `ConnectFlight`."""

    SCHEDULED = "scheduled"
    AUTHENTICATING = "authenticating"
    """The auth callback is asked, or an earlier client is closed: a later flight can replace this one at once."""
    DIALLING = "dialling"
    """The client connects: a later flight joins its attempt, or closes it."""


class ConnectFlight(SingleFlight[Outcome]):
    """One run from the auth callback to the open connection."""

    def __init__(
        self,
        run: Callable[[ConnectFlight], Coroutine[Any, Any, Outcome]],
        identity: Identity | None,
        *,
        by_login: bool,
        detached: bool,
    ) -> None:
        self.identity = identity
        """The identity that the connection is for; None: the one that auth returns."""
        self.by_login = by_login
        self.stage = FlightStage.SCHEDULED
        self.is_superseded = False
        super().__init__(run(self), "onesocket provider connects", detached=detached)

    def serves(self, identity: Identity | None) -> bool:
        """Return whether a `login()` for this identity may join: an answer of auth from before it is out of date."""
        is_current = identity is not None or self.stage is FlightStage.SCHEDULED
        return self.by_login and self.identity == identity and is_current
