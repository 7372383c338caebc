"""The engine of hub and gateway on real sockets: raw bytes, `websockets` and aiohttp are the clients."""

import asyncio
import os
import random
import socket
import struct
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory

from onesocket.testing._raw_frames import Opcode, encode_frame
from onesocket.transports._socket_server import bind_host
from onesocket.wire._frames import PENDING, FrameReader
from tests.support.echo_listener import UPGRADE, EchoListener, EchoOwner
from tests.support.programs import output_of
from tests.support.waiting import DEADLINE, until

MASK = b"mask"


def frame(payload: bytes, opcode: Opcode = Opcode.TEXT, *, fin: bool = True) -> bytes:
    return encode_frame(opcode, payload, fin=fin, mask=MASK)


def close_frame(code: int, reason: bytes = b"") -> bytes:
    return frame(code.to_bytes(2, "big") + reason, Opcode.CLOSE)


class RawClient:
    """A client that sends bytes, and reads frames of the server."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self.frames = FrameReader(masked=False)
        self.messages: list[str | bytes] = []
        self.pongs: list[bytes] = []

    def send(self, *frames: bytes) -> None:
        self.writer.write(b"".join(frames))

    async def read(self) -> bool:
        """Take what comes next; False at the end of TCP. Raises ConnectionResetError."""
        async with asyncio.timeout(DEADLINE):
            data = await self.reader.read(1 << 16)
        messages = self.frames.feed(data)
        while True:
            self.messages += messages
            self.pongs += [payload for opcode, payload in self.frames.take_controls() if opcode == Opcode.PONG]
            if not self.frames.state & PENDING:
                return bool(data)
            messages = self.frames.more()

    async def read_to_the_end(self) -> tuple[int, str]:
        """Return the server's CLOSE, after which it ended TCP without a reset."""
        while await self.read():
            pass
        assert self.frames.close is not None
        return self.frames.close


@asynccontextmanager
async def raw_client(listener: EchoListener, request: bytes = UPGRADE) -> AsyncIterator[RawClient]:
    reader, writer = await asyncio.open_connection("127.0.0.1", listener.port)
    try:
        writer.write(request)
        async with asyncio.timeout(DEADLINE):
            head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 101 Switching Protocols\r\n")
        yield RawClient(reader, writer)
    finally:
        writer.transport.abort()


# --- messages ---------------------------------------------------------------------------------------------------------


async def test_a_paused_connection_delivers_nothing_and_loses_nothing() -> None:
    listener = EchoListener()
    listener.on_message = lambda owner, data: owner.connection.pause_reading() if data in ("0", "2") else None
    async with listener.run(), raw_client(listener) as client:
        client.send(frame(b"", Opcode.PING), *(frame(b"%d" % number) for number in range(4)))
        [owner] = listener.owners
        while not client.pongs:  # the PONG proves that the server has read all of it
            await client.read()
        assert owner.received_messages == ["0"]
        client.send(frame(b"4"), close_frame(4001, b"bye"))
        owner.connection.resume_reading()
        await until(lambda: len(owner.received_messages) == 3)
        assert owner.received_messages == ["0", "1", "2"]
        owner.connection.resume_reading()
        assert await client.read_to_the_end() == (4001, "")
        assert owner.received_messages == ["0", "1", "2", "3", "4"]
        await until(lambda: owner.end == 4001)


async def test_a_flood_is_delivered_in_slices() -> None:
    listener = EchoListener()
    turns: list[int] = []
    turn = 0

    def count() -> None:
        nonlocal turn
        turn += 1
        loop.call_soon(count)

    listener.on_message = lambda *_: turns.append(turn)
    loop = asyncio.get_running_loop()
    count()
    async with listener.run(), raw_client(listener) as client:
        client.send(frame(b"x") * 60_000, close_frame(1000, b""))  # more than the reader's buffer holds
        assert await client.read_to_the_end() == (1000, "")
    assert len(turns) == 60_000
    assert max(Counter(turns).values()) <= 512


async def test_frames_that_come_with_the_request_count() -> None:
    listener = EchoListener()
    async with listener.run(), raw_client(listener, UPGRADE + frame(b"early")) as client:
        await client.read()
        assert client.messages == ["early"]


