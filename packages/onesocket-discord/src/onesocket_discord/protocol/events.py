"""The bodies of the common events. Events that aren't here are plain dicts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from .models import Channel, Emoji, Guild, JsonObject, Member, Message, Model, PartialUser, Role, User


class Application(Model, frozen=True):
    """The bot's application."""

    id: str
    flags: int = 0


class Ready(Model, frozen=True):
    """READY: the session has begun. Its guilds are unavailable until their GUILD_CREATE."""

    v: int = 10
    user: User | None = None
    guilds: tuple[Guild, ...] = ()
    session_id: str | None = None
    resume_gateway_url: str | None = None
    shard: tuple[int, int] | None = None
    application: Application | None = None


class GuildDelete(Model, frozen=True):
    """GUILD_DELETE: an outage (`unavailable`), or the bot is no member any more."""

    id: str
    unavailable: bool | None = None


class MessageDelete(Model, frozen=True):
    """MESSAGE_DELETE."""

    id: str
    channel_id: str
    guild_id: str | None = None


class MessageDeleteBulk(Model, frozen=True):
    """MESSAGE_DELETE_BULK."""

    ids: tuple[str, ...]
    channel_id: str
    guild_id: str | None = None


class MessageReaction(Model, frozen=True):
    """MESSAGE_REACTION_ADD and MESSAGE_REACTION_REMOVE."""

    user_id: str
    channel_id: str
    message_id: str
    emoji: Emoji
    guild_id: str | None = None
    member: Member | None = None
    message_author_id: str | None = None
    burst: bool = False


class MessageReactionsRemove(Model, frozen=True):
    """MESSAGE_REACTION_REMOVE_ALL, and MESSAGE_REACTION_REMOVE_EMOJI with its `emoji`."""

    channel_id: str
    message_id: str
    guild_id: str | None = None
    emoji: Emoji | None = None


class TypingStart(Model, frozen=True):
    """TYPING_START; `timestamp` is Unix time in seconds."""

    channel_id: str
    user_id: str
    guild_id: str | None = None
    timestamp: int | None = None
    member: Member | None = None


class PresenceUpdate(Model, frozen=True):
    """PRESENCE_UPDATE."""

    user: PartialUser
    guild_id: str | None = None
    status: str | None = None
    activities: tuple[JsonObject, ...] = ()
    client_status: JsonObject | None = None


class GuildMember(Model, frozen=True):
    """GUILD_MEMBER_ADD and GUILD_MEMBER_UPDATE."""

    guild_id: str
    user: User
    nick: str | None = None
    avatar: str | None = None
    roles: tuple[str, ...] = ()
    joined_at: str | None = None
    flags: int = 0
    pending: bool | None = None


class GuildMemberRemove(Model, frozen=True):
    """GUILD_MEMBER_REMOVE."""

    guild_id: str
    user: User


class GuildMembersChunk(Model, frozen=True):
    """GUILD_MEMBERS_CHUNK: one part of the answer to a request for members."""

    guild_id: str
    members: tuple[Member, ...] = ()
    chunk_index: int = 0
    chunk_count: int = 1
    not_found: tuple[Any, ...] = ()
    presences: tuple[JsonObject, ...] = ()
    nonce: str | None = None


class GuildRole(Model, frozen=True):
    """GUILD_ROLE_CREATE and GUILD_ROLE_UPDATE."""

    guild_id: str
    role: Role


class GuildRoleDelete(Model, frozen=True):
    """GUILD_ROLE_DELETE."""

    guild_id: str
    role_id: str


class ChannelPinsUpdate(Model, frozen=True):
    """CHANNEL_PINS_UPDATE."""

    channel_id: str
    guild_id: str | None = None
    last_pin_timestamp: str | None = None


class RateLimitedEvent(Model, frozen=True):
    """RATE_LIMITED: a request came too soon; `retry_after` in seconds."""

    opcode: int = 0
    retry_after: float = 0.0
    meta: JsonObject | None = None


EVENT_TYPES: Final[Mapping[str, type[Model]]] = {
    "READY": Ready,
    "CHANNEL_CREATE": Channel,
    "CHANNEL_UPDATE": Channel,
    "CHANNEL_DELETE": Channel,
    "CHANNEL_PINS_UPDATE": ChannelPinsUpdate,
    "GUILD_CREATE": Guild,
    "GUILD_UPDATE": Guild,
    "GUILD_DELETE": GuildDelete,
    "GUILD_MEMBER_ADD": GuildMember,
    "GUILD_MEMBER_UPDATE": GuildMember,
    "GUILD_MEMBER_REMOVE": GuildMemberRemove,
    "GUILD_MEMBERS_CHUNK": GuildMembersChunk,
    "GUILD_ROLE_CREATE": GuildRole,
    "GUILD_ROLE_UPDATE": GuildRole,
    "GUILD_ROLE_DELETE": GuildRoleDelete,
    "MESSAGE_CREATE": Message,
    "MESSAGE_UPDATE": Message,
    "MESSAGE_DELETE": MessageDelete,
    "MESSAGE_DELETE_BULK": MessageDeleteBulk,
    "MESSAGE_REACTION_ADD": MessageReaction,
    "MESSAGE_REACTION_REMOVE": MessageReaction,
    "MESSAGE_REACTION_REMOVE_ALL": MessageReactionsRemove,
    "MESSAGE_REACTION_REMOVE_EMOJI": MessageReactionsRemove,
    "PRESENCE_UPDATE": PresenceUpdate,
    "RATE_LIMITED": RateLimitedEvent,
    "THREAD_CREATE": Channel,
    "THREAD_UPDATE": Channel,
    "THREAD_DELETE": Channel,
    "TYPING_START": TypingStart,
    "USER_UPDATE": User,
}

EVENT_DECODERS: Final[Mapping[str, msgspec.json.Decoder[Any]]] = {
    event: msgspec.json.Decoder(kind) for event, kind in EVENT_TYPES.items()
}
