"""Text channels of guilds, and direct messages."""

from __future__ import annotations

from typing import Any

from sqlalchemy import BigInteger, Row, bindparam, delete, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from ...protocol._intents import Intents
from .._api_error import ApiError, missing_permissions, unknown_resource
from .._field_reader import FieldReader
from .._ports import Account, Event, Json
from ..store import UnitOfWork
from ..store._tables import channels, participants, read_states, users
from . import _serialization as serialize
from ._access import channel_access, dm_participants, find_user, member_guild, permitted_guild
from ._direct_messages import check_may_write, refused_message, takes_messages
from ._permissions import Permission
from ._service_context import Service, concurrent_transaction, transaction

_MAX_CHANNELS = 500
"""Channels of one guild, as at Discord."""


class ChannelService(Service):
    """Creates, changes and deletes channels, publishes typing indicators, and stores read states."""

    @transaction
    async def create(self, work: UnitOfWork, account: Account, guild_id: int, body: Json) -> Json:
        """Create a text channel from ``name`` and ``topic``; with MANAGE_CHANNELS."""
        fields = FieldReader(body)
        name = fields.title("name", most=100, required=True)
        topic = fields.text("topic", most=1024)
        position = fields.integer("position", least=0, most=100_000)
        fields.one_of("type", [serialize.GUILD_TEXT], serialize.GUILD_TEXT)
        fields.check()
        await permitted_guild(work.connection, account, guild_id, Permission.MANAGE_CHANNELS)
        count = await work.scalar(select(func.count()).where(channels.c.guild_id == guild_id)) or 0
        if count >= _MAX_CHANNELS:
            raise ApiError(400, 30013, f"Maximum number of guild channels reached ({_MAX_CHANNELS})")
        channel_id = self._context.ids.next()
        row = {
            "id": channel_id,
            "type": serialize.GUILD_TEXT,
            "guild_id": guild_id,
            "name": name,
            "topic": topic,
            "position": count if position is None else position,
        }
        await work.execute(insert(channels).values(row))
        return await self._publish_channel(work, "CHANNEL_CREATE", channel_id)

    async def of_guild(self, account: Account, guild_id: int) -> list[Json]:
        """The channels of a guild that the account is in."""
        wanted = select(channels).where(channels.c.guild_id == guild_id).order_by(channels.c.position, channels.c.id)
        async with self.reading() as connection:
            await member_guild(connection, account, guild_id)
            return [serialize.channel(row) for row in (await connection.execute(wanted)).all()]

    async def get(self, account: Account, channel_id: int) -> Json:
        """One channel."""
        async with self.reading() as connection:
            access = await channel_access(connection, account, channel_id)
            return await _channel_object(connection, access.row, account.user_id)

    @transaction
    async def edit(self, work: UnitOfWork, account: Account, channel_id: int, body: Json) -> Json:
        """Change ``name``, ``topic`` or ``position``; with MANAGE_CHANNELS."""
        fields = FieldReader(body)
        changes: dict[str, Any] = {}
        name = fields.title("name", most=100)
        if name is not None:
            changes["name"] = name
        if "topic" in fields:
            changes["topic"] = fields.text("topic", most=1024)
        position = fields.integer("position", least=0, most=100_000)
        if position is not None:
            changes["position"] = position
        fields.check()
        access = await channel_access(work.connection, account, channel_id)
        await access.require(work.connection, Permission.MANAGE_CHANNELS)
        if changes:
            await work.execute(update(channels).where(channels.c.id == channel_id).values(changes))
        return await self._publish_channel(work, "CHANNEL_UPDATE", channel_id)

    @transaction
    async def delete(self, work: UnitOfWork, account: Account, channel_id: int) -> Json:
        """Delete a channel with its messages; with MANAGE_CHANNELS. A DM is not deleted."""
        access = await channel_access(work.connection, account, channel_id)
        if access.is_dm:
            return await _channel_object(work.connection, access.row, account.user_id)
        await access.require(work.connection, Permission.MANAGE_CHANNELS)
        gone = await self._publish_channel(work, "CHANNEL_DELETE", channel_id)
        await work.execute(delete(channels).where(channels.c.id == channel_id))
        return gone

    # --- direct messages --------------------------------------------------------------------------------------------

    @transaction
    async def open_dm(self, work: UnitOfWork, account: Account, body: Json) -> Json:
        """Return the DM with ``recipient_id``; a new one, if they take messages of the account (else 50007)."""
        fields = FieldReader(body)
        other = fields.snowflake("recipient_id", required=True) or 0
        fields.check()
        if other == account.user_id:
            raise ApiError(400, 50007, "Cannot send messages to this user")
        pair = sorted((account.user_id, other))
        key = f"{pair[0]}:{pair[1]}"
        await find_user(work.connection, other)
        found = select(channels).where(channels.c.dm_key == key)
        row = (await work.execute(found)).one_or_none()
        if row is None:
            if not await takes_messages(work.connection, account, other):
                raise refused_message()
            channel_id = self._context.ids.next()
            made = {"id": channel_id, "type": serialize.DM, "position": 0, "dm_key": key}
            await work.execute(insert(channels).values(made))
            both = [{"channel_id": channel_id, "user_id": user_id} for user_id in pair]
            await work.execute(insert(participants), both)
            row = (await work.execute(found)).one()
            await self._publish_dm(work, row, pair)
        return await _channel_object(work.connection, row, account.user_id)

    async def dms(self, account: Account) -> list[Json]:
        """The account's DMs, those with the newest messages first."""
        async with self.reading() as connection:
            return await private_channels(connection, account.user_id)

    # --- typing and reading -----------------------------------------------------------------------------------------

    async def type_in(self, account: Account, channel_id: int) -> None:
        """Publish the account's typing indicator. `ApiError` (50007) in a DM that it may not write in."""
        async with self.reading() as connection:
            access = await channel_access(connection, account, channel_id)
            if access.guild_id is None:
                await check_may_write(connection, access.row, account)
                recipients = await dm_participants(connection, channel_id)
            else:
                version = access.row.members_version
                recipients = await self._context.audience.of(connection, access.guild_id, version)
        typing = {"user_id": str(account.user_id), "timestamp": int(self._context.ids.now())}
        data = {**access.where, **typing, **access.member_with_user}
        intents = access.intent_for(Intents.GUILD_MESSAGE_TYPING, Intents.DIRECT_MESSAGE_TYPING)
        self._context.publisher.publish(Event("TYPING_START", data, recipients, intents))

    @concurrent_transaction
    async def acknowledge(self, work: UnitOfWork, account: Account, channel_id: int, message_id: int) -> None:
        """Move the account's read state forward to this message, which may have been deleted since.

        `ApiError` (10008) for an id after all that the channel ever had: it would count what comes later as read.
        """
        access = await channel_access(work.connection, account, channel_id)
        if message_id > access.row.sequence:
            raise unknown_resource("Message")
        if await mark_read(work, account.user_id, channel_id, message_id):
            data = {"channel_id": str(channel_id), "message_id": str(message_id), "version": 1}
            self._context.publish(work, "MESSAGE_ACK", data, frozenset({account.user_id}))

    # --- inside -----------------------------------------------------------------------------------------------------

    async def _publish_channel(self, work: UnitOfWork, name: str, channel_id: int) -> Json:
        row = (await work.execute(select(channels).where(channels.c.id == channel_id))).one()
        if row.guild_id is None:
            raise missing_permissions()
        data = serialize.channel(row)
        await self._context.publish_to_guild(work, row.guild_id, name, data, Intents.GUILDS)
        return data

    async def _publish_dm(self, work: UnitOfWork, row: Row[Any], pair: list[int]) -> None:
        """Publish a new DM; bots receive no event for it."""
        people = select(users.c.id).where(users.c.id.in_(pair), users.c.bot.is_(False))
        for user_id in (await work.scalars(people)).all():
            data = await _channel_object(work.connection, row, user_id)
            self._context.publish(work, "CHANNEL_CREATE", data, frozenset({user_id}))


