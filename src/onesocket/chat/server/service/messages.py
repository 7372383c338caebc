"""Write, change and delete messages."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from sqlalchemy import BigInteger, Row, String, bindparam, delete, func, insert, select, update

from ..form import Form, as_list
from ..ids import parse_snowflake
from ..ports import Account, Json
from ..refusal import Refused, invalid_field
from ..store import Work
from ..store.tables import channels, messages
from . import shapes
from .access import Place, place
from .channels import mark_read
from .history import REPLY, find, page, people, shaped
from .intents import DIRECT_MESSAGES, GUILD_MESSAGES
from .world import World

_LONGEST = 2000
_USER = re.compile(r"<@!?(\d{1,20})>", re.ASCII)
_EVERYONE = re.compile(r"@(?:everyone|here)\b")
_MOST_MENTIONS = 100
_SUPPRESSIBLE = 1 << 2 | 1 << 12
"""The flags a sender may set: no embeds, no notification."""

# Built once: building a statement costs more than running it.
_ADD = insert(messages).returning(*messages.c)
_NEWEST = (
    update(channels)
    .where(channels.c.id == bindparam("channel", type_=BigInteger))
    .values(last_message_id=bindparam("newest", type_=BigInteger))
)
_SAME_NONCE = select(messages).where(
    messages.c.author_id == bindparam("author", type_=BigInteger),
    messages.c.channel_id == bindparam("channel", type_=BigInteger),
    messages.c.nonce == bindparam("nonce", type_=String),
)


class Messages:
    """What is said, in the order in which it was stored."""

    def __init__(self, world: World) -> None:
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
            here = await place(connection, account, channel_id)
            rows = await page(connection, channel_id, limit=limit, around=around, before=before, after=after)
            return await shaped(connection, rows, account.user_id, here.guild_id)

    async def get(self, account: Account, channel_id: int, message_id: int) -> Json:
        """One message."""
        async with self._world.store.reading() as connection:
            here = await place(connection, account, channel_id)
            row = await find(connection, channel_id, message_id)
            (body,) = await shaped(connection, [row], account.user_id, here.guild_id)
        return body

    async def post(self, account: Account, channel_id: int, body: Json) -> Json:
        """Store a message and tell everybody. The same author's same ``nonce`` in the same channel is the same message.

        Only a request that says ``enforce_nonce: false`` may use a nonce twice.
        """
        draft = _draft(body)

        async def operation(work: Work) -> Json:
            here = await place(work.connection, account, channel_id)
            first = await self._first_with(work, here, draft.unique_nonce)
            if first is None:
                row, known = await self._insert(work, here, draft)
                author = {account.user_id: shapes.author(account)}
                stored = await self._announce(work, here, row, "MESSAGE_CREATE", {**known, **author})
            else:
                (stored,) = await shaped(work.connection, [first], account.user_id, here.guild_id)
            # Said again even if the nonce was not kept: the sender knows its message by it.
            return stored if draft.nonce is None else {**stored, "nonce": json.loads(draft.nonce)}

        return await self._world.store.write(operation)

    async def edit(self, account: Account, channel_id: int, message_id: int, body: Json) -> Json:
        """Change one's own message: ``content``, ``embeds``, ``components``, ``flags``."""
        form = Form(body)
        changes: dict[str, Any] = {}
        if "content" in form:
            changes["content"] = form.text("content", most=_LONGEST) or ""
        changes.update({name: form.objects(name, most=most) for name, most in _PARTS if name in form})
        if "flags" in form:
            changes["flags"] = (form.integer("flags", least=0, most=2**31 - 1) or 0) & _SUPPRESSIBLE
        allowed = _Allowed.read(form.inner("allowed_mentions"))
        form.check()

        async def operation(work: Work) -> Json:
            here = await place(work.connection, account, channel_id)
            row = await find(work.connection, channel_id, message_id)
            if row.author_id != account.user_id:
                raise Refused(403, 50005, "Cannot edit a message authored by another user")
            content = changes.get("content", row.content)
            if not content.strip() and not changes.get("embeds", row.embeds):
                raise _empty()
            if "content" in changes:
                mentioned = await people(work.connection, allowed.mentions(content))
                changes["mentions"] = list(mentioned)
                changes["mention_everyone"] = allowed.mentions_everyone(content)
            changed = update(messages).where(messages.c.id == message_id)
            await work.connection.execute(changed.values(**changes, edited_at=self._world.ids.now()))
            row = await find(work.connection, channel_id, message_id)
            return await self._announce(work, here, row, "MESSAGE_UPDATE")

        return await self._world.store.write(operation)

    async def delete(self, account: Account, channel_id: int, message_id: int) -> None:
        """Delete a message: its author may, and the guild's owner."""

        async def operation(work: Work) -> None:
            here = await place(work.connection, account, channel_id)
            row = await find(work.connection, channel_id, message_id)
            if row.author_id != account.user_id:
                if here.is_dm:
                    raise _not_in_dms()
                here.must_own()
            await self._remove(work, here, [message_id])
            data = {"id": str(message_id), **here.where}
            await self._tell(work, here, "MESSAGE_DELETE", data)

        await self._world.store.write(operation)

    async def delete_many(self, account: Account, channel_id: int, body: Json) -> None:
        """Delete 2 to 100 ``messages`` at once; the guild's owner may. Those that don't exist are passed over."""
        form = Form(body)
        ids = form.snowflakes("messages", least=2, most=100)
        form.check()

        async def operation(work: Work) -> None:
            here = await place(work.connection, account, channel_id)
            if here.is_dm:
                raise _not_in_dms()
            here.must_own()
            wanted = select(messages.c.id).where(messages.c.id.in_(ids), messages.c.channel_id == channel_id)
            found = list((await work.connection.scalars(wanted)).all())
            if found:
                await self._remove(work, here, found)
                data = {"ids": [str(one) for one in found], **here.where}
                await self._tell(work, here, "MESSAGE_DELETE_BULK", data)

        await self._world.store.write(operation)

    # --- inside -----------------------------------------------------------------------------------------------------

    async def _first_with(self, work: Work, here: Place, nonce: str | None) -> Row[Any] | None:
        if nonce is None:
            return None
        of = {"author": here.account.user_id, "channel": here.id, "nonce": nonce}
        return (await work.connection.execute(_SAME_NONCE, of)).one_or_none()

    async def _insert(self, work: Work, here: Place, draft: _Draft) -> tuple[Row[Any], dict[int, Json]]:
        mentioned = draft.allowed.mentions(draft.content)
        if draft.reference_id is not None:
            author = await self._referenced(work, here, draft)
            if author is None:
                draft.reference_id = None
            elif draft.allowed.replied_user and author not in mentioned:
                mentioned.append(author)
        known = await people(work.connection, mentioned) if mentioned else {}
        values = {
            "id": self._world.ids.next(),
            "channel_id": here.id,
            "author_id": here.account.user_id,
            "type": 0 if draft.reference_id is None else REPLY,
            "content": draft.content,
            "nonce": draft.unique_nonce,
            "reference_id": draft.reference_id,
            "tts": draft.tts,
            "flags": draft.flags,
            "mention_everyone": draft.allowed.mentions_everyone(draft.content),
            "mentions": [user_id for user_id in mentioned if user_id in known],
            "embeds": draft.embeds,
            "components": draft.components,
        }
        row = (await work.connection.execute(_ADD, values)).one()
        await work.connection.execute(_NEWEST, {"channel": here.id, "newest": row.id})
        if not here.account.bot:
            await mark_read(work, here.account.user_id, here.id, row.id)
        return row, known

    async def _referenced(self, work: Work, here: Place, draft: _Draft) -> int | None:
        wanted = select(messages.c.author_id).where(
            messages.c.id == draft.reference_id, messages.c.channel_id == here.id
        )
        author: int | None = await work.connection.scalar(wanted)
        if author is None and draft.must_exist:
            raise invalid_field("message_reference", "REPLIES_UNKNOWN_MESSAGE", "Unknown message")
        return author

    async def _remove(self, work: Work, here: Place, ids: list[int]) -> None:
        await work.connection.execute(delete(messages).where(messages.c.id.in_(ids)))
        if here.row.last_message_id in ids:
            newest = await work.connection.scalar(
                select(func.max(messages.c.id)).where(messages.c.channel_id == here.id)
            )
            await work.connection.execute(
                update(channels).where(channels.c.id == here.id).values(last_message_id=newest)
            )

    async def _announce(
        self, work: Work, here: Place, row: Row[Any], name: str, known: dict[int, Json] | None = None
    ) -> Json:
        """Tell everybody of a message; one that comes with `known` users is new."""
        fresh = known is not None
        (body,) = await shaped(work.connection, [row], here.account.user_id, here.guild_id, known=known, fresh=fresh)
        for_all = body
        if "reactions" in body:  # `me` is another one for everybody
            for_all = {**body, "reactions": [{**one, "me": False} for one in body["reactions"]]}
        data = {**for_all, **here.where, **here.member}
        await self._tell(work, here, name, data, content_of=None if here.is_dm else here.account.user_id)
        return body

    async def _tell(self, work: Work, here: Place, name: str, data: Json, *, content_of: int | None = None) -> None:
        recipients = await here.recipients(self._world, work)
        intents = here.either(GUILD_MESSAGES, DIRECT_MESSAGES)
        self._world.tell(work, name, data, recipients, intents=intents, content_of=content_of)


