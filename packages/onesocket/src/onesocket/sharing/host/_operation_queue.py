"""The operations of all processes that wait for the owner's connection."""

from __future__ import annotations

import asyncio
import math
from dataclasses import dataclass

from ...errors import ClientClosed, MessageExpired, OnesocketError, OutboxFull
from ...wire._handshake import Data
from ._fair_outbox import FairOutbox
from ._ipc_frames import Ask
from ._requesters import Requester


@dataclass(frozen=True, slots=True, eq=False)
class WaitingOperation:
    """A message, or a request to the peer, in the queue of its process."""

    requester: Requester
    number: int
    content: Data | Ask

    @property
    def is_lasting(self) -> bool:
        """True if it waits for the connection whatever the limits of its process are."""
        return isinstance(self.content, Ask) and self.content.is_lasting


class OperationQueue(FairOutbox[Requester, WaitingOperation]):
    """A `FairOutbox` whose operations are found by their numbers, and fail when they are too old."""

    def __init__(self) -> None:
        super().__init__()
        self.waiting: dict[tuple[Requester, int], WaitingOperation] = {}
        """Operations that wait, by requester and the requester's number."""
        self._expiry: asyncio.TimerHandle | None = None

    def enqueue(self, waiting: WaitingOperation, *, is_lasting: bool) -> None:
        """Let an operation wait, `is_lasting` beyond the bound of its process; else `OutboxFull` is its result."""
        requester, now = waiting.requester, asyncio.get_running_loop().time()
        try:
            due = self.put(requester, waiting, now, is_lasting=is_lasting or waiting.is_lasting)
        except OutboxFull as error:
            requester.add_result(waiting.number, None, error)
            return
        self.waiting[requester, waiting.number] = waiting
        if self._expiry is None or due < self._expiry.when():
            self._watch_age(due)

    def withdraw(self, requester: Requester, number: int) -> WaitingOperation | None:
        """Remove the operation with this number, if it waits; it gets no result."""
        waiting = self.waiting.pop((requester, number), None)
        if waiting is not None:
            self.discard(requester, waiting)
        return waiting

    def fail(self, waiting: WaitingOperation, error: OnesocketError) -> None:
        """Report `error` as the result of an operation that was taken out; none if the client is closed."""
        self.waiting.pop((waiting.requester, waiting.number), None)
        if not isinstance(error, ClientClosed):
            waiting.requester.add_result(waiting.number, None, error.copy())

    def fail_unbuffered(self, error: OnesocketError) -> None:
        """Fail the operations of processes without an outbox; the others wait."""
        for waiting in list(self.waiting.values()):
            if not self.limits(waiting.requester).messages and not waiting.is_lasting:
                self.discard(waiting.requester, waiting)
                self.fail(waiting, error)

    def forget(self, requester: Requester) -> None:
        """Drop a requester that is gone, with its operations."""
        super().forget(requester)
        for key in [key for key in self.waiting if key[0] is requester]:
            del self.waiting[key]

    def stop_watching(self) -> None:
        """Let no operation fail by its age any more."""
        if self._expiry is not None:
            self._expiry.cancel()
            self._expiry = None

    def _watch_age(self, due: float | None) -> None:
        self.stop_watching()
        if due is not None and due != math.inf:
            self._expiry = asyncio.get_running_loop().call_at(due, self._expire)

    def _expire(self) -> None:
        self._expiry = None
        now = asyncio.get_running_loop().time()
        for waiting in self.expired(now):
            if waiting.is_lasting:
                self.put(waiting.requester, waiting, now, is_lasting=True)
            else:
                age = self.limits(waiting.requester).age
                text = f"this message waited {age:g} s for the connection (outbox=) and was not sent"
                self.fail(waiting, MessageExpired(text))
        self._watch_age(self.next_expiry())
