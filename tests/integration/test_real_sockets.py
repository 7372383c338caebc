"""The client against a real server on loopback. The *server* counts."""

import asyncio
import gc
import queue
import random
import re
import socket
import ssl
import struct
import threading
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
import trustme
from websockets.asyncio.server import ServerConnection as AsyncServerConnection
from websockets.asyncio.server import serve as serve_async
from websockets.sync.server import ServerConnection, serve

from onesocket import Client, Gap, Json, Login, Outcome, Raw, ReconnectPolicy, State, TokenQuery
from onesocket.client import GapReason
from onesocket.errors import (
    ClosedByPeer,
    ConnectAborted,
    ConnectionRefused,
    DeliveryUnknown,
    HandshakeRejected,
    InvalidURL,
    ManuallyDisconnected,
    PingTimeout,
)
from onesocket.testing import Fault, FaultyServer
from onesocket.testing._raw_frames import Opcode, encode_frame
from onesocket.wire._response_parser import accept_value

DEADLINE = 10


@pytest.fixture
async def server() -> AsyncIterator[FaultyServer]:
    async with FaultyServer() as running:
        yield running


def assert_clean(server: FaultyServer, *, handshakes: int, upgraded: int | None = None) -> None:
    """Check the server's counts: so many handshakes, one socket at a time, nothing abandoned."""
    counts = server.counts
    assert counts.handshakes == handshakes, counts
    assert counts.upgraded == (handshakes if upgraded is None else upgraded), counts
    assert counts.most_sockets <= 1, counts
    assert counts.most_open <= 1, counts
    assert counts.premature_closes == 0, counts
    assert counts.unclean_closes == 0, counts
    assert counts.protocol_errors == 0, counts


async def test_a_thousand_callers_one_handshake(server: FaultyServer) -> None:
    async with Client(server.url) as client:
        await client.disconnect()
        server.reset_counts()
        outcomes = await asyncio.gather(*(client.reconnect() for _ in range(1000)))
    assert outcomes.count(Outcome.OPENED) == 1
    assert_clean(server, handshakes=1)
    counts = await server.wait_until(lambda counts: counts.sockets_now == 0, timeout=DEADLINE)
    assert counts.close_codes == {1000: 1}


async def test_echo_of_text_binary_and_large_messages(server: FaultyServer) -> None:
    async with Client(server.url) as client:
        stream = client.subscribe()
        for message in ("text ☃", b"\x00\xff", "", b"", "x" * 200_000, b"y" * 3_000_000):
            await client.send(message)
            assert await anext(stream) == message
    assert_clean(server, handshakes=1)


async def test_json_protocol_over_a_real_socket(server: FaultyServer) -> None:
    async with Client(server.url, protocol=Json(event="t")) as client:
        stream = client.subscribe("hello")
        await client.send({"t": "other"})
        await client.send({"t": "hello", "n": 1})
        assert await anext(stream) == {"t": "hello", "n": 1}


async def test_reconnect_awaits_the_acknowledged_close(server: FaultyServer) -> None:
    async with Client(server.url) as client:
        for _ in range(20):
            await client.reconnect()
    assert_clean(server, handshakes=21)


@pytest.mark.parametrize("stage", ["before the dial", "in the upgrade", "just accepted"])
async def test_every_caller_cancelled_at_any_stage_leaves_nothing_open(server: FaultyServer, stage: str) -> None:
    release = asyncio.Event()
    server.faults = Fault.hold_upgrade(release)
    client = Client(server.url, open_timeout=DEADLINE)
    tasks = [asyncio.create_task(client.connect()) for _ in range(20)]
    if stage == "before the dial":
        await asyncio.sleep(0)
    else:
        await server.wait_until(lambda counts: counts.handshakes == 1, timeout=DEADLINE)
    if stage == "just accepted":
        release.set()
        await server.wait_until(lambda counts: counts.upgraded == 1, timeout=DEADLINE)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    release.set()
    await client.wait_for(State.DISCONNECTED, State.CONNECTED, timeout=DEADLINE)
    await client.aclose()
    await server.wait_until(lambda counts: counts.sockets_now == 0, timeout=DEADLINE)
    counts = server.counts
    assert counts.premature_closes == 0, counts
    assert counts.unclean_closes == 0, counts
    assert counts.most_open <= 1


