"""The check-then-connect client: what many applications do when several components share a WebSocket.

Every `connect()` checks a few flags, cleans up, pauses, and opens a socket. Each check is sound when made,
but nothing holds while the code awaits: a caller that paused goes on with what it saw before. The client is
here so that demos and benchmarks can show, by the server's count, what that leads to. It is not for use.

It has a browser's shape: creating a socket returns at once with `ReadyState.CONNECTING`, and the handlers
`onopen`, `onerror` and `onclose` update the flags later.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import IntEnum
from typing import Protocol

log = logging.getLogger("onesocket.testing")

# Seconds. "Wait a bit for cleanup", and "a small delay to ensure any previous connection is fully closed".
CLEANUP_PAUSE = 0.1
CONNECT_PAUSE = 0.2


class OpenWebSocket(Protocol):
    """An open WebSocket, as a dial returns it."""

    async def close(self, code: int = 1000) -> None:
        """Close the WebSocket, and wait for its end."""
        ...

    async def wait_closed(self) -> None:
        """Wait until either side has closed the WebSocket."""
        ...


Dial = Callable[[str], Awaitable[OpenWebSocket]]
Sleep = Callable[[float], Awaitable[None]]


class ReadyState(IntEnum):
    """The states of a browser's WebSocket."""

    CONNECTING = 0
    OPEN = 1
    CLOSING = 2
    CLOSED = 3


async def dial_with_websockets(url: str) -> OpenWebSocket:
    """Open a WebSocket with the `websockets` library. Raises what that raises."""
    try:
        from websockets.asyncio.client import connect
    except ImportError as error:  # pragma: no cover - depends on the installation
        raise ImportError('this client needs websockets: pip install "onesocket[testing]"') from error
    return await connect(url, proxy=None)


class BrowserSocket:
    """A WebSocket in a browser's shape: the constructor returns at once, and handlers tell the rest."""

    def __init__(self, url: str, dial: Dial) -> None:
        self.ready_state = ReadyState.CONNECTING
        self.onopen: Callable[[], None] = _no_handler
        self.onerror: Callable[[], None] = _no_handler
        self.onclose: Callable[[], None] = _no_handler
        self._close_asked = asyncio.Event()
        self._task = asyncio.get_running_loop().create_task(self._live(url, dial))

    def close(self) -> None:
        """Close. As in a browser, closing while CONNECTING breaks the attempt off."""
        if self.ready_state in {ReadyState.CLOSING, ReadyState.CLOSED}:
            return
        self.ready_state = ReadyState.CLOSING
        self._close_asked.set()

    async def wait_closed(self) -> None:
        """Wait until the socket and its task have ended."""
        await asyncio.wait([self._task])

    async def _live(self, url: str, dial: Dial) -> None:
        connection = await self._dial(url, dial)
        if connection is None:
            self.ready_state = ReadyState.CLOSED
            self.onerror()
        else:
            await self._use(connection)
            self.ready_state = ReadyState.CLOSED
        self.onclose()

    async def _dial(self, url: str, dial: Dial) -> OpenWebSocket | None:
        dialling = asyncio.ensure_future(dial(url))
        asked = asyncio.ensure_future(self._close_asked.wait())
        try:
            await asyncio.wait([dialling, asked], return_when=asyncio.FIRST_COMPLETED)
            if not dialling.done():
                dialling.cancel()
                await asyncio.wait([dialling])
            if dialling.cancelled() or dialling.exception() is not None:
                return None
            return dialling.result()
        finally:
            asked.cancel()
            dialling.cancel()

    async def _use(self, connection: OpenWebSocket) -> None:
        lost = asyncio.ensure_future(connection.wait_closed())
        asked = asyncio.ensure_future(self._close_asked.wait())
        try:
            if self.ready_state is ReadyState.CONNECTING:
                self.ready_state = ReadyState.OPEN
                self.onopen()
            await asyncio.wait([lost, asked], return_when=asyncio.FIRST_COMPLETED)
        finally:
            asked.cancel()
            lost.cancel()
            await connection.close(1000)


@dataclass
class ConnectionState:
    """The flags of the client."""

    is_connected: bool = False
    is_connecting: bool = False


