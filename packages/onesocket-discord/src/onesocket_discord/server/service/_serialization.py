"""Builds Discord's JSON objects from rows, with all keys that libraries expect."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import Row

from ...protocol._snowflakes import iso_timestamp, snowflake_time
from .._ports import Account, Json

GUILD_TEXT = 0
DM = 1

_EVERYONE_PERMISSIONS = sum(1 << bit for bit in (0, 6, 10, 11, 14, 16, 17, 18, 26, 31))
"""Permissions of @everyone: invite, react, view, send, embed, read history, mention, foreign emojis, nick, commands."""

_APPLICATION_FLAGS = 1 << 12 | 1 << 14 | 1 << 18
"""Application flags: the privileged intents are enabled without an approval."""


def user(user_id: int, username: str, *, bot: bool) -> Json:
    """A user as other users see it."""
    return {
        "id": str(user_id),
        "username": username,
        "discriminator": "0",
        "global_name": None,
        "avatar": None,
        "avatar_decoration_data": None,
        "banner": None,
        "accent_color": None,
        "bot": bot,
        "system": False,
        "public_flags": 0,
    }


def user_from_row(row: Row[Any]) -> Json:
    """The user in a row that has the columns of `users`."""
    return user(row.id, row.username, bot=row.bot)


def user_from_account(account: Account) -> Json:
    """The user behind an account."""
    return user(account.user_id, account.username, bot=account.bot)


def current_user(account: Account) -> Json:
    """A user as it sees itself."""
    own = {"verified": True, "email": None, "mfa_enabled": False, "locale": "en-US", "premium_type": 0, "flags": 0}
    return {**user_from_account(account), **own}


def application(account: Account, owner: Json) -> Json:
    """A bot's application; it has the bot's id."""
    return {
        "id": str(account.user_id),
        "name": account.username,
        "icon": None,
        "description": "",
        "summary": "",
        "type": None,
        "bot_public": True,
        "bot_require_code_grant": False,
        "verify_key": "0" * 64,
        "owner": owner,
        "team": None,
        "flags": _APPLICATION_FLAGS,
        "rpc_origins": [],
        "redirect_uris": [],
        "tags": [],
        "hook": False,
        "bot": user_from_account(account),
    }


def short_application(account: Account) -> Json:
    """The application in READY; empty for a person, as libraries expect the key."""
    return {"id": str(account.user_id), "flags": _APPLICATION_FLAGS if account.bot else 0}


def member(joined_at: float, who: Json | None = None) -> Json:
    """A guild member; without `who` as messages have it."""
    body: Json = {
        "nick": None,
        "avatar": None,
        "banner": None,
        "roles": [],
        "joined_at": iso_timestamp(joined_at),
        "premium_since": None,
        "deaf": False,
        "mute": False,
        "flags": 0,
        "pending": False,
        "communication_disabled_until": None,
    }
    return body if who is None else {"user": who, **body}


def guild(row: Row[Any]) -> Json:
    """A guild without channels and members."""
    return {
        "id": str(row.id),
        "name": row.name,
        "icon": None,
        "icon_hash": None,
        "splash": None,
        "discovery_splash": None,
        "owner_id": str(row.owner_id),
        "region": "deprecated",
        "afk_channel_id": None,
        "afk_timeout": 300,
        "widget_enabled": False,
        "widget_channel_id": None,
        "verification_level": 0,
        "default_message_notifications": 0,
        "explicit_content_filter": 0,
        "roles": [_everyone_role(row.id)],
        "emojis": [],
        "stickers": [],
        "features": [],
        "mfa_level": 0,
        "application_id": None,
        "system_channel_id": None,
        "system_channel_flags": 0,
        "rules_channel_id": None,
        "public_updates_channel_id": None,
        "safety_alerts_channel_id": None,
        "max_presences": None,
        "max_members": 500_000,
        "max_video_channel_users": 0,
        "max_stage_video_channel_users": 0,
        "vanity_url_code": None,
        "description": None,
        "banner": None,
        "premium_tier": 0,
        "premium_subscription_count": 0,
        "premium_progress_bar_enabled": False,
        "preferred_locale": "en-US",
        "nsfw": False,
        "nsfw_level": 0,
        "hub_type": None,
        "latest_onboarding_question_id": None,
        "incidents_data": None,
    }


def guild_create(
    row: Row[Any], joined_at: float, channels: Sequence[Json], members: Sequence[Json], presences: Sequence[Json]
) -> Json:
    """A guild as its member sees it when it becomes available."""
    return {
        **guild(row),
        "joined_at": iso_timestamp(joined_at),
        "large": False,
        "unavailable": False,
        "member_count": len(members),
        "channels": channels,
        "members": members,
        "presences": presences,
        "threads": [],
        "voice_states": [],
        "stage_instances": [],
        "guild_scheduled_events": [],
        "soundboard_sounds": [],
    }


def _everyone_role(guild_id: int) -> Json:
    return {
        "id": str(guild_id),
        "name": "@everyone",
        "description": None,
        "color": 0,
        "colors": {"primary_color": 0, "secondary_color": None, "tertiary_color": None},
        "hoist": False,
        "icon": None,
        "unicode_emoji": None,
        "position": 0,
        "permissions": str(_EVERYONE_PERMISSIONS),
        "managed": False,
        "mentionable": False,
        "flags": 0,
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
    return {
        **body,
        "guild_id": str(row.guild_id),
        "name": row.name,
        "topic": row.topic,
        "position": row.position,
        "permission_overwrites": [],
        "parent_id": None,
        "nsfw": False,
        "rate_limit_per_user": 0,
    }


def message(row: Row[Any], who: Json, mentions: Sequence[Json], nonce: Any = None) -> Json:
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
        "attachments": [],
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
