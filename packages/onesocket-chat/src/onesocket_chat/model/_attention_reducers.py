"""Reducers for what was read, and for the mentions that were not."""

from __future__ import annotations

from msgspec.structs import replace

from ._chat_state import ChatState
from ._mappings import with_entry, without_entry
from ._models import Json, Message


def read_states(state: ChatState, states: list[Json]) -> ChatState:
    """Take READY's read states over."""
    read = {int(one["id"]): int(one["last_message_id"] or 0) for one in states}
    counts = {int(one["id"]): int(one.get("mention_count") or 0) for one in states}
    return replace(state, read=read, mentions={channel: count for channel, count in counts.items() if count})


def mark_read(state: ChatState, channel_id: int, message_id: int) -> ChatState:
    """Note that the channel was read up to this message; without an unread one it has no mentions."""
    if message_id <= state.read.get(channel_id, 0):
        return state
    state = replace(state, read=with_entry(state.read, channel_id, message_id))
    return state if state.is_unread(channel_id) else replace(state, mentions=without_entry(state.mentions, channel_id))


def ack(state: ChatState, data: Json, _now: float) -> ChatState:
    """A channel that was read, here or elsewhere."""
    return mark_read(state, int(data["channel_id"]), int(data["message_id"]))


def count_mention(state: ChatState, data: Json, message: Message) -> ChatState:
    """Count a new message of somebody else that is meant for the signed-in user: by name, to all, or in a conversation.

    `state`: that before the message was added; `data`: the message as the gateway sends it.
    """
    channel = state.channels.get(message.channel_id)
    is_known = channel is None or message.id <= (channel.last_message_id or 0)
    if state.me is None or is_known or state.is_mine(message) or message.author.id in state.blocked:
        return state
    is_named = any(int(one["id"]) == state.me.id for one in data.get("mentions") or ())
    if not (is_named or data.get("mention_everyone") or (channel is not None and channel.is_direct)):
        return state
    count = state.mentions.get(message.channel_id, 0) + 1
    return replace(state, mentions=with_entry(state.mentions, message.channel_id, count), newest_mention=message)