async def test_disconnect_during_a_slow_upgrade_closes_with_1000(server: FaultyServer) -> None:
    release = asyncio.Event()
    server.faults = Fault.hold_upgrade(release)
    client = Client(server.url, open_timeout=DEADLINE)
    caller = asyncio.create_task(client.connect())
    await server.wait_until(lambda counts: counts.handshakes == 1, timeout=DEADLINE)
    leaving = asyncio.create_task(client.disconnect())
    with pytest.raises(ConnectAborted):
        await caller
    assert not leaving.done()
    release.set()
    await leaving
    counts = await server.wait_until(lambda counts: counts.sockets_now == 0, timeout=DEADLINE)
    assert counts.close_codes == {1000: 1}
    assert_clean(server, handshakes=1)
    with pytest.raises(ManuallyDisconnected):
        await client.connect()
    await client.aclose()


async def test_a_killed_connection_is_resumed_with_one_handshake(server: FaultyServer) -> None:
    client = Client(server.url)
    stream = client.subscribe()
    await client.connect()
    server.reset_counts()
    server.kill_connections()
    await client.wait_for(State.BACKING_OFF, timeout=DEADLINE)
    outcomes = await asyncio.gather(*(client.connect() for _ in range(100)))
    assert Outcome.ALREADY_CONNECTED not in outcomes
    assert_clean(server, handshakes=1)
    gap = await anext(stream)
    assert isinstance(gap, Gap)
    assert gap.reason is GapReason.RECONNECTED
    await client.aclose()


async def test_a_restarted_server_is_found_again(server: FaultyServer) -> None:
    client = Client(server.url, reconnect=ReconnectPolicy(initial=0.01, cap=0.02))
    await client.connect()
    await server.stop_listening(kill=True)
    changes = client.changes()
    async for change in changes:
        if change.new is State.BACKING_OFF and isinstance(change.error, ConnectionRefused):
            break
    await server.start()
    await client.wait_for(State.CONNECTED, timeout=DEADLINE)
    assert server.counts.most_open == 1
    await client.aclose()


async def test_a_half_open_connection_is_found_by_ping_and_resumed(server: FaultyServer) -> None:
    client = Client(server.url, ping_interval=0.05, ping_timeout=0.05)
    changes = client.changes()
    await client.connect()
    server.connections[0].go_silent()
    async for change in changes:
        if change.error is not None:
            assert isinstance(change.error, PingTimeout)
            break
    await client.wait_for(State.CONNECTED, timeout=DEADLINE)
    await client.aclose()
    assert server.counts.handshakes == 2


async def test_accept_then_close_is_not_hammered(server: FaultyServer) -> None:
    server.faults = Fault.accept_then_close(1011)
    client = Client(server.url)
    await client.connect()
    await server.wait_until(lambda counts: counts.handshakes == 4, timeout=DEADLINE)
    # By then the back-off has grown; how far is checked on virtual time.
    assert client.status.reconnect_attempts >= 3
    await client.aclose()
    assert server.counts.most_open == 1


async def test_a_close_that_is_never_acknowledged_is_aborted_at_close_timeout(server: FaultyServer) -> None:
    server.faults = Fault.never_acknowledge_close()
    client = Client(server.url, close_timeout=0.2)
    await client.connect()
    async with asyncio.timeout(DEADLINE):
        await client.disconnect()
    assert client.state is State.STOPPED
    await server.wait_until(lambda counts: counts.sockets_now == 0, timeout=DEADLINE)
    await client.aclose()


