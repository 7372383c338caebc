"""Rotations of the JavaScript client over real sockets: the server counts, and no message is missing or doubled."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from onesocket.testing import ConnectionLimit, Fault, FaultyServer
from tests.support.node_page import NodePage

ROTATIONS = 3
PROTOCOL = "protocol: new one.Json(), rotation: new one.Rotation({identity: ({number}) => number, %s}),"


@pytest.fixture
async def server() -> AsyncIterator[FaultyServer]:
    async with FaultyServer(echo=False) as running:
        yield running


@asynccontextmanager
async def feeding(server: FaultyServer) -> AsyncIterator[list[int]]:
    """Numbered messages to all connections, all the time; yields those that were sent."""
    sent: list[int] = []

    async def feed() -> None:
        while True:
            sent.append(len(sent) + 1)
            await server.broadcast(json.dumps({"number": sent[-1]}))
            await asyncio.sleep(0.002)

    task = asyncio.create_task(feed())
    try:
        yield sent
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def test_rotations_lose_and_double_nothing_in_either_direction(page: NodePage, server: FaultyServer) -> None:
    await page.make_client(server.url, PROTOCOL % "overlap: 0.05")
    await page.run("await kept.client.connect()")
    async with feeding(server) as sent:
        outcomes = await page.run(
            """
            let number = 0;
            kept.sending = setInterval(() => kept.client.sendNowait({of: 'client', number: number += 1}), 1);
            const outcomes = [];
            for (let count = 0; count < data; count += 1) outcomes.push(await kept.client.rotate());
            clearInterval(kept.sending);
            kept.sent = number;
            return outcomes;
            """,
            ROTATIONS,
        )
        assert outcomes == ["opened"] * ROTATIONS
        assert (server.counts.open_now, server.counts.most_open) == (1, 2)
    written = await page.run("await kept.client.send({of: 'client', number: 0}); return kept.sent")
    assert written > ROTATIONS
    await server.wait_until(lambda counts: counts.messages_received == written + 1)
    assert [json.loads(frame)["number"] for frame in server.received] == [*range(1, written + 1), 0]
    seen = await page.run(
        "while (kept.seen.at(-1).number < data) await turn(); return kept.seen.map((item) => item.number ?? item)",
        sent[-1],
    )
    assert seen == list(range(seen[0], sent[-1] + 1))
    assert await page.run("return [kept.client.stats.gaps, kept.client.status.epoch]") == [0, ROTATIONS + 1]
    await page.run("await kept.client.close()")
    assert server.counts.close_codes == {1000: ROTATIONS + 1}


async def test_a_connection_is_rotated_by_its_age(page: NodePage, server: FaultyServer) -> None:
    await page.make_client(server.url, PROTOCOL % "overlap: 0.02, age: 0.05")
    async with feeding(server):
        await page.run("await kept.client.connect()")
        await server.wait_until(lambda counts: counts.upgraded > ROTATIONS)
    seen = await page.run("await kept.client.close(); return kept.seen.map((item) => item.number ?? item)")
    assert seen == list(range(seen[0], seen[0] + len(seen)))
    assert server.counts.most_open == 2


async def test_where_the_server_allows_one_connection_the_first_is_closed_first(
    page: NodePage, server: FaultyServer
) -> None:
    server.limit = ConnectionLimit(surplus=Fault.accept_then_close(1008, "too many connections"))
    await page.make_client(server.url, PROTOCOL % "overlap: 0.05")
    assert await page.run("await kept.client.connect(); return kept.client.rotate()") == "opened"
    assert await page.run("return [kept.client.status.epoch, kept.client.stats.gaps]") == [3, 1]
    assert server.counts.open_now == 1
