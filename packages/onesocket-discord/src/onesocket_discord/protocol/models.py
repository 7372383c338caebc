"""The objects inside the common events, as msgspec structs.

A field that the server left out is None, and fields that are not named here are in `Dispatch.plain`. Ids are strings
of digits, as on the wire; times are ISO 8601 strings. All subscribers share the structs, so they are frozen.
"""

from __future__ import annotations

from typing import Any

from msgspec import Struct

JsonObject = dict[str, Any]


class Model(Struct, frozen=True, kw_only=True, gc=False):
    """Base class of the models."""


class User(Model, frozen=True):
    """A person or a bot."""

    id: str
    username: str = ""
    discriminator: str = "0"
    global_name: str | None = None
    avatar: str | None = None
    bot: bool = False
    system: bool = False


class PartialUser(Model, frozen=True):
    """A user; only the id is always present."""

    id: str
    username: str | None = None


class Member(Model, frozen=True):
    """The membership of a user in a guild; `user` is missing inside messages."""

    user: User | None = None
    nick: str | None = None
    avatar: str | None = None
    roles: tuple[str, ...] = ()
    joined_at: str | None = None
    deaf: bool | None = None
    mute: bool | None = None
    flags: int = 0
    pending: bool | None = None
    permissions: str | None = None


class Role(Model, frozen=True):
    """A role of a guild."""

    id: str
    name: str = ""
    color: int = 0
    hoist: bool = False
    position: int = 0
    permissions: str = "0"
    managed: bool = False
    mentionable: bool = False


class Emoji(Model, frozen=True):
    """A guild's emoji (with `id`), or one of Unicode (`name` alone)."""

    id: str | None = None
    name: str | None = None
    animated: bool | None = None


class Channel(Model, frozen=True):
    """A channel, thread or direct message."""

    id: str
    type: int = 0
    guild_id: str | None = None
    name: str | None = None
    topic: str | None = None
    position: int | None = None
    parent_id: str | None = None
    nsfw: bool | None = None
    last_message_id: str | None = None
    recipients: tuple[User, ...] | None = None
    owner_id: str | None = None


class Guild(Model, frozen=True):
    """A guild; while `unavailable`, its id is all there is."""

    id: str
    unavailable: bool = False
    name: str | None = None
    icon: str | None = None
    owner_id: str | None = None
    preferred_locale: str | None = None
    member_count: int | None = None
    large: bool | None = None
    joined_at: str | None = None
    roles: tuple[Role, ...] = ()
    channels: tuple[Channel, ...] = ()
    threads: tuple[Channel, ...] = ()
    members: tuple[Member, ...] = ()
    presences: tuple[JsonObject, ...] = ()


class Attachment(Model, frozen=True):
    """A file of a message."""

    id: str
    filename: str = ""
    size: int = 0
    url: str = ""
    content_type: str | None = None


class Reaction(Model, frozen=True):
    """How often an emoji was set on a message."""

    emoji: Emoji
    count: int = 0
    me: bool = False


class MessageReference(Model, frozen=True):
    """The message that another one replies to or forwards."""

    message_id: str | None = None
    channel_id: str | None = None
    guild_id: str | None = None


class Message(Model, frozen=True):
    """A message; in an update only `id` and `channel_id` are certain."""

    id: str
    channel_id: str
    guild_id: str | None = None
    author: User | None = None
    member: Member | None = None
    content: str | None = None
    timestamp: str | None = None
    edited_timestamp: str | None = None
    tts: bool | None = None
    mention_everyone: bool | None = None
    mentions: tuple[User, ...] | None = None
    mention_roles: tuple[str, ...] | None = None
    attachments: tuple[Attachment, ...] | None = None
    embeds: tuple[JsonObject, ...] | None = None
    reactions: tuple[Reaction, ...] | None = None
    nonce: str | int | None = None
    pinned: bool | None = None
    type: int | None = None
    flags: int | None = None
    webhook_id: str | None = None
    message_reference: MessageReference | None = None
    referenced_message: Message | None = None
