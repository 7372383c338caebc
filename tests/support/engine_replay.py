"""Replays operations on `EngineModel` and on the coordinators of a real engine, and compares each reply.

The time of the model stands still: leases are longer than any replay, and an engine ends one by a step of its own.
"""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Coroutine
from dataclasses import astuple
from typing import Any, Final, TypeVar

from onesocket.errors import Fenced, MailboxFull
from onesocket.sharing.cluster._coordinator import (
    START,
    ClusterEngine,
    ClusterKey,
    Coordinator,
    Lag,
    Lease,
    LeaseInfo,
    Position,
    Record,
    RecordKind,
)
from onesocket.sharing.cluster._engine_model import EngineModel
from onesocket.sharing.cluster._feed_gaps import before
from tests.model.cluster_engine_steps import MEMBERS, EngineState, Operation, execute

S = TypeVar("S")
TTL: Final = 60.0
EXPIRE: Final = Operation("expire", 0)
LOSE: Final = Operation("lose everything", 0)
_NO_ANSWERS: Final = Position(2**53, 0)
_EPOCHS: Final = 3
_NUMBERS: Final = 3
_NAMES: Final = (
    *("acquire", "renew", "release", "expire", "lose everything"),
    *("publish", "publish", "submit", "submit", "submit", "answer", "answer", "take", "take", "follow", "follow"),
    "announce",
)


class ReplayedEngine(ABC):
    """A real engine: the coordinators of `MEMBERS` on a key that is empty at first, and what only its tests can do."""

    engine: ClusterEngine
    key: ClusterKey
    members: dict[str, Coordinator]
    tells_every_lag = True
    """False if an engine tells that of a member which has read up to its position, and of no other one."""
    any_member_takes = True
    """False if an engine leaves it to the leader of an epoch to take what was submitted to it."""

    @abstractmethod
    async def expire(self) -> None:
        """End the lease as if its time had come."""

    @abstractmethod
    async def lose_everything(self) -> None:
        """Have the engine forget the key."""

    def know_accepted(self, member: str, position: Position) -> None:
        """Have a member know that the engine has accepted batches up to a position; only replayed where it can."""
        assert not position.number, f"{member} knows what it was told, and nothing else"

    async def aclose(self) -> None:
        """Close the coordinators."""
        for each in self.members.values():
            await each.aclose()


