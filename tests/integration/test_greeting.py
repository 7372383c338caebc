"""A server that greets at once, over real sockets: the greeting reaches whoever asked for the connection."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path
from typing import Any

import pytest

import onesocket
import onesocket.blocking
from onesocket import Client, Identity, Provider
from onesocket.sharing.host import HostOptions
from onesocket.testing import Fault, FaultyServer
from onesocket_discord import DiscordClient, Intents
from onesocket_discord.server import ChatServer
from tests.integration.hub_clients import connected_program, next_message, running_hub
from tests.support.programs import output_of, running_python
from tests.support.waiting import until

WITH_AND_AFTER_101 = pytest.mark.parametrize("separate_write", [False, True], ids=["with the 101", "in the next turn"])


@WITH_AND_AFTER_101
async def test_a_reader_inside_async_with_gets_it(server: FaultyServer, separate_write: bool) -> None:
    server.faults = Fault.greeting("hello", separate_write=separate_write)
    async with Client(server.url) as client:
        await server.wait_until(lambda counts: counts.upgraded == 1)
        stream = client.subscribe()
        await client.send("echo")
        async with asyncio.timeout(5):
            assert [await anext(stream), await anext(stream)] == ["hello", "echo"]


@pytest.fixture
def runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    tmp_path.chmod(0o700)
    monkeypatch.setenv("ONESOCKET_RUNTIME_DIR", str(tmp_path))
    return tmp_path


def options(scope: str, tmp_path: Path) -> dict[str, Any]:
    return {"scope": scope, **({"host_options": HostOptions(directory=str(tmp_path))} if scope == "host" else {})}


@WITH_AND_AFTER_101
@pytest.mark.parametrize("scope", ["loop", "process", "host"])
@pytest.mark.parametrize("way", ["subscribe", "on", "on a coroutine function"])
async def test_a_handle_that_opens_the_connection_gets_it(
    server: FaultyServer, separate_write: bool, scope: str, way: str, tmp_path: Path
) -> None:
    server.faults = Fault.greeting("hello", separate_write=separate_write)
    got: asyncio.Queue[Any] = asyncio.Queue()

    async def put(message: Any) -> None:
        await got.put(message)

    async with onesocket.join(server.url, **options(scope, tmp_path)) as client:
        await client.send("echo")
        await server.wait_until(lambda counts: counts.messages_sent == 1)
        match way:
            case "subscribe":
                stream = client.subscribe()
                for _ in range(2):
                    await put(await anext(stream))
            case "on":
                client.on(got.put_nowait)
            case _:
                client.on(put)
        async with asyncio.timeout(5):
            assert [await got.get(), await got.get()] == ["hello", "echo"]


@pytest.mark.parametrize("scope", ["loop", "process", "host"])
async def test_a_handle_that_joins_later_begins_with_its_joining(
    server: FaultyServer, scope: str, tmp_path: Path
) -> None:
    server.faults = Fault.greeting("hello")
    more = options(scope, tmp_path)
    async with onesocket.join(server.url, **more) as early, onesocket.join(server.url, **more) as late:
        first = early.subscribe()
        assert await anext(first) == "hello"
        await server.send("second")
        assert await anext(first) == "second"
        async with asyncio.timeout(5):
            assert await anext(late.subscribe()) == "second"


@pytest.mark.parametrize("scope", ["process", "host"])
async def test_blocking_handles_too_whichever_way_they_read(server: FaultyServer, scope: str, tmp_path: Path) -> None:
    server.faults = Fault.greeting("hello")

    def joined() -> Any:
        return onesocket.blocking.join(server.url, **options(scope, tmp_path))

    def its_own() -> list[Any]:
        with joined() as client:
            client.send("echo")
            return [client.receive(timeout=5), client.receive(timeout=5), len(client.subscribe())]

    def subscribed() -> list[Any]:
        with joined() as client:
            client.send("echo")
            while len(client._stream) < 2:
                client.send("more")
            stream = client.subscribe()
            return [stream.receive(timeout=5), stream.receive(timeout=5), client.receive(timeout=5)]

    def called() -> list[Any]:
        with joined() as client:
            got: list[Any] = []
            client.send("echo")
            client.on(got.append)
            other = client.subscribe()
            while len(got) < 2:
                client.send("more")
                other.receive(timeout=5)
            return got[:2]

    assert await asyncio.to_thread(its_own) == ["hello", "echo", 0]
    assert (await asyncio.to_thread(subscribed))[:3] == ["hello", "echo", "hello"]
    assert await asyncio.to_thread(called) == ["hello", "echo"]


async def test_a_follower_whose_joining_opens_the_connection_gets_it(server: FaultyServer, tmp_path: Path) -> None:
    """The owner holds none at the moment: it has been told to disconnect."""
    server.faults = Fault.greeting("hello")
    connected_program = (
        "import asyncio, sys, onesocket\n"
        "from onesocket.sharing.host import HostOptions\n"
        "async def main():\n"
        "    joining = onesocket.join(sys.argv[1], scope='host', host_options=HostOptions(directory=sys.argv[2]))\n"
        "    client = joining.client()\n"
        "    await client.reconnect()\n"
        "    print(await asyncio.wait_for(anext(client.subscribe(gaps=False)), 10))\n"
        "    await client.aclose()\n"
        "asyncio.run(main())\n"
    )
    async with onesocket.join(server.url, **options("host", tmp_path)) as owner:
        await owner.disconnect()
        assert await output_of("-c", connected_program, server.url, str(tmp_path)) == "hello\n"
    assert server.counts.most_sockets == 1


@pytest.mark.parametrize("shared", [False, True])
async def test_a_provider_s_client_too(server: FaultyServer, shared: bool) -> None:
    server.faults = Fault.greeting("hello")

    def build(token: Any) -> Any:
        return onesocket.join(server.url, token=token) if shared else Client(server.url, token=token)

    async with Provider(build, auth=lambda: Identity("alice", token="s3cret")) as provider:
        await provider.connect_if_authenticated()
        assert provider.client is not None
        async with asyncio.timeout(5):
            assert await anext(provider.client.subscribe()) == "hello"


async def test_the_first_client_of_a_hub_gets_what_came_before_it_and_the_next_one_does_not(
    server: FaultyServer, runtime: Path
) -> None:
    server.faults = Fault.greeting("hello", separate_write=True)
    async with running_hub(server) as hub, contextlib.AsyncExitStack() as stack:
        await server.send("second")
        await until(lambda: hub.counters.received.total == 2)
        first = await stack.enter_async_context(connected_program(hub))
        assert [await next_message(first), await next_message(first)] == ["hello", "second"]
        second = await stack.enter_async_context(connected_program(hub))
        await server.send("third")
        assert await next_message(second) == await next_message(first) == "third"


async def test_the_first_client_of_a_hub_begins_with_the_open_connection(server: FaultyServer, runtime: Path) -> None:
    server.faults = Fault.greeting("hello")
    async with running_hub(server, gap_message="GAP", client_buffer=8192) as hub:
        server.kill_connections()
        await until(lambda: hub.counters.received.total == 2)
        async with connected_program(hub) as first:
            assert await next_message(first) == "hello"
            await server.send("second")
            assert await next_message(first) == "second"
    async with running_hub(server, gap_message="GAP", client_buffer=8192) as hub:
        for number in range(8):
            await server.send(f"{number}" * 1000)
        await until(lambda: hub.counters.received.total == 9)
        async with connected_program(hub) as first:
            assert await next_message(first) == "GAP", "no more waits than a client may leave unread"
            assert [(await next_message(first))[0] for _ in range(4)] == ["4", "5", "6", "7"]


@WITH_AND_AFTER_101
async def test_the_command_prints_it(server: FaultyServer, separate_write: bool) -> None:
    server.faults = Fault.greeting("hello", separate_write=separate_write)
    async with running_python("-m", "onesocket", "connect", "--wait=0", server.url, merge_errors=False) as process:
        output, _ = await asyncio.wait_for(process.communicate(b"echo\n"), 30)
    assert (process.returncode, output) == (0, b"hello\necho\n")


async def test_a_bot_s_ready_waits_for_its_first_reader() -> None:
    async with ChatServer() as server:
        bot = await server.create_bot("robo")
        async with DiscordClient(bot, Intents.GUILDS, api_url=server.api_url) as client, asyncio.timeout(5):
            events: asyncio.Queue[Any] = asyncio.Queue()
            client.on("READY", events.put_nowait)
            assert (await events.get()).event == "READY"
            assert (await anext(client.subscribe(gaps=False))).event == "READY"
