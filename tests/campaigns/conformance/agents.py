"""The echoing clients that the fuzzing server tests: a transport alone, and a whole client."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final, Protocol

import onesocket
from onesocket.errors import OnesocketError, ProtocolViolation
from onesocket.lifecycle._states import State
from onesocket.transports._transport import Transport, TransportConnection
from onesocket.transports._websocket import WebSocketTransport
from onesocket.wire._handshake import Data, DialRequest, Handshake

Received = Callable[[Data], object]

EXTENSION_CASES: Final = ("12.", "13.")
"""permessage-deflate: only for those who offer it."""


class Agent(Protocol):
    """A client that opens a connection, hands over its messages, and returns at its end."""

    @property
    def name(self) -> str:
        """For the report."""
        ...

    @property
    def compresses(self) -> bool:
        """True if it offers permessage-deflate."""
        ...

    async def converse(self, url: str, on_message: Callable[[Data, Received], object]) -> None:
        """Open one connection to `url`, hand over each message with a function that answers it; return at its end."""
        ...


class _ConnectionEvents:
    """The events of one connection; only its end is recorded."""

    def __init__(self) -> None:
        self.over: asyncio.Future[OnesocketError] = asyncio.get_running_loop().create_future()

    def opened(self, handshake: Handshake) -> None:
        """Go on."""

    def pong(self, payload: bytes) -> None:
        """Go on."""

    def writable(self, now_writable: bool) -> None:
        """Go on: nothing is held back here."""

    def peer_closed(self, code: int, reason: str) -> None:
        """Go on: the end follows."""

    def violated(self, error: ProtocolViolation) -> None:
        """Go on: the end follows."""

    def ended(self, error: OnesocketError, **_how: object) -> None:
        """Record the end."""
        if not self.over.done():
            self.over.set_result(error)


@dataclass(frozen=True)
class TransportAgent:
    """The transport's connection, with nothing above it."""

    name: str
    make_transport: Callable[[], Transport]
    compresses: bool = False

    async def converse(self, url: str, on_message: Callable[[Data, Received], object]) -> None:
        """Dial, and wait for the end."""
        events = _ConnectionEvents()
        lines: list[TransportConnection] = []

        def received(data: Data) -> None:
            on_message(data, lines[0].send)

        lines.append(self.make_transport().dial(DialRequest(url), events, received))
        try:
            await events.over
        finally:
            lines[0].abort()


@dataclass(frozen=True)
class ClientAgent:
    """`onesocket.Client`, as people use it."""

    name: str
    make_transport: Callable[[], Transport]
    compresses: bool = False

    async def converse(self, url: str, on_message: Callable[[Data, Received], object]) -> None:
        """Connect, and wait until the client has nothing left to do."""
        client = onesocket.Client(
            url, max_size=None, reconnect=None, ping_interval=None, transport=self.make_transport()
        )

        client.on(lambda message: on_message(message, client.send_nowait))
        try:
            await client.connect()
            await client.wait_for(State.FAILED, State.DISCONNECTED, State.BACKING_OFF)
        finally:
            await client.aclose()


def agents() -> list[Agent]:
    """The transport alone with permessage-deflate, and a client without it."""
    return [
        TransportAgent("transport", partial(WebSocketTransport, compression="deflate"), compresses=True),
        ClientAgent("client", WebSocketTransport),
    ]
