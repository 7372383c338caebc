"""Every machine state that can be reached, times everything that can happen there."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Hashable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from onesocket.errors import OnesocketError
from onesocket.lifecycle import _effects as fx
from onesocket.lifecycle._effects import Effect
from onesocket.lifecycle._events import (
    Connect,
    ConnectionFailing,
    ConnectionGone,
    DeadlineExtended,
    Event,
    Opened,
    ProtocolReady,
    Reconnect,
    Rotate,
    TimerFired,
    TimerKind,
)
from onesocket.lifecycle._machine import Machine
from onesocket.lifecycle._peer_errors import as_established
from onesocket.lifecycle._retry import ReconnectPolicy
from onesocket.lifecycle._states import State
from onesocket.lifecycle._verdict import Verdict
from tests.model.environment import (
    CLOSE_TIMEOUT,
    FATAL,
    LIMIT,
    LOST,
    NAMED,
    NAMED_LATE,
    OPEN_TIMEOUT,
    RETRYING_EVENTS,
    ROTATING_EVENTS,
    TOKEN,
    Environment,
    Scenario,
)

NEVER_GIVES_UP = ReconnectPolicy(initial=1, cap=8)
GIVES_UP = ReconnectPolicy(initial=1, cap=8, max_attempts=3)
ALL: dict[str, Any] = {"jitters": (0.0, 0.5), "max_callers": 3, "max_failures": 4}
SCENARIOS = {
    "no reconnect": Scenario(None, **ALL),
    "gives up": Scenario(GIVES_UP, **ALL),
    "never gives up": Scenario(NEVER_GIVES_UP, **ALL),
    "first connects are retried": Scenario(
        NEVER_GIVES_UP, (LOST, FATAL), (Connect(), *RETRYING_EVENTS), max_failures=2
    ),
    "the server names a date": Scenario(GIVES_UP, (NAMED,), (Connect(), *RETRYING_EVENTS[1:])),
    "nothing is retried, and the server names a date": Scenario(None, (LOST, NAMED)),
    "tokens are renewed": Scenario(NEVER_GIVES_UP, (TOKEN,), (Connect(), RETRYING_EVENTS[0]), renews_token=True),
    "a ghost has our place": Scenario(GIVES_UP, (LIMIT,), (Connect(), Reconnect(), RETRYING_EVENTS[0])),
    "the policy has a hook": Scenario(
        NEVER_GIVES_UP, (LOST, FATAL), (Connect(), RETRYING_EVENTS[1]), verdicts=(None, *Verdict), max_failures=2
    ),
    "rotations": Scenario(NEVER_GIVES_UP, (LOST,), ROTATING_EVENTS[:3], max_callers=1, max_failures=1),
    "rotations without reconnect": Scenario(None, (FATAL,), ROTATING_EVENTS, max_callers=1),
    "a second connection is refused": Scenario(
        GIVES_UP, (LIMIT,), (Connect(), Rotate()), max_callers=1, max_failures=1, closes_first=True
    ),
    "a successor is told a date": Scenario(
        GIVES_UP, (NAMED_LATE,), (*ROTATING_EVENTS[:3], Reconnect(retry=True)), max_callers=1, max_failures=1
    ),
    "rotations with renewed tokens": Scenario(
        NEVER_GIVES_UP, (TOKEN,), (Connect(), Rotate()), max_callers=1, max_failures=1, renews_token=True
    ),
}
# How many worlds there are; a test that suddenly explores fewer has lost its point.
AT_LEAST = {
    "no reconnect": 300,
    "gives up": 1_000,
    "never gives up": 1_500,
}
# What a waiting caller may have to live through: the rest of an attempt nobody wants any more, its close, and
# an attempt of its own with the close that its failure takes. (An upgrade may be answered just after the deadline.)
WORST_WAIT = 2 * (OPEN_TIMEOUT + CLOSE_TIMEOUT)
TIMEOUTS = {TimerKind.OPEN: OPEN_TIMEOUT, TimerKind.CLOSE: CLOSE_TIMEOUT}

Edge = tuple[Hashable, float]


@dataclass
class Exploration:
    """The result of a search."""

    worlds: dict[Hashable, Environment] = field(default_factory=dict)
    parents: dict[Hashable, tuple[Hashable, Event] | None] = field(default_factory=dict)
    unaided: dict[Hashable, list[Edge]] = field(default_factory=dict)
    """Where somebody waits: where the connection and the clock alone can take that world, and in what time."""
    behaviour: dict[Hashable, tuple[Hashable, Event]] = field(default_factory=dict)
    steps: int = 0
    stale: int = 0

    def story(self, key: Hashable) -> list[Event]:
        """The shortest way there."""
        inputs: list[Event] = []
        parent = self.parents[key]
        while parent is not None:
            inputs.append(parent[1])
            parent = self.parents[parent[0]]
        return inputs[::-1]


@pytest.fixture(scope="module", params=SCENARIOS)
def name(request: pytest.FixtureRequest) -> str:
    """The name of a scenario."""
    return str(request.param)


@pytest.fixture(scope="module")
def found(name: str) -> Iterator[Exploration]:
    """The search of a scenario, with a bound of requests to a token source that is so low that it is met.

    It is forgotten before the next scenario: a collection of all that was found would take seconds in each later test.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("onesocket.lifecycle._guards.MAX_TOKEN_REQUESTS", 2)
        yield _search(Environment.new(SCENARIOS[name]))


