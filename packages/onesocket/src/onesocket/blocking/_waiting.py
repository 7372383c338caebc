"""Waiting in threads: interruptible by Ctrl-C, with a time-out, and never on an event loop."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable
from typing import Final, TypeVar, cast

from ..client._options import check_timeout
from ..errors import ClientClosed, DeliveryUnknown, OnesocketError, WaitTimeout, WrongEventLoop
from ..sharing._cross_loop_call import HOST_LOOP_ENDED, CrossLoopCall, Work
from ..sharing._loop_inbox import LoopInbox, running_loop

T = TypeVar("T")

_LIVENESS_INTERVAL: Final = 1.0
"""Seconds between two looks of a waiting thread whether the loop that is to answer is alive."""
_CANCEL_GRACE: Final = 1.0
"""Seconds for cancelled work, after a time-out, to say whether it was done after all."""


class OneShotEvent:
    """An event that is set once, for one waiting thread. A bare lock: Ctrl-C can't leave it half-done."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lock.acquire()
        self.is_abandoned = False
        """True once its thread has stopped waiting."""

    def set(self) -> None:
        """Let the waiting thread go on."""
        with contextlib.suppress(RuntimeError):  # it is set already
            self._lock.release()

    def wait(self, seconds: float) -> bool:
        """True if it was set within so many seconds."""
        return self._lock.acquire(timeout=max(0.0, seconds))


class Deadline:
    """A time-out that may be None."""

    def __init__(self, timeout: float | None) -> None:
        self.timeout = check_timeout(timeout)
        self._at = None if timeout is None else time.monotonic() + timeout

    @property
    def left(self) -> float | None:
        """Seconds until then."""
        return None if self._at is None else max(0.0, self._at - time.monotonic())

    def wait(self, event: OneShotEvent, there: LoopInbox) -> bool:
        """True if the event was set in time. Raises `ClientClosed` if the loop behind it is gone."""
        while True:
            left = _LIVENESS_INTERVAL if self._at is None else self._at - time.monotonic()
            if event.wait(min(left, _LIVENESS_INTERVAL)):
                return True
            if self._at is not None and time.monotonic() >= self._at:
                return False
            if there.is_dead:
                if event.wait(0):
                    return True
                raise ClientClosed(HOST_LOOP_ENDED)


def check_may_block() -> None:
    """Raise `WrongEventLoop` in a thread in which an event loop runs, which waiting would stop."""
    if running_loop() is not None:
        raise WrongEventLoop(
            "a blocking call would stop the event loop that runs in this thread: use `async with onesocket.join(…)` "
            "there, or make the call in another thread (asyncio.to_thread)"
        )


def run_on_host_loop(
    there: LoopInbox,
    work: Work[T],
    timeout: float | None,
    what: str,
    *,
    trouble: Callable[[], OnesocketError | None],
    sends: bool = False,
) -> T:
    """Run `work` on the host loop, and wait. Raises `WaitTimeout`, which names the `trouble` that there is then.

    Interrupted, it's cancelled there. `sends`: after a time-out, `DeliveryUnknown` where the message may have arrived.
    """
    check_may_block()
    deadline = Deadline(timeout)
    event = OneShotEvent()
    outcome: list[tuple[BaseException | None, T | None]] = []

    def answer(error: BaseException | None, value: T | None) -> None:
        outcome.append((error, value))
        event.set()

    call = CrossLoopCall(there, work, answer, sends=sends)
    try:
        if not call.post():
            call.refuse()
        try:
            in_time = deadline.wait(event, there)
        except ClientClosed:
            in_time = True
            call.refuse()
        if not in_time:
            there.post(call.cancel)
            # It may have been done in this very moment: then it was in time.
            failure = outcome[0][0] if event.wait(_CANCEL_GRACE) else call.unanswered()
            if isinstance(failure, DeliveryUnknown):
                raise failure
            if failure is not None:
                why = trouble()
                raise WaitTimeout(f"{what} took longer than {timeout:g} s{'' if why is None else f': {why}'}") from why
    except BaseException:
        there.post(call.cancel)
        raise
    error, value = outcome[0]
    if error is not None:
        raise error
    return cast("T", value)
