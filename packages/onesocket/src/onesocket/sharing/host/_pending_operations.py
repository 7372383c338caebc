"""Operations of the owner for its requesters: messages being sent, and requests without a result yet."""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections.abc import Awaitable, Callable, Generator
from typing import Any, Final, Protocol, TypeAlias

from ...client._client import Client
from ...client._request_calls import MakeFrame, MakeStop, needed
from ...client._request_tracker import RequestTracker
from ...errors import ClientClosed, EncodeError, IpcError, OnesocketError, SlowConsumer, SubscriptionRefused
from ...lifecycle._effects import Outcome
from ...protocols._protocol import Protocol as WireProtocol
from ...protocols._request_template import RequestTemplate
from ...wire._handshake import Data
from ._ipc_frames import Answer, Ask, Result, Results, SnapshotAnswer, SubscriptionRefusal

_FINISH_TIMEOUT: Final = 1.0
_USED_TWICE: Final = "a follower used a number twice"
Operation: TypeAlias = Callable[[], Awaitable[Outcome | None]]


class Requester(Protocol):
    """A follower's connection, or the owner's own process."""

    def add_result(self, number: int, outcome: Outcome | None, error: OnesocketError | None) -> None:
        """Report the result of message or request `number`."""

    def add_answer(self, number: int, data: Data) -> bool:
        """Report an answer to request `number`, before its result; returns False if the requester doesn't read."""
        ...

    def release_slot(self) -> None:
        """Count one message or request without a result less."""


class LocalRequester:
    """The owner's own process, which is served as its followers are."""

    def __init__(self, emit: Callable[[Results | Answer | SubscriptionRefusal | SnapshotAnswer], object]) -> None:
        self._emit = emit
        self._batch: list[Result] | None = None

    def add_result(self, number: int, outcome: Outcome | None, error: OnesocketError | None) -> None:
        """Report the result of message or request `number`: at once, or with those of one frame."""
        if self._batch is None:
            self._emit(Results([(number, outcome, error)]))
        else:
            self._batch.append((number, outcome, error))

    def add_answer(self, number: int, data: Data) -> bool:
        """Report an answer to request `number`."""
        self._emit(Answer(number, data))
        return True

    @contextlib.contextmanager
    def batched(self) -> Generator[None]:
        """Report the results of this block together at its end."""
        batch = self._batch = []
        try:
            yield
        finally:
            self._batch = None
            if batch:
                self._emit(Results(batch))

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
    """Tasks by requester and the requester's number.

    An operation has no result when the client is closed: it was not performed, and its requester turns to the next
    owner.
    """

    def __init__(self, client: Client) -> None:
        self._client = client
        self._tasks: dict[tuple[Requester, int], asyncio.Task[None]] = {}
        self._streams: dict[tuple[Requester, int], Callable[[], None]] = {}
        """The functions that close streams of answers."""

    def __repr__(self) -> str:
        return f"<PendingOperations {len(self._tasks)}>"

    def send(self, requester: Requester, number: int, data: Data) -> None:
        """Send a message. An error is the result of this message alone. Raises `IpcError` as `start`."""
        try:
            delivery = self._client.send_nowait(data)
        except ClientClosed:
            return
        except Exception as error:  # noqa: BLE001 - one of ours, or a transport's or a pace's bug
            requester.add_result(number, None, _failure("message", error))
            return
        if delivery.done:
            requester.add_result(number, None, delivery.error)
        else:
            task = self.start(requester, number, lambda: delivery)
            # By a callback: a task that is cancelled in its first turn doesn't begin.
            task.add_done_callback(lambda task: task.cancelled() and self._client.internals.sender.withdraw(delivery))

    def ask(self, requester: Requester, ask: Ask, protocol: WireProtocol) -> None:
        """Send a request to the peer, and report its answers before its result. Raises `IpcError` as `start`."""
        template = RequestTemplate(ask.data, ask.placeholder, ask.is_encoded, ask.stop, ask.stop_placeholder)
        make, stop = functools.partial(template.fill, protocol), functools.partial(template.fill_stop, protocol)
        requests = needed(self._client.internals.requests)
        try:
            if ask.is_stream:
                self._open_stream(requester, ask, requests, make, stop)
                return
            asked = requests.ask(make, is_lasting=ask.is_lasting)
        except ClientClosed:
            return
        except IpcError:
            raise
        except Exception as error:  # noqa: BLE001 - as above, or of a function of `Requests`
            requester.add_result(ask.number, None, _failure("request", error))
            return

        async def answer() -> None:
            requester.add_answer(ask.number, await asked.answer)

        task = self.start(requester, ask.number, answer)
        # By a callback, as above.
        task.add_done_callback(lambda _: requests.forget(asked))

    def _open_stream(
        self, requester: Requester, ask: Ask, requests: RequestTracker, make: MakeFrame, stop: MakeStop
    ) -> None:
        key = (requester, ask.number)
        if key in self._streams:
            raise IpcError(_USED_TWICE)
        answers = RequesterAnswers(requester, ask.number, lambda: self._streams.pop(key, None))
        self._streams[key] = answers.close = requests.open_stream(make, stop, answers, is_lasting=ask.is_lasting)

    def start(self, requester: Requester, number: int, operation: Operation) -> asyncio.Task[None]:
        """Run an operation. Raises `IpcError` for a number that is in use."""
        key = (requester, number)
        if key in self._tasks:
            raise IpcError(_USED_TWICE)
        task = self._tasks[key] = asyncio.get_running_loop().create_task(self._run(key, operation))
        task.add_done_callback(lambda task: self._free(key, task))
        return task

    def cancel(self, requester: Requester, number: int) -> bool:
        """Cancel an operation, or close a stream. Returns False if it is done."""
        close = self._streams.pop((requester, number), None)
        if close is not None:
            close()
            return True
        task = self._tasks.get((requester, number))
        return task is not None and task.cancel()

    def cancel_all(self, requester: Requester) -> None:
        """Cancel all operations of a requester that is gone, and close its streams."""
        for key, close in list(self._streams.items()):
            if key[0] is requester:
                del self._streams[key]
                close()
        for (other, _), task in list(self._tasks.items()):
            if other is requester:
                task.cancel()

    async def finish(self) -> None:
        """Wait for the operations, which end with the client; cancel those that don't."""
        if self._tasks:
            _, pending = await asyncio.wait(self._tasks.values(), timeout=_FINISH_TIMEOUT)
            for task in pending:
                task.cancel()

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
