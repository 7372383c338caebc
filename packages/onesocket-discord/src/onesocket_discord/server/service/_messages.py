"""Write, change and delete messages."""

from __future__ import annotations

import json
from typing import Any

from sqlalchemy import BigInteger, Row, String, bindparam, delete, func, insert, select, update

from ...protocol._intents import Intents
from ...protocol._snowflakes import snowflake_time
from .._api_error import ApiError, invalid_field
from .._field_reader import FieldReader
from .._ports import Account, Json
from ..store import UnitOfWork
from ..store._tables import channels, messages
from . import _serialization as shapes
from ._access import ChannelAccess, channel_access
from ._channels import mark_read
from ._message_draft import MessageDraft, check_not_empty, read_message_draft, read_message_edit
from ._message_history import REPLY_TYPE, find_message, message_objects, message_page, users_by_id
from ._service_context import ServiceContext

# Built once: building a statement costs more than running it.
_INSERT_MESSAGE = insert(messages).returning(*messages.c)
_UPDATE_LAST_MESSAGE = (
    update(channels)
    .where(channels.c.id == bindparam("channel", type_=BigInteger))
    .values(last_message_id=bindparam("newest", type_=BigInteger))
)
_SAME_NONCE = select(messages).where(
    messages.c.author_id == bindparam("author", type_=BigInteger),
    messages.c.channel_id == bindparam("channel", type_=BigInteger),
    messages.c.nonce == bindparam("nonce", type_=String),
)


_NONCE_TTL = 600.0
"""Seconds for which a nonce is enforced ("the past few minutes")."""
_BULK_DELETE_AGE = 14 * 86_400.0
"""Seconds after which messages can't be deleted many at once."""
_SNAPSHOT_FIELDS = (
    "type",
    "content",
    "mentions",
    "mention_roles",
    "attachments",
    "embeds",
    "timestamp",
    "edited_timestamp",
    "flags",
    "components",
)
"""Fields of the original that a forward shows."""