class CheckThenConnectClient:
    """The client: one `connect()`, called by anybody at any time.

    `dial(url)` opens a WebSocket; `sleep(seconds)` pauses. Both exist so that tests can stand in.
    """

    def __init__(self, url: str, *, dial: Dial = dial_with_websockets, sleep: Sleep = asyncio.sleep) -> None:
        self.ws: BrowserSocket | None = None
        self.state = ConnectionState()
        self.is_manually_disconnected = False
        self._url = url
        self._dial = dial
        self._sleep = sleep
        self._every_socket: list[BrowserSocket] = []

    def __repr__(self) -> str:
        ready = "none" if self.ws is None else self.ws.ready_state.name
        return f"<CheckThenConnectClient {self.state} ws={ready} sockets_made={len(self._every_socket)}>"

    def is_connected(self) -> bool:
        """Return whether the client's flags say that it is connected."""
        return self.state.is_connected

    async def connect(self) -> None:
        """Connect, unless a check says that it isn't needed. Raises ConnectionError if that fails."""
        if self.state.is_connecting or self.is_manually_disconnected:
            log.debug("connection blocked")
            return

        # Check if already connected and healthy
        if self.ws is not None and self.ws.ready_state is ReadyState.OPEN and self.state.is_connected:
            log.debug("already connected and healthy, skipping connection")
            return

        if self.ws is not None and self.ws.ready_state is ReadyState.CONNECTING:
            log.debug("connection already in progress")
            return

        # Clean up any existing connection before creating new one
        if self.ws is not None:
            log.debug("cleaning up existing WebSocket before new connection")
            self.ws.close()
            self.ws = None
            # Wait a bit for cleanup
            await self._sleep(CLEANUP_PAUSE)

        self.state.is_connecting = True
        try:
            await self._open()
        finally:
            self.state.is_connecting = False

    async def _open(self) -> None:
        opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        ws = BrowserSocket(self._url, self._dial)
        self.ws = ws
        self._every_socket.append(ws)

        def onopen() -> None:
            self.state.is_connected = True
            self.state.is_connecting = False
            if not opened.done():
                opened.set_result(None)

        def onerror() -> None:
            self.state.is_connecting = False
            if not opened.done():
                opened.set_exception(ConnectionError("the WebSocket was closed before it was established"))

        def onclose() -> None:
            self.state.is_connected = False
            self.state.is_connecting = False
            if not opened.done():
                opened.set_exception(ConnectionError("the WebSocket was closed before it was established"))

        ws.onopen, ws.onerror, ws.onclose = onopen, onerror, onclose
        await opened

    def disconnect(self) -> None:
        """Disconnect on purpose: from here on `connect()` is blocked."""
        self.is_manually_disconnected = True
        if self.ws is not None:
            self.ws.close()
            self.ws = None
        self.state.is_connected = False
        self.state.is_connecting = False

    async def force_cleanup(self) -> None:
        """Close every socket the client has ever made, forgotten ones included, and wait until they are gone.

        No part of what applications do: it lets a demo end with nothing left open.
        """
        self.is_manually_disconnected = True
        for ws in self._every_socket:
            ws.close()
        await asyncio.gather(*(ws.wait_closed() for ws in self._every_socket))
        self._every_socket.clear()


class CheckThenConnectProvider:
    """The provider above the client: connects only those who are signed in.

    `make_client()` is called for the first connection; `is_authenticated()` at each.
    """

    def __init__(
        self,
        make_client: Callable[[], CheckThenConnectClient],
        *,
        is_authenticated: Callable[[], bool] = lambda: True,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self.client: CheckThenConnectClient | None = None
        self.is_connecting = False
        self.last_error: Exception | None = None
        self._make_client = make_client
        self._is_authenticated = is_authenticated
        self._sleep = sleep

    async def connect_if_authenticated(self) -> None:
        """Connect, unless a check says that it isn't needed. A failure goes to `last_error`."""
        # Prevent multiple simultaneous connection attempts
        if self.is_connecting:
            log.debug("connection already in progress")
            return

        # Check if already connected
        if self.client is not None and self.client.is_connected():
            log.debug("already connected")
            return

        # Check if client is in connecting state
        if self.client is not None and self.client.state.is_connecting:
            log.debug("client already connecting")
            return

        if not self._is_authenticated():
            return

        self.is_connecting = True
        try:
            if self.client is None:
                self.client = self._make_client()
            # Add a small delay to ensure any previous connection is fully closed
            await self._sleep(CONNECT_PAUSE)
            await self.client.connect()
        except Exception as error:
            # Applications show it to the user, whatever it is.
            log.debug("connection failed", exc_info=True)
            self.last_error = error
        finally:
            self.is_connecting = False

    def disconnect(self) -> None:
        """Disconnect the client, if there is one."""
        if self.client is not None:
            self.client.disconnect()


def _no_handler() -> None:
    """Do nothing: the default of each handler."""
