"""A link's messages of `send_nowait()` between its loop and the connection's."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from ..client._delivery import Delivery
from ..client._error_reporter import ErrorReporter
from ..errors import OnesocketError, OutboxFull
from ._cross_loop_call import CrossLoopCall
from ._loop_inbox import LoopInbox

_MAX_PENDING = 16_384


class PendingSends:
    """Those whose fate isn't known yet."""

    def __init__(self, here: LoopInbox, there: LoopInbox, trouble: ErrorReporter) -> None:
        self._own_inbox = here
        self._host_inbox = there
        self._error_reporter = trouble
        self._count = 0
        self.sent = 0
        """Messages that were delivered."""

    def __repr__(self) -> str:
        return f"<PendingSends {self._count}>"

    def __len__(self) -> int:
        """How many there are."""
        return self._count

    def send(self, work: Callable[[], Coroutine[Any, Any, None]]) -> Delivery:
        """Have it sent there. Raises `OutboxFull`; everything else is the delivery's."""
        if self._count >= _MAX_PENDING:
            raise OutboxFull(f"{self._count} messages are on their way already, which is the limit; await send()")
        delivery = Delivery(None)
        here = self._own_inbox
        errand = CrossLoopCall(work, lambda error, _: here.post(self._arrived, delivery, error), sends=True)
        self._count += 1
        if not self._host_inbox.post(errand.start):
            errand.refuse()
        return delivery

    def _arrived(self, delivery: Delivery, error: BaseException | None) -> None:
        self._count -= 1
        if error is not None and not isinstance(error, OnesocketError):
            self._error_reporter.report(error, "send_nowait()")
            error = OnesocketError(f"the message could not be sent: {type(error).__name__}")
        self.sent += error is None
        watched = delivery.is_awaited
        delivery.resolve(error)
        if error is not None and not watched:
            self._error_reporter.report(error, "send_nowait()")
