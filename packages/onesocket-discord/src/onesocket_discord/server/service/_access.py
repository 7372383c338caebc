"""Access checks: the channels and guilds that an account may see."""

from __future__ import annotations

from typing import Any

from sqlalchemy import BigInteger, Row, and_, bindparam, select
from sqlalchemy.ext.asyncio import AsyncConnection

from .._api_error import missing_access, missing_permissions, unknown_resource
from .._ports import Account, Json
from ..store import UnitOfWork
from ..store._tables import channels, guilds, members, participants, users
from . import _serialization as serialize
from ._permissions import Permission, require_permission, standing_of
from ._service_context import ServiceContext


class ChannelAccess:
    """A channel that an account may see."""

    def __init__(self, row: Row[Any], account: Account) -> None:
        self.row = row
        self.account = account
        self.id: int = row.id
        self.guild_id: int | None = row.guild_id
        self.is_dm = row.guild_id is None
        self.is_owner = bool(row.owner_id == account.user_id)

    @property
    def where(self) -> Json:
        """The ids of the channel and its guild, as events have them."""
        guild = {} if self.guild_id is None else {"guild_id": str(self.guild_id)}
        return {"channel_id": str(self.id), **guild}

    @property
    def member(self) -> Json:
        """The account's membership, as messages have it; empty in a DM."""
        return {} if self.is_dm else {"member": serialize.member(self.row)}

    @property
    def member_with_user(self) -> Json:
        """The account's membership, as events about it have it; empty in a DM."""
        user = serialize.user_from_account(self.account)
        return {} if self.is_dm else {"member": serialize.member(self.row, user)}

    def intent_for(self, in_guild: int, in_dm: int) -> int:
        """The intent for events of the channel."""
        return in_dm if self.is_dm else in_guild

    async def may(self, connection: AsyncConnection, permission: Permission) -> bool:
        """Return True if the account has this permission in the guild; nobody has any in a DM."""
        if self.is_owner or self.is_dm:
            return self.is_owner
        guild = (await connection.execute(select(guilds).where(guilds.c.id == self.guild_id))).one()
        standing = await standing_of(connection, guild, self.account.user_id, self.row.roles or ())
        return standing.allows(permission)

    async def require(self, connection: AsyncConnection, permission: Permission) -> None:
        """Raise `ApiError` (50013) unless the account has this permission in the guild."""
        if not await self.may(connection, permission):
            raise missing_permissions()

    async def recipients(self, context: ServiceContext, work: UnitOfWork) -> frozenset[int]:
        """The users who see events of the channel."""
        if self.guild_id is not None:
            return await context.audience.of(work.connection, self.guild_id, self.row.members_version)
        return await dm_participants(work.connection, self.id)

    async def publish(
        self,
        context: ServiceContext,
        work: UnitOfWork,
        name: str,
        data: Json,
        intents: tuple[int, int],
        *,
        content_of: int | None = None,
    ) -> None:
        """Publish an event of the channel, with its ids; `intents`: in a guild, and in a DM.

        `content_of`: the author of a message, whose content may be hidden from bots without MESSAGE_CONTENT.
        """
        recipients = await self.recipients(context, work)
        intent = self.intent_for(*intents)
        context.publish(work, name, {**data, **self.where}, recipients, intents=intent, content_of=content_of)


# Built once: every message needs it, and building a statement costs more than running it.
_USER_PARAMETER = bindparam("me", type_=BigInteger)
_CHANNEL_ACCESS = (
    select(
        channels,
        guilds.c.owner_id,
        guilds.c.members_version,
        members.c.joined_at,
        members.c.roles,
        participants.c.user_id,
    )
    .outerjoin(guilds, guilds.c.id == channels.c.guild_id)
    .outerjoin(members, and_(members.c.guild_id == channels.c.guild_id, members.c.user_id == _USER_PARAMETER))
    .outerjoin(
        participants, and_(participants.c.channel_id == channels.c.id, participants.c.user_id == _USER_PARAMETER)
    )
    .where(channels.c.id == bindparam("channel", type_=BigInteger))
)


async def channel_access(connection: AsyncConnection, account: Account, channel_id: int) -> ChannelAccess:
    """Find a channel that the account may see, or raise `ApiError` (10003, 50001)."""
    found = await connection.execute(_CHANNEL_ACCESS, {"channel": channel_id, "me": account.user_id})
    row = found.one_or_none()
    if row is None:
        raise unknown_resource("Channel")
    if row.joined_at is None and row.user_id is None:
        raise missing_access()
    return ChannelAccess(row, account)


async def member_guild(connection: AsyncConnection, account: Account, guild_id: int) -> Row[Any]:
    """Find a guild that the account is in, with `joined_at` and `roles`, or raise `ApiError` (10004, 50001)."""
    found = await connection.execute(
        select(guilds, members.c.joined_at, members.c.roles)
        .outerjoin(members, and_(members.c.guild_id == guilds.c.id, members.c.user_id == account.user_id))
        .where(guilds.c.id == guild_id)
    )
    row = found.one_or_none()
    if row is None:
        raise unknown_resource("Guild")
    if row.joined_at is None:
        raise missing_access()
    return row


async def owned_guild(connection: AsyncConnection, account: Account, guild_id: int) -> Row[Any]:
    """Find a guild that the account owns, or raise `ApiError` (10004, 50001, 50013)."""
    row = await member_guild(connection, account, guild_id)
    if row.owner_id != account.user_id:
        raise missing_permissions()
    return row


async def permitted_guild(
    connection: AsyncConnection, account: Account, guild_id: int, permission: Permission
) -> Row[Any]:
    """Find a guild in which the account has a permission, or raise `ApiError` (10004, 50001, 50013)."""
    row = await member_guild(connection, account, guild_id)
    await require_permission(connection, account, row, permission)
    return row


async def find_user(connection: AsyncConnection, user_id: int) -> Row[Any]:
    """Find a user, or raise `ApiError` (10013)."""
    row = (await connection.execute(select(users).where(users.c.id == user_id))).one_or_none()
    if row is None:
        raise unknown_resource("User")
    return row


async def dm_participants(connection: AsyncConnection, channel_id: int) -> frozenset[int]:
    """The participants of a DM."""
    found = await connection.scalars(select(participants.c.user_id).where(participants.c.channel_id == channel_id))
    return frozenset(found)
