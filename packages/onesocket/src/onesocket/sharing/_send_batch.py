"""The way of messages to the loop that sends them: one call there for many, and one back."""

from __future__ import annotations

import functools
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any, TypeAlias

from ..client._delivery import Delivery
from ..errors import ClientClosed, DeliveryUnknown
from ._cross_loop_call import HOST_LOOP_ENDED, SEND_INTERRUPTED, CrossLoopCall
from ._loop_inbox import LoopInbox

_Answer: TypeAlias = Callable[[Delivery, BaseException | None], None]
_Post: TypeAlias = Callable[[], Delivery]
_Message: TypeAlias = tuple[_Post, _Answer, Delivery]
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
        self._fates: list[_Fate] = []
        """Fates that became known in this turn of the other loop, some time after the message was accepted."""

    def __repr__(self) -> str:
        return f"<SendBatch waiting={len(self._messages)}>"

    @property
    def is_open(self) -> bool:
        """True if one more message overtakes no other call."""
        return self._host_inbox.ends_with(self._send)

    def add(self, post: _Post, answer: _Answer, delivery: Delivery) -> None:
        """Hand one more message over, which `post` sends; `answer` is called here with the delivery and its error."""
        self._messages.append((post, answer, delivery))
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
                post, answer, delivery = self._messages.popleft()
                if self._host_inbox.unbegun:
                    self._start(post, answer, delivery)
                    continue
                try:
                    posted = post()
                except BaseException as error:
                    is_unknown = isinstance(error, KeyboardInterrupt)  # anywhere: it may be written
                    fates.append((answer, delivery, DeliveryUnknown(SEND_INTERRUPTED) if is_unknown else error))
                    if not isinstance(error, Exception):
                        raise
                else:
                    if posted.done:
                        fates.append((answer, delivery, posted.error))
                    else:
                        posted.on_done = functools.partial(self._on_fate, answer, delivery)
        except BaseException:  # the program ends, perhaps: if the loop goes on, so do the other messages
            self._is_due = True
            self._host_inbox.post_soon(self._send)
            raise
        finally:
            self._tell(fates)

    def _on_fate(self, answer: _Answer, delivery: Delivery, posted: Delivery) -> None:
        if not self._fates:
            self._host_inbox.post_soon(self._tell_fates)
        self._fates.append((answer, delivery, posted.error))

    def _tell_fates(self) -> None:
        fates, self._fates = self._fates, []
        self._tell(fates)

    def _start(self, post: _Post, answer: _Answer, delivery: Delivery) -> None:
        def tell(error: BaseException | None, _: None) -> None:
            self._tell([(answer, delivery, error)])

        posted: list[Delivery] = []

        def work() -> Coroutine[Any, Any, None]:
            if not posted:  # else the connection has moved meanwhile
                posted.append(post())
            return _settle(posted[0])

        CrossLoopCall(self._host_inbox, work, tell, sends=True).start()

    def _tell(self, fates: list[_Fate]) -> None:
        if fates:
            self._own_inbox.post_soon(_answer_each, fates)  # in a later turn, in which its caller may await it


def _answer_each(fates: list[_Fate]) -> None:
    for answer, delivery, error in fates:
        answer(delivery, error)


async def _settle(posted: Delivery) -> None:
    await posted