async def test_an_error_of_the_owner_ends_its_connection_alone(caplog: pytest.LogCaptureFixture) -> None:
    listener = EchoListener()
    async with listener.run(), raw_client(listener) as other:

        def fail(*_: object) -> None:
            raise RuntimeError("on purpose")

        listener.on_message = fail
        async with raw_client(listener) as client:
            client.send(frame(b"x"), frame(b"y"))
            while client.frames.close is None:
                await client.read()
            assert client.frames.close == (1011, "")
            assert listener.owners[1].received_messages == ["x"]
        listener.on_message = EchoOwner.echo
        other.send(frame(b"z"))
        await other.read()
        assert other.messages == ["z"]
        listener.on_open = fail
        async with raw_client(listener) as client:
            while client.frames.close is None:
                await client.read()
            assert client.frames.close == (1011, "")
    assert [record.getMessage() for record in caplog.records] == [
        "handling a message of a client failed",
        "greeting a client failed",
    ]


async def test_no_message_is_delivered_after_the_owner_closed() -> None:
    listener = EchoListener()
    listener.on_message = lambda owner, _: owner.connection.close(4000, "enough")
    async with listener.run(), raw_client(listener) as client:
        client.send(*(frame(b"x") for _ in range(600)), close_frame(4000, b""))
        assert await client.read_to_the_end() == (4000, "enough")
        [owner] = listener.owners
        await until(lambda: owner.end == 4000)
        assert owner.received_messages == ["x"]


async def test_a_client_that_does_not_read_overflows() -> None:
    listener = EchoListener(write_buffer=100_000)
    async with listener.run(), raw_client(listener):
        [owner] = listener.owners
        while not owner.overflows:
            owner.echo(bytes(50_000))
            await asyncio.sleep(0)
        await until(lambda: owner.end == 1006)


async def test_a_client_that_has_gone_is_no_overflow() -> None:
    listener = EchoListener()
    async with listener.run(), raw_client(listener) as client:
        [owner] = listener.owners
        owner.connection.pause_reading()  # so that writing finds it out
        client.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.writer.transport.abort()
        async with asyncio.timeout(DEADLINE):
            while owner.end is None:
                owner.echo("x")
                await asyncio.sleep(0)
        assert (owner.end, owner.overflows) == (1006, 0)


# --- PING and CLOSE ---------------------------------------------------------------------------------------------------


async def test_pings_are_answered_in_order() -> None:
    listener = EchoListener()
    async with listener.run(), raw_client(listener) as client:
        client.send(*(frame(b"%d" % number, Opcode.PING) for number in range(10)))
        while len(client.pongs) < 10:
            await client.read()
        assert client.pongs == [b"%d" % number for number in range(10)]


async def test_a_flood_of_pings_that_reads_no_answer_fills_no_buffer() -> None:
    listener = EchoListener(write_buffer=1 << 26)
    async with listener.run(), raw_client(listener) as client:
        client.writer.transport.pause_reading()  # type: ignore[attr-defined] # a transport that reads, too
        [owner] = listener.owners
        [transport] = listener.transports
        while not transport.get_write_buffer_size():
            owner.echo(bytes(1 << 20))
        unsent = transport.get_write_buffer_size()
        client.send(*(frame(b"p" * 125, Opcode.PING) for _ in range(8000)), frame(b"last", Opcode.PING), frame(b"end"))
        await until(lambda: owner.received_messages == ["end"])
        assert transport.get_write_buffer_size() - unsent < 50_000
        client.writer.transport.resume_reading()  # type: ignore[attr-defined] # as above
        while not client.pongs or client.pongs[-1] != b"last":
            await client.read()


