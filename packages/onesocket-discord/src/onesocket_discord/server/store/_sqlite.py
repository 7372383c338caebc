"""SQLite: its engines and settings, the lock against a second server, and backups."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sqlite3
from collections.abc import AsyncGenerator, Generator
from pathlib import Path

from sqlalchemy import URL, Connection, ExceptionContext, event
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import StaticPool

from onesocket.errors import InvalidOption, UsageError

from ._sqlite_driver import SqliteDriver

_BUSY_MS = 10_000
"""Milliseconds for which a statement waits for a lock of another program."""


class StoreInUse(UsageError):
    """Another server has this file open."""


class StoreBroken(UsageError):
    """The file is not a database, or is damaged."""


def file_identity(url: URL) -> tuple[int, int] | None:
    """The device and number by which the system knows the database's file; None: there is no such file."""
    try:
        found = Path(url.database or ":memory:").stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


@contextlib.asynccontextmanager
async def engines(url: URL) -> AsyncGenerator[tuple[AsyncEngine, AsyncEngine]]:
    """Yield the engine for the one writer and the one for readers; in memory both are the same."""
    async with contextlib.AsyncExitStack() as stack:
        if url.database in {None, "", ":memory:"}:
            only = _engine(stack, url, "BEGIN IMMEDIATE", (), poolclass=StaticPool)
            yield only, only
        else:
            pragmas = ("journal_mode=WAL",)
            writer = _engine(stack, url, "BEGIN IMMEDIATE", pragmas, pool_size=1, max_overflow=0)
            reader = _engine(stack, url, "BEGIN", ("query_only=ON",), pool_size=4, max_overflow=0, pool_timeout=60)
            yield writer, reader


def _engine(
    stack: contextlib.AsyncExitStack, url: URL, begin: str, pragmas: tuple[str, ...], **options: object
) -> AsyncEngine:
    driver = SqliteDriver(lambda: engine.dialect.create_connect_args(url))
    # Transactions are begun here: the driver's own would begin too late for a read, and not at all for a savepoint.
    engine = create_async_engine(url, hide_parameters=True, async_creator=driver.connect, **options)
    stack.push_async_callback(driver.wait_ended)
    stack.push_async_callback(engine.dispose)
    settings = ("foreign_keys=ON", "synchronous=FULL", f"busy_timeout={_BUSY_MS}", *pragmas)

    def prepare(connection: sqlite3.Connection, _record: object) -> None:
        cursor = connection.cursor()
        for setting in settings:
            cursor.execute(f"PRAGMA {setting}")
        cursor.close()
        # SQLite's own knows ASCII alone.
        connection.create_function("lower", 1, _lower, deterministic=True)

    def start(connection: Connection) -> None:
        connection.exec_driver_sql(begin)

    def keep_connection(failure: ExceptionContext) -> None:
        # A cancelled waiter would invalidate the connection, and with it a database in memory. The driver runs its
        # statements one after the other in any case, so the rollback that follows is enough.
        if isinstance(failure.original_exception, asyncio.CancelledError):
            failure.is_disconnect = False

    event.listen(engine.sync_engine, "connect", prepare)
    event.listen(engine.sync_engine, "handle_error", keep_connection)
    event.listen(engine.sync_engine, "begin", start)
    return engine


def _lower(text: str | None) -> str | None:
    return None if text is None else text.casefold()


@contextlib.contextmanager
def exclusive_lock(url: URL) -> Generator[None, None, None]:
    """Lock the file against a second server, as ids and caches need a single writer. Raises `StoreInUse`.

    The lock is a transaction on a database beside it, which ends with the process.
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
        file.touch(mode=0o600)  # it holds private messages and password hashes
        _check_integrity(file)
        yield
    finally:
        lock.close()


def backup(source: Path, target: Path) -> None:
    """Copy the database to a new file, as it is at one moment, while a server runs or not.

    A copy of the file alone would lack the write-ahead log beside it. Raises `InvalidOption` if there is no
    database or the target exists, `StoreBroken` for one that is damaged.
    """
    if not source.is_file():
        raise InvalidOption(f"there is no database at {str(source)!r}")
    if not target.parent.is_dir():
        raise InvalidOption(f"there is no directory {str(target.parent)!r} for the backup; make it first")
    if target.exists():
        raise InvalidOption(f"{str(target)!r} exists already; name another file")
    part = target.with_name(f"{target.name}.part")
    part.unlink(missing_ok=True)
    part.touch(mode=0o600, exist_ok=False)
    try:
        with _raw_connection(source) as here, _raw_connection(part) as there:
            here.backup(there)
            # One file, which can be copied and moved: without a write-ahead log.
            there.execute("PRAGMA journal_mode=DELETE")
        _check_integrity(part)
        _publish_file(part, target)
    except sqlite3.DatabaseError as error:
        raise _broken_error(source, error) from error
    finally:
        part.unlink(missing_ok=True)


def _publish_file(part: Path, target: Path) -> None:
    """Give the finished file its name, without overwriting another file where hard links exist."""
    try:
        os.link(part, target)
    except FileExistsError:
        raise InvalidOption(f"{str(target)!r} exists already; name another file") from None
    except OSError:  # no hard links there
        part.replace(target)


@contextlib.contextmanager
def _raw_connection(file: Path) -> Generator[sqlite3.Connection, None, None]:
    connection = sqlite3.connect(file, timeout=_BUSY_MS / 1000)
    try:
        yield connection
    finally:
        connection.close()


def _check_integrity(file: Path) -> None:
    """Raise `StoreBroken` for a file that is no database, or a damaged one."""
    try:
        with _raw_connection(file) as connection:
            (found,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.DatabaseError as error:
        raise _broken_error(file, error) from error
    if found != "ok":
        raise _broken_error(file, found)


def _broken_error(file: Path, reason: object) -> StoreBroken:
    return StoreBroken(
        f"{str(file)!r} is not a database of the chat server, or is damaged ({reason}); put a backup in its place "
        "(onesocket serve backup makes them), or name another file"
    )
