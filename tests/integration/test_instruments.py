"""Metrics of shared connections, and the bytes that the other side of a socket counts."""

from __future__ import annotations

import asyncio
import json
import os
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trustme
from websockets.asyncio.server import ServerConnection, serve

from onesocket import Client, Json, State, blocking, join
from onesocket.errors import OptionConflict
from onesocket.sharing import HostOptions
from onesocket.testing import Fault, FaultyServer
from tests.support.waiting import until
from tests.unit.onesocket.instruments.exporters import Scrape


class CountingProxy:
    """Passes bytes on between a client and a server, and counts those behind the upgrade in each direction."""

    def __init__(self, port: int) -> None:
        self._target = port
        self.port = 0
        self.received = 0
        """Bytes of frames to the client."""
        self.sent = 0
        self._pumps: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[CountingProxy]:
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            await server.wait_closed()

    async def _accept(self, near: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        far, to_server = await asyncio.open_connection("127.0.0.1", self._target)
        await asyncio.gather(self._pump(near, to_server, "sent"), self._pump(far, to_client, "received"))

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, counter: str) -> None:
        sink.write(await source.readuntil(b"\r\n\r\n"))  # the upgrade
        while data := await source.read(65_536):
            setattr(self, counter, getattr(self, counter) + len(data))
            sink.write(data)
        sink.close()


async def echo(connection: ServerConnection) -> None:
    async for message in connection:
        if message == "end":
            return
        await connection.send(message)


@pytest.mark.parametrize("compression", [None, "deflate"])
async def test_bytes_are_those_that_pass_on_the_wire(compression: Any) -> None:
    """Headers, control frames and both connections included; the peer compresses if it is asked to."""
    scrape = Scrape()
    async with serve(echo, "127.0.0.1", 0) as peer, CountingProxy(peer.sockets[0].getsockname()[1]).running() as proxy:
        client = Client(f"ws://127.0.0.1:{proxy.port}/", instruments=scrape.instruments, compression=compression)
        async with client:
            stream = client.subscribe(gaps=False)
            for message in ("ü" * 300, b"\0" * 70_000, ""):
                await client.send(message)
                assert await anext(stream) == message
            await client.send("end")
            await client.wait_for(State.BACKING_OFF)
            await client.wait_for(State.CONNECTED)
            await client.send("again")
            assert await anext(stream) == "again"
        counts = client.stats.connection
    assert (counts.received_bytes, counts.sent_bytes) == (proxy.received, proxy.sent)
    assert (proxy.received > 70_000) is (compression is None)
    for direction, count in {"receive": proxy.received, "transmit": proxy.sent}.items():
        assert scrape.value("onesocket_client_io_bytes_total", network_io_direction=direction) == count


async def test_bytes_of_a_greeting_in_the_segment_of_the_101_are_counted(server: FaultyServer) -> None:
    server.faults = Fault.greeting("hello")
    async with Client(server.url, instruments=Scrape().instruments) as client:
        assert await anext(client.subscribe()) == "hello"
        assert client.stats.connection.received_bytes == 2 + 5


async def test_without_instruments_no_bytes_are_counted(server: FaultyServer) -> None:
    async with Client(server.url) as client:
        await client.send("x")
        counts = client.stats.connection
        assert (counts.sent, counts.sent_bytes, counts.received_bytes) == (1, None, None)


@pytest.mark.parametrize("scope", ["loop", "process", "host", "blocking"])
async def test_a_shared_connection_is_one_and_its_readers_are_observed_with_it(
    server: FaultyServer, tmp_path: Path, scope: Any, no_threads_left: None
) -> None:
    """The second client passes no instruments: it reads the same connection."""
    scrape = Scrape()
    given: dict[str, Any] = {"protocol": Json()}
    first: Any
    second: Any
    if scope == "host":
        given |= {"host_options": HostOptions(directory=str(tmp_path / "run"))}
    if scope == "blocking":
        given |= {"limit": 1, "overflow": "drop_oldest"}

        def join_blocking(**more: Any) -> Any:
            return blocking.join(server.url, **given, **more)

        first = await asyncio.to_thread(join_blocking, instruments=scrape.instruments)
        second = await asyncio.to_thread(join_blocking)
        streams = []
        await asyncio.to_thread(first.send, {"n": 1})
    else:
        first = await join(server.url, scope=scope, instruments=scrape.instruments, **given)
        second = await join(server.url, scope=scope, **given)
        streams = [client.subscribe(limit=1, overflow="drop_oldest") for client in (first, second)]
        await first.send({"n": 1})
    await until(lambda: first.stats.received == second.stats.received == 1)
    for number in range(3):
        await server.broadcast(json.dumps({"n": number}))
    await server.broadcast("no JSON")
    await until(lambda: first.stats.undecodable == second.stats.undecodable == 1)

    value = scrape.value
    assert value("onesocket_client_connection_state", onesocket_connection_state="connected") == 1
    assert value("onesocket_client_received_messages_total") == 5
    assert value("onesocket_client_sent_messages_total") == 1
    assert value("onesocket_client_gaps_total", onesocket_gap_reason="undecodable") == 1
    if scope != "blocking":  # its streams read ahead, in a thread
        assert [value("onesocket_client_inbox_size"), len(streams)] == [1, 2]
        assert value("onesocket_client_dropped_messages_total") == first.stats.dropped + second.stats.dropped >= 4
        assert value("onesocket_client_gaps_total", onesocket_gap_reason="overflow") == 2
    for client in (first, second):
        counts = client.stats.connection
        assert (counts.attempts, counts.received, counts.sent, counts.undecodable) == (1, 5, 1, 1)
        if scope == "blocking":
            await asyncio.to_thread(client.close)
        else:
            await client.aclose()
    assert value("onesocket_client_received_messages_total") == 5
    assert value("onesocket_client_connection_state", onesocket_connection_state="connected") is None


