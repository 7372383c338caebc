"""What is known after what the server said."""

from typing import Any

import pytest
from msgspec.structs import replace

from onesocket.chat.app.model.outbox import Draft, Outbox
from onesocket.chat.app.model.reducer import (
    TYPING_LASTS,
    Unreadable,
    extended,
    in_doubt,
    reduce,
    renewed,
    stored,
    without_the_past,
)
from onesocket.chat.app.model.world import World
from tests.unit.chat_app.bodies import (
    ADA,
    BOB,
    DIRECT,
    GENERAL,
    GUILD,
    RANDOM,
    after,
    begun,
    body,
    guild,
    message,
    person,
    ready,
)


def loaded(*ids: int) -> World:
    """The general channel has these messages, and they are loaded."""
    return renewed(begun(), GENERAL, [message(one) for one in ids], since=0)


def contents(world: World, channel: int = GENERAL) -> list[str]:
    return [one.content for one in world.history(channel).messages]


# --- guilds, channels, people ----------------------------------------------------------------------------------------


def test_ready_and_guild_create_tell_everything() -> None:
    world = begun()
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
    again = after(("READY", ready()), world=world)
    assert again.history(GENERAL).is_stale
    assert contents(again) == ["message 1", "message 2"]  # still shown until the page comes
    assert [one.title for one in again.channels_of(GUILD)] == ["#general", "#random"]
    left = after(("READY", ready(guilds=[])), world=world)
    assert not left.guilds
    assert left.channels_of(GUILD) == []


def test_a_guild_that_is_gone_takes_its_channels_along_but_an_outage_does_not() -> None:
    world = loaded(1)
    assert after(("GUILD_DELETE", {"id": str(GUILD), "unavailable": True}), world=world) is world
    gone = after(("GUILD_DELETE", {"id": str(GUILD)}), world=world)
    assert not gone.guilds
    assert list(gone.channels) == [DIRECT]
    assert GENERAL not in gone.histories


def test_channels_come_change_and_go() -> None:
    made = {"id": "103", "type": 0, "guild_id": str(GUILD), "name": "new", "position": 2}
    world = after(("CHANNEL_CREATE", made), world=begun())
    assert [one.title for one in world.channels_of(GUILD)] == ["#general", "#random", "#new"]
    world = after(("CHANNEL_UPDATE", {**made, "name": "newer", "topic": "t"}), world=world)
    assert world.channels[103].topic == "t"
    world = after(("CHANNEL_DELETE", made), world=world)
    assert 103 not in world.channels


def test_people_come_and_go() -> None:
    world = after(("GUILD_MEMBER_ADD", {"guild_id": str(GUILD), "user": person(3)}), world=begun())
    assert 3 in world.members[GUILD]
    world = after(("GUILD_MEMBER_REMOVE", {"guild_id": str(GUILD), "user": person(3)}), world=world)
    assert 3 not in world.members[GUILD]


def test_presences() -> None:
    world = after(("PRESENCE_UPDATE", {"user": {"id": str(ADA)}, "status": "idle"}), world=begun())
    assert world.presences == {BOB: "online", ADA: "idle"}
    world = after(("PRESENCE_UPDATE", {"user": {"id": str(BOB)}, "status": "offline"}), world=world)
    assert world.presences == {ADA: "idle"}


def test_owners_may_delete_everything_and_others_their_own() -> None:
    world = begun()
    assert world.may_delete(message(1))
    elsewhere = after(("GUILD_UPDATE", guild(owner_id=str(BOB))), world=world)
    assert not elsewhere.may_delete(message(1))
    assert elsewhere.may_delete(message(1, ADA))
    assert elsewhere.is_mine(message(1, ADA))


# --- messages --------------------------------------------------------------------------------------------------------


def test_a_message_is_added_once_and_makes_its_channel_unread() -> None:
    world = after(("MESSAGE_CREATE", body(1001)), ("MESSAGE_CREATE", body(1001)), world=loaded(1))
    assert contents(world) == ["message 1", "message 1001"]
    assert world.is_unread(GENERAL)
    assert world.channels[GENERAL].last_message_id == 1001


def test_ones_own_message_is_read_and_leaves_the_outbox() -> None:
    world = replace(begun(), outbox=Outbox((Draft("n1", GENERAL, "x", 0.0), Draft("n2", GENERAL, "y", 0.0))))
    world = after(("MESSAGE_CREATE", body(1001, ADA, nonce="n1")), world=world)
    assert not world.is_unread(GENERAL)
    assert [one.nonce for one in world.outbox.drafts] == ["n2"]


def test_somebody_elses_message_with_our_nonce_takes_nothing_away() -> None:
    world = replace(begun(), outbox=Outbox((Draft("n1", GENERAL, "x", 0.0),)))
    assert len(after(("MESSAGE_CREATE", body(1001, BOB, nonce="n1")), world=world).outbox) == 1


def test_what_is_known_is_not_replaced_by_an_older_form() -> None:
    world = renewed(begun(), GENERAL, [message(5, content="edited")], since=0)
    assert contents(stored(world, message(5))) == ["edited"]


