"""Where the parts of the chat server meet: what the gateway asks of the service, and what the service tells it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

Json = dict[str, Any]
"""A JSON object as Discord documents it: snowflakes are strings."""


def token_digest(token: str) -> bytes:
    """Hash under which a token is stored: enough to recognize the token, and of no use to sign in."""
    return hashlib.sha256(token.encode(errors="surrogatepass")).digest()


@dataclass(frozen=True, slots=True)
class Account:
    """Who is behind a token."""

    user_id: int
    username: str
    bot: bool


@dataclass(frozen=True, slots=True)
class Event:
    """One dispatch, for the sessions of those who may see it."""

    name: str
    """As Discord spells it: ``MESSAGE_CREATE``."""
    data: Json
    """The body, complete. The gateway encodes it once for all who get the same."""
    recipients: frozenset[int]
    """The users who may see it, by id."""
    intents: int = 0
    """The session gets it if it asked for any of these bits; 0: everybody gets it."""
    content_of: int | None = None
    """The author's id, if the body is a message whose content is hidden from bots without MESSAGE_CONTENT."""


@dataclass(frozen=True, slots=True)
class ReadyData:
    """What a session begins with."""

    user: Json
    application: Json
    guilds: Sequence[Json]
    """As in GUILD_CREATE; READY shows them unavailable first."""
    private_channels: Sequence[Json] = ()
    read_states: Sequence[Json] = ()
    """For people: ``{"id": channel id, "last_message_id": ...}``."""


class Publisher(Protocol):
    """The gateway, as the service sees it."""

    def publish(self, event: Event) -> None:
        """Hand this to whoever is connected (or may resume); doesn't block and doesn't fail."""

    def sign_out(self, user_id: int, login: bytes | None = None) -> None:
        """A token of this user is void: end its sessions with 4004. `login`: the token's digest; None: all of them."""

    def logins(self) -> frozenset[bytes]:
        """The digests of the tokens that open connections have logged in with."""
        ...

    def status_of(self, user_id: int) -> str:
        """``online``, ``idle``, ``dnd`` or ``offline``."""
        ...


class Directory(Protocol):
    """The service, as the gateway sees it."""

    async def authenticate(self, token: str) -> Account | None:
        """Whose token it is; None: nobody's. A ``Bot `` prefix was removed."""
        ...

    async def ready_data(self, account: Account) -> ReadyData:
        """The state of this user's world now."""
        ...

    async def members(self, account: Account, guild_id: int, user_ids: Sequence[int] | None) -> Sequence[Json] | None:
        """Guild members in the order of their ids, all or those; None: no such guild, or not a member of it."""
        ...

    async def members_by_guild(self, user_id: int) -> dict[int, frozenset[int]]:
        """For each guild of this user: who is in it (they see the presence)."""
        ...
