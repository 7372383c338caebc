"""The public verbs in every state, on virtual time and the in-memory transport; the *server's* side counts."""

import asyncio
import copy
import pickle
from typing import Any, get_args

import pytest

from onesocket import Client, Gap, Json, Login, OnesocketError, Outcome, ReconnectPolicy, State
from onesocket.client import GapReason, OutboxLimits
from onesocket.client._runner import Runner
from onesocket.errors import (
    ClientClosed,
    ClosedByPeer,
    ConnectAborted,
    ConnectionRefused,
    ConnectionReset,
    InvalidOption,
    LoginRefused,
    ManuallyDisconnected,
    OpenTimeout,
    PingTimeout,
    RetriesExhausted,
    ServerBusy,
    TokenFailed,
    WaitTimeout,
)
from onesocket.lifecycle import _effects as fx
from onesocket.transports._memory import MemoryPeer, MemoryServer
from tests.unit.virtual_time import make_client, on_virtual_time, settle, state_of


@on_virtual_time
async def test_a_thousand_callers_share_one_attempt() -> None:
    server = MemoryServer(latency=0.1)
    client = make_client(server)
    outcomes = await asyncio.gather(*(client.connect() for _ in range(1000)))
    assert outcomes.count(Outcome.OPENED) == 1
    assert outcomes.count(Outcome.JOINED) == 999
    assert len(server.peers) == 1
    assert await client.connect() is Outcome.ALREADY_CONNECTED
    await client.aclose()
    assert (server.open_now, server.most_open) == (0, 1)


@on_virtual_time
async def test_everybody_gets_the_same_typed_error_but_not_the_same_object() -> None:
    server = MemoryServer(on_dial=lambda peer: peer.refuse(ConnectionRefused("nobody home")), latency=0.1)
    client = make_client(server)
    results = await asyncio.gather(*(client.connect() for _ in range(50)), return_exceptions=True)
    assert {type(result) for result in results} == {ConnectionRefused}
    assert {str(result) for result in results} == {"nobody home"}
    assert len({id(result) for result in results}) == 50
    assert state_of(client) is State.FAILED
    assert len(server.peers) == 1
    await client.aclose()


@on_virtual_time
async def test_the_answer_to_the_upgrade_is_known_from_the_upgrade_to_the_end() -> None:
    server = MemoryServer(on_dial=lambda peer: peer.accept("chat", {"X-Shard": "7"}), latency=0.1)
    client = make_client(server)
    assert (client.handshake, client.status.subprotocol) == (None, None)
    for _ in range(2):
        await client.reconnect()
        assert client.handshake is not None
        assert (client.handshake.header("X-Shard"), client.status.subprotocol) == ("7", "chat")
        assert client.status.handshake is client.handshake
        server.peers[-1].drop()
        await client.wait_for(State.BACKING_OFF, State.CONNECTING)
        assert client.handshake is None
    await client.aclose()


@on_virtual_time
async def test_first_connect_is_one_attempt_without_retries() -> None:
    server = MemoryServer(on_dial=lambda peer: peer.refuse(ConnectionRefused("nobody home")))
    client = make_client(server)
    with pytest.raises(ConnectionRefused):
        await client.connect()
    await asyncio.sleep(3600)
    assert len(server.peers) == 1
    assert client.status.last_error is not None
    await client.aclose()


@on_virtual_time
async def test_connect_after_a_failure_makes_one_new_attempt() -> None:
    answers = iter([lambda peer: peer.refuse(ConnectionRefused("nobody home")), MemoryPeer.accept])
    server = MemoryServer(
        on_dial=lambda peer: next(answers)(peer),  # noqa: PLW0108 - a new one for each dial
        latency=0.1,
    )
    client = make_client(server)
    with pytest.raises(ConnectionRefused):
        await client.connect()
    outcomes = await asyncio.gather(*(client.connect() for _ in range(10)))
    assert outcomes.count(Outcome.OPENED) == 1
    assert len(server.peers) == 2
    assert client.status.last_error is None
    await client.aclose()


