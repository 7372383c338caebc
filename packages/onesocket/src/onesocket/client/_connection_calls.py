"""Calls of the client that open, move or close the connection, on their way to the machine and back."""

from __future__ import annotations

import asyncio
from typing import TypeAlias

from ..errors import ServerBusy
from ..lifecycle import _effects as fx
from ..lifecycle import _events as events
from ..lifecycle._effects import Effect, Outcome
from ..lifecycle._events import Event
from ._callers import Caller, Callers
from ._event_queue import EventQueue

Call: TypeAlias = events.Connect | events.Reconnect


class ConnectionCalls:
    """Asks the machine, and waits with the caller for what it answers."""

    __slots__ = ("_callers", "_open_timeout", "_queue")

    def __init__(self, queue: EventQueue, callers: Callers, open_timeout: float) -> None:
        self._queue = queue
        self._callers = callers
        self._open_timeout = open_timeout

    def __repr__(self) -> str:
        return f"<ConnectionCalls {self._callers!r}>"

    async def request(self, call: Call) -> Outcome:
        """Pass the call to the machine and wait for its outcome; its cancellation harms no other caller.

        Before the time that the server has named it waits, at most for `open_timeout`; then it raises `ServerBusy`.
        """
        retrying = self._queue.machine.retrying
        try:
            answer, rest = self._ask(call)
        except ServerBusy as early:
            # Raised at once, it would let a program that calls in a loop spin, and starve all other tasks.
            await self._callers.wait_for_change(min(early.retry_after or 0.0, self._open_timeout))
            retrying = self._queue.machine.retrying
            # A reconnect() has lifted an earlier disconnect(), and must not lift one that came meanwhile.
            again = call if isinstance(call, events.Rotate) else events.Connect(retry=call.retry)
            answer, rest = self._ask(again)
        if not isinstance(answer, fx.AwaitOutcome):
            self._queue.perform_all(rest)
            return self._answered(answer)
        # Added before the effects: they may resolve it at once.
        future = self._callers.add(Caller(answer.outcome, self._queue.machine.retrying > retrying))
        self._queue.perform_all(rest)
        try:
            return await future
        except asyncio.CancelledError:
            # Still waiting? Then the machine counts one caller less; otherwise the outcome was just about to arrive.
            caller = self._callers.remove(future)
            if caller is not None:
                self._queue.dispatch(events.CallerCancelled(caller.retries))
            raise
        finally:
            del future  # it holds the error, whose traceback refers to this frame: no cycle is left

    def request_nowait(self, call: Call) -> Outcome:
        """Pass the call to the machine and return the outcome so far."""
        answer, rest = self._ask(call)
        self._queue.perform_all(rest)
        return self._answered(answer)

    async def request_close(self, call: events.Disconnect | events.Close) -> None:
        """Pass the call to the machine and wait until nothing is left of the connection."""
        answer, rest = self._ask(call)
        future = self._callers.add_closer() if isinstance(answer, fx.AwaitEnd) else None
        self._queue.perform_all(rest)
        if future is not None:
            await future

    def tell(self, call: Event) -> None:
        """Pass a call of the client's own to the machine: its outcome is counted nowhere."""
        self._queue.perform_all(self._ask(call)[1])

    def _answered(self, answer: Effect) -> Outcome:
        if not isinstance(answer, fx.AwaitOutcome | fx.ReturnOutcome):
            raise TypeError(f"no answer to a call: {answer}")
        self._callers.outcomes[answer.outcome] += 1
        return answer.outcome

    def _ask(self, call: Event) -> tuple[Effect, list[Effect]]:
        """Pass a call to the machine; returns its answer and the other effects. Raises the error that it answers."""
        answer: Effect | None = None
        effect: Effect | None = None
        rest: list[Effect] = []
        for effect in self._queue.handle(call):
            if isinstance(effect, fx.ANSWERS):
                answer = effect
            elif isinstance(effect, fx.RejectCallers):
                # Earlier ones: the caller that asks is not among them yet.
                self._callers.reject(effect.error, spares_retrying=effect.spares_retrying)
            else:
                rest.append(effect)
        if isinstance(answer, fx.RaiseError):
            self._queue.perform_all(rest)
            try:
                raise answer.error
            finally:
                del answer, effect  # they hold the error, whose traceback refers to this frame: no cycle is left
        if answer is None:
            raise TypeError(f"{type(call).__name__} got no answer")
        return answer, rest