async def private_channels(connection: AsyncConnection, user_id: int) -> list[Json]:
    """The DMs of a user, those with the newest messages first."""
    wanted = select(channels).join(participants).where(participants.c.user_id == user_id)
    rows = (await connection.execute(wanted)).all()
    others = await _recipients(connection, [row.id for row in rows], user_id)
    rows = sorted(rows, key=lambda row: int(row.last_message_id or row.id), reverse=True)
    return [serialize.channel(row, others.get(row.id, ())) for row in rows]


_NEW_LAST_MESSAGE_ID = bindparam("to_last_message_id", type_=BigInteger)
_ADVANCE_READ_STATE = (
    update(read_states)
    .where(
        read_states.c.user_id == bindparam("to_user_id", type_=BigInteger),
        read_states.c.channel_id == bindparam("to_channel_id", type_=BigInteger),
        read_states.c.last_message_id < _NEW_LAST_MESSAGE_ID,
    )
    .values(last_message_id=_NEW_LAST_MESSAGE_ID)
)


async def mark_read(work: UnitOfWork, user_id: int, channel_id: int, message_id: int) -> bool:
    """Move a read state forward; returns False if it was there already."""
    row = {"user_id": user_id, "channel_id": channel_id, "last_message_id": message_id}
    # Moved as a rule; only the first time there is nothing to move.
    if (await work.execute(_ADVANCE_READ_STATE, {f"to_{name}": value for name, value in row.items()})).rowcount:
        return True
    mine = (read_states.c.user_id == user_id) & (read_states.c.channel_id == channel_id)
    if await work.scalar(select(read_states.c.user_id).where(mine)) is not None:
        return False
    await work.execute(insert(read_states).values(row))
    return True


async def _channel_object(connection: AsyncConnection, row: Row[Any], viewer: int) -> Json:
    if row.type != serialize.DM:
        return serialize.channel(row)
    return serialize.channel(row, (await _recipients(connection, [row.id], viewer)).get(row.id, ()))


async def _recipients(connection: AsyncConnection, channel_ids: list[int], viewer: int) -> dict[int, list[Json]]:
    wanted = (
        select(users, participants.c.channel_id)
        .join(participants, participants.c.user_id == users.c.id)
        .where(participants.c.channel_id.in_(channel_ids), users.c.id != viewer)
    )
    found: dict[int, list[Json]] = {}
    for row in (await connection.execute(wanted)).all():
        found.setdefault(row.channel_id, []).append(serialize.user_from_row(row))
    return found