@on_virtual_time
async def test_one_callers_cancellation_hurts_nobody_else() -> None:
    server = MemoryServer(latency=1)
    client = make_client(server)
    tasks = [asyncio.create_task(client.connect()) for _ in range(10)]
    await asyncio.sleep(0.5)
    for task in tasks[:9]:
        task.cancel()
    assert await tasks[9] is Outcome.JOINED
    assert len(server.peers) == 1
    await client.aclose()


@on_virtual_time
async def test_the_last_callers_cancellation_winds_the_attempt_down_with_1000() -> None:
    server = MemoryServer(latency=1)
    client = make_client(server)
    tasks = [asyncio.create_task(client.connect()) for _ in range(10)]
    await asyncio.sleep(0.5)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert state_of(client) is State.CLOSING
    assert await client.wait_for(State.DISCONNECTED, timeout=20) is State.DISCONNECTED
    assert server.open_now == 0
    assert server.peers[0].close_code == 1000, "the upgrade was awaited and the socket closed in order"
    await client.aclose()


@on_virtual_time
async def test_an_attempt_nobody_waits_for_is_not_wound_down_by_a_cancelled_caller() -> None:
    server = MemoryServer(latency=1)
    client = make_client(server)
    assert client.connect_nowait() is Outcome.OPENED
    assert client.connect_nowait() is Outcome.JOINED
    task = asyncio.create_task(client.connect())
    await asyncio.sleep(0.5)
    task.cancel()
    await client.wait_for(State.CONNECTED, timeout=10)
    assert client.connect_nowait() is Outcome.ALREADY_CONNECTED
    await client.aclose()


@on_virtual_time
async def test_disconnect_while_connecting_aborts_the_callers_at_once_and_leaves_nothing_open() -> None:
    server = MemoryServer(latency=2)
    client = make_client(server)
    task = asyncio.create_task(client.connect())
    await asyncio.sleep(1)
    leaving = asyncio.create_task(client.disconnect())
    await settle()
    assert task.done()
    with pytest.raises(ConnectAborted):
        await task
    await leaving
    assert state_of(client) is State.STOPPED
    assert server.open_now == 0
    assert server.peers[0].close_code == 1000
    await client.aclose()


@on_virtual_time
async def test_disconnect_holds_until_reconnect() -> None:
    server = MemoryServer()
    client = make_client(server)
    await client.connect()
    await asyncio.gather(*(client.disconnect() for _ in range(10)))
    await client.disconnect()
    with pytest.raises(ManuallyDisconnected, match="reconnect"):
        await client.connect()
    with pytest.raises(ManuallyDisconnected):
        client.connect_nowait()
    outcomes = await asyncio.gather(*(client.reconnect() for _ in range(10)))
    assert outcomes.count(Outcome.OPENED) == 1
    assert len(server.peers) == 2
    assert server.most_open == 1
    await client.aclose()


@on_virtual_time
async def test_connect_while_closing_towards_stopped_is_refused_and_reconnect_turns_it_round() -> None:
    server = MemoryServer(latency=0.5)
    client = make_client(server)
    await client.connect()
    leaving = asyncio.create_task(client.disconnect())
    await settle()
    assert state_of(client) is State.CLOSING
    with pytest.raises(ManuallyDisconnected):
        await client.connect()
    assert await client.reconnect() is Outcome.OPENED
    await leaving
    assert state_of(client) is State.CONNECTED
    assert server.most_open == 1
    await client.aclose()


@on_virtual_time
async def test_reconnect_closes_the_old_connection_before_it_dials_the_new_one() -> None:
    server = MemoryServer(latency=0.1)
    client = make_client(server)
    await client.connect()
    outcomes = await asyncio.gather(*(client.reconnect() for _ in range(5)), *(client.connect() for _ in range(5)))
    assert outcomes.count(Outcome.OPENED) == 1
    assert len(server.peers) == 2
    assert server.most_open == 1
    assert server.peers[0].close_code == 1000
    await client.aclose()


