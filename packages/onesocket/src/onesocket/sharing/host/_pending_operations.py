"""Operations of the owner for its requesters: messages being sent, and requests without a result yet."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Generator
from typing import Final, Protocol, TypeAlias

from ...client._client import Client
from ...client._request_calls import MakeFrame, needed
from ...errors import ClientClosed, IpcError, OnesocketError, SubscriptionRefused
from ...lifecycle._effects import Outcome
from ...wire._handshake import Data
from ._ipc_frames import Answer, Result, Results, SnapshotAnswer, SubscriptionRefusal

_FINISH_TIMEOUT: Final = 1.0
Operation: TypeAlias = Callable[[], Awaitable[Outcome | None]]


class Requester(Protocol):
    """A follower's connection, or the owner's own process."""

    def add_result(self, number: int, outcome: Outcome | None, error: OnesocketError | None) -> None:
        """Report the result of message or request `number`."""

    def add_answer(self, number: int, data: Data) -> None:
        """Report the answer to request `number`, before its result."""

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

    def add_answer(self, number: int, data: Data) -> None:
        """Report the answer to request `number`."""
        self._emit(Answer(number, data))

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


class PendingOperations:
    """Tasks by requester and the requester's number.

    An operation has no result when the client is closed: it was not performed, and its requester turns to the next
    owner.
    """

    def __init__(self, client: Client) -> None:
        self._client = client
        self._tasks: dict[tuple[Requester, int], asyncio.Task[None]] = {}

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

    def ask(self, requester: Requester, number: int, make: MakeFrame) -> None:
        """Send a request to the peer, and report its answer before its result. Raises `IpcError` as `start`."""
        requests = needed(self._client.internals.requests)
        try:
            asked = requests.ask(make)
        except ClientClosed:
            return
        except Exception as error:  # noqa: BLE001 - as above, or of a function of `Requests`
            requester.add_result(number, None, _failure("request", error))
            return

        async def answer() -> None:
            requester.add_answer(number, await asked.answer)

        task = self.start(requester, number, answer)
        # By a callback, as above.
        task.add_done_callback(lambda _: requests.forget(asked))

    def start(self, requester: Requester, number: int, operation: Operation) -> asyncio.Task[None]:
        """Run an operation. Raises `IpcError` for a number that is in use."""
        key = (requester, number)
        if key in self._tasks:
            raise IpcError("a follower used a number twice")
        task = self._tasks[key] = asyncio.get_running_loop().create_task(self._run(key, operation))
        task.add_done_callback(lambda task: self._free(key, task))
        return task

    def cancel(self, requester: Requester, number: int) -> bool:
        """Cancel an operation. Returns False if it is done."""
        task = self._tasks.get((requester, number))
        return task is not None and task.cancel()

    def cancel_all(self, requester: Requester) -> None:
        """Cancel all operations of a requester that is gone."""
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
