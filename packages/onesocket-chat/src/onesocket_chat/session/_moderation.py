"""Requests about other users: block, report, remove from a guild, ban."""

from __future__ import annotations

from typing import Final

from ..model._models import Ban, Message
from ._session_context import SessionContext, SessionPart

_BLOCKED: Final = 2
"""Discord's type of the relationship."""
_DAY: Final = 86_400
_MAX_BANS: Final = 1000
_RELATIONSHIP: Final = "/users/@me/relationships/{user_id}"
_MEMBER: Final = "/guilds/{guild_id}/members/{user_id}"
_BANS: Final = "/guilds/{guild_id}/bans"
_BAN: Final = "/guilds/{guild_id}/bans/{user_id}"
_REPORT: Final = "/channels/{channel_id}/messages/{message_id}/report"


class Moderation(SessionPart):
    """Requests about other users. Failures become notices, and return False."""

    def __init__(self, context: SessionContext) -> None:
        super().__init__(context)

    def __repr__(self) -> str:
        return "<Moderation>"

    async def block(self, user_id: int) -> bool:
        """Block a user: neither writes to the other any more."""
        request = self._rest.request("PUT", _RELATIONSHIP, params={"user_id": user_id}, json={"type": _BLOCKED})
        return await self._request_errors.succeeds("block", request)

    async def unblock(self, user_id: int) -> bool:
        """Lift a block."""
        request = self._rest.request("DELETE", _RELATIONSHIP, params={"user_id": user_id})
        return await self._request_errors.succeeds("unblock", request)

    async def kick(self, guild_id: int, user_id: int) -> bool:
        """Remove a member, who can come back with an invite."""
        request = self._rest.request("DELETE", _MEMBER, params={"guild_id": guild_id, "user_id": user_id})
        return await self._request_errors.succeeds("kick", request)

    async def ban(self, guild_id: int, user_id: int) -> bool:
        """Ban a user, and delete what they wrote in the last day."""
        params = {"guild_id": guild_id, "user_id": user_id}
        request = self._rest.request("PUT", _BAN, params=params, json={"delete_message_seconds": _DAY})
        return await self._request_errors.succeeds("ban", request)

    async def bans(self, guild_id: int) -> list[Ban] | None:
        """List the bans of a guild, at most 1000, by the ids of the users; None after a failure."""
        request = self._rest.request("GET", _BANS, params={"guild_id": guild_id}, query={"limit": _MAX_BANS})
        return self._request_errors.read("bans", await self._request_errors.guard("bans", request), list[Ban])

    async def lift_ban(self, guild_id: int, user_id: int) -> bool:
        """Lift a ban: the user can come back with an invite."""
        request = self._rest.request("DELETE", _BAN, params={"guild_id": guild_id, "user_id": user_id})
        return await self._request_errors.succeeds("lift-ban", request)

    async def report(self, message: Message, reason: str) -> bool:
        """Report a message to the server's owner."""
        params = {"channel_id": message.channel_id, "message_id": message.id}
        request = self._rest.request("POST", _REPORT, params=params, json={"reason": reason})
        return await self._request_errors.succeeds("report", request)
