"""Three members of a cluster, the network and the engine: what can happen next, and what must hold after each step.

The engine is `EngineModel`, and each member counts its lease by a `LeaseClock`. Requests are executed late or never,
and replies come late or never; a member that gives up on a request may have it executed long afterwards. Time goes in
ticks.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from onesocket.sharing.cluster._coordinator import Position
from onesocket.sharing.cluster._lease_clock import LeaseClock
from tests.model.cluster_engine_steps import ACCEPTED, MARGIN, TTL, EngineState, Operation, execute, older_engine

_ACQUIRES: Final = ("acquire", "take lease")
_COUNTED: Final = (*_ACQUIRES, "begin", "renew")
"""A lease is counted from before these requests."""


class Phase(enum.IntEnum):
    """Part of a member in the connection upstream."""

    FOLLOWS = 0
    """None, and no lease as far as it knows."""
    HOLDS_BACK = 1
    """None yet: it has the lease, and waits until the leader before must have closed."""
    LEADS = 2
    CLOSES = 3
    """One that it is closing; it may be open until the lease ends by its own clock."""


class Request(NamedTuple):
    """An operation that a member waits for."""

    operation: Operation
    age: int = 0
    """Ticks since it was sent."""
    reply: tuple[int, ...] = ()
    """Empty: not executed yet. `ACCEPTED` or `REFUSED`; of acquire, or its first step, the epoch and the ticks to hold
    back, or only the epoch of another member."""


class Member(NamedTuple):
    """One member. Times are ticks from now."""

    phase: Phase = Phase.FOLLOWS
    epoch: int = 0
    left: int = 0
    """Until its lease ends, by its own clock."""
    hold: int = 0
    """Until it may dial."""
    seen: int = 0
    """The highest epoch that it knows of; only where the engine can lose its own."""
    number: int = 0
    """Of the newest batch of its epoch."""
    accepted: int = 0
    """Highest number that the engine has accepted, as far as it knows."""
    request: Request | None = None

    @property
    def may_be_connected(self) -> bool:
        return self.phase in (Phase.LEADS, Phase.CLOSES)


class Loss(enum.Enum):
    """Losses of an engine that the search looks at."""

    NOTHING = "nothing"
    ALL = "all"
    """Once, it loses all that it has."""
    NEWEST = "newest"
    """Once, it fails over to a replica that got nothing any more from some moment on."""


class Bounds(NamedTuple):
    """Limits that make the search finite, and the faults that it looks at."""

    members: int = 3
    epochs: int = 2
    batches: int = 1
    """Of one epoch."""
    faults: int = 1
    """Requests and replies that are lost or late, crashes, losses and freezes, together."""
    loss: Loss = Loss.NOTHING
    freezes: bool = False
    """A member can stand still, so that it doesn't close when its lease ends."""
    two_steps: bool = False
    """The engine acquires and releases in two steps, as NATS does: others come between, or the second is missing."""

    @property
    def allows_two_connections(self) -> bool:
        """True in the cases that docs/guarantees.md names."""
        return self.freezes or self.loss is Loss.NEWEST


