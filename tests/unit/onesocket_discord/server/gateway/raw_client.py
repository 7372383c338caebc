"""A gateway client that hides nothing, and a world small enough to know by heart."""

from __future__ import annotations

import asyncio
import json
import zlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from onesocket_discord.protocol._zstd import zstd
from onesocket_discord.server._ports import Account, Json, ReadyData
from onesocket_discord.server.gateway import GatewayOptions, GatewayServer

DEADLINE = 30.0
ALL_INTENTS = 53608447
BOT_TOKEN = "t1"
GUILD = 1 << 22
OTHER_GUILD = 2 << 22


class FakeDirectory:
    """Token ``t1`` is user 1, a bot; ``p2`` is user 2, a person. Everybody is in both guilds."""

    denied_intents = 0
    """Of bots."""

    def __init__(self, members: int = 3) -> None:
        self.member_count = members
        self.void: set[str] = set()
        """Tokens that belong to nobody any more."""
        self.gate: asyncio.Event | None = None
        """Set: `ready_data` waits for it."""
        self.asked = asyncio.Event()
        """Set when `ready_data` is asked for."""

    async def authenticate(self, token: str) -> Account | None:
        if token[:1] not in {"t", "p"} or not token[1:].isdigit() or token in self.void:
            return None
        is_bot = token[0] == "t"
        return Account(int(token[1:]), f"user{token[1:]}", is_bot, self.denied_intents if is_bot else 0)

    def is_remembered(self, token: str) -> bool:
        del token
        return False

    async def ready_data(self, account: Account) -> ReadyData:
        self.asked.set()
        if self.gate is not None:
            await self.gate.wait()
        user = {"id": str(account.user_id), "username": account.username, "discriminator": "0", "avatar": None}
        members = [{"user": {"id": str(number)}, "roles": [], "flags": 0} for number in range(1, self.member_count + 1)]
        guilds = [
            {"id": str(guild), "name": "g", "members": members, "presences": [{"user": {"id": "2"}, "status": "idle"}]}
            for guild in (GUILD, OTHER_GUILD)
        ]
        return ReadyData(user, {"id": user["id"], "flags": 0, "name": "not in READY"}, guilds, [], [{"id": "5"}])

    async def members(self, account: Account, guild_id: int, user_ids: Sequence[int] | None) -> Sequence[Json] | None:
        if guild_id != GUILD:
            return None
        wanted = range(1, self.member_count + 1)
        return [
            {"user": {"id": str(number), "username": f"user{number}"}, "nick": None}
            for number in wanted
            if user_ids is None or number in user_ids
        ]

    async def members_by_guild(self, user_id: int) -> dict[int, frozenset[int]]:
        return {GUILD: frozenset(range(1, self.member_count + 1))}


class RawGatewayClient:
    """One connection; every wait has a deadline."""

    def __init__(self, socket: ClientConnection, compress: str) -> None:
        self.socket = socket
        self._context: Any = None
        if compress:
            self._context = zstd.ZstdDecompressor() if compress == "zstd-stream" else zlib.decompressobj()
        self.compress = compress

    async def receive(self) -> Json:
        async with asyncio.timeout(DEADLINE):
            data = await self.socket.recv()
        if self._context is not None:
            assert isinstance(data, bytes)
            if self.compress == "zlib-stream":
                assert data.endswith(b"\x00\x00\xff\xff")
            data = self._context.decompress(data)
        payload: Json = json.loads(data)
        assert payload.keys() == {"op", "d", "s", "t"}
        return payload

    async def until(self, name: str) -> Json:
        """The next dispatch of this name; others are let go."""
        while (payload := await self.receive())["t"] != name:
            pass
        return payload

    async def send(self, op: int, d: Any = None) -> None:
        await self.socket.send(json.dumps({"op": op, "d": d}))

    async def hello(self) -> Json:
        payload = await self.receive()
        assert payload["op"] == 10
        return payload

    async def identify(self, token: str = BOT_TOKEN, *, wait: bool = True, **changes: Any) -> Json:
        """HELLO, Identify, READY and both guilds; returns READY."""
        await self.hello()
        await self.send(2, {"token": token, "intents": ALL_INTENTS, "properties": {}, **changes})
        if not wait:
            return {}
        ready = await self.receive()
        assert ready["t"] == "READY", ready
        for _ in ready["d"]["guilds"]:
            assert (await self.receive())["t"] == "GUILD_CREATE"
        return ready

    async def resume(self, ready: Json, seq: int, token: str = BOT_TOKEN) -> None:
        await self.send(6, {"token": token, "session_id": ready["d"]["session_id"], "seq": seq})

    async def close_code(self) -> int | None:
        """The code and reason of the server's CLOSE frame; payloads before it are dropped. None: no CLOSE frame."""
        try:
            async with asyncio.timeout(DEADLINE):
                while True:
                    await self.socket.recv()
        except ConnectionClosed as closed:
            return closed.rcvd.code if closed.rcvd is not None else None

    async def close(self, code: int = 1000) -> None:
        await self.socket.close(code)


@asynccontextmanager
async def dial(
    url: str, query: str = "v=10&encoding=json", compress: str = "", **options: Any
) -> AsyncIterator[RawGatewayClient]:
    address = f"{url}?{query}" + (f"&compress={compress}" if compress else "")
    async with connect(address, open_timeout=DEADLINE, close_timeout=DEADLINE, max_size=None, **options) as socket:
        yield RawGatewayClient(socket, compress)


@asynccontextmanager
async def running_gateway(directory: FakeDirectory | None = None, **options: Any) -> AsyncIterator[GatewayServer]:
    """A gateway on a real socket. Presences are published at once; Identify has no limit."""
    gateway = GatewayServer(
        GatewayOptions(**{"identify_interval": 0, "presence_grace": 0, "close_timeout": 2, **options})
    )
    await gateway.start(directory or FakeDirectory())
    try:
        yield gateway
    finally:
        await gateway.stop()