@pytest.mark.parametrize("scope", ["loop", "process", "host"])
async def test_what_waited_for_the_first_reader_is_counted_as_any_message(
    server: FaultyServer, tmp_path: Path, scope: Any
) -> None:
    host_options = HostOptions(directory=str(tmp_path / "run")) if scope == "host" else None
    async with join(server.url, scope=scope, protocol=Json(), host_options=host_options) as client:
        for text in ("1", "no JSON", "2"):
            await server.broadcast(text)
        await until(lambda: client.stats.connection.received == 3)
        assert client.stats.received == 0
        stream = client.subscribe()
        assert [await anext(stream), (await anext(stream)).reason, await anext(stream)] == [1, "undecodable", 2]
        assert (client.stats.received, client.stats.undecodable) == (2, 1)


async def test_other_instruments_for_the_same_connection_are_a_conflict(server: FaultyServer) -> None:
    async with join(server.url, instruments=Scrape().instruments):
        with pytest.raises(OptionConflict, match="instruments="):
            await join(server.url, instruments=Scrape().instruments)


async def test_tls_is_not_counted() -> None:
    authority = trustme.CA()
    server_context, client_context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
    authority.issue_cert("127.0.0.1").configure_cert(server_context)
    authority.configure_trust(client_context)
    async with (
        FaultyServer(ssl=server_context) as server,
        Client(server.url, ssl=client_context, instruments=Scrape().instruments) as client,
    ):
        stream = client.subscribe()
        await client.send("12345")
        assert await anext(stream) == "12345"
        counts = client.stats.connection
        assert (counts.received_bytes, counts.sent_bytes) == (2 + 5, 2 + 4 + 5)


def test_the_extras_are_imported_when_they_are_used() -> None:
    script = """
import sys, onesocket, onesocket.instruments
print({name.partition(".")[0] for name in sys.modules} & {"opentelemetry", "prometheus_client"})
sys.modules["prometheus_client"] = sys.modules["opentelemetry"] = sys.modules["opentelemetry.metrics"] = None
for kind in (onesocket.instruments.Prometheus, onesocket.instruments.OpenTelemetry):
    try:
        kind()
    except onesocket.errors.MissingExtra as error:
        print(error)
"""
    command = [sys.executable, "-I", "-c", script]
    printed = subprocess.run(command, capture_output=True, check=True, text=True).stdout  # noqa: S603 - our own
    assert printed == (
        "set()\n"
        'Prometheus needs prometheus_client: pip install "onesocket[prometheus]"\n'
        'OpenTelemetry needs its API: pip install "onesocket[otel]"\n'
    )


@pytest.mark.skipif(not hasattr(os, "fork"), reason="Unix only")
async def test_a_forked_child_claims_no_connection_of_its_parent(server: FaultyServer) -> None:
    script = """
import asyncio, os, sys
from prometheus_client import REGISTRY
from onesocket import Client
from onesocket.instruments import Prometheus

def connected():
    labels = {
        "onesocket_connection_state": "connected", "onesocket_connection_role": "owner",
        "server_address": "127.0.0.1", "server_port": sys.argv[1], "onesocket_connection_name": "",
    }
    return REGISTRY.get_sample_value("onesocket_client_connection_state", labels)

async def main():
    async with Client("ws://127.0.0.1:" + sys.argv[1], instruments=Prometheus()):
        pid = os.fork()
        if pid == 0:
            os.write(1, f"child {connected()}\\n".encode())
            os._exit(0)
        os.waitpid(pid, 0)
        os.write(1, f"parent {connected()}\\n".encode())

asyncio.run(main())
"""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-I", "-c", script, str(server.port), stdout=asyncio.subprocess.PIPE
    )
    printed, _ = await asyncio.wait_for(process.communicate(), 20)
    assert printed.decode() == "child None\nparent 1\n"
