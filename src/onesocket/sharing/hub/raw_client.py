"""One local client, whatever it speaks."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from typing import Final, Protocol

import msgspec

from ...errors import DeliveryUnknown, OnesocketError
from ...transports.server_line import LineLimits, ServerLine
from ...wire import Data, size_of
from ..upstream import Upstream
from .counters import Counters
from .options import HubOptions

log = logging.getLogger("onesocket")

_NOT_JSON: Final = 1007
_GOING_AWAY: Final = 1001
_MAYBE: Final = 1011
_TRY_LATER: Final = 1013


class Front(Protocol):
    """The desk, as its clients see it."""

    options: HubOptions
    upstream: Upstream

    @property
    def counters(self) -> Counters:
        """What the hub counts."""
        ...

    def arrived(self, client: RawClient) -> None:
        """Its upgrade went through."""

    def left(self, client: RawClient) -> None:
        """It's gone, with its subscriptions."""

    def subscribe(self, client: RawClient, data: Data) -> bool:
        """Do what this message asks for, if it's a subscription; False: it's none, and goes up as it is."""
        ...


class RawClient:
    """Owns its line. What it sends goes up in order, one message after the other."""

    def __init__(self, front: Front, limits: LineLimits, subprotocol: str | None) -> None:
        self.keys: set[str] = set()
        """What it subscribed to."""
        self.line = ServerLine(self, limits, subprotocol=subprotocol)
        self._front = front
        self._waiting: deque[Data] = deque()
        self._sender: asyncio.Task[None] | None = None
        self._held = False

    def __repr__(self) -> str:
        return f"<RawClient {self.line!r} waiting={len(self._waiting)}>"

    @property
    def waiting(self) -> int:
        """Messages that wait to go up."""
        return len(self._waiting)

    def write(self, frames: bytes) -> bool:
        """Write frames; False if the line takes none any more."""
        if self.line.closing:
            return False
        self.line.write_frames(frames)
        return True

    async def idle(self) -> None:
        """Wait until everything it has sent has gone up, or failed."""
        if self._sender is not None:
            await asyncio.wait((self._sender,))

    async def farewell(self) -> tuple[int, str]:
        """The close code and reason when the hub stops: what has not gone up by then won't."""
        if self._sender is not None:
            self._sender.cancel()  # `Upstream.send` knows whether it can be taken back
            await self.idle()
        left = len(self._waiting)
        self._front.counters.not_sent += left
        self._waiting.clear()
        if left:
            return _TRY_LATER, f"the hub is stopping, and your last {left} messages were not sent up"
        return _GOING_AWAY, "the hub is stopping"

    # --- the line ---------------------------------------------------------------------------------------------------

    def opened(self, line: ServerLine) -> None:
        """The upgrade went through."""
        del line
        self._front.arrived(self)

    def received(self, data: Data) -> None:
        """One message."""
        if self._front.options.json and not _is_json(data):
            self.line.close(_NOT_JSON, "not JSON; this hub was started with --protocol json")
            return
        if self._front.subscribe(self, data):
            return
        self._waiting.append(data)
        if len(self._waiting) >= self._front.options.waiting and not self._held:
            self._held = True
            self.line.pause_reading()
        if self._sender is None:
            self._sender = asyncio.get_running_loop().create_task(self._send_up(), name="onesocket hub sends")

    def overflowed(self) -> None:
        """It doesn't read: it is told why behind what it hasn't read, and cut off."""
        if not self.line.closing:
            self._front.counters.cut_off += 1
            limit = self._front.options.client_buffer
            self.line.close(_TRY_LATER, f"cut off: more than {limit} bytes were waiting to be read")

    def ended(self, code: int) -> None:
        """The socket is closed. What it has sent still goes up."""
        del code
        self._front.left(self)

    # --- up ---------------------------------------------------------------------------------------------------------

    async def _send_up(self) -> None:
        counters = self._front.counters
        try:
            while self._waiting:
                data = self._waiting[0]
                await self._front.upstream.send(data)
                self._waiting.popleft()
                counters.sent.add(1)
                counters.sent_bytes += size_of(data)
                if self._held and len(self._waiting) * 2 < self._front.options.waiting:
                    self._held = False
                    self.line.resume_reading()
        except asyncio.CancelledError:
            pass  # it was taken back, and still waits
        except OnesocketError as error:
            self._not_sent(error)
        finally:
            self._sender = None

    def _not_sent(self, error: OnesocketError) -> None:
        after = len(self._waiting) - 1
        self._waiting.clear()
        self._front.counters.not_sent += 1 + after
        maybe = isinstance(error, DeliveryUnknown)
        fate = "a message may not have gone up" if maybe else "a message was not sent up"
        rest = f", nor were {after} after it" if after else ""
        reason = f"{fate}{rest} ({type(error).__name__})"
        if self.line.closing:
            log.warning("a client that has left can't be told: %s: %s", reason, error)
        self.line.close(_MAYBE if maybe else _TRY_LATER, reason)


def _is_json(data: Data) -> bool:
    try:
        msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return False
    return True
