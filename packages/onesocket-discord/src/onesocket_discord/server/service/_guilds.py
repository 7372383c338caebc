"""Guilds and their members."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import delete, func, insert, select, update

from ...protocol._intents import Intents
from .._api_error import ApiError, missing_access, missing_permissions, unknown_resource
from .._field_reader import FieldReader
from .._ports import Account, Json
from ..store import UnitOfWork
from ..store._tables import channels, guilds, members
from . import _serialization as serialize
from ._access import find_user, member_guild, owned_guild, permitted_guild
from ._logins import account_from_row
from ._membership import guild_create_objects, join_guild, leave_guild, member_from_row, select_members
from ._permissions import Permission, require_permission, roles_of, standing_of
from ._service_context import Service, transaction

_MAX_GUILDS = 200
"""Guilds of one account, as at Discord."""


class GuildService(Service):
    """Creates, changes and deletes guilds, and adds and removes members."""

    @transaction
    async def create(self, work: UnitOfWork, account: Account, body: Json) -> Json:
        """Create a guild with one channel, owned by the account."""
        fields = FieldReader(body)
        name = fields.title("name", least=2, most=100, required=True)
        fields.check()
        mine = select(func.count()).where(members.c.user_id == account.user_id)
        if (await work.scalar(mine) or 0) >= _MAX_GUILDS:
            raise ApiError(400, 30001, f"Maximum number of guilds reached ({_MAX_GUILDS})")
        guild_id = self._context.ids.next()
        row = {"id": guild_id, "name": name, "owner_id": account.user_id, "is_default": False}
        await work.execute(insert(guilds).values(row))
        channel = {"id": self._context.ids.next(), "type": serialize.GUILD_TEXT, "guild_id": guild_id}
        await work.execute(insert(channels).values({**channel, "name": "general", "position": 0}))
        await join_guild(self._context, work, account, guild_id)
        (created,) = await guild_create_objects(work.connection, self._context.publisher, account, [guild_id])
        return created

    async def get(self, account: Account, guild_id: int) -> Json:
        """One guild that the account is in."""
        async with self.reading() as connection:
            row = await member_guild(connection, account, guild_id)
            count = await connection.scalar(select(func.count()).where(members.c.guild_id == guild_id))
            roles = (await roles_of(connection, [guild_id]))[guild_id]
        return {**serialize.guild(row, roles), "approximate_member_count": count, "approximate_presence_count": 0}

    async def mine(
        self, account: Account, *, before: int | None = None, after: int | None = None, limit: int = 200
    ) -> list[Json]:
        """The account's guilds by id, with the fields that Discord lists."""
        wanted = select(guilds, members.c.roles).join(members).where(members.c.user_id == account.user_id)
        if before is not None:
            wanted = wanted.where(guilds.c.id < before).order_by(guilds.c.id.desc())
        else:
            wanted = wanted.where(guilds.c.id > (after or 0)).order_by(guilds.c.id)
        async with self.reading() as connection:
            rows = sorted((await connection.execute(wanted.limit(limit))).all(), key=lambda row: int(row.id))
            mine = [await standing_of(connection, row, account.user_id, row.roles or ()) for row in rows]
        shown = [serialize.guild(row, ()) for row in rows]
        return [
            {
                **{key: whole[key] for key in ("id", "name", "icon", "banner", "features")},
                "owner": whole["owner_id"] == str(account.user_id),
                "permissions": str(standing.permissions),
            }
            for whole, standing in zip(shown, mine, strict=True)
        ]

    @transaction
    async def edit(self, work: UnitOfWork, account: Account, guild_id: int, body: Json) -> Json:
        """Change the ``name``; with MANAGE_GUILD."""
        fields = FieldReader(body)
        name = fields.title("name", least=2, most=100)
        fields.check()
        row = await permitted_guild(work.connection, account, guild_id, Permission.MANAGE_GUILD)
        roles = (await roles_of(work.connection, [guild_id]))[guild_id]
        changed = {**serialize.guild(row, roles), "name": name or row.name}
        await work.execute(update(guilds).where(guilds.c.id == guild_id).values(name=changed["name"]))
        await self._context.publish_to_guild(work, guild_id, "GUILD_UPDATE", changed, Intents.GUILDS)
        return changed

    @transaction
    async def delete(self, work: UnitOfWork, account: Account, guild_id: int) -> None:
        """Delete a guild with its channels and messages; for the owner. The default guild can't be deleted."""
        row = await owned_guild(work.connection, account, guild_id)
        if row.is_default:
            raise missing_permissions()
        audience = await self._context.audience.of(work.connection, guild_id, row.members_version)
        await work.execute(delete(guilds).where(guilds.c.id == guild_id))
        self._context.publish(work, "GUILD_DELETE", {"id": str(guild_id)}, audience, intents=Intents.GUILDS)

    # --- members ----------------------------------------------------------------------------------------------------

    async def members(self, account: Account, guild_id: int, *, after: int = 0, limit: int = 1) -> list[Json]:
        """Members with ids above `after`, in the order of ids; for bots that may use the intent GUILD_MEMBERS."""
        if not account.has_intent(Intents.GUILD_MEMBERS):
            raise missing_access()
        wanted = select_members().where(members.c.guild_id == guild_id, members.c.user_id > after).limit(limit)
        async with self.reading() as connection:
            await member_guild(connection, account, guild_id)
            return [member_from_row(row) for row in (await connection.execute(wanted)).all()]

    async def some_members(self, account: Account, guild_id: int, user_ids: Sequence[int] | None) -> list[Json]:
        """All members, or those with `user_ids`, by id."""
        wanted = select_members().where(members.c.guild_id == guild_id)
        if user_ids is not None:
            wanted = wanted.where(members.c.user_id.in_(user_ids))
        async with self.reading() as connection:
            await member_guild(connection, account, guild_id)
            return [member_from_row(row) for row in (await connection.execute(wanted)).all()]

    async def member(self, account: Account, guild_id: int, user_id: int) -> Json:
        """One member. `ApiError` (10007, 10013) if there is none."""
        found = await self.some_members(account, guild_id, [user_id])
        if found:
            return found[0]
        async with self.reading() as connection:
            await find_user(connection, user_id)
        raise unknown_resource("Member")

    async def add_member(self, account: Account, guild_id: int, user_id: int) -> Json:
        """Join a guild oneself (see `enter`), or add a bot (see `add_bot`)."""
        if user_id == account.user_id:
            return await self.enter(account, guild_id)
        return await self.add_bot(account, guild_id, user_id)

    @transaction
    async def enter(self, work: UnitOfWork, account: Account, guild_id: int) -> Json:
        """Join the default guild; other guilds need an invite."""
        found = await work.execute(select(guilds).where(guilds.c.id == guild_id))
        row = found.one_or_none()
        if row is None:
            raise unknown_resource("Guild")
        if not row.is_default:
            raise missing_access()
        await join_guild(self._context, work, account, guild_id)
        return await self._one(work, guild_id, account.user_id)

    @transaction
    async def add_bot(self, work: UnitOfWork, account: Account, guild_id: int, user_id: int) -> Json:
        """Add a bot; with MANAGE_GUILD, and one that isn't public for its owner alone. People are invited instead."""
        await permitted_guild(work.connection, account, guild_id, Permission.MANAGE_GUILD)
        row = await find_user(work.connection, user_id)
        if not row.bot:
            raise missing_permissions()
        if not row.bot_public and row.owner_id != account.user_id:
            raise ApiError(403, 20012, "You are not authorized to perform this action on this application")
        await join_guild(self._context, work, account_from_row(row, self._context.denied_intents), guild_id)
        return await self._one(work, guild_id, user_id)

    @transaction
    async def remove(self, work: UnitOfWork, account: Account, guild_id: int, user_id: int) -> None:
        """Leave, or remove another member with KICK_MEMBERS, whose roles are lower. The owner can't leave."""
        row = await member_guild(work.connection, account, guild_id)
        if user_id != account.user_id:
            mine = await require_permission(work.connection, account, row, Permission.KICK_MEMBERS)
            mine.require_above((await standing_of(work.connection, row, user_id)).position)
        elif row.owner_id == user_id:
            raise ApiError(400, 50055, "Invalid Guild")
        who = serialize.user_from_row(await find_user(work.connection, user_id))
        if not await leave_guild(self._context, work, who, guild_id):
            raise unknown_resource("Member")

    async def _one(self, work: UnitOfWork, guild_id: int, user_id: int) -> Json:
        wanted = select_members().where(members.c.guild_id == guild_id, members.c.user_id == user_id)
        return member_from_row((await work.execute(wanted)).one())
