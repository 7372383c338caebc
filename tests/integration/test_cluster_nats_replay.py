"""The steps on a real NATS server do what `EngineModel` does: from every state, in random traces, as leases end.

CI takes a part of the traces; ``ONESOCKET_TEST_REPLAY=all`` takes all of them, and more seeds (a minute).
"""

import asyncio
import os
import random
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest
from nats.aio.client import Client

from onesocket.sharing.cluster._coordinator import ClusterKey
from onesocket.sharing.cluster._nats_coordinator import NatsCoordinator
from onesocket.sharing.cluster._nats_key import NatsKeyCoordinator
from tests.model.cluster_engine_steps import MEMBERS
from tests.support.engine_replay import Replay, ReplayedEngine, every_operation, random_operation, traces
from tests.support.nats_server import NatsServer, ask, nats_server
from tests.support.two_step_replay import TwoStepReplay, two_step_traces

ALL = os.environ.get("ONESOCKET_TEST_REPLAY") == "all"
SEEDS = 100 if ALL else 4


@pytest.fixture(scope="module")
def server() -> Iterator[NatsServer]:
    with nats_server() as running:
        yield running


@pytest.fixture
async def raw(server: NatsServer) -> AsyncIterator[Client]:
    """A client that is not ours."""
    client = await server.client()
    yield client
    await client.close()


class ReplayedNats(ReplayedEngine):
    """NATS with a key of its own, whose lease is dropped from its stream as the server does when its time is up."""

    any_member_takes = False
    tells_every_lag = False

    def __init__(self, server: NatsServer, raw: Client, *, restarts: bool = False) -> None:
        """`restarts`: a loss ends the connections of the members, too."""
        self.key = ClusterKey.of(random.randbytes(32).hex())
        self.engine = engine = NatsCoordinator(server.url, timeout=20)
        self.opened: dict[str, NatsKeyCoordinator] = {name: engine.open(self.key, name) for name in MEMBERS}
        self.members = {**self.opened}
        self._stream = f"onesocket-{self.key.digest}"
        self._lease = f"onesocket.{self.key.digest}.lease"
        self._raw = raw
        self._restarts = restarts

    async def expire(self) -> None:
        await ask(self._raw, f"STREAM.PURGE.{self._stream}", filter=self._lease)

    async def lose_everything(self) -> None:
        await self.delete_streams()
        if self._restarts:
            for each in self.opened.values():
                if each._client._connection is not None:
                    await each._client._connection.aclose()

    async def delete_streams(self) -> None:
        for name in (self._stream, f"{self._stream}-mailbox"):
            await ask(self._raw, f"STREAM.DELETE.{name}")


@asynccontextmanager
async def a_replay(server: NatsServer, raw: Client, *, restarts: bool = False) -> AsyncIterator[Replay]:
    """A replay on a key of its own, whose members and streams are gone afterwards."""
    engine = ReplayedNats(server, raw, restarts=restarts)
    try:
        yield Replay(engine)
    finally:
        await engine.aclose()
        await engine.delete_streams()


@asynccontextmanager
async def a_two_step_replay(server: NatsServer, raw: Client) -> AsyncIterator[Replay]:
    """As `a_replay`."""
    engine = ReplayedNats(server, raw)
    replay = TwoStepReplay(engine, engine.opened)
    try:
        yield replay
    finally:
        await replay.aclose()
        await engine.aclose()
        await engine.delete_streams()


async def test_every_step_from_every_state_is_that_of_the_model(server: NatsServer, raw: Client) -> None:
    operations = every_operation(with_knowledge=False)
    every = traces([each for each in operations if each.name != "announce"])  # which random traces have
    for trace in every if ALL else random.Random(1).sample(every, 25):
        async with a_replay(server, raw) as replay:
            await replay.run(*trace)
            await replay.compare_state()


@pytest.mark.parametrize("seed", range(SEEDS))
async def test_random_traces_are_those_of_the_model(seed: int, server: NatsServer, raw: Client) -> None:
    chance = random.Random(seed)
    async with a_replay(server, raw, restarts=True) as replay:
        for _ in range(120):
            await replay.run(random_operation(chance, replay.model))  # raises at the first difference
        await replay.compare_state()


async def test_every_step_between_the_two_of_acquire_and_release_is_that_of_the_model(
    server: NatsServer, raw: Client
) -> None:
    every = two_step_traces()
    for trace in every if ALL else random.Random(1).sample(every, 12):
        async with a_two_step_replay(server, raw) as replay:
            await replay.run(*trace)  # compares each answer
            await replay.compare_state()


async def test_leases_that_end_by_the_servers_clock_are_those_of_the_model(server: NatsServer, raw: Client) -> None:
    async def one(seed: int) -> None:
        chance = random.Random(1000 + seed)
        async with a_replay(server, raw) as replay:
            for _ in range(3 if ALL else 1):
                await random_steps(replay, chance, 15)
                await replay.let_lease_end(1)
                await random_steps(replay, chance, 5)
            await replay.compare_state()

    # Each replay asserts after every step that the server and the model agree.
    await asyncio.gather(*map(one, range(30 if ALL else 10)))


async def random_steps(replay: Replay, chance: random.Random, most: int) -> None:
    for _ in range(most):
        operation = random_operation(chance, replay.model)
        if operation.name not in ("expire", "lose everything"):
            await replay.run(operation)
