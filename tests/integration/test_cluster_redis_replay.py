"""The scripts on a real Valkey server do what `EngineModel` does: every step from every state, and random traces."""

import random
from collections import deque
from collections.abc import AsyncIterator, Iterator
from dataclasses import astuple
from typing import Any

import pytest

from onesocket.errors import Fenced, MailboxFull
from onesocket.sharing.cluster._coordinator import START, Lease, LeaseInfo, Position, Record, RecordKind
from onesocket.sharing.cluster._engine_model import EngineModel
from onesocket.sharing.cluster._feed_gaps import before
from onesocket.sharing.cluster._redis_coordinator import RedisCoordinator
from tests.model.cluster_engine_steps import MEMBERS, EngineState, Operation, execute
from tests.support.engine_members import KEY
from tests.support.engine_members import REDIS_BASE as BASE
from tests.support.redis_server import RedisServer, redis_server

TTL = 60.0
EXPIRE, LOSE = Operation("expire", 0), Operation("lose everything", 0)
EPOCHS, NUMBERS = 3, 3


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    with redis_server() as running:
        yield running


@pytest.fixture
async def pair(server: RedisServer) -> AsyncIterator["Pair"]:
    made = Pair(server)
    yield made
    await made.aclose()


class Pair:
    """The model beside the real engine; each step is done on both, and compared."""

    def __init__(self, server: RedisServer) -> None:
        self.model = EngineModel()
        engine = RedisCoordinator(server.url)
        self.members = {name: engine.open(KEY, name) for name in MEMBERS}
        self.raw = server.client()
        self.raw.flushall()
        self.real = {0: 0}
        """The engine's epochs by those of the model."""

    async def aclose(self) -> None:
        self.raw.close()
        for each in self.members.values():
            await each.aclose()

    def position(self, position: Position) -> Position:
        """The engine's position for one of the model."""
        epoch, number = position
        if before(Position(epoch + 1, 0)) == position:
            return before(Position(self.real[epoch + 1], 0))
        return Position(self.real.get(epoch, epoch), number)

    def record(self, record: Record) -> Record:
        """The engine's record for one of the model."""
        at, previous = self.position(record.position), self.position(record.previous)
        return Record(record.kind, at, record.payload, record.member, previous, record.missed)

    async def step(self, operation: Operation) -> None:
        name, index, epoch, number, known = operation
        member = MEMBERS[index]
        real, coordinator = self.real.get(epoch, epoch), self.members[member]
        match name:
            case "expire":
                self.model.expire()
                self.raw.pexpire(BASE + "lease", 0)
            case "lose everything":
                self.model.lose_everything()
                self.raw.flushall()
            case "acquire":
                expected = self.model.acquire(member, TTL, known, 0.0)
                # An epoch that was never granted here: above all that were, as one from before a loss.
                self.real.setdefault(known, max(self.real.values()) + 1)
                got = await coordinator.acquire(TTL, self.real[known])
                self.compare_leases(expected, got)
            case "renew":
                assert self.model.renew(member, epoch, TTL, 0.0) == await coordinator.renew(real, TTL)
            case "release":
                self.model.release(member, Position(epoch, number), 0.0)
                await coordinator.release(Position(real, number))
            case "publish":
                payload = b"%d" % number
                coordinator._accepted = Position(real, known)
                expected_error = fenced(
                    lambda: self.model.publish(member, Position(epoch, number), payload, known, 0.0)
                )
                await self.compare_fence(coordinator.publish(Position(real, number), payload), expected_error)
            case "submit":
                mail = fenced(lambda: self.model.submit(member, Position(epoch, number), b"%d" % number, 0.0))
                await self.compare_fence(coordinator.submit(Position(real, number), b"%d" % number), mail)
            case "take":
                taken = self.model.take(Position(epoch, number))
                real_ones = await coordinator.take(Position(real, number), 0)
                assert [each[1:] for each in map(astuple, taken)] == [each[1:] for each in map(astuple, real_ones)]
                assert [self.position(each.position) for each in taken] == [each.position for each in real_ones]
            case "answer":
                to, text = MEMBERS[known], b"%d" % number
                answer = fenced(lambda: self.model.answer(member, to, Position(epoch, number), text, 0.0))
                await self.compare_fence(coordinator.answer(to, Position(real, number), text), answer)
            case "follow":
                read = self.model.read(member, Position(epoch, number), Position(epoch, known))
                if [each.kind for each in read[:2]] == [RecordKind.MISSED, RecordKind.ANSWER]:
                    del read[0]  # that the feed has gone back is told by a read that finds nothing
                got_records = await coordinator.follow(Position(real, number), Position(real, known), 0)
                assert got_records == [self.record(each) for each in read]
            case _:
                raise AssertionError(operation)

    def compare_leases(self, expected: Lease | LeaseInfo, got: Lease | LeaseInfo | None) -> None:
        if isinstance(expected, Lease):
            assert isinstance(got, Lease)
            assert got.previous is expected.previous
            assert got.epoch > max(self.real.values())
            self.real[expected.epoch] = got.epoch
        else:
            assert isinstance(got, LeaseInfo)
            assert got.member == expected.member
            assert (got.epoch, got.end) == (self.real[expected.epoch], self.position(expected.end))

    async def compare_fence(self, call: Any, expected: Exception | None) -> None:
        got: Exception | None = None
        try:
            await call
        except (Fenced, MailboxFull) as error:
            got = error
        assert type(got) is type(expected), (got, expected)
        if isinstance(got, Fenced) and isinstance(expected, Fenced):
            assert got.newer == (None if expected.newer is None else self.real[expected.newer])

    async def compare_state(self) -> None:
        """Compare the lease, and what each member reads from the beginning."""
        expected = self.model.lease(0.0)
        coordinator = self.members["c"]
        got = await coordinator.lease()
        if expected is None:
            assert got is None
        else:
            self.compare_leases(expected, got)
        for name, member in self.members.items():
            read = [self.record(each) for each in self.model.read(name, START, START)]
            assert await member.follow(START, START, 0) == read


