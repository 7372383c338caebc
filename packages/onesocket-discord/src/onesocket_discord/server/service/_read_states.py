"""How far a person has read each channel, as READY tells it."""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import ColumnElement, Text, and_, cast, func, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from .._ports import Json
from ..store._tables import channels, members, messages, participants, read_states, relationships
from ._direct_messages import BLOCKED

MAX_COUNTED: Final = 1000
"""Messages of a channel, the newest ones, in which mentions are counted: a login must not read a whole history."""


async def read_state_objects(connection: AsyncConnection, user_id: int) -> list[Json]:
    """The read states of a person, with the number of mentions since: in a conversation, of messages of others.

    Messages of those whom the person has blocked count in neither.
    """
    mentions = await _mention_counts(connection, user_id)
    wanted = select(read_states).where(read_states.c.user_id == user_id).order_by(read_states.c.channel_id)
    last = {row.channel_id: row.last_message_id for row in (await connection.execute(wanted)).all()}
    last |= {channel_id: 0 for channel_id in mentions if channel_id not in last}
    return [
        {"id": str(channel_id), "last_message_id": str(message_id), "mention_count": mentions.get(channel_id, 0)}
        for channel_id, message_id in sorted(last.items())
    ]


async def _mention_counts(connection: AsyncConnection, user_id: int) -> dict[int, int]:
    """The number of mentions that were not read, by channel; channels without any are left out."""
    read = func.coalesce(read_states.c.last_message_id, 0)
    columns = (messages.c.author_id, messages.c.mentions, messages.c.mention_everyone)
    unread = select(*columns).where(messages.c.channel_id == channels.c.id, messages.c.id > read)
    newest = unread.order_by(messages.c.id.desc()).limit(MAX_COUNTED).correlate(channels, read_states).subquery()
    is_mention = or_(channels.c.guild_id.is_(None), newest.c.mention_everyone, id_is_in(newest.c.mentions, user_id))
    blocked = select(relationships.c.other_id).where(
        relationships.c.user_id == user_id, relationships.c.type == BLOCKED
    )
    of_others = and_(newest.c.author_id != user_id, newest.c.author_id.not_in(blocked))
    counted = select(func.count()).select_from(newest).where(of_others, is_mention)
    count = counted.correlate(channels).scalar_subquery()
    mine = or_(
        channels.c.guild_id.in_(select(members.c.guild_id).where(members.c.user_id == user_id)),
        channels.c.id.in_(select(participants.c.channel_id).where(participants.c.user_id == user_id)),
    )
    own_state = and_(read_states.c.channel_id == channels.c.id, read_states.c.user_id == user_id)
    there = select(channels.c.id, count.label("mentions")).select_from(channels.outerjoin(read_states, own_state))
    rows = (await connection.execute(there.where(mine, channels.c.last_message_id > read))).all()
    return {row.id: row.mentions for row in rows if row.mentions}


def id_is_in(ids: ColumnElement[Any], user_id: int) -> ColumnElement[bool]:
    """True of a list of ids, which is JSON, with this one."""
    text: ColumnElement[str] = cast(ids, Text)
    for old, new in (("[", ","), ("]", ","), (" ", "")):
        text = func.replace(text, old, new)
    return text.contains(f",{user_id},")