@pytest.mark.parametrize(
    ("data", "code", "reason"),
    [
        (encode_frame(Opcode.TEXT, b"x"), 1002, "a frame is not masked"),
        (frame(b"x", Opcode.CONTINUATION), 1002, "a message is continued that never began"),
        (encode_frame(Opcode.TEXT, b"x", reserved=0b100, mask=MASK), 1002, "a reserved bit is set"),
        (frame(b"", Opcode.PING, fin=False), 1002, "a control frame is fragmented"),
        (frame(b"\xff"), 1007, "a text is not UTF-8"),
        (frame(b"\xff", fin=False), 1007, "a text is not UTF-8"),
        (frame(bytes(300_000)), 1009, "a message is larger than max_size (100000 bytes)"),
        (frame(bytes(99_999), fin=False) + frame(b"xy", Opcode.CONTINUATION), 1009, "a message is larger"),
        (frame(b"\x03", Opcode.CLOSE), 1002, "a CLOSE frame has one byte"),
        (frame(b"\x03\xed", Opcode.CLOSE), 1002, "close code 1005 must not be sent"),
    ],
)
async def test_a_violation_is_told_and_the_client_can_read_it(data: bytes, code: int, reason: str) -> None:
    """The server ends TCP at once behind its CLOSE, and takes what the client still sends: no reset."""
    listener = EchoListener(max_size=100_000)
    async with listener.run(), raw_client(listener) as client:
        client.send(frame(b"good"), data, frame(bytes(50_000)) * 20, frame(b"late"))
        found = await client.read_to_the_end()
        assert found[0] == code
        assert found[1].startswith(reason)
        assert client.messages == ["good"]
        client.writer.close()
        [owner] = listener.owners
        await until(lambda: owner.end == 1006)
        assert owner.received_messages == ["good"]


async def test_own_codes_for_a_message_that_is_too_large() -> None:
    listener = EchoListener(max_size=10, too_large=(4002, "Payload too large"))
    async with listener.run(), raw_client(listener) as client:
        client.send(frame(bytes(11)))
        assert await client.read_to_the_end() == (4002, "Payload too large")


async def test_rubbish_as_the_answer_to_a_close_does_not_cost_the_close_timeout() -> None:
    listener = EchoListener(close_timeout=600.0)
    async with listener.run(), raw_client(listener) as client:
        [owner] = listener.owners
        owner.connection.close(1001, "bye")
        while client.frames.close is None:
            await client.read()
        client.send(b"\xff" * 100)
        async with asyncio.timeout(DEADLINE):
            await owner.connection.wait_closed()
        assert owner.end == 1006


async def test_a_client_without_an_answer_is_ended_at_the_deadline() -> None:
    listener = EchoListener(close_timeout=0.01)
    async with listener.run(), raw_client(listener) as client:
        [owner] = listener.owners
        owner.connection.close(1001, "r" * 200)
        assert (await client.read_to_the_end())[1] == "r" * 123
        await until(lambda: owner.end == 1006)


async def test_a_client_that_ends_tcp_and_does_not_read_is_left_soon() -> None:
    async with EchoListener().run() as listener:
        loop = asyncio.get_running_loop()
        with socket.create_connection(("127.0.0.1", listener.port)) as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.setblocking(False)
            await loop.sock_sendall(client, UPGRADE)
            assert await loop.sock_recv(client, 1000)
            (owner,) = listener.owners
            (transport,) = listener.transports
            while not transport.get_write_buffer_size():
                owner.connection.write_frames(encode_frame(Opcode.BINARY, bytes(100_000)))
            client.shutdown(socket.SHUT_WR)
            await until(lambda: owner.connection.closing)
            await asyncio.wait_for(owner.connection.wait_closed(), DEADLINE)
            assert owner.end == 1006


async def test_all_messages_of_a_client_that_reads_no_answer_and_ends_are_delivered() -> None:
    sent = [f"{number}" for number in range(3000)]
    async with EchoListener().run() as listener:
        async with raw_client(listener) as client:
            client.send(*(frame(text.encode()) for text in sent), close_frame(4000))
        (owner,) = listener.owners
        await asyncio.wait_for(owner.connection.wait_closed(), DEADLINE)
        assert owner.received_messages == sent
        assert owner.end == 4000


async def test_reset_is_a_reset() -> None:
    listener = EchoListener()
    async with listener.run(), raw_client(listener) as client:
        [owner] = listener.owners
        owner.connection.reset()
        with pytest.raises(ConnectionResetError):
            await client.read()
        await until(lambda: owner.end == 1006)


# --- requests ---------------------------------------------------------------------------------------------------------


