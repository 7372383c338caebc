"""Whom a user has blocked, and who may write to them."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Row, delete, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from ...protocol._snowflakes import iso_timestamp
from .._api_error import ApiError, invalid_field, unknown_resource
from .._field_reader import FieldReader
from .._ports import Account, Json
from ..store import UnitOfWork
from ..store._tables import relationships, users
from . import _serialization as serialize
from ._access import find_user
from ._direct_messages import BLOCKED
from ._service_context import Service, transaction

_MAX_BLOCKED = 1000


class RelationshipService(Service):
    """Blocks users and lifts it; there are no friends. Bots have no relationships."""

    async def all(self, account: Account) -> list[Json]:
        """The users whom the account has blocked, as READY has them."""
        async with self.reading() as connection:
            return await relationships_of(connection, account.user_id)

    @transaction
    async def put(self, work: UnitOfWork, account: Account, user_id: int, body: Json) -> None:
        """Block a user (``type`` 2, the only one here)."""
        if account.bot:
            raise ApiError(403, 20001, "Bots cannot use this endpoint")
        fields = FieldReader(body)
        if fields.integer("type", least=1, most=4, required=True) not in {None, BLOCKED}:
            fields.add_error("type", "BASE_TYPE_CHOICES", f"Value must be one of {{{BLOCKED}}}.")
        fields.check()
        if user_id == account.user_id:
            raise invalid_field("user_id", "RELATIONSHIP_SELF", "You can't block yourself.")
        user = await find_user(work.connection, user_id)
        mine = select(func.count()).where(relationships.c.user_id == account.user_id)
        if (await work.scalar(mine) or 0) >= _MAX_BLOCKED:
            raise ApiError(400, 30002, f"Maximum number of blocked users reached ({_MAX_BLOCKED})")
        this = (relationships.c.user_id == account.user_id) & (relationships.c.other_id == user_id)
        if await work.scalar(select(relationships.c.type).where(this)) is not None:
            return
        row = {"user_id": account.user_id, "other_id": user_id, "type": BLOCKED, "since": self._context.ids.now()}
        await work.execute(insert(relationships).values(row))
        data = _relationship(user, BLOCKED, row["since"])
        self._context.publish(work, "RELATIONSHIP_ADD", data, frozenset({account.user_id}))

    @transaction
    async def delete(self, work: UnitOfWork, account: Account, user_id: int) -> None:
        """Lift a block. `ApiError` (10013) if there is none."""
        this = (relationships.c.user_id == account.user_id) & (relationships.c.other_id == user_id)
        if not (await work.execute(delete(relationships).where(this))).rowcount:
            raise unknown_resource("User")
        data = {"id": str(user_id), "type": BLOCKED, "nickname": None}
        self._context.publish(work, "RELATIONSHIP_REMOVE", data, frozenset({account.user_id}))

    # --- who may write ----------------------------------------------------------------------------------------------

    async def settings(self, account: Account) -> Json:
        """The settings of the account; ``default_guilds_restricted``: members of its guilds don't write first."""
        async with self.reading() as connection:
            row = await find_user(connection, account.user_id)
        return {"default_guilds_restricted": row.restricts_dms}

    @transaction
    async def edit_settings(self, work: UnitOfWork, account: Account, body: Json) -> Json:
        """Change ``default_guilds_restricted``; other settings are ignored."""
        fields = FieldReader(body)
        mine = update(users).where(users.c.id == account.user_id)
        if "default_guilds_restricted" in fields:
            restricts = fields.flag("default_guilds_restricted")
            fields.check()
            await work.execute(mine.values(restricts_dms=restricts))
        row = await find_user(work.connection, account.user_id)
        return {"default_guilds_restricted": row.restricts_dms}


async def relationships_of(connection: AsyncConnection, user_id: int) -> list[Json]:
    """The relationships of a user, by the ids of the others."""
    wanted = select(users, relationships.c.type, relationships.c.since)
    mine = wanted.join(relationships, relationships.c.other_id == users.c.id).where(relationships.c.user_id == user_id)
    rows = (await connection.execute(mine.order_by(users.c.id))).all()
    return [_relationship(row, row.type, row.since) for row in rows]


def _relationship(user: Row[Any], kind: int, since: float) -> Json:
    shown = serialize.user_from_row(user)
    return {"id": shown["id"], "type": kind, "nickname": None, "since": iso_timestamp(since), "user": shown}
