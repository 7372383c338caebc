"""The end of TCP after both CLOSE frames: the server's first, within bounds."""

import asyncio
import socket
from contextlib import closing
from types import SimpleNamespace
from typing import Any, cast

import pytest

from onesocket.testing import run_virtual
from onesocket.transports._tcp import TcpSocket
from onesocket.transports._tunnel import Tunnel
from onesocket.transports._websocket_stream import Reading, WebSocketStream
from onesocket.wire._handshake import DialRequest
from onesocket.wire._response_parser import accept_value

CLOSE = b"\x88\x02\x03\xe8"


class RecordingTransport(asyncio.Transport):
    """A byte stream whose protocol is fed by the test; it notes when it is closed, in the loop's time."""

    def __init__(self) -> None:
        super().__init__()
        self.protocol: Any = None
        self.written = b""
        self.closed_at: float | None = None

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += bytes(data)

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self.protocol = protocol

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        pass

    def is_closing(self) -> bool:
        return self.closed_at is not None

    def close(self) -> None:
        if self.closed_at is None:
            self.closed_at = asyncio.get_running_loop().time()

    def receive(self, data: bytes) -> None:
        """Give these bytes to the stream."""
        buffer = self.protocol.get_buffer(-1)
        buffer[: len(data)] = data
        self.protocol.buffer_updated(len(data))


def open_stream(sock: TcpSocket) -> tuple[WebSocketStream, RecordingTransport]:
    events = cast("Any", SimpleNamespace(opened=None, peer_closed=lambda *_: None))
    transport = RecordingTransport()
    stream = WebSocketStream(DialRequest("ws://h/"), events, lambda _: None)
    stream.start_handshake(transport, Tunnel(), sock, None)
    key = transport.written.decode().partition("Sec-WebSocket-Key: ")[2].partition("\r\n")[0]
    transport.protocol.data_received(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: %s\r\n\r\n" % accept_value(key).encode()
    )
    assert transport.protocol is stream
    return stream, transport


@pytest.mark.parametrize("who", ["client", "server"])
@pytest.mark.parametrize(("fin_after", "closed_after"), [(0.1, 0.1), (None, 0.25)])
def test_the_end_of_tcp_is_left_to_the_server_for_a_while(
    who: str, fin_after: float | None, closed_after: float
) -> None:
    """A socket that is closed before the server's FIN stays in the kernel until that comes."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        with closing(TcpSocket(socket.AF_UNIX)) as sock:
            stream, transport = open_stream(sock)
            if who == "client":
                stream.close(1000, "")
            begun = loop.time()
            transport.receive(CLOSE)
            if fin_after is not None:
                loop.call_later(fin_after, stream.eof_received)
            await asyncio.sleep(1.0)  # of virtual time
            assert transport.closed_at == pytest.approx(begun + closed_after)
            stream.release()

    run_virtual(main)


@pytest.mark.parametrize("in_slice", [False, True])
async def test_ctrl_c_in_the_midst_of_messages_ends_the_stream(monkeypatch: pytest.MonkeyPatch, in_slice: bool) -> None:
    here, there = socket.socketpair()
    with closing(TcpSocket(fileno=here.detach())) as sock, there:
        stream, transport = open_stream(sock)
        got: list[Any] = []
        is_aborted = asyncio.Event()

        def interrupt(message: object) -> None:
            got.append(message)
            if len(got) == 1:
                raise KeyboardInterrupt

        monkeypatch.setattr(transport, "abort", is_aborted.set, raising=False)
        stream.set_receiver(interrupt)
        if in_slice:
            stream._held.append("a")
            stream._reading = Reading.DRAINING
        with pytest.raises(KeyboardInterrupt):
            stream._drain() if in_slice else transport.receive(b"\x81\x01a")
        assert got == ["a"]
        assert is_aborted.is_set()
        if in_slice:
            assert stream._drain_handle is not None, "what is left is still delivered"
            stream._drain_handle.cancel()
