"""Searches messages at the server."""

from __future__ import annotations

from typing import Final, NamedTuple

from msgspec import Struct

from ..model._models import Json, Message
from ._session_context import SessionContext, SessionPart

PAGE: Final = 25
"""Messages of one answer at most, as the server gives them."""
_GUILD: Final = "/guilds/{guild_id}/messages/search"
_CHANNEL: Final = "/channels/{channel_id}/messages/search"


class SearchResult(NamedTuple):
    """One page of what was found, the newest first, and the number of all."""

    messages: list[Message]
    total: int


class _Answer(Struct, frozen=True):
    messages: tuple[tuple[Message, ...], ...] = ()
    total_results: int = 0


class MessageSearch(SessionPart):
    """Finds messages by a part of their text."""

    def __init__(self, context: SessionContext) -> None:
        super().__init__(context)

    def __repr__(self) -> str:
        return "<MessageSearch>"

    async def find(self, channel_id: int, text: str, offset: int = 0) -> SearchResult | None:
        """Search the channel's guild, or the conversation, from the result `offset` on; a failure is a notice."""
        channel = self._store.state.channels.get(channel_id)
        guild_id = channel.guild_id if channel is not None else None
        route = _CHANNEL if guild_id is None else _GUILD
        params: Json = {"channel_id": channel_id} if guild_id is None else {"guild_id": guild_id}
        query = {"content": text, "limit": PAGE, "offset": offset}
        request = self._rest.request("GET", route, params=params, query=query)
        answer = self._request_errors.read("search", await self._request_errors.guard("search", request), _Answer)
        if answer is None:
            return None
        return SearchResult([message for hits in answer.messages for message in hits[:1]], answer.total_results)
