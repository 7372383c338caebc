"""The dispatches with which late readers of a bot begin: READY, and the guilds as they are by now."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final

import msgspec

from onesocket.errors import DecodeError
from onesocket.protocols._snapshot import SnapshotHook

from ..protocol._payload import Dispatch, read_envelope
from ._guild_cache import STATE_EVENTS, GuildCache

log: Final = logging.getLogger("onesocket")


class GuildSnapshot:
    """Keeps the guilds up to date by the dispatches of the session."""

    def __init__(self, intents: Callable[[], int]) -> None:
        """`intents`: those of the session; they decide about presences and voice states."""
        self._intents = intents
        self._cache = GuildCache()

    def __repr__(self) -> str:
        return f"<GuildSnapshot {self._cache!r}>"

    @property
    def hook(self) -> SnapshotHook:
        """The declaration of a protocol."""
        return SnapshotHook(self.messages, self.update, self.reset)

    def update(self, dispatch: Dispatch) -> None:
        """Take note of a dispatch."""
        try:
            if dispatch.event == "READY":
                self._cache.begin(dispatch.plain)
            elif dispatch.event in STATE_EVENTS:
                self._cache.apply(dispatch.event, dispatch.plain)
        except (DecodeError, KeyError, TypeError, ValueError, AttributeError) as error:
            log.warning("%s could not be read: %s", dispatch.event, type(error).__name__)  # not as Discord documents it

    def reset(self) -> None:
        """Forget everything: another session follows."""
        self._cache = GuildCache()

    def messages(self) -> list[Dispatch]:
        """READY, and a GUILD_CREATE of each guild that is available. They have no number in the session."""
        if self._cache.ready is None:
            return []
        ready = Dispatch("READY", None, msgspec.json.encode(self._cache.ready_for()))
        bodies = (read_envelope(guild.payload(0)).d for guild in self._cache.guilds(self._intents()))
        return [ready, *(Dispatch("GUILD_CREATE", None, body) for body in bodies)]
