"""The gateway of the local Discord server: identified sessions, and MESSAGE_CREATE through its `Publisher`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Final

from ..base import load
from .base import HOST, READERS, Broadcaster

_GUILD_MESSAGES: Final = 1 << 9
_CHANNEL_ID: Final = "41771983423143937"
_AUTHOR: Final = 80351110224678912
_ENVELOPE: Final = len('{"t":"MESSAGE_CREATE","s":1,"op":0,"d":}')


class _StaticDirectory:
    """A directory in which each user's token is the number of their id. Users share no guild, so READY stays short."""

    def __init__(self, ports: Any) -> None:
        self._ports = ports

    async def authenticate(self, token: str) -> Any:
        """A person, so that starts aren't limited."""
        return self._ports.Account(int(token), f"reader {token}", bot=False)

    async def ready_data(self, account: Any) -> Any:
        """Return only the user itself."""
        user = {"id": str(account.user_id), "username": account.username}
        return self._ports.ReadyData(user=user, application={}, guilds=())

    async def members(self, _account: Any, _guild_id: int, _user_ids: Sequence[int] | None) -> None:
        """No such guild."""

    async def members_by_guild(self, _user_id: int) -> dict[int, frozenset[int]]:
        """Return no members: presences are sent to no other user."""
        return {}


class ChatGateway(Broadcaster):
    """All sessions have seen as much: their sequence numbers are equal."""

    distribution = "onesocket"
    dialect = "gateway"

    @classmethod
    def check(cls) -> None:
        """Check that the requirements of the server are installed."""
        load("onesocket_discord.server.gateway", "onesocket-discord[server]")

    async def serve(self) -> int:
        """Listen."""
        module = load("onesocket_discord.server.gateway", "onesocket-discord[server]")
        self.ports = load("onesocket_discord.server._ports", "onesocket-discord[server]")
        self.gateway = module.GatewayServer(module.GatewayOptions(heartbeat_interval=3600.0))
        await self.gateway.start(_StaticDirectory(self.ports), HOST)
        self.recipients = frozenset(range(1, READERS + 1))
        return int(self.gateway.url.rstrip("/").rpartition(":")[2])

    async def stop(self) -> None:
        """Stop it."""
        await self.gateway.stop()

    def connected(self) -> int:
        """Return the number of identified sessions."""
        return int(self.gateway.state.stats_counter.snapshot().identifies)

    async def broadcast(self, size: int) -> None:
        """A message with as much content as makes it that long."""
        data: dict[str, Any] = {
            "id": "1154172300000000000",
            "channel_id": _CHANNEL_ID,
            "guild_id": _CHANNEL_ID,
            "author": {"id": str(_AUTHOR), "username": "author"},
            "content": "",
        }
        data["content"] = "x" * (size - _ENVELOPE - len(json.dumps(data, separators=(",", ":"))))
        self.gateway.publish(
            self.ports.Event("MESSAGE_CREATE", data, self.recipients, intents=_GUILD_MESSAGES, content_of=_AUTHOR)
        )


class ChatGatewaySeparateSequences(ChatGateway):
    """Every session has a sequence number of its own, so no two frames are the same."""

    def gathered(self) -> None:
        """Give each session another sequence number."""
        sessions = self.gateway.state.sessions
        for user_id in self.recipients:
            for session in sessions.of(user_id):
                session.seq += user_id
