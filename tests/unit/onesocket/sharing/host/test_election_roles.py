"""Which of several processes becomes the owner, by their roles: many elections against one lock, on virtual time."""

from __future__ import annotations

import heapq
import itertools
import random
from collections.abc import Callable

import pytest

from onesocket.sharing.host import HostOptions, Own
from onesocket.sharing.host._election import Election, ElectionAction, ElectionEvent, ElectionPhase
from onesocket.sharing.host._next_owner import find_next_owner, preferrer

SETTLED = 3.0
"""Seconds within which there has to be an owner: both windows of stepping aside, closing and failed attempts."""


class Machine:
    """The lock of one machine, its processes and its clock."""

    def __init__(self, seed: int, *, failures: float = 0.0) -> None:
        self.chance = random.Random(seed)
        self.failures = failures
        self.now = 0.0
        self.holder: SimulatedProcess | None = None
        self.processes: list[SimulatedProcess] = []
        self.owners: list[SimulatedProcess] = []
        """All that held the lock, in order."""
        self._due: list[tuple[float, int, Callable[[], object]]] = []
        self._numbers = itertools.count()

    def start(self, own: Own | str) -> SimulatedProcess:
        process = SimulatedProcess(self, Own(own))
        self.processes.append(process)
        process.tell(ElectionEvent.JOIN)
        return process

    def later(self, delay: float, call: Callable[[], object]) -> None:
        heapq.heappush(self._due, (self.now + delay, next(self._numbers), call))

    def run(self, seconds: float) -> None:
        end = self.now + seconds
        while self._due and self._due[0][0] <= end:
            self.now, _, call = heapq.heappop(self._due)
            call()
            holding = [each for each in self.processes if each.election.phase is ElectionPhase.OWNING]
            assert len(holding) <= 1
        self.now = end

    def delay(self) -> float:
        return self.chance.choice([0.0001, 0.001, 0.02])


