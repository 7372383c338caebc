"""The reducers: the state after events and loaded pages."""

from typing import Any

import pytest
from msgspec.structs import replace

from onesocket_chat.model._chat_state import ChatState
from onesocket_chat.model._outbox import Draft, Outbox
from onesocket_chat.model._permissions import may_delete
from onesocket_chat.model._reducer import (
    TYPING_TIMEOUT,
    MalformedEvent,
    add_message,
    expire_typing,
    extend_history,
    mark_stale,
    reduce,
    renew_history,
)
from tests.unit.onesocket_chat.payloads import (
    ADA,
    BOB,
    DIRECT,
    GENERAL,
    GUILD,
    RANDOM,
    guild,
    initial_state,
    message,
    message_body,
    person,
    ready,
    state_after,
)


def loaded(*ids: int) -> ChatState:
    """The general channel has these messages, and they are loaded."""
    return renew_history(initial_state(), GENERAL, [message(one) for one in ids], since=0)


def contents(world: ChatState, channel: int = GENERAL) -> list[str]:
    return [one.content for one in world.history(channel).messages]


# --- guilds, channels, people ----------------------------------------------------------------------------------------


def test_ready_and_guild_create_tell_everything() -> None:
    world = initial_state()
    assert world.me is not None
    assert world.me.username == "ada"
    assert [one.title for one in world.channels_of(GUILD)] == ["#general", "#random"]
    assert [one.title for one in world.channels_of(None)] == ["@bob"]
    assert [one.username for one in world.people_in(GENERAL)] == ["bob", "ada"]  # who is there comes first
    assert [one.username for one in world.people_in(DIRECT)] == ["bob", "ada"]
    assert not world.is_unread(GENERAL)


def test_a_new_session_keeps_what_can_be_kept_and_doubts_every_history() -> None:
    world = loaded(1, 2)
    assert not world.history(GENERAL).is_stale
    again = state_after(("READY", ready()), world=world)
    assert again.history(GENERAL).is_stale
    assert contents(again) == ["message 1", "message 2"]  # still shown until the page comes
    assert [one.title for one in again.channels_of(GUILD)] == ["#general", "#random"]
    left = state_after(("READY", ready(guilds=[])), world=world)
    assert not left.guilds
    assert left.channels_of(GUILD) == []


def test_a_guild_that_is_gone_takes_its_channels_along_but_an_outage_does_not() -> None:
    world = loaded(1)
    assert state_after(("GUILD_DELETE", {"id": str(GUILD), "unavailable": True}), world=world) is world
    gone = state_after(("GUILD_DELETE", {"id": str(GUILD)}), world=world)
    assert not gone.guilds
    assert list(gone.channels) == [DIRECT]
    assert GENERAL not in gone.histories


def test_channels_come_change_and_go() -> None:
    made = {"id": "103", "type": 0, "guild_id": str(GUILD), "name": "new", "position": 2}
    world = state_after(("CHANNEL_CREATE", made), world=initial_state())
    assert [one.title for one in world.channels_of(GUILD)] == ["#general", "#random", "#new"]
    world = state_after(("CHANNEL_UPDATE", {**made, "name": "newer", "topic": "t"}), world=world)
    assert world.channels[103].topic == "t"
    world = state_after(("CHANNEL_DELETE", made), world=world)
    assert 103 not in world.channels


def test_people_come_and_go() -> None:
    world = state_after(("GUILD_MEMBER_ADD", {"guild_id": str(GUILD), "user": person(3)}), world=initial_state())
    assert 3 in world.members[GUILD]
    world = state_after(("GUILD_MEMBER_REMOVE", {"guild_id": str(GUILD), "user": person(3)}), world=world)
    assert 3 not in world.members[GUILD]


def test_presences() -> None:
    world = state_after(("PRESENCE_UPDATE", {"user": {"id": str(ADA)}, "status": "idle"}), world=initial_state())
    assert world.presences == {BOB: "online", ADA: "idle"}
    world = state_after(("PRESENCE_UPDATE", {"user": {"id": str(BOB)}, "status": "offline"}), world=world)
    assert world.presences == {ADA: "idle"}


def test_owners_may_delete_everything_and_others_their_own() -> None:
    world = initial_state()
    assert may_delete(world, message(1))
    elsewhere = state_after(("GUILD_UPDATE", guild(owner_id=str(BOB))), world=world)
    assert not may_delete(elsewhere, message(1))
    assert may_delete(elsewhere, message(1, ADA))
    assert elsewhere.is_mine(message(1, ADA))


# --- messages --------------------------------------------------------------------------------------------------------


