"""Who is there: computed from the sessions, and told to those who share a guild."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any, Final

from .._ports import Directory, Event, Json
from . import _intents as bits
from ._session import GatewaySession

log = logging.getLogger("onesocket_discord.server")

_STATUS_ORDER: Final = ("online", "dnd", "idle")
_OFFLINE: Final[dict[str, Any]] = {"status": "offline", "activities": []}


class PresenceTracker:
    """One task tells changes, one user after the other; a change that is taken back in time isn't told."""

    def __init__(
        self,
        directory: Callable[[], Directory],
        sessions_of: Callable[[int], tuple[GatewaySession, ...]],
        publish: Callable[[Event], None],
    ) -> None:
        self._directory = directory
        self._sessions_of = sessions_of
        self._publish = publish
        self._changed: dict[int, None] = {}
        self._told: dict[int, dict[str, Any]] = {}
        self._task: asyncio.Task[None] | None = None
        self._stopped = False

    def __repr__(self) -> str:
        return f"<Presences of {len(self._told)} users>"

    def of(self, user_id: int) -> dict[str, Any]:
        """``status`` and ``activities`` now."""
        shown = [one.presence for one in self._sessions_of(user_id) if one.present]
        for status in _STATUS_ORDER:
            for presence in shown:
                if presence["status"] == status:
                    return presence
        return _OFFLINE

    def update(self, guild_id: int | str, user_id: int) -> Json:
        """As in PRESENCE_UPDATE."""
        presence = self.of(user_id)
        status = presence["status"]
        return {
            "user": {"id": str(user_id)},
            "guild_id": str(guild_id),
            "status": status,
            "activities": presence["activities"],
            "client_status": {} if status == "offline" else {"desktop": status},
        }

    def changed(self, user_id: int) -> None:
        """Tell those who share a guild with this user, soon."""
        if not self._stopped:
            self._changed[user_id] = None
            if self._task is None:
                self._task = asyncio.get_running_loop().create_task(self._tell_all())

    async def stop(self) -> None:
        """Tell nothing more."""
        self._stopped = True
        self._changed.clear()
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})

    async def _tell_all(self) -> None:
        try:
            while self._changed:
                user_id = next(iter(self._changed))
                del self._changed[user_id]
                try:
                    await self._tell(user_id)
                except Exception:
                    log.exception("a change of presence could not be told")
        finally:
            self._task = None

    async def _tell(self, user_id: int) -> None:
        presence = self.of(user_id)
        if presence == self._told.get(user_id, _OFFLINE):
            return
        guilds = await self._directory().members_by_guild(user_id)
        presence = self.of(user_id)
        if presence["status"] == "offline":
            self._told.pop(user_id, None)
        else:
            self._told[user_id] = presence
        for guild_id, recipients in guilds.items():
            data = self.update(guild_id, user_id)
            self._publish(Event("PRESENCE_UPDATE", data, recipients, intents=bits.GUILD_PRESENCES))
