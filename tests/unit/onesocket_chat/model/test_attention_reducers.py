"""Mentions that were not read."""

from typing import Any

from onesocket_chat.model._chat_state import ChatState
from tests.unit.onesocket_chat.payloads import (
    ADA,
    BOB,
    DIRECT,
    GENERAL,
    GUILD,
    RANDOM,
    guild,
    initial_state,
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