@on_virtual_time
async def test_a_cancelled_reconnect_ends_disconnected() -> None:
    server = MemoryServer(latency=1)
    client = make_client(server)
    await client.connect()
    task = asyncio.create_task(client.reconnect())
    await settle()
    task.cancel()
    await client.wait_for(State.DISCONNECTED, timeout=20)
    assert server.open_now == 0
    await client.aclose()


@on_virtual_time
async def test_aclose_is_final_and_idempotent() -> None:
    server = MemoryServer()
    client = make_client(server)
    waiting = asyncio.create_task(client.connect())
    await settle(2)
    await asyncio.gather(client.aclose(), client.aclose())
    with pytest.raises(ClientClosed):
        await waiting
    await client.aclose()
    await client.disconnect()
    with pytest.raises(ClientClosed):
        await client.connect()
    with pytest.raises(ClientClosed):
        await client.reconnect()
    with pytest.raises(ClientClosed):
        await client.send("too late")
    assert state_of(client) is State.CLOSED
    assert server.open_now == 0


@on_virtual_time
async def test_async_with_connects_and_closes() -> None:
    server = MemoryServer()
    async with make_client(server) as client:
        assert client.status.is_connected
    assert state_of(client) is State.CLOSED
    refusing = MemoryServer(on_dial=lambda peer: peer.refuse(ConnectionRefused("nobody home")))
    failing = make_client(refusing)
    with pytest.raises(ConnectionRefused):
        async with failing:
            pytest.fail("not reached")
    assert failing.state is State.CLOSED


@on_virtual_time
async def test_an_upgrade_that_is_never_answered_ends_at_open_timeout() -> None:
    server = MemoryServer(on_dial=lambda _peer: None)
    client = make_client(server, open_timeout=7)
    loop = asyncio.get_running_loop()
    before = loop.time()
    with pytest.raises(OpenTimeout, match=r"7 s.*waiting for the answer to the upgrade") as caught:
        await client.connect()
    assert loop.time() - before == pytest.approx(7)
    assert isinstance(caught.value, TimeoutError)
    assert caught.value.retryable
    assert server.open_now == 0
    await client.aclose()


@on_virtual_time
async def test_a_close_that_is_never_acknowledged_ends_at_close_timeout() -> None:
    server = MemoryServer()
    client = make_client(server, close_timeout=3)
    await client.connect()
    server.peers[0].answers_close = False
    loop = asyncio.get_running_loop()
    before = loop.time()
    await client.disconnect()
    assert loop.time() - before == pytest.approx(3)
    assert server.open_now == 0
    await client.aclose()


@on_virtual_time
async def test_a_lost_connection_is_resumed_at_once_and_announced_by_a_gap() -> None:
    server = MemoryServer()
    client = make_client(server)
    stream = client.subscribe()
    await client.connect()
    server.peers[0].send("one")
    await settle()
    server.peers[0].drop()
    await client.wait_for(State.BACKING_OFF, timeout=1)
    await client.wait_for(State.CONNECTED, timeout=1)
    server.peers[1].send("two")
    assert await anext(stream) == "one"
    gap = await anext(stream)
    assert isinstance(gap, Gap)
    assert gap.reason is GapReason.RECONNECTED
    assert gap.epoch == 2
    assert isinstance(gap.error, ConnectionReset)
    assert await anext(stream) == "two"
    assert client.stats.reconnects == 1
    await client.aclose()


@on_virtual_time
async def test_an_accept_then_close_server_is_not_hammered() -> None:
    def accept_then_close(peer: MemoryPeer) -> None:
        peer.accept()
        peer.close(1011, "not now")

    server = MemoryServer(on_dial=accept_then_close)
    client = make_client(server)
    await client.connect()
    await asyncio.sleep(3)
    assert len(server.peers) <= 12
    await asyncio.sleep(3600)
    assert len(server.peers) < 300
    assert server.most_open == 1
    await client.aclose()


