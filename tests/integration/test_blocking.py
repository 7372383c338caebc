"""`onesocket.blocking`: a shared connection for threads without an event loop."""

import asyncio
import sys
import threading
from collections.abc import AsyncIterator
from typing import Any

import pytest

from onesocket import Client, Gap, Json, Outcome, ReconnectPolicy, State, blocking
from onesocket.errors import (
    ClientClosed,
    HandshakeRejected,
    InvalidOption,
    ManuallyDisconnected,
    OnesocketError,
    SlowConsumer,
    WaitTimeout,
    WrongEventLoop,
)
from onesocket.testing import Fault, FaultyServer
from tests.support.programs import run_python, running_python

pytestmark = pytest.mark.usefixtures("no_threads_left")


@pytest.fixture
async def server() -> AsyncIterator[FaultyServer]:
    async with FaultyServer() as server:
        yield server
        await server.wait_until(lambda counts: counts.sockets_now == 0)
        assert server.counts.most_sockets <= 1
        assert server.counts.unclean_closes == server.counts.premature_closes == 0


async def test_the_whole_of_it(server: FaultyServer) -> None:
    def program() -> None:
        with blocking.join(server.url, protocol=Json(event="t")) as client:
            assert client.state is State.CONNECTED
            assert client.connect() is Outcome.ALREADY_CONNECTED
            named = client.subscribe("a", gaps=False)
            odd = client.subscribe(gaps=False, where=lambda message: bool(message["n"] % 2))
            for number in range(4):
                client.send({"t": "ab"[number % 2], "n": number}, timeout=5)
            assert [client.receive(timeout=5) for _ in range(4)] == [{"t": "ab"[n % 2], "n": n} for n in range(4)]
            assert [next(named)["n"] for _ in range(2)] == [0, 2]
            assert [odd.receive(5)["n"] for _ in range(2)] == [1, 3]
            with pytest.raises(WaitTimeout):
                client.receive(timeout=0.01)
            with pytest.raises(WaitTimeout):
                client.wait_for(State.STOPPED, timeout=0.01)
            changes = client.changes()
            client.disconnect(timeout=5)
            assert client.wait_for(State.STOPPED, timeout=5) is State.STOPPED
            with pytest.raises(ManuallyDisconnected):
                client.send("x")
            assert client.reconnect(timeout=5) is Outcome.OPENED
            assert client.wait_for(State.CONNECTED, timeout=5) is State.CONNECTED
            assert client.status.epoch == 2
            assert next(changes).new is State.CLOSING
            client.send_nowait({"t": "last"}).result(5)
            assert isinstance(client.receive(timeout=5), Gap)
            assert client.receive(timeout=5) == {"t": "last"}
        for call in (client.receive, client.connect, lambda: client.send("x"), client.subscribe):
            with pytest.raises(ClientClosed):
                call()
        assert list(named) == []
        assert "CLOSED" in repr(client)

    await asyncio.to_thread(program)


async def test_a_for_loop_ends_when_the_client_is_closed(server: FaultyServer) -> None:
    def program() -> list[Any]:
        with blocking.join(server.url) as client:
            for number in range(3):
                client.send(f"{number}")
            got: list[Any] = []
            for message in client:
                got.append(message)
                if len(got) == 3:
                    client.close()
            return got

    assert await asyncio.to_thread(program) == ["0", "1", "2"]


async def test_a_close_may_have_a_time_out_and_goes_on_after_it(server: FaultyServer) -> None:
    def program() -> None:
        client = blocking.join(server.url, close_timeout=0.2)
        with pytest.raises(WaitTimeout, match="leaving took longer than 0 s"):
            client.close(timeout=0)
        client.close()

    server.faults = Fault.never_acknowledge_close()
    await asyncio.to_thread(program)
    await server.wait_until(lambda counts: counts.sockets_now == 0, timeout=5)
    assert server.counts.close_codes == {1000: 1}


