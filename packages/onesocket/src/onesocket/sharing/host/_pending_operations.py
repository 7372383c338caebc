"""Operations of the owner for its requesters: messages that wait or are being sent, and requests without a result."""

from __future__ import annotations

import asyncio
import functools
import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final, Protocol, TypeAlias

from ...client._client import Client
from ...client._delivery import Delivery
from ...client._request_calls import MakeFrame, MakeStop, needed
from ...client._request_tracker import RequestTracker
from ...errors import (
    ClientClosed,
    DeliveryUnknown,
    EncodeError,
    IpcError,
    MessageExpired,
    OnesocketError,
    OutboxFull,
    SlowConsumer,
    SubscriptionRefused,
)
from ...lifecycle._effects import Outcome
from ...lifecycle._outbox import OutboxLimits
from ...protocols._protocol import Protocol as WireProtocol
from ...protocols._request_template import RequestTemplate
from ...wire._handshake import Data
from ._fair_outbox import FairOutbox
from ._ipc_frames import (
    FIRST_REQUEST_NUMBER,
    Answer,
    Ask,
    Result,
    Results,
    SnapshotAnswer,
    SubscriptionRefusal,
)

_FINISH_TIMEOUT: Final = 1.0
_USED_TWICE: Final = "a follower used a number twice"
_WITHDRAWN: Final = "this message was withdrawn before it was sent"
_GIVEN_UP: Final = "its sender gave it up while it was being sent: it may or may not have arrived"
Operation: TypeAlias = Callable[[], Awaitable[Outcome | None]]


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


@dataclass(frozen=True, slots=True, eq=False)
class WaitingOperation:
    """A message, or a request to the peer, in the queue of its process."""

    requester: Requester
    number: int
    content: Data | Ask


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


