"""A WebSocket connection over a byte stream that this process dials."""

from __future__ import annotations

import asyncio
import contextlib
import enum
from typing import Final

from .._task_end import end_task
from ..errors import ClientClosed, ConnectAborted, OnesocketError
from ..lifecycle._peer_errors import connection_reset
from ..wire._handshake import Handshake
from ._dialler import Dialler
from ._transport import TransportEvents
from ._tunnel import Tunnel
from ._websocket_stream import WebSocketStream

_GOING_AWAY: Final = 1001
# Seconds left for the close handshake when the event loop is ending.
_SHUTDOWN_GRACE: Final = 0.5
# Seconds that the peer of an aborted connection gets to read the RST before a next connection may follow: a server that
# counts connections as it accepts them would otherwise see two for a moment.
_RESET_GRACE: Final = 0.05


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
        self.send_run = stream.send_run
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
    def parts(self) -> int:
        """Grows with each read that brought a part of a message, and completed none."""
        return self._stream.parts

    @property
    def is_reading(self) -> bool:
        """True if the socket is read."""
        return self._stream.is_reading

    @property
    def backlog(self) -> int | None:
        """Another number whenever the peer's system has taken more of the written bytes; None: hardly any wait."""
        return self._stream.backlog

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
            error = await self._dial()
            if error is None:
                await self._stream.wait_closed()
                is_given_up = self._is_aborted and not self._stream.is_open
                error = ConnectAborted("the connection was given up") if is_given_up else self._stream.error
            await self._dialler.wait_socket_closed()
            if self._is_aborted and self._stage is not _DialStage.DIALLING:
                await asyncio.sleep(_RESET_GRACE)
        except asyncio.CancelledError:
            # Only the end of the loop itself cancels this task: leave nothing open, and let the loop end.
            await self._end_with_the_loop()
            raise
        return error

    async def _end_with_the_loop(self) -> None:
        """Close the connection shortly. If no other one follows it isn't reset: sent messages are delivered."""
        if self._stream.is_open and not self._is_aborted:
            self._stream.close(_GOING_AWAY, "")
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_SHUTDOWN_GRACE):
                    await self._stream.wait_closed()
            if not getattr(self._events, "is_followed", False):
                self._dialler.deliver_on_close()
        self._stream.abort(None)

    def abandon(self) -> None:
        """Forget the tasks, whose loop takes no further turn for them: the descriptors are released already."""
        self._task.remove_done_callback(self._on_done)
        for task in (self._task, self._dialling):
            if task is not None:
                end_task(task)
        if self._loop.is_closed():  # else its selector may still know them by their numbers
            self._dialler.close_sockets()

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
        self._events.ended(error)
        self._stream.release()

    async def _dial(self) -> OnesocketError | None:
        """Open the byte stream and request the upgrade; returns the error of a dial that failed."""
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
        self._stream.start_handshake(transport, holder, self._dialler.socket, self._dialler.tls_monitor)
        return None

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