class ClusterWorld(NamedTuple):
    """One state of all. Members are alike, so states are equal that differ in names alone: see `sorted_members`."""

    engine: EngineState
    members: tuple[Member, ...]
    late: tuple[Operation, ...] = ()
    """Requests that their members have given up, and that are still under way."""
    writers: tuple[tuple[int, int], ...] = ()
    """Each epoch of which readers have got a record, with the member that wrote it."""
    replica: EngineState | None = None
    faults: int = 0
    lost: bool = False
    frozen: int = -1

    @classmethod
    def first(cls, bounds: Bounds) -> ClusterWorld:
        """The state before the first step: each member has heard of an epoch, if the engine can forget it."""
        if bounds.loss is Loss.NOTHING:
            return cls(EngineState(), (Member(),) * bounds.members)
        end = Position(1, 1)
        return cls(EngineState(1, end), (Member(seen=1),) * bounds.members)

    def next(self, bounds: Bounds) -> Iterator[WorldStep]:
        """Every step that is possible now."""
        may_fail = self.faults < bounds.faults
        yield WorldStep("tick", self._tick())
        for index, member in enumerate(self.members):
            if self.frozen != index:
                yield from self._moves(index, member, bounds)
            yield from self._network(index, bounds, may_fail=may_fail)
            if may_fail:
                yield from self._member_faults(index, member, bounds)
        for operation in self.late:
            if self._is_within(operation, bounds):
                late = list(self.late)
                late.remove(operation)
                step = self._execute(operation)
                yield step._replace(name=f"late {step.name}", after=step.after._replace(late=tuple(late)))
        if self.frozen >= 0:
            yield WorldStep(f"{self.frozen} goes on", self._replace(frozen=-1))
        yield from self._losses(bounds, may_fail=may_fail)

    def sorted_members(self) -> tuple[ClusterWorld, tuple[int, ...]]:
        """The state with its members in an order that doesn't depend on their names; and the old name of each."""
        keys = [self._key(index) for index in range(len(self.members))]
        order = tuple(sorted(range(len(keys)), key=keys.__getitem__))
        if order == tuple(range(len(keys))):
            return self, order
        new = {old: at for at, old in enumerate(order)} | {-1: -1}
        members: list[Member] = []
        for old in order:
            member = self.members[old]
            if (request := member.request) is not None:
                operation = request.operation._replace(member=new[old])
                member = member._replace(request=request._replace(operation=operation))
            members.append(member)
        replica = self.replica
        renamed = self._replace(
            engine=self.engine._replace(holder=new[self.engine.holder]),
            members=tuple(members),
            late=tuple(sorted(each._replace(member=new[each.member]) for each in self.late)),
            writers=tuple((epoch, new[writer]) for epoch, writer in self.writers),
            replica=None if replica is None else replica._replace(holder=new[replica.holder]),
            frozen=new[self.frozen],
        )
        return renamed, order

    def _key(self, index: int) -> tuple[Any, ...]:
        """All about a member but its name."""
        *own, request = self.members[index]
        replica = self.replica
        return (
            *own,
            () if request is None else (*request.operation._replace(member=0), request.age, request.reply),
            (self.engine.holder == index, self.frozen == index, replica is not None and replica.holder == index),
            [epoch for epoch, writer in self.writers if writer == index],
            [each._replace(member=0) for each in self.late if each.member == index],
        )

    def _moves(self, index: int, member: Member, bounds: Bounds) -> Iterator[WorldStep]:
        for operation in operations(index, member, bounds):
            sent = member._replace(request=Request(operation))
            if operation.name == "publish":
                sent = sent._replace(number=operation.number)
            elif operation.name in ("release", "free lease"):
                sent = following(sent)  # it has closed in order
            yield WorldStep(f"{index} sends {operation.name}", self._with(index, sent))
        if member.phase is Phase.HOLDS_BACK and member.hold == 0 and member.left > MARGIN:
            yield WorldStep(f"{index} dials", self._with(index, member._replace(phase=Phase.LEADS)))
        if member.phase is Phase.CLOSES:
            yield WorldStep(f"{index} has closed", self._with(index, following(member)))

    def _member_faults(self, index: int, member: Member, bounds: Bounds) -> Iterator[WorldStep]:
        crashed = self._with(index, Member(seen=member.seen))._replace(faults=self.faults + 1)
        yield WorldStep(f"{index} crashes", crashed._replace(frozen=-1 if self.frozen == index else self.frozen))
        if bounds.freezes and self.frozen < 0:
            yield WorldStep(f"{index} freezes", self._replace(frozen=index, faults=self.faults + 1))

    def _losses(self, bounds: Bounds, *, may_fail: bool) -> Iterator[WorldStep]:
        floor = max(self.engine.epoch, self.engine.floor)
        if self.lost or not may_fail:
            return
        if bounds.loss is Loss.ALL:
            lost = self._replace(engine=EngineState(floor=floor), lost=True, faults=self.faults + 1)
            yield WorldStep("the engine loses all", lost)
        elif self.replica is not None:
            engine = self.replica._replace(floor=floor)
            lost = self._replace(engine=engine, replica=None, lost=True, faults=self.faults + 1)
            yield WorldStep("the engine fails over", lost)
        elif bounds.loss is Loss.NEWEST:
            yield WorldStep("the replica gets nothing any more", self._replace(replica=self.engine))

    def _is_within(self, operation: Operation, bounds: Bounds) -> bool:
        known = max(self.engine.epoch, self.engine.floor, operation.known)
        return operation.name not in _ACQUIRES or known < bounds.epochs

    def _network(self, index: int, bounds: Bounds, *, may_fail: bool) -> Iterator[WorldStep]:
        member = self.members[index]
        request = member.request
        if request is None:
            return
        operation = request.operation
        name = f"{operation.name} of {index}"
        given_up = self._with(index, member._replace(request=None))._replace(faults=self.faults + 1)
        if not request.reply:
            if self._is_within(operation, bounds):
                step = self._execute(operation)
                done = member._replace(request=request._replace(reply=step.reply))
                if operation.name in _ACQUIRES and len(step.reply) == 1 and bounds.loss is Loss.NOTHING:
                    done = member._replace(request=None)  # another one has it: whenever it hears that, nothing changes
                yield step._replace(after=step.after._with(index, done))
            if may_fail:
                yield WorldStep(f"{name} is lost", given_up)
                late = tuple(sorted((*self.late, operation)))
                yield WorldStep(f"{name} is late", given_up._replace(late=late))
            return
        if self.frozen != index:
            yield WorldStep(f"{index} hears of its {operation.name}", self._with(index, heard(member, request, bounds)))
        if may_fail:
            yield WorldStep(f"the reply to {name} is lost", given_up)

    def _with(self, index: int, member: Member) -> ClusterWorld:
        members = list(self.members)
        members[index] = member
        return self._replace(members=tuple(members))

    def _tick(self) -> ClusterWorld:
        members = (older(member, is_frozen=self.frozen == index) for index, member in enumerate(self.members))
        replica = None if self.replica is None else older_engine(self.replica)
        return self._replace(engine=older_engine(self.engine), members=tuple(members), replica=replica)

    def _execute(self, operation: Operation) -> WorldStep:
        engine, reply, written = execute(self.engine, operation)
        writers = dict(self.writers)
        for epoch, _ in written:
            # Records of one epoch have dense numbers, so a reader notices each that it doesn't get, or gets too late.
            # But it can't tell two members' records of one epoch from each other.
            assert writers.setdefault(epoch, operation.member) == operation.member, "two members wrote in one epoch"
            assert epoch >= self.engine.epoch, "an epoch was written to after another one had taken the lease"
            if self.replica is None and not self.lost:
                assert epoch == max(writers), "an epoch that had ended was written to"
                writers = {epoch: operation.member}
        if operation.name == "publish" and reply == ACCEPTED:
            position = Position(operation.epoch, operation.number)
            is_there = engine.epoch == operation.epoch and position <= engine.end
            assert is_there, "a batch was accepted, and is not in the feed"
        after = self._replace(engine=engine, writers=tuple(sorted(writers.items())))
        return WorldStep(f"{operation.name} of {operation.member} is executed", after, operation, reply)


