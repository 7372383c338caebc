"""Permissions of members, as Discord numbers them, and who stands above whom."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntFlag
from typing import Any, Final

from sqlalchemy import Row, select
from sqlalchemy.ext.asyncio import AsyncConnection

from .._api_error import missing_permissions
from .._ports import Account
from ..store._tables import members, roles


class Permission(IntFlag):
    """The permissions that this server asks for; roles may hold the others of Discord, too."""

    KICK_MEMBERS = 1 << 1
    BAN_MEMBERS = 1 << 2
    ADMINISTRATOR = 1 << 3
    MANAGE_CHANNELS = 1 << 4
    MANAGE_GUILD = 1 << 5
    MANAGE_MESSAGES = 1 << 13
    MANAGE_ROLES = 1 << 28


ALL_PERMISSIONS: Final = (1 << 53) - 1
"""As many bits as a number of JSON has in every language."""
EVERYONE: Final = sum(1 << bit for bit in (0, 6, 10, 11, 14, 16, 17, 18, 26, 31))
"""Permissions of @everyone: invite, react, view, send, embed, read history, mention, foreign emojis, nick, commands."""
_ABOVE_ALL: Final = 1 << 31


@dataclass(frozen=True, slots=True)
class Standing:
    """The permissions of a member of a guild, and its place among the others."""

    permissions: int
    position: int
    """The position of its highest role; above all for the owner."""

    def allows(self, permission: int) -> bool:
        """Return True if the member has all of these permissions."""
        return self.permissions & permission == permission

    def require(self, permission: int) -> None:
        """Raise `ApiError` (50013) unless the member has these permissions."""
        if not self.allows(permission):
            raise missing_permissions()

    def require_above(self, position: int) -> None:
        """Raise `ApiError` (50013) unless the member is above a role, or the highest one of another member."""
        if self.position <= position:
            raise missing_permissions()


async def standing_of(
    connection: AsyncConnection, guild: Row[Any], user_id: int, role_ids: Sequence[int] | None = None
) -> Standing:
    """The standing of a user in a guild (a row with `id` and `owner_id`); that of nobody for one that is no member.

    `role_ids`: those of the member, if they are known.
    """
    if guild.owner_id == user_id:
        return Standing(ALL_PERMISSIONS, _ABOVE_ALL)
    if role_ids is None:
        mine = select(members.c.roles).where(members.c.guild_id == guild.id, members.c.user_id == user_id)
        role_ids = await connection.scalar(mine)
    if not role_ids:
        return Standing(EVERYONE, 0)
    held = select(roles.c.permissions, roles.c.position).where(roles.c.id.in_(role_ids), roles.c.guild_id == guild.id)
    permissions, position = EVERYONE, 0
    for row in (await connection.execute(held)).all():
        permissions, position = permissions | row.permissions, max(position, row.position)
    return Standing(ALL_PERMISSIONS if permissions & Permission.ADMINISTRATOR else permissions, position)


async def roles_of(connection: AsyncConnection, guild_ids: Sequence[int]) -> dict[int, list[Row[Any]]]:
    """The roles of guilds, but for @everyone, the lowest first."""
    wanted = select(roles).where(roles.c.guild_id.in_(guild_ids)).order_by(roles.c.position, roles.c.id)
    found: dict[int, list[Row[Any]]] = {guild_id: [] for guild_id in guild_ids}
    for row in (await connection.execute(wanted)).all():
        found[row.guild_id].append(row)
    return found


async def require_permission(
    connection: AsyncConnection, account: Account, guild: Row[Any], permission: Permission
) -> Standing:
    """The standing of a member with this permission, or `ApiError` (50013). `guild`: with the member's `roles`."""
    standing = await standing_of(connection, guild, account.user_id, guild.roles or ())
    standing.require(permission)
    return standing