@on_virtual_time
async def test_connect_does_not_wait_out_the_back_off() -> None:
    server = MemoryServer()
    client = make_client(server, reconnect=ReconnectPolicy(initial=1000, cap=1000))
    await client.connect()
    server.on_dial = lambda peer: peer.refuse(ConnectionRefused("nobody home"))
    server.peers[0].drop()
    await asyncio.sleep(0.001)
    await client.wait_for(State.BACKING_OFF, timeout=1)
    assert client.status.retry_in is not None
    server.on_dial = None
    outcomes = await asyncio.gather(*(client.connect() for _ in range(10)))
    assert outcomes.count(Outcome.OPENED) == 1
    assert outcomes.count(Outcome.JOINED) == 9
    await client.aclose()


@on_virtual_time
async def test_a_fatal_close_is_not_retried_and_readers_are_told() -> None:
    server = MemoryServer()
    client = make_client(server)
    stream = client.subscribe()
    await client.connect()
    server.peers[0].close(1008, "go away")
    with pytest.raises(ClosedByPeer, match=r"1008.*go away") as caught:
        await anext(stream)
    assert caught.value.code == 1008
    assert not caught.value.retryable
    await asyncio.sleep(3600)
    assert state_of(client) is State.FAILED
    assert len(server.peers) == 1
    await client.aclose()
    with pytest.raises(StopAsyncIteration):
        await anext(stream)


@on_virtual_time
async def test_reconnect_none_turns_resuming_off() -> None:
    server = MemoryServer()
    client = make_client(server, reconnect=None)
    await client.connect()
    server.peers[0].drop()
    await client.wait_for(State.FAILED, timeout=1)
    assert isinstance(client.status.last_error, ConnectionReset)
    await client.aclose()


@on_virtual_time
async def test_giving_up_after_max_attempts_names_the_last_failure() -> None:
    server = MemoryServer()
    client = make_client(server, reconnect=ReconnectPolicy(max_attempts=3))
    await client.connect()
    server.on_dial = lambda peer: peer.refuse(ConnectionRefused("nobody home"))
    server.peers[0].drop()
    await client.wait_for(State.FAILED, timeout=3600)
    error = client.status.last_error
    assert isinstance(error, RetriesExhausted)
    assert isinstance(error.__cause__, ConnectionRefused)
    assert len(server.peers) == 3
    await client.aclose()


@on_virtual_time
async def test_a_busy_service_is_retried_slowly_and_not_before_its_date() -> None:
    server = MemoryServer()
    client = make_client(server)
    await client.connect()
    server.on_dial = lambda peer: peer.refuse(ServerBusy("limit exceeded", retry_after=120))
    server.peers[0].drop()
    await asyncio.sleep(119)
    assert len(server.peers) == 2
    server.on_dial = None
    await client.wait_for(State.CONNECTED, timeout=200)
    assert len(server.peers) == 3
    await client.aclose()


@on_virtual_time
async def test_a_zombie_connection_is_found_within_interval_plus_timeout_and_resumed() -> None:
    server = MemoryServer()
    client = make_client(server, ping_interval=20, ping_timeout=10)
    await client.connect()
    await asyncio.sleep(25)
    assert client.status.rtt is not None
    server.peers[0].go_silent()
    loop = asyncio.get_running_loop()
    before = loop.time()
    changes = client.changes()
    async for change in changes:
        if change.new is State.CONNECTED:
            break
        if change.cause == "ConnectionFailing":
            assert isinstance(change.error, PingTimeout)
            assert loop.time() - before <= 30
    assert server.most_open == 1
    await client.aclose()


