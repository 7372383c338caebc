"""The presence of each user: computed from the sessions, published to the members of shared guilds."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Final

from onesocket.errors import OnesocketError

from ...protocol._identification import Presence
from ...protocol._intents import Intents
from .._ports import Directory, Event, Json
from ._session import GatewaySession

if TYPE_CHECKING:
    from ..cluster import ClusterNode as SharedPresences

log = logging.getLogger("onesocket_discord.server")

_STATUS_ORDER: Final = ("online", "dnd", "idle")
_OFFLINE: Final[dict[str, Any]] = {"status": "offline", "activities": []}
_MAX_ACTIVITIES: Final = 5
_RETRY: Final = 1.0
"""Seconds."""


def shown_presence(presence: Presence) -> dict[str, Any]:
    """The presence of a session as others see it."""
    activities = [dict(activity) for activity in presence.activities]
    return {"status": presence.status, "activities": activities[:_MAX_ACTIVITIES]}


def _most_present(presences: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """The presence that is shown of one user's sessions."""
    shown = list(presences)
    for status in _STATUS_ORDER:
        for presence in shown:
            if presence["status"] == status:
                return presence
    return _OFFLINE


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
        self._cluster: SharedPresences | None = None
        self._told: dict[int, None] = {}

    def __repr__(self) -> str:
        return f"<PresenceTracker of {len(self._published)} users>"

    def share(self, cluster: SharedPresences) -> None:
        """Announce the presences of this server's users to a cluster, and show those of all servers."""
        self._cluster = cluster

    def of(self, user_id: int) -> dict[str, Any]:
        """``status`` and ``activities`` now."""
        return self._here(user_id) if self._cluster is None else _most_present(self._cluster.presences.of(user_id))

    def _here(self, user_id: int) -> dict[str, Any]:
        """The presence of a user by the sessions on this server."""
        return _most_present([one.presence for one in self._sessions_of(user_id) if one.present])

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
            self._start()

    def tell(self, user_id: int) -> None:
        """Publish the presence of this user soon: what the servers of a cluster say of it has changed."""
        if not self._stopped:
            self._told[user_id] = None
            self._start()

    def announce_all(self) -> None:
        """Announce the users of this server's sessions anew: the others know nothing of them any more."""
        for user_id in {*self._published}:
            del self._published[user_id]
            self.changed(user_id)

    def _start(self) -> None:
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._publish_all())

    async def stop(self) -> None:
        """Publish nothing more."""
        self._stopped = True
        self._changed.clear()
        self._told.clear()
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})

    async def _publish_all(self) -> None:
        try:
            while waiting := self._changed or self._told:
                user_id = next(iter(waiting))
                del waiting[user_id]
                try:
                    if waiting is self._told:
                        await self._publish_to_guilds(user_id)
                    elif self._cluster is not None:
                        await self._announce(user_id, self._cluster)
                    else:
                        await self._publish_change(user_id)
                except OnesocketError as error:  # the database or the cluster's engine can't be reached
                    log.warning("a change of presence could not be published: %s", error)
                    waiting[user_id] = None
                    await asyncio.sleep(_RETRY)
                except Exception:
                    log.exception("a change of presence could not be published")
        finally:
            self._task = None

    async def _publish_change(self, user_id: int) -> None:
        presence = self.of(user_id)
        if presence == self._published.get(user_id, _OFFLINE):
            return
        await self._publish_to_guilds(user_id)

    async def _announce(self, user_id: int, cluster: SharedPresences) -> None:
        presence = self._here(user_id)
        if presence != self._published.get(user_id, _OFFLINE):
            await cluster.announce(user_id, None if presence["status"] == "offline" else presence)
            self._remember(user_id, presence)

    def _remember(self, user_id: int, presence: dict[str, Any]) -> None:
        if presence["status"] == "offline":
            self._published.pop(user_id, None)
        else:
            self._published[user_id] = presence

    async def _publish_to_guilds(self, user_id: int) -> None:
        guilds = await self._directory().members_by_guild(user_id)
        if self._cluster is None:
            self._remember(user_id, self.of(user_id))
        for guild_id, recipients in guilds.items():
            data = self.update(guild_id, user_id)
            self._publish(Event("PRESENCE_UPDATE", data, recipients, intents=Intents.GUILD_PRESENCES))
