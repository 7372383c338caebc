"""One local client, whatever it speaks."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from typing import Final, Protocol

import msgspec

from ..errors import DeliveryUnknown, OnesocketError
from ..sharing._upstream import Upstream
from ..transports._server_connection import ServerConnection, ServerConnectionLimits
from ..wire._handshake import Data, size_of
from ._counters import HubCounters
from ._options import HubOptions

log = logging.getLogger("onesocket")

_INVALID_PAYLOAD: Final = 1007
_GOING_AWAY: Final = 1001
_INTERNAL_ERROR: Final = 1011
_TRY_AGAIN_LATER: Final = 1013


class FrontendContext(Protocol):
    """The desk, as its clients see it."""

    options: HubOptions
    upstream: Upstream

    @property
    def counters(self) -> HubCounters:
        """What the hub counts."""
        ...

    def client_connected(self, client: RawClient) -> None:
        """Its upgrade went through."""

    def client_disconnected(self, client: RawClient) -> None:
        """It's gone, with its subscriptions."""

    def subscribe(self, client: RawClient, data: Data) -> bool:
        """Do what this message asks for, if it's a subscription; False: it's none, and goes up as it is."""
        ...


class RawClient:
    """Owns its line. What it sends goes up in order, one message after the other."""

    def __init__(self, front: FrontendContext, limits: ServerConnectionLimits, subprotocol: str | None) -> None:
        self.keys: set[str] = set()
        """What it subscribed to."""
        self.connection = ServerConnection(self, limits, subprotocol=subprotocol)
        self._frontend_context = front
        self._waiting: deque[Data] = deque()
        self._sender: asyncio.Task[None] | None = None
        self._held = False

    def __repr__(self) -> str:
        return f"<RawClient {self.connection!r} waiting={len(self._waiting)}>"

    @property
    def waiting(self) -> int:
        """Messages that wait to go up."""
        return len(self._waiting)

    def write(self, frames: bytes) -> bool:
        """Write frames; False if the line takes none any more."""
        if self.connection.closing:
            return False
        self.connection.write_frames(frames)
        return True

    async def idle(self) -> None:
        """Wait until everything it has sent has gone up, or failed."""
        if self._sender is not None:
            await asyncio.wait((self._sender,))

    async def prepare_close(self) -> tuple[int, str]:
        """The close code and reason when the hub stops: what has not gone up by then won't."""
        if self._sender is not None:
            self._sender.cancel()  # `Upstream.send` knows whether it can be taken back
            await self.idle()
        left = len(self._waiting)
        self._frontend_context.counters.not_sent += left
        self._waiting.clear()
        if left:
            return _TRY_AGAIN_LATER, f"the hub is stopping, and your last {left} messages were not sent up"
        return _GOING_AWAY, "the hub is stopping"

    # --- the line ---------------------------------------------------------------------------------------------------

    def opened(self, line: ServerConnection) -> None:
        """The upgrade went through."""
        del line
        self._frontend_context.client_connected(self)

    def received(self, data: Data) -> None:
        """One message."""
        if self._frontend_context.options.json and not _is_json(data):
            self.connection.close(_INVALID_PAYLOAD, "not JSON; this hub was started with --protocol json")
            return
        if self._frontend_context.subscribe(self, data):
            return
        self._waiting.append(data)
        if len(self._waiting) >= self._frontend_context.options.waiting and not self._held:
            self._held = True
            self.connection.pause_reading()
        if self._sender is None:
            self._sender = asyncio.get_running_loop().create_task(self._send_up(), name="onesocket hub sends")

    def overflowed(self) -> None:
        """It doesn't read: it is told why behind what it hasn't read, and cut off."""
        if not self.connection.closing:
            self._frontend_context.counters.cut_off += 1
            limit = self._frontend_context.options.client_buffer
            self.connection.close(_TRY_AGAIN_LATER, f"cut off: more than {limit} bytes were waiting to be read")

    def ended(self, code: int) -> None:
        """The socket is closed. What it has sent still goes up."""
        del code
        self._frontend_context.client_disconnected(self)

    # --- up ---------------------------------------------------------------------------------------------------------

    async def _send_up(self) -> None:
        counters = self._frontend_context.counters
        try:
            while self._waiting:
                data = self._waiting[0]
                await self._frontend_context.upstream.send(data)
                self._waiting.popleft()
                counters.sent.add(1)
                counters.sent_bytes += size_of(data)
                if self._held and len(self._waiting) * 2 < self._frontend_context.options.waiting:
                    self._held = False
                    self.connection.resume_reading()
        except asyncio.CancelledError:
            pass  # it was taken back, and still waits
        except OnesocketError as error:
            self._not_sent(error)
        finally:
            self._sender = None

    def _not_sent(self, error: OnesocketError) -> None:
        after = len(self._waiting) - 1
        self._waiting.clear()
        self._frontend_context.counters.not_sent += 1 + after
        maybe = isinstance(error, DeliveryUnknown)
        fate = "a message may not have gone up" if maybe else "a message was not sent up"
        rest = f", nor were {after} after it" if after else ""
        reason = f"{fate}{rest} ({type(error).__name__})"
        if self.connection.closing:
            log.warning("a client that has left can't be told: %s: %s", reason, error)
        self.connection.close(_INTERNAL_ERROR if maybe else _TRY_AGAIN_LATER, reason)


def _is_json(data: Data) -> bool:
    try:
        msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return False
    return True
