"""The calls and messages of one shared client between its event loop and the host loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Final, TypeVar

from ..client._delivery import Delivery
from ..client._error_reporter import ErrorReporter
from ..errors import MessageKept, OnesocketError, OutboxFull
from ._cross_loop_call import CrossLoopCall, call_on_loop, resolve_future
from ._loop_inbox import LoopInbox

T = TypeVar("T")

_MAX_PENDING: Final = 16_384


class HostCalls:
    """Runs coroutines on the host loop, and keeps account of those whose outcome is not known yet."""

    def __init__(self, here: LoopInbox, there: LoopInbox, reporter: ErrorReporter) -> None:
        self._own_inbox = here
        self._host_inbox = there
        self._error_reporter = reporter
        self._awaited: dict[CrossLoopCall[Any], asyncio.Future[Any]] = {}
        self._sends = 0
        """Messages of `send_nowait()` whose fate is not known yet."""

    def __repr__(self) -> str:
        return f"<HostCalls awaited={len(self._awaited)} sends={self._sends}>"

    def __len__(self) -> int:
        """Number of calls and messages that are under way."""
        return len(self._awaited) + self._sends

    async def run(self, work: Callable[[], Coroutine[Any, Any, T]], *, sends: bool = False) -> T:
        """Run `work` on the host loop and return its result; `sends`: as of `CrossLoopCall`."""
        return await call_on_loop(self._host_inbox, self._own_inbox, work, self._awaited, sends=sends)

    def send(self, work: Callable[[], Coroutine[Any, Any, None]]) -> Delivery:
        """Run `work`, which sends one message. Raises `OutboxFull`; all other errors are the delivery's."""
        if self._sends >= _MAX_PENDING:
            raise OutboxFull(f"{self._sends} messages are being sent already, which is the limit; await send()")
        delivery = Delivery(None)
        here = self._own_inbox
        call = CrossLoopCall(work, lambda error, _: here.post(self._sent, delivery, error), sends=True)
        self._sends += 1
        if not self._host_inbox.post(call.start):
            call.refuse()
        return delivery

    def _sent(self, delivery: Delivery, error: BaseException | None) -> None:
        self._sends -= 1
        if error is not None and not isinstance(error, OnesocketError):
            self._error_reporter.report(error, "send_nowait()")
            error = OnesocketError(f"the message could not be sent: {type(error).__name__}")
        is_awaited = delivery.is_awaited
        delivery.resolve(error)
        if error is not None and not is_awaited and not isinstance(error, MessageKept):
            self._error_reporter.report(error, "send_nowait()")

    async def end(self, reason: str, grace: float) -> None:
        """Cancel the awaited calls: they raise `ClientClosed` with this text, or `DeliveryUnknown`."""
        # Only the host loop can tell whether a message was being sent already.
        calls = {call: future for call, future in self._awaited.items() if not future.done()}
        for call in calls:
            self._host_inbox.post(call.cancel, reason)
        if calls:
            await asyncio.wait(calls.values(), timeout=grace)
            for call, future in calls.items():
                resolve_future(future, call.unanswered(reason), None)  # unless it is done
