"""Messages and subscriptions that meet a connection which takes no more, or breaks just then."""

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from onesocket import Client, Gap, OnesocketError, Raw, ReconnectPolicy, Status
from onesocket.client import OutboxLimits, Overflow
from onesocket.client._queue import Queue
from onesocket.client._status import Change
from onesocket.sharing._client_upstream import ClientUpstream
from onesocket.sharing._connection_key import ConnectionKey
from onesocket.sharing._upstream import ConnectionSpec
from onesocket.sharing.host import HostOptions, HostUpstream
from onesocket.sharing.host._owner import Owner
from onesocket.testing import FaultyServer

DEADLINE = 20
LONG = "x" * 5_000_000
"""More than the kernel takes while nobody reads."""

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="Unix only")


class OutboxTopics(Raw):
    def subscribe_frames(self, keys: frozenset[str]) -> list[str]:
        return [f"+{key}" for key in sorted(keys)]

    def unsubscribe_frames(self, keys: frozenset[str]) -> list[str]:
        return [f"-{key}" for key in sorted(keys)]


class NullSink:
    def messages(self, batch: list[Any]) -> None:
        raise NotImplementedError

    def gap(self, gap: Gap) -> None:
        """The connection was lost."""

    def changed(self, change: Change, status: Status) -> None:
        """As it should."""

    def failed(self, error: OnesocketError) -> None:
        raise error


class UpstreamWithClient:
    """An upstream and the client behind it."""

    def __init__(self, kind: str, url: str, directory: Path, outbox: int = 2) -> None:
        options: dict[str, Any] = {
            "protocol": OutboxTopics(),
            "outbox": OutboxLimits(outbox),
            "reconnect": ReconnectPolicy(initial=0.01, cap=0.05),
        }
        self._client = Client(url, **options)
        recipe = ConnectionSpec(
            key=ConnectionKey.of(url),
            options=options,
            protocol=options["protocol"],
            make_client=lambda: self._client,
            host_options=HostOptions(directory=str(directory)),
        )
        self.upstream = ClientUpstream(self._client) if kind == "process" else HostUpstream(recipe)
        self.upstream.attach(NullSink())

    async def waiting(self, count: int) -> None:
        """So many messages have no result."""
        async with asyncio.timeout(DEADLINE):
            while self.upstream.status.outbox != count:  # noqa: ASYNC110 - nobody is told of that
                await asyncio.sleep(0)


@pytest.fixture
async def server() -> AsyncIterator[FaultyServer]:
    async with FaultyServer(echo=False) as running:
        yield running


def short_messages(server: FaultyServer) -> list[str]:
    return [str(message) for message in server.received if len(message) < 100]


async def filled(both: UpstreamWithClient, server: FaultyServer) -> list[asyncio.Task[None]]:
    """Three messages on their way while the server reads nothing: one is being written, two wait in the outbox."""
    await both.upstream.connect()
    server.connections[0].stop_reading()
    loop = asyncio.get_running_loop()
    sending = [loop.create_task(both.upstream.send(LONG, resend=True)) for _ in range(3)]
    await both.waiting(3)
    return sending


@pytest.mark.parametrize("kind", ["process", "host"])
async def test_keys_that_find_the_outbox_full_go_when_it_has_room(
    server: FaultyServer, tmp_path: Path, kind: str
) -> None:
    both = UpstreamWithClient(kind, server.url, tmp_path / "run")
    sending = await filled(both, server)
    reader: Queue[Any] = Queue(1, Overflow.FAIL)
    both.upstream.add_keys(reader, ["a"])
    both.upstream.add_keys(reader, ["b"])
    await asyncio.sleep(0)
    both.upstream.remove_keys(reader, ["a"])
    await asyncio.sleep(0)
    server.connections[0].resume()
    async with asyncio.timeout(DEADLINE):
        await asyncio.gather(*sending)
    await server.wait_until(lambda _: "+b" in short_messages(server), DEADLINE)
    both.upstream.add_keys(reader, ["c"])
    both.upstream.add_keys(reader, ["d"])
    await server.wait_until(lambda _: {"+c", "+d"} <= set(short_messages(server)), DEADLINE)
    has: set[str] = set()
    for frame in short_messages(server):
        assert (frame[1:] in has) is (frame[0] == "-"), short_messages(server)
        has ^= {frame[1:]}
    assert has == {"b", "c", "d"}
    await both.upstream.aclose()


async def test_what_its_owner_sent_with_an_id_is_sent_again_and_takes_no_other_with_it(
    server: FaultyServer, tmp_path: Path
) -> None:
    both = UpstreamWithClient("host", server.url, tmp_path / "run", outbox=10)
    named = await filled(both, server)
    assert isinstance(both.upstream, HostUpstream)
    assert isinstance(both.upstream._membership.role, Owner)
    server.kill_connections()
    await server.wait_until(lambda counts: counts.upgraded == 2, DEADLINE)
    async with asyncio.timeout(DEADLINE):
        await asyncio.gather(*named, both.upstream.send("neighbour"))
    await server.wait_until(lambda _: "neighbour" in short_messages(server), DEADLINE)
    assert len(server.received) == 4
    await both.upstream.aclose()
