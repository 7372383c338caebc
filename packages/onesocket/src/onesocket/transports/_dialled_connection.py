"""A WebSocket connection over a byte stream that this process dials, for each library that parses frames."""

from __future__ import annotations

import asyncio
import contextlib
import enum
from collections.abc import Callable
from typing import Final, Protocol

from ..errors import ClientClosed, ConnectAborted, OnesocketError
from ..lifecycle._peer_errors import connection_reset
from ..wire._handshake import Data, Handshake
from ._dialler import Dialler
from ._tcp import TcpSocket
from ._tls_write_monitor import TlsWriteMonitor
from ._transport import TransportEvents
from ._tunnel import Tunnel

_GOING_AWAY: Final = 1001
# Seconds left for the close handshake when the event loop is ending.
_SHUTDOWN_GRACE: Final = 0.5
# Seconds that the peer of an aborted connection gets to read the RST before a next connection may follow: a server that
# counts connections as it accepts them would otherwise see two for a moment.
_RESET_GRACE: Final = 0.05


class WebSocketStream(Protocol):
    """WebSocket over one open byte stream; made before the stream is open."""

    on_open: Callable[[Handshake], None] | None
    """Called when the upgrade has succeeded."""
    error: OnesocketError
    """Reason for the end of the stream."""

    @property
    def activity(self) -> int:
        """Grows with each read, and when the socket is read again."""
        ...

    @property
    def is_open(self) -> bool:
        """True once the upgrade has succeeded."""
        ...

    @property
    def is_reading(self) -> bool:
        """True if the socket is read."""
        ...

    def set_receiver(
        self, received: Callable[[Data], object], many: Callable[[list[Data]], object] | None = None
    ) -> None:
        """Deliver each message to `received` from now on, or several at once to `many`."""

    def start_handshake(
        self, transport: asyncio.Transport, early: bytes, sock: TcpSocket, under_tls: TlsWriteMonitor | None
    ) -> None:
        """Take the byte stream and send the upgrade request; `early`: bytes that have arrived already."""

    def send(self, data: Data) -> bool:
        """Write one message; False if the connection takes none any more."""
        ...

    def ping(self, payload: bytes) -> None:
        """Write a PING."""

    def close(self, code: int, reason: str) -> None:
        """Send CLOSE, once."""

    def abort(self, code: int | None) -> None:
        """End the connection now."""

    def pause(self) -> None:
        """Deliver no message until `resume`, and stop reading."""

    def resume(self) -> None:
        """Deliver the messages received before, then read again."""

    async def wait_closed(self) -> None:
        """Wait until the stream has ended, and everything received before that is delivered."""

    def release(self) -> None:
        """Drop the references to the ended byte stream, which refers to this object: no cycle is left."""


class _DialStage(enum.Enum):
    """Progress of a connection; the value is the readable phase, and empty where the dialler has a better one."""

    DIALLING = ""
    HANDSHAKE = "waiting for the answer to the upgrade"
    OPEN = "open"
    OVER = "over"


