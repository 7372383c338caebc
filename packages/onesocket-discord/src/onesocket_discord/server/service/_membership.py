"""Joining and leaving guilds."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import Row, delete, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from ...protocol._intents import Intents
from ...protocol._limits import LARGE_THRESHOLD
from .._api_error import ApiError
from .._ports import Account, Json, Publisher
from ..store import UnitOfWork
from ..store._tables import bans, channels, guilds, members, users
from . import _serialization as serialize
from ._permissions import roles_of
from ._service_context import ServiceContext


async def join_guild(context: ServiceContext, work: UnitOfWork, account: Account, guild_id: int) -> bool:
    """Add an account to an existing guild and publish it; returns False if it was a member already.

    `ApiError` (40007) for one that is banned there.
    """
    mine = (members.c.guild_id == guild_id) & (members.c.user_id == account.user_id)
    if await work.scalar(select(members.c.user_id).where(mine)) is not None:
        return False
    banned = (bans.c.guild_id == guild_id) & (bans.c.user_id == account.user_id)
    if await work.scalar(select(bans.c.user_id).where(banned)) is not None:
        raise ApiError(403, 40007, "The user is banned from this guild.")
    others = await context.audience.of(work.connection, guild_id)
    values = {"guild_id": guild_id, "user_id": account.user_id, "joined_at": context.ids.now()}
    row = (await work.execute(insert(members).values(values).returning(*members.c))).one()
    await context.members_changed(work, guild_id)
    data = {"guild_id": str(guild_id), **serialize.member(row, serialize.user_from_account(account))}
    context.publish(work, "GUILD_MEMBER_ADD", data, others, intents=Intents.GUILD_MEMBERS)
    mine_alone = frozenset({account.user_id})
    (created,) = await guild_create_objects(work.connection, context.publisher, account, [guild_id])
    context.publish(work, "GUILD_CREATE", created, mine_alone, intents=Intents.GUILDS)
    return True


async def leave_guild(context: ServiceContext, work: UnitOfWork, who: Json, guild_id: int) -> bool:
    """Remove a user (an object) from a guild and publish it; returns False if it was no member."""
    user_id = int(who["id"])
    found = await work.execute(delete(members).where(members.c.guild_id == guild_id, members.c.user_id == user_id))
    if not found.rowcount:
        return False
    await context.members_changed(work, guild_id)
    data = {"guild_id": str(guild_id), "user": who}
    await context.publish_to_guild(work, guild_id, "GUILD_MEMBER_REMOVE", data, Intents.GUILD_MEMBERS)
    context.publish(work, "GUILD_DELETE", {"id": str(guild_id)}, frozenset({user_id}), intents=Intents.GUILDS)
    return True


async def guild_create_objects(
    connection: AsyncConnection, publisher: Publisher, account: Account, only: Sequence[int] | None = None
) -> list[Json]:
    """The guilds of this account (or some of them) as GUILD_CREATE has them, without what its intents deny it.

    Those that are large for every session have only the members who are there, and the account itself.
    """
    mine = select(guilds, members.c.joined_at).join(members).where(members.c.user_id == account.user_id)
    if only is not None:
        mine = mine.where(guilds.c.id.in_(only))
    rows = (await connection.execute(mine.order_by(guilds.c.id))).all()
    ids = [row.id for row in rows]
    roles = await roles_of(connection, ids)
    within = (
        await connection.execute(
            select(channels).where(channels.c.guild_id.in_(ids)).order_by(channels.c.position, channels.c.id)
        )
    ).all()
    people: dict[int, list[Row[Any]]] = {guild_id: [] for guild_id in ids}
    for one in (await connection.execute(select_members().where(members.c.guild_id.in_(ids)))).all():
        people[one.guild_id].append(one)
    found: list[Json] = []
    for row in rows:
        everybody = people[row.id]
        presences = list(_presences(publisher, (one.id for one in everybody)))
        near = {int(one["user"]["id"]) for one in presences} | {account.user_id}
        is_large = len(everybody) > LARGE_THRESHOLD[1]
        shown = [member_from_row(one) for one in everybody if not is_large or one.id in near]
        inside = [serialize.channel(one) for one in within if one.guild_id == row.id]
        guild = serialize.guild_create(row, roles[row.id], inside, shown, presences)
        found.append(_permitted(account, {**guild, "member_count": len(everybody)}))
    return found


def _permitted(account: Account, guild: Json) -> Json:
    """The guild with the members and the presences that the account may see: a bot sees itself in any case."""
    if not account.has_intent(Intents.GUILD_PRESENCES):
        guild = {**guild, "presences": []}
    if not account.has_intent(Intents.GUILD_MEMBERS):
        mine = str(account.user_id)
        guild = {**guild, "members": [member for member in guild["members"] if member["user"]["id"] == mine]}
    return guild


def select_members() -> Any:
    """Select members with their users, in the order of ids."""
    return (
        select(users.c.id, users.c.username, users.c.bot, members.c.guild_id, members.c.joined_at, members.c.roles)
        .join(members, members.c.user_id == users.c.id)
        .order_by(users.c.id)
    )


def member_from_row(row: Row[Any]) -> Json:
    """The member in a row of `select_members`."""
    return serialize.member(row, serialize.user_from_row(row))


def _presences(publisher: Publisher, user_ids: Iterable[int]) -> Iterable[Json]:
    for user_id in user_ids:
        status = publisher.status_of(user_id)
        if status != "offline":
            yield {
                "user": {"id": str(user_id)},
                "status": status,
                "activities": [],
                "client_status": {"desktop": status},
            }
