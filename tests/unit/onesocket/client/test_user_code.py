"""Errors raised by a program's functions are reported as theirs, and no client ends for one in silence."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

import onesocket.blocking
from onesocket import Client, Gap, Identity, Json, Login, OnesocketError, Provider, Raw, ReconnectPolicy, State, join
from onesocket.client._user_code import call_user_function
from onesocket.errors import (
    ClientClosed,
    ConnectAborted,
    EncodeError,
    InvalidOption,
    ManuallyDisconnected,
    OpenTimeout,
    ServerBusy,
    SlowConsumer,
    TokenFailed,
    UsageError,
    WrongEventLoop,
)
from onesocket.sharing.host import HostOptions
from onesocket.testing import FaultyServer, MemoryServer

from ...virtual_time import greets, make_client, on_virtual_time, settle, state_of

MISPLACED = [
    ClientClosed("another client"),
    ManuallyDisconnected("another client"),
    WrongEventLoop("another loop"),
    ConnectAborted("another connect()"),
    SlowConsumer("another stream"),
]
RETRYABLE = [
    OpenTimeout("another attempt"),
    ServerBusy("too often", retry_after=2.0),
    ValueError("s3cret"),
    TimeoutError(),
    StopIteration(),
    StopAsyncIteration(),
    GeneratorExit(),
    asyncio.CancelledError(),
    asyncio.InvalidStateError(),
]
ALL = [*MISPLACED, *RETRYABLE]


def names(error: BaseException) -> str:
    return type(error).__name__


def raising(error: BaseException, *, coroutine: bool, good: int = 0) -> Callable[[], Any]:
    """A source that gives a token so many times, and then raises."""
    left = [good]

    def give() -> str:
        if left[0] > 0:
            left[0] -= 1
            return "token"
        raise error

    async def give_later() -> str:
        await asyncio.sleep(0)
        return give()

    return give_later if coroutine else give


@pytest.mark.parametrize("coroutine", [False, True], ids=["plain", "coroutine"])
@pytest.mark.parametrize("error", ALL, ids=names)
def test_a_first_connect_fails_with_the_source_s_exception_as_the_cause(error: BaseException, coroutine: bool) -> None:
    @on_virtual_time
    async def test() -> None:
        client = make_client(MemoryServer(), token=raising(error, coroutine=coroutine))
        with pytest.raises(TokenFailed) as caught:
            await client.connect()
        assert "s3cret" not in str(caught.value)
        assert state_of(client) is State.FAILED
        cause = caught.value.__cause__
        assert cause is error or isinstance(cause, RuntimeError), "what a coroutine makes of StopIteration"
        assert caught.value.retryable is (error.retryable if isinstance(error, OnesocketError) else True)
        await client.aclose()

    test()


@pytest.mark.parametrize("error", MISPLACED, ids=names)
def test_a_connection_that_is_to_be_resumed_ends_with_it_and_its_readers_are_told(error: OnesocketError) -> None:
    @on_virtual_time
    async def test() -> None:
        server = MemoryServer()
        client = make_client(server, token=raising(error, coroutine=True, good=1))
        await client.connect()
        reading = client.subscribe()
        server.peers[0].drop()
        with pytest.raises(TokenFailed) as caught:
            await anext(reading)
        assert caught.value.__cause__ is error
        assert state_of(client) is State.FAILED
        assert isinstance(client.status.last_error, TokenFailed)
        await client.aclose()

    test()


@pytest.mark.parametrize("error", RETRYABLE, ids=names)
def test_a_connection_that_is_to_be_resumed_asks_again(error: BaseException) -> None:
    @on_virtual_time
    async def test() -> None:
        server = MemoryServer()
        failures = iter([error])

        async def token() -> str:
            if server.peers and (failure := next(failures, None)) is not None:
                raise failure
            return "token"

        client = make_client(server, token=token, reconnect=ReconnectPolicy(initial=0.1))
        await client.connect()
        reading = client.subscribe()
        server.peers[0].drop()
        assert isinstance(await anext(reading), Gap)
        assert len(server.peers) == 2
        await client.aclose()

    test()


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(3)], ids=names)
def test_what_ends_the_program_ends_it_and_leaves_no_attempt_behind(error: BaseException) -> None:
    loop = asyncio.new_event_loop()
    client = make_client(MemoryServer(), token=raising(error, coroutine=True))
    connecting = loop.create_task(client.connect())
    with pytest.raises(type(error)):
        loop.run_until_complete(connecting)
    failed = loop.run_until_complete(asyncio.wait_for(asyncio.gather(connecting, return_exceptions=True), 1))
    assert isinstance(failed[0], OnesocketError)
    loop.run_until_complete(client.aclose())
    gc.collect()
    loop.close()


def test_a_question_that_the_collector_ends_is_no_failure_of_the_source() -> None:
    asked: list[BaseException] = []

    async def never() -> str:
        try:
            await asyncio.get_running_loop().create_future()
        except GeneratorExit as error:
            asked.append(error)
            raise
        return ""

    question = call_user_function(never)
    loop = asyncio.new_event_loop()
    task = loop.create_task(settle())
    question_task = loop.create_task(question)
    loop.run_until_complete(task)
    question_task._log_destroy_pending = False  # type: ignore[attr-defined]
    loop.close()
    del question_task, task
    question.close()
    assert len(asked) == 1


async def test_its_own_cancellation_is_its_caller_s() -> None:
    question = asyncio.ensure_future(call_user_function(lambda: asyncio.sleep(60)))
    await asyncio.sleep(0)
    question.cancel()
    with pytest.raises(asyncio.CancelledError):
        await question


# --- the provider, and everybody who shares ---------------------------------------------------------------------------


@pytest.mark.parametrize("error", ALL, ids=names)
def test_an_auth_callback_s_failure_is_told_as_such(error: BaseException) -> None:
    @on_virtual_time
    async def test() -> None:
        server = MemoryServer()

        def auth() -> Identity:
            raise error

        async with Provider(lambda token: make_client(server, token=token), auth=auth) as provider:
            with pytest.raises(TokenFailed) as caught:
                await provider.connect_if_authenticated()
            assert caught.value.__cause__ is error
            assert not provider.status.is_closed

    test()


@pytest.fixture
async def server() -> AsyncIterator[FaultyServer]:
    async with FaultyServer() as server:
        yield server


@pytest.mark.parametrize("scope", ["loop", "process", "host"])
@pytest.mark.parametrize("error", [*MISPLACED, GeneratorExit(), StopIteration(), asyncio.CancelledError()], ids=names)
async def test_a_member_s_token_source_in_every_scope(
    server: FaultyServer, scope: Any, error: BaseException, tmp_path: Any
) -> None:
    more: dict[str, Any] = {"host_options": HostOptions(directory=str(tmp_path))} if scope == "host" else {}
    good = raising(error, coroutine=False, good=1)
    client = await join(server.url, scope=scope, token=good, key="it", **more)
    reading = client.subscribe()
    server.kill_connections()
    if getattr(error, "retryable", True):
        await client.wait_for(State.BACKING_OFF)
        assert not server.connections
    else:
        async with asyncio.timeout(10):
            with pytest.raises(TokenFailed, match=type(error).__name__):
                await anext(reading)
            await client.wait_for(State.FAILED)
    await client.aclose()


@pytest.mark.parametrize("coroutine", [False, True], ids=["plain", "coroutine"])
@pytest.mark.parametrize("error", ALL, ids=names)
async def test_a_token_source_of_a_thread(server: FaultyServer, error: BaseException, coroutine: bool) -> None:
    def joins() -> None:
        source = raising(error, coroutine=coroutine)
        onesocket.blocking.join(server.url, token=source, key="it", timeout=5)

    with pytest.raises(TokenFailed):
        await asyncio.to_thread(joins)


@pytest.mark.parametrize("error", [*MISPLACED, ValueError(), GeneratorExit()], ids=names)
@pytest.mark.parametrize("scope", ["loop", "process", "host"])
async def test_a_client_factory_that_raises(error: BaseException, scope: Any, tmp_path: Any) -> None:
    more: dict[str, Any] = (
        {"host_options": HostOptions(directory=str(tmp_path)), "key": "it"} if scope == "host" else {}
    )

    def build() -> Client:
        raise error

    with pytest.raises(UsageError, match=f"client_factory= raised {type(error).__name__}") as caught:
        await join("ws://127.0.0.1:1/", scope=scope, client_factory=build, **more)
    assert caught.value.__cause__ is error


async def test_a_client_factory_s_wrong_option_is_told_as_it_is() -> None:
    with pytest.raises(InvalidOption, match="open_timeout"):
        await join("ws://127.0.0.1:1/", client_factory=lambda: Client("ws://127.0.0.1:1/", open_timeout=-1))


# --- protocols --------------------------------------------------------------------------------------------------------


def faulty(method: str, error: BaseException) -> Raw:
    """A protocol whose method raises."""

    def raises(*_args: Any, **_more: Any) -> Any:
        raise error

    faulty_type: type[Raw] = type("Faulty", (Raw,), {method: raises})
    return faulty_type()


@pytest.mark.parametrize("error", [*MISPLACED, ValueError(), GeneratorExit(), asyncio.CancelledError()], ids=names)
@pytest.mark.parametrize("method", ["prepare", "opened"])
def test_a_protocol_that_fails_before_the_connection_is_ready(method: str, error: BaseException) -> None:
    @on_virtual_time
    async def test() -> None:
        client = make_client(MemoryServer(), protocol=faulty(method, error))
        with pytest.raises(OnesocketError) as caught:
            await client.connect()
        assert not isinstance(caught.value, ClientClosed)
        assert caught.value.__cause__ is error
        assert state_of(client) is State.FAILED
        await client.aclose()

    test()


@pytest.mark.parametrize("function", ["request", "ready", "refused"])
def test_a_login_function_that_fails_is_no_refusal_of_the_server(function: str) -> None:
    @on_virtual_time
    async def test() -> None:
        def fail(_: object) -> Any:
            raise KeyError("missing")

        functions: dict[str, Any] = {"ready": lambda _: True, function: fail}
        server = greets("{}")
        client = make_client(server, protocol=Json(login=Login(**functions)))
        with pytest.raises(OnesocketError, match="the protocol json failed: KeyError") as caught:
            await client.connect()
        assert type(caught.value) is OnesocketError
        assert isinstance(caught.value.__cause__, KeyError)
        assert not caught.value.retryable
        assert server.open_now == 0
        await client.aclose()

    test()


@pytest.mark.parametrize("error", [*MISPLACED, ValueError(), GeneratorExit(), asyncio.CancelledError()], ids=names)
def test_a_protocol_that_can_t_say_what_a_close_code_means(error: BaseException) -> None:
    @on_virtual_time
    async def test() -> None:
        server = MemoryServer()
        client = make_client(server, protocol=faulty("closed", error))
        await client.connect()
        reading = client.subscribe()
        server.peers[0].close(1011)
        with pytest.raises(OnesocketError, match="the protocol") as caught:
            await anext(reading)
        assert caught.value.__cause__ is error
        await client.aclose()

    test()


@pytest.mark.parametrize("error", [*MISPLACED, ValueError(), GeneratorExit(), asyncio.CancelledError()], ids=names)
@pytest.mark.parametrize("method", ["closing", "lost"])
def test_a_protocol_that_fails_at_the_end_of_a_connection(method: str, error: BaseException) -> None:
    @on_virtual_time
    async def test() -> None:
        server = MemoryServer()
        client = make_client(server, protocol=faulty(method, error))
        await client.connect()
        await client.reconnect()
        await client.aclose()
        assert server.open_now == 0

    test()


@pytest.mark.parametrize("error", [*MISPLACED, ValueError(), GeneratorExit()], ids=names)
@pytest.mark.parametrize("scope", ["client", "host"])
async def test_a_protocol_that_can_t_encode(
    server: FaultyServer, error: BaseException, scope: str, tmp_path: Any
) -> None:
    if scope == "client":
        async with Client(server.url, protocol=faulty("encode", error)) as client:
            with pytest.raises(EncodeError) as caught:
                client.send_nowait("message")
    else:
        host: Any = HostOptions(directory=str(tmp_path))
        async with join(server.url, scope="host", host_options=host, protocol=faulty("encode", error)) as shared:
            with pytest.raises(EncodeError) as caught:
                await shared.send("message")
    assert caught.value.__cause__ is error


@on_virtual_time
async def test_a_callback_that_raises_what_ends_a_generator_harms_nobody_else() -> None:
    reported: list[BaseException] = []
    server = MemoryServer()
    async with make_client(server, on_error=reported.append) as client:

        def raises(_message: Any) -> None:
            raise GeneratorExit

        client.on(raises)
        reading = client.subscribe()
        server.peers[0].send("message")
        assert await anext(reading) == "message"
        await settle()
        assert client.state is State.CONNECTED
        assert [type(error) for error in reported] == [GeneratorExit]
