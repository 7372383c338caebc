"""The way of messages to the loop that sends them: one call there for many, and one back."""

from __future__ import annotations

import functools
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any, TypeAlias

from ..client._delivery import Delivery
from ..errors import ClientClosed
from ._cross_loop_call import HOST_LOOP_ENDED, CrossLoopCall, Work
from ._loop_inbox import LoopInbox

_Answer: TypeAlias = Callable[[Delivery, BaseException | None], None]
_Message: TypeAlias = tuple[Work[None], _Answer, Delivery]
_Fate: TypeAlias = tuple[_Answer, Delivery, BaseException | None]


class SendBatch:
    """Messages that are handed over to another loop together, in order. Each gets one answer.

    Without a lock, as a `LoopInbox`: the flag is lowered before messages are taken out, so none is left behind.
    """

    def __init__(self, here: LoopInbox, there: LoopInbox) -> None:
        self._own_inbox = here
        self._host_inbox = there
        self._messages: deque[_Message] = deque()
        self._is_due = False

    def __repr__(self) -> str:
        return f"<SendBatch waiting={len(self._messages)}>"

    @property
    def is_open(self) -> bool:
        """True if one more message overtakes no other call."""
        return self._host_inbox.ends_with(self._send)

    def add(self, work: Work[None], answer: _Answer, delivery: Delivery) -> None:
        """Hand one more message over, which `work` sends; `answer` is called here with the delivery and its error."""
        self._messages.append((work, answer, delivery))
        if not self._is_due:
            self._is_due = True
            if not self._host_inbox.post(self._send):
                self.refuse()

    def refuse(self) -> None:
        """Answer that the loop is closed."""
        self._is_due = False
        while self._messages:
            _, answer, delivery = self._messages.popleft()
            self._tell([(answer, delivery, ClientClosed(HOST_LOOP_ENDED))])

    def _send(self) -> None:
        self._is_due = False
        fates: list[_Fate] = []
        try:
            for _ in range(len(self._messages)):
                work, answer, delivery = self._messages.popleft()
                if self._host_inbox.unbegun:
                    self._start(work, answer, delivery)
                    continue
                try:
                    rest = work()
                except BaseException as error:
                    fates.append((answer, delivery, error))
                    if not isinstance(error, Exception):
                        raise
                else:
                    if rest is None:
                        fates.append((answer, delivery, None))
                    else:
                        self._start(functools.partial(_same, rest), answer, delivery)
        except BaseException:  # the program ends, perhaps: if the loop goes on, so do the other messages
            self._is_due = True
            self._host_inbox.post_soon(self._send)
            raise
        finally:
            self._tell(fates)

    def _start(self, work: Work[None], answer: _Answer, delivery: Delivery) -> None:
        CrossLoopCall(
            self._host_inbox, work, lambda error, _: self._tell([(answer, delivery, error)]), sends=True
        ).start()

    def _tell(self, fates: list[_Fate]) -> None:
        if fates:
            self._own_inbox.post_soon(_answer_each, fates)  # in a later turn, in which its caller may await it


def _answer_each(fates: list[_Fate]) -> None:
    for answer, delivery, error in fates:
        answer(delivery, error)


def _same(rest: Coroutine[Any, Any, None]) -> Coroutine[Any, Any, None]:
    return rest
