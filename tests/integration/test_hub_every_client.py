"""Clients of a hub by every kind of library, with their usual headers, at one upstream connection."""

import asyncio

import pytest

from onesocket._printable import printable_bytes
from onesocket.testing import FaultyServer
from tests.integration.hub_clients import running_hub, send_through_a_loss
from tests.support.local_clients import (
    LocalClient,
    by_aiohttp,
    by_connect,
    by_node,
    by_websocket_client,
    by_websockets,
    line_of,
)
from tests.support.terminals import DEADLINE
from tests.support.waiting import until

pytestmark = pytest.mark.usefixtures("private_runtime")

CLIENTS: dict[str, LocalClient] = {
    "websockets": by_websockets,
    "aiohttp": by_aiohttp,
    "websocket-client": by_websocket_client,
    "node": by_node,
    "onesocket connect": by_connect,
}
BURST: list[str | bytes] = [f"{number} of a burst of €" * 20 for number in range(1000)]
LONG: list[str | bytes] = ["€" * 300_000, b"m" * 1_000_000, "€" * 1_200_000]
"""The last one goes out in fragments, of which the first ends within a character."""
MESSAGES: list[str | bytes] = ["grüße", "", b"\x00\xff\x81", b"", *LONG, *BURST]


async def test_every_kind_of_client_gets_everything_through_a_lost_upstream() -> None:
    async with FaultyServer(echo=False) as server, running_hub(server) as hub, asyncio.TaskGroup() as group:
        lines: dict[str, list[str]] = {name: [] for name in CLIENTS}
        sent = {f"text of {name}" for name in CLIENTS} | {b"binary of " + name.encode() for name in list(CLIENTS)[:-1]}
        for name, run in CLIENTS.items():
            group.create_task(run(hub.url, lines[name]))
        await until(lambda: set(server.received) == sent, DEADLINE)
        await send_through_a_loss(server, hub, MESSAGES)
        last = [line_of("back"), "back"]
        await until(lambda: all(each and each[-1] in last for each in lines.values()), DEADLINE)
        assert hub.frontend.clients == len(CLIENTS)
        await hub.stop()
    messages = [*MESSAGES, "back"]
    printed = [message if isinstance(message, str) else printable_bytes(message) for message in messages]
    assert lines.pop("onesocket connect") == [*printed, "ended 0"]
    assert lines["node"].pop() == "ended 0"
    for name, noted in lines.items():
        assert noted.count("pong") == (name != "node"), name
        assert noted.pop().startswith("closed 1001"), name
        assert [line for line in noted if line != "pong"] == [line_of(message) for message in messages], name
    assert (server.counts.upgraded, server.counts.most_open) == (2, 1)
