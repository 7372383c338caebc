"""Checks of direct messages: blocked users, a guild in common, and the recipient's choice.

One rule for all that the other side would see: who may not write in a conversation may not change anything in it
either: no message, edit, pin or unpinning, reaction or typing. What takes away one's own stays: deleting one's
messages, and one's reactions. Reading, acknowledging and reporting change nothing for the other side.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import BigInteger, Row, and_, bindparam, exists, literal, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from .._api_error import ApiError
from .._ports import Account
from ..store._tables import members, messages, relationships, users

BLOCKED = 2
"""Discord's type of the relationship to somebody who is blocked."""

# Built once: every direct message needs it, and building a statement costs more than running it.
_ME = bindparam("me", type_=BigInteger)
_OTHER = bindparam("other", type_=BigInteger)
_CHANNEL = bindparam("channel", type_=BigInteger)
_IS_BLOCKED = exists().where(
    relationships.c.type == BLOCKED,
    or_(
        and_(relationships.c.user_id == _OTHER, relationships.c.other_id == _ME),
        and_(relationships.c.user_id == _ME, relationships.c.other_id == _OTHER),
    ),
)
_mine, _theirs = members.alias("mine"), members.alias("theirs")
_SHARES_GUILD = exists().where(
    _mine.c.user_id == _ME, _theirs.c.user_id == _OTHER, _mine.c.guild_id == _theirs.c.guild_id
)
_HAS_WRITTEN = exists().where(messages.c.channel_id == _CHANNEL, messages.c.author_id == _OTHER)
_RECIPIENT = select(literal(1)).where(
    users.c.id == _OTHER, ~_IS_BLOCKED, _SHARES_GUILD, or_(users.c.restricts_dms.is_(False), _HAS_WRITTEN)
)


async def may_write(connection: AsyncConnection, channel: Row[Any], account: Account) -> bool:
    """Return True if the account may write in a DM (a row of the channels) that it takes part in."""
    return await _takes_messages(connection, account.user_id, _other_of(channel, account.user_id), channel.id)


async def check_may_write(connection: AsyncConnection, channel: Row[Any], account: Account) -> None:
    """Raise `ApiError` (50007) unless the account may write in this DM."""
    if not await may_write(connection, channel, account):
        raise refused_message()


async def takes_messages(connection: AsyncConnection, account: Account, other: int) -> bool:
    """Return True if the account may begin a conversation with another user."""
    return await _takes_messages(connection, account.user_id, other, 0)


async def _takes_messages(connection: AsyncConnection, me: int, other: int, channel_id: int) -> bool:
    found = await connection.scalar(_RECIPIENT, {"me": me, "other": other, "channel": channel_id})
    return found is not None


def refused_message() -> ApiError:
    """The recipient takes no messages of the account: blocked, no guild in common, or the recipient's own choice."""
    return ApiError(403, 50007, "Cannot send messages to this user")


def _other_of(channel: Row[Any], me: int) -> int:
    one, other = map(int, channel.dm_key.split(":"))
    return other if one == me else one
