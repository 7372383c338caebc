"""Ours: `join(url, scope="host")` in every process; the address is a directory, or a URL and a directory.

Where no URL is given, the owner's connection has no server: its transport takes the messages from this process.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import AsyncExitStack
from typing import Any

import onesocket
from onesocket import blocking
from onesocket.errors import ConnectAborted
from onesocket.sharing import offer_loop
from onesocket.sharing.host import HostOptions
from onesocket.transports._transport import TransportEvents
from onesocket.wire._handshake import Data, DialRequest, Handshake

from .base import BATCH_SIZE, Consumer, Producer

UNUSED_URL = "ws://nowhere.invalid/"
_TIMER_DELAY = 0.001


def options(address: str) -> dict[str, Any]:
    """Return the options of `join` in each process."""
    return {
        "scope": "host",
        "host_options": HostOptions(directory=address.rpartition("|")[2]),
        "ping_interval": None,
    }


def url_of(address: str) -> str:
    """Of the connection that is shared."""
    return address.rpartition("|")[0] or UNUSED_URL


class StubConnection:
    """A connection that is open at once, and gets its messages from this module, a slice in each turn of the loop."""

    phase = "open"
    is_reading = True
    backlog = None

    def __init__(self, events: TransportEvents) -> None:
        self.activity = self.parts = 0
        self.loop = asyncio.get_running_loop()
        self._events = events
        self._many: Callable[[list[Data]], object] | None = None
        self.loop.call_soon(events.opened, Handshake())

    def set_receiver(
        self, received: Callable[[Data], object], many: Callable[[list[Data]], object] | None = None
    ) -> None:
        """All at once."""
        del received
        self._many = many

    def feed(self, message: Data, left: int, fed: Future[None]) -> None:
        """Receive these messages."""
        if self._many is None:
            raise RuntimeError("nobody takes slices")
        self._many([message] * min(left, BATCH_SIZE))
        if left > BATCH_SIZE:
            self.loop.call_soon(self.feed, message, left - BATCH_SIZE, fed)
        else:
            fed.set_result(None)

    def send(self, data: Data) -> bool:
        """Discard the data."""
        del data
        return True

    def send_run(self, messages: list[Data]) -> bool:
        """Discard the data."""
        del messages
        return True

    def ping(self, payload: bytes) -> None:
        """Discard the data."""

    def close(self, code: int, reason: str) -> None:
        """End it."""
        del reason
        self.abort(code)

    def abort(self, code: int | None = None) -> None:
        """End it."""
        del code
        self.loop.call_soon(self._events.ended, ConnectAborted("closed"))

    def pause_reading(self) -> None:
        """Do nothing: no reader holds back the stub."""

    def resume_reading(self) -> None:
        """Do nothing."""


class StubTransport:
    """Opens stub connections."""

    name = "fed"

    def __init__(self) -> None:
        self.connection: StubConnection | None = None

    def dial(self, request: DialRequest, events: TransportEvents, received: Callable[[Data], object]) -> StubConnection:
        """One more."""
        del request, received
        self.connection = StubConnection(events)
        return self.connection


class HostProducer(Producer):
    """The owner, as `join` makes it in a program with one event loop."""

    async def open(self) -> None:
        """Join first."""
        self.stack = AsyncExitStack()
        await self.offer()
        self.transport = StubTransport()
        url, given = self.shared()
        joining = onesocket.join(url, transport=self.transport, **given)
        await self.stack.enter_async_context(joining)

    def shared(self) -> tuple[str, dict[str, Any]]:
        """URL and options."""
        return url_of(self.address), options(self.address)

    async def offer(self) -> None:
        """No loop."""

    async def burst(self, message: str, count: int) -> None:
        """Run on the host loop."""
        connection = self._open_connection()
        fed: Future[None] = Future()
        connection.loop.call_soon_threadsafe(connection.feed, message, count, fed)
        await asyncio.wrap_future(fed)

    async def one(self, make: Callable[[], str]) -> None:
        """Create the message on the host loop, where one from a socket would arrive."""
        connection = self._open_connection()
        if connection.loop is asyncio.get_running_loop():
            connection.feed(make(), 1, Future())
        else:
            # By a timer, so that nothing else wakes this process then: a message from a socket finds its program idle.
            connection.loop.call_soon_threadsafe(
                connection.loop.call_later, _TIMER_DELAY, lambda: connection.feed(make(), 1, Future())
            )

    def _open_connection(self) -> StubConnection:
        connection = self.transport.connection
        if connection is None:
            raise RuntimeError("this process is not the owner")
        return connection

    async def close(self) -> None:
        """Leave."""
        await self.stack.aclose()


class OwnLoopProducer(HostProducer):
    """The connection lives on the program's own loop."""

    async def offer(self) -> None:
        """This loop."""
        await self.stack.enter_async_context(offer_loop())


class ThreadProducer(HostProducer):
    """The owner is a program without an event loop, so the connection lives in a thread."""

    async def open(self) -> None:
        """Join first."""
        self.stack = AsyncExitStack()
        self.transport = StubTransport()
        client = await asyncio.to_thread(
            lambda: blocking.join(url_of(self.address), transport=self.transport, **options(self.address))
        )
        self.stack.push_async_callback(asyncio.to_thread, client.close)


class HostConsumer(Consumer):
    """A follower with a callback."""

    async def open(self) -> None:
        """Join."""
        self.stack = AsyncExitStack()
        await self.offer()
        url, given = self.shared()
        client = await self.stack.enter_async_context(onesocket.join(url, **given))
        client.on(self.take, gaps=False)

    def shared(self) -> tuple[str, dict[str, Any]]:
        """URL and options."""
        return url_of(self.address), options(self.address)

    async def offer(self) -> None:
        """No loop."""

    async def close(self) -> None:
        """Leave."""
        await self.stack.aclose()


class OwnLoopConsumer(HostConsumer):
    """The connection lives on the program's own loop."""

    async def offer(self) -> None:
        """This loop."""
        await self.stack.enter_async_context(offer_loop())


class BlockingConsumer(Consumer):
    """A follower without asyncio: ``for message in client`` in a thread."""

    async def open(self) -> None:
        """Join, and read."""
        self.client = await asyncio.to_thread(lambda: blocking.join(url_of(self.address), **options(self.address)))
        self.thread = threading.Thread(target=self._read, daemon=True)
        self.thread.start()

    def _read(self) -> None:
        take: Callable[[Any], object] = self.take
        for message in self.client:
            take(message)

    async def close(self) -> None:
        """Leave."""
        await asyncio.to_thread(self.client.close)