class Replay:
    """The model beside a real engine; each step is done on both, and compared."""

    def __init__(self, engine: ReplayedEngine) -> None:
        self.model = EngineModel()
        self.engine = engine
        self.steps: list[Operation] = []
        """All so far: the trace to repeat when one fails."""
        self._epochs = {0: 0}
        """The engine's epochs by those of the model."""
        self._granted: set[int] = set()
        self._leader = ""
        """Of the newest epoch."""
        self._mails: dict[Position, Position] = {}
        """The engine's positions in the mailbox by those of the model, of what was taken."""

    def __repr__(self) -> str:
        return f"<Replay {self.steps!r}>"

    async def run(self, *operations: Operation) -> None:
        """Do each on both. Raises `AssertionError` at the first difference, with all steps up to it."""
        for operation in operations:
            self.steps.append(operation)
            try:
                await self._step(operation)
            except Exception as error:
                raise AssertionError(f"{operation} failed after {self.steps[:-1]}") from error

    async def let_lease_end(self, ttl: float) -> None:
        """Have the lease, if there is one, renewed to `ttl` seconds, and wait until the engine itself has ended it."""
        held = self.model.lease(0.0)
        if held is not None:
            assert await self.engine.members[held.member].renew(self._epochs[held.epoch], ttl)
            watcher = self.engine.members["c"]
            while (info := await watcher.lease()) is not None:
                await watcher.follow(self._real_position(held.end), _NO_ANSWERS, info.remaining)
        self.model.expire()

    async def _step(self, operation: Operation) -> None:
        name, index, epoch, number, known = operation
        member = MEMBERS[index]
        model, coordinator = self.model, self.engine.members[member]
        at, text = Position(epoch, number), b"%d" % number
        real = Position(self._epochs.get(epoch, epoch), number)
        match name:
            case "expire":
                model.expire()
                await self.engine.expire()
            case "lose everything":
                model.lose_everything()
                self._mails.clear()
                await self.engine.lose_everything()
            case "acquire":
                await self._acquire(member, known)
            case "renew":
                assert model.renew(member, epoch, TTL, 0.0) == await coordinator.renew(real.epoch, TTL)
            case "release":
                model.release(member, at, 0.0)
                await coordinator.release(real)
            case "publish":
                self.engine.know_accepted(member, Position(real.epoch, known))
                expected = _refusal(lambda: model.publish(member, at, text, known, 0.0))
                await self._compare_refusals(coordinator.publish(real, text), expected)
            case "submit":
                expected = _refusal(lambda: model.submit(member, at, text, 0.0))
                await self._compare_refusals(coordinator.submit(real, text), expected)
            case "take":
                await self._take(member, at)
            case "answer":
                to = MEMBERS[known]
                expected = _refusal(lambda: model.answer(member, to, at, text, 0.0))
                await self._compare_refusals(coordinator.answer(to, real, text), expected)
            case "follow":
                await self._compare_reads(member, at, Position(epoch, known))
            case "announce":
                await self._announce(member, at, b"x" * known)
            case _:
                raise AssertionError(operation)

    async def _acquire(self, member: str, known: int) -> None:
        expected = self.model.acquire(member, TTL, known, 0.0)
        # An epoch that was never granted here: above all that were, as one from before a loss.
        self._epochs.setdefault(known, max(self._epochs.values()) + 1)
        got = await self.engine.members[member].acquire(TTL, self._epochs[known])
        if isinstance(expected, Lease):
            self._leader = member
            self._granted.add(expected.epoch)
        self._compare_leases(expected, got)

    async def _announce(self, member: str, feed: Position, note: bytes) -> None:
        """Announce a member that reads an epoch which was granted: the order of others is the model's alone."""
        if feed.epoch in self._granted:
            expected = self.model.announce(member, note, feed, TTL, 0.0)
            got = await self.engine.members[member].announce(note, self._real_position(feed), TTL)
            self._compare_lags(expected, got)

    async def _take(self, member: str, done: Position) -> None:
        """Take, after a submission that was taken: the nearest one up to `done`."""
        if not self.engine.any_member_takes and (member, done.epoch) != (self._leader, self.model._epoch):
            return
        taken_before = (each for each in self._mails if each.epoch == done.epoch and each <= done)
        done = max(taken_before, default=Position(done.epoch, 0))
        real = self._mails.get(done, Position(self._epochs.get(done.epoch, done.epoch), 0))
        expected = self.model.take(done)
        got = await self.engine.members[member].take(real, 0)
        assert [astuple(each)[1:] for each in got] == [astuple(each)[1:] for each in expected]
        for each, found in zip(expected, got, strict=True):
            assert self._mails.setdefault(each.position, found.position) == found.position
            assert found.position.epoch == self._epochs[each.position.epoch]
        places = [self._mails[each] for each in sorted(self._mails)]
        assert places == sorted(set(places))

    async def compare_state(self) -> None:
        """Compare the lease, and what each member reads from the beginning."""
        expected = self.model.lease(0.0)
        got = await self.engine.members["c"].lease()
        if expected is None:
            assert got is None, self
        else:
            self._compare_leases(expected, got)
        for member in self.engine.members:
            await self._compare_reads(member, START, START)
        await self._compare_announcements()

    async def _compare_announcements(self) -> None:
        observer = self.engine.engine.observe(self.engine.key.prefix)
        views = await observer.look(self.engine.key.digest)
        await observer.aclose()
        lease, members = self.model.lease(0.0), self.model.announced(0.0)
        if not members:  # by which a cluster is found
            assert not [each for view in views for each in view.members], self
            return
        (view,) = views
        assert (view.lease and view.lease.member) == (lease and lease.member), self
        assert [(each.member, each.note) for each in view.members] == [(each.member, each.note) for each in members]
        for expected, got in zip(members, view.members, strict=True):
            self._compare_lags(expected.lag, got.lag)

    def _compare_lags(self, expected: Lag | None, got: Lag | None) -> None:
        """Compare what is known; the model's time stands still."""
        if got is None and not self.engine.tells_every_lag:
            return
        assert (expected is None) == (got is None), (expected, got)
        if expected is not None and got is not None:
            assert got.records == expected.records
            assert (got.seconds is None) == (expected.seconds is None)

    async def _compare_reads(self, member: str, feed: Position, answers: Position) -> None:
        """Read until nothing more comes: an engine may return a part, and mix feed and answers as it likes."""
        expected = [self._real_record(each) for each in self.model.read(member, feed, answers)]
        at, answered = self._real_position(feed), self._real_position(answers)
        got: list[Record] = []
        while found := await self.engine.members[member].follow(at, answered, 0):
            got += found
            for each in found:
                if each.kind is RecordKind.ANSWER:
                    answered = each.position
                else:
                    at = each.position
        got.sort(key=_is_answer)
        assert got == expected

    def _compare_leases(self, expected: Lease | LeaseInfo, got: Lease | LeaseInfo | None) -> None:
        if isinstance(expected, Lease):
            assert isinstance(got, Lease)
            assert got.previous is expected.previous
            assert got.epoch > max(self._epochs.values())
            self._epochs[expected.epoch] = got.epoch
        else:
            assert isinstance(got, LeaseInfo)
            assert got.member == expected.member
            assert (got.epoch, got.end) == (self._epochs[expected.epoch], self._real_position(expected.end))

    async def _compare_refusals(self, call: Coroutine[Any, Any, None], expected: Exception | None) -> None:
        got: Exception | None = None
        try:
            await call
        except (Fenced, MailboxFull) as error:
            got = error
        assert type(got) is type(expected), (got, expected)
        if isinstance(got, Fenced) and isinstance(expected, Fenced):
            assert got.newer == (None if expected.newer is None else self._epochs[expected.newer])

    def _real_position(self, position: Position) -> Position:
        """The engine's position for one of the model."""
        epoch, number = position
        if before(Position(epoch + 1, 0)) == position:
            return before(Position(self._epochs[epoch + 1], 0))
        return Position(self._epochs.get(epoch, epoch), number)

    def _real_record(self, record: Record) -> Record:
        """The engine's record for one of the model."""
        at, previous = self._real_position(record.position), self._real_position(record.previous)
        return Record(record.kind, at, record.payload, record.member, previous, record.missed)


