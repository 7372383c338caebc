"""PostgreSQL: its engines, and errors of its server as errors of the store."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Generator
from typing import Final

from sqlalchemy import URL, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from onesocket.errors import InvalidOption, OnesocketError, UsageError

LOCKS: Final = 0x0_15_0C_E7
"""The class of the advisory locks: 0, a server uses the database; 1, its tables are being changed; 2, a server runs
with the settings that all servers have agreed on."""
NUMBER_LOCKS: Final = LOCKS + 1
"""The class of those on the numbers of servers."""
CONNECT_TIMEOUT: Final = 10.0
"""Seconds for one attempt to connect."""
MAX_WRITERS: Final = 8
"""Operations that write at the same time, each on a connection of its own."""
_MAX_READERS: Final = 8
_SETTINGS: Final = {
    "application_name": "onesocket serve",
    "jit": "off",  # compiling takes longer than any of these statements
    # A server that is stopped in a transaction, or whose machine is gone, must not hold its locks for ever.
    "idle_in_transaction_session_timeout": "10s",
    "tcp_keepalives_idle": "10",
    "tcp_keepalives_interval": "5",
    "tcp_keepalives_count": "3",
}
_CONFLICTS: Final = frozenset({"40001", "40P01"})  # serialization_failure, deadlock_detected
_CONSTRAINTS: Final = frozenset({"23505", "23503"})  # unique_violation, foreign_key_violation
_WRONG_LOGIN: Final = frozenset({"28000", "28P01"})  # invalid_authorization_specification, invalid_password
_LOST: Final = frozenset({"53300", "57P01", "57P02", "57P03", "57P05", "25P03"})
"""Too many connections; the server stops, crashed or starts; an idle connection was ended."""


class StoreUnreachable(UsageError):
    """The database's server can't be reached, or refuses."""


def create_engine(url: URL, **options: object) -> AsyncEngine:
    """Return an engine with the settings of every connection."""
    arguments = {"server_settings": dict(_SETTINGS), "timeout": CONNECT_TIMEOUT}
    return create_async_engine(url, hide_parameters=True, connect_args=arguments, **options)


def create_engines(url: URL) -> tuple[AsyncEngine, AsyncEngine]:
    """Return the engine for operations that write and the one for readers."""
    writer = create_engine(url, pool_size=MAX_WRITERS + 1, max_overflow=0)  # one passes events on
    reader = create_engine(url, pool_size=_MAX_READERS, max_overflow=0, pool_timeout=60)
    # A reader sees one committed state, as with SQLite.
    snapshot = reader.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
    return writer, snapshot


async def check_server(engine: AsyncEngine) -> None:
    """Connect once. Raises `StoreUnreachable` or `InvalidOption`, with the remedy."""
    with typed_errors(engine.url):
        async with engine.connect() as connection:
            encoding = await connection.scalar(text("SHOW server_encoding"))
    if encoding != "UTF8":
        raise InvalidOption(
            f"the database {engine.url.database!r} stores text as {encoding}, which lacks most characters; make one "
            "with UTF8: createdb --encoding UTF8 --template template0 NAME"
        )


async def lock_tables(connection: AsyncConnection) -> None:
    """Wait until no other server creates or changes the tables; the lock ends with the transaction."""
    await connection.execute(text("SELECT pg_advisory_xact_lock(:locks, 1)"), {"locks": LOCKS})


@contextlib.contextmanager
def typed_errors(url: URL) -> Generator[None, None, None]:
    """Raise failures to connect, and to make the tables, as errors of the store."""
    try:
        yield
    except Exception as error:
        problem = _connect_error(url, error)
        if problem is None:
            raise
        raise problem from error


def _connect_error(url: URL, error: BaseException) -> OnesocketError | None:
    """The error of the store for a failure to connect, or to make the tables; None for any other."""
    code = sqlstate(error)
    name, user = repr(url.database), "this user" if url.username is None else f"the user {url.username!r}"
    if code in _WRONG_LOGIN:
        return StoreUnreachable(
            f"PostgreSQL at {_address(url)} refuses {user} ({_reason(error)}); check the name and the password in the "
            "URL, PGPASSWORD or ~/.pgpass, and pg_hba.conf on its machine"
        )
    if code == "3D000":
        return StoreUnreachable(
            f"there is no database {name} at {_address(url)}; make it first: createdb --encoding UTF8 NAME"
        )
    if code == "42501":
        return StoreUnreachable(
            f"{user} may not use the database {name} at {_address(url)} ({_reason(error)}); make it the owner: "
            "ALTER DATABASE … OWNER TO …"
        )
    if code == "53300":
        return StoreUnreachable(
            f"PostgreSQL at {_address(url)} has no connection left; a server takes up to "
            f"{MAX_WRITERS + _MAX_READERS + 2}: raise its max_connections"
        )
    if is_lost(error):
        return StoreUnreachable(
            f"PostgreSQL at {_address(url)} can't be reached ({_reason(error)}); check the address, and that it runs"
        )
    return None


def is_conflict(error: BaseException) -> bool:
    """True if a concurrent transaction was in the way: the same operation can succeed later."""
    return sqlstate(error) in _CONFLICTS


def is_violation(error: BaseException) -> bool:
    """True if the operation has met a row of a transaction that it didn't see: the next attempt sees it."""
    return sqlstate(error) in _CONSTRAINTS


def is_lost(error: BaseException) -> bool:
    """True if there is no connection to the server, or none any more."""
    if isinstance(error, DBAPIError) and error.connection_invalidated:
        return True
    code = sqlstate(error)
    if code is not None:
        return code.startswith("08") or code in _LOST
    return isinstance(_root(error), OSError | asyncio.TimeoutError | EOFError)


def sqlstate(error: BaseException) -> str | None:
    """The five characters by which SQL names errors; None if it isn't one of the server's."""
    code = getattr(_root(error), "sqlstate", None)
    return code if isinstance(code, str) else None


def _root(error: BaseException) -> BaseException:
    """The driver's own error."""
    if isinstance(error, DBAPIError) and error.orig is not None:
        error = error.orig
    return error


def _address(url: URL) -> str:
    return f"{url.host or 'its socket'}:{url.port or 5432}"


def _reason(error: BaseException) -> str:
    """The first line of what the server or the system says; it holds no password."""
    lines = str(_root(error)).splitlines()
    return lines[0] if lines else type(_root(error)).__name__
