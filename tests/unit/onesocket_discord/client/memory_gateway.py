"""A gateway on the in-memory transport, correct unless a test scripts it otherwise."""

import asyncio
import itertools
import json
from typing import Any

from onesocket.transports._memory import MemoryPeer, MemoryServer
from onesocket.wire._handshake import Data
from onesocket_discord import DiscordClient, Intents

_TOKENS = itertools.count()


class MemoryGateway:
    """Knows one session at a time; `heard` is all it got, with the time."""

    def __init__(self, interval: float = 40.0) -> None:
        self.interval = interval
        self.server = MemoryServer(self._dialled, self._took)
        self.heard: list[tuple[float, dict[str, Any]]] = []
        self.acks = True
        self.refuses_resume = False
        self.s = 0
        self.replay: list[tuple[str, Any]] = []

    def client(self, token: Any = None, **options: Any) -> DiscordClient:
        # Each test has a token of its own: identifies are counted for the whole process.
        token = f"memory-token-{next(_TOKENS)}" if token is None else token
        intents = options.pop("intents", Intents.GUILDS | Intents.GUILD_MEMBERS)
        return DiscordClient(
            token, intents, gateway_url="ws://memory.test/", transport=self.server.transport(), **options
        )

    @property
    def peer(self) -> MemoryPeer:
        return self.server.peers[-1]

    def ops(self, op: int) -> list[dict[str, Any]]:
        return [payload for _, payload in self.heard if payload["op"] == op]

    def times(self, op: int) -> list[float]:
        return [time for time, payload in self.heard if payload["op"] == op]

    def say(self, op: int, d: Any = None, *, s: int | None = None, t: str | None = None) -> None:
        self.peer.send(json.dumps({"op": op, "d": d, "s": s, "t": t}))

    def event(self, name: str, d: Any = None, peer: MemoryPeer | None = None) -> None:
        self.s += 1
        (peer or self.peer).send(json.dumps({"op": 0, "d": {} if d is None else d, "s": self.s, "t": name}))

    def _dialled(self, peer: MemoryPeer) -> None:
        peer.accept()
        peer.send(json.dumps({"op": 10, "d": {"heartbeat_interval": self.interval * 1000}, "s": None, "t": None}))

    def _took(self, peer: MemoryPeer, data: Data) -> None:
        payload = json.loads(data)
        self.heard.append((asyncio.get_running_loop().time(), payload))
        match payload["op"]:
            case 1 if self.acks:
                peer.send('{"op":11,"d":null,"s":null,"t":null}')
            case 2:
                self.s = 0
                self.event("READY", {"session_id": "s", "resume_gateway_url": "ws://resume.test/"}, peer)
            case 6 if self.refuses_resume:
                peer.send('{"op":9,"d":false,"s":null,"t":null}')
            case 6:
                for event, body in self.replay:
                    self.event(event, body, peer)
                self.event("RESUMED", None, peer)
            case _:
                pass
