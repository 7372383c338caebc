"""A line under test and its owner: it records every event, and watches the promises that hold at any time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final

from ..errors import OnesocketError, ProtocolViolation
from ..transports._transport import Transport
from ..wire._handshake import Data, DialRequest, Handshake

# Half of what a subscriber may fall behind by default: one turn's messages overrun nobody who reads in every turn.
MAX_MESSAGES_PER_ITERATION: Final = 512
_DEADLINE: Final = 5.0


class CheckedConnection:
    """One line; `broken` holds each promise of the port that it has broken."""

    def __init__(self, transport: Transport, request: DialRequest) -> None:
        self.violations: list[str] = []
        self.handshake: Handshake | None = None
        self.messages: list[Data] = []
        self.pongs: list[bytes] = []
        self.writable_now = True
        self.not_writable_count = 0
        """How often it said that not all was out."""
        self.closed: tuple[int, str] | None = None
        self.violation: ProtocolViolation | None = None
        self.error: OnesocketError | None = None
        self.on_message: Callable[[Data], object] = lambda _: None
        self._paused = False
        self._this_turn = 0
        self._changed = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        before = asyncio.all_tasks()
        self.connection = transport.dial(request, self, self.receive)
        self.tasks = asyncio.all_tasks() - before
        """The tasks that it has begun with."""

    def __repr__(self) -> str:
        return f"<CheckedConnection {self.connection!r} messages={len(self.messages)} error={self.error!r}>"

    @property
    def is_open(self) -> bool:
        """Whether it has opened, and not ended."""
        return self.handshake is not None and self.error is None

    @property
    def is_over(self) -> bool:
        """Whether it has ended."""
        return self.error is not None

    async def until(self, true: Callable[[], bool]) -> None:
        """Wait until this holds; it's looked at after every event."""
        try:
            async with asyncio.timeout(_DEADLINE):
                while not true():
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            raise AssertionError(f"not seen within {_DEADLINE:g} s; it is {self!r}") from None

    async def until_polled(self, true: Callable[[], bool]) -> None:
        """Wait until this holds; it's looked at in every turn of the loop."""
        async with asyncio.timeout(_DEADLINE):
            while not true():  # noqa: ASYNC110 - what is looked at here tells nobody
                await asyncio.sleep(0)

    async def wait_open(self) -> None:
        """Wait until it is open; raises what it ended with instead."""
        await self.until(lambda: self.handshake is not None or self.is_over)
        if self.error is not None:
            raise self.error

    async def end(self) -> OnesocketError:
        """Wait for the end; returns what it ended with."""
        await self.until(lambda: self.is_over)
        if self.error is None:
            raise AssertionError("over, but without an error")
        return self.error

    def pause(self) -> None:
        """Have nothing handed over."""
        self._paused = True
        self.connection.pause_reading()

    def resume(self) -> None:
        """Go on."""
        self._paused = False
        self.connection.resume_reading()

    def close(self, code: int = 1000, reason: str = "") -> None:
        """End it in order, which also ends a pause."""
        self._paused = False
        self.connection.close(code, reason)

    # --- what the line tells ----------------------------------------------------------------------------------------

    def receive(self, data: Data) -> None:
        """A message came."""
        self._check(self.handshake is not None, "a message before `opened`")
        self._check(not self.is_over, "a message after `ended`")
        self._check(self.closed is None, "a message after `peer_closed`")
        self._check(self.violation is None, "a message after `violated`")
        self._check(not self._paused or self.is_over, "a message after pause_reading()")
        if self._this_turn == 0:
            self._loop.call_soon(self._turn_over)
        self._this_turn += 1
        self._check(self._this_turn <= MAX_MESSAGES_PER_ITERATION, "more than a slice in one turn of the loop")
        self.messages.append(data)
        self.on_message(data)
        self._tell()

    def opened(self, handshake: Handshake) -> None:
        """It opened."""
        self._check(self.handshake is None, "`opened` twice")
        self._check(not self.is_over, "`opened` after `ended`")
        self.handshake = handshake
        self._tell()

    def pong(self, payload: bytes) -> None:
        """A PONG came."""
        self._check(self.is_open, "a PONG while it was not open")
        self.pongs.append(payload)
        self._tell()

    def writable(self, now_writable: bool) -> None:  # noqa: FBT001 - an event
        """Whether all is out."""
        self._check(self.is_open, "`writable` while it was not open")
        self._check(now_writable is not self.writable_now, f"`writable({now_writable})` twice")
        self.writable_now = now_writable
        self.not_writable_count += not now_writable
        self._tell()

    def peer_closed(self, code: int, reason: str) -> None:
        """The peer closed."""
        self._check(self.is_open and self.closed is None, "`peer_closed` twice, or while it was not open")
        self.closed = (code, reason)
        self._tell()

    def violated(self, error: ProtocolViolation) -> None:
        """The peer broke the rules."""
        self._check(self.is_open and self.violation is None, "`violated` twice, or while it was not open")
        self.violation = error
        self._tell()

    def ended(self, error: OnesocketError) -> None:
        """It ended."""
        self._check(not self.is_over, "`ended` twice")
        kind: type = type(error)  # a transport written by somebody without a type checker may tell anything
        self._check(issubclass(kind, OnesocketError), f"`ended` with {kind.__name__}")
        self.error = error
        self._tell()

    def _turn_over(self) -> None:
        self._this_turn = 0

    def _check(self, kept: Any, promise: str) -> None:
        if not kept and promise not in self.violations:
            self.violations.append(promise)

    def _tell(self) -> None:
        self._changed.set()
