"""Work on the owner loop on behalf of somebody elsewhere."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Generic, TypeVar

from ..errors import ClientClosed, DeliveryUnknown, OnesocketError
from ._loop_inbox import LoopInbox

T = TypeVar("T")

HOST_LOOP_ENDED = "the event loop that this connection lived on has ended; join again"
SEND_UNCONFIRMED = (
    "the event loop that this connection lives on has not said whether this message was sent; it may have arrived"
)
_DECIDED = "decided"


class CrossLoopCall(Generic[T]):
    """Work on the owner loop that is started and cancelled by posting, and answered once, in whatever thread.

    `sends`: it sends a message, so where it began and nobody says how it ended, the answer is `DeliveryUnknown`.
    """

    def __init__(
        self,
        work: Callable[[], Coroutine[Any, Any, T]],
        answer: Callable[[BaseException | None, T | None], object],
        *,
        sends: bool = False,
    ) -> None:
        self._work = work
        self._answer = answer
        self._sends = sends
        self._task: asyncio.Task[T] | None = None
        self._begins: dict[str, bool] = {}
        """Decision whether the work begins, made once by whichever thread is first: `setdefault` is atomic."""
        self._answers: dict[str, object] = {}
        self._why = HOST_LOOP_ENDED

    def __repr__(self) -> str:
        return f"<Errand {'not begun' if self._task is None else 'done' if self._task.done() else 'under way'}>"

    def start(self) -> None:
        """Begin."""
        if self._begins.setdefault(_DECIDED, True):
            self._task = asyncio.get_running_loop().create_task(self._work(), name="onesocket errand")
            self._task.add_done_callback(self._done)
        else:
            self.refuse()

    def cancel(self, why: str = HOST_LOOP_ENDED) -> None:
        """Nobody wants it any more. If that keeps it from being done, the answer is `ClientClosed` with this text."""
        self._why = why
        if self._begins.setdefault(_DECIDED, False) and self._task is not None:
            self._task.cancel()

    def refuse(self) -> None:
        """The loop is closed, or it was cancelled before it began."""
        self._say(self.unanswered(), None)

    def unanswered(self, why: str | None = None) -> OnesocketError:
        """Returns the error for work without an answer, in any thread; if it had not begun, it won't from now on."""
        if self._begins.setdefault(_DECIDED, False) and self._sends:
            return DeliveryUnknown(SEND_UNCONFIRMED)
        return ClientClosed(self._why if why is None else why)

    def _done(self, task: asyncio.Task[T]) -> None:
        if task.cancelled():
            self._say(ClientClosed(self._why), None)
        elif (error := task.exception()) is not None:
            self._say(error.copy() if isinstance(error, OnesocketError) else error, None)
        else:
            self._say(None, task.result())

    def _say(self, error: BaseException | None, result: T | None) -> None:
        mine = object()
        if self._answers.setdefault(_DECIDED, mine) is mine:
            self._answer(error, result)


def resolve_future(future: asyncio.Future[Any], error: BaseException | None, value: Any) -> None:
    """Bring the outcome of an errand home."""
    if future.done():
        return
    if error is not None:
        future.set_exception(error)
    else:
        future.set_result(value)


async def call_on_loop(
    there: LoopInbox,
    here: LoopInbox,
    work: Callable[[], Coroutine[Any, Any, T]],
    under_way: dict[CrossLoopCall[Any], asyncio.Future[Any]],
    *,
    sends: bool = False,
) -> T:
    """Have it done there, and wait for the outcome; `under_way` has it meanwhile. Cancelled, it's cancelled there."""
    future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
    errand = CrossLoopCall(work, lambda error, value: here.post(resolve_future, future, error, value), sends=sends)
    if not there.post(errand.start):
        future.cancel()  # the refusal that is on its way to it is this one
        raise errand.unanswered()
    under_way[errand] = future
    try:
        return await future
    except BaseException:
        there.post(errand.cancel)
        raise
    finally:
        del under_way[errand]
