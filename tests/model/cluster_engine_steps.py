"""Steps of an `EngineModel` as functions of its state, for searches and replays. Time goes in ticks."""

from __future__ import annotations

from functools import cache
from typing import Final, NamedTuple

from onesocket.errors import Fenced
from onesocket.sharing.cluster._coordinator import START, LeaseInfo, Position
from onesocket.sharing.cluster._engine_model import EngineModel
from onesocket.sharing.cluster._lease_clock import LeaseClock

TTL: Final = 3
MARGIN: Final = 1
MEMBERS: Final = ("a", "b", "c")
ACCEPTED: Final = (1,)
REFUSED: Final = (0,)


class Operation(NamedTuple):
    """One call of `Coordinator`, with its arguments."""

    name: str
    member: int
    epoch: int = 0
    number: int = 0
    known: int = 0
    """`after`, or the number that is known to be accepted; of begin, the ticks to hold back that its lease brought."""


class EngineState(NamedTuple):
    """State of an `EngineModel`, as far as these operations see it."""

    epoch: int = 0
    end: Position = START
    was_released: bool = True
    holder: int = -1
    left: int = 0
    floor: int = 0
    """Epochs begin above it: an engine takes them from its clock."""
    has_ended: bool = True
    """True if the newest record is the end of its epoch, or there is none."""


def older_engine(engine: EngineState) -> EngineState:
    """The engine after a tick."""
    if engine.holder < 0:
        return engine
    return engine._replace(left=engine.left - 1) if engine.left > 1 else engine._replace(holder=-1, left=0)


@cache
def execute(engine: EngineState, operation: Operation) -> tuple[EngineState, tuple[int, ...], tuple[Position, ...]]:
    """The engine after an operation, the reply, and the positions of what it appended to the feed."""
    model = EngineModel()
    model._epoch, model._end, model._was_released = engine.epoch, engine.end, engine.was_released
    model._floor, model._has_ended = engine.floor, engine.has_ended
    if engine.holder >= 0:
        model._holder, model._until = MEMBERS[engine.holder], float(engine.left)
    reply = perform(model, operation)
    holder = MEMBERS.index(model._holder) if model._holder else -1
    left = int(model._until) if model._holder else 0
    after = EngineState(model._epoch, model._end, model._was_released, holder, left, model._floor, model._has_ended)
    return after, reply, tuple(each.position for each in model._feed)


def perform(model: EngineModel, operation: Operation) -> tuple[int, ...]:
    """Perform an operation at the time 0; returns the reply."""
    name, index, epoch, number, known = operation
    member = MEMBERS[index]
    match name:
        case "acquire" | "take lease":
            acquire = model.acquire if name == "acquire" else model.take_lease
            granted = acquire(member, TTL, known, 0.0)
            if isinstance(granted, LeaseInfo):
                return (granted.epoch,)
            return granted.epoch, int(LeaseClock(TTL, MARGIN).dial_delay(granted.previous))
        case "renew":
            return ACCEPTED if model.renew(member, epoch, TTL, 0.0) else REFUSED
        case "release":
            model.release(member, Position(epoch, number), 0.0)
            return ACCEPTED
        case "free lease":
            return ACCEPTED if model.free_lease(member, epoch, 0.0) else REFUSED
        case "end":
            model.end(Position(epoch, number), 0.0)
            return ACCEPTED
        case "announce":
            model.announce(member, b"x" * known, Position(epoch, number), TTL, 0.0)
            return ACCEPTED
        case _:
            try:
                if name == "begin":
                    model.begin(member, epoch, 0.0)
                else:
                    model.publish(member, Position(epoch, number), b"x", known, 0.0)
            except Fenced:
                return REFUSED
            return ACCEPTED