async def test_closing_wakes_a_reader_in_another_thread(server: FaultyServer) -> None:
    client = await asyncio.to_thread(blocking.join, server.url)
    reading = asyncio.create_task(asyncio.to_thread(list, client))
    stream = client._stream
    while stream._stream.queue.waiter is None:  # noqa: ASYNC110 - there's no event for that
        await asyncio.sleep(0)
    await asyncio.to_thread(client.close)
    assert await reading == []


async def test_many_threads_are_one_handshake(server: FaultyServer) -> None:
    server.faults = Fault.slow_upgrade(0.05)
    barrier = threading.Barrier(16)

    def program() -> list[Any]:
        barrier.wait(10)
        with blocking.join(server.url) as client:
            barrier.wait(10)
            client.send("x")
            got = [client.receive(timeout=5) for _ in range(16)]
            barrier.wait(10)
            return got

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(_in_a_thread(program)) for _ in range(16)]
    assert [task.result() for task in tasks] == [["x"] * 16] * 16
    assert server.counts.handshakes == 1


async def _in_a_thread(program: Any) -> Any:
    """As `asyncio.to_thread`, whose pool may be smaller than the number of callers."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[Any] = loop.create_future()
    thread = threading.Thread(target=lambda: loop.call_soon_threadsafe(future.set_result, program()))
    thread.start()
    return await future


async def test_joining_raises_what_kept_the_connection_from_coming_up(server: FaultyServer) -> None:
    server.faults = [Fault.refuse(503)]
    with pytest.raises(HandshakeRejected):
        await asyncio.to_thread(blocking.join, server.url)
    server.faults = [Fault.slow_upgrade(0.2)]
    with pytest.raises(WaitTimeout):
        await asyncio.to_thread(lambda: blocking.join(server.url, timeout=0.02))
    await server.wait_until(lambda counts: counts.sockets_now == 0)


async def test_a_thread_may_join_before_its_server_is_up(server: FaultyServer) -> None:
    server.on_message = lambda _connection, message: message
    server.faults = [Fault.refuse(503), Fault.refuse(503)]

    def program() -> Any:
        with blocking.join(server.url, wait=False, reconnect=ReconnectPolicy(initial=0.05)) as client:
            client.connect(timeout=5, retry=True)
            client.send("hello")
            return client.receive(timeout=5)

    assert await asyncio.to_thread(program) == "hello"
    assert server.counts.upgraded == 1


async def test_a_blocking_token_source_is_told_of_a_refused_token(server: FaultyServer) -> None:
    told: list[tuple[str | None, str]] = []

    def source(previous: str | None, error: OnesocketError | None) -> str:
        told.append((previous, type(error).__name__))
        return "old" if previous is None else "new"

    server.faults = [Fault.refuse(401)]

    def program() -> None:
        policy = ReconnectPolicy(initial=0.05, first=True)
        with blocking.join(server.url, token=source, reconnect=policy, timeout=5):
            pass

    await asyncio.to_thread(program)
    assert told == [(None, "NoneType"), ("old", "HandshakeRejected")]


async def test_a_message_that_timed_out_in_the_outbox_is_not_sent(server: FaultyServer) -> None:
    def program() -> None:
        with blocking.join(server.url, reconnect=ReconnectPolicy(initial=1e9, cap=1e9)) as client:
            states = client.changes()
            server_loop.call_soon_threadsafe(go.set)
            while next(states).new is not State.BACKING_OFF or client.status.attempt < 2:
                pass
            with pytest.raises(WaitTimeout):
                client.send("too late", timeout=0.02)
            client.connect(timeout=5)
            client.send("in time")
            while client.receive(timeout=5) != "in time":
                pass

    server_loop, go = asyncio.get_running_loop(), asyncio.Event()
    running = asyncio.create_task(asyncio.to_thread(program))
    await go.wait()
    server.faults = [Fault.refuse(503)]
    await server.close_connections(1012)
    await running
    assert server.received == ["in time"]


async def test_callbacks_have_a_thread_of_their_own(server: FaultyServer) -> None:
    def program() -> None:
        told: list[BaseException] = []
        got: list[Any] = []
        threads: set[str] = set()
        done = threading.Event()

        def takes(message: Any) -> None:
            threads.add(threading.current_thread().name)
            if message == "0":
                raise RuntimeError("s3cret")
            if message == "1":
                client.send("from the callback", timeout=5)  # it may block
            got.append(message)
            if message == "from the callback":
                done.set()

        with blocking.join(server.url, on_error=told.append) as client:
            assert client.on(takes) is takes
            for number in range(3):
                client.send(f"{number}")
            assert done.wait(5)
            assert sorted(got) == ["1", "2", "from the callback"]
            assert [type(error) for error in told] == [RuntimeError]
            assert threads == {"onesocket callback"}
            client.off(takes)
            client.send("after")
            assert [client.receive(5) for _ in range(5)][-1] == "after"
            assert "after" not in got
            with pytest.raises(InvalidOption):
                client.on(_coroutine)

    await asyncio.to_thread(program)


async def _coroutine(_message: Any) -> None:
    pass


async def test_a_callback_may_close_the_client(server: FaultyServer) -> None:
    def program() -> None:
        closed = threading.Event()
        client = blocking.join(server.url)

        def close(_message: Any) -> None:
            client.close()
            closed.set()

        client.on(close)
        client.send("x")
        assert closed.wait(5)

    await asyncio.to_thread(program)


async def test_overflow_is_the_readers_own(server: FaultyServer) -> None:
    def program() -> None:
        with blocking.join(server.url) as client:
            slow = client.subscribe(limit=5)
            dropping = client.subscribe(limit=5, overflow="drop_oldest")
            for number in range(100):
                client.send(f"{number}")
            assert [client.receive(5) for _ in range(100)] == [f"{number}" for number in range(100)]
            assert [next(slow) for _ in range(5)] == [f"{number}" for number in range(5)]
            with pytest.raises(SlowConsumer):
                next(slow)
            gap = next(dropping)
            assert isinstance(gap, Gap)
            assert gap.missed == 95
            assert [next(dropping) for _ in range(5)] == [f"{number}" for number in range(95, 100)]

    await asyncio.to_thread(program)


async def test_a_time_out_holds_among_messages_that_are_not_wanted(server: FaultyServer) -> None:
    def program() -> None:
        with blocking.join(server.url) as client:
            asked = 0

            def wanted(_: object) -> bool:
                nonlocal asked
                asked += 1
                assert asked < 1000, "it goes on without end"
                client.send("more")
                later.receive(5)  # so that the next one waits already
                return False

            picky = client.subscribe(where=wanted)
            later = client.subscribe()
            client.send("first")
            later.receive(5)
            with pytest.raises(WaitTimeout):
                picky.receive(timeout=0.05)
            assert asked > 1

    await asyncio.to_thread(program)


async def test_it_refuses_to_block_an_event_loop(server: FaultyServer) -> None:
    with pytest.raises(WrongEventLoop, match=r"onesocket\.join"):
        blocking.join(server.url)
    client = await asyncio.to_thread(blocking.join, server.url)
    for call in (client.receive, client.connect, lambda: client.send("x"), lambda: client.wait_for(State.FAILED)):
        with pytest.raises(WrongEventLoop, match=r"onesocket\.join"):
            call()
    with pytest.raises(InvalidOption, match="timeout"):
        await asyncio.to_thread(client.receive, -1)
    with pytest.raises(InvalidOption, match="on_error must be a plain function"):
        blocking.join(server.url, on_error=_coroutine)
    with pytest.raises(InvalidOption, match="scope"):
        blocking.join(server.url, scope="loop")  # type: ignore[call-overload]
    await asyncio.to_thread(client.close)


async def test_a_forgotten_client_is_counted_out(server: FaultyServer) -> None:
    await asyncio.to_thread(lambda: blocking.join(server.url).state)
    await server.wait_until(lambda counts: counts.sockets_now == 0)
    assert server.counts.close_codes == {1000: 1}


async def test_what_was_disconnected_says_so_to_senders_and_to_those_who_join(server: FaultyServer) -> None:
    def program() -> None:
        with blocking.join(server.url) as client:
            client.disconnect()
            with pytest.raises(ManuallyDisconnected):
                client.send_nowait("x")
            with pytest.raises(ManuallyDisconnected, match=r"call reconnect\(\) on one of its open clients"):
                blocking.join(server.url)
            client.reconnect()
            client.send_nowait("x").result(5)

    await asyncio.to_thread(program)


async def test_a_factory_is_called_in_the_thread_that_joins(server: FaultyServer) -> None:
    """The token source may need a resource of its thread, such as the lock of an import under way."""
    script = """
