"""Requesters of an owner's operations: its followers and its own process; and the results that they get."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Protocol

from ...errors import ClientClosed, EncodeError, IpcError, OnesocketError, SlowConsumer, SubscriptionRefused
from ...lifecycle._effects import Outcome
from ...wire._handshake import Data
from ._ipc_frames import FIRST_REQUEST_NUMBER, Answer, Result, Results, SnapshotAnswer, SubscriptionRefusal


class Requester(Protocol):
    """A follower's connection, the owner's own process, or another host of a cluster."""

    def add_result(self, number: int, outcome: Outcome | None, error: OnesocketError | None) -> None:
        """Report the result of message or request `number`."""

    def add_answer(self, number: int, data: Data) -> bool:
        """Report an answer to request `number`, before its result; returns False if the requester doesn't read."""
        ...

    def release_slot(self) -> None:
        """Count one message or request without a result less."""


class SubscribingRequester(Requester, Protocol):
    """A requester that has subscriptions, too, and late readers."""

    def refused(self, error: SubscriptionRefused) -> None:
        """Report keys that were refused, which the requester doesn't have any more."""

    def send_snapshot(self, number: int, frames: list[Data]) -> None:
        """Answer the request for a snapshot with this number."""


class ResultBatch:
    """Results that are reported together: runs of messages that were sent, and all others."""

    __slots__ = ("_results", "_sent")

    def __init__(self) -> None:
        self._results: list[Result] = []
        self._sent: list[tuple[int, int]] = []

    def __bool__(self) -> bool:
        return bool(self._sent or self._results)

    def add(self, number: int, outcome: Outcome | None, error: OnesocketError | None) -> None:
        """Add the result of message or request `number`."""
        if error is not None or number >= FIRST_REQUEST_NUMBER:
            self._results.append((number, outcome, error))
        elif self._sent and self._sent[-1][1] == number - 1:
            self._sent[-1] = self._sent[-1][0], number
        else:
            self._sent.append((number, number))

    def take(self) -> Results:
        """Return all results so far, and begin anew."""
        taken = Results(self._results, self._sent)
        self._results, self._sent = [], []
        return taken


class LocalRequester:
    """The owner's own process, which is served as its followers are."""

    def __init__(self, emit: Callable[[Results | Answer | SubscriptionRefusal | SnapshotAnswer], object]) -> None:
        self._emit = emit
        self._results = ResultBatch()
        self._batches = 0

    def add_result(self, number: int, outcome: Outcome | None, error: OnesocketError | None) -> None:
        """Report the result of message or request `number`: at once, or with those of one frame."""
        self._results.add(number, outcome, error)
        if not self._batches:
            self._emit(self._results.take())

    def add_answer(self, number: int, data: Data) -> bool:
        """Report an answer to request `number`."""
        self._emit(Answer(number, data))
        return True

    def begin_batch(self) -> None:
        """Keep results from now on, until `end_batch`."""
        self._batches += 1

    def end_batch(self) -> None:
        """Report the results of this batch together."""
        self._batches -= 1
        if self._results and not self._batches:
            self._emit(self._results.take())

    def refused(self, error: SubscriptionRefused) -> None:
        """Report keys that were refused, in the next turn: one that is being added isn't counted here yet."""
        refusal = SubscriptionRefusal(list(error.keys), error.reason, error.retryable)
        asyncio.get_running_loop().call_soon(self._emit, refusal)

    def send_snapshot(self, number: int, frames: list[Data]) -> None:
        """Answer the request for a snapshot with this number."""
        self._emit(SnapshotAnswer(number, list(frames)))

    def release_slot(self) -> None:
        """Do nothing: the bound of this process is that of its outbox."""


class RequesterAnswers:
    """An `AnswerSink` of the owner: reports answers to the requester, and then the result."""

    def __init__(self, requester: Requester, number: int, forget: Callable[[], object]) -> None:
        self.close: Callable[[], None] | None = None
        """Closes the stream."""
        self._requester = requester
        self._number = number
        self._forget = forget

    def take(self, answer: Any) -> None:
        """Report an answer; a requester that doesn't read loses the stream."""
        try:
            is_read = self._requester.add_answer(self._number, answer)
        except (IpcError, EncodeError) as error:
            self._break_off(error)
            return
        if not is_read:
            self._break_off(SlowConsumer("this process doesn't read what the one that holds the connection sends it"))

    def _break_off(self, error: OnesocketError) -> None:
        if self.close is not None:
            self.close()
        self.fail(error)

    def fail(self, error: OnesocketError) -> None:
        """Report the end; none if the client is closed: the next owner is asked."""
        self._forget()
        if not isinstance(error, ClientClosed):
            self._requester.add_result(self._number, None, error)

    def end(self) -> None:
        """Report the end."""
        self._forget()
        self._requester.add_result(self._number, None, None)
