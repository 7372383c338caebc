"""The scripts on a real Valkey server do what `EngineModel` does: every step from every state, and random traces."""

import random
from collections.abc import AsyncIterator, Iterator

import pytest

from onesocket.sharing.cluster._coordinator import Position
from onesocket.sharing.cluster._redis_coordinator import RedisCoordinator
from tests.model.cluster_engine_steps import MEMBERS
from tests.support.engine_members import KEY
from tests.support.engine_members import REDIS_BASE as BASE
from tests.support.engine_replay import Replay, ReplayedEngine, every_operation, random_operation, traces
from tests.support.redis_server import RedisServer, redis_server


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    with redis_server() as running:
        yield running


@pytest.fixture
async def engine(server: RedisServer) -> AsyncIterator["ReplayedRedis"]:
    made = ReplayedRedis(server)
    yield made
    await made.aclose()


class ReplayedRedis(ReplayedEngine):
    """Redis, with all of its keys."""

    def __init__(self, server: RedisServer) -> None:
        self.engine = engine = RedisCoordinator(server.url)
        self.key = KEY
        self.opened = {name: engine.open(KEY, name) for name in MEMBERS}
        self.members = {**self.opened}
        self.raw = server.client()
        self.raw.flushall()

    async def expire(self) -> None:
        self.raw.pexpire(BASE + "lease", 0)

    async def lose_everything(self) -> None:
        self.raw.flushall()

    def know_accepted(self, member: str, position: Position) -> None:
        self.opened[member]._accepted = position

    async def aclose(self) -> None:
        self.raw.close()
        await super().aclose()


async def test_every_step_from_every_state_is_that_of_the_model(engine: ReplayedRedis) -> None:
    steps = 0
    for trace in traces(every_operation()):
        await engine.lose_everything()
        replay = Replay(engine)
        await replay.run(*trace)
        await replay.compare_state()
        steps += len(trace)
    assert steps > 1000


@pytest.mark.parametrize("seed", range(12))
async def test_random_traces_are_those_of_the_model(seed: int, engine: ReplayedRedis) -> None:
    chance = random.Random(seed)
    replay = Replay(engine)
    for _ in range(120):
        await replay.run(random_operation(chance, replay.model))  # raises at the first difference
    await replay.compare_state()
