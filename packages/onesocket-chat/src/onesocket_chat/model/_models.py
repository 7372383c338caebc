"""The API's objects as frozen structs, decoded from JSON.

Other fields are ignored; ids become numbers, which order the objects.
"""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec
from msgspec import Struct

Json = dict[str, Any]
T = TypeVar("T")


class User(Struct, frozen=True):
    """A person or a bot."""

    id: int
    username: str = ""
    bot: bool = False


class Ban(Struct, frozen=True):
    """A ban from a guild."""

    user: User
    reason: str | None = None


class Emoji(Struct, frozen=True):
    """An emoji of Unicode (`name` alone), or a guild's own."""

    id: int | None = None
    name: str | None = None

    @property
    def key(self) -> str:
        """The emoji in an API path."""
        return f"{self.name}:{self.id}" if self.id is not None else self.name or ""


class Reaction(Struct, frozen=True):
    """The number of users who set an emoji on a message; `me`: the signed-in user is one of them."""

    emoji: Emoji
    count: int = 1
    me: bool = False


class ReferencedMessage(Struct, frozen=True):
    """The message that another one replies to."""

    id: int
    author: User
    content: str = ""


class Attachment(Struct, frozen=True):
    """A file of a message."""

    filename: str = ""
    size: int = 0
    url: str = ""


class Message(Struct, frozen=True):
    """One message."""

    id: int
    channel_id: int
    author: User
    content: str = ""
    timestamp: str = ""
    edited_timestamp: str | None = None
    reactions: tuple[Reaction, ...] = ()
    attachments: tuple[Attachment, ...] = ()
    referenced_message: ReferencedMessage | None = None
    type: int = 0
    nonce: str | int | None = None

    @property
    def is_reply(self) -> bool:
        """True if it replies to another message, which may be deleted."""
        return self.type == 19


class Channel(Struct, frozen=True):
    """A text channel, or a direct message channel."""

    id: int
    type: int = 0
    guild_id: int | None = None
    name: str | None = None
    topic: str | None = None
    position: int = 0
    last_message_id: int | None = None
    recipients: tuple[User, ...] = ()
    earlier_ids: tuple[int, ...] = ()
    """Of messages that were the newest one before, as they came while connected, oldest first; 0: there was none."""

    @property
    def is_direct(self) -> bool:
        """True for a direct message channel."""
        return self.type == 1

    @property
    def title(self) -> str:
        """The displayed name."""
        if self.is_direct:
            return "@" + (", ".join(person.username for person in self.recipients) or "nobody")
        return f"#{self.name or '?'}"


class Role(Struct, frozen=True):
    """A role of a guild, with the bits of its permissions."""

    id: int
    permissions: int = 0
    position: int = 0


class Guild(Struct, frozen=True):
    """A guild, without its channels and members."""

    id: int
    name: str = ""
    owner_id: int | None = None
    roles: tuple[Role, ...] = ()


def from_json(value: Any, kind: type[T]) -> T:
    """Convert decoded JSON to this type. Raises `msgspec.ValidationError`."""
    return msgspec.convert(value, kind, strict=False)
