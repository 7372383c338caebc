"""Replays `acquire` and `release` of an engine in their two steps, with those of other members in between.

The second step of a real coordinator waits at a gate until the trace comes to it, or is given up before, as by a crash.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final, NamedTuple

from onesocket.errors import EngineUnavailable, Fenced
from onesocket.sharing.cluster._coordinator import Lease, Position, PreviousEpoch
from onesocket.sharing.cluster._nats_key import NatsKeyCoordinator
from onesocket.sharing.cluster._nats_lease import HeldLease
from tests.model.cluster_engine_steps import MEMBERS, EngineState, Operation, execute
from tests.support.engine_replay import EXPIRE, TTL, Replay, ReplayedEngine, after, every_trace, is_within

_TWO: Final = (0, 1)
_GIVE_UP: Final = "give up"


class SecondStepGate:
    """Holds the second step of an operation back."""

    def __init__(self, coordinator: NatsKeyCoordinator) -> None:
        self.reached = asyncio.Event()
        self.opened = asyncio.Event()
        self.held: HeldLease | None = None
        self.running: asyncio.Task[Any] | None = None
        """The operation; None: none is under way."""
        self.position = Position(0, 0)
        """The model's, of what is under way."""
        self.previous = PreviousEpoch.NONE
        """The end of the epoch before, of a lease that was taken."""
        lease: Any = coordinator._lease
        lease._begin, lease._end = self._wrap(lease._begin), self._wrap(lease._end)

    def _wrap(self, step: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        async def gated(held: HeldLease, *arguments: Any) -> Any:
            self.held = held
            self.reached.set()
            await self.opened.wait()
            return await step(held, *arguments)

        return gated

    async def first_step(self, operation: Awaitable[Any], position: Position) -> bool:
        """Run an operation up to its second step; False: it ended without one."""
        self.reached.clear()
        self.opened.clear()
        self.position = position
        self.running = running = asyncio.ensure_future(operation)
        reached = asyncio.ensure_future(self.reached.wait())
        await asyncio.wait((running, reached), return_when=asyncio.FIRST_COMPLETED)
        if not reached.done():
            reached.cancel()
            return False
        return True

    async def result(self) -> Any:
        """Let the operation go on, and return its result."""
        running, self.running = self.running, None
        self.opened.set()
        assert running is not None
        return await running

    async def give_up(self) -> None:
        """End the operation before its second step."""
        running, self.running = self.running, None
        assert running is not None
        running.cancel()
        await asyncio.wait((running,))


class TwoStepReplay(Replay):
    """The model in two steps beside NATS."""

    def __init__(self, engine: ReplayedEngine, coordinators: dict[str, NatsKeyCoordinator]) -> None:
        super().__init__(engine)
        self._gates = {name: SecondStepGate(each) for name, each in coordinators.items()}

    async def aclose(self) -> None:
        """Give up what is under way."""
        for gate in self._gates.values():
            if gate.running is not None:
                await gate.give_up()

    async def _step(self, operation: Operation) -> None:
        name, index, epoch, number, known = operation
        member, gate = MEMBERS[index], self._gates[MEMBERS[index]]
        match name:
            case "take lease":
                await self._take_lease(member, gate, known)
            case "begin":
                await self._begin(member, gate)
            case "free lease":
                real = Position(self._epochs.get(epoch, epoch), number)
                release = self.engine.members[member].release(real)
                assert await gate.first_step(release, Position(epoch, number)) == self.model.free_lease(
                    member, epoch, 0.0
                )
                if not gate.reached.is_set():
                    await gate.result()
            case "end":
                self.model.end(gate.position, 0.0)
                await gate.result()
            case "give up":
                await gate.give_up()
            case _:
                await super()._step(operation)

    async def _take_lease(self, member: str, gate: SecondStepGate, known: int) -> None:
        expected = self.model.take_lease(member, TTL, known, 0.0)
        self._epochs.setdefault(known, max(self._epochs.values()) + 1)
        acquire = self.engine.members[member].acquire(TTL, self._epochs[known])
        if not await gate.first_step(acquire, Position(expected.epoch, 0)):
            self._compare_leases(expected, await gate.result())
            return
        assert isinstance(expected, Lease)
        assert gate.held is not None
        self._compare_leases(expected, Lease(gate.held.epoch, expected.previous))
        gate.previous = expected.previous

    async def _begin(self, member: str, gate: SecondStepGate) -> None:
        epoch = gate.position.epoch
        try:
            self.model.begin(member, epoch, 0.0)
        except Fenced:
            try:
                got = await gate.result()
            except EngineUnavailable:
                return
            raise AssertionError(f"{got}, and the lease was another's") from None
        got = await gate.result()
        assert isinstance(got, Lease)
        assert (got.epoch, got.previous) == (self._epochs[epoch], gate.previous)


class TwoStepState(NamedTuple):
    """The engine, and what each of two members has under way: the second step that follows."""

    engine: EngineState = EngineState()
    pending: tuple[Operation | None, Operation | None] = (None, None)


def two_step_traces() -> list[list[Operation]]:
    """Traces that together make every step of two members from every state, with few epochs and batches."""
    return every_trace(TwoStepState(), _steps)


def _steps(state: TwoStepState) -> dict[Operation, TwoStepState]:
    found: dict[Operation, TwoStepState] = {}
    engine = state.engine
    for member in _TWO:
        second = state.pending[member]
        if second is not None:
            found[second] = _with(state, member, execute(engine, second)[0], None)
            found[Operation(_GIVE_UP, member)] = _with(state, member, engine, None)
            continue
        take = Operation("take lease", member)
        then, reply, _ = execute(engine, take)
        found[take] = _with(state, member, then, Operation("begin", member, reply[0]) if len(reply) == 2 else None)
        for epoch in range(1, engine.epoch + 1):
            for whole in (Operation("publish", member, epoch, 1), Operation("renew", member, epoch)):
                found[whole] = _with(state, member, execute(engine, whole)[0], None)
            if engine.holder < 0 and engine.was_released and engine.epoch == epoch:
                continue  # a repeated release
            free = Operation("free lease", member, epoch, 2)
            then, reply, _ = execute(engine, free)
            found[free] = _with(state, member, then, Operation("end", member, epoch, 2) if reply == (1,) else None)
    if engine.holder >= 0:
        found[EXPIRE] = state._replace(engine=after(engine, EXPIRE))
    return {operation: then for operation, then in found.items() if is_within(then.engine)}


def _with(state: TwoStepState, member: int, engine: EngineState, second: Operation | None) -> TwoStepState:
    pending = (second, state.pending[1]) if member == 0 else (state.pending[0], second)
    return TwoStepState(engine, pending)
