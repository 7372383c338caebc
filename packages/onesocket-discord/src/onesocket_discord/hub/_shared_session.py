"""The session of a hub that shares it with other processes, or with the hubs of other hosts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from onesocket.sharing._upstream import Upstream

from ..client._client import DiscordClient
from ..client._presence_sender import PresenceSender
from ..protocol._identification import Presence
from ..protocol._intents import Intents
from ..protocol._opcodes import Opcode


class SharedSession:
    """Sends through the upstream, whichever process or host has the connection."""

    def __init__(self, client: DiscordClient, upstream: Upstream) -> None:
        """`client`: has the options of the session; it is never connected."""
        self._client = client
        self._upstream = upstream
        self._presences = PresenceSender(self.send)

    def __repr__(self) -> str:
        return f"<SharedSession {self._presences!r}>"

    @property
    def intents(self) -> Intents:
        """The intents of the session."""
        return self._client.intents

    @property
    def shard(self) -> tuple[int, int] | None:
        """The shard, and the number of shards."""
        return self._client.shard

    async def send(self, message: Any) -> None:
        """Send a payload. Raises the errors of `Client.send`."""
        await self._upstream.send(message)

    async def update_presence(self, presence: Presence) -> None:
        """Set the bot's presence until the session ends. Raises the errors of `Client.send`."""
        await self._presences.send({"op": int(Opcode.PRESENCE_UPDATE), "d": presence.body()})

    def ask_snapshot(self, ready: Callable[[list[Any]], object]) -> None:
        """Ask for READY and the guilds as they are by now; `ready` is called at their place among the dispatches."""
        self._upstream.ask_snapshot(ready)
