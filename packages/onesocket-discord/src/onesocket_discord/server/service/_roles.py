"""Roles of guilds: what their members may do beyond what everybody may."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Row, delete, insert, select, update

from ...protocol._intents import Intents
from .._api_error import ApiError, invalid_field, missing_permissions, unknown_resource
from .._field_reader import FieldReader
from .._ports import Account, Json
from ..store import UnitOfWork
from ..store._tables import members, roles
from . import _serialization as serialize
from ._access import find_user, member_guild, permitted_guild
from ._membership import member_from_row, select_members
from ._permissions import ALL_PERMISSIONS, EVERYONE, Permission, Standing, require_permission, roles_of
from ._service_context import Service, transaction

_MAX_ROLES = 250
"""Roles of one guild, as at Discord."""
_LOWEST = 1
_MODERATOR = "moderator"
_MODERATES = Permission.KICK_MEMBERS | Permission.BAN_MEMBERS | Permission.MANAGE_CHANNELS | Permission.MANAGE_MESSAGES


class RoleService(Service):
    """Creates, changes, deletes and gives roles, with MANAGE_ROLES.

    Only those below one's own highest role, and only with permissions that one has.
    """

    async def all(self, account: Account, guild_id: int) -> list[Json]:
        """The roles of a guild that the account is in."""
        async with self.reading() as connection:
            await member_guild(connection, account, guild_id)
            rows = (await roles_of(connection, [guild_id]))[guild_id]
        return [serialize.everyone_role(guild_id), *map(serialize.role, rows)]

    @transaction
    async def create(self, work: UnitOfWork, account: Account, guild_id: int, body: Json) -> Json:
        """Create a role with ``name``, ``permissions``, ``color``, ``hoist`` and ``mentionable``, below all others."""
        fields = FieldReader(body)
        values = _read_role(fields)
        fields.check()
        await self._managed(work, account, guild_id, values.get("permissions", 0))
        return await self._add(work, guild_id, values)

    @transaction
    async def edit(self, work: UnitOfWork, account: Account, guild_id: int, role_id: int, body: Json) -> Json:
        """Change a role; see `create`."""
        fields = FieldReader(body)
        values = _read_role(fields)
        fields.check()
        row = await self._find(work, guild_id, role_id)
        changed = values.get("permissions", row.permissions) ^ row.permissions
        (await self._managed(work, account, guild_id, changed)).require_above(row.position)
        if values:
            await work.execute(update(roles).where(roles.c.id == role_id).values(values))
        return await self._publish(work, "GUILD_ROLE_UPDATE", await self._find(work, guild_id, role_id))

    @transaction
    async def delete(self, work: UnitOfWork, account: Account, guild_id: int, role_id: int) -> None:
        """Delete a role, and take it from all who have it."""
        row = await self._find(work, guild_id, role_id)
        (await self._managed(work, account, guild_id)).require_above(row.position)
        held = select(members).where(members.c.guild_id == guild_id, members.c.roles.is_not(None))
        for member in (await work.execute(held)).all():
            if role_id in member.roles:
                await self._set(work, guild_id, member.user_id, [one for one in member.roles if one != role_id])
        await work.execute(delete(roles).where(roles.c.id == role_id))
        data = {"guild_id": str(guild_id), "role_id": str(role_id)}
        await self._context.publish_to_guild(work, guild_id, "GUILD_ROLE_DELETE", data, Intents.GUILDS)

    @transaction
    async def give(
        self, work: UnitOfWork, account: Account, guild_id: int, user_id: int, role_id: int, *, given: bool
    ) -> None:
        """Give a member a role, or take it; repeating it changes nothing.

        One with permissions that the account lacks isn't given: it could give them to itself.
        """
        row = await self._find(work, guild_id, role_id)
        (await self._managed(work, account, guild_id, row.permissions if given else 0)).require_above(row.position)
        await self._give(work, guild_id, user_id, role_id, given=given)

    @transaction
    async def set_moderator(self, work: UnitOfWork, guild_id: int, user_id: int, *, is_one: bool) -> list[str]:
        """Give a member the moderators' role, made if there is none, or take it; for the server's owner.

        It is known by a mark that nothing else sets, whatever its name. Returns the permissions that it has been given
        in the chat since it was made. `ApiError` (50035) for who is to lose it and doesn't have it.
        """
        known = (roles.c.guild_id == guild_id) & roles.c.is_moderator
        found = (await work.execute(select(roles.c.id, roles.c.permissions).where(known))).one_or_none()
        role_id, permissions = (None, 0) if found is None else (found.id, found.permissions)
        if role_id is None and is_one:
            values = {"name": _MODERATOR, "permissions": EVERYONE | int(_MODERATES), "hoist": True}
            role_id = int((await self._add(work, guild_id, {**values, "is_moderator": True}))["id"])
        if role_id is None or (not await self._give(work, guild_id, user_id, role_id, given=is_one) and not is_one):
            text = "This account doesn't have the role that `promote` gives; take other roles away in the chat."
            raise invalid_field("name", "NOT_A_MODERATOR", text)
        return [str(one.name) for one in Permission if one & permissions & ~int(_MODERATES)]

    # --- inside -----------------------------------------------------------------------------------------------------

    async def _add(self, work: UnitOfWork, guild_id: int, values: dict[str, Any]) -> Json:
        """Insert a role below all others, and publish them."""
        others = (await roles_of(work.connection, [guild_id]))[guild_id]
        if len(others) >= _MAX_ROLES:
            raise ApiError(400, 30005, f"Maximum number of guild roles reached ({_MAX_ROLES})")
        await work.execute(update(roles).where(roles.c.guild_id == guild_id).values(position=roles.c.position + 1))
        role_id = self._context.ids.next()
        usual = {"name": "new role", "permissions": EVERYONE, "color": 0, "hoist": False, "mentionable": False}
        row = {"id": role_id, "guild_id": guild_id, "position": _LOWEST, **usual, **values}
        await work.execute(insert(roles).values(row))
        for moved in (await roles_of(work.connection, [guild_id]))[guild_id]:
            if moved.id != role_id:
                await self._publish(work, "GUILD_ROLE_UPDATE", moved)
        return await self._publish(work, "GUILD_ROLE_CREATE", await self._find(work, guild_id, role_id))

    async def _give(self, work: UnitOfWork, guild_id: int, user_id: int, role_id: int, *, given: bool) -> bool:
        """Give a member a role, or take it; returns False if that changed nothing."""
        mine = select(members).where(members.c.guild_id == guild_id, members.c.user_id == user_id)
        member = (await work.execute(mine)).one_or_none()
        if member is None:
            await find_user(work.connection, user_id)
            raise unknown_resource("Member")
        held: list[int] = member.roles or []
        if (role_id in held) == given:
            return False
        changed = [*held, role_id] if given else [one for one in held if one != role_id]
        await self._set(work, guild_id, user_id, changed)
        return True

    async def _managed(self, work: UnitOfWork, account: Account, guild_id: int, touched: int = 0) -> Standing:
        """Raise `ApiError` unless the account may manage roles and has itself the rights that are touched."""
        guild = await permitted_guild(work.connection, account, guild_id, Permission.MANAGE_ROLES)
        standing = await require_permission(work.connection, account, guild, Permission.MANAGE_ROLES)
        if not standing.allows(touched):
            raise missing_permissions()
        return standing

    async def _find(self, work: UnitOfWork, guild_id: int, role_id: int) -> Row[Any]:
        if role_id == guild_id:  # @everyone stays as it is
            raise ApiError(400, 50028, "Invalid Role")
        wanted = select(roles).where(roles.c.id == role_id, roles.c.guild_id == guild_id)
        row = (await work.execute(wanted)).one_or_none()
        if row is None:
            raise unknown_resource("Role")
        return row

    async def _set(self, work: UnitOfWork, guild_id: int, user_id: int, held: list[int]) -> None:
        mine = (members.c.guild_id == guild_id) & (members.c.user_id == user_id)
        await work.execute(update(members).where(mine).values(roles=held or None))
        row = (await work.execute(select_members().where(mine))).one()
        data = {"guild_id": str(guild_id), **member_from_row(row)}
        await self._context.publish_to_guild(work, guild_id, "GUILD_MEMBER_UPDATE", data, Intents.GUILD_MEMBERS)

    async def _publish(self, work: UnitOfWork, name: str, row: Row[Any]) -> Json:
        shown = serialize.role(row)
        data = {"guild_id": str(row.guild_id), "role": shown}
        await self._context.publish_to_guild(work, row.guild_id, name, data, Intents.GUILDS)
        return shown


def _read_role(fields: FieldReader) -> dict[str, Any]:
    """The values that a role is given."""
    values: dict[str, Any] = {}
    name = fields.title("name", most=100)
    if name is not None:
        values["name"] = name
    permissions = fields.bits("permissions", most=ALL_PERMISSIONS)
    if permissions is not None:
        values["permissions"] = permissions
    color = fields.integer("color", least=0, most=0xFFFFFF)
    if color is not None:
        values["color"] = color
    for flag in ("hoist", "mentionable"):
        if flag in fields:
            values[flag] = fields.flag(flag)
    return values
