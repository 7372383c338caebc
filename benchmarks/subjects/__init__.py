"""Everybody who takes part, by the name that stands in the tables."""

from __future__ import annotations

from typing import Final

from . import broadcast, fan_out, hops, recovery
from .bare_picows import BarePicows
from .base import MissingPeer, Subject
from .coroutines import Aiohttp, HttpxWs, PicowsWebsockets, Websockets
from .fail_over import FailOver
from .joining import Connect, SharedFuture
from .ours import OursCallback, OursIterator
from .socket_io import SocketIo
from .websocket_client import WebsocketClient

CALLBACK: Final = "onesocket, callback"
ITERATOR: Final = "onesocket, iterator"
BARE: Final = "picows, bare"
PEERS: Final[dict[str, type[Subject]]] = {
    CALLBACK: OursCallback,
    ITERATOR: OursIterator,
    BARE: BarePicows,
    "picows.websockets": PicowsWebsockets,
    "aiohttp": Aiohttp,
    "websockets": Websockets,
    "python-socketio": SocketIo,
    "websocket-client": WebsocketClient,
    "httpx-ws": HttpxWs,
}
"""For the scenarios `receive`, `send` and `echo`."""
CROWDS: Final = (1, 10, 100)
FAN_OUT: Final[dict[str, type[Subject]]] = {
    f"{count} × {name}": fan_out.of(kind, count)
    for name, kind in (
        ("callback", fan_out.Callbacks),
        ("iterator", fan_out.Iterators),
        ("asyncio.Queue", fan_out.Queues),
    )
    for count in CROWDS
}
JOIN: Final[dict[str, type[Subject]]] = {"connect()": Connect, "one shared Future": SharedFuture}
RECOVER: Final[dict[str, type[Subject]]] = {
    "onesocket Client, killed": recovery.of(recovery.OurClient, from_failed=False),
    "onesocket Client, failed": recovery.of(recovery.OurClient, from_failed=True),
    "onesocket Provider, killed": recovery.of(recovery.OurProvider, from_failed=False),
    "onesocket Provider, failed": recovery.of(recovery.OurProvider, from_failed=True),
    "check-then-connect client, killed": recovery.of(recovery.TheirClient, from_failed=False),
    "check-then-connect client, failed": recovery.of(recovery.TheirClient, from_failed=True),
    "check-then-connect provider, killed": recovery.of(recovery.TheirProvider, from_failed=False),
    "check-then-connect provider, failed": recovery.of(recovery.TheirProvider, from_failed=True),
    "onesocket Client.reconnect()": recovery.Reconnect,
    "picows, bare: close and open": recovery.CloseAndHandshake,
}
CHAT: Final = "onesocket chat, one sequence"
CHAT_APART: Final = "onesocket chat, 1 000 sequences"
BARE_SERVER: Final = "picows server, bare"
BROADCAST: Final[dict[str, type[Subject]]] = {
    CHAT: broadcast.ChatGateway,
    CHAT_APART: broadcast.ChatGatewayApart,
    BARE_SERVER: broadcast.BarePicowsServer,
    "aiohttp server": broadcast.AiohttpServer,
    "websockets server, broadcast()": broadcast.WebsocketsServer,
    "uvicorn (websockets-sansio)": broadcast.UvicornSansIo,
    "uvicorn (websockets)": broadcast.UvicornWebsockets,
    "python-socketio server": broadcast.SocketIoServer,
}
HOST: Final = "onesocket, scope=host"
HOST_OFFERED: Final = "onesocket, scope=host, loop offered"
NATS: Final = "NATS"
REDIS: Final = "Redis, pipelined"
BETWEEN: Final[dict[str, type[Subject]]] = {
    HOST: hops.OurHop,
    HOST_OFFERED: hops.OurHopOffered,
    "onesocket, followers in blocking mode": hops.OurHopBlocking,
    "Unix socket, bare": hops.BareHop,
    NATS: hops.NatsHop,
    REDIS: hops.RedisHop,
}
FAIL_OVER: Final[dict[str, type[Subject]]] = {"onesocket, owner killed": FailOver}
SUBJECTS: Final[dict[str, type[Subject]]] = {
    **PEERS,
    **FAN_OUT,
    **JOIN,
    **RECOVER,
    **BROADCAST,
    **BETWEEN,
    **FAIL_OVER,
}

__all__ = [
    "BARE",
    "BARE_SERVER",
    "BETWEEN",
    "BROADCAST",
    "CALLBACK",
    "CHAT",
    "CHAT_APART",
    "CROWDS",
    "FAIL_OVER",
    "FAN_OUT",
    "HOST",
    "HOST_OFFERED",
    "ITERATOR",
    "JOIN",
    "NATS",
    "PEERS",
    "RECOVER",
    "REDIS",
    "SUBJECTS",
    "MissingPeer",
    "Subject",
]