@on_virtual_time
async def test_a_message_that_comes_slowly_is_a_sign_of_life_with_each_of_its_bytes() -> None:
    server = MemoryServer()
    client = make_client(server, ping_interval=5, ping_timeout=3)
    await client.connect()
    server.peers[0].answers_ping = False
    for _ in range(100):
        await asyncio.sleep(2)
        server.peers[0].send_part()
    assert (state_of(client), len(server.peers)) == (State.CONNECTED, 1)
    await client.wait_for(State.CLOSING, State.BACKING_OFF, timeout=10)
    await client.aclose()


@on_virtual_time
async def test_the_zombie_deadline_holds_when_the_timeout_is_the_longer_one() -> None:
    server = MemoryServer()
    client = make_client(server, ping_interval=5, ping_timeout=20)
    await client.connect()
    loop = asyncio.get_running_loop()
    await asyncio.sleep(5.5)  # virtual: just after the first PING was answered
    server.peers[0].go_silent()
    before = loop.time()
    await client.wait_for(State.CLOSING, State.BACKING_OFF, timeout=60)
    assert loop.time() - before <= 25
    await client.aclose()


@on_virtual_time
async def test_changes_are_told_in_order_and_none_is_lost() -> None:
    server = MemoryServer()
    client = make_client(server)
    changes = client.changes()
    await client.connect()
    await client.reconnect()
    await client.disconnect()
    await client.aclose()
    seen = [(change.old, change.new, change.epoch, change.cause) async for change in changes]
    assert seen == [
        (State.DISCONNECTED, State.CONNECTING, 1, "Connect"),
        (State.CONNECTING, State.CONNECTED, 1, "ProtocolReady"),
        (State.CONNECTED, State.CLOSING, 1, "Reconnect"),
        (State.CLOSING, State.CONNECTING, 2, "ConnectionGone"),
        (State.CONNECTING, State.CONNECTED, 2, "ProtocolReady"),
        (State.CONNECTED, State.CLOSING, 2, "Disconnect"),
        (State.CLOSING, State.STOPPED, 2, "ConnectionGone"),
        (State.STOPPED, State.CLOSED, 2, "Close"),
    ]


@on_virtual_time
async def test_wait_for_ends_by_time_out_or_when_it_can_not_come_true() -> None:
    client = make_client(MemoryServer())
    with pytest.raises(WaitTimeout, match="CONNECTED within 5 s"):
        await client.wait_for(State.CONNECTED, timeout=5)
    waiting = asyncio.create_task(client.wait_for(State.CONNECTED))
    await settle()
    await client.aclose()
    with pytest.raises(ClientClosed):
        await waiting
    assert await client.wait_for(State.CLOSED) is State.CLOSED


@on_virtual_time
async def test_watchers_that_raise_or_ask_for_more_do_no_harm() -> None:
    server = MemoryServer()
    problems: list[BaseException] = []
    client = make_client(server, on_error=problems.append)

    def meddle(change: Any) -> None:
        if change.new is State.CONNECTED:
            assert client.connect_nowait() is Outcome.ALREADY_CONNECTED
            raise ValueError("boo")

    client.on_change(meddle)
    await client.connect()
    await settle()
    assert [type(problem) for problem in problems] == [ValueError]
    client.off(meddle)
    await client.reconnect()
    await settle()
    assert len(problems) == 1
    assert client.stats.callback_errors == 1
    await client.aclose()


@on_virtual_time
async def test_the_token_is_asked_for_anew_for_every_attempt() -> None:
    tokens = iter(["first", "second", "third"])

    async def token() -> str:
        await asyncio.sleep(1)
        return next(tokens)

    server = MemoryServer()
    client = make_client(server, token=token)
    await client.connect()
    server.peers[0].drop()
    await client.wait_for(State.CONNECTING, timeout=1)
    await client.wait_for(State.CONNECTED, timeout=5)
    headers = [dict(peer.request.headers) for peer in server.peers]
    assert headers == [{"Authorization": "Bearer first"}, {"Authorization": "Bearer second"}]
    await client.aclose()


