"""All subjects, by their names in the tables."""

from __future__ import annotations

from typing import Final

from . import between_hosts, broadcast, fan_out, recovery
from . import interprocess as hops
from . import shared_connection as sharing
from .bare_picows import BarePicows
from .base import MissingPeer, Subject
from .concurrent_connect import ConcurrentConnect, SharedFuture
from .coroutines import Aiohttp, HttpxWs, PicowsWebsockets, Websockets
from .fail_over import FailOver
from .frames import PythonReaderAlone, ReaderAlone
from .key_dispatch import LookUpAndCall, StreamsOfKeys
from .onesocket_client import OnesocketCallback, OnesocketIterator, OnesocketPythonTwin
from .requests import ClientRequests, FutureMap
from .socket_io import SocketIo
from .websocket_client import WebsocketClient

CALLBACK: Final = "onesocket, callback"
ITERATOR: Final = "onesocket, iterator"
PYTHON_TWIN: Final = "onesocket, callback, Python twin"
BARE: Final = "picows, bare"
AIOHTTP: Final = "aiohttp"
WEBSOCKETS: Final = "websockets"
PEERS: Final[dict[str, type[Subject]]] = {
    CALLBACK: OnesocketCallback,
    ITERATOR: OnesocketIterator,
    PYTHON_TWIN: OnesocketPythonTwin,
    BARE: BarePicows,
    "picows.websockets": PicowsWebsockets,
    AIOHTTP: Aiohttp,
    WEBSOCKETS: Websockets,
    "python-socketio": SocketIo,
    "websocket-client": WebsocketClient,
    "httpx-ws": HttpxWs,
}
"""For the scenarios `receive`, `send` and `echo`."""
_NOT_CONNECT: Final = frozenset({ITERATOR, "python-socketio", "httpx-ws"})
CONNECT: Final[dict[str, type[Subject]]] = {name: kind for name, kind in PEERS.items() if name not in _NOT_CONNECT}
FRAMES: Final[dict[str, type[Subject]]] = {
    "onesocket.wire, C twin": ReaderAlone,
    "onesocket.wire, Python twin": PythonReaderAlone,
}
SUBSCRIBER_COUNTS: Final = (1, 10, 100)
FAN_OUT: Final[dict[str, type[Subject]]] = {
    f"{count} × {name}": fan_out.subject(kind, count)
    for name, kind in (
        ("callback", fan_out.Callbacks),
        ("iterator", fan_out.Iterators),
        ("asyncio.Queue", fan_out.Queues),
    )
    for count in SUBSCRIBER_COUNTS
}
STREAMS_OF_KEYS: Final = "subscribe(keys=…)"
LOOK_UP_AND_CALL: Final = "a dict look-up and a call"
KEYS: Final[dict[str, type[Subject]]] = {STREAMS_OF_KEYS: StreamsOfKeys, LOOK_UP_AND_CALL: LookUpAndCall}
JOIN: Final[dict[str, type[Subject]]] = {"connect()": ConcurrentConnect, "one shared Future": SharedFuture}
REQUEST: Final = "client.request()"
FUTURE_MAP: Final = "a map of futures by hand"
REQUESTS: Final[dict[str, type[Subject]]] = {REQUEST: ClientRequests, FUTURE_MAP: FutureMap}
RECOVER: Final[dict[str, type[Subject]]] = {
    "onesocket Client, killed": recovery.subject(recovery.ClientRecovery, from_failed=False),
    "onesocket Client, failed": recovery.subject(recovery.ClientRecovery, from_failed=True),
    "onesocket Provider, killed": recovery.subject(recovery.ProviderRecovery, from_failed=False),
    "onesocket Provider, failed": recovery.subject(recovery.ProviderRecovery, from_failed=True),
    "check-then-connect client, killed": recovery.subject(recovery.CheckThenConnectClientRecovery, from_failed=False),
    "check-then-connect client, failed": recovery.subject(recovery.CheckThenConnectClientRecovery, from_failed=True),
    "check-then-connect provider, killed": recovery.subject(
        recovery.CheckThenConnectProviderRecovery, from_failed=False
    ),
    "check-then-connect provider, failed": recovery.subject(
        recovery.CheckThenConnectProviderRecovery, from_failed=True
    ),
    "onesocket Client.reconnect()": recovery.Reconnect,
    "picows, bare: close and open": recovery.CloseAndHandshake,
}
CHAT: Final = "onesocket chat, one sequence"
CHAT_SEPARATE_SEQUENCES: Final = "onesocket chat, 1 000 sequences"
BARE_SERVER: Final = "picows server, bare"
BROADCAST: Final[dict[str, type[Subject]]] = {
    CHAT: broadcast.ChatGateway,
    CHAT_SEPARATE_SEQUENCES: broadcast.ChatGatewaySeparateSequences,
    BARE_SERVER: broadcast.BarePicowsServer,
    "aiohttp server": broadcast.AiohttpServer,
    "websockets server, broadcast()": broadcast.WebsocketsServer,
    "uvicorn (websockets-sansio)": broadcast.UvicornSansIo,
    "uvicorn (websockets)": broadcast.UvicornWebsockets,
    "python-socketio server": broadcast.SocketIoServer,
}
CLIENT_CALLBACK: Final = "Client, callback"
CLIENT_ITERATOR: Final = "Client, iterator"
JOIN_CALLBACK: Final = "join, scope=process, callback"
JOIN_ITERATOR: Final = "join, scope=process, iterator"
SHARED_RECEIVE: Final[dict[str, type[Subject]]] = {
    CLIENT_CALLBACK: OnesocketCallback,
    "join, scope=loop, callback": sharing.JoinedOnLoopCallback,
    JOIN_CALLBACK: sharing.JoinedInProcessCallback,
    CLIENT_ITERATOR: OnesocketIterator,
    "join, scope=loop, iterator": sharing.JoinedOnLoop,
    JOIN_ITERATOR: sharing.JoinedInProcess,
}
CLIENT: Final = "Client"
JOIN_PROCESS: Final = "join, scope=process"
JOIN_THREAD: Final = "join, another thread"
JOIN_FOLLOWER: Final = "join, another process"
SHARED_SEND: Final[dict[str, type[Subject]]] = {
    CLIENT: sharing.ClientTraffic,
    "join, scope=loop": sharing.JoinedOnLoop,
    JOIN_PROCESS: sharing.JoinedInProcess,
    JOIN_THREAD: sharing.JoinedFromThread,
    JOIN_FOLLOWER: sharing.FollowerTraffic,
}
"""For sends and echoes over a connection that is shared."""
HOST: Final = "onesocket, scope=host"
HOST_OWN_LOOP: Final = "onesocket, scope=host, loop offered"
NATS: Final = "NATS"
REDIS: Final = "Redis, pipelined"
INTERPROCESS: Final[dict[str, type[Subject]]] = {
    HOST: hops.HostFanOut,
    HOST_OWN_LOOP: hops.HostFanOutOwnLoop,
    "onesocket, scope=host, owner in a thread": hops.HostFanOutOwnerThread,
    "onesocket, followers in blocking mode": hops.HostFanOutBlocking,
    "Unix socket, bare": hops.UnixSocketFanOut,
    NATS: hops.NatsFanOut,
    REDIS: hops.RedisFanOut,
}
CLUSTER_REDIS: Final = "onesocket, scope=cluster, Valkey"
CLUSTER_REDIS_PLAIN: Final = "onesocket, scope=cluster, Valkey, without hiredis"
CLUSTER_NATS: Final = "onesocket, scope=cluster, NATS"
REDIS_STREAM: Final = "Valkey, one entry for each message"
REDIS_STREAM_PLAIN: Final = "Valkey, one entry for each message, without hiredis"
NATS_STREAM: Final = "JetStream, one message for each"
BETWEEN_HOSTS: Final[dict[str, type[Subject]]] = {
    CLUSTER_REDIS: between_hosts.RedisCluster,
    CLUSTER_REDIS_PLAIN: between_hosts.RedisClusterWithoutHiredis,
    CLUSTER_NATS: between_hosts.NatsCluster,
    REDIS_STREAM: between_hosts.RedisStreamHosts,
    REDIS_STREAM_PLAIN: between_hosts.RedisStreamWithoutHiredis,
    NATS_STREAM: between_hosts.NatsStreamHosts,
}
COUNTED_BY_ENGINE: Final = {name: BETWEEN_HOSTS[name] for name in (CLUSTER_REDIS, REDIS_STREAM)}
FAIL_OVER: Final[dict[str, type[Subject]]] = {"onesocket, owner killed": FailOver}
SUBJECTS: Final[dict[str, type[Subject]]] = {
    **PEERS,
    **FRAMES,
    **FAN_OUT,
    **KEYS,
    **JOIN,
    **REQUESTS,
    **RECOVER,
    **BROADCAST,
    **SHARED_RECEIVE,
    **SHARED_SEND,
    **INTERPROCESS,
    **BETWEEN_HOSTS,
    **FAIL_OVER,
}

__all__ = [
    "AIOHTTP",
    "BARE",
    "BARE_SERVER",
    "BROADCAST",
    "CALLBACK",
    "CHAT",
    "CHAT_SEPARATE_SEQUENCES",
    "CLIENT",
    "CLIENT_CALLBACK",
    "CLIENT_ITERATOR",
    "CONNECT",
    "FAIL_OVER",
    "FAN_OUT",
    "FRAMES",
    "FUTURE_MAP",
    "HOST",
    "HOST_OWN_LOOP",
    "INTERPROCESS",
    "ITERATOR",
    "JOIN",
    "JOIN_CALLBACK",
    "JOIN_FOLLOWER",
    "JOIN_ITERATOR",
    "JOIN_PROCESS",
    "JOIN_THREAD",
    "KEYS",
    "LOOK_UP_AND_CALL",
    "NATS",
    "PEERS",
    "PYTHON_TWIN",
    "RECOVER",
    "REDIS",
    "REQUEST",
    "REQUESTS",
    "SHARED_RECEIVE",
    "SHARED_SEND",
    "STREAMS_OF_KEYS",
    "SUBJECTS",
    "SUBSCRIBER_COUNTS",
    "WEBSOCKETS",
    "MissingPeer",
    "Subject",
]