class SimulatedProcess:
    """The real election of one process, with what `Membership` and `Owner` do for it."""

    is_write_paused = False
    peer_pid = 0

    def __init__(self, machine: Machine, own: Own) -> None:
        self.machine = machine
        self.election = Election(HostOptions(own=own))
        self.option = own
        self.own = own
        """As the owner that it attached to knows."""
        self.is_alive, self.is_stopped, self.listens = True, False, False
        self.can_serve = True
        self.owner: SimulatedProcess | None = None
        self.followers: list[SimulatedProcess] = []
        self.next_owner: SimulatedProcess | None = None
        self._missed: list[tuple[ElectionEvent, float]] = []

    def tell(self, event: ElectionEvent, delay: float = 0.0) -> None:
        if not self.is_alive:
            return
        if self.is_stopped:
            self._missed.append((event, delay))
            return
        machine = self.machine
        for action in self.election.handle(event, machine.now, machine.chance.random(), delay=delay):
            self._perform(action)
        at = self.election.wake_at
        if at is not None:
            machine.later(max(0.0, at - machine.now), lambda: self._wake(at))

    def _wake(self, at: float) -> None:
        if at != self.election.wake_at:
            return
        if self.owner is not None and not self.owner.is_stopped and self.owner.is_alive:
            self.election.handle(ElectionEvent.HEARTBEAT, self.machine.now)
        self.tell(ElectionEvent.TICK)

    def _perform(self, action: ElectionAction) -> None:
        machine = self.machine
        match action:
            case ElectionAction.TRY_LOCK:
                assert self.option is not Own.NEVER
                if machine.holder is None:
                    machine.holder = self
                    machine.owners.append(self)
                    self.tell_soon(ElectionEvent.LOCK_ACQUIRED)
                else:
                    self.tell_soon(ElectionEvent.LOCK_BUSY)
            case ElectionAction.ATTACH:
                machine.later(machine.delay(), self._attach)
            case ElectionAction.SERVE:
                machine.later(machine.delay(), self._serve)
            case ElectionAction.HAND_OVER:
                machine.later(machine.delay(), self._release)
            case ElectionAction.DETACH:
                self._detach()
            case ElectionAction.CHECK_OWNER | ElectionAction.REPORT_SILENCE:
                pass
            case _:
                raise AssertionError(action)

    def tell_soon(self, event: ElectionEvent) -> None:
        self.machine.later(0, lambda: self.tell(event))

    def _attach(self) -> None:
        owner = self.machine.holder
        if self.is_stopped:
            self.machine.later(0.1, self._attach)
        elif owner is None or not owner.listens or owner.election.phase is not ElectionPhase.OWNING:
            self.tell(ElectionEvent.ATTACH_FAILED)
        elif owner.is_stopped:
            self.machine.later(2.0, lambda: self.tell(ElectionEvent.ATTACH_TIMED_OUT))
        elif self.is_alive and self.election.phase is ElectionPhase.ATTACHING:
            self.owner, self.own = owner, self.election.own
            owner.followers.append(self)
            self.tell(ElectionEvent.ATTACHED)
            if self.own is Own.PREFER and owner.option is not Own.PREFER and owner.next_owner is None:
                owner.next_owner = self
                owner.tell(ElectionEvent.STEP_DOWN_REQUESTED)

    def _detach(self) -> None:
        if self.owner is not None and self in self.owner.followers:
            self.owner.followers.remove(self)
        self.owner = None

    def _serve(self) -> None:
        if not self.is_alive or self.election.phase is not ElectionPhase.OWNING:
            return
        if not self.can_serve or self.machine.chance.random() < self.machine.failures:
            self.machine.holder = None
            self.tell(ElectionEvent.ATTEMPT_FAILED, 0.1)
        else:
            self.listens = True

    def ask_to_hand_over(self) -> bool:
        """As `onesocket status --hand-over` does."""
        next_owner = find_next_owner(self.followers)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType] - has what it needs
        if next_owner is None or self.is_stopped or self.election.phase is not ElectionPhase.OWNING:
            return False
        self.next_owner = self.followers[self.followers.index(next_owner)]  # type: ignore[arg-type] # pyright: ignore[reportArgumentType] - as above
        self.tell(ElectionEvent.HAND_OVER_REQUESTED)
        return True

    def _release(self) -> None:
        """Let go of the lock, in order."""
        if self.machine.holder is not self:
            return
        chosen = self.next_owner if self.next_owner in self.followers else preferrer(self.followers)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType] - as above
        self._end(lambda follower: chosen is not None and follower is not chosen)
        self.tell(ElectionEvent.RELEASED)

    def _end(self, leaves_lock: Callable[[SimulatedProcess], bool]) -> None:
        self.machine.holder = None
        self.listens, self.next_owner = False, None
        followers, self.followers = self.followers, []
        for follower in followers:
            follower.owner = None
            follower.machine.later(self.machine.delay(), lambda each=follower: each.lose(leaves_lock(each)))  # type: ignore[misc] # bound in the loop

    def lose(self, leaves_lock: bool) -> None:
        self.election.leaves_lock = leaves_lock
        self.tell(ElectionEvent.OWNER_LOST)

    def leave(self) -> None:
        """End in order."""
        self.tell(ElectionEvent.LEAVE)
        if self.machine.holder is self:
            self._release()
        self.kill()

    def kill(self) -> None:
        self._detach()
        self.is_alive = False
        self.election = Election(HostOptions())
        self.machine.processes.remove(self)
        if self.machine.holder is self:
            has_preferrer = preferrer(self.followers) is not None  # type: ignore[arg-type] # pyright: ignore[reportArgumentType] - as above
            self._end(lambda follower: has_preferrer and follower.own is not Own.PREFER)

    def go_on(self) -> None:
        """As after SIGCONT."""
        self.is_stopped = False
        missed, self._missed = self._missed, []
        for event, delay in missed:
            self.tell(event, delay)


def may_own(machine: Machine) -> list[SimulatedProcess]:
    return [process for process in machine.processes if process.option is not Own.NEVER]


def assert_settled(machine: Machine) -> None:
    """Exactly one owns, a process that prefers to if there is one, and it stays so."""
    machine.run(SETTLED)
    holder, changes = machine.holder, len(machine.owners)
    if not may_own(machine):
        assert holder is None
        return
    assert holder is not None
    assert holder.election.phase is ElectionPhase.OWNING
    if any(process.election.own is Own.PREFER for process in machine.processes):
        assert holder.option is Own.PREFER
    machine.run(10 * SETTLED)
    assert machine.holder is holder
    assert len(machine.owners) == changes
    for process in machine.processes:
        assert process is holder or process.owner is holder