def _is_answer(record: Record) -> bool:
    return record.kind is RecordKind.ANSWER


def _refusal(call: Callable[[], None]) -> Exception | None:
    try:
        call()
    except (Fenced, MailboxFull) as error:
        return error
    return None


def every_operation(*, with_knowledge: bool = True) -> list[Operation]:
    """Every operation of two members on lease and feed, sensible or not.

    `with_knowledge`: also with members that know of batches which the engine may have lost.
    """
    found = [EXPIRE, LOSE]
    for member in (0, 1):
        found += [Operation("acquire", member, known=epoch) for epoch in range(_EPOCHS)]
        for epoch in range(1, _EPOCHS + 1):
            found.append(Operation("renew", member, epoch))
            found += [Operation("release", member, epoch, number) for number in range(1, _NUMBERS)]
            found += [
                Operation("publish", member, epoch, number, known)
                for number in range(1, _NUMBERS)
                for known in range(number if with_knowledge else 1)
            ]
    found += [
        Operation("announce", 1, epoch, number, number % 2)
        for epoch in range(1, _EPOCHS + 1)
        for number in range(_NUMBERS)
    ]
    return found


def after(state: EngineState, operation: Operation) -> EngineState:
    """The state after an operation."""
    if operation is EXPIRE:
        return state._replace(holder=-1, left=0)
    if operation is LOSE:
        return EngineState(floor=max(state.epoch, state.floor))
    return execute(state, operation)[0]


def traces(operations: list[Operation]) -> list[list[Operation]]:
    """Traces from the beginning that together make every step from every state with few epochs and batches."""
    return every_trace(
        EngineState(), lambda state: {each: then for each in operations if is_within(then := after(state, each))}
    )


def is_within(state: EngineState) -> bool:
    """True for states with few epochs and batches."""
    return max(state.epoch, state.floor) <= _EPOCHS and state.end.number <= _NUMBERS


def every_trace(first: S, steps: Callable[[S], dict[Operation, S]]) -> list[list[Operation]]:
    """Traces from the first state that together make every step; `steps`: those from a state, and where they lead."""
    ways: dict[S, list[Operation]] = {first: []}
    queue = deque(ways)
    every: dict[S, dict[Operation, S]] = {}
    while queue:
        state = queue.popleft()
        every[state] = steps(state)
        for operation, then in every[state].items():
            if then not in ways:
                ways[then] = [*ways[state], operation]
                queue.append(then)
    left = {state: list(found) for state, found in every.items()}
    found: list[list[Operation]] = []
    for start in list(left):
        while left[start]:
            trace, state = list(ways[start]), start
            while left[state]:
                # Steps that change nothing come first, so that a trace is as long as it can be.
                stays = [each for each in left[state] if every[state][each] == state]
                operation = (stays or left[state])[0]
                left[state].remove(operation)
                trace.append(operation)
                state = every[state][operation]
            found.append(trace)
    return found


def random_operation(chance: random.Random, model: EngineModel) -> Operation:
    """An operation that is often sensible: of an epoch that leads, or led."""
    name = chance.choice(_NAMES)
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
