"""The locks of one server on a database on PostgreSQL: the right to write, and a number for its ids."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections.abc import AsyncGenerator, Mapping
from typing import Any, Final

from sqlalchemy import URL, TextClause, text
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.pool import NullPool

from onesocket.errors import InvalidOption

from ...protocol._snowflakes import NODES
from .._api_error import ApiError
from . import _postgresql as postgresql
from ._sqlite import StoreInUse

log = logging.getLogger("onesocket_discord.server")

_PATIENCE: Final = 2.0
"""Seconds to wait for the locks of a server that was just killed: PostgreSQL soon finds its connection closed."""
_MAX_PAUSE: Final = 2.0
_COMPARE_AGAIN: Final = 1.0
"""Seconds for which settings that differ are compared again: the server whose they are may be ending."""
_PROBE_INTERVAL: Final = 5.0
"""Seconds between two looks whether PostgreSQL still answers. It keeps the locks of a machine that is gone for 25 s, so
this server stops to write before another one can have them."""

_TAKE_LOCK = {
    False: text("SELECT pg_try_advisory_lock(:locks, 0)"),
    True: text("SELECT pg_try_advisory_lock_shared(:locks, 0)"),
}
"""By whether other servers may hold it, too."""
_TAKE_NUMBER = text(
    "SELECT number FROM (SELECT (n + :start) % :nodes AS number FROM generate_series(0, :nodes - 1) AS n) AS numbers "
    "WHERE pg_try_advisory_lock(:locks, number) LIMIT 1"
)


_SETTINGS_LOCK = {"locks": postgresql.LOCKS}
_TAKE_SETTINGS = text("SELECT pg_try_advisory_lock(:locks, 2)")
_RELEASE_SETTINGS = text("SELECT pg_advisory_unlock(:locks, 2)")
_SHARE_SETTINGS = text("SELECT pg_advisory_lock_shared(:locks, 2)")
_LEAVE_SETTINGS = text("SELECT pg_advisory_unlock_shared(:locks, 2)")
_STORE_SETTING = text(
    "INSERT INTO settings (name, value) VALUES (:name, :value) ON CONFLICT (name) DO UPDATE SET value = excluded.value"
)
_ADD_SETTING = text("INSERT INTO settings (name, value) VALUES (:name, :value) ON CONFLICT (name) DO NOTHING")
_READ_SETTINGS = text("SELECT name, value FROM settings")


class SettingsDiffer(InvalidOption):
    """Other servers run on this database, with other values of settings in which all have to be alike."""


class ServerLease:
    """Locks that PostgreSQL keeps as long as one connection of this server lasts, and no longer.

    Alone: no other server may use the database. Shared: those that share it, too. With `agree_on`, those with the same
    settings.
    """

    def __init__(self, url: URL, *, shared: bool) -> None:
        self._engine = postgresql.create_engine(url, poolclass=NullPool, isolation_level="AUTOCOMMIT")
        self._name = repr(url.database)
        self._shared = shared
        self._held = asyncio.Event()
        self._ended = asyncio.Event()
        """Set when the connection has ended."""
        self.number = random.randrange(NODES)
        """The part of this server's ids that no other server has."""
        self._settings: Mapping[str, str] = {}
        self._connection: AsyncConnection | None = None

    def __repr__(self) -> str:
        return f"<ServerLease {self.number} {'held' if self._held.is_set() else 'lost'}>"

    def check(self) -> None:
        """Raise `ApiError` (503) while the locks are lost."""
        if not self._held.is_set():
            raise ApiError(503, 0, "503: Service Unavailable: the database can't be reached")

    @contextlib.asynccontextmanager
    async def hold(self) -> AsyncGenerator[None, None]:
        """Hold the locks, and take them again when the connection is lost. Raises `StoreInUse`."""
        connection = await self._acquire(_PATIENCE)
        keeper = asyncio.create_task(self._keep(connection), name="chat-store-lease")
        try:
            yield
        finally:
            keeper.cancel()
            await asyncio.wait({keeper})
            await self._engine.dispose()

    async def agree_on(self, settings: Mapping[str, str]) -> None:
        """Run with these settings, as all servers that have agreed do, for as long as the locks are held.

        The first one decides; when all have ended, the next one does. Raises `SettingsDiffer` for other values than
        theirs. A server that has lost its locks agrees anew before it gets them back.
        """
        if self._connection is None:
            raise RuntimeError("the locks are not held")
        await _agree(self._connection, settings)
        self._settings = settings

    async def _keep(self, connection: AsyncConnection) -> None:
        pause = 0.1
        try:
            while True:
                await self._until_lost(connection)
                log.warning("the connection that holds the chat server's locks was lost; nothing is written without it")
                while not self._held.is_set():
                    await _discard(connection)
                    try:
                        connection = await self._acquire(0)
                    except Exception as error:  # noqa: BLE001 - tried again until the server stops
                        log.warning("the chat server's locks can't be taken: %s", error)
                        await asyncio.sleep(pause)
                        pause = min(2 * pause, _MAX_PAUSE)
                pause = 0.1
        finally:
            self._held.clear()
            await _discard(connection)

    async def _until_lost(self, connection: AsyncConnection) -> None:
        while not self._ended.is_set():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_PROBE_INTERVAL):
                    await self._ended.wait()
                    break
            try:
                async with asyncio.timeout(_PROBE_INTERVAL):
                    await connection.scalar(text("SELECT 1"))
            except Exception:  # noqa: BLE001 - whatever it is, the connection is of no use
                self._lost(connection)

    async def _acquire(self, patience: float) -> AsyncConnection:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + patience
        connection = await self._engine.connect()
        try:
            while not await connection.scalar(_TAKE_LOCK[self._shared], {"locks": postgresql.LOCKS}):
                if loop.time() >= deadline:
                    raise StoreInUse(
                        f"the database {self._name} is in use by another server; end that one, name another "
                        "database, or start all servers on it with --cluster"
                    )
                await asyncio.sleep(0.1)
            wanted = {"start": self.number, "nodes": NODES, "locks": postgresql.NUMBER_LOCKS}
            number = await connection.scalar(_TAKE_NUMBER, wanted)
            if number is None:
                raise StoreInUse(f"{NODES} servers use the database {self._name}; end some")
            if self._settings:
                await _agree(connection, self._settings)
            raw: Any = (await connection.get_raw_connection()).driver_connection
            self._ended.clear()
            self.number = number
            self._held.set()
            raw.add_termination_listener(self._lost)
            if raw.is_closed():  # before it could be heard
                self._lost(raw)
        except BaseException:
            await _discard(connection)
            raise
        self._connection = connection
        return connection

    def _lost(self, _: object) -> None:
        self._held.clear()
        self._ended.set()


