"""Everything that is SQLite's own: the engines, their settings, and the lock against a second server."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import Generator
from pathlib import Path

from sqlalchemy import URL, Connection, ExceptionContext, event
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import StaticPool

from ....errors import InvalidOption, UsageError

_BUSY_MS = 10_000
"""How long a statement waits for somebody else's lock: a backup, a shell that has the file open."""


class StoreInUse(UsageError):
    """Another server has this file open."""


def engines(url: URL) -> tuple[AsyncEngine, AsyncEngine]:
    """Return the engine for the one writer and the one for readers; in memory both are the same."""
    if url.database in {None, "", ":memory:"}:
        only = _engine(url, "BEGIN IMMEDIATE", (), poolclass=StaticPool)
        return only, only
    writer = _engine(url, "BEGIN IMMEDIATE", ("journal_mode=WAL",), pool_size=1, max_overflow=0)
    reader = _engine(url, "BEGIN", ("query_only=ON",), pool_size=4, max_overflow=0, pool_timeout=60)
    return writer, reader


def _engine(url: URL, begin: str, pragmas: tuple[str, ...], **options: object) -> AsyncEngine:
    # The driver opens no transactions by itself: it would begin too late for a read, and not at all for a savepoint.
    engine = create_async_engine(url, hide_parameters=True, connect_args={"isolation_level": None}, **options)
    settings = ("foreign_keys=ON", "synchronous=FULL", f"busy_timeout={_BUSY_MS}", *pragmas)

    def prepare(connection: sqlite3.Connection, _record: object) -> None:
        cursor = connection.cursor()
        for setting in settings:
            cursor.execute(f"PRAGMA {setting}")
        cursor.close()

    def start(connection: Connection) -> None:
        connection.exec_driver_sql(begin)

    def keep(failure: ExceptionContext) -> None:
        # Whoever is cancelled while it waits would take the connection along, and with it a database in memory. The
        # driver works off one statement after the other whoever waits, so the rollback that follows is enough.
        if isinstance(failure.original_exception, asyncio.CancelledError):
            failure.is_disconnect = False

    event.listen(engine.sync_engine, "connect", prepare)
    event.listen(engine.sync_engine, "handle_error", keep)
    event.listen(engine.sync_engine, "begin", start)
    return engine


@contextlib.contextmanager
def alone(url: URL) -> Generator[None, None, None]:
    """Hold the file against a second server: ids and caches need a single writer. Raises `StoreInUse`.

    The lock is a transaction on a database beside it, which the system gives up with the process.
    """
    path = url.database
    if path in {None, "", ":memory:"}:
        yield
        return
    file = Path(str(path))
    if not file.parent.is_dir():
        raise InvalidOption(f"there is no directory {str(file.parent)!r} for the chat server's data; make it first")
    lock = sqlite3.connect(f"{file}.lock", timeout=0, isolation_level=None)
    try:
        try:
            lock.execute("BEGIN EXCLUSIVE")
        except sqlite3.OperationalError as error:
            raise StoreInUse(
                f"{str(file)!r} is in use by another server; end that one, or name another file"
            ) from error
        file.touch(mode=0o600)  # private messages and password hashes are nobody else's business
        yield
    finally:
        lock.close()
