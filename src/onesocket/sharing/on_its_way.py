"""A link's messages of `send_nowait()` between its loop and the connection's."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from ..client.delivery import Delivery
from ..client.trouble import Trouble
from ..errors import OnesocketError, OutboxFull
from .errand import Errand
from .mailbox import Mailbox

_MOST = 16_384


class OnItsWay:
    """Those whose fate isn't known yet."""

    def __init__(self, here: Mailbox, there: Mailbox, trouble: Trouble) -> None:
        self._here = here
        self._there = there
        self._trouble = trouble
        self._count = 0

    def __repr__(self) -> str:
        return f"<OnItsWay {self._count}>"

    def __len__(self) -> int:
        """How many there are."""
        return self._count

    def send(self, work: Callable[[], Coroutine[Any, Any, None]]) -> Delivery:
        """Have it sent there. Raises `OutboxFull`; everything else is the delivery's."""
        if self._count >= _MOST:
            raise OutboxFull(f"{self._count} messages are on their way already, which is the limit; await send()")
        delivery = Delivery(None)
        here = self._here
        errand = Errand(work, lambda error, _: here.post(self._arrived, delivery, error), sends=True)
        self._count += 1
        if not self._there.post(errand.start):
            errand.refuse()
        return delivery

    def _arrived(self, delivery: Delivery, error: BaseException | None) -> None:
        self._count -= 1
        if error is not None and not isinstance(error, OnesocketError):
            self._trouble.report(error, "send_nowait()")
            error = OnesocketError(f"the message could not be sent: {type(error).__name__}")
        watched = delivery.is_watched
        delivery.resolve(error)
        if error is not None and not watched:
            self._trouble.report(error, "send_nowait()")