async def response_to(listener: EchoListener, request: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", listener.port)
    writer.write(request)
    async with asyncio.timeout(DEADLINE):
        answer = await reader.read()  # up to the end of TCP, which is no reset
    writer.close()
    await writer.wait_closed()
    return answer


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"GET /plain HTTP/1.1\r\nHost: a\r\n\r\n", b"200 OK"),
        (b"GET /plain HTTP/1.0\r\n\r\n" + bytes(100_000), b"200 OK"),
        (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", b"426 Upgrade Required"),
        (b"GET /fails HTTP/1.1\r\nHost: a\r\n\r\n", b"500 Internal Server Error"),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 500000\r\n\r\n" + bytes(500_000), b"413"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"x" * 500_000, b"431 Request Header Fields Too Large"),
        (UPGRADE.replace(b"\r\n\r\n", b"\r\nSec-WebSocket-Extensions: =\r\n\r\n"), b"400 Bad Request"),
    ],
)
async def test_a_response_is_read_whole(request_bytes: bytes, status: bytes, caplog: pytest.LogCaptureFixture) -> None:
    async with EchoListener(deflate=True).run() as listener:
        answer = await response_to(listener, request_bytes)
        assert answer.startswith(b"HTTP/1.1 " + status)
        await until(lambda: not listener.transports)
    assert len(caplog.records) == (status.startswith(b"500"))


async def test_a_request_that_takes_too_long_is_told_so() -> None:
    listener = EchoListener()
    listener.handshake_timeout = 0.05
    async with listener.run():
        answer = await response_to(listener, UPGRADE[:-2])
        assert answer.startswith(b"HTTP/1.1 408 Request Timeout\r\n")
        assert answer.endswith(b"within 0.05 seconds")
        assert await response_to(listener, b"") == b""


async def test_a_delay_holds_the_upgrade_back() -> None:
    order: list[str] = []

    class Delaying(EchoListener):
        def delay(self) -> float:
            asyncio.get_running_loop().call_later(0.03, order.append, "earlier timer")
            return 0.05

    listener = Delaying()
    listener.handshake_timeout = 0.2
    listener.on_open = lambda _: order.append("upgrade")
    async with listener.run(), raw_client(listener):
        assert order == ["earlier timer", "upgrade"]


# --- compression ------------------------------------------------------------------------------------------------------


async def echo_all(client: ClientConnection) -> None:
    chance = random.Random(1)
    for size in (0, 1, 10, 1000, 100_000, 0, 10):
        for message in ("☃" * size, chance.randbytes(size), b"\0" * size):
            await client.send(message)
            async with asyncio.timeout(DEADLINE):
                assert await client.recv() == message
    await client.send(["a" * 1000, "b" * 1000, ""])
    assert await client.recv() == "a" * 1000 + "b" * 1000


@pytest.mark.parametrize("server_takeover", [True, False])
@pytest.mark.parametrize("client_takeover", [True, False])
@pytest.mark.parametrize("bits", [9, 12, 15, None])
async def test_websockets_compresses_with_any_parameters(
    bits: int | None, *, server_takeover: bool, client_takeover: bool
) -> None:
    offer = ClientPerMessageDeflateFactory(not server_takeover, not client_takeover, bits, bits)
    async with EchoListener(deflate=True).run() as listener:
        async with connect(f"ws://127.0.0.1:{listener.port}/", compression=None, extensions=[offer]) as client:
            assert client.response is not None
            assert client.response.headers["Sec-WebSocket-Extensions"].startswith("permessage-deflate")
            await echo_all(client)
        [owner] = listener.owners
        await until(lambda: owner.end == 1000)


async def test_aiohttp_compresses() -> None:
    async with (
        EchoListener(deflate=True).run() as listener,
        aiohttp.ClientSession() as session,
        session.ws_connect(f"http://127.0.0.1:{listener.port}/", compress=15) as client,
    ):
        assert client.compress
        for text in ("", "text", "☃" * 100_000, "text"):
            await client.send_str(text)
            assert await client.receive_str(timeout=DEADLINE) == text


async def test_without_the_option_no_compression_is_agreed_on() -> None:
    async with EchoListener().run() as listener, connect(f"ws://127.0.0.1:{listener.port}/") as client:
        assert client.response is not None
        assert "Sec-WebSocket-Extensions" not in client.response.headers
        await echo_all(client)


