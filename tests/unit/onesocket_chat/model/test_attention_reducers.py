"""Mentions that were not read."""

from typing import Any

from onesocket_chat.model._chat_state import ChatState
from onesocket_chat.model._reducer import renew_history
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

NAMED: dict[str, Any] = {"mentions": [person(ADA)]}


def after(*messages: dict[str, Any], world: ChatState | None = None) -> ChatState:
    return state_after(*(("MESSAGE_CREATE", one) for one in messages), world=world or initial_state())


def test_those_from_before_signing_in_are_counted_by_the_server() -> None:
    states = [
        {"id": str(GENERAL), "last_message_id": "7", "mention_count": 3},
        {"id": str(RANDOM), "last_message_id": None, "mention_count": 0},
        {"id": str(DIRECT), "last_message_id": "8"},
    ]
    state = state_after(("READY", ready(read_states=states)), ("GUILD_CREATE", guild()))
    assert state.mentions == {GENERAL: 3}
    assert state.newest_mention is None
    assert state_after(("READY", ready()), world=state).mentions == {}


def test_a_message_is_meant_for_one_by_name_to_all_and_in_a_conversation() -> None:
    state = after(
        message_body(1001, **NAMED),
        message_body(1002, mention_everyone=True),
        message_body(1003),
        message_body(1004, mentions=[person(BOB)]),
        message_body(1005, channel=DIRECT),
        message_body(1006, ADA, channel=DIRECT),  # one's own, which reads the channel
        message_body(1007, channel=DIRECT),
    )
    assert state.mentions == {GENERAL: 2, DIRECT: 1}
    assert state.newest_mention is not None
    assert state.newest_mention.id == 1007


def test_what_is_known_blocked_or_in_no_channel_is_not_counted() -> None:
    state = after(message_body(1001, **NAMED), message_body(1001, **NAMED), message_body(1002, channel=4711, **NAMED))
    assert state.mentions == {GENERAL: 1}
    blocked = state_after(("RELATIONSHIP_ADD", {"id": str(BOB), "type": 2}), world=initial_state())
    assert after(message_body(1001, **NAMED), world=blocked).mentions == {}


def test_reading_to_the_end_takes_the_count_away() -> None:
    state = after(message_body(1001, **NAMED), message_body(1002, **NAMED))
    ack = {"channel_id": str(GENERAL), "message_id": "1001"}
    part = state_after(("MESSAGE_ACK", ack), world=state)
    assert part.mentions == {GENERAL: 2}
    assert state_after(("MESSAGE_ACK", {**ack, "message_id": "1002"}), world=part).mentions == {}


def test_a_channel_or_guild_that_is_gone_has_none() -> None:
    state = after(message_body(1001, **NAMED), message_body(1002, channel=DIRECT))
    assert state_after(("CHANNEL_DELETE", {"id": str(DIRECT), "type": 1}), world=state).mentions == {GENERAL: 1}
    assert state_after(("GUILD_DELETE", {"id": str(GUILD)}), world=state).mentions == {DIRECT: 1}


def deleted(state: ChatState, *ids: int) -> ChatState:
    body = {"channel_id": str(GENERAL), "ids": [str(one) for one in ids]}
    return state_after(("MESSAGE_DELETE_BULK", body), world=state)


def test_a_mention_that_is_deleted_is_not_counted() -> None:
    state = after(message_body(1001, **NAMED), message_body(1002), message_body(1003, **NAMED))
    state = deleted(state, 1001)
    assert state.mentions == {GENERAL: 1}
    assert deleted(state, 1001, 1002).mentions == {GENERAL: 1}
    assert deleted(state, 1003).mentions == {}


def test_a_mention_before_one_left_a_guild_is_not_taken_for_one_after_one_came_back() -> None:
    state = state_after(
        ("GUILD_DELETE", {"id": str(GUILD)}), ("GUILD_CREATE", guild()), world=after(message_body(1001, **NAMED))
    )
    state = after(message_body(1002, **NAMED), world=state)
    assert deleted(state, 1001).mentions == {GENERAL: 1}


def test_a_channel_whose_new_messages_are_deleted_has_none() -> None:
    state = after(message_body(1001), message_body(1002), message_body(1003, **NAMED))
    part = deleted(state, 1003)
    assert part.is_unread(GENERAL)
    assert part.channels[GENERAL].last_message_id == 1002
    read = deleted(part, 1001, 1002)
    assert not read.is_unread(GENERAL)
    assert read.channels[GENERAL].last_message_id == 1000
    assert not deleted(state, 1001, 1002, 1003).is_unread(GENERAL)
    again = after(message_body(1004), world=read)
    assert again.is_unread(GENERAL)


def test_a_message_that_comes_behind_a_later_one_stays_unread_when_that_is_deleted() -> None:
    state = after(message_body(1002), message_body(1001, **NAMED), message_body(1001))
    left = deleted(state, 1002)
    assert left.is_unread(GENERAL)
    assert left.channels[GENERAL].last_message_id == 1001
    assert not deleted(left, 1001).is_unread(GENERAL)


def test_the_newest_message_of_a_channel_is_found_in_its_history() -> None:
    state = renew_history(initial_state(), GENERAL, [message(999), message(1000)], 0)
    assert deleted(state, 1000).channels[GENERAL].last_message_id == 999
    assert deleted(initial_state(), 1000).channels[GENERAL].last_message_id == 1000  # nobody knows


def test_an_update_of_a_channel_leaves_what_is_known_of_its_messages() -> None:
    body = {"id": str(GENERAL), "type": 0, "guild_id": str(GUILD), "name": "new", "last_message_id": "1000"}
    state = state_after(("CHANNEL_UPDATE", body), world=after(message_body(1001)))
    assert state.is_unread(GENERAL)
    assert not deleted(state, 1001).is_unread(GENERAL)
