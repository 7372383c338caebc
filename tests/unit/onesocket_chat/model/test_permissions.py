"""Permissions by roles, and ranks of members."""

from typing import Any

import pytest

from onesocket_chat.model._chat_state import ChatState
from onesocket_chat.model._permissions import Permission, may, may_delete, may_to
from tests.unit.onesocket_chat.payloads import ADA, BOB, GUILD, guild, message, person, ready, state_after

EVE, OWNER = 3, 99
KICK, BAN, ADMINISTRATOR, DELETE = 1 << 1, 1 << 2, 1 << 3, 1 << 13


def state_with(*roles: tuple[int, int, int], **held: list[int]) -> ChatState:
    """A guild with these roles (id, permissions, position); `held`: the ids of the roles of ada, bob and eve."""
    people = {"ada": person(ADA), "bob": person(BOB), "eve": person(EVE), "owner": person(OWNER)}
    members = [{"user": user, "roles": [str(role) for role in held.get(name, ())]} for name, user in people.items()]
    made = [{"id": str(number), "permissions": str(bits), "position": place} for number, bits, place in roles]
    body = guild(owner_id=str(OWNER), roles=made, members=members)
    return state_after(("READY", ready()), ("GUILD_CREATE", body))


def test_the_role_of_everybody_counts_and_an_administrator_may_everything() -> None:
    assert not may(state_with(), GUILD, Permission.BAN)
    everybody = state_with((GUILD, DELETE, 0))
    assert may_delete(everybody, message(1, BOB))
    assert not may(everybody, GUILD, Permission.BAN)
    assert may(state_with((7, ADMINISTRATOR, 1), ada=[7]), GUILD, Permission.BAN)
    assert not may(everybody, 4711, Permission.DELETE_MESSAGES)
    assert not may(everybody, None, Permission.DELETE_MESSAGES)
    assert not may(ChatState(), GUILD, Permission.DELETE_MESSAGES)


@pytest.mark.parametrize(
    ("held", "user_id", "allowed"),
    [
        ({"ada": [7]}, BOB, True),
        ({"ada": [7], "bob": [8]}, BOB, False),
        ({"ada": [7], "bob": [7]}, BOB, False),
        ({"ada": [7, 8], "bob": [7]}, BOB, True),
        ({"ada": [7]}, OWNER, False),
        ({"ada": [7]}, ADA, False),
        ({"ada": []}, BOB, False),
        ({"ada": [7]}, 4711, True),  # not a member any more
    ],
)
def test_one_acts_on_those_who_stand_below(held: Any, user_id: int, *, allowed: bool) -> None:
    state = state_with((7, KICK | BAN, 1), (8, 0, 2), **held)
    assert may_to(state, GUILD, Permission.BAN, user_id) is allowed
    assert may_to(state, GUILD, Permission.KICK, user_id) is allowed


def test_the_rank_follows_the_roles() -> None:
    state = state_with((7, BAN, 1), (8, 0, 2), ada=[7])
    given = {"guild_id": str(GUILD), "user": person(BOB), "roles": ["8"]}
    assert not may_to(state_after(("GUILD_MEMBER_UPDATE", given), world=state), GUILD, Permission.BAN, BOB)
    assert not may_to(state_after(("GUILD_MEMBER_ADD", given), world=state), GUILD, Permission.BAN, BOB)
    gone = {"guild_id": str(GUILD), "user": person(BOB)}
    left = state_after(("GUILD_MEMBER_UPDATE", given), ("GUILD_MEMBER_REMOVE", gone), world=state)
    assert may_to(left, GUILD, Permission.BAN, BOB)
    raised = {"guild_id": str(GUILD), "role": {"id": "7", "permissions": str(BAN), "position": 3}}
    again = state_after(("GUILD_MEMBER_UPDATE", given), ("GUILD_ROLE_UPDATE", raised), world=state)
    assert may_to(again, GUILD, Permission.BAN, BOB)


def test_blocked_users_are_known() -> None:
    friend = {"id": "5", "type": 1}
    state = state_after(("READY", ready(relationships=[{"id": str(BOB), "type": 2}, friend])))
    assert state.blocked == {BOB}
    state = state_after(("RELATIONSHIP_ADD", {"id": str(EVE), "type": 2}), world=state)
    state = state_after(("RELATIONSHIP_ADD", {"id": "6", "type": 1}), world=state)
    state = state_after(("RELATIONSHIP_REMOVE", {"id": str(BOB), "type": 2}), world=state)
    assert state.blocked == {EVE}
