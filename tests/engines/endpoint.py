"""One end of one WebSocket, whichever engine it belongs to, with the ledger of what it sent and received."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final, Protocol

from onesocket.wire._deflate_parameters import DeflateParameters
from onesocket.wire._handshake import Data

NO_STATUS: Final = 1005
DEADLINE: Final = 20.0
"""Seconds after which a wait has failed; no wait takes so long when nothing is wrong."""
_LINGER_AND_RESET: Final = struct.pack("ii", 1, 0)


class Signal:
    """Wakes the tasks that wait for a condition, whenever something has happened."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def notify(self) -> None:
        """Let all conditions be looked at again."""
        self._event.set()

    async def until(self, condition: Callable[[], bool], seconds: float = DEADLINE) -> None:
        """Wait until the condition holds; raises `TimeoutError`."""
        async with asyncio.timeout(seconds):
            while not condition():
                self._event.clear()
                await self._event.wait()


class Endpoint:
    """One end of one WebSocket. Orders are performed one after the other; each engine implements the coroutines."""

    def __init__(self, signal: Signal, remote_port: int = 0) -> None:
        self.remote_port = remote_port
        self.sent: list[Data] = []
        """The messages that the engine took."""
        self.received: list[Data] = []
        self.pongs: list[bytes] = []
        self.closed: tuple[int, str] | None = None
        """Code and reason of the other side's CLOSE."""
        self.is_compressed = False
        """True if permessage-deflate was agreed on; only the project's own engine says so."""
        self.is_over = False
        """True once the engine says that the connection has ended."""
        self.failures: list[str] = []
        """Complaints of the engine about the other side."""
        self._signal = signal
        self._orders: asyncio.Queue[Callable[[], Awaitable[None]]] = asyncio.Queue()
        self._worker = asyncio.get_running_loop().create_task(self._perform())
        self._is_busy = False

    def __repr__(self) -> str:
        return (
            f"<{type(self).__name__} sent={len(self.sent)} received={len(self.received)} closed={self.closed}"
            f" over={self.is_over} failures={self.failures}>"
        )

    def send(self, data: Data, pieces: int = 1) -> None:
        """Send a message, in so many fragments if the engine can."""

        async def order() -> None:
            if await self._send(data, pieces):
                self.sent.append(data)

        self._orders.put_nowait(order)

    def ping(self, payload: bytes) -> None:
        """Send a PING."""
        self._orders.put_nowait(lambda: self._ping(payload))

    def close(self, code: int, reason: str = "") -> None:
        """Begin the close handshake."""
        self._orders.put_nowait(lambda: self._close(code, reason))

    def drop(self) -> None:
        """End TCP with a reset, in the order of the other calls."""
        self._orders.put_nowait(self._drop)

    def end_stream(self) -> None:
        """End TCP without a CLOSE, but with a FIN behind everything that was sent."""
        self._orders.put_nowait(self._end_stream)

    @property
    def is_idle(self) -> bool:
        """True if no order is left."""
        return self._orders.empty() and not self._is_busy

    async def aclose(self) -> None:
        """End everything of this end."""
        if not self.is_over:
            await self._drop()
        self._worker.cancel()
        await asyncio.gather(self._worker, return_exceptions=True)

    async def _perform(self) -> None:
        while True:
            order = await self._orders.get()
            self._is_busy = True
            try:
                await order()
            except Exception as error:  # noqa: BLE001 - a connection that has ended; the ledger tells
                self.failures.append(f"{type(error).__name__}: {error}")
            finally:
                self._is_busy = False
                self._signal.notify()

    # --- what engines report ----------------------------------------------------------------------------------------

    def note_message(self, data: Data) -> None:
        """Record a message of the other side."""
        self.received.append(data)
        self._signal.notify()

    def note_close(self, code: int, reason: str) -> None:
        """Record the other side's CLOSE."""
        if self.closed is None:
            self.closed = (code or NO_STATUS, reason)
        self._signal.notify()

    def note_pong(self, payload: bytes) -> None:
        """Record a PONG of the other side."""
        self.pongs.append(payload)
        self._signal.notify()

    def note_end(self) -> None:
        """Record the end of the connection."""
        self.is_over = True
        self._signal.notify()

    # --- what engines implement -------------------------------------------------------------------------------------

    async def _send(self, data: Data, pieces: int) -> bool:
        raise NotImplementedError

    async def _ping(self, payload: bytes) -> None:
        raise NotImplementedError

    async def _close(self, code: int, reason: str) -> None:
        raise NotImplementedError

    async def _drop(self) -> None:
        raise NotImplementedError

    async def _end_stream(self) -> None:
        raise NotImplementedError


@dataclass(slots=True, kw_only=True)
class ServerSettings:
    """Options of a server; they may change while it runs."""

    deflate: DeflateParameters | None = None
    """The parameters to answer an offer of permessage-deflate with, as far as the engine has these options."""
    subprotocol: str = ""
    refusal: tuple[int, str] | None = None
    """HTTP status and body for every upgrade."""


class EngineServer(Protocol):
    """A listening server."""

    port: int

    async def aclose(self) -> None:
        """Stop, and end every connection."""


class Engine(Protocol):
    """A WebSocket library: both of its sides."""

    name: str
    compresses: bool
    """True if it speaks permessage-deflate."""
    waits_for_close: bool
    """True if its `close` sends the code that it is given, and waits for the answer, also while messages arrive.

    If not, its CLOSE may say 1000, or be overtaken by the reset of TCP.
    """

    async def serve(self, settings: ServerSettings, opened: Callable[[Endpoint], None], signal: Signal) -> EngineServer:
        """Listen on loopback; `opened` is called for each upgrade."""
        ...

    async def connect(self, url: str, deflate: DeflateParameters | None, signal: Signal) -> Endpoint:
        """Open a connection; None: without an offer of permessage-deflate."""
        ...

    async def aclose(self) -> None:
        """End the engine."""


def split(data: Data, pieces: int) -> list[Data]:
    """Cut a message into so many fragments; a text is cut between characters."""
    if pieces < 2 or len(data) < pieces:
        return [data]
    step = len(data) // pieces
    ends = [step * number for number in range(1, pieces)]
    return [data[begin:end] for begin, end in zip([0, *ends], [*ends, len(data)], strict=True)]


def reset_tcp(transport: Any) -> None:
    """End a connection with RST. `transport`: asyncio's, one like it, or None."""
    if transport is not None:
        raw = transport.get_extra_info("socket")
        if raw is not None and raw.fileno() >= 0:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_AND_RESET)
        transport.abort()


def finish_tcp(transport: Any) -> None:
    """End a connection with FIN, behind everything that was written. `transport`: as above."""
    if transport is not None:
        transport.close()