class MessageService:
    """What is said, in the order in which it was stored."""

    def __init__(self, world: ServiceContext) -> None:
        self._world = world

    async def history(
        self,
        account: Account,
        channel_id: int,
        *,
        limit: int = 50,
        around: int | None = None,
        before: int | None = None,
        after: int | None = None,
    ) -> list[Json]:
        """Up to `limit` messages, newest first."""
        async with self._world.store.reading() as connection:
            here = await channel_access(connection, account, channel_id)
            rows = await message_page(connection, channel_id, limit=limit, around=around, before=before, after=after)
            return await message_objects(connection, rows, account.user_id, here.guild_id)

    async def get(self, account: Account, channel_id: int, message_id: int) -> Json:
        """One message."""
        async with self._world.store.reading() as connection:
            here = await channel_access(connection, account, channel_id)
            row = await find_message(connection, channel_id, message_id)
            (body,) = await message_objects(connection, [row], account.user_id, here.guild_id)
        return body

    async def post(self, account: Account, channel_id: int, body: Json) -> Json:
        """Store a message and tell everybody.

        With ``enforce_nonce`` the same author's same ``nonce`` in the same channel is the same message, for minutes.
        """
        draft = read_message_draft(body)

        async def operation(work: UnitOfWork) -> Json:
            here = await channel_access(work.connection, account, channel_id)
            first = await self._first_with(work, here, draft.unique_nonce)
            if first is None:
                row, known = await self._insert(work, here, draft)
                author = {account.user_id: shapes.user_from_account(account)}
                return await self._announce(work, here, row, "MESSAGE_CREATE", {**known, **author}, nonce=draft.nonce)
            (stored,) = await message_objects(work.connection, [first], account.user_id, here.guild_id)
            return stored

        return await self._world.store.write(operation)

    async def edit(self, account: Account, channel_id: int, message_id: int, body: Json) -> Json:
        """Change one's own message: ``content``, ``embeds``, ``components``, ``flags``."""

        async def operation(work: UnitOfWork) -> Json:
            here = await channel_access(work.connection, account, channel_id)
            row = await find_message(work.connection, channel_id, message_id)
            if row.author_id != account.user_id:
                raise ApiError(403, 50005, "Cannot edit a message authored by another user")
            changes, allowed = read_message_edit(body, row.flags)
            after = {name: changes.get(name, getattr(row, name)) for name in ("content", "embeds", "components")}
            if row.forward is None:
                check_not_empty(**after)
            if "content" in changes:
                content = after["content"]
                mentioned = await users_by_id(work.connection, allowed.mentions(content))
                changes["mentions"] = list(mentioned)
                changes["mention_everyone"] = allowed.mentions_everyone(content)
            changed = update(messages).where(messages.c.id == message_id)
            await work.connection.execute(changed.values(**changes, edited_at=self._world.ids.now()))
            row = await find_message(work.connection, channel_id, message_id)
            return await self._announce(work, here, row, "MESSAGE_UPDATE")

        return await self._world.store.write(operation)

    async def delete(self, account: Account, channel_id: int, message_id: int) -> None:
        """Delete a message: its author may, and the guild's owner."""

        async def operation(work: UnitOfWork) -> None:
            here = await channel_access(work.connection, account, channel_id)
            row = await find_message(work.connection, channel_id, message_id)
            if row.author_id != account.user_id:
                if here.is_dm:
                    raise _not_in_dms()
                here.require_owner()
            await self._remove(work, here, [message_id])
            data = {"id": str(message_id), **here.where}
            await self._tell(work, here, "MESSAGE_DELETE", data)

        await self._world.store.write(operation)

    async def delete_many(self, account: Account, channel_id: int, body: Json) -> None:
        """Delete 2 to 100 ``messages`` at once; the guild's owner may. Those that don't exist are passed over.

        None of them may be older than 14 days (50034).
        """
        form = FieldReader(body)
        ids = form.snowflakes("messages", least=2, most=100)
        form.check()
        if min(map(snowflake_time, ids)) < self._world.ids.now() - _BULK_DELETE_AGE:
            raise ApiError(400, 50034, "You can only bulk delete messages that are under 14 days old.")

        async def operation(work: UnitOfWork) -> None:
            here = await channel_access(work.connection, account, channel_id)
            if here.is_dm:
                raise _not_in_dms()
            here.require_owner()
            wanted = select(messages.c.id).where(messages.c.id.in_(ids), messages.c.channel_id == channel_id)
            found = list((await work.connection.scalars(wanted)).all())
            if found:
                await self._remove(work, here, found)
                data = {"ids": [str(one) for one in found], **here.where}
                await self._tell(work, here, "MESSAGE_DELETE_BULK", data)

        await self._world.store.write(operation)

    # --- inside -----------------------------------------------------------------------------------------------------

    async def _first_with(self, work: UnitOfWork, here: ChannelAccess, nonce: str | None) -> Row[Any] | None:
        if nonce is None:
            return None
        of = {"author": here.account.user_id, "channel": here.id, "nonce": nonce}
        row = (await work.connection.execute(_SAME_NONCE, of)).one_or_none()
        if row is None or snowflake_time(row.id) > self._world.ids.now() - _NONCE_TTL:
            return row
        await work.connection.execute(update(messages).where(messages.c.id == row.id).values(nonce=None))
        return None

    async def _insert(
        self, work: UnitOfWork, here: ChannelAccess, draft: MessageDraft
    ) -> tuple[Row[Any], dict[int, Json]]:
        mentioned = draft.allowed.mentions(draft.content)
        forward = await self._forwarded(work, here, draft) if draft.forwards else None
        if draft.reference_id is not None and not draft.forwards:
            author = await self._referenced(work, here, draft)
            if author is None:
                draft.reference_id = None
            elif draft.allowed.replied_user and author not in mentioned:
                mentioned.append(author)
        known = await users_by_id(work.connection, mentioned) if mentioned else {}
        values = {
            "id": self._world.ids.next(),
            "channel_id": here.id,
            "author_id": here.account.user_id,
            "type": 0 if draft.reference_id is None or draft.forwards else REPLY_TYPE,
            "content": draft.content,
            "nonce": draft.unique_nonce,
            "reference_id": None if draft.forwards else draft.reference_id,
            "forward": forward,
            "tts": draft.tts,
            "flags": draft.flags,
            "mention_everyone": draft.allowed.mentions_everyone(draft.content),
            "mentions": [user_id for user_id in mentioned if user_id in known],
            "embeds": draft.embeds,
            "components": draft.components,
        }
        row = (await work.connection.execute(_INSERT_MESSAGE, values)).one()
        await work.connection.execute(_UPDATE_LAST_MESSAGE, {"channel": here.id, "newest": row.id})
        if not here.account.bot:
            await mark_read(work, here.account.user_id, here.id, row.id)
        return row, known

    async def _referenced(self, work: UnitOfWork, here: ChannelAccess, draft: MessageDraft) -> int | None:
        wanted = select(messages.c.author_id).where(
            messages.c.id == draft.reference_id, messages.c.channel_id == here.id
        )
        author: int | None = await work.connection.scalar(wanted)
        if author is None and draft.must_exist:
            raise invalid_field("message_reference", "REPLIES_UNKNOWN_MESSAGE", "Unknown message")
        return author

    async def _forwarded(self, work: UnitOfWork, here: ChannelAccess, draft: MessageDraft) -> Json:
        """A forward: where its original is, and a copy of it that stays as it is now."""
        channel_id = draft.reference_channel or here.id
        there = here if channel_id == here.id else await channel_access(work.connection, here.account, channel_id)
        row = await find_message(work.connection, channel_id, draft.reference_id or 0)
        (body,) = await message_objects(work.connection, [row], here.account.user_id, there.guild_id)
        if row.forward is not None:  # a forward of a forward is one of the original
            return dict(row.forward)
        guild = {} if there.guild_id is None else {"guild_id": str(there.guild_id)}
        where = {"type": 1, "message_id": str(row.id), "channel_id": str(channel_id), **guild}
        return {
            "message_reference": where,
            "message_snapshots": [{"message": {name: body[name] for name in _SNAPSHOT_FIELDS}}],
        }

    async def _remove(self, work: UnitOfWork, here: ChannelAccess, ids: list[int]) -> None:
        await work.connection.execute(delete(messages).where(messages.c.id.in_(ids)))
        if here.row.last_message_id in ids:
            newest = await work.connection.scalar(
                select(func.max(messages.c.id)).where(messages.c.channel_id == here.id)
            )
            await work.connection.execute(
                update(channels).where(channels.c.id == here.id).values(last_message_id=newest)
            )

    async def _announce(
        self,
        work: UnitOfWork,
        here: ChannelAccess,
        row: Row[Any],
        name: str,
        known: dict[int, Json] | None = None,
        *,
        nonce: str | None = None,
    ) -> Json:
        """Tell everybody of a message. One with `known` users is new; its `nonce` is told even if it isn't kept."""
        fresh = known is not None
        (body,) = await message_objects(
            work.connection, [row], here.account.user_id, here.guild_id, known=known, fresh=fresh
        )
        if nonce is not None:
            body["nonce"] = json.loads(nonce)
        for_all = body
        if "reactions" in body:  # `me` is another one for everybody
            for_all = {**body, "reactions": [{**one, "me": False} for one in body["reactions"]]}
        data = {**for_all, **here.where, **here.member}
        await self._tell(work, here, name, data, content_of=None if here.is_dm else here.account.user_id)
        return body

    async def _tell(
        self, work: UnitOfWork, here: ChannelAccess, name: str, data: Json, *, content_of: int | None = None
    ) -> None:
        recipients = await here.recipients(self._world, work)
        intents = here.intent_for(Intents.GUILD_MESSAGES, Intents.DIRECT_MESSAGES)
        self._world.tell(work, name, data, recipients, intents=intents, content_of=content_of)


def _not_in_dms() -> ApiError:
    return ApiError(403, 50003, "Cannot execute action on a DM channel")
