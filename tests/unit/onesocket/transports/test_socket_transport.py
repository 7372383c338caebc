"""The transport over a real socket, on each event loop: the peer is a plain socket."""

import asyncio
import contextlib
import socket
import struct
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import pytest
import uvloop

from onesocket.transports._socket_transport import SocketTransport

DEADLINE = 10
Run = Callable[[Coroutine[Any, Any, None]], None]


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Iterator[Run]:
    """Return a function that runs a coroutine on a loop of this kind."""
    with asyncio.Runner(loop_factory=request.param) as runner:
        yield runner.run


class Recorder(asyncio.BufferedProtocol):
    """Records the bytes, and the end."""

    def __init__(self) -> None:
        self.data = b""
        self.ended: asyncio.Future[Exception | None] = asyncio.get_running_loop().create_future()
        self.writing_pauses = 0
        self._buffer = bytearray(1000)

    def get_buffer(self, sizehint: int) -> bytearray:
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        self.data += self._buffer[:nbytes]

    def pause_writing(self) -> None:
        self.writing_pauses += 1

    def connection_lost(self, exc: Exception | None) -> None:
        self.ended.set_result(exc)


class PlainRecorder(asyncio.Protocol):
    """The same, without a buffer of its own."""

    def __init__(self) -> None:
        self.data = b""
        self.ended: asyncio.Future[Exception | None] = asyncio.get_running_loop().create_future()

    def data_received(self, data: bytes) -> None:
        self.data += data

    def connection_lost(self, exc: Exception | None) -> None:
        self.ended.set_result(exc)


def connected() -> tuple[socket.socket, socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        own = socket.create_connection(listener.getsockname())
        peer, _ = listener.accept()
    return own, peer


def reset(sock: socket.socket) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


@pytest.mark.parametrize("kind", [Recorder, PlainRecorder])
def test_a_reset_that_comes_together_with_bytes_is_noticed(run: Run, kind: Callable[[], Recorder]) -> None:
    async def main() -> None:
        own, peer = connected()
        protocol = kind()
        SocketTransport(asyncio.get_running_loop(), own, protocol)
        await asyncio.sleep(0)
        peer.sendall(b"the last words")
        reset(peer)
        error = await asyncio.wait_for(protocol.ended, DEADLINE)
        assert isinstance(error, ConnectionResetError)
        assert protocol.data == b"the last words"
        assert own.fileno() == -1

    run(main())


@pytest.mark.parametrize("paused", [False, True])
def test_a_write_that_meets_the_end_loses_nothing_that_came_before(run: Run, paused: bool) -> None:
    async def main() -> None:
        own, peer = connected()
        protocol = Recorder()
        transport = SocketTransport(asyncio.get_running_loop(), own, protocol)
        if paused:
            transport.pause_reading()
        peer.sendall(b"x" * 9999)
        peer.close()
        assert transport.write(b"answered by a reset")
        assert transport.write(b"meets it")
        assert protocol.writing_pauses == 1
        assert not transport.write(b"too late")
        assert isinstance(await asyncio.wait_for(protocol.ended, DEADLINE), ConnectionError)
        assert protocol.data == b"x" * 9999
        assert own.fileno() == -1

    run(main())


def test_an_abort_ends_the_reading_of_the_rest(run: Run) -> None:
    async def main() -> None:
        own, peer = connected()
        protocol = Recorder()
        transport = SocketTransport(asyncio.get_running_loop(), own, protocol)
        peer.sendall(b"x" * 9999)
        peer.close()
        transport.write(b"answered by a reset")
        transport.write(b"meets it")
        transport.abort()
        await asyncio.wait_for(protocol.ended, DEADLINE)
        assert protocol.data == b""

    run(main())


@pytest.mark.parametrize("method", ["get_buffer", "buffer_updated", "data_received", "eof_received"])
def test_an_error_of_the_protocol_is_reported_and_ends_the_connection(run: Run, method: str) -> None:
    def fail(*_: object) -> None:
        raise MemoryError(method)

    async def main() -> None:
        own, peer = connected()
        reported: list[dict[str, Any]] = []
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: reported.append(context))
        protocol = PlainRecorder() if method == "data_received" else Recorder()
        setattr(protocol, method, fail)
        transport = SocketTransport(loop, own, protocol)
        if method != "eof_received":
            peer.sendall(b"some bytes")
        peer.shutdown(socket.SHUT_WR)
        assert isinstance(await asyncio.wait_for(protocol.ended, DEADLINE), MemoryError)
        assert [(each["exception"].args, each["transport"]) for each in reported] == [((method,), transport)]
        with contextlib.suppress(ConnectionResetError):  # as bytes were not read
            assert peer.recv(1) == b""
        peer.close()

    run(main())


async def test_a_protocol_that_fails_at_once_leaves_nothing_in_the_event_loop() -> None:
    class Failing(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            raise RuntimeError("on purpose")

    ours, theirs = socket.socketpair()
    loop = asyncio.get_running_loop()
    number = ours.fileno()
    with theirs, ours, pytest.raises(RuntimeError, match="on purpose"):
        SocketTransport(loop, ours, Failing())
    assert not loop.remove_reader(number)


@pytest.mark.parametrize("step", ["get_buffer", "buffer_updated", "data_received"])
async def test_a_read_that_ctrl_c_interrupts_ends_the_connection(monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    own, peer = connected()
    protocol = PlainRecorder() if step == "data_received" else Recorder()

    def interrupt(_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(protocol, step, interrupt)
    transport = SocketTransport(asyncio.get_running_loop(), own, protocol)
    with peer:
        peer.sendall(b"x")
        with pytest.raises(KeyboardInterrupt):
            transport._read_once()
        assert isinstance(await asyncio.wait_for(protocol.ended, DEADLINE), InterruptedError)
    assert own.fileno() == -1
