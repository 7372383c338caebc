"""Calls that run on another event loop, with exactly one answer, also if that loop is closed meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Final, Generic, TypeAlias, TypeVar

from .._task_end import end_task
from ..errors import ClientClosed, DeliveryUnknown, OnesocketError
from ._loop_inbox import LoopInbox

T = TypeVar("T")

Work: TypeAlias = Callable[[], Coroutine[Any, Any, T] | None]
"""A function that begins to work; it returns the coroutine of the rest, or None if nothing is left to be done."""

HOST_LOOP_ENDED: Final = "the event loop that this connection lived on has ended; join again"
_SEND_UNCONFIRMED: Final = (
    "the event loop that this connection lives on has not said whether this message was sent; it may have arrived"
)
SEND_INTERRUPTED: Final = (
    "Ctrl-C interrupted the event loop that this connection lives on while this message was being sent; it may have "
    "arrived"
)
_DECIDED: Final = "decided"


class CrossLoopCall(Generic[T]):
    """Runs `work` on another event loop: started and cancelled by posting, answered once, in any thread.

    Calls begin in the order in which they were posted. `sends`: it sends a message; where it began and its outcome
    stays unknown, the answer is `DeliveryUnknown`. `is_nested`: it is made by other work on that loop, which makes it
    anew if it begins anew itself.

    If the connection moves to another loop meanwhile, `work` is called anew there. So it is after Ctrl-C, which
    interrupts the loop of the main thread and is none of a caller in another thread; but a message isn't sent twice.
    """

    def __init__(
        self,
        there: LoopInbox,
        work: Work[T],
        answer: Callable[[BaseException | None, T | None], object],
        *,
        sends: bool = False,
        is_nested: bool = False,
    ) -> None:
        self._there = there
        self._is_nested = is_nested
        self._work = work
        self._answer = answer
        self._sends = sends
        self._task: asyncio.Task[T] | None = None
        self._begins: dict[str, bool] = {}
        """Decision whether the work begins, made once by whichever thread is first: `setdefault` is atomic."""
        self._answers: dict[str, object] = {}
        """The same for the answer."""
        self._reason = HOST_LOOP_ENDED
        self._is_interrupted = False
        """True if Ctrl-C interrupted the work on the host loop: it begins anew."""

    def __repr__(self) -> str:
        state = "not begun" if self._task is None else "done" if self._task.done() else "running"
        return f"<CrossLoopCall {state}>"

    def post(self) -> bool:
        """Begin soon, from any thread. False: the loop is closed."""
        return self._there.post(self.start)

    def start(self) -> None:
        """Begin, on the loop; behind the calls that were posted before."""
        if not self._begins.setdefault(_DECIDED, True):
            self.refuse()
            return
        if self._answers:  # cancelled before it could begin anew
            return
        self._is_interrupted = False
        if self._there.unbegun:
            rest: Coroutine[Any, Any, T] | None = self._begin_in_task()
        else:
            try:
                rest = self._work()
            except BaseException as error:
                self._fail(error)
                if not isinstance(error, Exception):
                    raise
                return
        if rest is None:
            self._answer_once(None, None)
            return
        self._task = asyncio.get_running_loop().create_task(rest, name="onesocket cross-loop call")
        self._task.add_done_callback(self._done)
        self._there.begin(self, self._task)

    async def _begin_in_task(self) -> Any:
        rest = self._work()
        return None if rest is None else await rest

    def cancel(self, reason: str = HOST_LOOP_ENDED) -> None:
        """Cancel the work, on the loop. If that ends it, the answer is `ClientClosed` with this text."""
        self._reason = reason
        if self._begins.setdefault(_DECIDED, False):
            if self._is_interrupted:
                self._answer_once(self.unanswered(), None)
            elif self._task is None:
                return
            elif self._there.unbegun:  # its first step comes before: work that never ran could not tell the fate
                asyncio.get_running_loop().call_soon(self._task.cancel)
            else:
                self._task.cancel()

    def refuse(self) -> None:
        """Answer that the loop is closed, or that the call was cancelled before it began."""
        self._answer_once(self.unanswered(), None)

    def unanswered(self, reason: str | None = None) -> OnesocketError:
        """Returns the error for work without an answer, in any thread; if it had not begun, it won't from now on."""
        if self._begins.setdefault(_DECIDED, False) and self._sends:
            return DeliveryUnknown(_SEND_UNCONFIRMED)
        return ClientClosed(self._reason if reason is None else reason)

    def detach(self) -> bool:
        """End the task, whose loop takes no further turn for it; True: `start` it on another loop."""
        task, self._task = self._task, None
        if task is None:
            return False
        if task.done():
            if not self._is_nested:  # else who waits for the answer has ended, too
                self._done(task)
            return False
        task.remove_done_callback(self._done)
        error = end_task(task)
        if isinstance(error, OnesocketError) and not self._is_nested:  # its fate: it may not be done once more
            lost: Callable[[OnesocketError], bool] | None = getattr(self._work, "lost", None)
            if lost is None or not lost(error):
                self._fail(error)
                return False
        return not self._is_nested

    def _done(self, task: asyncio.Task[T]) -> None:
        self._there.end(self)
        if task.cancelled():
            self._answer_once(ClientClosed(self._reason), None)
        elif (error := task.exception()) is not None:
            self._fail(error)
        else:
            self._answer_once(None, task.result())

    def _fail(self, error: BaseException) -> None:
        if isinstance(error, KeyboardInterrupt):
            if not self._sends:
                self._task, self._is_interrupted = None, True
                self._there.post_soon(self.start)
                return
            error = DeliveryUnknown(SEND_INTERRUPTED)
        self._answer_once(error.copy() if isinstance(error, OnesocketError) else error, None)

    def _answer_once(self, error: BaseException | None, result: T | None) -> None:
        mine = object()
        if self._answers.setdefault(_DECIDED, mine) is mine:
            self._answer(error, result)


def resolve_future(future: asyncio.Future[Any], error: BaseException | None, value: Any) -> None:
    """Give a future its outcome, unless it has one, or the connection has moved away from who waited for it."""
    if future.done() or future.get_loop() is not asyncio.get_running_loop():
        return
    if error is not None:
        future.set_exception(error)
    else:
        future.set_result(value)


async def call_on_loop(
    there: LoopInbox,
    here: LoopInbox,
    work: Work[T],
    under_way: dict[CrossLoopCall[Any], asyncio.Future[Any]] | None = None,
    *,
    sends: bool = False,
) -> T:
    """Run `work` on the loop of `there` and return its result; `under_way` holds the call meanwhile.

    Cancelled here, the work is cancelled there.
    """
    future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
    call = CrossLoopCall(
        there,
        work,
        lambda error, value: here.post(resolve_future, future, error, value),
        sends=sends,
        is_nested=here is there,
    )
    if not call.post():
        future.cancel()  # the refusal that is posted to it is the error raised here
        raise call.unanswered()
    if under_way is not None:
        under_way[call] = future
    try:
        return await future
    except BaseException:
        there.post(call.cancel)
        raise
    finally:
        if under_way is not None:
            del under_way[call]
