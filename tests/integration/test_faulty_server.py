"""The faulty server, driven by the `websockets` client and by raw TCP. Counts are asserted exactly."""

import asyncio
import contextlib
import dataclasses
import gc
import socket
import ssl
import struct
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
import trustme
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidMessage, InvalidStatus
from websockets.typing import Subprotocol

from onesocket import Client, ReconnectPolicy
from onesocket.testing._counters import Counters, Counts
from onesocket.testing._faults import ConnectionLimit, Fault, MessageLimit
from onesocket.testing._faulty_connection import FaultyConnection
from onesocket.testing._faulty_server import FaultyServer
from onesocket.testing._handshake_endpoint import ConnectionPhase
from onesocket.testing._heartbeat_demand import HeartbeatDemand
from onesocket.testing._raw_frames import Opcode, encode_close, encode_frame

MASK = b"\x01\x02\x03\x04"
REQUEST = (
    b"GET /feed?token=s3cret HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


class RawTcpClient:
    """TCP to the server, with every byte in the test's hand."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def head(self) -> bytes:
        return await self.reader.readuntil(b"\r\n\r\n")

    async def frame(self) -> tuple[int, bytes]:
        first, second = await self.reader.readexactly(2)
        length = second & 0x7F
        if length == 126:
            (length,) = struct.unpack("!H", await self.reader.readexactly(2))
        return first & 0xF, await self.reader.readexactly(length)

    def send(self, opcode: int, payload: bytes = b"") -> None:
        self.writer.write(encode_frame(opcode, payload, mask=MASK))

    async def upgrade(self) -> None:
        self.writer.write(REQUEST)
        assert (await self.head()).startswith(b"HTTP/1.1 101 ")


@asynccontextmanager
async def raw_client(server: FaultyServer) -> AsyncIterator[RawTcpClient]:
    reader, writer = await asyncio.open_connection(server.host, server.port)
    try:
        yield RawTcpClient(reader, writer)
    finally:
        writer.transport.abort()


@pytest.fixture
async def server() -> AsyncIterator[FaultyServer]:
    async with FaultyServer(close_timeout=0.5) as server:
        yield server
    assert server.counts.open_now == server.counts.sockets_now == 0


def dial(server: FaultyServer) -> connect:
    return connect(server.url, proxy=None, ping_interval=None, open_timeout=5, close_timeout=5)


async def closed(client: ClientConnection) -> ConnectionClosed:
    """Read until the WebSocket is closed."""
    while True:
        try:
            await client.recv()
        except ConnectionClosed as error:
            return error


async def test_echo_and_the_counts_of_a_clean_session(server: FaultyServer) -> None:
    async with dial(server) as client:
        await client.send("héllo")
        assert await client.recv() == "héllo"
        await client.send([b"two ", b"fragments"])
        assert await client.recv() == b"two fragments"
        await (await client.ping())
        (connection,) = server.connections
        assert connection.received == server.received == ["héllo", b"two fragments"]
        assert connection.opened_at is not None
    assert await server.wait_until(lambda counts: counts.sockets_now == 0) == Counts(
        tcp_accepted=1,
        handshakes=1,
        upgraded=1,
        most_open=1,
        most_sockets=1,
        messages_received=2,
        messages_sent=2,
        pings=1,
        close_codes={1000: 1},
    )
    assert server.connections == []


async def test_the_request_can_be_read_but_repr_keeps_its_secrets(server: FaultyServer) -> None:
    async with raw_client(server) as client:
        await client.upgrade()
        (connection,) = server.connections
        assert connection.request_path == "/feed?token=s3cret"
        assert connection.request_headers["sec-websocket-key"] == "AAAAAAAAAAAAAAAAAAAAAA=="
        assert "path='/feed'" in repr(connection)
        assert "s3cret" not in repr(connection) + repr(server)
        assert "open_now=1" in repr(server)


async def test_high_water_marks_and_a_fresh_window(server: FaultyServer) -> None:
    async with dial(server), dial(server):
        assert server.counts.most_open == server.counts.most_sockets == 2
    await server.wait_until(lambda counts: counts.open_now == 0)
    async with dial(server):
        assert server.counts.most_open == 2
        server.reset_counts()
        assert server.counts == Counts(open_now=1, most_open=1, sockets_now=1, most_sockets=1)


async def test_the_stricter_mark_counts_from_the_request_on(server: FaultyServer) -> None:
    gate = asyncio.Event()
    server.faults = [None, Fault.hold_upgrade(gate)]
    async with dial(server) as first:
        second = asyncio.create_task(connect(server.url, proxy=None).__aenter__())
        counts = await server.wait_until(lambda counts: counts.handshakes == 2)
        assert (counts.most_open, counts.most_sockets) == (1, 2)
        assert [c.phase for c in server.pending] == [ConnectionPhase.ANSWERING]
        await first.close()
        gate.set()
        await (await second).close()
    counts = await server.wait_until(lambda counts: counts.sockets_now == 0)
    assert (counts.upgraded, counts.most_open, counts.most_sockets) == (2, 1, 2)


async def test_wait_until_times_out_with_the_counts_in_its_text(server: FaultyServer) -> None:
    with pytest.raises(TimeoutError, match=r"Counts\(tcp_accepted=0"):
        await server.wait_until(lambda counts: counts.upgraded == 1, timeout=0.01)
    with pytest.raises(ZeroDivisionError):
        await server.wait_until(lambda counts: 1 // counts.tcp_accepted > 0)


async def test_a_broken_predicate_hurts_nobody_else() -> None:
    counters = Counters()
    broken = asyncio.create_task(counters.wait_until(lambda counts: 1 // (1 - counts.pings) > 1, 5))
    sound = asyncio.create_task(counters.wait_until(lambda counts: counts.pings == 1, 5))
    await asyncio.wait([broken, sound], timeout=0)
    counters.count("pings")
    assert (await sound).pings == 1
    with pytest.raises(ZeroDivisionError):
        await broken


# ── the upgrade ──


async def test_slow_upgrade(server: FaultyServer) -> None:
    server.faults = Fault.slow_upgrade(0.05)
    started = asyncio.get_running_loop().time()
    async with dial(server):
        assert asyncio.get_running_loop().time() - started >= 0.05


@pytest.mark.parametrize("fault", [Fault.never_answer(), Fault.slow_upgrade(60)])
async def test_a_client_that_leaves_before_the_answer_is_premature(server: FaultyServer, fault: Fault) -> None:
    server.faults = [fault]
    async with raw_client(server) as client:
        client.writer.write(REQUEST)
        await server.wait_until(lambda counts: counts.sockets_now == 1)
    counts = await server.wait_until(lambda counts: counts.sockets_now == 0)
    assert counts == Counts(tcp_accepted=1, handshakes=1, most_sockets=1, premature_closes=1)


async def test_leaving_before_the_request_is_complete_is_not_premature(server: FaultyServer) -> None:
    async with raw_client(server) as client:
        client.writer.write(REQUEST[:-2])
        client.writer.write_eof()
        assert await client.reader.read() == b""
    assert server.counts == Counts(tcp_accepted=1)


@pytest.mark.parametrize("status", [200, 401, 403, 404, 503])
async def test_refusal(server: FaultyServer, status: int) -> None:
    server.faults = [Fault.refuse(status, headers={"X-Why": "because"}, body="né")]
    with pytest.raises(InvalidStatus) as caught:
        await dial(server)
    response = caught.value.response
    assert (response.status_code, response.headers["X-Why"], bytes(response.body)) == (
        status,
        "because",
        "né".encode(),
    )
    counts = await server.wait_until(lambda counts: counts.sockets_now == 0)
    assert counts == Counts(tcp_accepted=1, handshakes=1, refused=1, most_sockets=1)


async def test_too_many_requests_says_when_to_come_back(server: FaultyServer) -> None:
    server.faults = Fault.too_many_requests(7)
    with pytest.raises(InvalidStatus) as caught:
        await dial(server)
    assert (caught.value.response.status_code, caught.value.response.headers["Retry-After"]) == (429, "7")
    with pytest.raises(ValueError, match="101"):
        Fault.refuse(101)


@pytest.mark.parametrize("fault", [Fault.garbage(), Fault.truncated_upgrade(), Fault.reset_during_upgrade()])
async def test_no_answer_worth_the_name(server: FaultyServer, fault: Fault) -> None:
    server.faults = [fault]
    with pytest.raises((InvalidMessage, OSError, EOFError)):
        await dial(server)
    counts = await server.wait_until(lambda counts: counts.sockets_now == 0)
    assert counts == Counts(tcp_accepted=1, handshakes=1, refused=1, most_sockets=1)


@pytest.mark.parametrize(
    "fault", [Fault.wrong_accept(), Fault.unrequested_subprotocol(), Fault.unrequested_extension()]
)
async def test_wrong_headers_in_the_101(server: FaultyServer, fault: Fault) -> None:
    server.faults = fault
    with pytest.raises(InvalidHandshake):
        await dial(server)
    counts = await server.wait_until(lambda counts: counts.sockets_now == 0)
    assert (counts.upgraded, counts.most_open, counts.unclean_closes) == (1, 1, 1)


async def test_frames_sent_before_the_101_are_answered_after_it(server: FaultyServer) -> None:
    async with raw_client(server) as client:
        client.writer.write(REQUEST + encode_frame(Opcode.TEXT, b"early", mask=MASK))
        assert (await client.head()).startswith(b"HTTP/1.1 101")
        assert await client.frame() == (Opcode.TEXT, b"early")


# ── the end of the connection ──


async def test_accept_then_close(server: FaultyServer) -> None:
    server.faults = Fault.accept_then_close(4001, "go away")
    async with dial(server) as client:
        error = await closed(client)
    assert error.rcvd is not None
    assert (error.rcvd.code, error.rcvd.reason) == (4001, "go away")
    counts = await server.wait_until(lambda counts: counts.sockets_now == 0)
    assert (counts.upgraded, counts.close_codes, counts.unclean_closes) == (1, {4001: 1}, 0)


@pytest.mark.parametrize("fault", [Fault.accept_then_drop(), Fault.truncated_frame(), Fault.accept_then_reset()])
async def test_accept_then_end_tcp(server: FaultyServer, fault: Fault) -> None:
    server.faults = fault.after(1)
    async with dial(server) as client:
        await client.send("now")
        assert (await closed(client)).rcvd is None
    counts = await server.wait_until(lambda counts: counts.sockets_now == 0)
    assert (counts.upgraded, counts.unclean_closes, counts.close_codes) == (1, 0, {})


async def test_a_client_that_drops_the_connection_is_unclean(server: FaultyServer) -> None:
    async with raw_client(server) as client:
        await client.upgrade()
    counts = await server.wait_until(lambda counts: counts.sockets_now == 0)
    assert (counts.unclean_closes, counts.premature_closes, counts.open_now) == (1, 0, 0)


async def test_half_open_after_messages_then_resumed(server: FaultyServer) -> None:
    server.faults = Fault.half_open(after_messages=1)
    async with dial(server) as client:
        await client.send("answered")
        assert await client.recv() == "answered"
        await client.send("held")
        pong = await client.ping()
        (connection,) = server.connections
        await connection.send("withheld")
        assert (server.received, server.counts.pings) == (["answered"], 0)
        connection.resume()
        assert [await client.recv(), await client.recv()] == ["withheld", "held"]
        await pong
    assert server.counts.unclean_closes == 0


@pytest.mark.parametrize(("sends_close", "unclean"), [(True, 0), (False, 1)])
async def test_the_end_of_a_silent_connection_is_seen(server: FaultyServer, sends_close: bool, unclean: int) -> None:
    server.faults = Fault.half_open()
    async with raw_client(server) as client:
        await client.upgrade()
        client.send(Opcode.TEXT, b"into the void")
        if sends_close:
            client.send(Opcode.CLOSE, struct.pack("!H", 1000))
        await client.writer.drain()
        assert server.counts.open_now == 1
        client.writer.write_eof()
        counts = await server.wait_until(lambda counts: counts.open_now == 0)
        assert (counts.unclean_closes, counts.close_codes) == (unclean, {1000: 1} if sends_close else {})
        assert server.received == []
        assert not client.reader.at_eof()  # a half-open server doesn't end its half


async def test_never_acknowledge_close(server: FaultyServer) -> None:
    server.faults = Fault.never_acknowledge_close()
    async with raw_client(server) as client:
        await client.upgrade()
        client.send(Opcode.CLOSE, struct.pack("!H", 1000))
        counts = await server.wait_until(lambda counts: counts.close_codes == {1000: 1})
        assert counts.open_now == 1
    counts = await server.wait_until(lambda counts: counts.open_now == 0)
    assert counts.unclean_closes == 0


async def test_keep_tcp_after_close(server: FaultyServer) -> None:
    server.faults = Fault.keep_tcp_after_close()
    async with raw_client(server) as client:
        await client.upgrade()
        client.send(Opcode.CLOSE, struct.pack("!H", 1001))
        assert await client.frame() == (Opcode.CLOSE, struct.pack("!H", 1001))
        assert (server.counts.open_now, server.counts.sockets_now) == (0, 0)
        assert not client.reader.at_eof()
        assert "sockets=1" in repr(server)


async def test_no_pong(server: FaultyServer) -> None:
    server.faults = Fault.no_pong()
    async with dial(server) as client:
        pong = await client.ping()
        await client.send("after the ping")
        assert await client.recv() == "after the ping"
        assert server.counts.pings == 1
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(pong, 0)


async def test_stop_reading_lets_back_pressure_reach_the_client(server: FaultyServer) -> None:
    server.faults = Fault.stop_reading()
    async with raw_client(server) as client:
        await client.upgrade()
        client.writer.write(encode_frame(Opcode.BINARY, bytes(12 << 20), mask=MASK))
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(client.writer.drain(), 0.05)
        server.connections[0].resume()
        await client.writer.drain()
        await server.wait_until(lambda counts: counts.messages_received == 1)


# ── frames ──


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        (Fault.oversize_frame(), 1009),
        (Fault.oversize_by_fragments((1 << 20) + 1, 1 << 16), 1009),
        (Fault.invalid_utf8(), 1007),
        (Fault.invalid_utf8(split=True), 1007),
        (Fault.masked_frame(), 1002),
        (Fault.reserved_bits(), 1002),
        (Fault.orphan_continuation(), 1002),
        (Fault.text_within_fragments(), 1002),
        (Fault.bad_close_code(), 1002),
    ],
    ids=repr,
)
async def test_bad_frames(server: FaultyServer, fault: Fault, code: int) -> None:
    server.faults = fault
    async with dial(server) as client:
        assert (await closed(client)).rcvd is None or not fault.sends_close
    counts = await server.wait_until(lambda counts: counts.sockets_now == 0)
    assert (counts.close_codes, counts.protocol_errors, counts.unclean_closes) == ({code: 1}, 0, 0)


async def test_a_burst_shares_one_write_with_the_101(server: FaultyServer) -> None:
    server.faults = Fault.burst(["a", b"b", "c"])
    async with dial(server) as client:
        assert [await client.recv() for _ in range(3)] == ["a", b"b", "c"]


async def test_faults_combine(server: FaultyServer) -> None:
    both = Fault.no_pong() | Fault.burst(["hello"])
    assert (both.pongs, both.frames, both.label) == (False, b"\x81\x05hello", "no pong + burst")
    with pytest.raises(ValueError, match="both set frames"):
        _ = Fault.burst(["a"]) | Fault.burst(["b"])
    server.faults = lambda connection: both if connection.request_path == "/both" else None
    async with connect(server.url + "both", proxy=None) as client:
        assert await client.recv() == "hello"
    assert callable(server.faults)


async def test_a_script_is_consumed_in_order(server: FaultyServer) -> None:
    server.faults = [Fault.refuse(503), None, Fault.refuse(404)]
    with pytest.raises(InvalidStatus, match="503"):
        await dial(server)
    async with dial(server):
        assert server.faults == [Fault.refuse(404)]
    with pytest.raises(InvalidStatus, match="404"):
        await dial(server)
    async with dial(server):
        assert server.faults == []


# ── what clients sent ──


async def test_who_sends_too_much_is_closed_and_others_are_not(server: FaultyServer) -> None:
    server.message_limit = MessageLimit(2, per=60, code=1013, reason="slow down")
    async with dial(server) as calm, dial(server) as quick:
        for client, count in ((calm, 2), (quick, 3)):
            for number in range(count):
                await client.send(str(number))
        error = await closed(quick)
        assert error.rcvd is not None
        assert (error.rcvd.code, error.rcvd.reason) == (1013, "slow down")
        assert [await calm.recv() for _ in range(2)] == ["0", "1"]


async def test_the_limit_counts_the_messages_that_it_is_told_to_count(server: FaultyServer) -> None:
    server.message_limit = MessageLimit(1, per=60, counts=lambda message: message == "control")
    async with dial(server) as client:
        for _ in range(3):
            await client.send("data")
        await client.send("control")
        await client.send("control")
        error = await closed(client)
        assert error.rcvd is not None
        assert error.rcvd.code == 1008
    assert server.received == ["data"] * 3 + ["control"] * 2


async def test_pings_and_pongs_count_in_the_limit_if_wanted(server: FaultyServer) -> None:
    server.message_limit = MessageLimit(2, per=60, pings=True)
    async with dial(server) as client:
        await (await client.ping())
        await server.connections[0].ping()
        await client.send("one too many")
        error = await closed(client)
        assert error.rcvd is not None
        assert error.rcvd.code == 1008


async def test_a_mute_server_answers_pings_and_reads_on(server: FaultyServer) -> None:
    server.faults = Fault.mute(after_messages=2)
    async with dial(server) as client:
        for number in range(5):
            await client.send(str(number))
        assert [await client.recv() for _ in range(2)] == ["0", "1"]
        await server.send("unheard")
        await server.wait_until(lambda counts: counts.messages_received == 5)
        await (await client.ping())
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0):
                await client.recv()


async def test_a_client_without_heartbeats_is_closed_where_they_are_demanded(server: FaultyServer) -> None:
    server.heartbeat_demand = HeartbeatDemand(within=0.5, is_heartbeat=lambda message: message == "pong", question="?")
    async with dial(server) as client:
        for _ in range(3):
            assert await client.recv() == "?"
            await client.send("pong")
            assert await client.recv() == "pong"
        await client.send("no heartbeat")
        error = await closed(client)
        assert error.rcvd is not None
        assert (error.rcvd.code, error.rcvd.reason) == (1008, "No heartbeat")


async def test_the_limit_is_one_of_time(server: FaultyServer) -> None:
    server.message_limit = MessageLimit(1, per=0.01)
    async with dial(server) as client:
        for number in range(3):
            await client.send(str(number))
            assert await client.recv() == str(number)
            await asyncio.sleep(0.02)


async def test_what_a_connection_sent_is_known_after_its_end(server: FaultyServer) -> None:
    for messages in (['{"op": "subscribe", "args": ["a", "b"]}', "order"], ['{"subscribe": ["c"]}']):
        async with dial(server) as client:
            for message in messages:
                await client.send(message)
                await client.recv()
    await server.wait_until(lambda counts: counts.open_now == 0)
    first, second = server.history
    assert first.received == ['{"op": "subscribe", "args": ["a", "b"]}', "order"]
    assert first.subscriptions.keys == {"a", "b"}
    assert second.subscriptions.keys == {"c"}


# ── places and ghosts ──


async def test_the_surplus_connection_is_closed_and_the_place_given_back(server: FaultyServer) -> None:
    server.limit = ConnectionLimit()
    async with dial(server), dial(server) as surplus:
        error = await closed(surplus)
        assert error.rcvd is not None
        assert (error.rcvd.code, error.rcvd.reason) == (1008, "connection limit exceeded")
    await server.wait_until(lambda counts: counts.open_now == 0)
    async with dial(server) as client:
        await client.send("there is room")
        assert await client.recv() == "there is room"


async def test_a_dropped_session_leaves_a_ghost(server: FaultyServer) -> None:
    server.limit = ConnectionLimit(surplus=Fault.refuse(429), ghost_seconds=60)
    async with dial(server):
        pass
    await server.wait_until(lambda counts: counts.open_now == 0)
    assert server.ghosts == 0
    async with raw_client(server) as client:
        await client.upgrade()
    await server.wait_until(lambda counts: counts.sockets_now == 0)
    assert server.ghosts == 1
    with pytest.raises(InvalidStatus, match="429"):
        await dial(server)
    server.limit = None
    async with dial(server):
        pass


async def test_a_place_is_kept_after_a_close_in_order_and_its_owner_asks_again_in_seconds(server: FaultyServer) -> None:
    server.limit = ConnectionLimit(surplus=Fault.refuse(429, body="connection limit exceeded"))
    server.limit = dataclasses.replace(server.limit, ghost_seconds_after_close=0.6)
    async with Client(server.url, reconnect=ReconnectPolicy(initial=0.1)) as client:
        began = time.monotonic()
        await client.reconnect()
        assert 0.5 < time.monotonic() - began < 8
    counts = server.counts
    assert counts.refused >= 1
    assert counts.most_open == 1


# ── commands ──


async def test_send_and_broadcast(server: FaultyServer) -> None:
    with pytest.raises(LookupError):
        await server.send("nobody")
    async with dial(server) as one, dial(server) as two:
        assert await server.broadcast("all") == 2
        await server.send(b"newest")
        await server.send("oldest", to=server.connections[0])
        assert [await one.recv(), await one.recv()] == ["all", "oldest"]
        assert [await two.recv(), await two.recv()] == ["all", b"newest"]
        assert server.counts.messages_sent == 4


async def test_commands_on_one_connection(server: FaultyServer) -> None:
    async with dial(server) as client:
        (connection,) = server.connections
        assert await connection.ping() < 5
        connection.go_silent()
        connection.write_raw(b"\x81\x03raw")
        assert await client.recv() == "raw"
        connection.resume()
        connection.strike(Fault.burst(["struck"]))
        assert await client.recv() == "struck"
        with pytest.raises(ValueError, match="1005"):
            await connection.close(1005)
        closing = asyncio.create_task(connection.close(4000, "bye"))
        error = await closed(client)
        assert error.rcvd is not None
        assert (error.rcvd.code, error.rcvd.reason) == (4000, "bye")
        await closing
        assert server.counts.close_codes == {4000: 1}
        with pytest.raises(ConnectionResetError):
            await connection.send("too late")


async def test_kill_resets_and_ping_learns_of_it(server: FaultyServer) -> None:
    async with raw_client(server) as client:
        await client.upgrade()
        (connection,) = server.connections
        ping = asyncio.create_task(connection.ping())
        assert await client.frame() == (Opcode.PING, next(iter(connection._pings)))
        connection.kill()
        with pytest.raises(ConnectionResetError):
            await client.reader.read()
        with pytest.raises(ConnectionResetError):
            await ping
    assert (server.counts.unclean_closes, server.counts.open_now) == (0, 0)


async def test_a_close_that_is_not_acknowledged_ends_at_the_deadline(server: FaultyServer) -> None:
    server.close_timeout = 0.05
    async with raw_client(server) as client:
        await client.upgrade()
        closing = asyncio.create_task(server.close_connections(1012))
        assert await client.frame() == (Opcode.CLOSE, struct.pack("!H", 1012))
        assert server.counts.open_now == 1
        assert await closing == 1
        assert (server.counts.open_now, server.counts.unclean_closes) == (0, 0)


async def test_stop_listening_and_start_again(server: FaultyServer) -> None:
    async with dial(server) as client:
        await server.stop_listening()
        with pytest.raises(ConnectionRefusedError):
            await dial(server)
        await client.send("still here")
        assert await client.recv() == "still here"
        await server.stop_listening(kill=True)
        await closed(client)
    url = server.url
    await server.start()
    async with connect(url, proxy=None):
        assert server.is_listening


@pytest.mark.parametrize("code", [None, 1012])
async def test_restart(server: FaultyServer, code: int | None) -> None:
    url = server.url
    async with dial(server) as client:
        await server.restart(code)
        error = await closed(client)
        assert (error.rcvd.code if error.rcvd else None) == code
        assert (server.url, server.counts.open_now) == (url, 0)
        async with dial(server):
            assert server.counts.upgraded == 2


async def test_aclose_leaves_nothing_whatever_the_connections_do() -> None:
    gate = asyncio.Event()
    server = FaultyServer(close_timeout=0.05)
    with pytest.raises(RuntimeError):
        _ = server.url
    assert "unstarted" in repr(server)
    await server.start()
    server.faults = [
        Fault.never_answer(),
        Fault.hold_upgrade(gate),
        Fault.half_open(),
        Fault.stop_reading(),
        Fault.never_acknowledge_close(),
        Fault.keep_tcp_after_close(),
        Fault(),
    ]
    clients = [await asyncio.open_connection(server.host, server.port) for _ in range(8)]
    for _, writer in clients[:-1]:
        writer.write(REQUEST)
    await server.wait_until(lambda counts: counts.handshakes == 7 and counts.tcp_accepted == 8)
    await server.aclose()
    await server.aclose()
    assert (server.counts.open_now, server.counts.sockets_now, server.counts.premature_closes) == (0, 0, 0)
    for _, writer in clients:
        writer.transport.abort()


# ── options ──


async def test_on_message_replies(caplog: pytest.LogCaptureFixture) -> None:
    def reply(connection: FaultyConnection, message: str | bytes) -> str | None:
        if message == "fail":
            raise LookupError("as asked")
        return f"{connection.number}: {message!r}" if message else None

    async with FaultyServer(on_message=reply) as server, dial(server) as client:
        await client.send("")
        await client.send("x")
        assert await client.recv() == "1: 'x'"
        await client.send("fail")
        assert (await closed(client)).rcvd is not None
    assert server.counts.close_codes == {1011: 1}
    assert "on_message failed" in caplog.text


async def test_handler_reads_and_ends(caplog: pytest.LogCaptureFixture) -> None:
    seen: list[str | bytes] = []

    async def handler(connection: FaultyConnection) -> None:
        if await connection.recv() == "fail":
            raise LookupError("as asked")
        async for message in connection:
            seen.append(message)
            await connection.send(message)

    async with FaultyServer(handler=handler) as server:
        async with dial(server) as client:
            for text in ("first", "second"):
                await client.send(text)
            assert await client.recv() == "second"
        async with dial(server) as client:
            await client.send("fail")
            await closed(client)
        await server.wait_until(lambda counts: counts.close_codes == {1000: 1, 1011: 1})
    assert seen == ["second"]
    assert "the handler of" in caplog.text


@pytest.mark.parametrize(("overflow", "kept"), [("drop_oldest", ["2", "3"]), ("drop_newest", ["1", "2"])])
async def test_received_is_bounded(overflow: str, kept: list[str]) -> None:
    options: dict[str, object] = {"overflow": overflow}
    async with FaultyServer(received_limit=2, **options) as server, dial(server) as client:  # type: ignore[arg-type]
        for text in ("1", "2", "3"):
            await client.send(text)
            await client.recv()
        assert (server.received, server.received_dropped) == (kept, 1)
        assert server.connections[0].received == kept


async def test_subprotocols() -> None:
    async with FaultyServer(subprotocols=["v2", "v1"]) as server:
        offer = [Subprotocol("v1"), Subprotocol("v2")]
        async with connect(server.url, proxy=None, subprotocols=offer) as client:
            assert client.subprotocol == "v2"
        async with dial(server) as client:
            assert client.subprotocol is None


@asynccontextmanager
async def tls_server() -> AsyncIterator[tuple[FaultyServer, ssl.SSLContext]]:
    authority = trustme.CA()
    server_side, client_side = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
    authority.issue_cert("127.0.0.1").configure_cert(server_side)
    authority.configure_trust(client_side)
    async with FaultyServer(ssl=server_side) as server:
        yield server, client_side


async def test_the_history_keeps_no_tls_buffers_of_ended_connections() -> None:
    async with tls_server() as (server, context):
        gc.disable()
        try:
            for _ in range(3):
                async with connect(server.url, ssl=context, proxy=None):
                    pass
            await server.wait_until(lambda counts: counts.sockets_now == 0)
            await asyncio.sleep(0)
            kept = [transport for connection in server.history if (transport := connection._transport) is not None]
        finally:
            gc.enable()
        assert len(server.history) == 3
        assert kept == []


async def test_a_tls_listener_that_is_stopped_at_once_leaves_no_socket() -> None:
    async with tls_server() as (server, _):
        await server.stop_listening()
        assert gc.collect() >= 0  # a ResourceWarning is an error
        await server.start()


async def test_tls() -> None:
    async with tls_server() as (server, client_side):
        assert server.url.startswith("wss://127.0.0.1:")
        async with connect(server.url, ssl=client_side, proxy=None) as client:
            await client.send("secret")
            assert await client.recv() == "secret"
        async with raw_client(server) as plain:
            plain.writer.write(REQUEST)
            await server.wait_until(lambda counts: counts.protocol_errors == 1)
        async with raw_client(server):  # a TLS handshake that never comes must not delay the end
            await server.wait_until(lambda counts: counts.tcp_accepted == 3)
            await server.aclose()
    assert (server.counts.upgraded, server.counts.open_now, server.counts.close_codes) == (1, 0, {1000: 1})


# ── clients that misbehave ──


def _bad(opcode: int, payload: bytes = b"", **options: int | bool) -> Callable[[], bytes]:
    return lambda: encode_frame(opcode, payload, mask=MASK, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (encode_frame(Opcode.TEXT, b"unmasked"), 1002),
        (_bad(Opcode.TEXT, b"\xff")(), 1007),
        (_bad(Opcode.TEXT, b"x", reserved=1)(), 1002),
        (_bad(Opcode.CONTINUATION, b"x")(), 1002),
        (_bad(0x3)(), 1002),
        (_bad(Opcode.CLOSE, b"\x03")(), 1002),
        (_bad(Opcode.TEXT, b"a", fin=False)() + _bad(Opcode.CLOSE)(), 1002),
        (_bad(Opcode.BINARY, claimed_length=1 << 40)(), 1009),
    ],
)
async def test_bad_frames_from_a_client_are_answered_and_counted(server: FaultyServer, data: bytes, code: int) -> None:
    async with raw_client(server) as client:
        await client.upgrade()
        client.writer.write(data)
        opcode, payload = await client.frame()
        assert (opcode, payload[:2]) == (Opcode.CLOSE, struct.pack("!H", code))
        assert await client.reader.read() == b""
    assert (server.counts.protocol_errors, server.counts.unclean_closes) == (1, 0)


@pytest.mark.parametrize(
    ("data", "status", "handshakes", "errors"),
    [
        (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"HTTP/1.1 426", 0, 0),
        (REQUEST.replace(b"Version: 13", b"Version: 8"), b"HTTP/1.1 400", 1, 1),
        (b"GET / HTTP/1.1\r\nX: " + b"x" * 70_000 + b"\r\n\r\n", b"HTTP/1.1 431", 0, 1),
        (b"\x16\x03\x01\r\n\r\n", b"", 0, 1),
    ],
)
async def test_bad_requests(server: FaultyServer, data: bytes, status: bytes, handshakes: int, errors: int) -> None:
    async with raw_client(server) as client:
        client.writer.write(data)
        try:
            answer = await client.reader.read(12)
        except ConnectionResetError:
            answer = b""
        assert answer == status
    counts = await server.wait_until(lambda counts: counts.sockets_now == 0)
    assert (counts.handshakes, counts.upgraded, counts.protocol_errors) == (handshakes, 0, errors)


async def test_a_request_in_single_bytes(server: FaultyServer) -> None:
    async with raw_client(server) as client:
        for i in range(len(REQUEST)):
            client.writer.write(REQUEST[i : i + 1])
            await client.writer.drain()
        assert (await client.head()).startswith(b"HTTP/1.1 101")
        client.send(Opcode.CLOSE)
        assert await client.frame() == (Opcode.CLOSE, b"")
    assert server.counts.close_codes == {1005: 1}
    assert encode_close(None) == b"\x88\x00"


async def test_a_thousand_handshakes(server: FaultyServer) -> None:
    async def session() -> None:
        async with dial(server):
            pass

    for _ in range(10):
        await asyncio.gather(*(session() for _ in range(100)))
    counts = await server.wait_until(lambda counts: counts.sockets_now == 0)
    assert (counts.upgraded, counts.close_codes, counts.unclean_closes) == (1000, {1000: 1000}, 0)


@pytest.mark.parametrize(
    ("level", "shown"), [("ERROR", []), ("INFO", ["connection open"]), ("DEBUG", ["connection open"])]
)
async def test_the_log_obeys_the_users_level_and_shows_no_request(
    caplog: pytest.LogCaptureFixture, level: str, shown: list[str]
) -> None:
    caplog.set_level(level, logger="onesocket")
    caplog.handler.setLevel(0)  # set_level() set it, too
    async with FaultyServer() as server, connect(f"{server.url}?token=s3cret"):
        pass
    assert [record.getMessage() for record in caplog.records if record.name == "onesocket.testing.wire"] == shown
    assert "s3cret" not in caplog.text.replace("websockets.client", "")


@pytest.mark.parametrize("secure", [False, True])
@pytest.mark.parametrize("turns", range(4))
async def test_no_socket_is_left_of_a_connection_that_is_accepted_while_the_server_stops(
    turns: int, recwarn: pytest.WarningsRecorder, *, secure: bool
) -> None:
    context = None
    if secure:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        trustme.CA().issue_cert("127.0.0.1").configure_cert(context)
    with contextlib.ExitStack() as clients:
        async with FaultyServer(ssl=context) as server:
            for _ in range(5):
                clients.enter_context(socket.create_connection(("127.0.0.1", server.port)))
            for _ in range(turns):
                await asyncio.sleep(0)
        assert server.established == 0
        gc.collect()
        assert not recwarn.list
