"""The one writer of SQLite: runs operations in order, many in one commit."""

from __future__ import annotations

import asyncio
import enum
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol, TypeVar

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from .._api_error import ApiError
from ._unit_of_work import UnitOfWork

T = TypeVar("T")

Operation = Callable[[UnitOfWork], Awaitable[T]]


class Isolation(enum.StrEnum):
    """How much of concurrent transactions an operation sees, where there are any; values are SQL's."""

    SERIALIZABLE = "SERIALIZABLE"
    """Nothing of them, as if each ran alone: for operations that decide by what they have read."""
    READ_COMMITTED = "READ COMMITTED"
    """Their commits, as they happen: for frequent operations, which lock the rows that matter and don't fail."""


class Writer(Protocol):
    """Runs operations that write."""

    def start(self) -> None:
        """Start to run operations."""

    async def stop(self) -> None:
        """Finish the accepted operations, and accept no more."""

    async def write(self, operation: Operation[T], isolation: Isolation = Isolation.SERIALIZABLE) -> T:
        """Run an operation and commit it; its exception is raised here, after a rollback.

        It may run more than once, each time on what was rolled back. Raises `ApiError` (503) if the store is closed or
        too slow; a slow operation may still be committed.
        """
        ...


_MAX_WAITING = 1024
_MAX_BATCH = 64
"""Operations in one commit, which bounds the wait of the first."""


class StoreWriter:
    """Runs operations as savepoints; those that arrive during a commit share the next one, as a commit syncs the disk.

    A failing operation rolls back alone. No operation returns before its commit.
    """

    def __init__(self, engine: AsyncEngine, lock: AbstractAsyncContextManager[None], timeout: float) -> None:
        """`lock` is held during a transaction; `timeout`: seconds for one operation, its wait included."""
        self._engine = engine
        self._lock = lock
        self._timeout = timeout
        self._queue: asyncio.Queue[_QueuedOperation | None] = asyncio.Queue(_MAX_WAITING)
        self._task: asyncio.Task[None] | None = None
        self._open = True

    def start(self) -> None:
        """Start to run operations."""
        self._task = asyncio.create_task(self._run(), name="chat-store-writer")

    async def stop(self) -> None:
        """Finish the accepted operations, and accept no more."""
        self._open = False
        if self._task is not None:
            async with asyncio.timeout(self._timeout):
                await self._queue.put(None)
                await self._task

    async def write(self, operation: Operation[T], isolation: Isolation = Isolation.SERIALIZABLE) -> T:  # noqa: ARG002 - always alone
        """Run an operation and commit it (see `Writer.write`); it runs once."""
        if not self._open:
            raise ApiError(503, 0, "503: Service Unavailable: the server is stopping")
        item = _QueuedOperation(operation)
        try:
            async with asyncio.timeout(self._timeout):
                await self._queue.put(item)
                outcome: T = await item.done
        except TimeoutError:
            raise ApiError(503, 0, f"503: Service Unavailable: nothing was stored in {self._timeout:g} s") from None
        return outcome

    async def _run(self) -> None:
        going = True
        while going:
            first = await self._queue.get()
            if first is None:
                break
            going = await self._transaction(first)

    async def _transaction(self, first: _QueuedOperation) -> bool:
        """Commit this operation and those queued behind it; returns False at the end of the queue."""
        items: list[_QueuedOperation] = []
        going = True
        item: _QueuedOperation | None = first
        try:
            async with self._lock, self._engine.begin() as connection:
                while item is not None:
                    if not item.done.cancelled():
                        items.append(item)
                        await item.run(connection)
                    if len(items) >= _MAX_BATCH or self._queue.empty():
                        break
                    item = self._queue.get_nowait()
                    going = item is not None
        except Exception as error:  # noqa: BLE001 - raised to the waiting callers
            for one in items or [first]:
                one.lost(error)
        else:
            for one in items:
                one.committed()
        return going


class _QueuedOperation:
    def __init__(self, operation: Operation[Any]) -> None:
        self._operation = operation
        self._work: UnitOfWork | None = None
        self._result: Any = None
        self._error: Exception | None = None
        self.done: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

    async def run(self, connection: AsyncConnection) -> None:
        self._work = UnitOfWork(connection)
        try:
            async with connection.begin_nested():
                self._result = await self._operation(self._work)
        except Exception as error:  # noqa: BLE001 - raised to the waiting caller
            self._error = error
            self._work.rolled_back()

    def committed(self) -> None:
        if self._error is not None:
            self._fail(self._error)
            return
        if self._work is not None:
            self._work.committed()
        if not self.done.done():
            self.done.set_result(self._result)

    def lost(self, error: Exception) -> None:
        if self._error is None and self._work is not None:
            self._work.rolled_back()
        self._fail(self._error or error)

    def _fail(self, error: Exception) -> None:
        if not self.done.done():
            self.done.set_exception(error)