async def test_a_server_that_acknowledges_but_keeps_the_connection_delays_us_little(server: FaultyServer) -> None:
    server.faults = Fault.keep_tcp_after_close()
    client = Client(server.url, close_timeout=DEADLINE)
    await client.connect()
    async with asyncio.timeout(DEADLINE / 2):
        await client.disconnect()
    assert client.state is State.STOPPED
    await client.aclose()


@pytest.mark.parametrize("code", [1000, 1001, 1011, 1012, 3000, 4000])
async def test_the_servers_close_is_answered_and_resumed(server: FaultyServer, code: int) -> None:
    client = Client(server.url)
    await client.connect()
    changes = client.changes()
    await server.close_connections(code, "bye")
    async with asyncio.timeout(DEADLINE):
        seen = [await anext(changes) for _ in range(4)]
    assert [change.new for change in seen] == [State.CLOSING, State.BACKING_OFF, State.CONNECTING, State.CONNECTED]
    assert str(code) in str(seen[0].error)
    assert server.counts.unclean_closes == 0
    assert server.counts.most_sockets == 1
    await client.aclose()


async def test_a_burst_in_one_read_reaches_everybody_and_leaves_the_loop_its_turns(server: FaultyServer) -> None:
    messages = [f"{number} " + "x" * 500 for number in range(5000)]
    server.faults = Fault.burst(messages).after(1)
    async with Client(server.url) as client:
        stream = client.subscribe(limit=10_000)
        turns_between: list[int] = []
        turns = 0
        loop = asyncio.get_running_loop()
        stop = False

        def tick() -> None:
            nonlocal turns
            turns += 1
            if not stop:
                loop.call_soon(tick)

        client.on(lambda message: turns_between.append(turns))
        await client.send("go")
        tick()
        got: list[Any] = []
        while len(got) < 5001:
            got.append(await anext(stream))
        stop = True
    assert [message for message in got if message != "go"] == messages
    per_turn = [turns_between.count(turn) for turn in set(turns_between)]
    assert max(per_turn) <= 1024, "a burst is handed over in slices: one turn doesn't overrun a subscriber's limit"


async def test_back_pressure_of_a_waiting_reader_reaches_the_server(server: FaultyServer) -> None:
    async with Client(server.url, ping_interval=None) as client:
        stream = client.subscribe(limit=4, overflow="wait", gaps=False)
        connection = server.connections[0]
        total = 400

        async def flood() -> None:
            for number in range(total):
                await connection.send(f"{number:06d}" + "x" * 50_000)

        flooding = asyncio.create_task(flood())
        first = await anext(stream)
        got = [first]
        while len(got) < total:
            got.append(await anext(stream))
        await flooding
    assert [message[:6] for message in got] == [f"{number:06d}" for number in range(total)]


async def test_back_pressure_of_the_server_reaches_the_sender(server: FaultyServer) -> None:
    server.faults = Fault.stop_reading()
    client = Client(server.url, ping_interval=None, close_timeout=0.2)
    await client.connect()
    block = b"z" * 1_000_000
    delivery = client.send_nowait(block)
    while delivery.done:
        delivery = client.send_nowait(block)
    waiting = asyncio.create_task(client.send(block))
    await asyncio.sleep(0)
    assert not delivery.done
    assert not waiting.done()
    server.connections[0].resume()
    await delivery
    await waiting
    await client.aclose()


async def test_a_crowd_of_callers_doing_anything_never_has_two_sockets(server: FaultyServer) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")  # noqa: T201 - pytest shows it when the test fails
    chance = random.Random(seed)
    client = Client(server.url, open_timeout=2, close_timeout=1)

    async def caller() -> None:
        for _ in range(15):
            verbs = [client.connect, client.reconnect, client.disconnect]
            verb = chance.choices(verbs, weights=[80, 15, 5])[0]
            task: asyncio.Task[Any] = asyncio.create_task(verb())
            for _ in range(chance.randrange(6)):
                await asyncio.sleep(0)
            if chance.random() < 0.3:
                task.cancel()
            if chance.random() < 0.05:
                server.kill_connections()
            await asyncio.gather(task, return_exceptions=True)

    async with asyncio.timeout(40):
        await asyncio.gather(*(caller() for _ in range(20)))
        await client.reconnect()
        await client.aclose()
    counts = await server.wait_until(lambda counts: counts.sockets_now == 0, timeout=DEADLINE)
    assert counts.most_open == 1, counts
    assert counts.premature_closes == 0, counts
    assert counts.upgraded > 0