@on_virtual_time
async def test_a_token_source_that_hangs_raises_or_talks_nonsense_is_a_typed_error() -> None:
    async def hang() -> str:
        await asyncio.Event().wait()
        return ""

    def fail() -> str:
        raise ValueError("secret-in-text")

    server = MemoryServer()
    for source, error, text in (
        (hang, OpenTimeout, "waiting for the token"),
        (fail, TokenFailed, "raised ValueError"),
        (lambda: 42, TokenFailed, "int"),
        (lambda: "two\r\nlines", TokenFailed, "line breaks"),
    ):
        client = make_client(server, token=source, open_timeout=5)
        with pytest.raises(error, match=text) as caught:
            await client.connect()
        assert "secret" not in str(caught.value)
        assert state_of(client) is State.FAILED
        await client.aclose()
    assert server.peers == []


@on_virtual_time
async def test_disconnect_while_the_token_is_awaited_opens_nothing() -> None:
    cancelled = asyncio.Event()

    async def hang() -> str:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()
        return ""

    server = MemoryServer()
    client = make_client(server, token=hang)
    task = asyncio.create_task(client.connect())
    await settle()
    await client.disconnect()
    with pytest.raises(ConnectAborted):
        await task
    assert cancelled.is_set()
    assert server.peers == []
    await client.aclose()


@on_virtual_time
async def test_a_token_source_that_refuses_to_be_cancelled_can_not_hang_disconnect() -> None:
    finish = asyncio.Event()

    async def stubborn() -> str:
        while not finish.is_set():
            try:
                await finish.wait()
            except asyncio.CancelledError:
                continue
        return "late"

    server = MemoryServer()
    client = make_client(server, token=stubborn)
    client.connect_nowait()
    await settle()
    async with asyncio.timeout(3):
        await client.disconnect()
    finish.set()
    await settle()
    assert server.peers == [], "a token that comes too late dials nothing"
    await client.aclose()


@on_virtual_time
async def test_the_login_is_part_of_connecting() -> None:
    login = Login(
        request=lambda token: {"op": "auth", "key": token},
        ready=lambda message: bool(message.get("ok")),
        refused=lambda message: message.get("error"),
    )
    server = MemoryServer()
    client = make_client(server, protocol=Json(login=login, event="type"), token="s3cret", open_timeout=5)
    task = asyncio.create_task(client.connect())
    await settle()
    assert state_of(client) is State.CONNECTING
    peer = server.peers[0]
    assert peer.request.headers == ()
    assert peer.received == ['{"op":"auth","key":"s3cret"}']
    peer.send('{"ok": true}')
    peer.send('{"type": "hello"}')
    stream = client.subscribe("hello")
    assert await task is Outcome.OPENED
    assert await anext(stream) == {"type": "hello"}
    refusing = asyncio.create_task(client.reconnect())
    await settle()
    server.peers[1].send('{"error": "wrong key"}')
    with pytest.raises(LoginRefused, match="wrong key"):
        await refusing
    assert state_of(client) is State.FAILED
    assert server.open_now == 0
    silent = asyncio.create_task(client.connect())
    with pytest.raises(OpenTimeout, match="logging in"):
        await silent
    assert server.open_now == 0
    assert "s3cret" not in repr(client) + repr(client.status)
    await client.aclose()


@on_virtual_time
async def test_disconnect_in_the_same_turn_as_connect_nowait_takes_no_time() -> None:
    server = MemoryServer()
    client = make_client(server)
    client.connect_nowait()
    before = asyncio.get_running_loop().time()
    await client.disconnect()
    assert asyncio.get_running_loop().time() == before
    assert server.peers == []
    await client.aclose()


@on_virtual_time
async def test_a_transport_or_protocol_that_can_not_dial_is_a_typed_error_at_once() -> None:
    class Broken:
        name = "broken"

        def dial(self, *_args: Any) -> Any:
            raise ValueError("boom")

    broken: Any = Broken()
    client = Client("ws://x.test/", transport=broken)
    with pytest.raises(OnesocketError, match="could not be made: ValueError"):
        await client.connect()
    await client.aclose()


