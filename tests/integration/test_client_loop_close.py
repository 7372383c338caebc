"""Clients whose event loop is closed without `aclose()`."""

import asyncio
import gc
import logging
import subprocess
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest

import onesocket
from onesocket import Client, Provider
from onesocket.testing import FaultyServer, ThreadedServer
from onesocket.transports._transport import Transport
from onesocket.transports._websocket import WebSocketTransport

TURNS = 40


@pytest.fixture
def unraisable(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Exceptions that the interpreter would print."""
    printed: list[Any] = []
    monkeypatch.setattr(
        sys, "unraisablehook", lambda event: printed.append("".join(traceback.format_exception(event.exc_value)))
    )
    return printed


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with ThreadedServer(FaultyServer()) as server:
        yield server.server.url


async def slow_token() -> str:
    await asyncio.sleep(60)
    return ""


@pytest.mark.parametrize("token", [None, slow_token])
@pytest.mark.parametrize("transport", [WebSocketTransport, partial(WebSocketTransport, compression="deflate")])
def test_a_loop_that_is_closed_at_any_moment_prints_no_traceback(
    transport: Callable[[], Transport],
    token: Any,
    url: str,
    unraisable: list[Any],
    caplog: pytest.LogCaptureFixture,
) -> None:
    for turns in range(TURNS if token is None else 3):
        loop = asyncio.new_event_loop()

        async def begin(turns: int = turns) -> None:
            Client(url, transport=transport(), token=token).connect_nowait()
            for _ in range(turns):
                await asyncio.sleep(0)

        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)  # of the socket, and of the client
            warnings.filterwarnings("ignore", "coroutine .* was never awaited")
            loop.run_until_complete(begin())
            if turns == TURNS - 1:
                loop.run_until_complete(asyncio.sleep(0.1))
            loop.close()
            gc.collect()
    assert not unraisable
    logged = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert [text for text in logged if not text.startswith("Task was destroyed but it is pending!")] == []


@pytest.mark.parametrize("how", ["asyncio.run", "loop.close", "disconnected", "closed", "never used", "shared"])
def test_a_client_that_is_left_open_warns(how: str, url: str) -> None:
    async def use() -> None:
        client = Client(url)
        if how == "shared":
            client.internals.runner.is_shared = True
        if how != "never used":
            await client.connect()
        if how == "disconnected":
            await client.disconnect()
        if how == "closed":
            await client.aclose()

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        if how == "loop.close":
            loop = asyncio.new_event_loop()
            loop.run_until_complete(use())
            loop.close()
        else:
            asyncio.run(use())
        gc.collect()
    told = [str(warning.message) for warning in caught if "unclosed <Client" in str(warning.message)]
    assert len(told) == (how in ("asyncio.run", "loop.close"))
    assert all("aclose()" in text for text in told)


@pytest.mark.parametrize("waits_for", ["auth", "the server"])
def test_a_provider_of_a_closed_loop_prints_no_traceback(
    waits_for: str, url: str, unraisable: list[Any], caplog: pytest.LogCaptureFixture
) -> None:
    async def begin() -> None:
        asked = asyncio.Event()

        async def auth() -> str:
            asked.set()
            if waits_for == "auth":
                await asyncio.sleep(60)
            return "s3cret"

        provider = Provider(lambda _: Client(url, token=slow_token), auth=auth)
        asyncio.get_running_loop().create_task(provider.connect_if_authenticated())
        await asked.wait()
        for _ in range(5):
            await asyncio.sleep(0)

    loop = asyncio.new_event_loop()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # of the client
        loop.run_until_complete(begin())
        loop.close()
        gc.collect()
    assert not unraisable
    logged = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert [text for text in logged if not text.startswith("Task was destroyed but it is pending!")] == []


BLOCKS: dict[str, Callable[[str], Any]] = {
    "Client": Client,
    "Provider": lambda url: Provider(url, auth=lambda: "s3cret"),
    "join, loop": lambda url: onesocket.join(url, scope="loop"),
    "join, process": onesocket.join,
    "SharedClient": lambda url: onesocket.join(url, scope="loop").client(),
    "Client, slow token": lambda url: Client(url, token=slow_token),
    "join, slow token": lambda url: onesocket.join(url, scope="loop", token=slow_token, key="slow"),
}


@pytest.mark.parametrize("block", BLOCKS)
def test_a_task_in_an_async_with_block_prints_no_traceback_when_its_loop_is_closed(
    block: str, url: str, unraisable: list[Any]
) -> None:
    async def stay() -> None:
        async with BLOCKS[block](url) as entered:
            if block == "Provider":
                await entered.connect_if_authenticated()
            inside.set()
            await asyncio.sleep(60)

    async def begin() -> None:
        asyncio.get_running_loop().create_task(stay())
        if "slow" in block:
            await asyncio.sleep(0.05)
        else:
            await inside.wait()

    inside = asyncio.Event()
    loop = asyncio.new_event_loop()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # of the client
        warnings.filterwarnings("ignore", "coroutine .* was never awaited")
        loop.run_until_complete(begin())
        loop.close()
        gc.collect()
        asyncio.run(find_dead_loops(url))
        gc.collect()
    assert not unraisable


async def find_dead_loops(url: str) -> None:
    async with onesocket.join(url):
        pass


def test_a_shared_client_of_a_closed_loop_prints_no_traceback(
    url: str, unraisable: list[Any], caplog: pytest.LogCaptureFixture
) -> None:
    async def use(*, reads: bool) -> None:
        client = await onesocket.join(url, scope="loop")
        if reads:
            await client.send("echo")
            assert await anext(client.subscribe()) == "echo"

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # of the socket
        warnings.filterwarnings("ignore", "coroutine .* was never awaited")
        for reads in (False, True, False):  # each looks for connections of dead loops
            loop = asyncio.new_event_loop()
            loop.run_until_complete(use(reads=reads))
            loop.close()
            gc.collect()
        with asyncio.Runner() as runner:
            runner.run(use(reads=True))
        gc.collect()
    assert not unraisable
    logged = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert [text for text in logged if not text.startswith("Task was destroyed but it is pending!")] == []


LEFT_OPEN = """
import asyncio, sys, onesocket
async def use(url):
    await onesocket.join(url, scope="loop")
loop = asyncio.new_event_loop()
loop.run_until_complete(use(sys.argv[1]))
loop.close()
"""


def test_a_program_that_ends_with_a_shared_client_of_a_closed_loop_prints_no_traceback(url: str) -> None:
    program = [sys.executable, "-W", "ignore", "-c", LEFT_OPEN, url]
    ended = subprocess.run(program, capture_output=True, text=True, check=True, timeout=30)  # noqa: S603 - this Python
    lines = [text for text in ended.stderr.splitlines() if not text.startswith(("Task was destroyed", "task: <Task"))]
    assert lines == []