async def test_over_tls_a_send_to_a_silent_server_does_not_hang() -> None:
    authority = trustme.CA()
    trust = ssl.create_default_context()
    authority.configure_trust(trust)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    async with FaultyServer(ssl=context, echo=False) as server, Client(server.url, ssl=trust) as client:
        async with asyncio.timeout(DEADLINE):
            for number in range(200):
                await client.send(f"{number}")
        await server.wait_until(lambda counts: counts.messages_received == 200, timeout=DEADLINE)
        assert server.received == [f"{number}" for number in range(200)]


async def test_a_login_that_congests_the_connection_does_not_make_sends_look_delivered(server: FaultyServer) -> None:
    server.faults = Fault.stop_reading()
    login = Login(request=lambda _token: b"x" * 20_000_000)
    client = Client(server.url, protocol=Raw(login=login), ping_interval=None, close_timeout=0.2)
    await client.connect()
    assert not client.send_nowait(b"y").done
    await client.aclose()


async def test_a_write_that_meets_the_end_of_the_connection_is_not_delivered() -> None:
    accepted: queue.Queue[ServerConnection] = queue.Queue()
    gone = threading.Event()

    def handler(connection: ServerConnection) -> None:
        accepted.put(connection)
        gone.wait(DEADLINE)

    with serve(handler, "127.0.0.1", 0) as blocking:
        thread = threading.Thread(target=blocking.serve_forever)
        thread.start()
        client = Client(f"ws://127.0.0.1:{blocking.socket.getsockname()[1]}", reconnect=None)
        await client.connect()
        theirs = accepted.get(timeout=DEADLINE).socket
        theirs.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        theirs.shutdown(socket.SHUT_RD)
        theirs.close()  # an RST, in our kernel at once; our loop has not read it yet
        gone.set()
        deliveries = [client.send_nowait(str(number)) for number in range(10)]
        results = await asyncio.wait_for(asyncio.gather(*deliveries[:1], return_exceptions=True), DEADLINE)
        assert [type(result) for result in results] == [DeliveryUnknown]
        await client.aclose()
        blocking.shutdown()
        thread.join()


async def test_the_servers_close_counts_although_an_answer_to_its_ping_met_the_end() -> None:
    server_is_gone = threading.Event()

    def serve_once(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        request = b""
        while b"\r\n\r\n" not in request:
            request += connection.recv(65_536)
        (key,) = re.findall(rb"(?i)Sec-WebSocket-Key: (\S+)", request)
        accept = f"Sec-WebSocket-Accept: {accept_value(key.decode())}\r\n\r\n"
        connection.sendall(b"HTTP/1.1 101 ok\r\nUpgrade: websocket\r\nConnection: upgrade\r\n" + accept.encode())
        connection.recv(65_536)
        burst = [encode_frame(Opcode.TEXT, b"x" * 100) + encode_frame(Opcode.PING, b"?") for _ in range(300)]
        connection.sendall(b"".join(burst) + encode_frame(Opcode.CLOSE, (4004).to_bytes(2, "big") + b"no"))
        connection.close()  # whatever we write is answered by an RST from now on
        server_is_gone.set()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve_once, args=(listener,))
        thread.start()
        got: list[Any] = []
        client = Client(f"ws://127.0.0.1:{listener.getsockname()[1]}", reconnect=None)

        def take(message: Any) -> None:
            server_is_gone.wait(DEADLINE)
            got.append(message)

        errors: list[BaseException | None] = []
        client.on(take, gaps=False)
        client.on_change(lambda change: errors.append(change.error))
        await client.connect()
        await client.send("go")
        await client.wait_for(State.FAILED, timeout=DEADLINE)
        await client.aclose()
        thread.join()
    assert len(got) == 300
    assert [error.code for error in errors if isinstance(error, ClosedByPeer)] == [4004]


