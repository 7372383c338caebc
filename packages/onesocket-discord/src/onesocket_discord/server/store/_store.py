"""The chat server's database."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, nullcontext
from pathlib import Path
from typing import TypeVar

from sqlalchemy import URL, func, make_url, select
from sqlalchemy.exc import ArgumentError, NoSuchModuleError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from onesocket.errors import InvalidOption

from .._api_error import ApiError
from . import _sqlite as sqlite
from ._migration import upgrade
from ._tables import SNOWFLAKE_TABLES
from ._writer import Operation, StoreWriter

T = TypeVar("T")

_OPERATION_TIMEOUT = 30.0
"""Seconds that one operation may take."""


class Store:
    """Reads committed states, and runs write operations one after another."""

    def __init__(self, writer: StoreWriter, readers: AsyncEngine, lock: AbstractAsyncContextManager[None]) -> None:
        self._writer = writer
        self._readers = readers
        self._lock = lock

    def __repr__(self) -> str:
        return f"<Store {self._readers.url.render_as_string(hide_password=True)}>"

    @classmethod
    @asynccontextmanager
    async def open(cls, where: str | Path) -> AsyncGenerator[Store, None]:
        """Open a file, ``:memory:`` or an SQLAlchemy URL, and bring its tables up to date.

        Raises `InvalidOption` for an invalid place, `StoreInUse` if another server uses the file.
        """
        url = _url(where)
        async with AsyncExitStack() as stack:
            if url.get_backend_name() == "sqlite":
                stack.enter_context(sqlite.exclusive_lock(url))
                writing, reading = sqlite.create_engines(url)
            else:
                writing = reading = create_async_engine(url, hide_parameters=True)
            stack.push_async_callback(writing.dispose)
            stack.push_async_callback(reading.dispose)
            async with asyncio.timeout(_OPERATION_TIMEOUT), writing.begin() as connection:
                await connection.run_sync(upgrade)
            # One connection can't be in two transactions: a single one is used in turns.
            shared = writing is reading and url.get_backend_name() == "sqlite"
            lock: AbstractAsyncContextManager[None] = asyncio.Lock() if shared else nullcontext()
            writer = StoreWriter(writing, lock, _OPERATION_TIMEOUT)
            writer.start()
            stack.push_async_callback(writer.stop)
            yield cls(writer, reading, lock)

    @asynccontextmanager
    async def reading(self) -> AsyncGenerator[AsyncConnection, None]:
        """Yield a connection that reads one committed state. Raises `ApiError` (503) after the operation timeout."""
        try:
            async with asyncio.timeout(_OPERATION_TIMEOUT), self._lock, self._readers.begin() as connection:
                yield connection
        except TimeoutError:
            raise ApiError(503, 0, f"503: Service Unavailable: nothing was read in {_OPERATION_TIMEOUT:g} s") from None

    async def write(self, operation: Operation[T]) -> T:
        """Run one operation in a transaction of its own (see `StoreWriter.write`)."""
        return await self._writer.write(operation)

    async def largest_id(self) -> int:
        """The largest stored snowflake."""
        async with self.reading() as connection:
            found = [await connection.scalar(select(func.max(table.c.id))) for table in SNOWFLAKE_TABLES]
        return max(number or 0 for number in found)


def _url(where: str | Path) -> URL:
    text = str(where)
    if isinstance(where, str) and "://" in where:
        try:
            url = make_url(where)
            url.get_dialect()
        except (ArgumentError, NoSuchModuleError) as error:
            raise InvalidOption(f"{where.partition('://')[0]!r} is no kind of database that is known here") from error
        return url.set(drivername="sqlite+aiosqlite") if url.get_backend_name() == "sqlite" else url
    return URL.create("sqlite+aiosqlite", database=text)
