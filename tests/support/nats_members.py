"""Members of a cluster on a real NATS server, and what a client that is not ours sees of them there."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TypeVar

import pytest
from nats.aio.client import Client

from onesocket.errors import EngineUnavailable
from onesocket.sharing.cluster._coordinator import Coordinator
from onesocket.sharing.cluster._nats_coordinator import NatsCoordinator
from tests.support.engine_members import KEY, NATS_BASE, NATS_STREAM, open_pair
from tests.support.holding_relay import HoldingRelay
from tests.support.nats_server import NatsServer, ask

WRITTEN = b'{"stream":"'
"""Begins an answer to a write."""
T = TypeVar("T")


def pair(server: NatsServer) -> tuple[Coordinator, Coordinator]:
    return open_pair(NatsCoordinator(server.url, timeout=5))


@asynccontextmanager
async def through_relay(server: NatsServer, name: str = "a") -> AsyncIterator[tuple[HoldingRelay, Coordinator]]:
    async with HoldingRelay.run(server.port) as relay:
        coordinator = NatsCoordinator(f"nats://127.0.0.1:{relay.port}", timeout=5).open(KEY, name)
        yield relay, coordinator
        await coordinator.aclose()


async def lose_answer(relay: HoldingRelay, operation: Awaitable[object], answer: bytes) -> None:
    """Have an operation carried out, and its connection lost before the answer comes."""
    relay.connections[-1].cut_at = answer
    with pytest.raises(EngineUnavailable):
        await operation


async def payloads(client: Client) -> list[bytes]:
    """The payloads that the feed holds, by a client that is not ours."""
    found: list[bytes] = []
    stream = client.jetstream()
    sequence = 1
    while True:
        answer = await ask(client, f"STREAM.MSG.GET.{NATS_STREAM}", next_by_subj=NATS_BASE + "feed", seq=sequence)
        if "error" in answer:
            return found
        sequence = answer["message"]["seq"]
        found.append((await stream.get_msg(NATS_STREAM, sequence)).data or b"")
        sequence += 1


async def eventually(operation: Callable[[], Awaitable[T]]) -> T:
    """Repeat an operation over the connection that ended with its server."""
    while True:
        try:
            return await operation()
        except EngineUnavailable:
            pass
