"""Validated content of a request to post or edit a message."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any, Final

from ...protocol._limits import MAX_CONTENT_LENGTH
from ...protocol._literals import without_literals
from ...protocol._snowflakes import parse_snowflake
from .._api_error import ApiError
from .._field_reader import FieldReader, as_list
from .._names import is_blank
from .._ports import Json
from ._components import IS_COMPONENTS_V2, read_components
from ._embeds import read_embeds

_USER_MENTION = re.compile(r"<@!?(\d{1,20})>", re.ASCII)
_EVERYONE_MENTION = re.compile(r"@(?:everyone|here)\b")
_MAX_MENTIONS = 100
_SETTABLE_FLAGS: Final = 1 << 2 | 1 << 12 | IS_COMPONENTS_V2
"""The flags that a sender may set: no embeds, no notification, Components V2."""
_FORWARD_TYPE: Final = 1
"""The type of a message reference that forwards; 0 replies."""


@dataclass(slots=True)
class AllowedMentions:
    """``allowed_mentions``: the users that a message may mention."""

    users: bool = True
    named: frozenset[int] = frozenset()
    everyone: bool = True
    replied_user: bool = True

    @classmethod
    def read(cls, fields: FieldReader) -> AllowedMentions:
        """Read the mentions that a request allows."""
        if fields.inner("allowed_mentions") is None:
            return cls()
        return fields.one("allowed_mentions", cls._read) or cls()

    @classmethod
    def _read(cls, fields: FieldReader) -> AllowedMentions:
        parse = as_list(fields.body.get("parse")) or []
        given = {name: as_list(fields.body.get(name)) or [] for name in ("users", "roles")}
        for name, ids in given.items():
            if len(ids) > _MAX_MENTIONS:
                fields.add_error(name, "BASE_TYPE_MAX_LENGTH", f"Must be {_MAX_MENTIONS} or fewer in length.")
            elif ids and name in parse:
                text = f'parse:["{name}"] and {name}: [ids...] are mutually exclusive.'
                fields.add_error(name, "MESSAGE_ALLOWED_MENTIONS_PARSE_EXCLUSIVE", text)
        known = frozenset(one for one in map(parse_snowflake, given["users"]) if one is not None)
        return cls("users" in parse, known, "everyone" in parse, bool(fields.body.get("replied_user")))

    def mentions(self, content: str) -> list[int]:
        """Users that a text mentions, in order."""
        found = dict.fromkeys(parse_snowflake(one) for one in _USER_MENTION.findall(without_literals(content)))
        return [one for one in found if one is not None and (self.users or one in self.named)][:_MAX_MENTIONS]

    def mentions_everyone(self, content: str) -> bool:
        """True if a text mentions everyone."""
        return self.everyone and _EVERYONE_MENTION.search(without_literals(content)) is not None


@dataclass(frozen=True, slots=True)
class DraftReference:
    """The message that another one replies to, or forwards."""

    message_id: int
    channel_id: int | None
    must_exist: bool
    forwards: bool


@dataclass(frozen=True, slots=True)
class MessageDraft:
    """A message to be stored."""

    content: str
    nonce: str | None
    """As JSON: 1 and "1" are two."""
    unique: bool
    """True if a message with this nonce is stored once only."""
    tts: bool
    flags: int
    embeds: list[Json]
    components: list[Json]
    allowed: AllowedMentions
    reference: DraftReference | None

    @property
    def unique_nonce(self) -> str | None:
        """The nonce, if it is enforced."""
        return self.nonce if self.unique else None


def read_message_draft(body: Json, *, has_files: bool = False) -> MessageDraft:
    """Read a request to post. Raises `ApiError`. `has_files`: there may be nothing else."""
    fields = FieldReader(body)
    flags = _flags(fields)
    reference = fields.one("message_reference", _reference)
    draft = MessageDraft(
        content=fields.text("content", most=MAX_CONTENT_LENGTH) or "",
        nonce=_nonce(body, fields),
        unique=fields.flag("enforce_nonce"),
        tts=fields.flag("tts"),
        flags=flags,
        embeds=read_embeds(fields),
        components=read_components(fields, v2=bool(flags & IS_COMPONENTS_V2)),
        allowed=AllowedMentions.read(fields),
        reference=reference,
    )
    _check_layout(fields, flags, content=draft.content, embeds=draft.embeds)
    fields.check()
    if not has_files and (reference is None or not reference.forwards):
        check_not_empty(draft.content, draft.embeds, draft.components)
    return draft


def read_message_edit(body: Json, before: int) -> tuple[dict[str, Any], AllowedMentions]:
    """Read a request to edit a message with the flags `before`. Raises `ApiError`.

    Returns new values by column, and the allowed mentions. A message of Components V2 stays one.
    """
    fields = FieldReader(body)
    changes: dict[str, Any] = {}
    flags = _flags(fields) | before & IS_COMPONENTS_V2
    if "content" in fields:
        changes["content"] = fields.text("content", most=MAX_CONTENT_LENGTH) or ""
    if "embeds" in fields:
        changes["embeds"] = read_embeds(fields)
    if "components" in fields:
        changes["components"] = read_components(fields, v2=bool(flags & IS_COMPONENTS_V2))
    if "flags" in fields:
        changes["flags"] = flags
    allowed = AllowedMentions.read(fields)
    _check_layout(fields, flags, content=changes.get("content", ""), embeds=changes.get("embeds", []))
    fields.check()
    return changes, allowed


def check_not_empty(content: str, embeds: list[Json], components: list[Json]) -> None:
    """Raise `ApiError` (50006) for a message with nothing in it that can be seen."""
    if is_blank(content) and not embeds and not components:
        raise ApiError(400, 50006, "Cannot send an empty message")


def _flags(fields: FieldReader) -> int:
    return (fields.integer("flags", least=0, most=2**31 - 1) or 0) & _SETTABLE_FLAGS


def _check_layout(fields: FieldReader, flags: int, *, content: str, embeds: list[Json]) -> None:
    if flags & IS_COMPONENTS_V2:
        for name, given in (("content", content), ("embeds", embeds)):
            if given:
                text = f"The '{name}' field cannot be used when using MessageFlags.IS_COMPONENTS_V2"
                fields.add_error(name, "MESSAGE_CANNOT_USE_LEGACY_FIELDS_WITH_COMPONENTS_V2", text)


def _reference(fields: FieldReader) -> DraftReference:
    return DraftReference(
        message_id=fields.snowflake("message_id", required=True) or 0,
        channel_id=fields.snowflake("channel_id"),
        must_exist=fields.body.get("fail_if_not_exists") is not False,
        forwards=fields.one_of("type", (0, _FORWARD_TYPE), default=0) == _FORWARD_TYPE,
    )


def _nonce(body: Json, fields: FieldReader) -> str | None:
    nonce = body.get("nonce")
    if nonce is None:
        return None
    if isinstance(nonce, bool) or not isinstance(nonce, str | int) or len(str(nonce)) > 25 or "\0" in str(nonce):
        fields.add_error("nonce", "NONCE_TYPE_TOO_LONG", "Must be an integer or a string of 25 or fewer in length.")
        return None
    return json.dumps(nonce, ensure_ascii=False)
