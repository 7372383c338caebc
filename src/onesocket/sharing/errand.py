"""Work on the owner loop on behalf of somebody elsewhere."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Generic, TypeVar

from ..errors import ClientClosed, OnesocketError
from .mailbox import Mailbox

T = TypeVar("T")

OWNER_ENDED = "the event loop that this connection lived on has ended; join again"


class Errand(Generic[T]):
    """One piece of work: it is started and cancelled by posting, and answered once, wherever that happens."""

    def __init__(
        self,
        work: Callable[[], Coroutine[Any, Any, T]],
        answer: Callable[[BaseException | None, T | None], object],
    ) -> None:
        self._work = work
        self._answer = answer
        self._task: asyncio.Task[T] | None = None
        self._is_unwanted = False
        self._why = OWNER_ENDED

    def __repr__(self) -> str:
        return f"<Errand {'not begun' if self._task is None else 'done' if self._task.done() else 'under way'}>"

    def start(self) -> None:
        """Begin."""
        if self._is_unwanted:
            self.refuse()
        else:
            self._task = asyncio.get_running_loop().create_task(self._work(), name="onesocket errand")
            self._task.add_done_callback(self._done)

    def cancel(self, why: str = OWNER_ENDED) -> None:
        """Nobody wants it any more. If that keeps it from being done, the answer is `ClientClosed` with this text."""
        self._is_unwanted = True
        self._why = why
        if self._task is not None:
            self._task.cancel()

    def refuse(self) -> None:
        """Nobody will do it: it was cancelled, or the loop is closed."""
        self._answer(ClientClosed(self._why), None)

    def _done(self, task: asyncio.Task[T]) -> None:
        if task.cancelled():
            self.refuse()
        elif (error := task.exception()) is not None:
            self._answer(error.copy() if isinstance(error, OnesocketError) else error, None)
        else:
            self._answer(None, task.result())


def settle(future: asyncio.Future[Any], error: BaseException | None, value: Any) -> None:
    """Bring the outcome of an errand home."""
    if future.done():
        return
    if error is not None:
        future.set_exception(error)
    else:
        future.set_result(value)


async def fetch(
    there: Mailbox,
    here: Mailbox,
    work: Callable[[], Coroutine[Any, Any, T]],
    under_way: dict[Errand[Any], asyncio.Future[Any]],
) -> T:
    """Have it done there, and wait for the outcome; `under_way` has it meanwhile. Cancelled, it's cancelled there."""
    future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
    errand = Errand(work, lambda error, value: here.post(settle, future, error, value))
    if not there.post(errand.start):
        future.cancel()  # the refusal that is on its way to it is this one
        raise ClientClosed(OWNER_ENDED)
    under_way[errand] = future
    try:
        return await future
    except BaseException:
        there.post(errand.cancel)
        raise
    finally:
        del under_way[errand]