class PendingOperations:
    """Sends the messages and requests of all processes in turn, each process's in order; has at most one in the outbox.

    An operation has no result when the client is closed: it was not performed, and its requester turns to the next
    owner.
    """

    def __init__(self, client: Client, protocol: WireProtocol, may_send: Callable[[], bool]) -> None:
        internals = client.internals
        self._sender = internals.sender
        self._requests = internals.requests
        self._refusal = internals.runner.refusal
        self._protocol = protocol
        self._may_send = may_send
        self._queue: FairOutbox[Requester, WaitingOperation] = FairOutbox()
        self._waiting: dict[tuple[Requester, int], WaitingOperation] = {}
        """Operations in the queue, by requester and the requester's number."""
        self._in_flight: dict[tuple[Requester, int], Delivery] = {}
        """Messages that the client has, and whose result is not known yet; by the same keys."""
        self._tasks: dict[tuple[Requester, int], asyncio.Task[None]] = {}
        """Requests that are being performed; by the same keys."""
        self._streams: dict[tuple[Requester, int], Callable[[], None]] = {}
        """The functions that close streams of answers; by the same keys."""
        self._is_posting = False
        self._expiry: asyncio.TimerHandle | None = None
        self._sender.set_feed(self)

    def __repr__(self) -> str:
        return f"<PendingOperations {self._queue!r} in_flight={len(self._in_flight)} tasks={len(self._tasks)}>"

    # --- from requesters ----------------------------------------------------------------------------------------------

    def set_limits(self, requester: Requester, limits: OutboxLimits) -> None:
        """Set how many messages of a process may wait for the connection, and for how long."""
        self._queue.set_limits(requester, limits)

    def send(self, requester: Requester, first: int, messages: list[Data]) -> None:
        """Send messages with consecutive numbers. An error is the result of one message alone.

        Raises `IpcError` for a number that is in use.
        """
        for number, data in enumerate(messages, first):
            if not self._may_send():  # the next owner sends it
                return
            if self._waiting or self._in_flight:
                self._check_unused(requester, number)
            if self._sender.has_room and not self._queue.count:
                self._post(requester, number, data)
            else:
                self._enqueue(WaitingOperation(requester, number, data))

    def ask(self, requester: Requester, ask: Ask) -> None:
        """Send a request to the peer, and report its answers before its result. Raises `IpcError` as `send`."""
        self._check_unused(requester, ask.number)
        if self._sender.has_room and not self._queue.count:
            self._ask(requester, ask)
        else:
            self._enqueue(WaitingOperation(requester, ask.number, ask))

    def start(self, requester: Requester, number: int, operation: Operation) -> asyncio.Task[None]:
        """Run an operation. Raises `IpcError` for a number that is in use."""
        key = (requester, number)
        if key in self._tasks:
            raise IpcError(_USED_TWICE)
        task = self._tasks[key] = asyncio.get_running_loop().create_task(self._run(key, operation))
        task.add_done_callback(lambda task: self._free(key, task))
        return task

    def cancel(self, requester: Requester, number: int) -> bool:
        """Cancel an operation, or close a stream; a message gets a result, which tells if it was withdrawn.

        Returns True if no result follows.
        """
        key = (requester, number)
        close = self._streams.pop(key, None)
        if close is not None:
            close()
            return True
        waiting = self._waiting.pop(key, None)
        if waiting is not None:
            self._queue.discard(requester, waiting)
            if isinstance(waiting.content, Ask):
                return True
            requester.add_result(number, None, MessageExpired(_WITHDRAWN))
            return False
        delivery = self._in_flight.pop(key, None)
        if delivery is not None:
            delivery.on_done = _ignore
            error = MessageExpired(_WITHDRAWN) if self._sender.withdraw(delivery) else DeliveryUnknown(_GIVEN_UP)
            requester.add_result(number, None, error)
            return False
        task = self._tasks.get(key)
        return task is not None and task.cancel()

    def cancel_all(self, requester: Requester) -> None:
        """Cancel all operations of a requester that is gone, and close its streams."""
        self._queue.forget(requester)
        for key in [key for key in self._waiting if key[0] is requester]:
            del self._waiting[key]
        for key in [key for key in self._streams if key[0] is requester]:
            self._streams.pop(key)()
        for key in [key for key in self._in_flight if key[0] is requester]:
            delivery = self._in_flight.pop(key)
            delivery.on_done = _ignore
            self._sender.withdraw(delivery)
        for (other, _), task in list(self._tasks.items()):
            if other is requester:
                task.cancel()

    def post_all(self, requester: Requester) -> None:
        """Give the client all messages and requests of a requester, to be written before the close."""
        for waiting in self._queue.take_all(requester):
            self._begin(waiting)

    async def finish(self) -> None:
        """Wait for the operations, which end with the client; cancel those that don't."""
        self._stop_watching()
        if self._tasks:
            _, pending = await asyncio.wait(self._tasks.values(), timeout=_FINISH_TIMEOUT)
            for task in pending:
                task.cancel()

    # --- from the sender ----------------------------------------------------------------------------------------------

    def on_room(self) -> None:
        """Post messages, one of each process in turn, while the connection takes them."""
        if self._is_posting:
            return
        self._is_posting = True
        try:
            while self._queue.count and self._sender.has_room and self._may_send():
                self._begin(self._queue.take())
        finally:
            self._is_posting = False

    def on_closing(self) -> None:
        """Post all messages, unless the next owner does that."""
        while self._queue.count and self._may_send():
            self._begin(self._queue.take())

    def on_lost(self) -> None:
        """Refuse the messages of processes without an outbox; the others wait."""
        for waiting in list(self._waiting.values()):
            limits = self._queue.limits(waiting.requester)
            if not limits.messages and not _is_lasting(waiting):
                self._queue.discard(waiting.requester, waiting)
                self._fail(waiting, OutboxFull("the connection was lost, and without an outbox no message waits"))

    def on_refusal(self, error: OnesocketError) -> None:
        """Fail all messages that wait."""
        while self._queue.count:
            self._fail(self._queue.take(), error)

    # --- the queue ----------------------------------------------------------------------------------------------------

    def _enqueue(self, waiting: WaitingOperation) -> None:
        refusal = self._refusal()
        if refusal is not None:
            self._fail(waiting, refusal)
            return
        requester, loop = waiting.requester, asyncio.get_running_loop()
        # One message of each process may wait for a connection that is up, whatever the others do.
        is_first = self._sender.is_up and not self._queue.has(requester)
        try:
            due = self._queue.put(requester, waiting, loop.time(), is_lasting=is_first or _is_lasting(waiting))
        except OutboxFull as error:
            requester.add_result(waiting.number, None, error)
            return
        self._waiting[requester, waiting.number] = waiting
        if self._expiry is None or due < self._expiry.when():
            self._watch_age(due)

    def _watch_age(self, due: float | None) -> None:
        self._stop_watching()
        if due is not None and due != math.inf:
            self._expiry = asyncio.get_running_loop().call_at(due, self._expire)

    def _stop_watching(self) -> None:
        if self._expiry is not None:
            self._expiry.cancel()
            self._expiry = None

    def _expire(self) -> None:
        self._expiry = None
        now = asyncio.get_running_loop().time()
        for waiting in self._queue.expired(now):
            if _is_lasting(waiting):
                self._queue.put(waiting.requester, waiting, now, is_lasting=True)
            else:
                age = self._queue.limits(waiting.requester).age
                text = f"this message waited {age:g} s for the connection (outbox=) and was not sent"
                self._fail(waiting, MessageExpired(text))
        self._watch_age(self._queue.next_expiry())

    def _fail(self, waiting: WaitingOperation, error: OnesocketError) -> None:
        self._waiting.pop((waiting.requester, waiting.number), None)
        if not isinstance(error, ClientClosed):
            waiting.requester.add_result(waiting.number, None, error.copy())

    def _begin(self, waiting: WaitingOperation) -> None:
        requester, content = waiting.requester, waiting.content
        del self._waiting[requester, waiting.number]
        if isinstance(content, Ask):
            self._ask(requester, content)
        else:
            self._post(requester, waiting.number, content)

    def _check_unused(self, requester: Requester, number: int) -> None:
        key = (requester, number)
        if key in self._waiting or key in self._in_flight or key in self._streams or key in self._tasks:
            raise IpcError(_USED_TWICE)

    # --- messages -----------------------------------------------------------------------------------------------------

    def _post(self, requester: Requester, number: int, data: Data) -> None:
        try:
            delivery = self._sender.post(data)
        except ClientClosed:
            return
        except Exception as error:  # noqa: BLE001 - one of ours, or a transport's or a pace's bug
            requester.add_result(number, None, _failure("message", error))
            return
        if delivery.done:
            requester.add_result(number, None, delivery.error)
        else:
            self._in_flight[requester, number] = delivery
            delivery.on_done = functools.partial(self._on_delivery, requester, number)

    def _on_delivery(self, requester: Requester, number: int, delivery: Delivery) -> None:
        # Freed before the result is reported: the requester may send it again at once, under the same number.
        del self._in_flight[requester, number]
        error = delivery.error
        if not isinstance(error, ClientClosed):
            requester.add_result(number, None, None if error is None else error.copy())

    # --- requests to the peer -----------------------------------------------------------------------------------------

    def _ask(self, requester: Requester, ask: Ask) -> None:
        template = RequestTemplate(ask.data, ask.placeholder, ask.is_encoded, ask.stop, ask.stop_placeholder)
        make = functools.partial(template.fill, self._protocol)
        stop = functools.partial(template.fill_stop, self._protocol)
        try:
            requests = needed(self._requests)
            if ask.is_stream:
                self._open_stream(requester, ask, requests, make, stop)
                return
            asked = requests.ask(make, is_lasting=ask.is_lasting)
        except ClientClosed:
            return
        except Exception as error:  # noqa: BLE001 - as above, or of a function of `Requests`
            requester.add_result(ask.number, None, _failure("request", error))
            return

        async def answer() -> None:
            requester.add_answer(ask.number, await asked.answer)

        def end(_: asyncio.Task[None]) -> None:
            requests.forget(asked)
            if asked.answer.done() and not asked.answer.cancelled():
                asked.answer.exception()  # else asyncio logs one that came when the task had been cancelled

        # By a callback: a task that is cancelled in its first turn doesn't begin.
        self.start(requester, ask.number, answer).add_done_callback(end)

    def _open_stream(
        self, requester: Requester, ask: Ask, requests: RequestTracker, make: MakeFrame, stop: MakeStop
    ) -> None:
        key = (requester, ask.number)
        answers = RequesterAnswers(requester, ask.number, lambda: self._streams.pop(key, None))
        self._streams[key] = answers.close = requests.open_stream(make, stop, answers, is_lasting=ask.is_lasting)

    # --- tasks --------------------------------------------------------------------------------------------------------

    def _free(self, key: tuple[Requester, int], task: asyncio.Task[None]) -> None:
        if self._tasks.get(key) is task:  # else the number is in use again
            del self._tasks[key]

    async def _run(self, key: tuple[Requester, int], operation: Operation) -> None:
        outcome: Outcome | None = None
        failure: OnesocketError | None = None
        try:
            outcome = await operation()
        except ClientClosed:
            return
        except OnesocketError as error:
            failure = error
        # Freed before the result is reported: the requester may send it again at once, under the same number.
        self._tasks.pop(key, None)
        key[0].add_result(key[1], outcome, failure)


def _failure(what: str, error: Exception) -> OnesocketError:
    """The error of a message or request, as its requester gets it."""
    if isinstance(error, OnesocketError):
        return error
    failure = OnesocketError(f"the connection failed on this {what}: {type(error).__name__}")
    failure.__cause__ = error
    return failure


def _is_lasting(waiting: WaitingOperation) -> bool:
    return isinstance(waiting.content, Ask) and waiting.content.is_lasting


def _ignore(_: Delivery) -> None:
    """Report nothing: its sender has its result, or is gone."""