def test_a_message_is_added_once_and_makes_its_channel_unread() -> None:
    world = state_after(("MESSAGE_CREATE", message_body(1001)), ("MESSAGE_CREATE", message_body(1001)), world=loaded(1))
    assert contents(world) == ["message 1", "message 1001"]
    assert world.is_unread(GENERAL)
    assert world.channels[GENERAL].last_message_id == 1001


def test_ones_own_message_is_read_and_leaves_the_outbox() -> None:
    world = replace(initial_state(), outbox=Outbox((Draft("n1", GENERAL, "x", 0.0), Draft("n2", GENERAL, "y", 0.0))))
    world = state_after(("MESSAGE_CREATE", message_body(1001, ADA, nonce="n1")), world=world)
    assert not world.is_unread(GENERAL)
    assert [one.nonce for one in world.outbox.drafts] == ["n2"]


def test_somebody_elses_message_with_our_nonce_takes_nothing_away() -> None:
    world = replace(initial_state(), outbox=Outbox((Draft("n1", GENERAL, "x", 0.0),)))
    assert len(state_after(("MESSAGE_CREATE", message_body(1001, BOB, nonce="n1")), world=world).outbox) == 1


def test_what_is_known_is_not_replaced_by_an_older_form() -> None:
    world = renew_history(initial_state(), GENERAL, [message(5, content="edited")], since=0)
    assert contents(add_message(world, message(5))) == ["edited"]


def test_edits_keep_the_reactions() -> None:
    reaction = {"emoji": {"id": None, "name": "👍"}, "count": 2, "me": True}
    world = renew_history(initial_state(), GENERAL, [message(5, reactions=[reaction])], since=0)
    world = state_after(
        ("MESSAGE_UPDATE", message_body(5, content="new", edited_timestamp="2026-01-02T04:00:00+00:00")), world=world
    )
    (changed,) = world.history(GENERAL).messages
    assert changed.content == "new"
    assert changed.edited_timestamp is not None
    assert changed.reactions[0].me


def test_roles_let_one_delete_what_others_wrote() -> None:
    moderator = {"id": "7", "permissions": str(1 << 13)}
    mine = {"user": person(ADA), "roles": ["7"]}
    world = state_after(("READY", ready()), ("GUILD_CREATE", guild(owner_id="99", roles=[moderator], members=[mine])))
    assert may_delete(world, message(1))
    for event, data in (
        ("GUILD_ROLE_UPDATE", {"role": {"id": "7", "permissions": "2"}}),
        ("GUILD_ROLE_DELETE", {"role_id": "7"}),
        ("GUILD_MEMBER_UPDATE", {"user": person(ADA), "roles": []}),
    ):
        after = state_after((event, {"guild_id": str(GUILD), **data}), world=world)
        assert not may_delete(after, message(1)), event
        assert may_delete(after, message(1, ADA))
    assert state_after(("GUILD_MEMBER_UPDATE", {"guild_id": str(GUILD), "user": person(BOB)}), world=world) == world
    made = ("GUILD_ROLE_CREATE", {"guild_id": str(GUILD), "role": {"id": "8", "permissions": "8"}})
    given = ("GUILD_MEMBER_UPDATE", {"guild_id": str(GUILD), "user": person(ADA), "roles": ["8"]})
    assert may_delete(state_after(made, given, world=world), message(1))


def test_deletes_of_one_and_of_many() -> None:
    where = {"channel_id": str(GENERAL)}
    world = state_after(("MESSAGE_DELETE", {"id": "2", **where}), world=loaded(1, 2, 3, 4))
    assert contents(world) == ["message 1", "message 3", "message 4"]
    world = state_after(("MESSAGE_DELETE_BULK", {"ids": ["1", "4", "77"], **where}), world=world)
    assert contents(world) == ["message 3"]


def test_a_page_that_a_newer_one_overtook_changes_nothing() -> None:
    world = loaded(40, 41)
    assert extend_history(world, GENERAL, [message(2)], before=39) is world
    assert contents(extend_history(world, GENERAL, [message(2)], before=40))[0] == "message 2"


def test_what_happens_to_a_stale_history_makes_the_page_on_its_way_doubtful() -> None:
    world = mark_stale(loaded(1))
    asked = world.history(GENERAL).touched
    for event in (
        ("MESSAGE_UPDATE", message_body(999)),
        ("MESSAGE_REACTION_ADD", reacted(999)),
        ("MESSAGE_REACTION_REMOVE_ALL", {"channel_id": str(GENERAL), "message_id": "999"}),
    ):
        world = state_after(event, world=world)
    assert world.history(GENERAL).touched == asked + 3