@dataclass(slots=True)
class _Allowed:
    """``allowed_mentions``: whom a message may mention."""

    users: bool = True
    named: frozenset[int] = frozenset()
    everyone: bool = True
    replied_user: bool = True

    @classmethod
    def read(cls, body: Json | None) -> _Allowed:
        if body is None:
            return cls()
        parse = as_list(body.get("parse")) or ()
        ids = [parse_snowflake(one) for one in as_list(body.get("users")) or ()]
        known = frozenset(one for one in ids if one is not None)
        return cls("users" in parse, known, "everyone" in parse, bool(body.get("replied_user")))

    def mentions(self, content: str) -> list[int]:
        found = dict.fromkeys(parse_snowflake(one) for one in _USER.findall(content))
        return [one for one in found if one is not None and (self.users or one in self.named)][:_MOST_MENTIONS]

    def mentions_everyone(self, content: str) -> bool:
        return self.everyone and _EVERYONE.search(content) is not None


@dataclass(slots=True)
class _Draft:
    content: str
    nonce: str | None
    unique: bool
    tts: bool
    flags: int
    embeds: list[Json]
    components: list[Json]
    allowed: _Allowed
    reference_id: int | None
    must_exist: bool

    @property
    def unique_nonce(self) -> str | None:
        return self.nonce if self.unique else None