@pytest.mark.parametrize("failures", [0.0, 0.2])
@pytest.mark.parametrize("seed", range(40))
def test_whatever_happens_there_is_one_owner_and_one_that_prefers_if_there_is_one(seed: int, failures: float) -> None:
    machine = Machine(seed, failures=failures)
    chance = machine.chance
    for _ in range(30):
        process = chance.choice(machine.processes) if machine.processes else None
        match chance.randrange(8):
            case 0 | 1 | 2:
                if len(machine.processes) < 5:
                    machine.start(chance.choice(list(Own)))
            case 3 if process is not None and not process.is_stopped:
                process.leave()
            case 4 if process is not None:
                process.kill()
            case 5 if process is not None:
                process.is_stopped = True
            case 6 if machine.holder is not None:
                machine.holder.ask_to_hand_over()
            case _:
                pass
        machine.run(chance.choice([0.0, 0.001, 0.05, 1.0]))
        if chance.random() < 0.3:
            for each in machine.processes:
                each.go_on()
            assert_settled(machine)
    for each in machine.processes:
        each.go_on()
    assert_settled(machine)


@pytest.mark.parametrize("seed", range(10))
def test_one_that_prefers_takes_over_once_and_a_second_one_does_not(seed: int) -> None:
    machine = Machine(seed)
    first = machine.start("allow")
    for own in ("allow", "never"):
        machine.start(own)
    machine.run(1.0)
    prefers = machine.start("prefer")
    assert_settled(machine)
    machine.start("prefer")
    assert_settled(machine)
    assert machine.owners == [first, prefers]
    prefers.kill()
    assert_settled(machine)
    assert len(machine.owners) == 3
    assert machine.owners[-1].option is Own.PREFER


@pytest.mark.parametrize("end", [SimulatedProcess.kill, SimulatedProcess.leave])
def test_after_one_that_prefers_another_takes_over_at_once(end: Callable[[SimulatedProcess], None]) -> None:
    machine = Machine(1)
    prefers, allows = machine.start("prefer"), machine.start("allow")
    machine.run(1.0)
    end(prefers)
    machine.run(0.1)
    assert machine.owners == [prefers, allows]


def test_those_that_leave_the_lock_take_it_when_the_chosen_one_dies() -> None:
    machine = Machine(1)
    machine.start("allow")
    machine.start("allow")
    machine.run(1.0)
    prefers = machine.start("prefer")
    machine.run(0.0)
    while not (machine.holder is not None and machine.holder.next_owner is prefers):
        machine.run(0.0001)
    prefers.is_stopped = True  # it doesn't take the lock, whatever it is told
    machine.run(1.0)
    assert machine.holder is not None
    assert machine.holder.option is Own.ALLOW
    prefers.go_on()
    assert_settled(machine)


def test_an_owner_that_was_asked_to_hand_over_does_not_get_it_back_until_the_next_one_is_gone() -> None:
    machine = Machine(1)
    prefers, allows = machine.start("prefer"), machine.start("allow")
    machine.run(1.0)
    assert prefers.ask_to_hand_over()
    machine.run(60.0)
    assert machine.owners == [prefers, allows]
    allows.kill()
    machine.run(1.0)
    machine.start("allow")
    machine.run(60.0)
    assert machine.owners == [prefers, allows, prefers]


def test_a_process_that_must_not_own_replaces_no_stopped_owner() -> None:
    election = Election(HostOptions(own="never", on_stopped="take-over"))
    for event in (ElectionEvent.JOIN, ElectionEvent.ATTACHED):
        election.handle(event, 0.0)
    now, done = 0.0, list[ElectionAction]()
    while now < 10 and election.wake_at is not None:
        now = election.wake_at
        done += election.handle(ElectionEvent.TICK, now)
    assert set(done) == {ElectionAction.REPORT_SILENCE, ElectionAction.CHECK_OWNER}


def test_a_process_that_must_not_own_waits_for_one_that_may() -> None:
    machine = Machine(1)
    waits = machine.start("never")
    machine.run(60.0)
    assert machine.owners == []
    assert waits.election.phase is not ElectionPhase.IDLE
    owner = machine.start("allow")
    machine.run(0.5)
    assert waits.owner is owner
    assert not owner.ask_to_hand_over()
    owner.is_stopped = True
    machine.run(60.0)
    assert waits.election.is_owner_silent
    assert waits.owner is owner


def test_one_that_prefers_and_cannot_is_not_handed_the_connection_again_and_again() -> None:
    machine = Machine(1)
    first = machine.start("allow")
    machine.run(1.0)
    prefers = machine.start("prefer")
    prefers.can_serve = False
    machine.run(60.0)
    assert machine.holder is first
    assert machine.owners.count(first) == 2  # handed over once
    prefers.can_serve = True
    first.kill()
    machine.run(1.0)
    assert machine.holder is prefers
    assert prefers.election.own is Own.PREFER
