"""Invites to guilds."""

from __future__ import annotations

import secrets
from typing import Any

from sqlalchemy import Row, delete, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from ...protocol._intents import Intents
from ...protocol._snowflakes import iso_timestamp
from .._api_error import ApiError, unknown_resource
from .._field_reader import FieldReader
from .._ports import Account, Json
from ..store import UnitOfWork
from ..store._tables import channels, guilds, invites, members, users
from . import _serialization as serialize
from ._access import channel_access
from ._membership import join_guild
from ._permissions import Permission
from ._service_context import Service, ServiceContext, transaction

_DAY = 86_400
_INTENTS = (Intents.GUILD_INVITES, Intents.GUILD_INVITES)
_MAX_INVITES = 1000
"""Invites of one channel; Discord's limit for a guild."""


class InviteService(Service):
    """Creates, finds, accepts and revokes invites. Every member may invite."""

    @transaction
    async def create(self, work: UnitOfWork, account: Account, channel_id: int, body: Json) -> Json:
        """Create an invite; ``max_age`` in seconds (0: no end; by default a day), ``max_uses`` (0: any number)."""
        fields = FieldReader(body)
        max_age = fields.integer("max_age", least=0, most=7 * _DAY)
        max_uses = fields.integer("max_uses", least=0, most=100)
        fields.check()
        access = await channel_access(work.connection, account, channel_id)
        if access.guild_id is None:
            raise ApiError(403, 50003, "Cannot execute action on a DM channel")
        made = await self._create(
            work, channel_id, account.user_id, _DAY if max_age is None else max_age, max_uses or 0
        )
        await access.publish(self._context, work, "INVITE_CREATE", made, _INTENTS)
        return made

    @transaction
    async def create_for_server(self, work: UnitOfWork, guild_id: int, *, max_age: int, max_uses: int) -> Json:
        """Create an invite for the server's owner, in the name of the guild's. `ApiError` if it has no channel."""
        owner_id = await work.scalar(select(guilds.c.owner_id).where(guilds.c.id == guild_id))
        within = select(channels.c.id).where(channels.c.guild_id == guild_id).order_by(channels.c.position)
        channel_id = await work.scalar(within.limit(1))
        if channel_id is None or owner_id is None:
            raise unknown_resource("Channel")
        return await self._create(work, channel_id, owner_id, max_age, max_uses)

    async def _create(self, work: UnitOfWork, channel_id: int, inviter: int, max_age: int, max_uses: int) -> Json:
        there = select(func.count()).where(invites.c.channel_id == channel_id)
        if (await work.scalar(there) or 0) >= _MAX_INVITES:
            raise ApiError(400, 30016, f"Maximum number of invites reached ({_MAX_INVITES})")
        code = secrets.token_urlsafe(6)
        values = {
            "code": code,
            "channel_id": channel_id,
            "inviter_id": inviter,
            "created_at": self._context.ids.now(),
            "max_age": max_age,
            "max_uses": max_uses,
            "uses": 0,
        }
        await work.execute(insert(invites).values(values))
        return await self._shape(work.connection, await self._find(work.connection, code))

    async def get(self, code: str) -> Json:
        """The guild and channel of an invite, or `ApiError` (10006)."""
        async with self.reading() as connection:
            return await self._shape(connection, await self._find(connection, code))

    @transaction
    async def accept(self, work: UnitOfWork, account: Account, code: str) -> Json:
        """Join the guild. Bots are added by the guild's owner instead."""
        if account.bot:
            raise ApiError(403, 20001, "Bots cannot use this endpoint")
        row = await self._find(work.connection, code)
        new = await join_guild(self._context, work, account, row.guild_id)
        if new:
            await count_use(work, code)
        return {**await self._shape(work.connection, row), "new_member": new}

    @transaction
    async def revoke(self, work: UnitOfWork, account: Account, code: str) -> Json:
        """Delete an invite; for its creator, and members who may manage the guild."""
        row = await self._find(work.connection, code)
        access = await channel_access(work.connection, account, row.channel_id)
        if row.inviter_id != account.user_id:
            await access.require(work.connection, Permission.MANAGE_GUILD)
        gone = await self._shape(work.connection, row)
        await work.execute(delete(invites).where(invites.c.code == code))
        await access.publish(self._context, work, "INVITE_DELETE", {"code": code}, _INTENTS)
        return gone

    async def _find(self, connection: AsyncConnection, code: str) -> Row[Any]:
        return await find_invite(self._context, connection, code)

    async def _shape(self, connection: AsyncConnection, row: Row[Any]) -> Json:
        found = await connection.execute(select(guilds).where(guilds.c.id == row.guild_id))
        guild = serialize.guild(found.one(), ())
        channel = serialize.channel(
            (await connection.execute(select(channels).where(channels.c.id == row.channel_id))).one()
        )
        inviter = (await connection.execute(select(users).where(users.c.id == row.inviter_id))).one()
        count = await connection.scalar(select(func.count()).where(members.c.guild_id == row.guild_id))
        kept = ("id", "name", "icon", "splash", "banner", "description", "features", "verification_level", "nsfw_level")
        return {
            "type": 0,
            "code": row.code,
            "guild": {key: guild[key] for key in (*kept, "vanity_url_code", "premium_subscription_count")},
            "guild_id": guild["id"],
            "channel": {key: channel[key] for key in ("id", "name", "type")},
            "inviter": serialize.user_from_row(inviter),
            "approximate_member_count": count,
            "created_at": iso_timestamp(row.created_at),
            "expires_at": iso_timestamp(row.created_at + row.max_age) if row.max_age else None,
            "max_age": row.max_age,
            "max_uses": row.max_uses,
            "uses": row.uses,
            "temporary": False,
        }


async def find_invite(context: ServiceContext, connection: AsyncConnection, code: str) -> Row[Any]:
    """Find an invite that can be used, with its `guild_id`, or raise `ApiError` (10006)."""
    if "\0" in code:  # PostgreSQL refuses it
        raise unknown_resource("Invite")
    wanted = select(invites, channels.c.guild_id).join(channels).where(invites.c.code == code)
    row = (await connection.execute(wanted)).one_or_none()
    if row is None or (row.max_uses and row.uses >= row.max_uses):
        raise unknown_resource("Invite")
    if row.max_age and row.created_at + row.max_age <= context.ids.now():
        raise unknown_resource("Invite")
    return row


async def count_use(work: UnitOfWork, code: str) -> None:
    """Count a use of an invite, in the transaction that has found it: so it is used no more often than it may be."""
    await work.execute(update(invites).where(invites.c.code == code).values(uses=invites.c.uses + 1))
