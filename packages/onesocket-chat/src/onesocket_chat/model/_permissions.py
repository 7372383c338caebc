"""Permissions of a guild's members, by their roles and ranks."""

from __future__ import annotations

import enum
import math
from typing import Final, NamedTuple

from ._chat_state import ChatState
from ._models import Message


class Permission(enum.IntFlag):
    """Bits of Discord's permissions."""

    KICK = 1 << 1
    BAN = 1 << 2
    ADMINISTRATOR = 1 << 3
    DELETE_MESSAGES = 1 << 13


_ALL: Final = (1 << 53) - 1


class _Standing(NamedTuple):
    """The permissions of a member, and the position of the highest role."""

    permissions: int
    position: float


def may(state: ChatState, guild_id: int | None, permission: Permission) -> bool:
    """True if the signed-in user has this permission in the guild."""
    return state.me is not None and bool(_standing(state, guild_id, state.me.id).permissions & permission)


def may_to(state: ChatState, guild_id: int | None, permission: Permission, user_id: int) -> bool:
    """True if the signed-in user may do this to another member, who has to stand below them."""
    if state.me is None or user_id == state.me.id or not may(state, guild_id, permission):
        return False
    return _standing(state, guild_id, state.me.id).position > _standing(state, guild_id, user_id).position


def may_delete(state: ChatState, message: Message) -> bool:
    """True if the signed-in user may delete the message."""
    channel = state.channels.get(message.channel_id)
    guild_id = channel.guild_id if channel is not None else None
    return state.is_mine(message) or may(state, guild_id, Permission.DELETE_MESSAGES)


def _standing(state: ChatState, guild_id: int | None, user_id: int) -> _Standing:
    guild = state.guilds.get(guild_id or 0)
    if guild is None:
        return _Standing(0, -1)
    if guild.owner_id == user_id:
        return _Standing(_ALL, math.inf)
    held = state.member_roles.get(guild.id, {}).get(user_id, frozenset())
    # The role with the guild's id is everybody's.
    roles = [role for role in guild.roles if role.id in held or role.id == guild.id]
    permissions = 0
    for role in roles:
        permissions |= role.permissions
    position = max((role.position for role in roles), default=0)
    return _Standing(_ALL if permissions & Permission.ADMINISTRATOR else permissions, position)
