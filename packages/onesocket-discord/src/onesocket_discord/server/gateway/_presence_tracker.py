"""The presence of each user: computed from the sessions, published to the members of shared guilds."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any, Final

from ...protocol._identification import Presence
from ...protocol._intents import Intents
from .._ports import Directory, Event, Json
from ._session import GatewaySession

log = logging.getLogger("onesocket_discord.server")

_STATUS_ORDER: Final = ("online", "dnd", "idle")
_OFFLINE: Final[dict[str, Any]] = {"status": "offline", "activities": []}
_MAX_ACTIVITIES: Final = 5


def shown_presence(presence: Presence) -> dict[str, Any]:
    """The presence of a session as others see it."""
    activities = [dict(activity) for activity in presence.activities]
    return {"status": presence.status, "activities": activities[:_MAX_ACTIVITIES]}


class PresenceTracker:
    """Publishes changes in one task, user after user; a change that is reverted in time is not published."""

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
        self._published: dict[int, dict[str, Any]] = {}
        self._task: asyncio.Task[None] | None = None
        self._stopped = False

    def __repr__(self) -> str:
        return f"<PresenceTracker of {len(self._published)} users>"

    def of(self, user_id: int) -> dict[str, Any]:
        """``status`` and ``activities`` now."""
        shown = [one.presence for one in self._sessions_of(user_id) if one.present]
        for status in _STATUS_ORDER:
            for presence in shown:
                if presence["status"] == status:
                    return presence
        return _OFFLINE

    def update(self, guild_id: int | str, user_id: int) -> Json:
        """The body of PRESENCE_UPDATE."""
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
        """Publish the presence of this user soon, if it has changed."""
        if not self._stopped:
            self._changed[user_id] = None
            if self._task is None:
                self._task = asyncio.get_running_loop().create_task(self._publish_all())

    async def stop(self) -> None:
        """Publish nothing more."""
        self._stopped = True
        self._changed.clear()
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})

    async def _publish_all(self) -> None:
        try:
            while self._changed:
                user_id = next(iter(self._changed))
                del self._changed[user_id]
                try:
                    await self._publish_change(user_id)
                except Exception:
                    log.exception("a change of presence could not be published")
        finally:
            self._task = None

    async def _publish_change(self, user_id: int) -> None:
        presence = self.of(user_id)
        if presence == self._published.get(user_id, _OFFLINE):
            return
        guilds = await self._directory().members_by_guild(user_id)
        presence = self.of(user_id)
        if presence["status"] == "offline":
            self._published.pop(user_id, None)
        else:
            self._published[user_id] = presence
        for guild_id, recipients in guilds.items():
            data = self.update(guild_id, user_id)
            self._publish(Event("PRESENCE_UPDATE", data, recipients, intents=Intents.GUILD_PRESENCES))