def _search(start: Environment) -> Exploration:
    found = Exploration()
    found.worlds[start.key()] = start
    found.parents[start.key()] = None
    queue = deque([start.key()])
    while queue:
        key = queue.popleft()
        world = found.worlds[key]
        found.stale += world.copy().check_nothing_from_the_past()
        waited_for = world.waiting_callers > world.retrying_callers or world.leavers
        unaided: list[Edge] = []
        moves = [(event, False) for event in world.from_users()]
        moves += [(event, True) for event in world.from_connection_and_clock()]
        for event, by_itself in moves:
            after = world.copy()
            found.steps += 1
            try:
                effects = after.step(event)
                _same_condition_same_behaviour(found, world.machine, event, effects, after)
            except AssertionError as broken:
                broken.add_note(f"after {[*found.story(key), event]}")
                raise
            next_key = after.key()
            if waited_for and by_itself and next_key != key:
                took = after.now - world.now if isinstance(event, TimerFired) and event.kind is TimerKind.RETRY else 0.0
                took = TIMEOUTS.get(event.kind, took) if isinstance(event, TimerFired) else took
                unaided.append((next_key, took))
            if next_key not in found.worlds and after.machine.failures <= world.scenario.max_failures:
                found.worlds[next_key] = after
                found.parents[next_key] = (key, event)
                queue.append(next_key)
        if waited_for:
            found.unaided[key] = unaided
    return found


def _same_condition_same_behaviour(
    found: Exploration, before: Machine, event: Event, effects: tuple[Effect, ...], world: Environment
) -> None:
    """`condition()` holds all that decides: what was seen once in a condition is seen always."""
    after = world.machine
    cause = (before.state_key(world.now), _relative_input(event, before))
    behaviour = (
        tuple(_relative_effect(effect, before) for effect in effects),
        after.state_key(world.now),
        after.stale,
    )
    seen, first = found.behaviour.setdefault(cause, (behaviour, event))
    assert behaviour == seen, f"one condition, two behaviours: {first} once came to something else"


def _role(epoch: int, before: Machine) -> str:
    """The place of an epoch: its number decides nothing."""
    if epoch == before.side_epoch:
        return "side"
    return "authoritative" if epoch == before.epoch else "new" if epoch > before.last_epoch else "past"


def _relative_input(event: Event, before: Machine) -> Hashable:
    match event:
        case Opened() | DeadlineExtended() | ProtocolReady():
            return (type(event), _role(event.epoch, before))
        case ConnectionFailing():
            return (
                ConnectionFailing,
                _role(event.epoch, before),
                *_kind(event.error),
                event.dead,
                event.up_for,
                event.by_peer,
            )
        case ConnectionGone():
            return (
                ConnectionGone,
                _role(event.epoch, before),
                *_kind(event.error),
                event.jitter,
                event.up_for,
                event.verdict,
                event.is_fresh_token,
            )
        case TimerFired():
            return (TimerFired, _role(event.epoch, before), event.kind, event.verdict)
        case _:
            return event


def _kind(error: OnesocketError) -> tuple[type[OnesocketError], bool, float | None, bool]:
    return type(error), as_established(error) is error, error.retry_after, error is LIMIT


