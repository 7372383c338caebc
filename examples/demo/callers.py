"""The callers of one row: they race, some are cancelled, and the result of each is counted."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Collection

from onesocket.lifecycle._effects import Outcome

Call = Callable[[], Awaitable[object]]

HUNG = "hung"
CANCELLED = "cancelled"
# Seconds that a cancelled caller has to end before it is abandoned.
_CANCEL_GRACE = 1.0
# Arriving callers let the event loop turn once for so many callers, on average.
_CALLERS_PER_ITERATION = 20


class CallerGroup:
    """Starts callers and counts their results. Never waits for longer than `deadline` seconds.

    `outcomes` counts the callers by result: the `Outcome`, the name of the exception, "cancelled" or "hung".
    """

    def __init__(self, rng: random.Random) -> None:
        self.deadline = 4.0
        self.outcomes: Counter[str] = Counter()
        self._rng = rng
        self._tasks: list[asyncio.Task[object]] = []

    def __repr__(self) -> str:
        waiting = sum(not task.done() for task in self._tasks)
        return f"<CallerGroup waiting={waiting} ended={dict(self.outcomes)}>"

    @property
    def size(self) -> int:
        """The number of callers so far."""
        return len(self._tasks) + self.outcomes.total()

    @property
    def hangs(self) -> int:
        """The number of callers that did not end within the deadline."""
        return self.outcomes[HUNG]

    def add(self, call: Call) -> asyncio.Task[object]:
        """Start one caller."""

        async def caller() -> object:
            return await call()

        task = asyncio.get_running_loop().create_task(caller(), name="demo caller")
        self._tasks.append(task)
        return task

    def race(self, call: Call, callers: int) -> None:
        """Start so many callers in the same tick."""
        for _ in range(callers):
            self.add(call)

    async def stay(self, call: Call, callers: int) -> None:
        """Start so many callers, and return when they wait."""
        self.race(call, callers)
        await asyncio.sleep(0)

    async def start_staggered(
        self, call: Call, callers: int, *, cancelled: Collection[int] = (), seconds: float = 0
    ) -> None:
        """Start so many callers one after the other, with turns of the event loop at random moments between them.

        Callers whose index is in `cancelled` are cancelled at random moments meanwhile. `seconds` is the approximate
        duration.
        """
        doomed = [place for place in sorted(cancelled) if place < len(self._tasks)]
        for _ in range(callers):
            self.add(call)
            if len(self._tasks) - 1 in cancelled:
                doomed.append(len(self._tasks) - 1)
            if doomed and self._rng.random() < len(cancelled) / max(1, callers):
                self._cancel_one_of(doomed)
            if self._rng.random() * _CALLERS_PER_ITERATION < 1:
                await asyncio.sleep(2 * self._rng.random() * seconds * _CALLERS_PER_ITERATION / callers)
        await self.cancel(doomed)

    async def cancel(self, places: Collection[int]) -> None:
        """Cancel the callers with these indexes, in random order, with turns of the event loop between them."""
        doomed = list(places)
        while doomed:
            self._cancel_one_of(doomed)
            if self._rng.random() * _CALLERS_PER_ITERATION < 1:
                await asyncio.sleep(0)

    async def end(self) -> None:
        """Wait for all callers, at most `deadline` seconds; callers that hang are counted, cancelled and abandoned."""
        tasks, self._tasks = self._tasks, []
        if not tasks:
            return
        _, hanging = await asyncio.wait(tasks, timeout=self.deadline)
        for task in hanging:
            task.cancel()
        if hanging:
            await asyncio.wait(hanging, timeout=_CANCEL_GRACE)
        for task in tasks:
            self.outcomes[HUNG if task in hanging else _outcome(task)] += 1

    def _cancel_one_of(self, doomed: list[int]) -> None:
        self._tasks[doomed.pop(self._rng.randrange(len(doomed)))].cancel()


def _outcome(task: asyncio.Task[object]) -> str:
    if task.cancelled():
        return CANCELLED
    error = task.exception()
    if error is not None:
        return type(error).__name__
    result = task.result()
    return result.value if isinstance(result, Outcome) else str(result)
