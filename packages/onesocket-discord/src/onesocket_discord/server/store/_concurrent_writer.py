"""The writer for PostgreSQL: operations run at the same time, each in a transaction of its own."""

from __future__ import annotations

import asyncio
import random
from collections import deque
from typing import Any, TypeVar

from sqlalchemy.ext.asyncio import AsyncEngine

from .._api_error import ApiError
from . import _postgresql as postgresql
from ._outgoing_events import store_outgoing_events
from ._server_lease import ServerLease
from ._unit_of_work import UnitOfWork
from ._writer import Isolation, Operation

T = TypeVar("T")

_MAX_VIOLATIONS = 3
_RECONNECT = 5.0
"""Seconds for which an operation that has stored nothing waits for a database that restarts."""
_MAX_PAUSE = 0.1


class ConcurrentWriter:
    """Runs operations, again and again while others are in their way.

    Callbacks run in an order in which the commits can have happened: a transaction that waited for another one's row
    commits after it. No operation returns before its callbacks have run.
    """

    def __init__(self, engine: AsyncEngine, lease: ServerLease, timeout: float) -> None:
        """`timeout`: seconds for one operation, its wait and all of its attempts included."""
        self._engine = engine
        self._engines = {kind: engine.execution_options(isolation_level=kind.value) for kind in Isolation}
        self._lease = lease
        self._timeout = timeout
        self._slots = asyncio.Semaphore(postgresql.MAX_WRITERS)
        self._running: set[asyncio.Task[Any]] = set()
        self._order = _CommitOrder()
        self._open = True
        self.has_outgoing = asyncio.Event()
        """Set when a commit has stored events for all servers."""

    def start(self) -> None:
        """Do nothing: there is no task beside the operations."""

    async def stop(self) -> None:
        """Finish the accepted operations, and accept no more."""
        self._open = False
        if self._running:
            await asyncio.wait(self._running, timeout=self._timeout)

    async def write(self, operation: Operation[T], isolation: Isolation = Isolation.SERIALIZABLE) -> T:
        """Run an operation and commit it; its exception is raised here, after a rollback.

        Raises `ApiError` (503) if the store is closed or too slow, or the database can't be reached; a slow operation
        may still be committed, and so may one whose connection was lost during its commit.
        """
        if not self._open:
            raise ApiError(503, 0, "503: Service Unavailable: the server is stopping")
        self._lease.check()
        try:
            async with asyncio.timeout(self._timeout):
                await self._slots.acquire()
                task = asyncio.create_task(self._run(operation, isolation))
                self._running.add(task)
                task.add_done_callback(self._finished)
                return await asyncio.shield(task)  # one that has begun is not given up with its caller
        except TimeoutError:
            raise ApiError(503, 0, f"503: Service Unavailable: nothing was stored in {self._timeout:g} s") from None

    def _finished(self, task: asyncio.Task[Any]) -> None:
        self._slots.release()
        self._running.discard(task)
        if not task.cancelled():
            task.exception()  # the caller may be gone

    async def _run(self, operation: Operation[T], isolation: Isolation) -> T:
        loop = asyncio.get_running_loop()
        reconnect_until = loop.time() + _RECONNECT
        pause, violations = 0.002, 0
        async with asyncio.timeout(self._timeout):
            while True:
                try:
                    return await self._attempt(operation, isolation)
                except _CommitUnknown as error:
                    raise _unreachable("whether it was stored is not known") from error.__cause__
                except Exception as error:
                    violations += postgresql.is_violation(error)
                    lost = postgresql.is_lost(error)
                    if lost and loop.time() >= reconnect_until:
                        raise _unreachable("nothing was stored") from error
                    again = postgresql.is_conflict(error) or (0 < violations <= _MAX_VIOLATIONS)
                    if not (lost or again):
                        raise
                await asyncio.sleep(random.uniform(0, pause))
                pause = min(2 * pause, _MAX_PAUSE)

    async def _attempt(self, operation: Operation[T], isolation: Isolation) -> T:
        async with self._engines[isolation].connect() as connection:
            work = UnitOfWork(connection)
            try:
                async with connection.begin() as transaction:
                    result = await operation(work)
                    if work.outgoing:
                        await store_outgoing_events(connection, work.outgoing)
                        work.after_commit(self.has_outgoing.set)
                    # From here on: whoever waits for a row of this transaction gets a later place.
                    place = self._order.take()
                    try:
                        await transaction.commit()
                    except BaseException as error:
                        self._order.failed(place)
                        if postgresql.is_lost(error):
                            raise _CommitUnknown from error
                        raise
            except BaseException:
                work.rolled_back()
                raise
        await self._order.committed(place, work)
        return result


class _CommitOrder:
    """Runs the callbacks of commits in the order in which the commits were sent."""

    def __init__(self) -> None:
        self._places: deque[_Place] = deque()

    def take(self) -> _Place:
        place = _Place()
        self._places.append(place)
        return place

    def failed(self, place: _Place) -> None:
        self._settle(place)

    async def committed(self, place: _Place, work: UnitOfWork) -> None:
        place.work = work
        self._settle(place)
        await place.done.wait()

    def _settle(self, place: _Place) -> None:
        place.settled = True
        while self._places and self._places[0].settled:
            first = self._places.popleft()
            if first.work is not None:
                first.work.committed()
            first.done.set()


class _Place:
    __slots__ = ("done", "settled", "work")

    def __init__(self) -> None:
        self.work: UnitOfWork | None = None
        """None: it is not committed, or not yet."""
        self.settled = False
        self.done = asyncio.Event()


class _CommitUnknown(Exception):
    """The connection was lost during a commit."""


def _unreachable(what: str) -> ApiError:
    return ApiError(503, 0, f"503: Service Unavailable: the database can't be reached; {what}")