_PARTS = (("embeds", 10), ("components", 40))


def _draft(body: Json) -> _Draft:
    form = Form(body)
    reference = form.inner("message_reference")
    inner = Form(reference or {})
    draft = _Draft(
        content=form.text("content", most=_LONGEST) or "",
        nonce=_nonce(body, form),
        unique=body.get("enforce_nonce") is not False,
        tts=form.flag("tts"),
        flags=(form.integer("flags", least=0, most=2**31 - 1) or 0) & _SUPPRESSIBLE,
        embeds=form.objects("embeds", most=10),
        components=form.objects("components", most=40),
        allowed=_Allowed.read(form.inner("allowed_mentions")),
        reference_id=inner.snowflake("message_id", required=reference is not None),
        must_exist=reference is None or reference.get("fail_if_not_exists") is not False,
    )
    form.flag("enforce_nonce")
    error = inner.error()
    if error is not None and error.errors is not None:
        form.nest("message_reference", error.errors)
    form.check()
    if not draft.content.strip() and not draft.embeds:
        raise _empty()
    return draft


def _nonce(body: Json, form: Form) -> str | None:
    nonce = body.get("nonce")
    if nonce is None:
        return None
    if isinstance(nonce, bool) or not isinstance(nonce, str | int) or len(str(nonce)) > 25 or "\0" in str(nonce):
        form.wrong("nonce", "NONCE_TYPE_TOO_LONG", "Must be an integer or a string of 25 or fewer in length.")
        return None
    return json.dumps(nonce, ensure_ascii=False)


def _empty() -> Refused:
    return Refused(400, 50006, "Cannot send an empty message")


def _not_in_dms() -> Refused:
    return Refused(403, 50003, "Cannot execute action on a DM channel")