@on_virtual_time
async def test_a_cancelled_token_source_does_not_end_the_resumption() -> None:
    cancelled = asyncio.get_running_loop().create_future()
    cancelled.cancel()
    asked = 0

    async def token() -> str:
        nonlocal asked
        asked += 1
        if asked == 2:
            await cancelled
        return "token"

    server = MemoryServer()
    client = make_client(server, token=token)
    await client.connect()
    server.peers[0].drop()
    await asyncio.sleep(10)
    assert client.state is State.CONNECTED
    assert asked == 3
    await client.aclose()


@pytest.mark.parametrize(
    "options",
    [
        {"reconnect": True},
        {"reconnect": 5},
        {"outbox": 1000},
        {"transport": 5},
        {"protocol": Json},
        {"protocol": "json"},
        {"on_error": 5},
        {"headers": 5},
        {"headers": "A: b"},
        {"headers": [("a",)]},
        {"subprotocols": 5},
        {"subprotocols": ["a", "a"]},
    ],
)
def test_options_of_the_wrong_kind_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(InvalidOption, match=next(iter(options)).removesuffix("s")):
        Client("ws://x.test/", **options)


@on_virtual_time
async def test_arguments_of_the_wrong_kind_are_refused() -> None:
    client = make_client(MemoryServer())
    odd: Any = 5

    async def coroutine(_change: Any) -> None: ...

    for call in (
        lambda: client.subscribe(odd),
        lambda: client.subscribe(where=odd),
        lambda: client.subscribe(limit=odd + 0.5),
        lambda: client.on("x", odd),
        lambda: client.on(odd),
        lambda: client.subscribe(where=coroutine),  # type: ignore[arg-type]
        lambda: client.on(print, where=odd),
        lambda: client.on(coroutine, where=coroutine),  # type: ignore[arg-type]
        lambda: client.on(print, limit=-3),
        lambda: client.on(coroutine, limit=odd + 0.5),
        lambda: client.on("x", print, overflow="nonsense"),
        lambda: client.on("x", overflow="nonsense")(print),
        lambda: make_client(MemoryServer(), on_error=odd),
        lambda: make_client(MemoryServer(), on_error=coroutine),
        lambda: client.on_change(odd),
        lambda: client.on_change(coroutine),
        lambda: OutboxLimits(messages=odd + 0.5),
        lambda: OutboxLimits(age=str(odd)),  # type: ignore[arg-type]
        lambda: ReconnectPolicy(initial="a"),  # type: ignore[arg-type]
        lambda: ReconnectPolicy(max_attempts=1.5),  # type: ignore[arg-type]
        lambda: Json(subprotocols="json"),
    ):
        with pytest.raises(InvalidOption):
            call()
    with pytest.raises(InvalidOption, match="at least one state"):
        await client.wait_for()
    await client.aclose()


def test_errors_can_be_copied_and_pickled() -> None:
    for error in (
        ClosedByPeer("gone", code=1001, reason="bye", retryable=True),
        OpenTimeout("late"),
        ServerBusy("busy", retry_after=3),
    ):
        for twin in (pickle.loads(pickle.dumps(error)), copy.copy(error), error.copy()):  # noqa: S301 - our own
            assert type(twin) is type(error)
            assert (str(twin), twin.__dict__) == (str(error), error.__dict__)


def test_each_effect_is_performed_or_answers_a_call() -> None:
    assert set(get_args(fx.Effect)) == {*Runner._performers, *fx.ANSWERS}


@on_virtual_time
async def test_the_parts_of_a_client_have_few_enough_attributes_to_share_the_keys_of_their_dictionaries() -> None:
    async with make_client(MemoryServer()) as client:
        runner = client.internals.runner
        assert len(vars(runner)) <= 29, "more take 1.3 KB for each client"
        assert len(vars(runner.machine)) <= 29, "more take 1.3 KB for each client"
