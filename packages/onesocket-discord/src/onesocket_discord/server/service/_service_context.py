"""The dependencies that all parts of the service share."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Any, Concatenate, ParamSpec, TypeVar

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from ...protocol._snowflakes import SnowflakeGenerator
from .._ports import Event, Json, Publisher
from ..store import Store, UnitOfWork
from ..store._tables import members

P = ParamSpec("P")
T = TypeVar("T")
S = TypeVar("S", bound="Service")


class GuildMemberCache:
    """Caches the members of guilds, which every message needs.

    Only writers fill it, since a reader's view may be a commit old.
    """

    def __init__(self) -> None:
        self._guilds: dict[int, frozenset[int]] = {}

    async def of(self, work: UnitOfWork, guild_id: int) -> frozenset[int]:
        """The guild's members as this transaction sees them."""
        known = self._guilds.get(guild_id)
        if known is None:
            known = self._guilds[guild_id] = await _load_members(work.connection, guild_id)
        return known

    async def seen(self, connection: AsyncConnection, guild_id: int) -> frozenset[int]:
        """The guild's members, for a reader."""
        known = self._guilds.get(guild_id)
        return await _load_members(connection, guild_id) if known is None else known

    def changed(self, work: UnitOfWork, guild_id: int) -> None:
        """Invalidate a guild whose members this transaction has changed; called after the statement."""
        self._forget(guild_id)
        work.on_rollback(lambda: self._forget(guild_id))

    def _forget(self, guild_id: int) -> None:
        self._guilds.pop(guild_id, None)


async def _load_members(connection: AsyncConnection, guild_id: int) -> frozenset[int]:
    return frozenset(await connection.scalars(select(members.c.user_id).where(members.c.guild_id == guild_id)))


@dataclass(frozen=True, slots=True)
class ServiceContext:
    """The store, the id generator, the gateway, and the members of guilds."""

    store: Store
    ids: SnowflakeGenerator
    publisher: Publisher
    audience: GuildMemberCache = field(default_factory=GuildMemberCache)

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
        if recipients:
            work.after_commit(lambda: self.publisher.publish(event))

    async def publish_to_guild(self, work: UnitOfWork, guild_id: int, name: str, data: Json, intents: int) -> None:
        """Publish an event to the members of a guild after the commit of the transaction."""
        self.publish(work, name, data, await self.audience.of(work, guild_id), intents=intents)


class Service:
    """One part of the chat service."""

    def __init__(self, context: ServiceContext) -> None:
        self._context = context

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"

    def reading(self) -> AbstractAsyncContextManager[AsyncConnection]:
        """Return a connection that reads one committed state."""
        return self._context.store.reading()

    async def write(self, operation: Callable[[UnitOfWork], Awaitable[T]]) -> T:
        """Run one operation in a transaction of its own."""
        return await self._context.store.write(operation)


def transaction(
    method: Callable[Concatenate[S, UnitOfWork, P], Awaitable[T]],
) -> Callable[Concatenate[S, P], Coroutine[Any, Any, T]]:
    """Run a method of a service in a transaction of its own; its callers leave out `work`."""

    @functools.wraps(method)
    async def run(service: S, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await service.write(lambda work: method(service, work, *args, **kwargs))

    return run
