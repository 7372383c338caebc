"""Operations of the owner for itself and its followers: messages being sent, and requests without a result yet."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Final

from ...client._client import Client
from ...client._delivery import Delivery
from ...errors import ClientClosed, OnesocketError
from ...wire._handshake import Data
from ._errors import WireError

_FINISH_TIMEOUT: Final = 1.0
ResultCallback = Callable[[int, OnesocketError | None], None]


class PendingOperations:
    """Each piece has a place: for whom, and the number that they gave it."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._tasks: dict[tuple[object, int], asyncio.Task[None]] = {}

    def __repr__(self) -> str:
        return f"<Work {len(self._tasks)}>"

    def send(self, who: object, number: int, data: Data, settled: ResultCallback) -> None:
        """Send it. No result where the client is closed: it wasn't sent, and is the next owner's."""
        try:
            delivery = self._client.send_nowait(data)
        except ClientClosed:
            return
        except OnesocketError as error:
            settled(number, error)
            return
        if delivery.done:
            settled(number, delivery.error)
        else:
            self.start(who, number, self._watch(delivery, (who, number), settled))

    def send_safely(self, who: object, number: int, data: Data, settled: ResultCallback) -> None:
        """The same for one of many: what fails, whatever it is, fails this one alone."""
        try:
            self.send(who, number, data, settled)
        except OnesocketError as error:
            settled(number, error)
        except Exception as error:  # noqa: BLE001 - a transport's or a pace's bug
            failure = OnesocketError(f"the connection failed on this message: {type(error).__name__}")
            failure.__cause__ = error
            settled(number, failure)

    def start(self, who: object, number: int, work: Coroutine[Any, Any, None]) -> None:
        """Do this. Raises `WireError` for a number that is taken."""
        place = (who, number)
        if place in self._tasks:
            work.close()
            raise WireError("a follower used a number twice")
        task = asyncio.get_running_loop().create_task(work)
        self._tasks[place] = task
        task.add_done_callback(lambda task: self._free(place, task))

    def cancel(self, who: object, number: int) -> bool:
        """Cancel an operation. Returns False if it is done."""
        task = self._tasks.get((who, number))
        return task is not None and task.cancel()

    def cancel_all(self, who: object) -> None:
        """They want nothing any more."""
        for (whose, _), task in list(self._tasks.items()):
            if whose is who:
                task.cancel()

    async def finish(self) -> None:
        """The client is closed: let everything come to its end, which it has by now."""
        if self._tasks:
            _, left = await asyncio.wait(self._tasks.values(), timeout=_FINISH_TIMEOUT)
            for task in left:
                task.cancel()

    def _free(self, place: tuple[object, int], task: asyncio.Task[None]) -> None:
        if self._tasks.get(place) is task:  # else it's the next one's by now
            del self._tasks[place]

    async def _watch(self, delivery: Delivery, place: tuple[object, int], settled: ResultCallback) -> None:
        failure: OnesocketError | None = None
        try:
            await delivery
        except ClientClosed:
            return
        except OnesocketError as error:
            failure = error
        except asyncio.CancelledError:
            self._client.internals.withdraw(delivery)  # as Client.send
            raise
        # Free before its result is told: whoever hears of it may send it again at once, under the same number.
        self._tasks.pop(place, None)
        settled(place[1], failure)