async def _agree(connection: AsyncConnection, settings: Mapping[str, str]) -> None:
    """Store these settings if no server runs with any, or compare them with those that are stored.

    Those may be of a server that has ended since, or died while it stored them, and who keeps this one from storing its
    own may itself only be comparing: so it tries again for a while before it raises `SettingsDiffer`.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + _COMPARE_AGAIN
    while True:
        if await connection.scalar(_TAKE_SETTINGS, _SETTINGS_LOCK):
            await _store(connection, settings, _STORE_SETTING)
            await connection.execute(_SHARE_SETTINGS, _SETTINGS_LOCK)
            await connection.execute(_RELEASE_SETTINGS, _SETTINGS_LOCK)
            return
        await connection.execute(_SHARE_SETTINGS, _SETTINGS_LOCK)  # waits for one that is storing its own
        stored = await _stored(connection)
        differing = _differing(settings, stored)
        if not differing and not settings.keys() <= stored.keys():
            # The others, of an earlier release, don't have some. Another server may be adding these, too: the first
            # one that has them stored decides.
            await _store(connection, settings, _ADD_SETTING)
            stored = await _stored(connection)
            differing = _differing(settings, stored)
        if not differing:
            return
        await connection.execute(_LEAVE_SETTINGS, _SETTINGS_LOCK)
        if loop.time() < deadline:
            await asyncio.sleep(random.uniform(0.02, 0.2))  # so that two don't meet again and again
            continue
        theirs, mine = (" and ".join(f"{name} {of[name]}" for name in differing) for of in (stored, settings))
        raise SettingsDiffer(
            f"the other servers on this database run with {theirs}, this one would with {mine}; start it with theirs, "
            "or end them first: then it decides"
        )


async def _stored(connection: AsyncConnection) -> dict[str, str]:
    return {row.name: row.value for row in (await connection.execute(_READ_SETTINGS)).all()}


def _differing(settings: Mapping[str, str], stored: Mapping[str, str]) -> list[str]:
    """The names of those that are stored with other values."""
    return [name for name, value in settings.items() if stored.get(name, value) != value]


async def _store(connection: AsyncConnection, settings: Mapping[str, str], statement: TextClause) -> None:
    for name, value in settings.items():
        await connection.execute(statement, {"name": name, "value": value})


async def _discard(connection: AsyncConnection) -> None:
    with contextlib.suppress(Exception):  # it may be lost already
        await connection.close()
