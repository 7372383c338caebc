"""Pinned messages."""

from __future__ import annotations

from sqlalchemy import func, select, update

from ...protocol._intents import Intents
from ...protocol._snowflakes import iso_timestamp
from .._api_error import ApiError
from .._ports import Account, Json
from ..store import UnitOfWork
from ..store._tables import channels, messages
from ._access import ChannelAccess, channel_access
from ._direct_messages import check_may_write
from ._message_history import MessageReader, find_message
from ._permissions import Permission
from ._service_context import transaction

_MAX_PINS = 250
"""Pins of one channel, as at Discord."""


class PinService(MessageReader):
    """Pins messages: authors their own, members with MANAGE_MESSAGES and the participants of a DM any."""

    async def all(self, account: Account, channel_id: int) -> list[Json]:
        """The pinned messages, the last pinned first: ``{"pinned_at", "message"}``."""
        wanted = (
            select(messages)
            .where(messages.c.channel_id == channel_id, messages.c.pinned_at.is_not(None))
            .order_by(messages.c.pinned_at.desc(), messages.c.id.desc())
        )
        async with self.reading() as connection:
            access = await channel_access(connection, account, channel_id)
            rows = (await connection.execute(wanted)).all()
            bodies = await self.objects_for(connection, rows, account, access.guild_id)
        return [
            {"pinned_at": iso_timestamp(row.pinned_at), "message": body} for row, body in zip(rows, bodies, strict=True)
        ]

    @transaction
    async def set(self, work: UnitOfWork, account: Account, channel_id: int, message_id: int, *, pinned: bool) -> None:
        """Pin or unpin a message; repeating it changes nothing."""
        access = await channel_access(work.connection, account, channel_id)
        row = await find_message(work.connection, channel_id, message_id)
        if row.author_id != account.user_id and not access.is_dm:
            await access.require(work.connection, Permission.MANAGE_MESSAGES)
        if access.is_dm:
            await check_may_write(work.connection, access.row, account)
        if (row.pinned_at is not None) == pinned:
            return
        if pinned:
            await self._check_room(work, channel_id)
        now = self._context.ids.now() if pinned else None
        await work.execute(update(messages).where(messages.c.id == message_id).values(pinned_at=now))
        await self._announce(work, access, message_id, now)

    async def _check_room(self, work: UnitOfWork, channel_id: int) -> None:
        there = select(func.count()).where(messages.c.channel_id == channel_id, messages.c.pinned_at.is_not(None))
        if (await work.scalar(there) or 0) >= _MAX_PINS:
            raise ApiError(400, 30003, f"Maximum number of pins reached for the channel ({_MAX_PINS})")

    async def _announce(self, work: UnitOfWork, access: ChannelAccess, message_id: int, now: float | None) -> None:
        if now is not None:
            await work.execute(update(channels).where(channels.c.id == access.id).values(last_pin_at=now))
        row = await find_message(work.connection, access.id, message_id)
        (body,) = await self.objects(work.connection, [row], 0, access.guild_id)
        # The message as its author's: the place of whoever pinned it is not the author's.
        member = access.member if row.author_id == access.account.user_id else {}
        last = access.row.last_pin_at if now is None else now
        intents = (Intents.GUILD_MESSAGES, Intents.DIRECT_MESSAGES)
        data = {**body, **member}
        await access.publish(self._context, work, "MESSAGE_UPDATE", data, intents, content_of=row.author_id)
        pins = {"last_pin_timestamp": None if last is None else iso_timestamp(last)}
        intents = (Intents.GUILDS, Intents.DIRECT_MESSAGES)
        await access.publish(self._context, work, "CHANNEL_PINS_UPDATE", pins, intents)