def _relative_effect(effect: Effect, before: Machine) -> Hashable:
    match effect:
        case fx.Dial() | fx.DialSuccessor() | fx.TakeOver() | fx.CloseConnection() | fx.Abort():
            rest = [getattr(effect, name, None) for name in ("code", "reason")]
            return (type(effect), _role(effect.epoch, before), *rest)
        case fx.SetTimer():
            return (fx.SetTimer, effect.kind, _role(effect.epoch, before), effect.is_side)
        case fx.StateChanged():
            return (
                fx.StateChanged,
                effect.old,
                effect.new,
                _role(effect.epoch, before),
                effect.cause,
                type(effect.error),
            )
        case fx.RaiseError() | fx.ReportRefusedToken():
            return (type(effect), type(effect.error))
        case fx.RejectCallers():
            return (fx.RejectCallers, type(effect.error), effect.spares_retrying)
        case _:
            return effect


def test_every_promise_holds_in_every_reachable_state(name: str, found: Exploration) -> None:
    print(f"{name}: {len(found.worlds)} worlds, {found.steps} steps, {found.stale} stale inputs")  # noqa: T201
    assert len(found.worlds) >= AT_LEAST.get(name, 300)
    assert found.steps > 8 * len(found.worlds)
    assert found.stale > 10 * len(found.worlds)


def test_the_search_sees_every_state_that_its_policy_allows(name: str, found: Exploration) -> None:
    seen = {world.machine.state for world in found.worlds.values()}
    assert seen == set(State) - (set() if SCENARIOS[name].policy else {State.BACKING_OFF})
    assert {world.waiting_callers for world in found.worlds.values()} == set(range(SCENARIOS[name].max_callers + 1))


def test_whoever_waits_is_released_in_bounded_time_by_the_connection_and_the_clock_alone(
    name: str, found: Exploration
) -> None:
    longest: dict[Hashable, tuple[int, float]] = {}

    def bound(key: Hashable, path: tuple[Hashable, ...]) -> tuple[int, float]:
        assert key not in path, f"waits in a circle after {found.story(key)}"
        if key not in found.unaided:  # nobody waits here (or it lies beyond the bound of the search)
            return 0, 0.0
        if key not in longest:
            ways = [(bound(after, (*path, key)), took) for after, took in found.unaided[key]]
            assert ways, f"hangs after {found.story(key)}"
            longest[key] = (
                1 + max(steps for (steps, _), _ in ways),
                max(time + took for (_, time), took in ways),
            )
        return longest[key]

    worst = [bound(key, ()) for key in found.unaided]
    assert len(worst) > 100
    # A place that is kept by a connection of our own is asked for again, as long as that is likely.
    attempts = 4 if LIMIT in SCENARIOS[name].errors else 1
    # Two connections have more events than one, and the sum counts closes twice that run at the same time.
    rotates = Rotate() in SCENARIOS[name].calls
    assert max(steps for steps, _ in worst) <= 12 * attempts + 8 * rotates
    assert max(time for _, time in worst) <= WORST_WAIT * attempts + CLOSE_TIMEOUT * rotates


def test_machines_in_the_same_condition_behave_the_same_however_they_came_there(name: str, found: Exploration) -> None:
    """A second pass, without merging anything: long random lives against what the search saw."""
    chance = random.Random(20240229)
    compared = 0
    for _ in range(400):
        world = Environment.new(SCENARIOS[name])
        for _ in range(60):
            moves = [*world.from_users(), *world.from_connection_and_clock()]
            # `aclose()` ends a life: seldom.
            moves = [move for move in moves if type(move).__name__ != "Close" or chance.random() < 0.02]
            event = chance.choice(moves)
            before = world.machine.copy()
            effects = world.step(event)
            if (before.state_key(world.now), _relative_input(event, before)) in found.behaviour:
                compared += 1
                _same_condition_same_behaviour(found, before, event, effects, world)
    assert compared > 10_000


def test_a_copy_lives_its_own_life() -> None:
    world = Environment.new(Scenario())
    world.step(Connect())
    twin = world.copy()
    assert twin.key() == world.key()
    twin.step(ConnectionGone(1, LOST))
    assert (world.machine.state, world.connection) == (State.CONNECTING, "dialled")
    assert twin.machine.state is State.FAILED
    assert twin.key() != world.key()
