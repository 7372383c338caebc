"""`onesocket.sharing`: one connection for every join of a key, counted by the server."""

import asyncio
import gc
import operator
import threading
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from typing import Any, ClassVar

import pytest

from onesocket import Client, Gap, Json, Outcome, Raw, ReconnectPolicy, State
from onesocket.errors import (
    ClientClosed,
    ConnectAborted,
    DeliveryUnknown,
    EncodeError,
    HandshakeRejected,
    InvalidOption,
    ManuallyDisconnected,
    OpenTimeout,
    OptionConflict,
    SlowConsumer,
    WaitTimeout,
    WrongEventLoop,
)
from onesocket.sharing._join import join
from onesocket.sharing._registry import current_registry, offer_loop
from onesocket.testing import Fault, FaultyServer
from onesocket.wire._handshake import Data

FAST = ReconnectPolicy(initial=0.01, cap=0.01)


@pytest.fixture(autouse=True)
def _nothing_is_left() -> Iterator[None]:
    yield
    for thread in threading.enumerate():
        if thread.name.startswith("onesocket"):
            thread.join(5)
    assert current_registry().host_thread is None
    assert len(current_registry()) == 0


@pytest.fixture(params=["loop", "process"])
def scope(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture
async def server() -> AsyncIterator[FaultyServer]:
    async with FaultyServer() as server:
        yield server
        await server.wait_until(lambda counts: counts.sockets_now == 0)
        assert server.counts.most_sockets <= 1
        assert server.counts.unclean_closes == server.counts.premature_closes == 0


async def test_a_join_that_was_not_awaited_says_so(scope: Any) -> None:
    request: Any = join("ws://127.0.0.1:1/", scope=scope)
    with pytest.raises(AttributeError, match=r"no attribute 'send', a client has: `async with join\(…\) as client:`"):
        request.send("x")
    with pytest.raises(AttributeError, match=r"no attribute 'other'$"):
        _ = request.other


async def test_a_hundred_joins_are_one_handshake(server: FaultyServer, scope: Any) -> None:
    server.faults = Fault.slow_upgrade(0.05)
    inside = asyncio.Barrier(101)
    leave = asyncio.Event()

    async def one() -> None:
        async with join(server.url, scope=scope) as client:
            assert client.state is State.CONNECTED
            assert await client.connect() is Outcome.ALREADY_CONNECTED
            await inside.wait()
            await leave.wait()

    tasks = [asyncio.create_task(one()) for _ in range(100)]
    await inside.wait()
    assert server.counts.handshakes == 1
    leave.set()
    await asyncio.gather(*tasks)
    assert server.counts.close_codes == {1000: 1}


async def test_the_last_one_out_closes(server: FaultyServer, scope: Any) -> None:
    first = await join(server.url, scope=scope)
    second = await join(server.url, scope=scope)
    reading = second.subscribe()
    await first.aclose()
    await first.aclose()
    await second.send("still there")
    assert await anext(reading) == "still there"
    with pytest.raises(ClientClosed):
        await first.send("no more")
    await second.aclose()
    assert server.counts.open_now == 0
    with pytest.raises(StopAsyncIteration):
        await anext(reading)


async def test_closing_a_client_ends_its_own_alone(server: FaultyServer, scope: Any) -> None:
    async with join(server.url, scope=scope) as stays:
        leaver = await join(server.url, scope=scope)
        mine, theirs = leaver.subscribe(), stays.subscribe()
        changes = leaver.changes()
        await leaver.aclose()
        assert [change.new async for change in changes] == [State.CLOSED]
        assert [message async for message in mine] == []
        assert leaver.state is State.CLOSED
        await stays.send("x")
        assert await anext(theirs) == "x"
        with pytest.raises(ClientClosed):
            leaver.subscribe()


async def test_a_reader_that_waits_ends_with_its_client(server: FaultyServer, scope: Any) -> None:
    async with join(server.url, scope=scope) as other:
        client = await join(server.url, scope=scope)
        stream = client.subscribe()
        waiting = asyncio.create_task(anext(stream, "the end"))
        while stream._queue.waiter is None:  # noqa: ASYNC110 - there is no event for that
            await asyncio.sleep(0)
        await client.aclose()
        async with asyncio.timeout(5):
            assert await waiting == "the end"
        await other.send("goes on")


async def test_one_who_comes_while_it_lingers_keeps_it(server: FaultyServer, scope: Any) -> None:
    async with join(server.url, scope=scope, linger=30):
        pass
    assert server.counts.open_now == 1
    async with join(server.url, scope=scope) as client:
        assert client.status.epoch == 1
    assert server.counts.handshakes == 1
    # The longest linger counts: it's still there. The registry closes it at the end, as an exiting program does.
    assert len(current_registry()) == 1
    for shared in list(current_registry()._shared.values()):
        await asyncio.to_thread(_close_lingering, shared)


def _close_lingering(shared: Any) -> None:
    shared.linger = 0
    shared.host_loop.loop_inbox.post(shared._on_linger_timeout)
    shared.gone.result(5)


async def test_it_lingers_no_longer_than_it_should(server: FaultyServer, scope: Any) -> None:
    async with join(server.url, scope=scope, linger=0.02):
        pass
    await asyncio.to_thread(_wait_until_gone)
    await server.wait_until(lambda counts: counts.sockets_now == 0)
    assert len(current_registry()) == 0


def _wait_until_gone() -> None:
    for shared in list(current_registry()._shared.values()):
        shared.gone.result(5)


async def test_who_joins_during_the_close_gets_a_new_connection_after_it(server: FaultyServer, scope: Any) -> None:
    for _ in range(20):
        client = await join(server.url, scope=scope)
        _, again = await asyncio.gather(client.aclose(), join(server.url, scope=scope))
        assert again.state is State.CONNECTED
        await again.aclose()


async def test_everybody_gets_the_same_typed_error(server: FaultyServer, scope: Any) -> None:
    server.faults = [Fault.refuse(503)]
    results = await asyncio.gather(*(join(server.url, scope=scope) for _ in range(20)), return_exceptions=True)
    errors = [error for error in results if isinstance(error, HandshakeRejected)]
    assert [error.status for error in errors] == [503] * 20
    assert len({id(error) for error in errors}) == 20
    assert server.counts.handshakes == 1


async def test_one_cancellation_hurts_nobody(server: FaultyServer, scope: Any) -> None:
    server.faults = Fault.slow_upgrade(0.1)
    tasks = [asyncio.ensure_future(join(server.url, scope=scope)) for _ in range(5)]
    await server.wait_until(lambda counts: counts.handshakes == 1)
    for task in tasks[1:]:
        task.cancel()
    client = await tasks[0]
    assert client.state is State.CONNECTED
    assert server.counts.handshakes == 1
    await client.aclose()
    await asyncio.gather(*tasks[1:], return_exceptions=True)


async def test_with_the_last_one_cancelled_it_is_wound_down(server: FaultyServer, scope: Any) -> None:
    server.faults = Fault.slow_upgrade(0.1)
    tasks = [asyncio.ensure_future(join(server.url, scope=scope)) for _ in range(5)]
    await server.wait_until(lambda counts: counts.handshakes == 1)
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    assert all(task.cancelled() for task in tasks)
    await server.wait_until(lambda counts: counts.sockets_now == 0)
    assert server.counts.close_codes == {1000: 1}


async def test_who_has_another_password_is_not_let_in_under_the_same_name(server: FaultyServer) -> None:
    alice, bob = (server.url.replace("ws://", f"ws://{info}@") for info in ("alice:s3cret-1", "bob:s3cret-2"))
    async with join(alice, key="k"):
        with pytest.raises(OptionConflict, match="user name or password") as caught:
            await join(bob, key="k")
        assert "s3cret" not in str(caught.value)
        async with join(alice, key="k"), join(server.url, key="k"):  # what is left out conflicts with nothing
            assert server.counts.handshakes == 1


async def test_another_scope_is_a_conflict_that_leaving_it_out_does_not_solve(server: FaultyServer) -> None:
    async with join(server.url):
        with pytest.raises(OptionConflict, match="scope=") as caught:
            await join(server.url, scope="host")
        assert "leave scope= out" not in str(caught.value)


@pytest.mark.parametrize(
    ("first", "second", "option"),
    [
        ({}, {"headers": {"X-A": "1"}}, "headers"),
        ({"headers": {"X-A": "1"}}, {"headers": {"X-A": "2"}}, "headers"),
        ({}, {"protocol": Json()}, "protocol"),
        ({"protocol": Json()}, {"protocol": Json(type=int)}, "protocol"),
        ({"protocol": Json(event="a")}, {"protocol": Json(event="b")}, "protocol"),
        ({}, {"open_timeout": 3.0}, "open_timeout"),
        ({}, {"reconnect": None}, "reconnect"),
        ({"key": "k", "token": "s3cret-1"}, {"key": "k", "token": "s3cret-2"}, "token"),
    ],
)
async def test_conflicting_options_are_named(
    server: FaultyServer, first: dict[str, Any], second: dict[str, Any], option: str
) -> None:
    async with join(server.url, **first):
        with pytest.raises(OptionConflict, match=f"{option}=") as caught:
            await join(server.url, **second)
        assert caught.value.option == option
        assert "s3cret" not in str(caught.value)
    assert server.counts.handshakes == 1


async def test_options_that_agree_conflict_with_nothing(server: FaultyServer, scope: Any) -> None:
    event = operator.itemgetter("t")

    def dialled() -> dict[str, Any]:
        return {"protocol": Json(event=event), "headers": {"X-A": "1"}}

    def options() -> dict[str, Any]:
        return {**dialled(), "open_timeout": 7, "reconnect": ReconnectPolicy(cap=3)}

    async with join(server.url, scope=scope, **options()) as first, join(server.url, scope=scope, **dialled()):
        async with join(server.url, scope=scope, **dialled(), open_timeout=7.0, close_timeout=5.0):
            await first.send({"used": True})
        async with join(server.url, scope=scope, **options()):  # the first one's protocol has been used meanwhile
            assert server.counts.handshakes == 1


@pytest.mark.parametrize("option", ["protocol", "headers", "subprotocols", "proxy", "local_address"])
async def test_leaving_out_what_goes_into_dial_or_login_is_a_conflict(
    server: FaultyServer, scope: Any, option: str
) -> None:
    values = {
        "protocol": Json(),
        "headers": {"X-Api-Key": "s3cret"},
        "subprotocols": ["a"],
        "proxy": "http://s3cret@p/",
        "local_address": "127.0.0.4",
    }
    given: dict[str, Any] = {option: values[option]}
    orders = [({}, given)] if option == "proxy" else [({}, given), (given, {})]
    for first, second in orders:
        async with join(server.url, scope=scope, **first):
            with pytest.raises(OptionConflict, match=f"{option}=") as caught:
                await join(server.url, scope=scope, **second)
            assert caught.value.option == option
            assert "s3cret" not in str(caught.value)
    assert server.counts.handshakes == len(orders)


async def test_other_identities_have_other_connections() -> None:
    def source() -> str:
        return "s3cret"

    async with FaultyServer() as server:
        same = [
            {"token": "a"}, {"token": "b"}, {}, {"key": "a"}, {"key": "b"}, {"token": source},
        ]  # fmt: skip
        clients = [await join(server.url, **each) for each in same]  # type: ignore[arg-type]
        assert server.counts.handshakes == len(same)
        again = [await join(server.url.upper().replace("WS", "ws"), **each) for each in same]  # type: ignore[arg-type]
        assert server.counts.handshakes == len(same)
        await asyncio.gather(*(client.aclose() for client in clients + again))
        assert server.counts.open_now == 0


async def test_messages_gaps_and_changes_over_a_lost_connection(server: FaultyServer, scope: Any) -> None:
    async with join(server.url, scope=scope, reconnect=FAST) as client:
        reading = client.subscribe()
        states = client.changes()
        await server.send("before")
        assert await anext(reading) == "before"
        await server.close_connections(1012)
        assert isinstance(await anext(reading), Gap)
        assert await client.wait_for(State.CONNECTED, timeout=5) is State.CONNECTED
        await server.send("after")
        assert await anext(reading) == "after"
        seen = [(await anext(states)).new]
        while seen[-1] is not State.CONNECTED:
            seen.append((await anext(states)).new)
        assert State.CONNECTING in seen
        assert client.status.epoch == 2


async def test_disconnect_holds_for_all_until_reconnect(server: FaultyServer, scope: Any) -> None:
    async with join(server.url, scope=scope) as one, join(server.url, scope=scope) as other:
        await one.disconnect()
        assert await other.wait_for(State.STOPPED, timeout=5) is State.STOPPED
        with pytest.raises(ManuallyDisconnected):
            await other.send("x")
        with pytest.raises(ManuallyDisconnected):
            await join(server.url, scope=scope)
        assert await other.reconnect() is Outcome.OPENED
        assert await one.wait_for(State.CONNECTED, timeout=5) is State.CONNECTED
        with pytest.raises(WaitTimeout):
            await one.wait_for(State.FAILED, timeout=0.01)
    assert server.counts.handshakes == 2


async def test_sends_keep_their_order_and_report_their_fate(server: FaultyServer, scope: Any) -> None:
    async with join(server.url, scope=scope) as client:
        await asyncio.gather(*(client.send(f"{number}") for number in range(50)))
        deliveries = [client.send_nowait(f"{number}") for number in range(50, 100)]
        for delivery in deliveries:
            await delivery
        await server.wait_until(lambda counts: counts.messages_received == 100)
        assert server.received == [f"{number}" for number in range(100)]
        with pytest.raises(EncodeError):
            await client.send(object())


async def test_a_failed_send_that_nobody_awaits_is_told(
    server: FaultyServer, scope: Any, caplog: pytest.LogCaptureFixture
) -> None:
    told: asyncio.Queue[BaseException] = asyncio.Queue()
    async with join(server.url, scope=scope, on_error=told.put_nowait) as client:
        client.send_nowait(object())
        assert isinstance(await told.get(), EncodeError)
    assert "send_nowait" in caplog.text


async def test_callbacks_are_called_in_order_and_may_raise(server: FaultyServer, scope: Any) -> None:
    told: list[BaseException] = []
    got: list[str] = []
    done = asyncio.Event()

    def raises(message: object) -> None:
        raise RuntimeError(message)

    async def takes(message: Any) -> None:
        await asyncio.sleep(0)
        got.append(message)
        if len(got) == 100:
            done.set()

    async with join(server.url, scope=scope, on_error=told.append) as client:
        client.on(raises)
        client.on(takes)
        for number in range(100):
            server.connections[0].send_nowait(f"{number}")
        await done.wait()
        assert got == [f"{number}" for number in range(100)]
        client.off(takes)
        await client.send("more")
        await server.wait_until(lambda counts: counts.messages_sent == 101)
    assert len(got) == 100
    assert all(isinstance(error, RuntimeError) for error in told)
    assert told


async def test_a_callback_may_close_its_client(server: FaultyServer, scope: Any) -> None:
    closed = asyncio.Event()
    client = await join(server.url, scope=scope)

    async def close(_message: object) -> None:
        await client.aclose()
        closed.set()

    client.on(close)
    await client.send("x")
    await asyncio.wait_for(closed.wait(), 5)
    assert client.state is State.CLOSED


@pytest.mark.parametrize("overflow", ["fail", "drop_oldest", "wait"])
async def test_overflow_is_the_readers_own(server: FaultyServer, scope: Any, overflow: str) -> None:
    async with join(server.url, scope=scope) as client:
        slow = client.subscribe(limit=10, overflow=overflow)
        quick = client.subscribe()
        for number in range(1000):
            server.connections[0].send_nowait(f"{number}")
        await server.connections[0].drain()
        if overflow == "wait":
            assert [await anext(slow) for _ in range(1000)] == [f"{number}" for number in range(1000)]
        assert [await anext(quick) for _ in range(1000)] == [f"{number}" for number in range(1000)]
        if overflow == "drop_oldest":
            gap = await anext(slow)
            assert isinstance(gap, Gap)
            assert gap.missed == 990 == slow.dropped
            assert [await anext(slow) for _ in range(10)] == [f"{number}" for number in range(990, 1000)]
        if overflow == "fail":
            assert [await anext(slow) for _ in range(10)] == [f"{number}" for number in range(10)]
            with pytest.raises(SlowConsumer):
                await anext(slow)


async def test_a_reader_that_waits_holds_the_feed_until_it_goes(server: FaultyServer, scope: Any) -> None:
    async with join(server.url, scope=scope) as client, join(server.url, scope=scope) as other:
        slow = client.subscribe(limit=1, overflow="wait")
        quick = other.subscribe(limit=100_000)
        connection = server.connections[0]
        for number in range(20_000):
            connection.send_nowait(f"{number}")
        slow.close()
        for number in range(20_000):
            assert await anext(quick) == f"{number}"


async def test_events_and_predicates(server: FaultyServer, scope: Any) -> None:
    async with join(server.url, scope=scope, protocol=Json(event="t")) as client:
        named = client.subscribe("a", gaps=False)
        odd = client.subscribe(gaps=False, where=lambda message: bool(message["n"] % 2))
        for number in range(4):
            await client.send({"t": "ab"[number % 2], "n": number})
        assert [(await anext(named))["n"] for _ in range(2)] == [0, 2]
        assert [(await anext(odd))["n"] for _ in range(2)] == [1, 3]
        with pytest.raises(InvalidOption, match="subscribe_frames"):
            client.subscribe(keys=["x"])


class TextTopics(Raw):
    """Messages are "topic:text"; "+topic" subscribes, "-topic" unsubscribes."""

    name: ClassVar[str] = "topics"

    def subscribe_frames(self, keys: Iterable[str]) -> Iterable[Data]:
        return [f"+{key}" for key in sorted(keys)]

    def unsubscribe_frames(self, keys: Iterable[str]) -> Iterable[Data]:
        return [f"-{key}" for key in sorted(keys)]

    def key_of(self, message: str) -> str:
        return message.partition(":")[0]


async def test_subscriptions_are_merged_and_replayed(scope: Any) -> None:
    def options() -> dict[str, Any]:
        return {"scope": scope, "protocol": TextTopics(), "reconnect": FAST}

    def received(count: int) -> Callable[[Any], bool]:
        return lambda counts: bool(counts.messages_received == count)

    async with FaultyServer(echo=False) as server, join(server.url, **options()) as one:
        async with join(server.url, **options()) as two:
            first = one.subscribe(keys=["a", "b"])
            await server.wait_until(received(2))
            second = two.subscribe(keys=["b", "c"])
            await server.wait_until(received(3))
            assert server.received == ["+a", "+b", "+c"]
            for message in ("a:1", "b:2", "c:3", "d:4"):
                await server.send(message)
            assert [await anext(first) for _ in range(2)] == ["a:1", "b:2"]
            assert [await anext(second) for _ in range(2)] == ["b:2", "c:3"]
            await server.close_connections(1012)
            await server.wait_until(received(6))
            assert server.received[3:] == ["+a", "+b", "+c"]
            first.close()
            await server.wait_until(received(7))
            assert server.received[-1] == "-a"
        await server.wait_until(received(9))
        assert server.received[-2:] == ["-b", "-c"]


async def test_a_client_that_is_just_forgotten_is_counted_out(server: FaultyServer, scope: Any) -> None:
    client = await join(server.url, scope=scope)
    stream = client.subscribe()
    del client
    gc.collect()
    await server.send("x")
    assert await anext(stream) == "x"  # whoever reads keeps it up
    del stream
    gc.collect()
    await server.wait_until(lambda counts: counts.sockets_now == 0)
    dropping = [task for task in asyncio.all_tasks() if task.get_name() == "onesocket client dropped"]
    await asyncio.gather(*dropping)


async def test_a_client_of_ones_own_making(server: FaultyServer, scope: Any) -> None:
    made: list[Client] = []

    def make() -> Client:
        made.append(Client(server.url, protocol=Json(event="t")))
        return made[-1]

    async with (
        join(server.url, client_factory=make, scope=scope) as client,
        join(server.url, client_factory=make, scope=scope) as other,
    ):
        stream = other.subscribe("a")
        await client.send({"t": "a"})
        assert await anext(stream) == {"t": "a"}
        assert len(made) == 1
    with pytest.raises(InvalidOption, match="client_factory="):
        join(server.url, client_factory=make, headers={})
    with pytest.raises(InvalidOption, match="Client"):
        await join(server.url, client_factory=lambda: None)  # type: ignore[arg-type]


async def test_what_a_closed_client_was_sending_is_told_its_fate(server: FaultyServer, scope: Any) -> None:
    server.faults = Fault.stop_reading()
    made: list[Client] = []

    def make() -> Client:
        made.append(Client(server.url, close_timeout=0.1))
        return made[-1]

    async with join(server.url, client_factory=make, scope=scope):
        client = await join(server.url, client_factory=make, scope=scope)
        on_its_way = asyncio.ensure_future(client.send("x" * 2**24))  # more than the kernel takes
        waits = asyncio.ensure_future(client.send("waits"))
        async with asyncio.timeout(10):
            while len(made[0]._sender) < 2:  # noqa: ASYNC110 - nobody tells
                await asyncio.sleep(0)
        await client.aclose()
        with pytest.raises(DeliveryUnknown):
            await on_its_way
        with pytest.raises(ClientClosed, match="this shared client"):
            await waits
    server.kill_connections()  # it doesn't read, so it sees no end


@pytest.mark.parametrize("turns", range(4))
async def test_a_client_whose_closing_is_cancelled_leaves_all_the_same(
    server: FaultyServer, scope: Any, turns: int
) -> None:
    client = await join(server.url, scope=scope)
    sending = asyncio.ensure_future(client.send("x"))
    await asyncio.sleep(0)
    closing = asyncio.ensure_future(client.aclose())
    for _ in range(turns):
        await asyncio.sleep(0)
    closing.cancel()
    await asyncio.wait((closing, sending))
    await server.wait_until(lambda counts: counts.sockets_now == (1 if turns == 0 else 0))
    await client.aclose()
    await server.wait_until(lambda counts: counts.sockets_now == 0)
    sending.exception()


async def test_a_client_closed_behind_our_back_is_replaced(server: FaultyServer) -> None:
    made: list[Client] = []

    def make() -> Client:
        made.append(Client(server.url))
        return made[-1]

    client = await join(server.url, client_factory=make, scope="loop")
    await made[0].aclose()
    assert await client.wait_for(State.CLOSED, timeout=5) is State.CLOSED
    async with join(server.url, client_factory=make, scope="loop") as again:
        assert again.state is State.CONNECTED
        await client.aclose()
        await again.send("x")
    assert len(made) == 2


async def test_an_offered_loop_holds_the_connection(server: FaultyServer) -> None:
    async with offer_loop():
        client = await join(server.url)
        assert current_registry().host_thread is None
        other = await asyncio.to_thread(_join_elsewhere, server.url)
        assert other == "x"
        reading = client.subscribe()
    assert client.state is State.CLOSED
    assert await anext(reading) == "x", "it came when nobody read yet"
    with pytest.raises(StopAsyncIteration):
        await anext(reading)
    assert server.counts.handshakes == 1
    await client.aclose()
    other = await asyncio.to_thread(_join_elsewhere, server.url, lambda: current_registry().host_thread)
    assert other is not None, "without an offered loop, one that is joined elsewhere first lives in the thread"
    async with join(server.url):
        assert current_registry().host_thread is None, "and one that is joined here, on the loop of the main thread"


def _join_elsewhere(url: str, look: Callable[[], object] | None = None) -> Any:
    async def there() -> Any:
        async with join(url) as client:
            stream = client.subscribe()
            await client.send("x")
            message = await anext(stream)
            return message if look is None else look()

    return asyncio.run(there())


async def _coroutine(_: object) -> None: ...


async def test_misuse_is_named(server: FaultyServer) -> None:
    wrong_options: list[tuple[dict[str, Any], str]] = [
        ({"scope": "galaxy"}, "scope"),
        ({"linger": -1}, "linger"),
        ({"nonsense": 1}, "nonsense"),
        ({"key": ""}, "key"),
        ({"on_error": 3}, "on_error"),
        ({"on_error": _coroutine}, "on_error must be a plain function"),
        ({"open_timeout": -1}, "open_timeout"),
    ]
    for options, what in wrong_options:
        with pytest.raises(InvalidOption, match=what):
            await join(server.url, **options)
    async with join(server.url) as client:
        for wrong in (lambda: client.subscribe(limit=0), lambda: client.on(3), lambda: client.subscribe(overflow="x")):  # type: ignore[call-overload]
            with pytest.raises(InvalidOption):
                wrong()
        with pytest.raises(WrongEventLoop):
            await asyncio.to_thread(client.subscribe)


async def test_a_hung_upgrade_ends_at_its_deadline(scope: Any) -> None:
    async with FaultyServer(faults=Fault.slow_upgrade(60)) as server:
        results = await asyncio.gather(
            *(join(server.url, scope=scope, open_timeout=0.1, close_timeout=0.1) for _ in range(3)),
            return_exceptions=True,
        )
        assert all(isinstance(error, OpenTimeout) and "open_timeout" in str(error) for error in results)
        assert server.counts.handshakes == 1


async def test_disconnect_aborts_those_who_are_joining(scope: Any) -> None:
    async with FaultyServer() as server, join(server.url, scope=scope) as client:
        await client.disconnect()
        server.faults = Fault.slow_upgrade(0.2)
        again = asyncio.create_task(client.reconnect())
        await server.wait_until(lambda counts: counts.handshakes == 2)
        joining = asyncio.ensure_future(join(server.url, scope=scope))
        await client.wait_for(State.CONNECTING)
        await client.disconnect()
        results = await asyncio.gather(again, joining, return_exceptions=True)
        assert all(isinstance(error, ConnectAborted | ManuallyDisconnected) for error in results)


async def test_reprs_show_no_secret() -> None:
    async with FaultyServer() as server:
        joining = join(server.url + "?token=s3cret", token="s3cret")
        client = await joining
        stream = client.subscribe()
        shown = " ".join(map(repr, (joining, client, stream, current_registry(), client.shared, joining._parameters)))
        assert "s3cret" not in shown
        assert "CONNECTED epoch=1" in repr(client)
        await client.aclose()


def test_connections_of_closed_loops_are_forgotten_with_the_next_join() -> None:
    async def forgetful(server: FaultyServer) -> None:
        await join(server.url, scope="loop")

    async def main() -> None:
        async with FaultyServer() as server:
            for _ in range(3):
                await asyncio.to_thread(asyncio.run, forgetful(server))
            async with join(server.url, scope="loop"):
                assert len(current_registry()) == 1

    asyncio.run(main())