def test_edits_keep_the_reactions() -> None:
    reaction = {"emoji": {"id": None, "name": "👍"}, "count": 2, "me": True}
    world = renewed(begun(), GENERAL, [message(5, reactions=[reaction])], since=0)
    world = after(("MESSAGE_UPDATE", body(5, content="new", edited_timestamp="2026-01-02T04:00:00+00:00")), world=world)
    (changed,) = world.history(GENERAL).messages
    assert changed.content == "new"
    assert changed.edited_timestamp is not None
    assert changed.reactions[0].me


def test_deletes_of_one_and_of_many() -> None:
    where = {"channel_id": str(GENERAL)}
    world = after(("MESSAGE_DELETE", {"id": "2", **where}), world=loaded(1, 2, 3, 4))
    assert contents(world) == ["message 1", "message 3", "message 4"]
    world = after(("MESSAGE_DELETE_BULK", {"ids": ["1", "4", "77"], **where}), world=world)
    assert contents(world) == ["message 3"]


def test_a_page_that_a_newer_one_overtook_changes_nothing() -> None:
    world = loaded(40, 41)
    assert extended(world, GENERAL, [message(2)], before=39) is world
    assert contents(extended(world, GENERAL, [message(2)], before=40))[0] == "message 2"


def test_what_happens_to_a_stale_history_makes_the_page_on_its_way_doubtful() -> None:
    world = in_doubt(loaded(1))
    asked = world.history(GENERAL).touched
    for event in (
        ("MESSAGE_UPDATE", body(999)),
        ("MESSAGE_REACTION_ADD", reacted(999)),
        ("MESSAGE_REACTION_REMOVE_ALL", {"channel_id": str(GENERAL), "message_id": "999"}),
    ):
        world = after(event, world=world)
    assert world.history(GENERAL).touched == asked + 3


# --- reactions, typing, reading --------------------------------------------------------------------------------------


def reacted(message_id: int, user: int = BOB, name: str = "👍") -> dict[str, Any]:
    return {
        "channel_id": str(GENERAL),
        "message_id": str(message_id),
        "user_id": str(user),
        "emoji": {"id": None, "name": name},
    }


def reactions(world: World) -> list[tuple[str, int, bool]]:
    (only,) = world.history(GENERAL).messages
    return [(one.emoji.key, one.count, one.me) for one in only.reactions]


def test_reactions_are_counted_and_ours_only_once() -> None:
    world = after(("MESSAGE_REACTION_ADD", reacted(1)), world=loaded(1))
    world = after(("MESSAGE_REACTION_ADD", reacted(1, ADA)), ("MESSAGE_REACTION_ADD", reacted(1, ADA)), world=world)
    world = after(("MESSAGE_REACTION_ADD", reacted(1, BOB, "🎉")), world=world)
    assert reactions(world) == [("👍", 2, True), ("🎉", 1, False)]
    world = after(("MESSAGE_REACTION_REMOVE", reacted(1, ADA)), world=world)
    world = after(("MESSAGE_REACTION_REMOVE", reacted(1, ADA)), world=world)
    assert reactions(world) == [("👍", 1, False), ("🎉", 1, False)]
    gone = {"channel_id": str(GENERAL), "message_id": "1", "emoji": {"id": None, "name": "👍"}}
    world = after(("MESSAGE_REACTION_REMOVE_EMOJI", gone), world=world)
    assert reactions(world) == [("🎉", 1, False)]
    world = after(("MESSAGE_REACTION_REMOVE", reacted(1, BOB, "🎉")), world=world)
    assert reactions(world) == []


def test_typing_ends_by_itself_and_with_the_message() -> None:
    typing = {"channel_id": str(GENERAL), "user_id": str(BOB), "timestamp": 1}
    world = after(("TYPING_START", typing), ("TYPING_START", {**typing, "user_id": str(ADA)}), world=begun(), now=5.0)
    assert world.writing_in(GENERAL) == ["bob"]  # not oneself
    assert world.writing_in(RANDOM) == []
    assert without_the_past(world, 5.0 + TYPING_LASTS - 0.1) is world
    assert without_the_past(world, 5.0 + TYPING_LASTS).writing_in(GENERAL) == []
    assert after(("MESSAGE_CREATE", body(1001)), world=world).writing_in(GENERAL) == []


def test_reading_elsewhere_counts_and_never_goes_back() -> None:
    ack = {"channel_id": str(GENERAL), "message_id": "1001"}
    world = after(("MESSAGE_CREATE", body(1001)), ("MESSAGE_ACK", ack), world=begun())
    assert not world.is_unread(GENERAL)
    assert after(("MESSAGE_ACK", {**ack, "message_id": "7"}), world=world).read[GENERAL] == 1001


# --- what can't be read ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("event", "data"),
    [
        ("MESSAGE_CREATE", {}),
        ("MESSAGE_CREATE", body(1, content=["a list"])),
        ("MESSAGE_CREATE", {**body(1), "id": "not a number"}),
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
    with pytest.raises(Unreadable, match=event):
        reduce(loaded(1), event, data, 0.0)


def test_unknown_events_and_fields_are_passed_over() -> None:
    world = begun()
    assert reduce(world, "SOMETHING_NEW", {"x": 1}, 0.0) is world
    assert contents(after(("MESSAGE_CREATE", body(5, brand_new={"x": 1})), world=world)) == ["message 5"]
