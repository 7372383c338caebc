"""The interfaces between the gateway and the service of the local server."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from ..protocol.models import JsonObject

Json = JsonObject


def token_digest(token: str) -> bytes:
    """The hash under which a token is stored; the token can't be derived from it."""
    return hashlib.sha256(token.encode(errors="surrogatepass")).digest()


@dataclass(frozen=True, slots=True)
class Account:
    """The account of a token."""

    user_id: int
    username: str
    bot: bool
    denied_intents: int = 0
    """Of a bot: the privileged intents that it may not use, at the gateway and by HTTP."""

    def has_intent(self, intent: int) -> bool:
        """Return True if the account may use this intent; people may use all."""
        return not self.denied_intents & intent


@dataclass(frozen=True, slots=True)
class Event:
    """One dispatch for the sessions of its recipients."""

    name: str
    """As Discord spells it: ``MESSAGE_CREATE``."""
    data: Json
    """The whole body. The gateway encodes it once for all sessions that receive it unchanged."""
    recipients: frozenset[int]
    """The ids of the users who may see it."""
    intents: int = 0
    """A session receives it if it has any of these intents; 0: every session."""
    content_of: int | None = None
    """The author's id, if the body is a message whose content may be hidden from bots without MESSAGE_CONTENT."""


@dataclass(frozen=True, slots=True)
class ReadyData:
    """The data that a session begins with."""

    user: Json
    application: Json
    guilds: Sequence[Json]
    """As in GUILD_CREATE; READY shows them unavailable first."""
    private_channels: Sequence[Json] = ()
    read_states: Sequence[Json] = ()
    """For people: ``{"id": channel id, "last_message_id": ...}``."""
    relationships: Sequence[Json] = ()
    """For people: whom they have blocked."""


class Publisher(Protocol):
    """The gateway's part for the service."""

    def publish(self, event: Event) -> None:
        """Push the event to the sessions of its recipients; doesn't block and doesn't fail."""

    def sign_out(self, user_id: int, login: bytes | None = None) -> None:
        """End the sessions of this user with 4004. `login`: the digest of one token; None: of all tokens."""

    def invalidate(self, user_id: int) -> None:
        """End the sessions of this bot with 4003, after which it identifies anew."""

    def logins(self) -> frozenset[bytes]:
        """The digests of the tokens that open connections have logged in with."""
        ...

    def status_of(self, user_id: int) -> str:
        """``online``, ``idle``, ``dnd`` or ``offline``."""
        ...


class Directory(Protocol):
    """The service's part for the gateway."""

    async def authenticate(self, token: str) -> Account | None:
        """The account of a token, given without the prefix ``Bot ``; None for an invalid one."""
        ...

    def is_remembered(self, token: str) -> bool:
        """True if the account of this token is in memory, so that finding it costs nothing."""
        ...

    async def ready_data(self, account: Account) -> ReadyData:
        """The data for READY of this account."""
        ...

    async def members(self, account: Account, guild_id: int, user_ids: Sequence[int] | None) -> Sequence[Json] | None:
        """The members of a guild (all, or those with `user_ids`) by id; None if the account is not a member of it."""
        ...

    async def members_by_guild(self, user_id: int) -> dict[int, frozenset[int]]:
        """The ids of the members of each of this user's guilds."""
        ...
