"""Builds Discord's JSON objects from rows, with all keys that libraries expect."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final
from urllib.parse import quote

import msgspec
from sqlalchemy import Row

from ...protocol._intents import Intents
from ...protocol._snowflakes import iso_timestamp, snowflake_time
from .._ports import Account, Json
from ._permissions import EVERYONE

GUILD_TEXT = 0
DM = 1

_INTENT_FLAGS: Final = {
    Intents.GUILD_PRESENCES: 1 << 12,
    Intents.GUILD_MEMBERS: 1 << 14,
    Intents.MESSAGE_CONTENT: 1 << 18,
}
"""Flags of an application: the privileged intents that are enabled, without an approval."""


# The keys whose values are the same in all objects. Shared between objects, so nothing in them is changed in place.
_USER: Json = msgspec.json.decode("""{
    "discriminator": "0", "global_name": null, "avatar": null, "avatar_decoration_data": null, "banner": null,
    "accent_color": null, "system": false, "public_flags": 0
}""")
_CURRENT_USER: Json = msgspec.json.decode("""{
    "verified": true, "email": null, "mfa_enabled": false, "locale": "en-US", "premium_type": 0, "flags": 0
}""")
_APPLICATION: Json = msgspec.json.decode("""{
    "icon": null, "description": "", "summary": "", "type": null, "bot_require_code_grant": false,
    "team": null, "rpc_origins": [], "redirect_uris": [], "tags": [], "hook": false
}""")
_MEMBER: Json = msgspec.json.decode("""{
    "nick": null, "avatar": null, "banner": null, "roles": [], "premium_since": null, "deaf": false, "mute": false,
    "flags": 0, "pending": false, "communication_disabled_until": null
}""")
_GUILD: Json = msgspec.json.decode("""{
    "icon": null, "icon_hash": null, "splash": null, "discovery_splash": null, "banner": null, "description": null,
    "region": "deprecated", "preferred_locale": "en-US", "vanity_url_code": null, "hub_type": null,
    "afk_channel_id": null, "afk_timeout": 300, "widget_enabled": false, "widget_channel_id": null,
    "system_channel_id": null, "system_channel_flags": 0, "rules_channel_id": null,
    "public_updates_channel_id": null, "safety_alerts_channel_id": null, "application_id": null,
    "verification_level": 0, "default_message_notifications": 0, "explicit_content_filter": 0, "mfa_level": 0,
    "nsfw": false, "nsfw_level": 0, "emojis": [], "stickers": [], "features": [], "incidents_data": null,
    "max_presences": null, "max_members": 500000, "max_video_channel_users": 0, "max_stage_video_channel_users": 0,
    "premium_tier": 0, "premium_subscription_count": 0, "premium_progress_bar_enabled": false,
    "latest_onboarding_question_id": null
}""")
_GUILD_CREATE: Json = msgspec.json.decode("""{
    "large": false, "unavailable": false, "threads": [], "voice_states": [], "stage_instances": [],
    "guild_scheduled_events": [], "soundboard_sounds": []
}""")
_EVERYONE_ROLE: Json = msgspec.json.decode("""{
    "name": "@everyone", "description": null, "color": 0, "hoist": false, "icon": null, "unicode_emoji": null,
    "colors": {"primary_color": 0, "secondary_color": null, "tertiary_color": null},
    "position": 0, "managed": false, "mentionable": false, "flags": 0
}""")
_GUILD_CHANNEL: Json = msgspec.json.decode("""{
    "permission_overwrites": [], "parent_id": null, "nsfw": false, "rate_limit_per_user": 0
}""")


def user(user_id: int, username: str, *, bot: bool) -> Json:
    """A user as other users see it."""
    return {"id": str(user_id), "username": username, **_USER, "bot": bot}


def user_from_row(row: Row[Any]) -> Json:
    """The user in a row that has the columns of `users`."""
    return user(row.id, row.username, bot=row.bot)


def user_from_account(account: Account) -> Json:
    """The user behind an account."""
    return user(account.user_id, account.username, bot=account.bot)


def current_user(account: Account) -> Json:
    """A user as it sees itself."""
    return {**user_from_account(account), **_CURRENT_USER}


def application(account: Account, owner: Json, *, is_public: bool) -> Json:
    """A bot's application; it has the bot's id."""
    return {
        "id": str(account.user_id),
        "name": account.username,
        **_APPLICATION,
        "verify_key": "0" * 64,
        "owner": owner,
        "bot_public": is_public,
        "flags": _application_flags(account),
        "bot": user_from_account(account),
    }


def short_application(account: Account) -> Json:
    """The application in READY; empty for a person, as libraries expect the key."""
    return {"id": str(account.user_id), "flags": _application_flags(account) if account.bot else 0}


def _application_flags(account: Account) -> int:
    return sum(flag for intent, flag in _INTENT_FLAGS.items() if account.has_intent(intent))


def member(row: Row[Any], who: Json | None = None) -> Json:
    """The guild member in a row with `joined_at` and the `roles` of `members`; without `who` as messages have it."""
    body = {**_MEMBER, "joined_at": iso_timestamp(row.joined_at), "roles": list(map(str, row.roles or ()))}
    return body if who is None else {"user": who, **body}


def everyone_role(guild_id: int) -> Json:
    """The role that all members of a guild have; it has the guild's id."""
    return {"id": str(guild_id), **_EVERYONE_ROLE, "permissions": str(int(EVERYONE))}


