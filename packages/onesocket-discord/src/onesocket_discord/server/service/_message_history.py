"""Reads messages with their authors, mentions, replies and reactions."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import Row, case, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from ..._serving._server_payloads import content_for
from ...protocol._intents import Intents
from .._api_error import unknown_resource
from .._ports import Account, Json
from ..store._tables import messages, reactions, users
from . import _serialization as serialize
from ._emoji import emoji_object
from ._service_context import Service

REPLY_TYPE = 19


class MessageReader(Service):
    """A part of the service that returns messages."""

    async def objects(
        self,
        connection: AsyncConnection,
        rows: Sequence[Row[Any]],
        viewer: int,
        guild_id: int | None,
        *,
        known: Mapping[int, Json] | None = None,
        fresh: bool = False,
    ) -> list[Json]:
        """Build the objects of these messages of one guild or conversation, with the reactions of `viewer` marked.

        The whole objects: what is answered to a request is made by `objects_for`. `known` users and reactions of
        `fresh` messages are not looked up.
        """
        files_url = self._context.files_url()
        return await _message_objects(connection, rows, viewer, guild_id, known=known, fresh=fresh, files_url=files_url)

    async def objects_for(
        self, connection: AsyncConnection, rows: Sequence[Row[Any]], account: Account, guild_id: int | None
    ) -> list[Json]:
        """Build the objects of these messages, with the content that the account may read."""
        bodies = await self.objects(connection, rows, account.user_id, guild_id)
        return [readable_by(account, guild_id, body) for body in bodies]


def readable_by(account: Account, guild_id: int | None, body: Json) -> Json:
    """The message with the content that the account may read: all, but for bots that may not use MESSAGE_CONTENT."""
    if account.has_intent(Intents.MESSAGE_CONTENT):
        return body
    return content_for(body, str(account.user_id), in_dm=guild_id is None)


async def find_message(connection: AsyncConnection, channel_id: int, message_id: int) -> Row[Any]:
    """One message of this channel, or `ApiError` (10008)."""
    wanted = select(messages).where(messages.c.id == message_id, messages.c.channel_id == channel_id)
    row = (await connection.execute(wanted)).one_or_none()
    if row is None:
        raise unknown_resource("Message")
    return row


async def message_page(
    connection: AsyncConnection,
    channel_id: int,
    *,
    limit: int,
    around: int | None = None,
    before: int | None = None,
    after: int | None = None,
) -> list[Row[Any]]:
    """Up to `limit` messages, newest first: those next to the given id, or the newest ones."""
    within = select(messages).where(messages.c.channel_id == channel_id)
    older_first = within.order_by(messages.c.id)
    newer_first = within.order_by(messages.c.id.desc())
    if around is not None:
        # Half on either side; the message itself belongs to the newer half.
        newer = (await connection.execute(older_first.where(messages.c.id >= around).limit(limit - limit // 2))).all()
        older = (await connection.execute(newer_first.where(messages.c.id < around).limit(limit // 2))).all()
        return [*reversed(newer), *older]
    if before is not None:
        return list((await connection.execute(newer_first.where(messages.c.id < before).limit(limit))).all())
    if after is not None:
        rows = (await connection.execute(older_first.where(messages.c.id > after).limit(limit))).all()
        return list(reversed(rows))
    return list((await connection.execute(newer_first.limit(limit))).all())


async def _message_objects(
    connection: AsyncConnection,
    rows: Sequence[Row[Any]],
    viewer: int,
    guild_id: int | None,
    *,
    known: Mapping[int, Json] | None,
    fresh: bool,
    files_url: str,
) -> list[Json]:
    ids = {row.reference_id for row in rows if row.reference_id is not None}
    referenced = {row.id: row for row in await _rows(connection, ids)} if ids else {}
    every = [*rows, *referenced.values()]
    who = dict(known or {})
    unknown_users = {user_id for row in every for user_id in (row.author_id, *row.mentions)} - who.keys()
    if unknown_users:
        who.update(await users_by_id(connection, unknown_users))
    old = [row.id for row in every if not fresh or row.id in referenced]
    reacted = await _reactions(connection, old, viewer) if old else {}

    def plain(row: Row[Any]) -> Json:
        mentions = [who[user_id] for user_id in row.mentions if user_id in who]
        nonce = None if row.nonce is None else json.loads(row.nonce)
        body = serialize.message(row, who[row.author_id], mentions, nonce, files_url=files_url)
        if row.id in reacted:
            body["reactions"] = reacted[row.id]
        if row.reference_id is not None:
            body["message_reference"] = _reference(row, guild_id)
        return body

    def whole(row: Row[Any]) -> Json:
        if row.reference_id is None:
            return plain(row)
        to = referenced.get(row.reference_id)
        return {**plain(row), "referenced_message": None if to is None else plain(to)}

    return [whole(row) for row in rows]


async def users_by_id(connection: AsyncConnection, user_ids: Iterable[int]) -> dict[int, Json]:
    """Users by id; those that don't exist are left out."""
    found = await connection.execute(select(users).where(users.c.id.in_(list(user_ids))))
    return {row.id: serialize.user_from_row(row) for row in found.all()}


def _reference(row: Row[Any], guild_id: int | None) -> Json:
    body = {"type": 0, "channel_id": str(row.channel_id), "message_id": str(row.reference_id)}
    return body if guild_id is None else {**body, "guild_id": str(guild_id)}


async def _rows(connection: AsyncConnection, ids: Iterable[int]) -> Sequence[Row[Any]]:
    return (await connection.execute(select(messages).where(messages.c.id.in_(list(ids))))).all()


async def _reactions(connection: AsyncConnection, message_ids: Sequence[int], viewer: int) -> dict[int, list[Json]]:
    grouped = (
        select(
            reactions.c.message_id,
            reactions.c.emoji,
            func.count().label("count"),
            func.max(case((reactions.c.user_id == viewer, 1), else_=0)).label("me"),
        )
        .where(reactions.c.message_id.in_(message_ids))
        .group_by(reactions.c.message_id, reactions.c.emoji)
        .order_by(func.min(reactions.c.order))
    )
    found: dict[int, list[Json]] = {}
    for row in (await connection.execute(grouped)).all():
        found.setdefault(row.message_id, []).append(
            {
                "emoji": emoji_object(row.emoji),
                "count": row.count,
                "count_details": {"burst": 0, "normal": row.count},
                "burst_colors": [],
                "me": bool(row.me),
                "me_burst": False,
                "burst_me": False,
            }
        )
    return found
