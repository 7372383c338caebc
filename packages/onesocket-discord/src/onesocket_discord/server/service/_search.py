"""Searches messages of guilds and channels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Row, and_, false, func, or_, select

from ...protocol._intents import Intents
from .._api_error import invalid_field
from .._ports import Account, Json
from ..store._tables import channels, messages
from ._access import channel_access, member_guild
from ._message_history import MessageReader
from ._read_states import id_is_in

MAX_OFFSET = 9975
MAX_SEARCH_LENGTH = 1024


@dataclass(frozen=True, slots=True)
class MessageQuery:
    """The messages that are looked for: every condition has to hold."""

    content: str = ""
    """A part of the text, in any case."""
    author_id: int | None = None
    channel_id: int | None = None
    min_id: int | None = None
    max_id: int | None = None
    limit: int = 25
    offset: int = 0

    def condition(self) -> ColumnElement[bool]:
        """The condition for a row of the messages. `ApiError` (50035) without any."""
        found: list[ColumnElement[bool]] = []
        if "\0" in self.content:  # no message holds it, and databases take it for the end of a text
            return false()
        if self.content:
            found.append(messages.c.content.icontains(self.content, autoescape=True))
        if self.author_id is not None:
            found.append(messages.c.author_id == self.author_id)
        if self.channel_id is not None:
            found.append(messages.c.channel_id == self.channel_id)
        if self.min_id is not None:
            found.append(messages.c.id > self.min_id)
        if self.max_id is not None:
            found.append(messages.c.id < self.max_id)
        if not found:
            raise invalid_field("content", "BASE_TYPE_REQUIRED", "This field is required")
        return and_(*found)


class SearchService(MessageReader):
    """Finds messages, the newest first."""

    async def in_guild(self, account: Account, guild_id: int, query: MessageQuery) -> Json:
        """Search all channels of a guild that the account is in."""
        condition = query.condition()
        async with self.reading() as connection:
            await member_guild(connection, account, guild_id)
            there = select(channels.c.id).where(channels.c.guild_id == guild_id)
            return await self._find(
                connection, account, guild_id, and_(messages.c.channel_id.in_(there), condition), query
            )

    async def in_channel(self, account: Account, channel_id: int, query: MessageQuery) -> Json:
        """Search one channel that the account may see."""
        condition = query.condition()
        async with self.reading() as connection:
            access = await channel_access(connection, account, channel_id)
            here = messages.c.channel_id == channel_id
            return await self._find(connection, account, access.guild_id, and_(here, condition), query)

    async def _find(
        self,
        connection: Any,
        account: Account,
        guild_id: int | None,
        condition: ColumnElement[bool],
        query: MessageQuery,
    ) -> Json:
        if query.content and guild_id is not None and not account.has_intent(Intents.MESSAGE_CONTENT):
            # What is found tells of what it says: such a bot finds what it may read.
            mine = messages.c.author_id == account.user_id
            condition = and_(condition, or_(mine, id_is_in(messages.c.mentions, account.user_id)))
        total = await connection.scalar(select(func.count()).select_from(messages).where(condition))
        page = select(messages).where(condition).order_by(messages.c.id.desc()).limit(query.limit).offset(query.offset)
        rows: list[Row[Any]] = list((await connection.execute(page)).all())
        bodies = await self.objects_for(connection, rows, account, guild_id)
        return {
            "doing_deep_historical_index": False,
            "total_results": total or 0,
            "messages": [[{**body, "hit": True}] for body in bodies],
        }
