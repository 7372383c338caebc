"""Identify slots of the hosts of a cluster, reserved at an engine in memory, on virtual time."""

import asyncio
import logging
from itertools import pairwise

import pytest

from onesocket.errors import EngineUnavailable
from onesocket.protocols import ReserveSlot
from onesocket.sharing.cluster._coordinator import ClusterKey
from onesocket.sharing.cluster._memory_engine import MemoryEngine
from onesocket_discord import DiscordClient, Intents
from onesocket_discord.client._fleet_slots import LATENESS, LOOK_AGAIN, PATIENCE
from onesocket_discord.client._identify_budget import SessionStartLimit
from onesocket_discord.client._identify_slots import IdentifySlots
from onesocket_discord.client._token_state import TokenState, TokenStates
from onesocket_discord.protocol._limits import IDENTIFY_PERIOD
from tests.unit.virtual_time import on_virtual_time

P = IDENTIFY_PERIOD


class Shard:
    """One shard, on a host of its own: what a process knows of the token isn't shared."""

    def __init__(
        self, engine: MemoryEngine, number: int, *, account: str = "t", reserve: ReserveSlot | None = None
    ) -> None:
        self.slots = IdentifySlots(number, 0)
        self.slots.token_state = self.state = TokenStates().of("https://api", account)
        coordinator = engine.open(ClusterKey.of(f"{number:064x}"), f"host-{number}")
        self.slots.share(reserve or coordinator.reserve_slot)

    async def until_turn(self) -> float:
        """Reserve a slot as soon as the gateway says HELLO, and wait for it; returns its time."""
        loop = asyncio.get_running_loop()
        at = self.slots.reserve(loop.time())
        while at > loop.time():
            await asyncio.sleep(at - loop.time())
            at = self.slots.turn(loop.time())
        return loop.time()

    async def identify(self) -> float:
        """Identify at the turn of this shard; returns the time."""
        at = await self.until_turn()
        self.slots.sent(at)
        return at


def distances(times: list[float]) -> list[float]:
    return [after - before for before, after in pairwise(sorted(times))]


@on_virtual_time
async def test_shards_of_several_hosts_identify_one_after_the_other() -> None:
    engine = MemoryEngine()
    began = asyncio.get_running_loop().time()
    times = await asyncio.gather(*(Shard(engine, number).identify() for number in range(4)))
    assert min(times) - began <= LOOK_AGAIN
    assert distances(times) == pytest.approx([P, P, P], abs=LOOK_AGAIN)


@on_virtual_time
async def test_shards_of_other_buckets_and_tokens_do_not_wait() -> None:
    engine = MemoryEngine()
    shards = [Shard(engine, number) for number in range(4)]
    for each in shards:
        each.state.budget.learn(SessionStartLimit(max_concurrency=2), 0.0)
    times = await asyncio.gather(*(each.identify() for each in shards), Shard(engine, 0, account="other").identify())
    assert sorted(round(at - min(times), 1) for at in times) == [0, 0, 0, P, P]
    assert abs(times[0] - times[2]) == pytest.approx(P, abs=LOOK_AGAIN)


@on_virtual_time
async def test_a_slot_that_a_lost_connection_left_unused_serves_the_next_one() -> None:
    engine = MemoryEngine()
    first, second, third = (Shard(engine, number) for number in range(3))
    used = await first.identify()
    waiting = asyncio.create_task(second.until_turn())
    await asyncio.sleep(1)
    waiting.cancel()
    second.slots.release()
    assert await second.identify() - used == pytest.approx(P, abs=LOOK_AGAIN)
    assert await third.identify() - used == pytest.approx(2 * P, abs=LOOK_AGAIN)


@on_virtual_time
async def test_a_slot_that_has_passed_is_reserved_anew() -> None:
    engine = MemoryEngine()
    late, other = Shard(engine, 0), Shard(engine, 1)
    at = await late.until_turn()
    following = asyncio.create_task(other.identify())
    await asyncio.sleep(2 * LATENESS)  # its event loop was blocked
    now = asyncio.get_running_loop().time()
    assert late.slots.turn(now) > now
    late.slots.release()
    assert await following - at == pytest.approx(P, abs=LOOK_AGAIN)
    assert await late.identify() - at == pytest.approx(2 * P, abs=LOOK_AGAIN)


def failing(error: Exception) -> tuple[ReserveSlot, list[str]]:
    """An engine that is away."""
    asked: list[str] = []

    async def reserve(name: str, period: float, delay: float) -> float:
        asked.append(name)
        raise error

    return reserve, asked


@on_virtual_time
async def test_without_the_engine_a_host_spaces_its_own_and_asks_again_next_time(
    caplog: pytest.LogCaptureFixture,
) -> None:
    reserve, asked = failing(EngineUnavailable("it is away"))
    shard = Shard(MemoryEngine(), 0, reserve=reserve)
    loop = asyncio.get_running_loop()
    began = loop.time()
    with caplog.at_level(logging.WARNING, "onesocket"):
        assert await shard.identify() - began <= LOOK_AGAIN
    assert "not spaced among the hosts" in caplog.text
    assert await shard.identify() - began == pytest.approx(P, abs=2 * LOOK_AGAIN)
    assert len(asked) == 2
    await shard.until_turn()
    shard.slots.release()
    await shard.until_turn()
    assert len(asked) == 4


@on_virtual_time
async def test_an_engine_that_does_not_answer_holds_no_login_up() -> None:
    async def reserve(name: str, period: float, delay: float) -> float:
        await asyncio.Event().wait()
        return 0.0

    began = asyncio.get_running_loop().time()
    at = await Shard(MemoryEngine(), 0, reserve=reserve).identify()
    assert at - began == pytest.approx(PATIENCE, abs=LOOK_AGAIN)


@on_virtual_time
async def test_a_reservation_under_way_ends_with_its_client() -> None:
    ended: list[float] = []
    loop = asyncio.get_running_loop()

    async def reserve(name: str, period: float, delay: float) -> float:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(loop.time())
        return 0.0

    client = DiscordClient("token", Intents.GUILDS, api_url="http://127.0.0.1:1/api")
    client._identify_slots.share(reserve)
    client._identify_slots.reserve(loop.time())
    await asyncio.sleep(0)
    began = loop.time()
    await client.aclose()
    assert ended == [began]


def test_the_name_of_a_slot_is_that_of_token_api_and_bucket_and_shows_none_of_them() -> None:
    def name(api: str = "https://api", account: str = "t", shard: int = 0, concurrency: int = 1) -> str:
        state: TokenState = TokenStates().of(api, account)
        state.budget.learn(SessionStartLimit(max_concurrency=concurrency), 0.0)
        return state.slot_name(shard)

    others = [name("https://other"), name(account="t2"), name(shard=1, concurrency=2)]
    assert name() == name(shard=1) == name(shard=2, concurrency=2)
    assert len({name(), *others}) == 4
    assert all(len(each) == 64 and int(each, 16) >= 0 for each in others)