# --- reactions, typing, reading --------------------------------------------------------------------------------------


def reacted(message_id: int, user: int = BOB, name: str = "👍") -> dict[str, Any]:
    return {
        "channel_id": str(GENERAL),
        "message_id": str(message_id),
        "user_id": str(user),
        "emoji": {"id": None, "name": name},
    }


def reactions(world: ChatState) -> list[tuple[str, int, bool]]:
    (only,) = world.history(GENERAL).messages
    return [(one.emoji.key, one.count, one.me) for one in only.reactions]


def test_reactions_are_counted_and_ours_only_once() -> None:
    world = state_after(("MESSAGE_REACTION_ADD", reacted(1)), world=loaded(1))
    world = state_after(
        ("MESSAGE_REACTION_ADD", reacted(1, ADA)), ("MESSAGE_REACTION_ADD", reacted(1, ADA)), world=world
    )
    world = state_after(("MESSAGE_REACTION_ADD", reacted(1, BOB, "🎉")), world=world)
    assert reactions(world) == [("👍", 2, True), ("🎉", 1, False)]
    world = state_after(("MESSAGE_REACTION_REMOVE", reacted(1, ADA)), world=world)
    world = state_after(("MESSAGE_REACTION_REMOVE", reacted(1, ADA)), world=world)
    assert reactions(world) == [("👍", 1, False), ("🎉", 1, False)]
    gone = {"channel_id": str(GENERAL), "message_id": "1", "emoji": {"id": None, "name": "👍"}}
    world = state_after(("MESSAGE_REACTION_REMOVE_EMOJI", gone), world=world)
    assert reactions(world) == [("🎉", 1, False)]
    world = state_after(("MESSAGE_REACTION_REMOVE", reacted(1, BOB, "🎉")), world=world)
    assert reactions(world) == []


def test_typing_ends_by_itself_and_with_the_message() -> None:
    typing = {"channel_id": str(GENERAL), "user_id": str(BOB), "timestamp": 1}
    world = state_after(
        ("TYPING_START", typing), ("TYPING_START", {**typing, "user_id": str(ADA)}), world=initial_state(), now=5.0
    )
    assert world.writing_in(GENERAL) == ["bob"]  # not oneself
    assert world.writing_in(RANDOM) == []
    assert expire_typing(world, 5.0 + TYPING_TIMEOUT - 0.1) is world
    assert expire_typing(world, 5.0 + TYPING_TIMEOUT).writing_in(GENERAL) == []
    assert state_after(("MESSAGE_CREATE", message_body(1001)), world=world).writing_in(GENERAL) == []


def test_reading_elsewhere_counts_and_never_goes_back() -> None:
    ack = {"channel_id": str(GENERAL), "message_id": "1001"}
    world = state_after(("MESSAGE_CREATE", message_body(1001)), ("MESSAGE_ACK", ack), world=initial_state())
    assert not world.is_unread(GENERAL)
    assert state_after(("MESSAGE_ACK", {**ack, "message_id": "7"}), world=world).read[GENERAL] == 1001


# --- what can't be read ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("event", "data"),
    [
        ("MESSAGE_CREATE", {}),
        ("MESSAGE_CREATE", message_body(1, content=["a list"])),
        ("MESSAGE_CREATE", {**message_body(1), "id": "not a number"}),
        ("MESSAGE_CREATE", None),
        ("MESSAGE_CREATE", []),
        ("READY", {"user": "ada"}),
        ("READY", ready(read_states=[{"id": {}}])),
        ("GUILD_CREATE", guild(members=[{}])),
        ("GUILD_CREATE", guild(channels="none")),
        ("TYPING_START", {"channel_id": str(GENERAL), "user_id": "9", "member": 7}),
        ("PRESENCE_UPDATE", {"user": None}),
        ("MESSAGE_DELETE", {"channel_id": str(GENERAL)}),
        ("MESSAGE_REACTION_ADD", {**reacted(1), "emoji": []}),
    ],
)
def test_what_is_not_of_the_documented_shape_is_refused(event: str, data: Any) -> None:
    with pytest.raises(MalformedEvent, match=event):
        reduce(loaded(1), event, data, 0.0)


def test_unknown_events_and_fields_are_passed_over() -> None:
    world = initial_state()
    assert reduce(world, "SOMETHING_NEW", {"x": 1}, 0.0) is world
    assert contents(state_after(("MESSAGE_CREATE", message_body(5, brand_new={"x": 1})), world=world)) == ["message 5"]
