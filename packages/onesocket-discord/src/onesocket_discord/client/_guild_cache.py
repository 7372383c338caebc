"""The READY and the guilds of the upstream session, kept up to date by its dispatches."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from .._serving import EncodedDispatch
from ..protocol.models import JsonObject
from ._cached_guild import REMOVE_EVENTS, UPSERT_EVENTS, CachedGuild

STATE_EVENTS: Final = frozenset(
    {"USER_UPDATE", "GUILD_CREATE", "GUILD_DELETE", *CachedGuild.HANDLERS, *UPSERT_EVENTS, *REMOVE_EVENTS}
)
"""Events that change the cache, so that their bodies are decoded."""


class GuildCache:
    """The state of one upstream session, from its READY to the next one."""

    def __init__(self) -> None:
        self.ready: JsonObject | None = None
        """The newest READY."""
        self._guilds: dict[str, CachedGuild] = {}
        self._unavailable: dict[str, JsonObject] = {}

    def __repr__(self) -> str:
        return f"<GuildCache guilds={len(self._guilds)} unavailable={len(self._unavailable)}>"

    @property
    def user_id(self) -> str:
        """The bot's id; empty before READY."""
        return "" if self.ready is None else str(self.ready.get("user", {}).get("id", ""))

    def begin(self, ready: JsonObject) -> None:
        """Start again with the READY of a new session."""
        self.ready = dict(ready)
        self._guilds.clear()
        self._unavailable = {str(guild["id"]): {"id": guild["id"], "unavailable": True} for guild in ready["guilds"]}

    def apply(self, event: str, data: JsonObject) -> None:
        """Apply a dispatch."""
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

    def ready_for(self, **changes: Any) -> JsonObject:
        """The body of READY for a client: the guilds are unavailable until their GUILD_CREATE."""
        guilds = [{"id": name, "unavailable": True} for name in (*self._guilds, *self._unavailable)]
        return {**(self.ready or {}), "guilds": guilds, **changes}

    def guilds(self, intents: int) -> Iterator[EncodedDispatch]:
        """GUILD_CREATE of every guild that is available."""
        for guild in self._guilds.values():
            yield guild.body(intents)

    def guild(self, name: str, intents: int) -> EncodedDispatch | None:
        """GUILD_CREATE of this guild, as a client with these intents sees it."""
        guild = self._guilds.get(name)
        return None if guild is None else guild.body(intents)

    def _on_guild_create(self, data: JsonObject) -> None:
        name = str(data["id"])
        self._unavailable.pop(name, None)
        if data.get("unavailable"):
            self._on_guild_delete(data)
        else:
            self._guilds[name] = CachedGuild(data)

    def _on_guild_delete(self, data: JsonObject) -> None:
        name = str(data["id"])
        self._guilds.pop(name, None)
        self._unavailable.pop(name, None)
        if data.get("unavailable"):
            self._unavailable[name] = {"id": name, "unavailable": True}