import sys, threading
from onesocket import Client, blocking

called = []

def make(token=None):
    called.append(threading.current_thread() is threading.main_thread())
    return Client(sys.argv[1])

blocking.join(sys.argv[1], client_factory=make).close()
print(called)
"""
    assert await run_python("-W", "error", "-c", script, server.url) == (0, "[True]\n")


def test_where_a_loop_runs_nothing_is_begun() -> None:
    called: list[str] = []

    def make() -> Client:
        called.append("make")
        return Client("ws://127.0.0.1:1")

    async def joins() -> None:
        with pytest.raises(WrongEventLoop):
            blocking.join("ws://127.0.0.1:1", client_factory=make)

    asyncio.run(joins())
    assert called == []


# --- Ctrl-C, and the end of the program; each in a process of its own -------------------------------------------------

INTERRUPTED = """
import signal, sys, threading
from onesocket import State, blocking
from onesocket.sharing._registry import current_registry

def interrupt_when_it_waits():
    # The main thread waits on a bell once nothing else of it can be seen: its frame says so.
    while True:
        frame = sys._current_frames()[threading.main_thread().ident]
        if frame.f_code.co_name == "wait" and frame.f_code.co_filename.endswith("waiting.py"):
            break
    signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)

url, what = sys.argv[1:]
calls = {
    "receive": lambda client: client.receive(),
    "for": lambda client: list(client),
    "wait_for": lambda client: client.wait_for(State.FAILED),
    "subscribe": lambda client: next(client.subscribe(where=lambda message: False)),
}
try:
    with blocking.join(url) as client:
        threading.Thread(target=interrupt_when_it_waits, daemon=True).start()
        calls[what](client)
