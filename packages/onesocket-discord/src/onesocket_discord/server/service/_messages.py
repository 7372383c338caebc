"""Messages of channels."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from sqlalchemy import BigInteger, Row, String, bindparam, delete, func, insert, select, update

from ...protocol._intents import Intents
from ...protocol._snowflakes import snowflake_time
from .._api_error import ApiError, invalid_field, unknown_resource
from .._field_reader import FieldReader
from .._ports import Account, Json
from ..store import UnitOfWork
from ..store._tables import channels, messages
from . import _serialization as serialize
from ._access import ChannelAccess, channel_access
from ._attachments import NewFile, UploadedFile, new_files, store_files
from ._channels import mark_read
from ._direct_messages import check_may_write
from ._message_draft import DraftReference, MessageDraft, check_not_empty, read_message_draft, read_message_edit
from ._message_history import REPLY_TYPE, MessageReader, find_message, message_page, readable_by, users_by_id
from ._permissions import Permission
from ._service_context import concurrent_transaction, transaction

# Built once: building a statement costs more than running it.
_INSERT_MESSAGE = insert(messages).returning(*messages.c)
_NEWEST = bindparam("newest", type_=BigInteger)
_ADVANCE_CHANNEL = (
    update(channels)
    .where(channels.c.id == bindparam("channel", type_=BigInteger), channels.c.sequence < _NEWEST)
    .values(last_message_id=_NEWEST, sequence=_NEWEST)
)
_SEQUENCE = select(channels.c.sequence).where(channels.c.id == bindparam("channel", type_=BigInteger)).with_for_update()
_SAME_NONCE = select(messages).where(
    messages.c.author_id == bindparam("author", type_=BigInteger),
    messages.c.channel_id == bindparam("channel", type_=BigInteger),
    messages.c.nonce == bindparam("nonce", type_=String),
)


_INTENTS = (Intents.GUILD_MESSAGES, Intents.DIRECT_MESSAGES)
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


class MessageService(MessageReader):
    """Stores, edits, deletes and lists messages."""

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
        async with self.reading() as connection:
            access = await channel_access(connection, account, channel_id)
            rows = await message_page(connection, channel_id, limit=limit, around=around, before=before, after=after)
            return await self.objects_for(connection, rows, account, access.guild_id)

    async def get(self, account: Account, channel_id: int, message_id: int) -> Json:
        """One message."""
        async with self.reading() as connection:
            access = await channel_access(connection, account, channel_id)
            row = await find_message(connection, channel_id, message_id)
            (body,) = await self.objects_for(connection, [row], account, access.guild_id)
        return body

    async def post(self, account: Account, channel_id: int, body: Json, files: Sequence[UploadedFile] = ()) -> Json:
        """Store a message with its files, and publish it.

        With ``enforce_nonce`` a repeated ``nonce`` of the author in the channel returns the first message, for minutes.
        """
        draft = read_message_draft(body, has_files=bool(files))  # an invalid one takes no transaction
        return await self._post(account, channel_id, draft, new_files(self._context, files, body) if files else ())

    @concurrent_transaction
    async def _post(
        self, work: UnitOfWork, account: Account, channel_id: int, draft: MessageDraft, files: Sequence[NewFile]
    ) -> Json:
        access = await channel_access(work.connection, account, channel_id)
        if access.is_dm:
            await check_may_write(work.connection, access.row, account)
        first = await self._first_with(work, access, draft.unique_nonce)
        if first is None:
            row, known = await self._insert(work, access, draft, files)
            await store_files(work, row.id, files)
            author = {account.user_id: serialize.user_from_account(account)}
            return await self._announce(work, access, row, "MESSAGE_CREATE", {**known, **author}, nonce=draft.nonce)
        (stored,) = await self.objects_for(work.connection, [first], account, access.guild_id)
        return stored

    @transaction
    async def edit(self, work: UnitOfWork, account: Account, channel_id: int, message_id: int, body: Json) -> Json:
        """Edit the account's own message: ``content``, ``embeds``, ``components``, ``flags``."""
        access = await channel_access(work.connection, account, channel_id)
        row = await find_message(work.connection, channel_id, message_id)
        if row.author_id != account.user_id:
            raise ApiError(403, 50005, "Cannot edit a message authored by another user")
        if access.is_dm:
            await check_may_write(work.connection, access.row, account)
        changes, allowed = read_message_edit(body, row.flags)
        after = {name: changes.get(name, getattr(row, name)) for name in ("content", "embeds", "components")}
        if row.forward is None and not row.attachments:
            check_not_empty(**after)
        if "content" in changes:
            content = after["content"]
            mentioned = await users_by_id(work.connection, allowed.mentions(content))
            changes["mentions"] = list(mentioned)
            changes["mention_everyone"] = allowed.mentions_everyone(content)
        changed = update(messages).where(messages.c.id == message_id)
        await work.execute(changed.values(**changes, edited_at=self._context.ids.now()))
        row = await find_message(work.connection, channel_id, message_id)
        return await self._announce(work, access, row, "MESSAGE_UPDATE")

    @transaction
    async def delete(self, work: UnitOfWork, account: Account, channel_id: int, message_id: int) -> None:
        """Delete a message: its author may, and members with MANAGE_MESSAGES."""
        access = await channel_access(work.connection, account, channel_id)
        row = await find_message(work.connection, channel_id, message_id)
        if row.author_id != account.user_id:
            if access.is_dm:
                raise _not_in_dms()
            await access.require(work.connection, Permission.MANAGE_MESSAGES)
        await self._remove(work, access, [message_id])
        await access.publish(self._context, work, "MESSAGE_DELETE", {"id": str(message_id)}, _INTENTS)

    @transaction
    async def delete_many(self, work: UnitOfWork, account: Account, channel_id: int, body: Json) -> None:
        """Delete 2 to 100 ``messages`` at once, with MANAGE_MESSAGES. Ids without a message are ignored.

        None of them may be older than 14 days (50034).
        """
        fields = FieldReader(body)
        ids = fields.snowflakes("messages", least=2, most=100)
        fields.check()
        if min(map(snowflake_time, ids)) < self._context.ids.now() - _BULK_DELETE_AGE:
            raise ApiError(400, 50034, "You can only bulk delete messages that are under 14 days old.")
        access = await channel_access(work.connection, account, channel_id)
        if access.is_dm:
            raise _not_in_dms()
        await access.require(work.connection, Permission.MANAGE_MESSAGES)
        wanted = select(messages.c.id).where(messages.c.id.in_(ids), messages.c.channel_id == channel_id)
        found = list((await work.scalars(wanted)).all())
        if found:
            await self._remove(work, access, found)
            data = {"ids": [str(one) for one in found]}
            await access.publish(self._context, work, "MESSAGE_DELETE_BULK", data, _INTENTS)

    # --- inside -----------------------------------------------------------------------------------------------------

    async def _first_with(self, work: UnitOfWork, access: ChannelAccess, nonce: str | None) -> Row[Any] | None:
        if nonce is None:
            return None
        of = {"author": access.account.user_id, "channel": access.id, "nonce": nonce}
        row = (await work.execute(_SAME_NONCE, of)).one_or_none()
        if row is None or snowflake_time(row.id) > self._context.ids.now() - _NONCE_TTL:
            return row
        await work.execute(update(messages).where(messages.c.id == row.id).values(nonce=None))
        return None

    async def _insert(
        self, work: UnitOfWork, access: ChannelAccess, draft: MessageDraft, files: Sequence[NewFile]
    ) -> tuple[Row[Any], dict[int, Json]]:
        mentioned = draft.allowed.mentions(draft.content)
        reference, forward, reply_to = draft.reference, None, None
        if reference is not None and reference.forwards:
            forward = await self._forwarded(work, access, reference)
        elif reference is not None:
            author = await self._referenced(work, access, reference)
            reply_to = None if author is None else reference.message_id
            if author is not None and draft.allowed.replied_user and author not in mentioned:
                mentioned.append(author)
        known = await users_by_id(work.connection, mentioned) if mentioned else {}
        values = {
            "id": await self._next_id(work, access.id),
            "channel_id": access.id,
            "author_id": access.account.user_id,
            "type": 0 if reply_to is None else REPLY_TYPE,
            "content": draft.content,
            "nonce": draft.unique_nonce,
            "reference_id": reply_to,
            "forward": forward,
            "tts": draft.tts,
            "flags": draft.flags,
            "mention_everyone": draft.allowed.mentions_everyone(draft.content),
            "mentions": [user_id for user_id in mentioned if user_id in known],
            "embeds": draft.embeds,
            "components": draft.components,
            "attachments": [file.about for file in files] or None,
        }
        row = (await work.execute(_INSERT_MESSAGE, values)).one()
        if not access.account.bot:
            await mark_read(work, access.account.user_id, access.id, row.id)
        return row, known

    async def _next_id(self, work: UnitOfWork, channel_id: int) -> int:
        """Take the channel's next id, and hold its row until the commit: its ids are in the order of the commits."""
        number = self._context.ids.next()
        while not (await work.execute(_ADVANCE_CHANNEL, {"channel": channel_id, "newest": number})).rowcount:
            # The clock of another server is ahead, or it stored a message since the id was made.
            newest = await work.scalar(_SEQUENCE, {"channel": channel_id})
            if newest is None:  # deleted meanwhile
                raise unknown_resource("Channel")
            number = self._context.ids.next(after=newest)
        return number

    async def _referenced(self, work: UnitOfWork, access: ChannelAccess, to: DraftReference) -> int | None:
        wanted = select(messages.c.author_id).where(messages.c.id == to.message_id, messages.c.channel_id == access.id)
        author: int | None = await work.scalar(wanted)
        if author is None and to.must_exist:
            raise invalid_field("message_reference", "REPLIES_UNKNOWN_MESSAGE", "Unknown message")
        return author

    async def _forwarded(self, work: UnitOfWork, access: ChannelAccess, of: DraftReference) -> Json:
        """Build a forward: the reference to its original, and a snapshot of it."""
        channel_id = of.channel_id or access.id
        there = access if channel_id == access.id else await channel_access(work.connection, access.account, channel_id)
        row = await find_message(work.connection, channel_id, of.message_id)
        (body,) = await self.objects(work.connection, [row], access.account.user_id, there.guild_id)
        if row.forward is not None:  # a forward of a forward refers to the original
            return dict(row.forward)
        guild = {} if there.guild_id is None else {"guild_id": str(there.guild_id)}
        where = {"type": 1, "message_id": str(row.id), "channel_id": str(channel_id), **guild}
        return {
            "message_reference": where,
            "message_snapshots": [{"message": {name: body[name] for name in _SNAPSHOT_FIELDS}}],
        }

    async def _remove(self, work: UnitOfWork, access: ChannelAccess, ids: list[int]) -> None:
        await work.execute(delete(messages).where(messages.c.id.in_(ids)))
        if access.row.last_message_id in ids:
            newest = await work.scalar(select(func.max(messages.c.id)).where(messages.c.channel_id == access.id))
            await work.execute(update(channels).where(channels.c.id == access.id).values(last_message_id=newest))

    async def _announce(
        self,
        work: UnitOfWork,
        access: ChannelAccess,
        row: Row[Any],
        name: str,
        known: dict[int, Json] | None = None,
        *,
        nonce: str | None = None,
    ) -> Json:
        """Publish a message. One with `known` users is new; its `nonce` is published even if it isn't stored."""
        fresh = known is not None
        (body,) = await self.objects(
            work.connection, [row], access.account.user_id, access.guild_id, known=known, fresh=fresh
        )
        if nonce is not None:
            body["nonce"] = json.loads(nonce)
        shared_body = body
        if "reactions" in body:  # `me` differs between recipients
            shared_body = {**body, "reactions": [{**one, "me": False} for one in body["reactions"]]}
        data = {**shared_body, **access.member}
        await access.publish(self._context, work, name, data, _INTENTS, content_of=access.account.user_id)
        return readable_by(access.account, access.guild_id, body)


def _not_in_dms() -> ApiError:
    return ApiError(403, 50003, "Cannot execute action on a DM channel")
