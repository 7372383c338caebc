"""Reducers for the members and roles of guilds, and for blocked users."""

from __future__ import annotations

from msgspec.structs import replace

from ._chat_state import ChatState
from ._mappings import with_entry, without_entry
from ._models import Json, Role, User, from_json

_BLOCKED = 2
"""Discord's type of the relationship."""


def changed_role(state: ChatState, data: Json, _now: float) -> ChatState:
    """A new, changed or deleted role."""
    guild = state.guilds.get(int(data["guild_id"]))
    if guild is None:
        return state
    changed = from_json(data["role"], Role) if "role" in data else None
    role_id = int(data["role_id"]) if changed is None else changed.id
    others = tuple(role for role in guild.roles if role.id != role_id)
    guild = replace(guild, roles=others if changed is None else (*others, changed))
    return replace(state, guilds=with_entry(state.guilds, guild.id, guild))


def roles_of_members(members: list[Json]) -> dict[int, frozenset[int]]:
    """The ids of the roles of each member that has any."""
    found = {int(one["user"]["id"]): _role_ids(one) for one in members}
    return {user_id: roles for user_id, roles in found.items() if roles}


def member_add(state: ChatState, data: Json, now: float) -> ChatState:
    """A new member."""
    person, guild_id = from_json(data["user"], User), int(data["guild_id"])
    members = state.members.get(guild_id, frozenset()) | {person.id}
    state = replace(
        state,
        people=with_entry(state.people, person.id, person),
        members=with_entry(state.members, guild_id, members),
    )
    return member_update(state, data, now)


def member_update(state: ChatState, data: Json, _now: float) -> ChatState:
    """Other roles of a member."""
    guild_id, user_id = int(data["guild_id"]), int(data["user"]["id"])
    known = state.member_roles.get(guild_id, {})
    roles = _role_ids(data)
    changed = with_entry(known, user_id, roles) if roles else without_entry(known, user_id)
    return replace(state, member_roles=with_entry(state.member_roles, guild_id, changed))


def member_remove(state: ChatState, data: Json, _now: float) -> ChatState:
    """A member that left, or was removed."""
    user_id, guild_id = int(data["user"]["id"]), int(data["guild_id"])
    members = state.members.get(guild_id, frozenset()) - {user_id}
    roles = without_entry(state.member_roles.get(guild_id, {}), user_id)
    return replace(
        state,
        members=with_entry(state.members, guild_id, members),
        member_roles=with_entry(state.member_roles, guild_id, roles),
    )


def blocked_users(relationships: list[Json]) -> frozenset[int]:
    """The ids of the blocked users among READY's relationships."""
    return frozenset(int(one["id"]) for one in relationships if one.get("type") == _BLOCKED)


def relationship_add(state: ChatState, data: Json, _now: float) -> ChatState:
    """A user whom the signed-in one has blocked."""
    return replace(state, blocked=state.blocked | blocked_users([data]))


def relationship_remove(state: ChatState, data: Json, _now: float) -> ChatState:
    """A user who is blocked no more."""
    return replace(state, blocked=state.blocked - {int(data["id"])})


def _role_ids(member: Json) -> frozenset[int]:
    return frozenset(map(int, member.get("roles") or ()))
