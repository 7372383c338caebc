"""The state of the chat. A change makes a new state; unchanged parts are the same objects in both."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from msgspec import Struct

from ._history import ChannelHistory
from ._models import Channel, Guild, Message, User
from ._outbox import Outbox

_EMPTY_HISTORY: Final = ChannelHistory()


class ChatState(Struct, frozen=True):
    """The whole state of the application. The mappings are never changed in place."""

    me: User | None = None
    guilds: Mapping[int, Guild] = {}
    awaited: frozenset[int] = frozenset()
    """The ids of the guilds that are announced, and were not received yet."""
    channels: Mapping[int, Channel] = {}
    people: Mapping[int, User] = {}
    members: Mapping[int, frozenset[int]] = {}
    """The ids of the members of each guild."""
    member_roles: Mapping[int, Mapping[int, frozenset[int]]] = {}
    """The ids of the roles of each guild's members, without those who have none."""
    blocked: frozenset[int] = frozenset()
    """The ids of the users whom the signed-in one has blocked."""
    presences: Mapping[int, str] = {}
    """The status of present users: ``online``, ``idle`` or ``dnd``."""
    read: Mapping[int, int] = {}
    """For each channel, the last message that was read."""
    mentions: Mapping[int, int] = {}
    """For each channel with any, the number of messages since then that are meant for the signed-in user."""
    mention_ids: Mapping[int, frozenset[int]] = {}
    """The ids of those of them that came while connected, and may be deleted."""
    newest_mention: Message | None = None
    """The last mention that came while connected."""
    typing: Mapping[tuple[int, int], float] = {}
    """By (channel, user): the time at which the user's typing indicator ends, on the application's clock."""
    histories: Mapping[int, ChannelHistory] = {}
    gaps: int = 0
    """The number of gaps: a page requested before the last one may lack messages."""
    outbox: Outbox = Outbox()

    def history(self, channel_id: int) -> ChannelHistory:
        """The history of a channel."""
        return self.histories.get(channel_id, _EMPTY_HISTORY)

    def is_unread(self, channel_id: int) -> bool:
        """True if the channel has an unread message."""
        channel = self.channels.get(channel_id)
        return channel is not None and (channel.last_message_id or 0) > self.read.get(channel_id, 0)

    def channels_of(self, guild_id: int | None) -> list[Channel]:
        """A guild's channels in order; for None the conversations, the newest first."""
        if guild_id is None:
            direct = [channel for channel in self.channels.values() if channel.is_direct]
            return sorted(direct, key=lambda channel: channel.last_message_id or channel.id, reverse=True)
        mine = [channel for channel in self.channels.values() if channel.guild_id == guild_id and channel.type == 0]
        return sorted(mine, key=lambda channel: (channel.position, channel.id))

    def people_in(self, channel_id: int) -> list[User]:
        """The users who can read a channel: present ones first, then by name."""
        channel = self.channels.get(channel_id)
        if channel is None:
            return []
        if channel.is_direct:
            found = [*channel.recipients, *([self.me] if self.me else [])]
        else:
            found = [self.people[one] for one in self.members.get(channel.guild_id or 0, ()) if one in self.people]
        return sorted(found, key=lambda one: (one.id not in self.presences, one.username.casefold(), one.id))

    def writing_in(self, channel_id: int) -> list[str]:
        """The names of the users who are typing in a channel."""
        return sorted(
            self.people[user_id].username if user_id in self.people else "somebody"
            for channel, user_id in self.typing
            if channel == channel_id and user_id not in self.blocked and (self.me is None or user_id != self.me.id)
        )

    def is_mine(self, message: Message) -> bool:
        """True if the signed-in user wrote the message."""
        return self.me is not None and message.author.id == self.me.id
