"""Bans from guilds."""

from __future__ import annotations

from itertools import groupby
from typing import Any

from sqlalchemy import Row, delete, func, insert, select, update

from ...protocol._intents import Intents
from ...protocol._snowflakes import snowflake_at
from .._api_error import unknown_resource
from .._field_reader import FieldReader
from .._ports import Account, Json
from ..store import UnitOfWork
from ..store._tables import bans, channels, invites, messages, users
from . import _serialization as serialize
from ._access import find_user, permitted_guild
from ._membership import leave_guild
from ._permissions import Permission, require_permission, standing_of
from ._service_context import Service, transaction

_DAY = 86_400
_MAX_DELETED_AT_ONCE = 100
"""Messages in one event."""


class BanService(Service):
    """Bans users from guilds, with BAN_MEMBERS and a higher role than theirs, and lifts bans."""

    async def all(
        self, account: Account, guild_id: int, *, before: int | None = None, after: int = 0, limit: int = 1000
    ) -> list[Json]:
        """The bans of a guild by the ids of users: ``{"user", "reason"}``."""
        wanted = _select_bans(guild_id).where(users.c.id > after)
        if before is not None:
            wanted = wanted.where(users.c.id < before)
        async with self.reading() as connection:
            await permitted_guild(connection, account, guild_id, Permission.BAN_MEMBERS)
            return [_ban(row) for row in (await connection.execute(wanted.limit(limit))).all()]

    async def get(self, account: Account, guild_id: int, user_id: int) -> Json:
        """One ban, or `ApiError` (10026)."""
        async with self.reading() as connection:
            await permitted_guild(connection, account, guild_id, Permission.BAN_MEMBERS)
            row = (await connection.execute(_select_bans(guild_id).where(users.c.id == user_id))).one_or_none()
        if row is None:
            raise unknown_resource("Ban")
        return _ban(row)

    @transaction
    async def ban(
        self, work: UnitOfWork, account: Account, guild_id: int, user_id: int, body: Json, *, reason: str | None
    ) -> None:
        """Ban a user, who need not be a member; ``delete_message_seconds`` of their messages are deleted.

        The invites that they made to the guild are void. Banning again changes the reason and deletes messages, too.
        """
        fields = FieldReader(body)
        seconds = fields.integer("delete_message_seconds", least=0, most=7 * _DAY)
        days = fields.integer("delete_message_days", least=0, most=7)
        fields.check()
        guild = await permitted_guild(work.connection, account, guild_id, Permission.BAN_MEMBERS)
        user = await find_user(work.connection, user_id)
        mine = await require_permission(work.connection, account, guild, Permission.BAN_MEMBERS)
        mine.require_above((await standing_of(work.connection, guild, user_id)).position)
        this = (bans.c.guild_id == guild_id) & (bans.c.user_id == user_id)
        who = serialize.user_from_row(user)
        if not (await work.execute(update(bans).where(this).values(reason=reason))).rowcount:
            await work.execute(insert(bans).values(guild_id=guild_id, user_id=user_id, reason=reason))
            await leave_guild(self._context, work, who, guild_id)
            within = select(channels.c.id).where(channels.c.guild_id == guild_id)
            made = delete(invites).where(invites.c.inviter_id == user_id, invites.c.channel_id.in_(within))
            await work.execute(made)
            await self._publish(work, "GUILD_BAN_ADD", guild_id, who)
        age = (days or 0) * _DAY if seconds is None else seconds
        if age:
            await self._delete_messages(work, guild_id, user_id, snowflake_at(self._context.ids.now() - age))

    @transaction
    async def lift(self, work: UnitOfWork, account: Account, guild_id: int, user_id: int) -> None:
        """Lift a ban, or raise `ApiError` (10026)."""
        await permitted_guild(work.connection, account, guild_id, Permission.BAN_MEMBERS)
        gone = delete(bans).where(bans.c.guild_id == guild_id, bans.c.user_id == user_id)
        if not (await work.execute(gone)).rowcount:
            raise unknown_resource("Ban")
        who = serialize.user_from_row(await find_user(work.connection, user_id))
        await self._publish(work, "GUILD_BAN_REMOVE", guild_id, who)

    async def _publish(self, work: UnitOfWork, name: str, guild_id: int, who: Json) -> None:
        data = {"guild_id": str(guild_id), "user": who}
        await self._context.publish_to_guild(work, guild_id, name, data, Intents.GUILD_MODERATION)

    async def _delete_messages(self, work: UnitOfWork, guild_id: int, author_id: int, first: int) -> None:
        """Delete the messages of an author from this id on, and publish it for each channel."""
        theirs = (
            select(messages.c.channel_id, messages.c.id)
            .join(channels, channels.c.id == messages.c.channel_id)
            .where(channels.c.guild_id == guild_id, messages.c.author_id == author_id, messages.c.id >= first)
            .order_by(messages.c.channel_id, messages.c.id)
        )
        found = (await work.execute(theirs)).all()
        for channel_id, rows in groupby(found, key=lambda row: int(row.channel_id)):
            ids = [int(row.id) for row in rows]
            for start in range(0, len(ids), _MAX_DELETED_AT_ONCE):
                some = ids[start : start + _MAX_DELETED_AT_ONCE]
                await work.execute(delete(messages).where(messages.c.id.in_(some)))
                data = {"ids": list(map(str, some)), "channel_id": str(channel_id), "guild_id": str(guild_id)}
                await self._context.publish_to_guild(
                    work, guild_id, "MESSAGE_DELETE_BULK", data, Intents.GUILD_MESSAGES
                )
            newest = select(func.max(messages.c.id)).where(messages.c.channel_id == channel_id).scalar_subquery()
            await work.execute(update(channels).where(channels.c.id == channel_id).values(last_message_id=newest))


def _select_bans(guild_id: int) -> Any:
    wanted = select(users, bans.c.reason).join(bans, bans.c.user_id == users.c.id)
    return wanted.where(bans.c.guild_id == guild_id).order_by(users.c.id)


def _ban(row: Row[Any]) -> Json:
    return {"reason": row.reason, "user": serialize.user_from_row(row)}
