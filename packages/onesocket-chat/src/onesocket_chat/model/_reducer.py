"""Reducers: each derives the next state from an event of the gateway or from a loaded page."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from msgspec import MsgspecError
from msgspec.structs import replace

from onesocket.errors import DecodeError

from ._attention_reducers import (
    ack,
    count_mention,
    forget_messages,
    mark_read,
    read_states,
    with_message,
    without_mentions,
)
from ._chat_state import ChatState
from ._history import ChannelHistory
from ._mappings import with_entry, without_entry
from ._member_reducers import (
    blocked_users,
    changed_role,
    member_add,
    member_remove,
    member_update,
    relationship_add,
    relationship_remove,
    roles_of_members,
)
from ._models import Channel, Emoji, Guild, Json, Message, Reaction, User, from_json

TYPING_TIMEOUT: Final = 10.0
"""Seconds for which a typing indicator is shown."""


class MalformedEvent(DecodeError):
    """An event that isn't of the documented shape; the state stays as it was."""


def reduce(state: ChatState, event: str, data: Any, now: float) -> ChatState:
    """The state after this event, at `now`, seconds. Raises `MalformedEvent` if it isn't of the documented shape."""
    change = _REDUCERS.get(event)
    if change is None:
        return state
    try:
        return change(state, data, now)
    except (MsgspecError, LookupError, TypeError, ValueError, AttributeError) as error:
        raise MalformedEvent(f"{event} is not of the shape we expect: {error}") from error


def add_message(state: ChatState, message: Message) -> ChatState:
    """Add a message that the gateway, or the answer to a request, has reported."""
    people = with_entry(state.people, message.author.id, message.author)
    history = state.history(message.channel_id)
    if history.find(message.id) is None:  # the known one may be newer
        history = history.put(message)
    channels = state.channels
    channel = channels.get(message.channel_id)
    if channel is not None:
        channels = with_entry(channels, channel.id, with_message(channel, message.id))
    state = replace(
        state,
        people=people,
        channels=channels,
        typing=without_entry(state.typing, (message.channel_id, message.author.id)),
        histories=with_entry(state.histories, message.channel_id, history),
    )
    if not state.is_mine(message):
        return state
    state = mark_read(state, message.channel_id, message.id)
    return replace(state, outbox=state.outbox.without(str(message.nonce))) if message.nonce is not None else state


def mark_stale(state: ChatState) -> ChatState:
    """Mark all histories as stale after a gap: messages may be missing at their ends."""
    stale = {key: known.stale() for key, known in state.histories.items()}
    return replace(state, typing={}, histories=stale, gaps=state.gaps + 1)


def expire_typing(state: ChatState, now: float) -> ChatState:
    """Remove expired typing indicators."""
    if all(until > now for until in state.typing.values()):
        return state
    return replace(state, typing={key: until for key, until in state.typing.items() if until > now})


def renew_history(state: ChatState, channel_id: int, page: Iterable[Message], since: int) -> ChatState:
    """Replace a history by its newest page; `since`: the newest known message when the page was requested."""
    return _with_history(_with_authors(state, page), channel_id, state.history(channel_id).renewed(page, since))


def extend_history(state: ChatState, channel_id: int, page: Iterable[Message], before: int) -> ChatState:
    """Add an older page before the message `before`."""
    history = state.history(channel_id)
    if history.oldest != before:  # it was renewed meanwhile
        return state
    return _with_history(_with_authors(state, page), channel_id, history.extended(page))


def append_history(state: ChatState, channel_id: int, page: Iterable[Message], before: ChannelHistory) -> ChatState:
    """Add a newer page; `before`: the history when the page was requested."""
    history = state.history(channel_id)
    if history.anchor is None or history.is_stale or history.newest != before.newest:  # it was renewed meanwhile
        return state
    return _with_history(_with_authors(state, page), channel_id, history.appended(page, before.missed))


def aim_history(state: ChatState, channel_id: int, anchor: int | None) -> ChatState:
    """Have a history loaded around this message; None: up to the newest one."""
    return _with_history(state, channel_id, state.history(channel_id).aimed(anchor))


# --- the events ------------------------------------------------------------------------------------------------------


def _ready(state: ChatState, data: Json, _now: float) -> ChatState:
    direct = [from_json(one, Channel) for one in data.get("private_channels") or ()]
    # Guilds follow one by one; until then those of the last session are shown, unless they are gone.
    still = {int(one["id"]) for one in data.get("guilds") or ()}
    kept = {key: channel for key, channel in state.channels.items() if channel.guild_id in still}
    me = from_json(data["user"], User)
    met = {person.id: person for channel in direct for person in channel.recipients}
    return replace(
        read_states(mark_stale(state), data.get("read_states") or []),
        me=me,
        people={**state.people, **met, me.id: me},
        guilds={key: guild for key, guild in state.guilds.items() if key in still},
        awaited=frozenset(still - state.guilds.keys()),
        channels=kept | {channel.id: channel for channel in direct},
        presences={},
        blocked=blocked_users(data.get("relationships") or []),
    )


