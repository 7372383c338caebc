"""The election of the owner, as each process runs it, with time as an argument."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onesocket.sharing.host import HostOptions, OnStopped
from onesocket.sharing.host._election import (
    MAX_DELAY,
    Election,
    ElectionAction,
    ElectionEvent,
    ElectionPhase,
)

RULES = HostOptions(heartbeat=1.0, stopped_after=3.5, attach_timeout=2.0)


def rule_of(takes_over: bool) -> OnStopped:
    return OnStopped.TAKE_OVER if takes_over else OnStopped.WAIT


def is_silent(election: Election) -> bool:
    return election.is_owner_silent


def following(rules: HostOptions = RULES) -> Election:
    election = Election(rules)
    for event in (ElectionEvent.JOIN, ElectionEvent.LOCK_BUSY, ElectionEvent.ATTACHED):
        election.handle(event, 0.0)
    assert election.phase is ElectionPhase.FOLLOWING
    return election


def tick_until(election: Election, end: float) -> list[tuple[float, ElectionAction]]:
    """Let the alarm ring whenever it's due."""
    done: list[tuple[float, ElectionAction]] = []
    while election.wake_at is not None and election.wake_at <= end:
        now = election.wake_at
        done += [(now, do) for do in election.handle(ElectionEvent.TICK, now)]
    return done


def test_whoever_gets_the_lock_owns() -> None:
    election = Election(RULES)
    assert election.handle(ElectionEvent.JOIN, 0) == [ElectionAction.TRY_LOCK]
    assert election.handle(ElectionEvent.LOCK_ACQUIRED, 0) == [ElectionAction.DETACH, ElectionAction.SERVE]
    assert election.phase is ElectionPhase.OWNING


def test_whoever_does_not_attaches_and_tries_again_at_growing_intervals() -> None:
    election = Election(RULES)
    election.handle(ElectionEvent.JOIN, 0)
    now, waits = 0.0, []
    for _ in range(60):
        assert election.handle(ElectionEvent.LOCK_BUSY, now) == [ElectionAction.ATTACH]
        election.handle(ElectionEvent.ATTACH_FAILED, now)
        assert election.wake_at is not None
        assert election.handle(ElectionEvent.TICK, election.wake_at - 1e-6) == []
        waits.append(round(election.wake_at - now, 6))
        now = election.wake_at
        assert election.handle(ElectionEvent.TICK, now) == [ElectionAction.TRY_LOCK]
    assert waits[0] < 0.003
    assert waits[-1] == pytest.approx(MAX_DELAY)
    assert waits == sorted(waits)


def test_an_owner_that_is_gone_is_raced_for_at_once() -> None:
    election = following()
    assert election.handle(ElectionEvent.OWNER_LOST, 5.0) == [ElectionAction.DETACH, ElectionAction.TRY_LOCK]


def test_a_silent_owner_is_asked_for_nothing_and_its_lock_is_tried_at_every_beat() -> None:
    election = following()
    done = tick_until(election, 6.0)
    assert done == [
        (at, action) for at in (4.0, 5.0, 6.0) for action in (ElectionAction.REPORT_SILENCE, ElectionAction.TRY_LOCK)
    ]
    assert election.handle(ElectionEvent.LOCK_BUSY, 6.0) == []
    assert is_silent(election)
    election.handle(ElectionEvent.HEARTBEAT, 6.5)
    assert not is_silent(election)
    assert tick_until(election, 9.0) == []
    assert (10.0, ElectionAction.REPORT_SILENCE) in tick_until(election, 10.0)


def test_a_silent_owner_whose_lock_is_free_is_dead() -> None:
    election = following()
    tick_until(election, 4.0)
    assert election.handle(ElectionEvent.LOCK_ACQUIRED, 4.0) == [ElectionAction.DETACH, ElectionAction.SERVE]


def test_signs_of_life_are_enough() -> None:
    election = following()
    for second in range(1, 50):
        assert tick_until(election, float(second)) == []
        election.handle(ElectionEvent.HEARTBEAT, second + 0.9)


def test_our_own_sleep_is_no_sign_of_the_owners_death() -> None:
    election = following()
    assert election.handle(ElectionEvent.TICK, 3600.0) == []
    assert election.silence == 1.5
    assert election.handle(ElectionEvent.TICK, 7200.0) == []
    election.handle(ElectionEvent.HEARTBEAT, 7200.1)
    assert election.silence == 0


def test_a_take_over_comes_not_before_its_time() -> None:
    """The owner looks at its lock whenever 1.5 heartbeats are over; a take-over has to come later than that."""
    rules = HostOptions(heartbeat=1.0, stopped_after=2.0, on_stopped=OnStopped.TAKE_OVER)
    for heard in (0.0, 0.3, 0.99):
        election = following(rules)
        election.handle(ElectionEvent.HEARTBEAT, heard)
        ((at, first), (_, second)) = tick_until(election, 10.0)
        assert (first, second) == (ElectionAction.REPORT_SILENCE, ElectionAction.TAKE_OVER)
        assert at - heard >= rules.stopped_after


def test_the_silence_of_an_owner_is_measured_by_its_own_heartbeat() -> None:
    hasty = Election(HostOptions(heartbeat=0.1, stopped_after=0.2, on_stopped=OnStopped.TAKE_OVER))
    hasty.owner_heartbeat = 1.0
    for event in (ElectionEvent.JOIN, ElectionEvent.LOCK_BUSY, ElectionEvent.ATTACHED):
        hasty.handle(event, 0.0)
    ((at, _), (_, last)) = tick_until(hasty, 10.0)
    assert last is ElectionAction.TAKE_OVER
    assert at == pytest.approx(2.0, abs=0.11)


