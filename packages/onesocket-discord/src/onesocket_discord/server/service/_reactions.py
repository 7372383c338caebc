"""Reactions to messages."""

from __future__ import annotations

from sqlalchemy import ColumnElement, delete, func, insert, select

from ...protocol._intents import Intents
from .._api_error import ApiError, unknown_resource
from .._ports import Account, Json
from ..store import UnitOfWork
from ..store._tables import reactions, users
from . import _serialization as serialize
from ._access import ChannelAccess, channel_access
from ._direct_messages import may_write
from ._emoji import emoji_key, emoji_object
from ._message_history import find_message
from ._permissions import Permission
from ._service_context import Service, transaction

_MAX_EMOJIS = 20
"""Of one message, as with Discord."""


class ReactionService(Service):
    """Adds, removes and lists reactions; members with MANAGE_MESSAGES may remove those of others."""

    @transaction
    async def add(self, work: UnitOfWork, account: Account, channel_id: int, message_id: int, emoji: str) -> None:
        """React; doing so twice changes nothing."""
        access = await channel_access(work.connection, account, channel_id)
        if access.is_dm and not await may_write(work.connection, access.row, account):
            raise ApiError(403, 90001, "Reaction was blocked")
        row = await find_message(work.connection, channel_id, message_id)
        key = emoji_key(emoji)
        kinds = select(reactions.c.emoji).where(reactions.c.message_id == message_id).distinct()
        there = set((await work.scalars(kinds)).all())
        if key not in there and len(there) >= _MAX_EMOJIS:
            raise ApiError(400, 30010, f"Maximum number of reactions reached ({_MAX_EMOJIS})")
        mine = _one_reaction(message_id, key, account.user_id)
        if key in there and await work.scalar(select(reactions.c.user_id).where(mine)) is not None:
            return
        values = {"message_id": message_id, "emoji": key, "user_id": account.user_id}
        await work.execute(insert(reactions).values({**values, "order": self._context.ids.next()}))
        author = {"message_author_id": str(row.author_id)}
        more = {**_reaction_body(account.user_id, key), **author, **access.member_with_user}
        await self._publish(work, access, "ADD", message_id, more)

    @transaction
    async def remove(
        self, work: UnitOfWork, account: Account, channel_id: int, message_id: int, emoji: str, *, user_id: int
    ) -> None:
        """Remove the own reaction, or another user's with MANAGE_MESSAGES."""
        access = await channel_access(work.connection, account, channel_id)
        await find_message(work.connection, channel_id, message_id)
        key = emoji_key(emoji)
        if user_id != account.user_id:
            await access.require(work.connection, Permission.MANAGE_MESSAGES)
        gone = await work.execute(delete(reactions).where(_one_reaction(message_id, key, user_id)))
        if not gone.rowcount:
            raise unknown_resource("Emoji")
        await self._publish(work, access, "REMOVE", message_id, _reaction_body(user_id, key))

    @transaction
    async def clear(
        self, work: UnitOfWork, account: Account, channel_id: int, message_id: int, emoji: str | None = None
    ) -> None:
        """Take away all reactions, or all with one emoji; with MANAGE_MESSAGES."""
        access = await channel_access(work.connection, account, channel_id)
        await find_message(work.connection, channel_id, message_id)
        await access.require(work.connection, Permission.MANAGE_MESSAGES)
        which = reactions.c.message_id == message_id
        if emoji is None:
            await work.execute(delete(reactions).where(which))
            await self._publish(work, access, "REMOVE_ALL", message_id, {})
        else:
            key = emoji_key(emoji)
            await work.execute(delete(reactions).where(which, reactions.c.emoji == key))
            await self._publish(work, access, "REMOVE_EMOJI", message_id, {"emoji": emoji_object(key)})

    async def list_users(
        self, account: Account, channel_id: int, message_id: int, emoji: str, *, after: int = 0, limit: int = 25
    ) -> list[Json]:
        """Users who reacted with this emoji, in the order of ids."""
        wanted = (
            select(users)
            .join(reactions, reactions.c.user_id == users.c.id)
            .where(reactions.c.message_id == message_id, reactions.c.emoji == emoji_key(emoji), users.c.id > after)
            .order_by(users.c.id)
            .limit(limit)
        )
        async with self.reading() as connection:
            await channel_access(connection, account, channel_id)
            await find_message(connection, channel_id, message_id)
            there = func.count()
            known = select(there).where(reactions.c.message_id == message_id, reactions.c.emoji == emoji_key(emoji))
            if not await connection.scalar(known):
                raise unknown_resource("Emoji")
            return [serialize.user_from_row(row) for row in (await connection.execute(wanted)).all()]

    async def _publish(self, work: UnitOfWork, access: ChannelAccess, what: str, message_id: int, more: Json) -> None:
        intents = (Intents.GUILD_MESSAGE_REACTIONS, Intents.DIRECT_MESSAGE_REACTIONS)
        data = {"message_id": str(message_id), **more}
        await access.publish(self._context, work, f"MESSAGE_REACTION_{what}", data, intents)


def _reaction_body(user_id: int, key: str) -> Json:
    return {"user_id": str(user_id), "emoji": emoji_object(key), "burst": False, "type": 0}


def _one_reaction(message_id: int, key: str, user_id: int) -> ColumnElement[bool]:
    return (reactions.c.message_id == message_id) & (reactions.c.emoji == key) & (reactions.c.user_id == user_id)
