"""The place of a database: a file, ``:memory:`` or a URL."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from onesocket.errors import InvalidOption, MissingExtra

_KNOWN = "postgresql+asyncpg://USER@HOST/DATABASE, or sqlite:///FILE"
_POSTGRESQL_SCHEMES = frozenset({"postgresql+asyncpg", "postgresql", "postgres"})
_SQLITE_SCHEMES = frozenset({"sqlite+aiosqlite", "sqlite"})


def read_database_url(where: str | Path) -> URL:
    """Read a place. Raises `InvalidOption` for one that can't be, and `MissingExtra` without PostgreSQL's driver.

    Their texts hold no part of the URL that may be a password.
    """
    if isinstance(where, Path) or "://" not in where:
        return URL.create("sqlite+aiosqlite", database=str(where))
    scheme = where.partition("://")[0]
    if scheme not in _POSTGRESQL_SCHEMES | _SQLITE_SCHEMES:
        raise InvalidOption(f"{scheme!r} is no kind of database that is known here; write {_KNOWN}")
    try:
        url = make_url(where)
    except (ArgumentError, ValueError):
        # Not chained: its text may hold what follows an unescaped character of a password.
        raise InvalidOption(f"this is no URL of a database; write {_KNOWN}, with a number as the port") from None
    if scheme in _SQLITE_SCHEMES:
        return url.set(drivername="sqlite+aiosqlite")
    if "@" in (url.host or ""):
        raise InvalidOption("the database's URL has an '@' too many; write that of a password as %40")
    if not url.database:
        raise InvalidOption(f"the database's URL names no database; write {_KNOWN}")
    if importlib.util.find_spec("asyncpg") is None:
        raise MissingExtra('PostgreSQL needs asyncpg: pip install "onesocket-discord[server,postgresql]"')
    return url.set(drivername="postgresql+asyncpg")
