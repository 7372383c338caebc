"""One local client's connection to the hub's gateway."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Any, Final

from onesocket.errors import OnesocketError
from onesocket.hub._frame_backlog import FrameBatch
from onesocket.hub._frame_queue import FrameQueue
from onesocket.hub._frontend import report_unsent
from onesocket.wire._frames import encode_frame
from onesocket.wire._handshake import Data

from .._serving import ClientViolation, Identify, Resume, ServedConnection, ServedSession
from .._serving._client_payloads import read_object, read_presence
from ..protocol._close_codes import CloseCode
from ..protocol._intents import Intents
from ..protocol._opcodes import Opcode

if TYPE_CHECKING:
    from ._frontend import DiscordFrontend

_TRY_AGAIN_LATER: Final = 1013
_TEXT: Final = 0x81
_BINARY: Final = 0x82


class FrontendConnection(ServedConnection[ServedSession]):
    """Serves one client. Payloads are written once per turn of the event loop; requests go upstream in order."""

    def __init__(self, frontend: DiscordFrontend, query: dict[str, str], host: str) -> None:
        super().__init__(frontend.options, frontend.connection_limits, frontend.sessions, query)
        self.host = host
        """The name and port under which the client reached the hub."""
        self.pending_identify: Identify | None = None
        """The Identify that waits for the upstream's READY."""
        self._frontend = frontend
        self._frames = FrameQueue(self, self.websocket, frontend.backlog, patience=frontend.client_timeout)
        self._unwritten: list[bytes] = []
        self._requests: deque[Any] = deque()
        self._sender: asyncio.Task[None] | None = None

    @property
    def pending_requests(self) -> int:
        """Requests that wait to be sent upstream."""
        return len(self._requests)

    # --- the WebSocket ----------------------------------------------------------------------------------------------

    def _on_open(self) -> None:
        self._frontend.client_connected(self)

    def _on_end(self) -> None:
        self._frames.ended()
        self._frontend.client_disconnected(self)

    def received(self, data: Data) -> None:
        """Handle one payload of the client."""
        if not self._frames.is_closing:
            super().received(data)

    def overflowed(self) -> None:
        """Let frames wait until the client has read."""
        self._frames.pause()

    def drained(self) -> None:
        """Go on with frames that wait."""
        self._frames.resume()

    def cut_off(self, reason: str) -> None:
        """Close the connection of a client that reads too slowly; its session can be resumed."""
        self._frontend.counters.cut_off += 1
        self._unwritten.clear()  # it is behind payloads that were dropped: the client would resume after it
        self.close(_TRY_AGAIN_LATER, reason)

    def write(self, payload: bytes) -> None:
        """Write one payload at the end of this turn of the event loop."""
        if self._frames.is_closing:
            return
        if not self._unwritten:
            self._frontend.flush_soon(self)
        if self._compress is None:
            self._unwritten.append(encode_frame(_TEXT, payload))
        else:
            self._unwritten.append(encode_frame(_BINARY, self._compress(payload)))

    def flush(self) -> None:
        """Write the collected payloads."""
        frames, self._unwritten = self._unwritten, []
        if frames:
            batch = FrameBatch.of_frames(frames, len(frames))
            self._frontend.counters.delivered_bytes += self._frames.put(batch) * batch.size

    def close(self, code: int, reason: str | None = None) -> None:
        """Close in order, behind the collected payloads; the session can be resumed."""
        self.detach()
        self.flush()
        super().close(code, reason)

    def _close_websocket(self, code: int, reason: str) -> None:
        self._frames.close(code, reason)

    # --- the session ------------------------------------------------------------------------------------------------

    def attach(self, session: ServedSession) -> None:
        """Carry this session from now on."""
        self.pending_identify = None
        super().attach(session)

    def detach(self) -> None:
        """Carry no session any more."""
        self.pending_identify = None
        super().detach()

    # --- opcodes ----------------------------------------------------------------------------------------------------

    @property
    def _is_logging_in(self) -> bool:
        return self.pending_identify is not None

    def _identify(self, identify: Identify) -> None:
        self._frontend.identify(self, identify)

    def _resume(self, resume: Resume) -> None:
        self._frontend.resume(self, resume)

    def _request(self, opcode: int, d: Any) -> None:
        match opcode:
            case Opcode.PRESENCE_UPDATE:
                self.forward(read_presence(d))
            case Opcode.REQUEST_GUILD_MEMBERS:
                self._request_members(read_object(d))
            case _:
                self.forward({"op": opcode, "d": d})

    def _request_members(self, d: dict[str, Any]) -> None:
        """Forward op 8 within the client's own intents, which may be fewer than the hub's.

        A request for all members without GUILD_MEMBERS is dropped: Discord leaves it unanswered, too.
        """
        session = self.session
        if session is None:
            return
        if not d.get("query") and d.get("user_ids") is None and not session.intents & Intents.GUILD_MEMBERS:
            return
        if not session.intents & Intents.GUILD_PRESENCES:
            d = {**d, "presences": False}
        self.forward({"op": Opcode.REQUEST_GUILD_MEMBERS, "d": self._frontend.member_requests.add(session, d)})

    def forward(self, request: Any) -> None:
        """Send a request upstream, after those before it."""
        if len(self._requests) >= self._options.rate_limit:
            raise ClientViolation(CloseCode.RATE_LIMITED, "Too many requests wait for the upstream")
        self._requests.append(request)
        if self._sender is None:
            self._sender = self._loop.create_task(self._send_requests(), name="onesocket hub sends")

    async def _send_requests(self) -> None:
        try:
            while self._requests:
                await self._frontend.send_upstream(self._requests.popleft())
        except OnesocketError as error:
            after = len(self._requests)
            self._requests.clear()
            closing = self._frames.is_closing
            reason = report_unsent("request", error, after, self._frontend.counters, client_closing=closing)
            self.close(CloseCode.UNKNOWN_ERROR, reason)
        finally:
            self._sender = None
