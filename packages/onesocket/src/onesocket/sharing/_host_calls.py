"""The calls and messages of one shared client between its event loop and the host loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Final, TypeVar

from ..client._delivery import Delivery
from ..client._error_reporter import ErrorReporter
from ..errors import MessageKept, OnesocketError, OutboxFull
from ._connection_view import ConnectionView
from ._cross_loop_call import CrossLoopCall, Work, call_on_loop, resolve_future
from ._loop_inbox import LoopInbox
from ._own_loop_call import OwnLoopCall
from ._send_batch import SendBatch

T = TypeVar("T")

_MAX_PENDING: Final = 16_384


class HostCalls:
    """Makes calls on the host loop, and keeps account of those whose outcome is not known yet."""

    def __init__(self, here: LoopInbox, there: LoopInbox, view: ConnectionView, reporter: ErrorReporter) -> None:
        self._own_inbox = here
        self._host_inbox = there
        self._view = view
        self._error_reporter = reporter
        self._awaited: dict[CrossLoopCall[Any], asyncio.Future[Any]] = {}
        self._own_calls: set[OwnLoopCall] = set()
        self._batch = SendBatch(here, there)
        self._sends = 0
        """Messages of `send_nowait()` whose fate is not known yet."""

    def __repr__(self) -> str:
        return f"<HostCalls awaited={len(self._awaited) + len(self._own_calls)} sends={self._sends}>"

    def __len__(self) -> int:
        """Number of calls and messages that are under way."""
        return len(self._awaited) + len(self._own_calls) + self._sends

    async def run(self, work: Work[T], *, sends: bool = False) -> T:
        """Run `work` on the host loop and return its result; `sends`: as of `CrossLoopCall`."""
        return await call_on_loop(self._host_inbox, self._own_inbox, work, self._awaited, sends=sends)

    async def run_here(self, work: Coroutine[Any, Any, T]) -> T:
        """Run `work` in the task of its caller: the host loop is this one."""
        call = OwnLoopCall()
        self._own_calls.add(call)
        try:
            return await call.run(work)
        finally:
            self._own_calls.discard(call)

    def send(self, post: Callable[[], Delivery]) -> Delivery:
        """Have `post` send one message. Raises `OutboxFull`; all other errors are the delivery's."""
        if self._sends >= _MAX_PENDING:
            raise OutboxFull(f"{self._sends} messages are being sent already, which is the limit; await send()")
        delivery = Delivery(None)
        self._sends += 1
        if not self._batch.is_open:
            self._batch = SendBatch(self._own_inbox, self._host_inbox)
        self._batch.add(post, self._sent, delivery)
        return delivery

    def watch(self, delivery: Delivery) -> Delivery:
        """Keep account of a message that the connection on this loop accepted, and return its delivery."""
        if delivery.done:
            self._view.sent += delivery.error is None
        else:
            self._sends += 1
            delivery.on_done = self._on_fate_elsewhere
        return delivery

    def reject(self, error: Exception) -> Delivery:
        """Return the delivery of a message that the connection on this loop did not accept."""
        delivery = Delivery(None)
        self._sends += 1
        self._own_inbox.post_soon(self._sent, delivery, error)
        return delivery

    def _sent(self, delivery: Delivery, error: BaseException | None) -> None:
        if error is not None and not isinstance(error, OnesocketError):
            self._error_reporter.report(error, "send_nowait()")
            error = OnesocketError(f"the message could not be sent: {type(error).__name__}")
        self._view.sent += error is None
        is_awaited = delivery.is_awaited
        delivery.resolve(error)
        self._forget(error, is_awaited=is_awaited)

    def _on_fate_elsewhere(self, delivery: Delivery) -> None:
        """The fate is known, on this loop or on the one that the connection has moved to."""
        self._own_inbox.post(self._on_fate, delivery)

    def _on_fate(self, delivery: Delivery) -> None:
        error = delivery.error
        self._view.sent += error is None
        self._forget(error, is_awaited=delivery.has_waiters)

    def _forget(self, error: OnesocketError | None, *, is_awaited: bool) -> None:
        self._sends -= 1
        if error is not None and not is_awaited and not isinstance(error, MessageKept):
            self._error_reporter.report(error.copy(), "send_nowait()")

    async def end(self, reason: str, grace: float) -> None:
        """Cancel the awaited calls: they raise `ClientClosed` with this text, or `DeliveryUnknown`."""
        # Only the host loop can tell whether a message was being sent already.
        calls = {call: future for call, future in self._awaited.items() if not future.done()}
        for call in calls:
            self._host_inbox.post(call.cancel, reason)
        waits = [*calls.values(), *(call.end(reason) for call in self._own_calls)]
        if waits:
            await asyncio.wait(waits, timeout=grace)
            for call, future in calls.items():
                resolve_future(future, call.unanswered(reason), None)  # unless it is done
