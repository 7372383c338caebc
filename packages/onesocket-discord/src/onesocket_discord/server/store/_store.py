"""The chat server's database."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, nullcontext
from pathlib import Path
from typing import TypeVar

from sqlalchemy import URL, func, select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from onesocket.errors import InvalidOption

from .._api_error import ApiError
from . import _postgresql as postgresql
from . import _sqlite as sqlite
from ._concurrent_writer import ConcurrentWriter
from ._database_url import read_database_url
from ._migration import upgrade, write_nothing_new
from ._outgoing_events import Append, pass_on_events, prepare_outgoing_events
from ._server_lease import ServerLease
from ._tables import SNOWFLAKE_TABLES
from ._writer import Isolation, Operation, StoreWriter, Writer

T = TypeVar("T")

_OPERATION_TIMEOUT = 30.0
"""Seconds that one operation may take."""


class Store:
    """Reads committed states, and runs operations that write."""

    def __init__(
        self, writer: Writer, readers: AsyncEngine, lock: AbstractAsyncContextManager[None], lease: ServerLease | None
    ) -> None:
        self._writer = writer
        self._readers = readers
        self._lock = lock
        self._lease = lease
        self._passing: AsyncEngine | None = None
        self._file: tuple[int, int] | None = None
        """The identity of the file of SQLite, which may be removed or replaced while it is open."""
        self.has_outgoing = asyncio.Event()
        """Set when there are events to pass on."""

    def __repr__(self) -> str:
        return f"<Store {self._readers.url.render_as_string(hide_password=True)}>"

    @classmethod
    @asynccontextmanager
    async def open(cls, where: str | Path, *, shared: bool = False) -> AsyncGenerator[Store, None]:
        """Open a file, ``:memory:`` or a URL (SQLite, PostgreSQL), and bring its tables up to date.

        `shared`: other servers may use the database too, if they say so as well; on PostgreSQL alone. Raises
        `InvalidOption` for an invalid place, `StoreInUse` if another server uses it, `StoreUnreachable`, `StoreBroken`,
        `StoreTooNew`, and `MissingExtra` without the driver.
        """
        url = read_database_url(where)
        async with AsyncExitStack() as stack:
            if url.get_backend_name() == "sqlite":
                yield await cls._open_sqlite(stack, url, shared=shared)
            else:
                yield await cls._open_postgresql(stack, url, shared=shared)

    @classmethod
    async def _open_sqlite(cls, stack: AsyncExitStack, url: URL, *, shared: bool) -> Store:
        if shared:
            raise InvalidOption("servers can't share an SQLite database; name one on PostgreSQL")
        stack.enter_context(sqlite.exclusive_lock(url))
        writing, reading = await stack.enter_async_context(sqlite.engines(url))
        async with asyncio.timeout(_OPERATION_TIMEOUT), writing.begin() as connection:
            await connection.run_sync(upgrade)
        # One connection can't be in two transactions: a single one is used in turns.
        lock: AbstractAsyncContextManager[None] = asyncio.Lock() if writing is reading else nullcontext()
        writer = StoreWriter(writing, lock, _OPERATION_TIMEOUT)
        writer.start()
        stack.push_async_callback(writer.stop)
        store = cls(writer, reading, lock, None)
        store._file = sqlite.file_identity(url)
        return store

    @classmethod
    async def _open_postgresql(cls, stack: AsyncExitStack, url: URL, *, shared: bool) -> Store:
        writing, reading = postgresql.create_engines(url)
        stack.push_async_callback(writing.dispose)
        stack.push_async_callback(reading.dispose)
        await postgresql.check_server(writing)
        lease = ServerLease(url, shared=shared)
        with postgresql.typed_errors(url):
            await stack.enter_async_context(lease.hold())
            async with asyncio.timeout(_OPERATION_TIMEOUT), writing.begin() as connection:
                await postgresql.lock_tables(connection)
                await connection.run_sync(upgrade)
                await connection.run_sync(prepare_outgoing_events, shared=shared)
        writer = ConcurrentWriter(writing, lease, _OPERATION_TIMEOUT)
        stack.push_async_callback(writer.stop)
        store = cls(writer, reading, nullcontext(), lease)
        if shared:
            store.has_outgoing = writer.has_outgoing
            store._passing = writing
        return store

    @property
    def node(self) -> int:
        """The part of this server's ids that no other server on the database has; 0 where there is no other."""
        return 0 if self._lease is None else self._lease.number

    async def agree_on(self, settings: Mapping[str, str]) -> None:
        """Run with settings in which all servers that share the database are alike; by their names for users.

        Raises `SettingsDiffer` if servers run with other values, `StoreUnreachable` if the database can't be reached.
        """
        if self._lease is not None:
            with postgresql.typed_errors(self._readers.url):
                await self._lease.agree_on(settings)

    @property
    def is_shared(self) -> bool:
        """True if other servers may use the database: events go to all of them, by `pass_on_events`."""
        return self._passing is not None

    async def pass_on_events(self, append: Append) -> bool:
        """Pass the oldest events of all servers on (see `pass_on_events` of the module)."""
        if self._passing is None:
            return False
        async with asyncio.timeout(_OPERATION_TIMEOUT), self._passing.begin() as connection:
            return await pass_on_events(connection, append)

    @asynccontextmanager
    async def reading(self) -> AsyncGenerator[AsyncConnection, None]:
        """Yield a connection that reads one committed state.

        Raises `ApiError` (503) after the operation timeout, and if the database can't be reached.
        """
        try:
            async with asyncio.timeout(_OPERATION_TIMEOUT), self._lock, self._readers.begin() as connection:
                yield connection
        except TimeoutError:
            raise ApiError(503, 0, f"503: Service Unavailable: nothing was read in {_OPERATION_TIMEOUT:g} s") from None
        except (DBAPIError, OSError) as error:
            if not postgresql.is_lost(error):
                raise
            raise ApiError(503, 0, "503: Service Unavailable: the database can't be reached") from error

    async def write(self, operation: Operation[T], isolation: Isolation = Isolation.SERIALIZABLE) -> T:
        """Run one operation in a transaction of its own (see `Writer.write`)."""
        return await self._writer.write(operation, isolation)

    async def check_writable(self) -> None:
        """Commit a write that changes nothing. Raises what any write would, and `StoreBroken` if the file is gone."""
        await self.write(write_nothing_new, Isolation.READ_COMMITTED)
        if self._file is not None and sqlite.file_identity(self._readers.url) != self._file:
            raise sqlite.StoreBroken("the file was removed or replaced: what is written now is lost at the end")

    async def largest_id(self) -> int:
        """The largest stored snowflake."""
        async with self.reading() as connection:
            found = [await connection.scalar(select(func.max(table.c.id))) for table in SNOWFLAKE_TABLES]
        return max(number or 0 for number in found)
