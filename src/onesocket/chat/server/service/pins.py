"""Messages that are kept at hand."""

from __future__ import annotations

from sqlalchemy import func, select, update

from ..ids import timestamp
from ..ports import Account, Json
from ..refusal import Refused
from ..store import Work
from ..store.tables import channels, messages
from .access import Place, place
from .history import find, shaped
from .intents import DIRECT_MESSAGES, GUILD_MESSAGES, GUILDS
from .world import World

_MOST = 250
"""Of one channel, as with Discord."""


class Pins:
    """Authors pin their own messages, the guild's owner any, and both people in a DM any."""

    def __init__(self, world: World) -> None:
        self._world = world

    async def all(self, account: Account, channel_id: int) -> list[Json]:
        """The pinned messages, the last pinned first: ``{"pinned_at", "message"}``."""
        wanted = (
            select(messages)
            .where(messages.c.channel_id == channel_id, messages.c.pinned_at.is_not(None))
            .order_by(messages.c.pinned_at.desc(), messages.c.id.desc())
        )
        async with self._world.store.reading() as connection:
            here = await place(connection, account, channel_id)
            rows = (await connection.execute(wanted)).all()
            bodies = await shaped(connection, rows, account.user_id, here.guild_id)
        return [
            {"pinned_at": timestamp(row.pinned_at), "message": body} for row, body in zip(rows, bodies, strict=True)
        ]

    async def set(self, account: Account, channel_id: int, message_id: int, *, pinned: bool) -> None:
        """Pin or unpin; doing so twice changes nothing."""

        async def operation(work: Work) -> None:
            here = await place(work.connection, account, channel_id)
            row = await find(work.connection, channel_id, message_id)
            if row.author_id != account.user_id and not here.is_dm:
                here.must_own()
            if (row.pinned_at is not None) == pinned:
                return
            if pinned:
                await self._check_room(work, channel_id)
            now = self._world.ids.now() if pinned else None
            await work.connection.execute(update(messages).where(messages.c.id == message_id).values(pinned_at=now))
            await self._announce(work, here, message_id, now)

        await self._world.store.write(operation)

    async def _check_room(self, work: Work, channel_id: int) -> None:
        there = select(func.count()).where(messages.c.channel_id == channel_id, messages.c.pinned_at.is_not(None))
        if (await work.connection.scalar(there) or 0) >= _MOST:
            raise Refused(400, 30003, f"Maximum number of pins reached for the channel ({_MOST})")

    async def _announce(self, work: Work, here: Place, message_id: int, now: float | None) -> None:
        recipients = await here.recipients(self._world, work)
        if now is not None:
            await work.connection.execute(update(channels).where(channels.c.id == here.id).values(last_pin_at=now))
        row = await find(work.connection, here.id, message_id)
        (body,) = await shaped(work.connection, [row], 0, here.guild_id)
        # The message as its author's: the place of whoever pinned it is not the author's.
        member = here.member if row.author_id == here.account.user_id else {}
        last = here.row.last_pin_at if now is None else now
        pins = {**here.where, "last_pin_timestamp": None if last is None else timestamp(last)}
        self._world.tell(
            work,
            "MESSAGE_UPDATE",
            {**body, **here.where, **member},
            recipients,
            intents=here.either(GUILD_MESSAGES, DIRECT_MESSAGES),
            content_of=None if here.is_dm else row.author_id,
        )
        intents = here.either(GUILDS, DIRECT_MESSAGES)
        self._world.tell(work, "CHANNEL_PINS_UPDATE", pins, recipients, intents=intents)
