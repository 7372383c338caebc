"""Work that many wait for, and that is done once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Generic, TypeVar

from ..errors import ConnectAborted, OnesocketError
from ..lifecycle._effects import Outcome
from ._identity import Identity

T = TypeVar("T")


class SingleFlight(Generic[T]):
    """One task, however many wait for it: all get its outcome; given up when the last of them is cancelled.

    `kept`: it goes on without anybody waiting.
    """

    def __init__(self, work: Coroutine[Any, Any, T], name: str, *, kept: bool = False) -> None:
        self.callers = 0
        self.task = asyncio.get_running_loop().create_task(work, name=name)
        self._is_detached = kept
        self._given_up: OnesocketError | None = None

    @property
    def is_over(self) -> bool:
        """Nobody can join any more."""
        return self._given_up is not None or self.task.done()

    def give_up(self, error: OnesocketError) -> None:
        """Everybody who waits gets this error."""
        if not self.is_over:
            self._given_up = error
            self.task.cancel()

    async def join(self) -> T:
        """The value, or a copy of the error. Cancelling it hurts nobody else."""
        self.callers += 1
        try:
            await asyncio.wait((self.task,))
        finally:
            self.callers -= 1
            if self.callers == 0 and not self._is_detached:
                self.give_up(ConnectAborted("nobody waits for it any more"))
        if self._given_up is not None:
            raise self._given_up.copy()
        if self.task.cancelled():
            raise ConnectAborted("the task that did the work was cancelled")
        error = self.task.exception()
        if isinstance(error, OnesocketError):
            raise error.copy()
        return self.task.result()


class ConnectFlight(SingleFlight[Outcome]):
    """One way to the line: from the question of who is signed in to the line being up."""

    def __init__(
        self,
        fly: Callable[[ConnectFlight], Coroutine[Any, Any, Outcome]],
        wish: Identity | None,
        *,
        by_login: bool,
        kept: bool,
    ) -> None:
        self.wish = wish
        """For whom the line shall be; None: for whoever auth says."""
        self.by_login = by_login
        self.has_begun = False
        self.is_dialling = False
        """The client is at work; before that, nothing is under way that a newer flight could not do itself."""
        self.is_superseded = False
        super().__init__(fly(self), "onesocket provider connects", kept=kept)

    def serves(self, wish: Identity | None) -> bool:
        """Whether a `login()` with this wish may join: what was asked before it has to be asked again."""
        return self.by_login and self.wish == wish and (wish is not None or not self.has_begun)
