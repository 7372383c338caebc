"""A connection under test: records every event, and checks the contract of `TransportConnection` at any time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final

from ..errors import OnesocketError, ProtocolViolation
from ..transports._transport import Transport
from ..wire._handshake import Data, DialRequest, Handshake

# Half of the default limit of a subscription: one turn's messages overrun no subscriber that reads in every turn.
MAX_MESSAGES_PER_ITERATION: Final = 512
_DEADLINE: Final = 5.0


class CheckedConnection:
    """One connection and the events of it; `violations` lists each violated rule of the port."""

    def __init__(self, transport: Transport, request: DialRequest) -> None:
        self.violations: list[str] = []
        self.handshake: Handshake | None = None
        self.messages: list[Data] = []
        self.pongs: list[bytes] = []
        self.writable_now = True
        self.not_writable_count = 0
        """Number of `writable(False)` events."""
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
        """The tasks that `dial()` started."""

    def __repr__(self) -> str:
        return f"<CheckedConnection {self.connection!r} messages={len(self.messages)} error={self.error!r}>"

    @property
    def is_open(self) -> bool:
        """True if the connection has opened, and not ended."""
        return self.handshake is not None and self.error is None

    @property
    def is_over(self) -> bool:
        """True if the connection has ended."""
        return self.error is not None

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until the condition holds; it is checked after every event."""
        try:
            async with asyncio.timeout(_DEADLINE):
                while not condition():
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            raise AssertionError(f"not seen within {_DEADLINE:g} s; it is {self!r}") from None

    async def until_polled(self, condition: Callable[[], bool]) -> None:
        """Wait until the condition holds; it is checked in every turn of the loop."""
        async with asyncio.timeout(_DEADLINE):
            while not condition():  # noqa: ASYNC110 - the condition has no event
                await asyncio.sleep(0)

    async def wait_open(self) -> None:
        """Wait until the connection is open; raises the error that it ended with instead."""
        await self.until(lambda: self.handshake is not None or self.is_over)
        if self.error is not None:
            raise self.error

    async def end(self) -> OnesocketError:
        """Wait for the end; returns its error."""
        await self.until(lambda: self.is_over)
        if self.error is None:
            raise AssertionError("over, but without an error")
        return self.error

    def pause(self) -> None:
        """Pause reading."""
        self._paused = True
        self.connection.pause_reading()

    def resume(self) -> None:
        """Resume reading."""
        self._paused = False
        self.connection.resume_reading()

    def close(self, code: int = 1000, reason: str = "") -> None:
        """Close, which also ends a pause."""
        self._paused = False
        self.connection.close(code, reason)

    # --- events -----------------------------------------------------------------------------------------------------

    def receive(self, data: Data) -> None:
        """Record a message."""
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
        self._notify()

    def opened(self, handshake: Handshake) -> None:
        """Record `opened`."""
        self._check(self.handshake is None, "`opened` twice")
        self._check(not self.is_over, "`opened` after `ended`")
        self.handshake = handshake
        self._notify()

    def pong(self, payload: bytes) -> None:
        """Record a PONG."""
        self._check(self.is_open, "a PONG while it was not open")
        self.pongs.append(payload)
        self._notify()

    def writable(self, now_writable: bool) -> None:  # noqa: FBT001 - an event
        """Record `writable`."""
        self._check(self.is_open, "`writable` while it was not open")
        self._check(now_writable is not self.writable_now, f"`writable({now_writable})` twice")
        self.writable_now = now_writable
        self.not_writable_count += not now_writable
        self._notify()

    def peer_closed(self, code: int, reason: str) -> None:
        """Record `peer_closed`."""
        self._check(self.is_open and self.closed is None, "`peer_closed` twice, or while it was not open")
        self.closed = (code, reason)
        self._notify()

    def violated(self, error: ProtocolViolation) -> None:
        """Record `violated`."""
        self._check(self.is_open and self.violation is None, "`violated` twice, or while it was not open")
        self.violation = error
        self._notify()

    def ended(self, error: OnesocketError) -> None:
        """Record `ended`."""
        self._check(not self.is_over, "`ended` twice")
        kind: type = type(error)  # a transport may be written without a type checker
        self._check(issubclass(kind, OnesocketError), f"`ended` with {kind.__name__}")
        self.error = error
        self._notify()

    def _turn_over(self) -> None:
        self._this_turn = 0

    def _check(self, holds: Any, rule: str) -> None:
        if not holds and rule not in self.violations:
            self.violations.append(rule)

    def _notify(self) -> None:
        self._changed.set()