def _guild_create(state: ChatState, data: Json, _now: float) -> ChatState:
    guild = from_json(data, Guild)
    channels = [replace(from_json(one, Channel), guild_id=guild.id) for one in data.get("channels") or ()]
    people = [from_json(one["user"], User) for one in data.get("members") or ()]
    others = {key: channel for key, channel in state.channels.items() if channel.guild_id != guild.id}
    presences = {int(one["user"]["id"]): str(one["status"]) for one in data.get("presences") or ()}
    return replace(
        state,
        guilds=with_entry(state.guilds, guild.id, guild),
        awaited=state.awaited - {guild.id},
        channels=others | {channel.id: channel for channel in channels},
        people={**state.people, **{person.id: person for person in people}},
        members=with_entry(state.members, guild.id, frozenset(person.id for person in people)),
        member_roles=with_entry(state.member_roles, guild.id, roles_of_members(data.get("members") or [])),
        presences={**state.presences, **presences},
    )


def _guild_update(state: ChatState, data: Json, _now: float) -> ChatState:
    guild = from_json(data, Guild)
    return replace(state, guilds=with_entry(state.guilds, guild.id, guild)) if guild.id in state.guilds else state


def _guild_delete(state: ChatState, data: Json, _now: float) -> ChatState:
    gone = from_json(data, Guild).id
    awaited = state.awaited - {gone}
    if data.get("unavailable"):  # an outage: the membership remains, and nothing waits for its end
        return replace(state, awaited=awaited) if gone in state.awaited else state
    lost = {key for key, channel in state.channels.items() if channel.guild_id == gone}
    return replace(
        state,
        guilds=without_entry(state.guilds, gone),
        awaited=awaited,
        members=without_entry(state.members, gone),
        member_roles=without_entry(state.member_roles, gone),
        mentions={key: count for key, count in state.mentions.items() if key not in lost},
        mention_ids={key: ids for key, ids in state.mention_ids.items() if key not in lost},
        channels={key: channel for key, channel in state.channels.items() if channel.guild_id != gone},
        histories={key: known for key, known in state.histories.items() if key not in lost},
    )


def _channel(state: ChatState, data: Json, _now: float) -> ChatState:
    channel = from_json(data, Channel)
    known = state.channels.get(channel.id)
    if known is not None:
        last = known.last_message_id or channel.last_message_id
        channel = replace(channel, last_message_id=last, earlier_ids=known.earlier_ids)
    met = {person.id: person for person in channel.recipients}
    return replace(
        state,
        channels=with_entry(state.channels, channel.id, channel),
        people={**state.people, **met} if met else state.people,
    )


def _channel_delete(state: ChatState, data: Json, _now: float) -> ChatState:
    gone = from_json(data, Channel).id
    return replace(
        without_mentions(state, gone),
        channels=without_entry(state.channels, gone),
        histories=without_entry(state.histories, gone),
    )


def _message_create(state: ChatState, data: Json, _now: float) -> ChatState:
    message = from_json(data, Message)
    return add_message(count_mention(state, data, message), message)


def _message_update(state: ChatState, data: Json, _now: float) -> ChatState:
    new = from_json(data, Message)
    history = state.history(new.channel_id).touch()
    known = history.find(new.id)
    if known is not None:
        # `me` differs between recipients, so an update doesn't have it.
        history = history.put(replace(new, reactions=known.reactions))
    return _with_history(state, new.channel_id, history)


def _message_delete(state: ChatState, data: Json, _now: float) -> ChatState:
    channel_id = int(data["channel_id"])
    ids = [int(one) for one in data.get("ids") or [data["id"]]]
    return forget_messages(_with_history(state, channel_id, state.history(channel_id).drop(ids)), channel_id, ids)


def _reaction_add(state: ChatState, data: Json, _now: float) -> ChatState:
    return _change_reactions(state, data, +1)


def _reaction_remove(state: ChatState, data: Json, _now: float) -> ChatState:
    return _change_reactions(state, data, -1)