def fenced(call: Any) -> Exception | None:
    try:
        call()
    except (Fenced, MailboxFull) as error:
        return error
    return None


def operations() -> list[Operation]:
    """Every operation of two members, sensible or not."""
    found = [EXPIRE, LOSE]
    for member in (0, 1):
        found += [Operation("acquire", member, known=epoch) for epoch in range(EPOCHS)]
        for epoch in range(1, EPOCHS + 1):
            found.append(Operation("renew", member, epoch))
            found += [Operation("release", member, epoch, number) for number in range(1, NUMBERS)]
            found += [
                Operation("publish", member, epoch, number, known)
                for number in range(1, NUMBERS)
                for known in range(number)
            ]
    return found


def after(state: EngineState, operation: Operation) -> EngineState:
    if operation is EXPIRE:
        return state._replace(holder=-1, left=0)
    if operation is LOSE:
        return EngineState(floor=max(state.epoch, state.floor))
    return execute(state, operation)[0]


def traces() -> list[list[Operation]]:
    """Traces from the beginning that together make every step from every state with few epochs and batches."""
    known = operations()
    ways: dict[EngineState, list[Operation]] = {EngineState(): []}
    queue = deque(ways)
    left: dict[EngineState, list[Operation]] = {}
    while queue:
        state = queue.popleft()
        for operation in known:
            then = after(state, operation)
            if max(then.epoch, then.floor) > EPOCHS or then.end.number > NUMBERS:
                continue
            left.setdefault(state, []).append(operation)
            if then not in ways:
                ways[then] = [*ways[state], operation]
                queue.append(then)
    found: list[list[Operation]] = []
    for start in list(left):
        while left[start]:
            trace, state = list(ways[start]), start
            while left.get(state):
                # Steps that change nothing come first, so that a trace is as long as it can be.
                stays = [each for each in left[state] if after(state, each) == state]
                operation = (stays or left[state])[0]
                left[state].remove(operation)
                trace.append(operation)
                state = after(state, operation)
            found.append(trace)
    return found


async def test_every_step_from_every_state_is_that_of_the_model(pair: Pair) -> None:
    steps = 0
    for trace in traces():
        pair.model = EngineModel()
        pair.raw.flushall()
        pair.real = {0: 0}
        for operation in trace:
            await pair.step(operation)
        await pair.compare_state()
        steps += len(trace)
    assert steps > 1000


NAMES = (
    *("acquire", "renew", "release", "expire", "lose everything"),
    *("publish", "publish", "submit", "submit", "submit", "answer", "answer", "take", "take", "follow", "follow"),
)


def random_operation(chance: random.Random, model: EngineModel) -> Operation:
    """An operation that is often sensible: of an epoch that leads, or led."""
    name = chance.choice(NAMES)
    if name == "lose everything" and chance.random() < 0.8:
        name = "renew"
    epoch = max(model._epoch, model._floor)
    member = chance.randrange(3)
    if name != "acquire":
        epoch = max(1, epoch - (chance.random() < 0.2))
        if model._holder and name in ("publish", "answer", "take", "renew", "release") and chance.random() < 0.8:
            member = MEMBERS.index(model._holder)
    known = {"acquire": chance.choice((0, epoch)), "publish": 0}.get(name, chance.randrange(3))
    # A leader has taken nothing that was not submitted.
    number = chance.randrange(model._mailed + 1) if name == "take" else chance.randrange(1, 6)
    return Operation(name, member, epoch, number, known)


@pytest.mark.parametrize("seed", range(12))
async def test_random_traces_are_those_of_the_model(seed: int, pair: Pair) -> None:
    chance = random.Random(seed)
    for _ in range(120):
        await pair.step(random_operation(chance, pair.model))  # raises at the first difference
    await pair.compare_state()
