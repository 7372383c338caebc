"""A WebSocket connection over a byte stream that we dial, whichever library reads the frames."""

from __future__ import annotations

import asyncio
import contextlib
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
# When the event loop is being ended, so many seconds are left for the close handshake.
_SHUTDOWN_GRACE: Final = 0.5
# An aborted connection has told its peer by RST, and is not answered. The peer gets so many seconds to read it before a
# next connection may follow: a server that counts connections as it accepts them would otherwise see two for a moment.
_RESET_IS_NOTICED: Final = 0.05


class WebSocketStream(Protocol):
    """Speaks WebSocket over one open byte stream; made before there is one."""

    on_open: Callable[[Handshake], None] | None
    """Called when the upgrade went through."""
    error: OnesocketError
    """Reason for the end of the stream."""

    @property
    def activity(self) -> int:
        """Grows with whatever it reads, and when it reads again."""
        ...

    @property
    def is_open(self) -> bool:
        """Whether the upgrade went through."""
        ...

    @property
    def is_reading(self) -> bool:
        """Whether the socket is being read."""
        ...

    def set_receiver(self, received: Callable[[Data], object], many: Callable[[list[Data]], object] | None) -> None:
        """Hand every message to this from now on."""

    def start_handshake(
        self, transport: asyncio.Transport, early: bytes, sock: TcpSocket, under_tls: TlsWriteMonitor | None
    ) -> None:
        """Take the byte stream over and send the upgrade request; `early`: what has come already."""

    def send(self, data: Data) -> bool:
        """Write one message; False when none is taken any more."""
        ...

    def ping(self, payload: bytes) -> None:
        """Write a PING."""

    def close(self, code: int, reason: str) -> None:
        """Send CLOSE, once."""

    def abort(self, code: int | None) -> None:
        """End it now."""

    def pause(self) -> None:
        """Hand over nothing more."""

    def resume(self) -> None:
        """Go on, with what was held back first."""

    async def wait_closed(self) -> None:
        """Return when the stream has ended, and everything that came before that is handed over."""


class DialledConnection:
    """WebSocket connection: a `Dialler` opens the byte stream, and a `WebSocketStream` speaks over it."""

    def __init__(self, dialler: Dialler, stream: WebSocketStream, events: TransportEvents) -> None:
        self._events = events
        self._dialler = dialler
        self._stream = stream
        self._stream.on_open = self._opened
        self._phase: str | None = None
        self._close_wanted: tuple[int, str] | None = None
        self._aborted = False
        self._upgrade_asked = False
        self._loop = asyncio.get_running_loop()
        self._dialling: asyncio.Task[tuple[asyncio.Transport, Tunnel]] | None = None
        self._task = self._loop.create_task(self._run(), name=f"onesocket line to {self._dialler.host_port}")
        self._task.add_done_callback(self._on_done)

    def __repr__(self) -> str:
        return f"<DialledConnection {self.phase}>"

    # --- the port ---------------------------------------------------------------------------------------------------

    @property
    def phase(self) -> str:
        """Readable description of the step that the line waits for."""
        return self._phase or self._dialler.phase

    @property
    def activity(self) -> int:
        """Grows with whatever shows that somebody is there: any byte that is read, first of all."""
        under_tls = self._dialler.tls_monitor
        return self._stream.activity + (0 if under_tls is None else under_tls.reads)

    @property
    def is_reading(self) -> bool:
        """Whether the socket is being read."""
        return self._stream.is_reading

    def set_receiver(
        self, received: Callable[[Data], object], many: Callable[[list[Data]], object] | None = None
    ) -> None:
        """Hand every message to this from now on."""
        self._stream.set_receiver(received, many)

    def send(self, data: Data) -> bool:
        """Write one message; False when none is taken any more."""
        return self._stream.send(data)

    def ping(self, payload: bytes) -> None:
        """Write a PING."""
        self._stream.ping(payload)

    def close(self, code: int, reason: str) -> None:
        """End it in order."""
        if self._stream.is_open:
            self._stream.close(code, reason)
        elif self._close_wanted is None:
            self._close_wanted = (code, reason)
            if self._dialling is not None:
                self._dialling.cancel()

    def abort(self, code: int | None = None) -> None:
        """End it now."""
        self._aborted = True
        if self._dialling is not None:
            self._dialling.cancel()
        else:
            self._dialler.reset_on_close()
            self._stream.abort(code)

    def pause_reading(self) -> None:
        """Hand over nothing more until `resume_reading`."""
        self._stream.pause()

    def resume_reading(self) -> None:
        """Go on."""
        self._stream.resume()

    # --- its life ---------------------------------------------------------------------------------------------------

    async def _run(self) -> OnesocketError:
        try:
            error = await self._open_and_serve()
            await self._dialler.wait_socket_closed()
            if self._aborted and self._upgrade_asked:
                await asyncio.sleep(_RESET_IS_NOTICED)
        except asyncio.CancelledError:
            # Only the end of the loop itself cancels this task: leave nothing open, and let it go on ending.
            await self._end_with_the_loop()
            raise
        return error

    async def _end_with_the_loop(self) -> None:
        """Close it, within a moment. No connection follows it, so it isn't reset: what was sent is delivered."""
        if self._stream.is_open and not self._aborted:
            self._stream.close(_GOING_AWAY, "")
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_SHUTDOWN_GRACE):
                    await self._stream.wait_closed()
            self._dialler.deliver_on_close()
        self._stream.abort(None)

    def _on_done(self, task: asyncio.Task[OnesocketError]) -> None:
        # As a callback: a task that is cancelled before its first turn never gets to say anything.
        self._phase = "over"
        if task.cancelled():
            self._events.ended(ClientClosed("the event loop is ending"))
            return
        failure = task.exception()
        if failure is None:
            self._events.ended(task.result())
            return
        lost = connection_reset(type(failure).__name__)
        lost.__cause__ = failure
        self._events.ended(lost)

    async def _open_and_serve(self) -> OnesocketError:
        if self._is_given_up():
            return ConnectAborted("given up before the upgrade was asked for")
        self._dialling = self._loop.create_task(self._dialler.dial())
        try:
            # A line that is given up cancels only this inner task: no upgrade was asked for, so nothing can leak.
            transport, holder = await self._dialling
        except asyncio.CancelledError:
            current = asyncio.current_task()
            if current is not None and current.cancelling():
                raise
            return ConnectAborted("given up before the upgrade was asked for")
        except Exception as error:  # noqa: BLE001 - whatever the network does becomes a typed error
            return self._dialler.failure(error)
        finally:
            self._dialling = None
        if self._is_given_up():
            transport.abort()
            return ConnectAborted("given up before the upgrade was asked for")
        self._phase = "waiting for the answer to the upgrade"
        self._dialler.reset_on_close()
        self._upgrade_asked = True
        self._stream.start_handshake(transport, holder.take_early(), self._dialler.socket, self._dialler.tls_monitor)
        await self._stream.wait_closed()
        if not self._stream.is_open and self._aborted:
            return ConnectAborted("the line was given up")
        return self._stream.error

    def _is_given_up(self) -> bool:
        return self._aborted or self._close_wanted is not None

    def _opened(self, handshake: Handshake) -> None:
        self._phase = "open"
        if self._aborted:
            self._stream.abort(None)
            return
        self._events.opened(handshake)
        if self._close_wanted is not None:
            self._stream.close(*self._close_wanted)