async def test_a_bomb_is_refused() -> None:
    async with EchoListener(deflate=True, max_size=100_000).run() as listener:
        async with connect(f"ws://127.0.0.1:{listener.port}/") as client:
            await client.send(bytes(50_000_000))
            with pytest.raises(ConnectionClosed) as caught:
                async with asyncio.timeout(DEADLINE):
                    await client.recv()
        assert caught.value.rcvd is not None
        assert caught.value.rcvd.code == 1009
        assert not listener.owners[0].received_messages


# --- accepting --------------------------------------------------------------------------------------------------------


async def test_a_thousand_clients_dial_at_once() -> None:
    async with EchoListener().run() as listener:

        async def dial() -> None:
            async with raw_client(listener) as client:
                client.send(frame(b"x"))
                await client.read()
                assert client.messages == ["x"]

        async with asyncio.timeout(6 * DEADLINE):
            await asyncio.gather(*(dial() for _ in range(300)))


SCRIPT = """
import asyncio, contextlib, os, resource, socket, sys
{loop}
from tests.support.echo_listener import UPGRADE, EchoListener

async def main():
    async with EchoListener().run() as listener:
{body}

asyncio.run(main())
"""
LOOPS = ["", "import uvloop; uvloop.install()"]
OUT_OF_DESCRIPTORS = """
        spare = [os.open(os.devnull, os.O_RDONLY) for _ in range(100)]
        waiting = [socket.socket() for _ in range(20)]
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (waiting[-1].fileno() + 1, hard))
        loop = asyncio.get_running_loop()
        for sock in waiting:
            sock.connect(("127.0.0.1", listener.port))  # the kernel answers
            sock.setblocking(False)
            await loop.sock_sendall(sock, UPGRADE)
        for _ in range(100):
            await asyncio.sleep(0)
        assert not listener.transports, listener.transports
        for descriptor in spare:
            os.close(descriptor)
        for sock in waiting:
            answer = await asyncio.wait_for(loop.sock_recv(sock, 1000), 10)
            assert answer.startswith(b"HTTP/1.1 101"), answer
            sock.close()
        print("served", len(waiting))
"""
FORKED = """
        reader, writer = await asyncio.open_connection("127.0.0.1", listener.port)
        writer.write(UPGRADE)
        await reader.readuntil(b"\\r\\n\\r\\n")
        begin, end = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(end)
            for number in range(3, 100):
                with contextlib.suppress(OSError):  # no descriptor, or no socket
                    kept = socket.socket(fileno=os.dup(number))
                    if kept.family == socket.AF_INET and kept.getsockname()[1] == listener.port:
                        os.write(1, b"the child keeps a socket of the server\\n")
            os.read(begin, 1)
            os._exit(0)
        os.close(begin)
        listener.owners[0].connection.abort()
        print(await asyncio.wait_for(reader.read(), 10))  # the end, though the child lives
        writer.close()
    os.close(end)
    os.waitpid(child, 0)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there are no such limits and no forks here")
@pytest.mark.parametrize("loop", LOOPS, ids=["asyncio", "uvloop"])
async def test_accepting_goes_on_when_descriptors_are_free_again(loop: str) -> None:
    printed = await output_of("-c", SCRIPT.format(loop=loop, body=OUT_OF_DESCRIPTORS))
    warning, *_, served = printed.splitlines()
    assert warning == "no connection is accepted for 0.25 seconds: Too many open files"
    assert served == "served 20"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there are no forks here")
@pytest.mark.parametrize("loop", LOOPS, ids=["asyncio", "uvloop"])
async def test_a_forked_child_keeps_no_socket_of_a_server(loop: str) -> None:
    # From 3.12 on Python warns of any fork of a program that has used a thread, as a look-up of names does.
    quiet = "ignore:This process:DeprecationWarning"
    printed = await output_of("-W", quiet, "-c", SCRIPT.format(loop=loop, body=FORKED))
    assert printed.strip() == "b''"


async def test_both_families_of_localhost_share_a_port() -> None:
    sockets = await bind_host("localhost", 0)
    try:
        assert len({sock.getsockname()[1] for sock in sockets}) == 1
        sockets[0].listen()
        with pytest.raises(OSError, match="in use"):
            await bind_host("localhost", sockets[0].getsockname()[1])
        assert {sock.family for sock in sockets} <= {socket.AF_INET, socket.AF_INET6}
    finally:
        for sock in sockets:
            sock.close()
