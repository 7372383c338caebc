"""What Discord has told about the bot's world, kept up to date by its dispatches."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from ._cached_guild import REMOVE_EVENTS, UPSERT_EVENTS, CachedGuild, Json
from ._server_payloads import FrontendDispatch

STATE_EVENTS: Final = frozenset(
    {"USER_UPDATE", "GUILD_CREATE", "GUILD_DELETE", *CachedGuild.HANDLERS, *UPSERT_EVENTS, *REMOVE_EVENTS}
)
"""Events that change what the world knows, so that their bodies have to be read."""


class GuildCache:
    """From READY to the next READY."""

    def __init__(self) -> None:
        self.ready: Json | None = None
        """The newest READY."""
        self._guilds: dict[str, CachedGuild] = {}
        self._unavailable: dict[str, Json] = {}

    def __repr__(self) -> str:
        return f"<World guilds={len(self._guilds)} unavailable={len(self._unavailable)}>"

    @property
    def user_id(self) -> str:
        """Who the bot is."""
        return "" if self.ready is None else str(self.ready.get("user", {}).get("id", ""))

    def begin(self, ready: Json) -> None:
        """READY: a new session, about which everything will be told anew."""
        self.ready = dict(ready)
        self._guilds.clear()
        self._unavailable = {str(guild["id"]): {"id": guild["id"], "unavailable": True} for guild in ready["guilds"]}

    def apply(self, event: str, data: Json) -> None:
        """One dispatch."""
        if event == "GUILD_CREATE":
            self._on_guild_create(data)
        elif event == "GUILD_DELETE":
            self._on_guild_delete(data)
        elif event == "USER_UPDATE" and self.ready is not None:
            self.ready["user"] = {**self.ready.get("user", {}), **data}
        else:
            name = data.get("id") if event == "GUILD_UPDATE" else data.get("guild_id")
            guild = self._guilds.get(str(name))
            if guild is not None:
                guild.apply(event, data)

    def ready_for(self, **changes: Any) -> Json:
        """READY for a client: the guilds are unavailable until their GUILD_CREATE."""
        guilds = [{"id": name, "unavailable": True} for name in (*self._guilds, *self._unavailable)]
        return {**(self.ready or {}), "guilds": guilds, **changes}

    def guilds(self, intents: int) -> Iterator[FrontendDispatch]:
        """GUILD_CREATE of every guild that is available."""
        for guild in self._guilds.values():
            yield guild.body(intents)

    def guild(self, name: str, intents: int) -> FrontendDispatch | None:
        """GUILD_CREATE of this guild, as a client with these intents sees it."""
        guild = self._guilds.get(name)
        return None if guild is None else guild.body(intents)

    def _on_guild_create(self, data: Json) -> None:
        name = str(data["id"])
        self._unavailable.pop(name, None)
        if data.get("unavailable"):
            self._on_guild_delete(data)
        else:
            self._guilds[name] = CachedGuild(data)

    def _on_guild_delete(self, data: Json) -> None:
        name = str(data["id"])
        self._guilds.pop(name, None)
        self._unavailable.pop(name, None)
        if data.get("unavailable"):
            self._unavailable[name] = {"id": name, "unavailable": True}
