"""Reducers for what was read, and for the mentions that were not."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from msgspec.structs import replace

from ._chat_state import ChatState
from ._mappings import with_entry, without_entry
from ._models import Channel, Json, Message

_MAX_EARLIER: Final = 100


def read_states(state: ChatState, states: list[Json]) -> ChatState:
    """Take READY's read states over."""
    read = {int(one["id"]): int(one["last_message_id"] or 0) for one in states}
    counts = {int(one["id"]): int(one.get("mention_count") or 0) for one in states}
    mentions = {channel: count for channel, count in counts.items() if count}
    return replace(state, read=read, mentions=mentions, mention_ids={})


def mark_read(state: ChatState, channel_id: int, message_id: int) -> ChatState:
    """Note that the channel was read up to this message; without an unread one it has no mentions."""
    if message_id <= state.read.get(channel_id, 0):
        return state
    state = replace(state, read=with_entry(state.read, channel_id, message_id))
    return state if state.is_unread(channel_id) else without_mentions(state, channel_id)


def without_mentions(state: ChatState, channel_id: int) -> ChatState:
    """The state without any mention in this channel."""
    return replace(
        state,
        mentions=without_entry(state.mentions, channel_id),
        mention_ids=without_entry(state.mention_ids, channel_id),
    )


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
    ids = state.mention_ids.get(message.channel_id, frozenset()) | {message.id}
    return replace(
        state,
        mentions=with_entry(state.mentions, message.channel_id, count),
        mention_ids=with_entry(state.mention_ids, message.channel_id, ids),
        newest_mention=message,
    )


def forget_messages(state: ChatState, channel_id: int, ids: Collection[int]) -> ChatState:
    """Deleted messages are neither unread nor mentions. `state`: that after they were taken out of the history."""
    state = _without_newest(state, channel_id, ids)
    if not state.is_unread(channel_id):
        return without_mentions(state, channel_id) if channel_id in state.mentions else state
    known = state.mention_ids.get(channel_id, frozenset())
    gone = known.intersection(ids)
    if not gone:
        return state
    count = state.mentions.get(channel_id, 0) - len(gone)
    if count <= 0:
        return without_mentions(state, channel_id)
    return replace(
        state,
        mentions=with_entry(state.mentions, channel_id, count),
        mention_ids=with_entry(state.mention_ids, channel_id, known - gone),
    )


def with_message(channel: Channel, message_id: int) -> Channel:
    """The channel with a message: the newest one, or one behind a later one that was stored at the same time."""
    earlier, last = channel.earlier_ids, channel.last_message_id or 0
    if message_id > last:
        return replace(channel, last_message_id=message_id, earlier_ids=(*earlier, last)[-_MAX_EARLIER:])
    if message_id == last or message_id in earlier or not earlier or message_id < earlier[0]:
        return channel
    return replace(channel, earlier_ids=tuple(sorted((*earlier, message_id))))


def _without_newest(state: ChatState, channel_id: int, ids: Collection[int]) -> ChatState:
    """The newest message of a channel is one that is left, as far as it is known; READY tells it."""
    channel = state.channels.get(channel_id)
    if channel is None:
        return state
    earlier = tuple(one for one in channel.earlier_ids if one not in ids)
    newest = channel.last_message_id
    if newest in ids:
        history = state.history(channel_id)
        if earlier:
            *earlier_ids, newest = earlier
            earlier = tuple(earlier_ids)
        elif not history.is_stale and history.anchor is None and (history.messages or history.is_whole):
            newest = history.newest
    changed = replace(channel, last_message_id=newest, earlier_ids=earlier)
    return state if changed == channel else replace(state, channels=with_entry(state.channels, channel_id, changed))
