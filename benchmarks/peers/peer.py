"""Each peer, used as its documents say: one object, and the call that ten components make on it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final

from examples.demo.check_then_connect import CheckThenConnectClient
from onesocket import Client

from ..subjects.base import load
from . import dialects


@dataclass(frozen=True, slots=True)
class ClientHandle:
    """The calls of a component on the shared object."""

    connect: Callable[[], Awaitable[Any]]
    close: Callable[[], Awaitable[Any]]
    stays: Callable[[], Awaitable[Any]] | None = None
    """Connects and goes on reconnecting, as long as it's awaited; None: `connect` is all there is."""


Make = Callable[[str], ClientHandle]


@dataclass(frozen=True, slots=True)
class Peer:
    """A row of the table."""

    name: str
    modules: tuple[str, str]
    """The module to import, and its distribution."""
    make: Make
    greeting: dialects.Greeting = None
    reply: dialects.Reply = dialects.silent
    subprotocols: tuple[str, ...] = ()
    resumes: bool = False
    """Goes on by itself when the server closes."""
    cancellable: bool = True
    """Its connect() is a coroutine that ends; where one has to be made up, cancelling it would say nothing."""

    def check(self) -> None:
        """Raise `MissingPeer` unless it's installed."""
        load(*self.modules)


def _onesocket(url: str) -> ClientHandle:
    client = Client(url)
    return ClientHandle(client.connect, client.aclose)


def _check_then_connect(url: str) -> ClientHandle:
    client = CheckThenConnectClient(url)

    async def close() -> None:
        """Close the client, as an application does; the call is synchronous."""
        client.disconnect()

    return ClientHandle(client.connect, close)


def _websockets(url: str) -> ClientHandle:
    module = load("websockets.asyncio.client", "websockets")
    made: list[Any] = []

    async def connect() -> None:
        """A socket for each caller."""
        made.append(await module.connect(url, proxy=None))

    async def stay() -> None:
        """The iterator that reconnects."""
        async for connection in module.connect(url, proxy=None):
            with contextlib.suppress(Exception):
                await connection.recv()

    async def close() -> None:
        """Each one."""
        await asyncio.gather(*(connection.close() for connection in made))

    return ClientHandle(connect, close, stay)


def _aiohttp(url: str) -> ClientHandle:
    session = load("aiohttp", "aiohttp").ClientSession()
    return ClientHandle(lambda: session.ws_connect(url), session.close)


def _picows(url: str) -> ClientHandle:
    module = load("picows", "picows")
    made: list[Any] = []

    async def connect() -> None:
        """A socket for each caller."""
        transport, _ = await module.ws_connect(module.WSListener, url, logger_name=_ignore_errors())
        made.append(transport)

    async def close() -> None:
        """Each one."""
        for transport in made:
            transport.disconnect(graceful=False)

    return ClientHandle(connect, close)


def _socket_io(url: str) -> ClientHandle:
    client = load("socketio", "python-socketio").AsyncClient(handle_sigint=False)
    return ClientHandle(
        lambda: client.connect(url.replace("ws:", "http:"), transports=["websocket"]), client.disconnect
    )


def _slack(url: str) -> ClientHandle:
    module = load("slack_sdk.socket_mode.aiohttp", "slack_sdk")
    client = module.SocketModeClient(app_token="none", logger=_ignore_errors())  # noqa: S106 - invented

    async def issue() -> str:
        """Answer as Slack's web API would."""
        return url

    client.wss_uri = url
    client.issue_new_wss_url = issue
    return ClientHandle(client.connect, client.disconnect)


def _nats(url: str) -> ClientHandle:
    client = load("nats", "nats-py").NATS()

    async def ignore(_error: Exception) -> None:
        """Ignore text that would be printed."""

    return ClientHandle(lambda: client.connect(url, error_cb=ignore, connect_timeout=2), client.close)


def _signalr(url: str) -> ClientHandle:
    client = load("pysignalr.client", "pysignalr").SignalRClient(url.replace("ws:", "http:"))
    transport = client._transport  # noqa: SLF001 - negotiation over HTTP is not what is counted here
    transport._url, transport._skip_negotiation = url, True  # noqa: SLF001
    running: list[asyncio.Task[None]] = []

    async def connect() -> None:
        """`run()` is its connect; it returns only at the end."""
        running.append(asyncio.create_task(client.run()))
        await asyncio.wait([running[-1]], timeout=1.0)
        if running[-1].done():
            running[-1].result()

    async def close() -> None:
        """There is no other way than to cancel it."""
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    return ClientHandle(connect, close, client.run)


def _gql(url: str) -> ClientHandle:
    transport = load("gql.transport.websockets", "gql").WebsocketsTransport(url=url)
    client = load("gql", "gql").Client(transport=transport)
    return ClientHandle(client.connect_async, client.close_async)


def _centrifuge(url: str) -> ClientHandle:
    client = load("centrifuge", "centrifuge-python").Client(url)
    return ClientHandle(client.connect, client.disconnect)


def _websocket_client(url: str) -> ClientHandle:
    app = load("websocket", "websocket-client").WebSocketApp(url)

    async def connect() -> None:
        """`run_forever()` is its connect; it blocks, so each caller needs a thread."""
        thread = asyncio.create_task(asyncio.to_thread(app.run_forever))
        await asyncio.wait([thread], timeout=1.0)
        if thread.done():
            thread.result()

    async def close() -> None:
        """Close without waiting."""
        app.keep_running = False
        await asyncio.to_thread(app.close)

    return ClientHandle(connect, close)


def _ignore_errors() -> logging.Logger:
    return logging.Logger("peer", level=logging.CRITICAL + 1)  # noqa: LOG001 - nobody's configuration applies


PEERS: Final = (
    Peer("onesocket", ("onesocket", "onesocket"), _onesocket, resumes=True),
    Peer("check-then-connect", ("websockets", "websockets"), _check_then_connect),
    Peer("websockets", ("websockets", "websockets"), _websockets, resumes=True),
    Peer("aiohttp", ("aiohttp", "aiohttp"), _aiohttp),
    Peer("picows", ("picows", "picows"), _picows),
    Peer(
        "python-socketio",
        ("socketio", "python-socketio"),
        _socket_io,
        dialects.SOCKET_IO_HELLO,
        dialects.socket_io,
        resumes=True,
    ),
    Peer("slack_sdk", ("slack_sdk", "slack_sdk"), _slack, resumes=True),
    Peer("nats-py", ("nats", "nats-py"), _nats, dialects.NATS_HELLO, dialects.nats, resumes=True),
    Peer("pysignalr", ("pysignalr", "pysignalr"), _signalr, None, dialects.signalr, resumes=True, cancellable=False),
    Peer(
        "gql",
        ("gql", "gql"),
        _gql,
        None,
        dialects.graphql,
        ("graphql-transport-ws",),
    ),
    Peer(
        "centrifuge-python", ("centrifuge", "centrifuge-python"), _centrifuge, None, dialects.centrifuge, resumes=True
    ),
    Peer("websocket-client", ("websocket", "websocket-client"), _websocket_client, cancellable=False),
)
