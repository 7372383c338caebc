"""What the fuzzing server is run against: the real transport line, and the whole client. Both echo."""

from __future__ import annotations

import asyncio
import importlib
import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol, cast

import onesocket
from onesocket.client.gap import Gap
from onesocket.errors import OnesocketError, ProtocolViolation
from onesocket.lifecycle.states import State
from onesocket.transports.base import Line, Transport
from onesocket.wire import Data, DialRequest, Handshake

Received = Callable[[Data], object]

EXTENSION_CASES: Final = ("12.", "13.")
"""permessage-deflate: only for those who offer it."""


class Agent(Protocol):
    """Somebody who opens a line, does something with what arrives, and comes back when the line is over."""

    @property
    def name(self) -> str:
        """For the report; what stands before the dash is its transport."""
        ...

    @property
    def compresses(self) -> bool:
        """Whether it offers permessage-deflate."""
        ...

    async def converse(self, url: str, on_message: Callable[[Data, Received], object]) -> None:
        """Open one line to `url`, hand over each message with a function that answers it; return at its end."""
        ...


class _Events:
    """The owner of one line, who only wants to know when it's over."""

    def __init__(self) -> None:
        self.over: asyncio.Future[OnesocketError] = asyncio.get_running_loop().create_future()

    def opened(self, handshake: Handshake) -> None:
        """Go on."""

    def pong(self, payload: bytes) -> None:
        """Go on."""

    def writable(self, now_writable: bool) -> None:  # noqa: FBT001 - the port's signature
        """Go on: nothing is held back here."""

    def peer_closed(self, code: int, reason: str) -> None:
        """Go on: the end follows."""

    def violated(self, error: ProtocolViolation) -> None:
        """Go on: the end follows."""

    def ended(self, error: OnesocketError, **_how: object) -> None:
        """Nothing is left of it."""
        if not self.over.done():
            self.over.set_result(error)


@dataclass(frozen=True)
class LineAgent:
    """The transport's line, with nothing above it."""

    name: str
    make_transport: Callable[[], Transport]
    compresses: bool = False

    async def converse(self, url: str, on_message: Callable[[Data, Received], object]) -> None:
        """Dial, and wait for the end."""
        events = _Events()
        lines: list[Line] = []

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

        def received(message: Data | Gap) -> None:
            if not isinstance(message, Gap):
                on_message(message, client.send_nowait)

        client.on(received)
        try:
            await client.connect()
            await client.wait_for(State.FAILED, State.DISCONNECTED, State.BACKING_OFF)
        finally:
            await client.aclose()


def agents() -> list[Agent]:
    """Everybody there is: picows, and `websockets` as soon as there is a transport for it."""
    picows = _transport("picows", "PicowsTransport")
    if picows is None:
        raise RuntimeError("the default transport is not there: is the package installed (make setup)?")
    found: list[Agent] = [LineAgent("picows-line", picows), ClientAgent("picows-client", picows)]
    websockets = _transport("websockets", "WebsocketsTransport")
    if websockets is not None:
        found.append(LineAgent("websockets-line", websockets, compresses=True))
        found.append(ClientAgent("websockets-client", websockets, compresses=True))
    return found


def _transport(module: str, name: str) -> Callable[[], Transport] | None:
    full_name = f"onesocket.transports.{module}"
    if importlib.util.find_spec(full_name) is None:
        return None
    return cast("Callable[[], Transport]", getattr(importlib.import_module(full_name), name))
