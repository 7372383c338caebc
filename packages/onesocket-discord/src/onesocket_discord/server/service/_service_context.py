"""The dependencies that all parts of the service share."""

from __future__ import annotations

from dataclasses import dataclass, field

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from ...protocol._snowflakes import SnowflakeGenerator
from .._ports import Event, Json, Publisher
from ..store import Store, UnitOfWork
from ..store._tables import members


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