except KeyboardInterrupt:
    thread = current_registry().host_thread
    if thread is not None:
        thread.join(5)
    print("interrupted", len(current_registry()))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
@pytest.mark.parametrize("what", ["receive", "for", "wait_for", "subscribe"])
async def test_ctrl_c_ends_a_wait_at_once_and_leaves_nothing(server: FaultyServer, what: str) -> None:
    assert await run_python("-W", "error", "-c", INTERRUPTED, server.url, what) == (0, "interrupted 0\n")
    assert server.counts.close_codes == {1000: 1}


JOINING = """
import signal, sys
from onesocket import blocking

try:
    blocking.join(sys.argv[1])
except KeyboardInterrupt:
    print("interrupted")
"""


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
async def test_ctrl_c_while_joining_winds_the_attempt_down(server: FaultyServer) -> None:
    server.faults = Fault.slow_upgrade(0.3)
    async with running_python("-c", JOINING, server.url) as process:
        await server.wait_until(lambda counts: counts.handshakes == 1)
        process.send_signal(2)
        output, _ = await asyncio.wait_for(process.communicate(), 20)
        assert (process.returncode, output) == (0, b"interrupted\n")


async def test_a_program_that_just_ends_closes_in_order(server: FaultyServer) -> None:
    script = "import sys; from onesocket import blocking; client = blocking.join(sys.argv[1]); client.send('x')"
    assert await run_python("-W", "error", "-c", script, server.url) == (0, "")
    await server.wait_until(lambda counts: counts.sockets_now == 0)
    assert server.counts.close_codes == {1000: 1}
