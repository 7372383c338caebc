"""Operations of the owner for itself and its followers: messages being sent, and requests without a result yet."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Final

from ...client._client import Client
from ...client._delivery import Delivery
from ...errors import ClientClosed, IpcError, OnesocketError
from ...wire._handshake import Data

_FINISH_TIMEOUT: Final = 1.0
ResultCallback = Callable[[int, OnesocketError | None], object]


class PendingOperations:
    """Tasks by requester (this process or a follower) and the requester's number."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._tasks: dict[tuple[object, int], asyncio.Task[None]] = {}

    def __repr__(self) -> str:
        return f"<PendingOperations {len(self._tasks)}>"

    def send(self, requester: object, number: int, data: Data, on_result: ResultCallback) -> None:
        """Send a message. An error is the result of this message alone. Raises `IpcError` as `start`.

        A message has no result when the client is closed: it wasn't sent, and the next owner sends it.
        """
        try:
            delivery = self._client.send_nowait(data)
        except ClientClosed:
            return
        except OnesocketError as error:
            on_result(number, error)
            return
        except Exception as error:  # noqa: BLE001 - a transport's or a pace's bug
            failure = OnesocketError(f"the connection failed on this message: {type(error).__name__}")
            failure.__cause__ = error
            on_result(number, failure)
            return
        if delivery.done:
            on_result(number, delivery.error)
        else:
            self.start(requester, number, self._watch(delivery, (requester, number), on_result))

    def start(self, requester: object, number: int, operation: Coroutine[Any, Any, None]) -> None:
        """Run an operation. Raises `IpcError` for a number that is in use."""
        key = (requester, number)
        if key in self._tasks:
            operation.close()
            raise IpcError("a follower used a number twice")
        task = asyncio.get_running_loop().create_task(operation)
        self._tasks[key] = task
        task.add_done_callback(lambda task: self._free(key, task))

    def cancel(self, requester: object, number: int) -> bool:
        """Cancel an operation. Returns False if it is done."""
        task = self._tasks.get((requester, number))
        return task is not None and task.cancel()

    def cancel_all(self, requester: object) -> None:
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

    def _free(self, key: tuple[object, int], task: asyncio.Task[None]) -> None:
        if self._tasks.get(key) is task:  # else the number is in use again
            del self._tasks[key]

    async def _watch(self, delivery: Delivery, key: tuple[object, int], on_result: ResultCallback) -> None:
        failure: OnesocketError | None = None
        try:
            await delivery
        except ClientClosed:
            return
        except OnesocketError as error:
            failure = error
        except asyncio.CancelledError:
            self._client.internals.sender.withdraw(delivery)  # as Client.send
            raise
        # Freed before the result is reported: the requester may send it again at once, under the same number.
        self._tasks.pop(key, None)
        on_result(key[1], failure)