def test_of_those_who_take_over_one_wins_and_the_others_attach_to_it() -> None:
    rules = HostOptions(heartbeat=1.0, stopped_after=2.0, on_stopped=OnStopped.TAKE_OVER)
    winner, other = following(rules), following(rules)
    for election in (winner, other):
        tick_until(election, 2.0)
        assert election.phase is ElectionPhase.TAKING_OVER
    assert winner.handle(ElectionEvent.LOCK_ACQUIRED, 2.0) == [ElectionAction.DETACH, ElectionAction.SERVE]
    assert other.handle(ElectionEvent.LOCK_BUSY, 2.0) == [ElectionAction.DETACH, ElectionAction.TRY_LOCK]
    assert other.handle(ElectionEvent.LOCK_BUSY, 2.0) == [ElectionAction.ATTACH]


def test_whoever_finds_a_stopped_owner_on_joining_waits_or_takes_over() -> None:
    for takes_over in (False, True):
        election = Election(HostOptions(stopped_after=3.5, attach_timeout=2.0, on_stopped=rule_of(takes_over)))
        election.handle(ElectionEvent.JOIN, 0)
        done: list[ElectionAction] = []
        for now in (2.0, 4.1):
            election.handle(ElectionEvent.LOCK_BUSY, now - 2)
            done += election.handle(ElectionEvent.ATTACH_TIMED_OUT, now)
            election.handle(ElectionEvent.TICK, now + MAX_DELAY)
        assert done == ([ElectionAction.TAKE_OVER] if takes_over else [])


def test_an_owner_that_is_told_to_let_go_leaves_the_lock_to_others_for_a_while() -> None:
    election = Election(RULES)
    election.handle(ElectionEvent.JOIN, 0)
    election.handle(ElectionEvent.LOCK_ACQUIRED, 0)
    assert election.handle(ElectionEvent.STEP_DOWN_REQUESTED, 1.0) == [ElectionAction.HAND_OVER]
    assert election.handle(ElectionEvent.STEP_DOWN_REQUESTED, 1.0) == []
    assert election.handle(ElectionEvent.RELEASED, 2.0) == [ElectionAction.ATTACH]
    now = 2.0
    while True:
        election.handle(ElectionEvent.ATTACH_FAILED, now)
        assert election.wake_at is not None
        now = election.wake_at
        (do,) = election.handle(ElectionEvent.TICK, now)
        if do is ElectionAction.TRY_LOCK:
            break
        assert do is ElectionAction.ATTACH
    assert now >= 2.3


@given(st.lists(st.tuples(st.sampled_from(ElectionEvent), st.floats(0, 5))), st.booleans())
def test_whatever_happens_it_never_serves_without_the_lock(
    story: list[tuple[ElectionEvent, float]], takes_over: bool
) -> None:
    election = Election(HostOptions(on_stopped=rule_of(takes_over)))
    now = 0.0
    for event, wait in story:
        now += wait
        before = election.phase
        done = election.handle(event, now, random.Random(1).random())
        assert (ElectionAction.SERVE in done) == (
            before is not ElectionPhase.OWNING and election.phase is ElectionPhase.OWNING
        )
        if ElectionAction.SERVE in done:
            assert event is ElectionEvent.LOCK_ACQUIRED
        if ElectionAction.HAND_OVER in done:
            assert before is ElectionPhase.OWNING
        if election.phase is ElectionPhase.IDLE:
            assert election.wake_at is None


@pytest.mark.parametrize(
    ("story", "done"),
    [
        ((), []),
        ((ElectionEvent.LOCK_BUSY,), []),
        ((ElectionEvent.LOCK_ACQUIRED,), []),
        (
            (
                ElectionEvent.LOCK_BUSY,
                ElectionEvent.ATTACH_TIMED_OUT,
                ElectionEvent.TICK,
                ElectionEvent.LOCK_BUSY,
                ElectionEvent.ATTACH_TIMED_OUT,
            ),
            [ElectionAction.DETACH],
        ),
    ],
)
def test_a_step_that_is_hindered_is_tried_again_at_its_date_or_when_somebody_asks(
    story: tuple[ElectionEvent, ...], done: list[ElectionAction]
) -> None:
    for wakes in (ElectionEvent.TICK, ElectionEvent.JOIN):
        election = Election(
            HostOptions(heartbeat=1.0, stopped_after=3.5, attach_timeout=2.0, on_stopped=OnStopped.TAKE_OVER)
        )
        election.handle(ElectionEvent.JOIN, 0)
        for number, event in enumerate(story):
            election.handle(event, float(number))
        now = float(len(story))
        assert election.handle(ElectionEvent.ATTEMPT_FAILED, now, delay=5.0) == done
        assert election.wake_at == now + 5
        assert election.handle(ElectionEvent.TICK, now + 4.9) == []
        assert election.handle(wakes, now + 5 if wakes is ElectionEvent.TICK else now + 1) == [ElectionAction.TRY_LOCK]
        assert election.handle(ElectionEvent.JOIN, now + 5) == []  # it's being looked at


def test_a_follower_is_hindered_by_nothing_but_the_failure_of_its_role() -> None:
    election = following()
    assert election.handle(ElectionEvent.ATTEMPT_FAILED, 1.0, delay=5.0) == []
    assert election.phase is ElectionPhase.FOLLOWING
    assert election.handle(ElectionEvent.ROLE_FAILED, 1.0, delay=5.0) == []
    assert (election.phase, election.wake_at) == (ElectionPhase.LOOKING, 6.0)
    out = Election(RULES)
    assert out.handle(ElectionEvent.ATTEMPT_FAILED, 1.0) == []
    assert out.phase is ElectionPhase.IDLE
