"""Operations of the owner for its requesters: messages that wait or are being sent, and requests without a result."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Awaitable, Callable, Iterator
from typing import Final, TypeAlias

from ...client._client import Client
from ...client._delivery import Delivery
from ...client._request_calls import MakeFrame, MakeStop, needed
from ...client._request_tracker import RequestTracker
from ...errors import (
    ClientClosed,
    DeliveryUnknown,
    IpcError,
    MessageExpired,
    OnesocketError,
    OutboxFull,
)
from ...lifecycle._effects import Outcome
from ...lifecycle._outbox import OutboxLimits
from ...protocols._protocol import Protocol
from ...protocols._request_template import RequestTemplate
from ...wire._handshake import Data
from ._ipc_frames import Ask
from ._operation_queue import OperationQueue, WaitingOperation
from ._requesters import Requester, RequesterAnswers

_FINISH_TIMEOUT: Final = 1.0
_RUN_SIZE: Final = 65_536
"""Characters or bytes of messages that are written together: about what the system takes at once."""
_USED_TWICE: Final = "a follower used a number twice"
_WITHDRAWN: Final = "this message was withdrawn before it was sent"
_GIVEN_UP: Final = "its sender gave it up while it was being sent: it may or may not have arrived"
Operation: TypeAlias = Callable[[], Awaitable[Outcome | None]]


class PendingOperations:
    """Sends the messages and requests of all processes in turn, each process's in order; has at most one in the outbox.

    An operation has no result when the client is closed: it was not performed, and its requester turns to the next
    owner.
    """

    def __init__(
        self,
        client: Client,
        protocol: Protocol,
        may_send: Callable[[], bool],
        adopt: Callable[[asyncio.Task[None]], object],
    ) -> None:
        """`adopt`: called with each task of an operation."""
        internals = client.internals
        self._sender = internals.sender
        self._requests = internals.requests
        self._refusal = internals.runner.refusal
        self._protocol = protocol
        self._may_send = may_send
        self._adopt = adopt
        self._queue = OperationQueue()
        self._in_flight: dict[tuple[Requester, int], Delivery] = {}
        """Messages that the client has, and whose result is not known yet; by requester and the requester's number."""
        self._tasks: dict[tuple[Requester, int], asyncio.Task[None]] = {}
        """Requests that are being performed; by the same keys."""
        self._streams: dict[tuple[Requester, int], Callable[[], None]] = {}
        """The functions that close streams of answers; by the same keys."""
        self._forgets: dict[tuple[Requester, int], Callable[[], None]] = {}
        """The functions that end the wait for an answer; by the same keys."""
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
        for run in _runs(messages):
            if len(run) == 1 or not self._post_run(requester, first, run):
                for number, data in enumerate(run, first):
                    if not self._may_send():  # the next owner sends it
                        return
                    self._send(requester, number, data)
            first += len(run)

    def _send(self, requester: Requester, number: int, data: Data) -> None:
        if self._queue.waiting or self._in_flight:
            self._check_unused(requester, number)
        if self._sender.has_room and not self._queue.count:
            self._post(requester, number, data)
        else:
            self._enqueue(requester, number, data)

    def _post_run(self, requester: Requester, first: int, messages: list[Data]) -> bool:
        """Write messages together, as a call to the system costs more than a message; False: they go one by one."""
        if self._queue.count or not self._may_send():
            return False
        if self._queue.waiting or self._in_flight:
            for number in range(first, first + len(messages)):
                self._check_unused(requester, number)
        try:
            deliveries = self._sender.post_run(messages)
        except Exception as error:  # noqa: BLE001 - a transport's bug: they may have been written
            for number in range(first, first + len(messages)):
                requester.add_result(number, None, _failure("message", error))
            return True
        for number, delivery in enumerate(deliveries or (), first):
            self._watch(requester, number, delivery)
        return deliveries is not None

    def ask(self, requester: Requester, ask: Ask) -> None:
        """Send a request to the peer, and report its answers before its result. Raises `IpcError` as `send`."""
        self._check_unused(requester, ask.number)
        if self._sender.has_room and not self._queue.count:
            self._ask(requester, ask)
        else:
            self._enqueue(requester, ask.number, ask)

    def start(self, requester: Requester, number: int, operation: Operation) -> asyncio.Task[None]:
        """Run an operation. Raises `IpcError` for a number that is in use."""
        key = (requester, number)
        if key in self._tasks:
            raise IpcError(_USED_TWICE)
        task = self._tasks[key] = asyncio.get_running_loop().create_task(self._run(key, operation))
        self._adopt(task)
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
        waiting = self._queue.withdraw(requester, number)
        if waiting is not None:
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
        forget = self._forgets.pop(key, None)
        if forget is not None:  # now: the task is cancelled in a later turn, in which the answer may have come
            forget()
        task = self._tasks.get(key)
        return task is not None and task.cancel()

    def cancel_all(self, requester: Requester) -> None:
        """Cancel all operations of a requester that is gone, and close its streams."""
        self._queue.forget(requester)
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
        self._queue.stop_watching()
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
        self._queue.fail_unbuffered(OutboxFull("the connection was lost, and without an outbox no message waits"))

    def on_refusal(self, error: OnesocketError) -> None:
        """Fail all messages that wait."""
        while self._queue.count:
            self._queue.fail(self._queue.take(), error)

    # --- the queue ----------------------------------------------------------------------------------------------------

    def _enqueue(self, requester: Requester, number: int, content: Data | Ask) -> None:
        waiting = WaitingOperation(requester, number, content)
        refusal = self._refusal()
        if refusal is not None:
            self._queue.fail(waiting, refusal)
            return
        # One message of each process may wait for a connection that is up, whatever the others do.
        self._queue.enqueue(waiting, is_lasting=self._sender.is_up and not self._queue.has(requester))

    def _begin(self, waiting: WaitingOperation) -> None:
        requester, content = waiting.requester, waiting.content
        del self._queue.waiting[requester, waiting.number]
        if isinstance(content, Ask):
            self._ask(requester, content)
        else:
            self._post(requester, waiting.number, content)

    def _check_unused(self, requester: Requester, number: int) -> None:
        key = (requester, number)
        if key in self._queue.waiting or key in self._in_flight or key in self._streams or key in self._tasks:
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
        self._watch(requester, number, delivery)

    def _watch(self, requester: Requester, number: int, delivery: Delivery) -> None:
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

        forget = functools.partial(requests.forget, asked)
        self._forgets[requester, ask.number] = forget

        def end(_: asyncio.Task[None]) -> None:
            present = self._forgets.get((requester, ask.number))
            if present is forget:  # else the number is in use again, or `cancel` has called it
                del self._forgets[requester, ask.number]
            if present is not None:
                forget()
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
        except Exception as error:  # noqa: BLE001 - one of ours, or no memory, or a bug: its caller waits for a result
            failure = _failure("request", error)
        # Freed before the result is reported: the requester may send it again at once, under the same number.
        self._tasks.pop(key, None)
        key[0].add_result(key[1], outcome, failure)


def _runs(messages: list[Data]) -> Iterator[list[Data]]:
    """Yield the messages in runs that one write takes, in order; a larger message is a run of its own."""
    start = size = 0
    for index, data in enumerate(messages):
        size += len(data)
        if size > _RUN_SIZE and index > start:
            yield messages[start:index]
            start, size = index, len(data)
    if start < len(messages):
        yield messages[start:]


def _failure(what: str, error: Exception) -> OnesocketError:
    """The error of a message or request, as its requester gets it."""
    if isinstance(error, OnesocketError):
        return error
    failure = OnesocketError(f"the connection failed on this {what}: {type(error).__name__}")
    failure.__cause__ = error
    return failure


def _ignore(_: Delivery) -> None:
    """Report nothing: its sender has its result, or is gone."""