async def test_a_server_that_ends_tcp_and_does_not_read_is_left() -> None:
    async def hold(connection: AsyncServerConnection) -> None:
        connection.transport.pause_reading()
        await connection.recv()

    async with serve_async(hold, "127.0.0.1", 0, close_timeout=0.1) as server:
        client = Client(f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}", reconnect=None, ping_interval=None)
        await client.connect()
        sending = client.send_nowait(bytes(30_000_000))
        (connection,) = server.connections
        connection.transport.write_eof()
        await client.wait_for(State.FAILED, timeout=DEADLINE)
        with pytest.raises(DeliveryUnknown):
            await sending
        await client.aclose()
        connection.transport.abort()


async def test_answers_given_while_the_server_closes_are_not_lost() -> None:
    burst = [str(number) for number in range(200)]
    async with FaultyServer(echo=False) as server:
        server.faults = [Fault.burst(burst) | Fault.accept_then_close(1011)]
        client = Client(server.url)
        client.on(client.send_nowait, gaps=False)
        await client.connect()
        await server.wait_until(lambda counts: counts.messages_received >= 200, timeout=DEADLINE)
        await client.aclose()
        assert sorted(server.received) == sorted(burst)


async def test_a_slow_callback_under_a_burst_does_not_look_like_a_zombie(server: FaultyServer) -> None:
    server.faults = Fault.burst(["x" * 200] * 4000).after(1)
    client = Client(server.url, ping_interval=0.1, ping_timeout=0.1)
    got = 0
    done = asyncio.Event()

    def slow(_message: Any) -> None:
        nonlocal got
        got += 1
        until = time.perf_counter() + 0.0002
        while time.perf_counter() < until:
            pass
        if got == 4001:
            done.set()

    client.on(slow, gaps=False)
    await client.connect()
    await client.send("go")
    async with asyncio.timeout(DEADLINE):
        await done.wait()
    assert client.status.epoch == 1
    await client.aclose()


async def test_what_the_server_echoes_of_the_request_is_not_shown(server: FaultyServer) -> None:
    shown = "QUERY5ECRET HEADER5ECRET USER5ECRET PASS5ECRET TOKEN/5ECRET TOKEN%2F5ECRET VVNFUjVFQ1JFVDpQQVNTNUVDUkVU"
    server.faults = Fault.refuse(403, body=shown)
    client = Client(
        f"ws://USER5ECRET:PASS5ECRET@{server.url[5:]}?key=QUERY5ECRET",
        headers={"X-Api-Key": "HEADER5ECRET"},
        token="TOKEN/5ECRET",
        protocol=Raw(token_place=TokenQuery()),
    )
    with pytest.raises(HandshakeRejected) as caught:
        await client.connect()
    assert "5ECRET" not in str(caught.value)
    assert "VVNFU" not in str(caught.value)
    await client.aclose()
    with pytest.raises(InvalidURL) as refused:
        Client("ws://user:PASS/5ECRET@host/")
    assert "5ECRET" not in str(refused.value)


async def test_the_end_of_the_loop_dials_nothing_new(server: FaultyServer) -> None:
    def run() -> None:
        async def main() -> None:
            client = Client(server.url)
            await client.connect()
            task = asyncio.ensure_future(client.reconnect())
            await asyncio.sleep(0)
            del task

        asyncio.run(main())
        gc.collect()

    with pytest.warns(ResourceWarning, match="unclosed <Client"):
        await asyncio.to_thread(run)
    await server.wait_until(lambda counts: counts.sockets_now == 0, timeout=DEADLINE)
    assert server.counts.handshakes == 1