class DialledConnection:
    """WebSocket connection: a `Dialler` opens the byte stream, and a `WebSocketStream` speaks over it."""

    def __init__(self, dialler: Dialler, stream: WebSocketStream, events: TransportEvents) -> None:
        self._events = events
        self._dialler = dialler
        self._stream = stream
        self._stream.on_open = self._opened
        self._stage = _DialStage.DIALLING
        self._wanted_close: tuple[int, str] | None = None
        """Code and reason of a close that was requested before the connection was open."""
        self._is_aborted = False
        self._loop = asyncio.get_running_loop()
        self._dialling: asyncio.Task[tuple[asyncio.Transport, Tunnel]] | None = None
        self._task = self._loop.create_task(self._run(), name=f"onesocket connection to {self._dialler.host_port}")
        self._task.add_done_callback(self._on_done)
        # Straight to the stream: one call less for each.
        self.set_receiver = stream.set_receiver
        self.send = stream.send
        self.ping = stream.ping
        self.pause_reading = stream.pause
        self.resume_reading = stream.resume

    def __repr__(self) -> str:
        return f"<DialledConnection {self.phase}>"

    # --- the port ---------------------------------------------------------------------------------------------------

    @property
    def phase(self) -> str:
        """Readable description of the step that the connection waits for."""
        return self._stage.value or self._dialler.phase

    @property
    def activity(self) -> int:
        """Grows with each sign of life of the peer: with any byte that is read."""
        under_tls = self._dialler.tls_monitor
        return self._stream.activity + (0 if under_tls is None else under_tls.reads)

    @property
    def is_reading(self) -> bool:
        """True if the socket is read."""
        return self._stream.is_reading

    def close(self, code: int, reason: str) -> None:
        """Close with the close handshake."""
        if self._stream.is_open:
            self._stream.close(code, reason)
        elif self._wanted_close is None:
            self._wanted_close = (code, reason)
            if self._dialling is not None:
                self._dialling.cancel()

    def abort(self, code: int | None = None) -> None:
        """End the connection now."""
        self._is_aborted = True
        if self._dialling is not None:
            self._dialling.cancel()
        else:
            self._dialler.reset_on_close()
            self._stream.abort(code)

    # --- its task ---------------------------------------------------------------------------------------------------

    async def _run(self) -> OnesocketError:
        try:
            error = await self._open_and_serve()
            await self._dialler.wait_socket_closed()
            if self._is_aborted and self._stage is not _DialStage.DIALLING:
                await asyncio.sleep(_RESET_GRACE)
        except asyncio.CancelledError:
            # Only the end of the loop itself cancels this task: leave nothing open, and let the loop end.
            await self._end_with_the_loop()
            raise
        return error

    async def _end_with_the_loop(self) -> None:
        """Close the connection shortly. No connection follows it, so it isn't reset: sent messages are delivered."""
        if self._stream.is_open and not self._is_aborted:
            self._stream.close(_GOING_AWAY, "")
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_SHUTDOWN_GRACE):
                    await self._stream.wait_closed()
            self._dialler.deliver_on_close()
        self._stream.abort(None)

    def _on_done(self, task: asyncio.Task[OnesocketError]) -> None:
        # A callback, since a task that is cancelled before its first turn runs no code of its own.
        self._stage = _DialStage.OVER
        if task.cancelled():
            error: OnesocketError = ClientClosed("the event loop is ending")
        elif (failure := task.exception()) is None:
            error = task.result()
        else:
            error = connection_reset(type(failure).__name__)
            error.__cause__ = failure
        self._stream.release()
        self._events.ended(error)

    async def _open_and_serve(self) -> OnesocketError:
        if self._is_given_up():
            return _given_up()
        self._dialling = self._loop.create_task(self._dialler.dial())
        try:
            # Giving up cancels only this inner task: no upgrade was requested yet, so nothing can leak.
            transport, holder = await self._dialling
        except asyncio.CancelledError:
            current = asyncio.current_task()
            if current is not None and current.cancelling():
                raise
            return _given_up()
        except Exception as error:  # noqa: BLE001 - any exception of the network becomes a typed error
            return self._dialler.failure(error)
        finally:
            self._dialling = None
        if self._is_given_up():
            transport.abort()
            return _given_up()
        self._stage = _DialStage.HANDSHAKE
        self._dialler.reset_on_close()
        self._stream.start_handshake(transport, holder.take_early(), self._dialler.socket, self._dialler.tls_monitor)
        await self._stream.wait_closed()
        if not self._stream.is_open and self._is_aborted:
            return ConnectAborted("the connection was given up")
        return self._stream.error

    def _is_given_up(self) -> bool:
        return self._is_aborted or self._wanted_close is not None

    def _opened(self, handshake: Handshake) -> None:
        self._stage = _DialStage.OPEN
        if self._is_aborted:
            self._stream.abort(None)
            return
        self._events.opened(handshake)
        if self._wanted_close is not None:
            self._stream.close(*self._wanted_close)


def _given_up() -> ConnectAborted:
    return ConnectAborted("given up before the upgrade was requested")
