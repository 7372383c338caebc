"""Events of the server, as JSON objects."""

from typing import Any

from onesocket_chat.model._chat_state import ChatState
from onesocket_chat.model._models import Message, from_json
from onesocket_chat.model._reducer import reduce

ADA, BOB, GUILD, GENERAL, RANDOM, DIRECT = 1, 2, 10, 100, 101, 102


def person(user_id: int, *, bot: bool = False) -> dict[str, Any]:
    return {"id": str(user_id), "username": {ADA: "ada", BOB: "bob"}.get(user_id, f"user{user_id}"), "bot": bot}


def message_body(message_id: int, author: int = BOB, channel: int = GENERAL, **more: Any) -> dict[str, Any]:
    return {
        "id": str(message_id),
        "channel_id": str(channel),
        "author": person(author),
        "content": f"message {message_id}",
        "timestamp": "2026-01-02T03:04:05+00:00",
        "type": 0,
        **more,
    }


def message(message_id: int, author: int = BOB, **more: Any) -> Message:
    return from_json(message_body(message_id, author, **more), Message)


def ready(**more: Any) -> dict[str, Any]:
    return {
        "user": person(ADA),
        "guilds": [{"id": str(GUILD), "unavailable": True}],
        "private_channels": [{"id": str(DIRECT), "type": 1, "last_message_id": None, "recipients": [person(BOB)]}],
        "read_states": [{"id": str(GENERAL), "last_message_id": "1000", "mention_count": 0}],
        **more,
    }


def guild(**more: Any) -> dict[str, Any]:
    return {
        "id": str(GUILD),
        "name": "the guild",
        "owner_id": str(ADA),
        "channels": [
            {"id": str(RANDOM), "type": 0, "name": "random", "position": 1, "last_message_id": None},
            {"id": str(GENERAL), "type": 0, "name": "general", "position": 0, "last_message_id": "1000"},
        ],
        "members": [{"user": person(ADA)}, {"user": person(BOB)}],
        "presences": [{"user": {"id": str(BOB)}, "status": "online"}],
        **more,
    }


def state_after(*events: tuple[str, dict[str, Any]], world: ChatState | None = None, now: float = 0.0) -> ChatState:
    """The world after these events."""
    world = world or ChatState()
    for name, data in events:
        world = reduce(world, name, data, now)
    return world


def initial_state() -> ChatState:
    """The world after READY and the guild."""
    return state_after(("READY", ready()), ("GUILD_CREATE", guild()))