def role(row: Row[Any]) -> Json:
    """A role in a row of `roles`."""
    return {
        **_EVERYONE_ROLE,
        "id": str(row.id),
        "name": row.name,
        "permissions": str(row.permissions),
        "position": row.position,
        "color": row.color,
        "colors": {"primary_color": row.color, "secondary_color": None, "tertiary_color": None},
        "hoist": row.hoist,
        "mentionable": row.mentionable,
    }


def guild(row: Row[Any], roles: Iterable[Row[Any]]) -> Json:
    """A guild with its roles, without channels and members."""
    every = [everyone_role(row.id), *map(role, roles)]
    return {"id": str(row.id), "name": row.name, "owner_id": str(row.owner_id), **_GUILD, "roles": every}


def guild_create(
    row: Row[Any],
    roles: Iterable[Row[Any]],
    channels: Sequence[Json],
    members: Sequence[Json],
    presences: Sequence[Json],
) -> Json:
    """A guild as its member, whose `joined_at` is in the row, sees it when it becomes available."""
    return {
        **guild(row, roles),
        **_GUILD_CREATE,
        "joined_at": iso_timestamp(row.joined_at),
        "member_count": len(members),
        "channels": channels,
        "members": members,
        "presences": presences,
    }


def channel(row: Row[Any], recipients: Iterable[Json] = ()) -> Json:
    """A text channel, or a DM with its other participants."""
    body: Json = {
        "id": str(row.id),
        "type": row.type,
        "last_message_id": _optional_id(row.last_message_id),
        "last_pin_timestamp": None if row.last_pin_at is None else iso_timestamp(row.last_pin_at),
        "flags": 0,
    }
    if row.type == DM:
        return {**body, "recipients": list(recipients)}
    own = {"guild_id": str(row.guild_id), "name": row.name, "topic": row.topic, "position": row.position}
    return {**body, **own, **_GUILD_CHANNEL}


def attachment(stored: Json, channel_id: int, files_url: str) -> Json:
    """A file of a message. `files_url`: the address of the server, without a slash at the end."""
    url = f"{files_url}/attachments/{channel_id}/{stored['id']}/{quote(stored['filename'])}?key={stored['key']}"
    shown = {name: value for name, value in stored.items() if name != "key"}
    return {**shown, "url": url, "proxy_url": url, "flags": 0}


def message(row: Row[Any], who: Json, mentions: Sequence[Json], nonce: Any = None, *, files_url: str = "") -> Json:
    """A message, without what it replies to and without reactions."""
    body: Json = {
        "id": str(row.id),
        "channel_id": str(row.channel_id),
        "author": who,
        "content": row.content,
        "timestamp": iso_timestamp(snowflake_time(row.id)),
        "edited_timestamp": None if row.edited_at is None else iso_timestamp(row.edited_at),
        "tts": row.tts,
        "mention_everyone": row.mention_everyone,
        "mentions": mentions,
        "mention_roles": [],
        "attachments": [attachment(one, row.channel_id, files_url) for one in row.attachments or ()],
        "embeds": row.embeds,
        "components": row.components,
        "pinned": row.pinned_at is not None,
        "type": row.type,
        "flags": row.flags,
    }
    if nonce is not None:
        body["nonce"] = nonce
    if row.forward is not None:
        body.update(row.forward)
    return body


def _optional_id(number: int | None) -> str | None:
    return None if number is None else str(number)
