"""The dependencies that all parts of the service share."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Any, Concatenate, ParamSpec, TypeVar

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from ...protocol._snowflakes import SnowflakeGenerator
from .._cluster_entry import EntryOfAccount, EntryOfEvent, EntryOfSignOut, encode_entry
from .._ports import Event, Json, Publisher
from ..store import Isolation, Store, UnitOfWork
from ..store._tables import guilds, members

P = ParamSpec("P")
T = TypeVar("T")
S = TypeVar("S", bound="Service")


class GuildMemberCache:
    """Caches the members of guilds, which every message needs.

    They are cached with their version in the database, which each change replaces: whichever server changed them, an
    outdated list is not found again.
    """

    def __init__(self) -> None:
        self._guilds: dict[int, tuple[int, frozenset[int]]] = {}

    async def of(self, connection: AsyncConnection, guild_id: int, version: int | None = None) -> frozenset[int]:
        """The guild's members as this transaction sees them; `version`, if it was read in it already."""
        if version is None:
            version = await connection.scalar(select(guilds.c.members_version).where(guilds.c.id == guild_id))
        if version is None:
            return frozenset()
        known = self._guilds.get(guild_id)
        if known is None or known[0] != version:
            # Read after the version: a change in between is in the list, and is found under its own version as well.
            known = self._guilds[guild_id] = version, await _load_members(connection, guild_id)
        return known[1]

    async def changed(self, work: UnitOfWork, guild_id: int, version: int) -> None:
        """Give the members of a guild a version that was never there; called after the statement that changes them."""
        await work.execute(update(guilds).where(guilds.c.id == guild_id).values(members_version=version))


async def _load_members(connection: AsyncConnection, guild_id: int) -> frozenset[int]:
    return frozenset(await connection.scalars(select(members.c.user_id).where(members.c.guild_id == guild_id)))


@dataclass(frozen=True, slots=True)
class ServiceContext:
    """The store, the id generator, the gateway, and the members of guilds."""

    store: Store
    ids: SnowflakeGenerator
    publisher: Publisher
    audience: GuildMemberCache = field(default_factory=GuildMemberCache)
    files_url: Callable[[], str] = str
    """Gives the address of the server for the addresses of files, without a slash at the end."""
    denied_intents: int = 0
    """Intents that no bot may use."""

    def publish(
        self,
        work: UnitOfWork,
        name: str,
        data: Json,
        recipients: frozenset[int],
        *,
        intents: int = 0,
        content_of: int | None = None,
    ) -> None:
        """Publish an event after the commit of the transaction."""
        event = Event(name, data, recipients, intents, content_of)
        if not recipients:
            return
        if self.store.is_shared:
            work.outgoing.append(encode_entry(EntryOfEvent.of(event)))
        else:
            work.after_commit(lambda: self.publisher.publish(event))

    def sign_out(self, work: UnitOfWork, user_id: int, login: bytes | None = None) -> None:
        """End sessions of a user after the commit of the transaction: those of one login, or all."""
        if self.store.is_shared:
            work.outgoing.append(encode_entry(EntryOfSignOut(user_id, login)))
        else:
            work.after_commit(lambda: self.publisher.sign_out(user_id, login))

    def account_changed(self, work: UnitOfWork, user_id: int, *, invalidates: bool = False) -> None:
        """Let other servers know after the commit that what they remember of an account is outdated.

        `invalidates`: its sessions end, on this server, too.
        """
        if self.store.is_shared:
            work.outgoing.append(encode_entry(EntryOfAccount(user_id, invalidates)))
        elif invalidates:
            work.after_commit(lambda: self.publisher.invalidate(user_id))

    async def publish_to_guild(self, work: UnitOfWork, guild_id: int, name: str, data: Json, intents: int) -> None:
        """Publish an event to the members of a guild after the commit of the transaction."""
        self.publish(work, name, data, await self.audience.of(work.connection, guild_id), intents=intents)

    async def members_changed(self, work: UnitOfWork, guild_id: int) -> None:
        """Note that this transaction has changed the members of a guild; called after the statement."""
        await self.audience.changed(work, guild_id, self.ids.next())


class Service:
    """One part of the chat service."""

    def __init__(self, context: ServiceContext) -> None:
        self._context = context

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"

    def reading(self) -> AbstractAsyncContextManager[AsyncConnection]:
        """Return a connection that reads one committed state."""
        return self._context.store.reading()

    async def write(
        self, operation: Callable[[UnitOfWork], Awaitable[T]], isolation: Isolation = Isolation.SERIALIZABLE
    ) -> T:
        """Run one operation in a transaction of its own."""
        return await self._context.store.write(operation, isolation)


def transaction(
    method: Callable[Concatenate[S, UnitOfWork, P], Awaitable[T]],
) -> Callable[Concatenate[S, P], Coroutine[Any, Any, T]]:
    """Run a method of a service in a transaction of its own; its callers leave out `work`."""
    return _in_transaction(method, Isolation.SERIALIZABLE)


def concurrent_transaction(
    method: Callable[Concatenate[S, UnitOfWork, P], Awaitable[T]],
) -> Callable[Concatenate[S, P], Coroutine[Any, Any, T]]:
    """As `transaction`, for a frequent method that is right beside others: it locks the rows by which it decides."""
    return _in_transaction(method, Isolation.READ_COMMITTED)


def _in_transaction(
    method: Callable[Concatenate[S, UnitOfWork, P], Awaitable[T]], isolation: Isolation
) -> Callable[Concatenate[S, P], Coroutine[Any, Any, T]]:
    @functools.wraps(method)
    async def run(service: S, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await service.write(lambda work: method(service, work, *args, **kwargs), isolation)

    return run
