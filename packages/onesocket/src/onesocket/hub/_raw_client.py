"""One local client of the raw frontend."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final

import msgspec

from ..errors import DeliveryUnknown, OnesocketError, SubscriptionRefused
from ..transports._server_connection import ServerConnection, ServerConnectionLimits
from ..wire._handshake import Data, size_of
from ._client_answers import OpenRequests
from ._frame_backlog import FrameBatch
from ._frame_queue import FrameQueue
from ._frontend import report_unsent

if TYPE_CHECKING:
    from ._raw_frontend import RawFrontend

_INVALID_PAYLOAD: Final = 1007
_GOING_AWAY: Final = 1001
_INTERNAL_ERROR: Final = 1011
_TRY_AGAIN_LATER: Final = 1013


class RawClient:
    """Serves one client. Its messages are sent upstream in order, one after the other."""

    def __init__(self, frontend: RawFrontend, limits: ServerConnectionLimits, subprotocol: str | None) -> None:
        self.keys: set[str] = set()
        """The keys of its subscriptions."""
        self.beginning: set[str] = set()
        """The keys of its subscriptions for which it still waits for a snapshot."""
        self.has_begun = False
        """True once it gets messages."""
        self.connection = ServerConnection(self, limits, subprotocol=subprotocol)
        patience = frontend.options.client_timeout
        self._frames = FrameQueue(self, self.connection, frontend.backlog, patience=patience)
        self.requests = None if frontend.requests is None else OpenRequests(frontend.requests)
        self._frontend = frontend
        self._waiting: deque[Data] = deque()
        self._sender: asyncio.Task[None] | None = None
        self._is_paused = False

    def __repr__(self) -> str:
        return f"<RawClient {self.connection!r} waiting={len(self._waiting)}>"

    @property
    def waiting(self) -> int:
        """Messages that wait to be sent upstream."""
        return len(self._waiting)

    @property
    def lags(self) -> bool:
        """True if frames wait for it to read."""
        return self._frames.lags

    def write(self, batch: FrameBatch) -> bool:
        """Write frames; returns False if the connection is closing, or the client hasn't begun yet."""
        return self.has_begun and self._frames.put(batch)

    def close(self, code: int, reason: str) -> None:
        """Close the connection, behind what was written."""
        self._frames.close(code, reason)

    async def idle(self) -> None:
        """Wait until all messages of the client are sent upstream, or have failed."""
        if self._sender is not None:
            await asyncio.wait((self._sender,))

    async def prepare_close(self) -> tuple[int, str]:
        """Drop the unsent messages when the hub stops; returns the close code and reason."""
        if self._sender is not None:
            self._sender.cancel()  # `Upstream.send` withdraws the message if it still can
            await self.idle()
        left = len(self._waiting)
        self._frontend.counters.not_sent += left
        self._waiting.clear()
        if left:
            return _TRY_AGAIN_LATER, f"the hub is stopping, and your last {left} messages were not sent upstream"
        return _GOING_AWAY, "the hub is stopping"

    def forget(self, keys: Iterable[Any]) -> None:
        """Take keys out of its subscriptions."""
        self.keys.difference_update(keys)
        self.beginning.difference_update(keys)

    def refused(self, error: SubscriptionRefused) -> None:
        """Note that keys were refused, which this client doesn't have any more; tell it what the merge has to say."""
        self.forget(error.keys)
        self._frontend.report_refusal(self, error)

    # --- the connection ---------------------------------------------------------------------------------------------

    def opened(self, connection: ServerConnection) -> None:
        """Note that the upgrade is complete."""
        del connection
        self._frontend.client_connected(self)

    def received(self, data: Data) -> None:
        """Handle one message of the client."""
        if self._frames.is_closing:
            return
        if self._frontend.options.json and not _is_json(data):
            self.close(_INVALID_PAYLOAD, "not JSON; this hub was started with --protocol json")
            return
        if self._frontend.subscribe(self, data):
            return
        self._waiting.append(data)
        if len(self._waiting) >= self._frontend.options.waiting and not self._is_paused:
            self._is_paused = True
            self.connection.pause_reading()
        if self._sender is None:
            self._sender = asyncio.get_running_loop().create_task(self._send_messages(), name="onesocket hub sends")

    def overflowed(self) -> None:
        """Let frames wait until the client has read."""
        self._frames.pause()

    def drained(self) -> None:
        """Go on with frames that wait."""
        self._frames.resume()

    def cut_off(self, reason: str) -> None:
        """Close the connection of a client that reads too slowly."""
        self._frontend.counters.cut_off += 1
        self.connection.close(_TRY_AGAIN_LATER, reason)

    def ended(self, code: int) -> None:
        """Note that the socket is closed; the received messages are still sent upstream."""
        del code
        self._frames.ended()
        self._frontend.client_disconnected(self)

    # --- upstream ---------------------------------------------------------------------------------------------------

    async def _send_messages(self) -> None:
        counters = self._frontend.counters
        try:
            while self._waiting:
                data = self._waiting[0]
                if not self._frontend.ask(self, data):
                    await self._frontend.upstream.send(data)
                self._waiting.popleft()
                counters.sent.add(1)
                counters.sent_bytes += size_of(data)
                if self._is_paused and len(self._waiting) * 2 < self._frontend.options.waiting:
                    self._is_paused = False
                    self.connection.resume_reading()
        except asyncio.CancelledError:
            pass  # the message was withdrawn, and still waits
        except OnesocketError as error:
            self.not_sent(error)
        finally:
            self._sender = None

    def not_sent(self, error: OnesocketError) -> None:
        """Close the connection, as a message was not sent upstream, or may not have been."""
        after = max(0, len(self._waiting) - 1)
        self._waiting.clear()
        reason = report_unsent("message", error, after, self._frontend.counters, client_closing=self._frames.is_closing)
        self.close(_INTERNAL_ERROR if isinstance(error, DeliveryUnknown) else _TRY_AGAIN_LATER, reason)


def _is_json(data: Data) -> bool:
    try:
        msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return False
    return True