def _reaction_clear(state: ChatState, data: Json, _now: float) -> ChatState:
    channel_id = int(data["channel_id"])
    history = state.history(channel_id).touch()
    known = history.find(int(data["message_id"]))
    if known is not None:
        gone = from_json(data["emoji"], Emoji).key if data.get("emoji") else None
        left = tuple(one for one in known.reactions if gone is not None and one.emoji.key != gone)
        history = history.put(replace(known, reactions=left))
    return _with_history(state, channel_id, history)


def _typing_start(state: ChatState, data: Json, now: float) -> ChatState:
    who = int(data["channel_id"]), int(data["user_id"])
    member: Json = data.get("member") or {}
    people = state.people
    if member.get("user"):
        people = with_entry(people, who[1], from_json(member["user"], User))
    return replace(state, people=people, typing=with_entry(state.typing, who, now + TYPING_TIMEOUT))


def _presence(state: ChatState, data: Json, _now: float) -> ChatState:
    user_id, status = int(data["user"]["id"]), str(data.get("status") or "offline")
    if status == "offline":
        return replace(state, presences=without_entry(state.presences, user_id))
    return replace(state, presences=with_entry(state.presences, user_id, status))


def _user_update(state: ChatState, data: Json, _now: float) -> ChatState:
    person = from_json(data, User)
    is_me = state.me is not None and state.me.id == person.id
    return replace(state, people=with_entry(state.people, person.id, person), me=person if is_me else state.me)


# --- parts -----------------------------------------------------------------------------------------------------------


def _with_authors(state: ChatState, messages: Iterable[Message]) -> ChatState:
    """Add the authors of a page, and remove the drafts that it shows to be stored."""
    page = list(messages)
    new = {message.author.id: message.author for message in page if message.author.id not in state.people}
    if new:
        state = replace(state, people={**state.people, **new})
    nonces = [str(message.nonce) for message in page if message.nonce is not None and state.is_mine(message)]
    return replace(state, outbox=state.outbox.without(*nonces)) if nonces else state


def _change_reactions(state: ChatState, data: Json, by: int) -> ChatState:
    channel_id = int(data["channel_id"])
    history = state.history(channel_id).touch()
    message = history.find(int(data["message_id"]))
    if message is None:
        return _with_history(state, channel_id, history)
    emoji = from_json(data["emoji"], Emoji)
    mine = state.me is not None and int(data["user_id"]) == state.me.id
    found = next((one for one in message.reactions if one.emoji.key == emoji.key), None)
    if found is None:
        reactions = (*message.reactions, Reaction(emoji, 1, mine)) if by > 0 else message.reactions
    elif mine and found.me == (by > 0):
        reactions = message.reactions  # the page that we loaded knew it already
    else:
        changed = replace(found, count=found.count + by, me=by > 0 if mine else found.me)
        kept = (changed if one is found else one for one in message.reactions)
        reactions = tuple(one for one in kept if one.count > 0)
    return _with_history(state, channel_id, history.put(replace(message, reactions=reactions)))


def _with_history(state: ChatState, channel_id: int, history: ChannelHistory) -> ChatState:
    return replace(state, histories=with_entry(state.histories, channel_id, history))


_REDUCERS: Final[Mapping[str, Callable[[ChatState, Json, float], ChatState]]] = {
    "READY": _ready,
    "GUILD_CREATE": _guild_create,
    "GUILD_UPDATE": _guild_update,
    "GUILD_DELETE": _guild_delete,
    "CHANNEL_CREATE": _channel,
    "CHANNEL_UPDATE": _channel,
    "CHANNEL_DELETE": _channel_delete,
    "GUILD_MEMBER_ADD": member_add,
    "GUILD_MEMBER_REMOVE": member_remove,
    "GUILD_MEMBER_UPDATE": member_update,
    "GUILD_ROLE_CREATE": changed_role,
    "GUILD_ROLE_UPDATE": changed_role,
    "GUILD_ROLE_DELETE": changed_role,
    "MESSAGE_CREATE": _message_create,
    "MESSAGE_UPDATE": _message_update,
    "MESSAGE_DELETE": _message_delete,
    "MESSAGE_DELETE_BULK": _message_delete,
    "MESSAGE_REACTION_ADD": _reaction_add,
    "MESSAGE_REACTION_REMOVE": _reaction_remove,
    "MESSAGE_REACTION_REMOVE_ALL": _reaction_clear,
    "MESSAGE_REACTION_REMOVE_EMOJI": _reaction_clear,
    "TYPING_START": _typing_start,
    "PRESENCE_UPDATE": _presence,
    "MESSAGE_ACK": ack,
    "RELATIONSHIP_ADD": relationship_add,
    "RELATIONSHIP_REMOVE": relationship_remove,
    "USER_UPDATE": _user_update,
}