class WorldStep(NamedTuple):
    """Something that happens."""

    name: str
    after: ClusterWorld
    operation: Operation | None = None
    """The one that the engine executed."""
    reply: tuple[int, ...] = ()


def operations(index: int, member: Member, bounds: Bounds) -> Iterator[Operation]:
    """Requests that a member may send now."""
    if member.request is not None or member.phase is Phase.CLOSES:
        return
    if member.phase is Phase.FOLLOWS:
        yield Operation("take lease" if bounds.two_steps else "acquire", index, known=member.seen)
        return
    if member.left < TTL:
        yield Operation("renew", index, member.epoch)
    if member.phase is Phase.LEADS:
        if member.left > MARGIN:  # as `LeaseClock.may_send`
            if member.accepted < member.number:
                yield Operation("publish", index, member.epoch, member.number, member.accepted)  # once more
            elif member.number < bounds.batches:
                yield Operation("publish", index, member.epoch, member.number + 1, member.accepted)
        yield Operation("free lease" if bounds.two_steps else "release", index, member.epoch, member.number + 1)


def heard(member: Member, request: Request, bounds: Bounds) -> Member:
    """The member after the reply to its request."""
    operation, age, reply = request
    member = member._replace(request=None)
    match operation.name:
        case "acquire" | "take lease":
            epoch, *hold = reply
            if bounds.loss is not Loss.NOTHING:
                member = member._replace(seen=max(member.seen, epoch))
            if not hold:
                return member  # another one has it
            if operation.name == "take lease":
                begin = Operation("begin", operation.member, epoch, known=hold[0])
                return member._replace(request=Request(begin, age))
            return granted(member, epoch, hold[0], age)
        case "begin":
            return granted(member, operation.epoch, operation.known, age) if reply == ACCEPTED else member
        case "free lease" if reply == ACCEPTED:
            end = Operation("end", operation.member, operation.epoch, operation.number)
            return member._replace(request=Request(end))
        case "renew" if member.phase in (Phase.HOLDS_BACK, Phase.LEADS):
            return member._replace(left=max(member.left, TTL - age)) if reply == ACCEPTED else closing(member)
        case "publish" if member.phase is Phase.LEADS:
            return member._replace(accepted=operation.number) if reply == ACCEPTED else closing(member)
        case _:
            return member


def granted(member: Member, epoch: int, hold: int, age: int) -> Member:
    """The member with a lease that it asked for `age` ticks ago, unless it is too late to use it."""
    clock = LeaseClock(TTL, MARGIN)
    clock.granted(-age)
    if not clock.may_send(0):
        return member
    return member._replace(phase=Phase.HOLDS_BACK, epoch=epoch, left=int(clock.close_at) + MARGIN, hold=hold)


def following(member: Member) -> Member:
    """The member without a connection, and without a lease as far as it knows."""
    return Member(seen=member.seen, request=member.request)


def closing(member: Member) -> Member:
    """The member as it stops leading: it may need some time to close."""
    if not member.may_be_connected:
        return following(member)
    return Member(Phase.CLOSES, left=member.left, seen=member.seen, request=member.request)


def older(member: Member, *, is_frozen: bool) -> Member:
    """The member after a tick."""
    request = member.request
    if request is not None and request.operation.name in _COUNTED:
        request = request._replace(age=min(request.age + 1, TTL))
    member = member._replace(left=max(0, member.left - 1), hold=max(0, member.hold - 1), request=request)
    if is_frozen or member.phase is Phase.FOLLOWS:
        return member
    if member.left == 0:
        return following(member)
    return closing(member) if member.left <= MARGIN else member


def has_two_connections(world: ClusterWorld) -> bool:
    """True if two members may have a connection upstream."""
    return sum(member.may_be_connected for member in world.members) > 1
