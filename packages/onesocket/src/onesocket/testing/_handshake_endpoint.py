"""The upgrade of one connection of the faulty server: the request, and every kind of response."""

from __future__ import annotations

import asyncio
import http
import logging
from collections.abc import Callable, Mapping
from enum import StrEnum

from ._faults import Fault, UpgradeReply
from ._server_context import ServerContext
from ._tcp_endpoint import TcpEndpoint
from ._websockets import Request, ServerPerMessageDeflateFactory, ServerProtocol, Subprotocol

log = logging.getLogger("onesocket.testing")
# At its debug level websockets logs whole requests, tokens included. A filter, so that the user's level holds.
wire_log = logging.getLogger("onesocket.testing.wire")
wire_log.addFilter(lambda record: record.levelno > logging.DEBUG)

_HEAD_END = b"\r\n\r\n"


class ConnectionPhase(StrEnum):
    """Phase of a connection."""

    REQUEST = "awaiting the upgrade request"
    ANSWERING = "upgrade request unanswered"
    OPEN = "open"
    REFUSED = "refused"
    CLOSED = "closed"
    GONE = "gone"


class HandshakeEndpoint(TcpEndpoint):
    """A TCP connection up to the answer to its upgrade request."""

    def __init__(self, host: ServerContext, number: int) -> None:
        super().__init__(host.close_timeout)
        self.number = number
        """1 for the first TCP connection of the server, 2 for the second ..."""
        self.request_path = ""
        """The path of the upgrade request, with its query, which may hold a token: `repr` leaves it out."""
        self.request_headers: Mapping[str, str] = {}
        """The headers of the upgrade request; look-ups ignore case. They may hold a token."""
        self.opened_at: float | None = None
        """Time of the 101 in seconds of the event loop's clock (`loop.time()`); None before."""
        self._host = host
        self._counters = host.counters
        self._phase = ConnectionPhase.REQUEST
        self._fault = Fault()
        self._wire = ServerProtocol(
            select_subprotocol=lambda _wire, offered: _subprotocol(host.choose_subprotocol(offered)),
            max_size=host.max_size,
            extensions=[ServerPerMessageDeflateFactory()] if host.compression else None,
            logger=wire_log,
        )
        self._head_tail = b""
        self._counts_as_socket = False
        self._error_counted = False
        self._answer_task: asyncio.Task[None] | None = None

    @property
    def phase(self) -> ConnectionPhase:
        """Phase of the connection."""
        return self._phase

    def _choose_fault(self) -> Fault:
        raise NotImplementedError

    def _register(self, *, takes_place: bool) -> None:
        """Tell the server that the WebSocket is open."""
        raise NotImplementedError

    def _opened(self, head: bytes) -> None:
        """Write the 101 (`head`), and the fault's frames that share that write."""
        raise NotImplementedError

    def _holds_input(self) -> bool:
        return super()._holds_input() or self._phase is ConnectionPhase.ANSWERING

    def connection_lost(self, exc: Exception | None) -> None:
        """Note that the transport is closed (asyncio calls this)."""
        super().connection_lost(exc)
        if self._answer_task is not None:
            self._answer_task.cancel()

    def _feed_request(self, data: bytes) -> None:
        # What follows the request must not reach the parser before the 101 is sent: it is cut off and held.
        end = (self._head_tail + data).find(_HEAD_END)
        cut = len(data) if end < 0 else end + len(_HEAD_END) - len(self._head_tail)
        self._head_tail = (self._head_tail + data)[-3:]
        self._wire.receive_data(data[:cut])
        for event in self._wire.events_received():
            if isinstance(event, Request):
                self._held += data[cut:]
                self._on_request(event)
                return
        if self._wire.handshake_exc is not None:
            self._count_error()
            self._reject()

    def _on_request(self, request: Request) -> None:
        self.request_path = request.path
        self.request_headers = request.headers
        self._phase = ConnectionPhase.ANSWERING
        if not any(value.lower() == "websocket" for value in request.headers.get_all("Upgrade")):
            self._wire.send_response(self._wire.accept(request))
            self._reject()
            return
        self._counts_as_socket = True
        self._counters.count("handshakes", sockets_by=1)
        self._fault = self._choose_fault()
        if self._fault.upgrade_delay > 0 or self._fault.upgrade_release is not None:
            self._answer_task = self._host.start_task(self._answer_later(request))
        else:
            self._answer(request)

    async def _answer_later(self, request: Request) -> None:
        await asyncio.sleep(self._fault.upgrade_delay)
        if self._fault.upgrade_release is not None:
            await self._fault.upgrade_release.wait()
        if self._phase is ConnectionPhase.ANSWERING:
            with self._counters.batch():
                self._answer(request)

    def _answer(self, request: Request) -> None:
        surplus = self._host.surplus_fault() if self._fault.answer is UpgradeReply.ACCEPT else None
        self._fault = surplus or self._fault
        if self._fault.answer is UpgradeReply.NEVER:
            return
        if self._fault.answer is UpgradeReply.RESET:
            self._refused()
            self.kill()
        elif self._fault.answer is UpgradeReply.BYTES:
            self._refused()
            self._write_paced(self._fault.response, self._end_answer)
        else:
            self._accept(request, takes_place=surplus is None)

    def _accept(self, request: Request, *, takes_place: bool) -> None:
        response = self._wire.accept(request)
        if response.status_code != http.HTTPStatus.SWITCHING_PROTOCOLS:
            self._count_error()
            self._refused()
            self._wire.send_response(response)
            self._reject()
            return
        self._wire.send_response(response)
        head = _rewrite_response(b"".join(self._wire.data_to_send()), self._fault)
        if self._fault.answer is UpgradeReply.TRUNCATE:
            self._refused()
            self._write(head[: self._fault.keep])
            self._drop()
            return
        self._open(head, takes_place=takes_place)

    def _open(self, head: bytes, *, takes_place: bool) -> None:
        self._phase = ConnectionPhase.OPEN
        self.opened_at = self._loop.time()
        self._register(takes_place=takes_place)
        self._counters.count("upgraded", open_by=1)
        self._opened(head)
        self._release_held()

    def _write_paced(self, data: bytes, then: Callable[[], object]) -> None:
        """Write at the fault's rate; `then` is called when all bytes are written."""
        if self._fault.piece:
            self.trickle(data, piece=self._fault.piece, pause=self._fault.pause, then=then)
        else:
            self._write(data)
            then()

    def _end_answer(self) -> None:
        if not self._fault.keep_open:
            self._drop()

    def _reject(self) -> None:
        self._phase = ConnectionPhase.REFUSED
        self._write(b"".join(self._wire.data_to_send()))
        self._drop()

    def _refused(self) -> None:
        self._phase = ConnectionPhase.REFUSED
        self._counters.count("refused")

    def _count_error(self) -> None:
        if not self._error_counted:
            self._error_counted = True
            self._counters.count("protocol_errors")


def _rewrite_response(head: bytes, fault: Fault) -> bytes:
    """Return the 101 with the fault's changes, unchecked."""
    status_line, *lines = head.decode("latin-1").removesuffix("\r\n\r\n").split("\r\n")
    replaced = {name.lower() for name, _ in fault.headers}
    lines = [line for line in lines if line.partition(":")[0].lower() not in replaced]
    lines += [f"{name}: {value}" for name, value in fault.headers if value is not None]
    text = "\r\n".join([fault.status_line or status_line, *lines, "", ""])
    return fault.interim + text.encode("latin-1")


def _subprotocol(name: str | None) -> Subprotocol | None:
    return None if name is None else Subprotocol(name)
