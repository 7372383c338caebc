"""Reactions to messages."""

from __future__ import annotations

from sqlalchemy import ColumnElement, delete, func, insert, select

from ..ports import Account, Json
from ..refusal import Refused, unknown
from ..store import Work
from ..store.tables import reactions, users
from . import shapes
from .access import Place, place
from .emoji import as_object, checked
from .history import find
from .intents import DIRECT_MESSAGE_REACTIONS, GUILD_MESSAGE_REACTIONS
from .world import World

_MOST_KINDS = 20
"""Of one message, as with Discord."""


class Reactions:
    """Everybody reacts for themselves; the guild's owner removes anything."""

    def __init__(self, world: World) -> None:
        self._world = world

    async def add(self, account: Account, channel_id: int, message_id: int, emoji: str) -> None:
        """React; doing so twice changes nothing."""

        async def operation(work: Work) -> None:
            here = await place(work.connection, account, channel_id)
            row = await find(work.connection, channel_id, message_id)
            key = checked(emoji)
            kinds = select(reactions.c.emoji).where(reactions.c.message_id == message_id).distinct()
            there = set((await work.connection.scalars(kinds)).all())
            if key not in there and len(there) >= _MOST_KINDS:
                raise Refused(400, 30010, f"Maximum number of reactions reached ({_MOST_KINDS})")
            mine = _one(message_id, key, account.user_id)
            if key in there and await work.connection.scalar(select(reactions.c.user_id).where(mine)) is not None:
                return
            values = {"message_id": message_id, "emoji": key, "user_id": account.user_id}
            await work.connection.execute(insert(reactions).values({**values, "order": self._world.ids.next()}))
            member = {} if here.is_dm else {"member": {**here.member["member"], "user": shapes.author(account)}}
            more = {**_by(account.user_id, key), "message_author_id": str(row.author_id), **member}
            await self._tell(work, here, "ADD", message_id, more)

        await self._world.store.write(operation)

    async def remove(self, account: Account, channel_id: int, message_id: int, emoji: str, user_id: int) -> None:
        """Take back one's own reaction, or as the guild's owner somebody else's."""

        async def operation(work: Work) -> None:
            here = await place(work.connection, account, channel_id)
            await find(work.connection, channel_id, message_id)
            key = checked(emoji)
            if user_id != account.user_id:
                here.must_own()
            gone = await work.connection.execute(delete(reactions).where(_one(message_id, key, user_id)))
            if not gone.rowcount:
                raise unknown("Emoji")
            await self._tell(work, here, "REMOVE", message_id, _by(user_id, key))

        await self._world.store.write(operation)

    async def clear(self, account: Account, channel_id: int, message_id: int, emoji: str | None = None) -> None:
        """Take away all reactions, or all with one emoji; the guild's owner may."""

        async def operation(work: Work) -> None:
            here = await place(work.connection, account, channel_id)
            await find(work.connection, channel_id, message_id)
            here.must_own()
            which = reactions.c.message_id == message_id
            if emoji is None:
                await work.connection.execute(delete(reactions).where(which))
                await self._tell(work, here, "REMOVE_ALL", message_id, {})
            else:
                key = checked(emoji)
                await work.connection.execute(delete(reactions).where(which, reactions.c.emoji == key))
                await self._tell(work, here, "REMOVE_EMOJI", message_id, {"emoji": as_object(key)})

        await self._world.store.write(operation)

    async def who(
        self, account: Account, channel_id: int, message_id: int, emoji: str, *, after: int = 0, limit: int = 25
    ) -> list[Json]:
        """Users who reacted with this emoji, in the order of ids."""
        wanted = (
            select(users)
            .join(reactions, reactions.c.user_id == users.c.id)
            .where(reactions.c.message_id == message_id, reactions.c.emoji == checked(emoji), users.c.id > after)
            .order_by(users.c.id)
            .limit(limit)
        )
        async with self._world.store.reading() as connection:
            await place(connection, account, channel_id)
            await find(connection, channel_id, message_id)
            there = func.count()
            known = select(there).where(reactions.c.message_id == message_id, reactions.c.emoji == checked(emoji))
            if not await connection.scalar(known):
                raise unknown("Emoji")
            return [shapes.user_of(row) for row in (await connection.execute(wanted)).all()]

    async def _tell(self, work: Work, here: Place, what: str, message_id: int, more: Json) -> None:
        data = {**here.where, "message_id": str(message_id), **more}
        recipients = await here.recipients(self._world, work)
        intents = here.either(GUILD_MESSAGE_REACTIONS, DIRECT_MESSAGE_REACTIONS)
        self._world.tell(work, f"MESSAGE_REACTION_{what}", data, recipients, intents=intents)


def _by(user_id: int, key: str) -> Json:
    return {"user_id": str(user_id), "emoji": as_object(key), "burst": False, "type": 0}


def _one(message_id: int, key: str, user_id: int) -> ColumnElement[bool]:
    return (reactions.c.message_id == message_id) & (reactions.c.emoji == key) & (reactions.c.user_id == user_id)
