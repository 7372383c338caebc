"""Who holds the connection: each process's part, with time as an argument."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onesocket.sharing.host.election import LONGEST_DELAY, Do, Election, Happened, Phase, Rules

RULES = Rules(heartbeat=1.0, stopped_after=3.5, attach_timeout=2.0)


def is_silent(election: Election) -> bool:
    return election.is_owner_silent


def following(rules: Rules = RULES) -> Election:
    election = Election(rules)
    for happened in (Happened.JOIN, Happened.BUSY, Happened.ATTACHED):
        election.handle(happened, 0.0)
    assert election.phase is Phase.FOLLOWING
    return election


def tick_until(election: Election, end: float) -> list[tuple[float, Do]]:
    """Let the alarm ring whenever it's due."""
    done: list[tuple[float, Do]] = []
    while election.wake_at is not None and election.wake_at <= end:
        now = election.wake_at
        done += [(now, do) for do in election.handle(Happened.TICK, now)]
    return done


def test_whoever_gets_the_lock_owns() -> None:
    election = Election(RULES)
    assert election.handle(Happened.JOIN, 0) == [Do.TRY_LOCK]
    assert election.handle(Happened.LOCKED, 0) == [Do.DETACH, Do.SERVE]
    assert election.phase is Phase.OWNING


def test_whoever_does_not_attaches_and_tries_again_at_growing_intervals() -> None:
    election = Election(RULES)
    election.handle(Happened.JOIN, 0)
    now, waits = 0.0, []
    for _ in range(60):
        assert election.handle(Happened.BUSY, now) == [Do.ATTACH]
        election.handle(Happened.REFUSED, now)
        assert election.wake_at is not None
        assert election.handle(Happened.TICK, election.wake_at - 1e-6) == []
        waits.append(round(election.wake_at - now, 6))
        now = election.wake_at
        assert election.handle(Happened.TICK, now) == [Do.TRY_LOCK]
    assert waits[0] < 0.003
    assert waits[-1] == pytest.approx(LONGEST_DELAY)
    assert waits == sorted(waits)


def test_an_owner_that_is_gone_is_raced_for_at_once() -> None:
    election = following()
    assert election.handle(Happened.LOST, 5.0) == [Do.DETACH, Do.TRY_LOCK]


def test_a_silent_owner_is_told_once_and_its_lock_is_tried_at_every_beat() -> None:
    election = following()
    done = tick_until(election, 6.0)
    assert done == [(4.0, Do.TELL_TO_LET_GO), (4.0, Do.TRY_LOCK), (5.0, Do.TRY_LOCK), (6.0, Do.TRY_LOCK)]
    assert election.handle(Happened.BUSY, 6.0) == []
    assert is_silent(election)
    election.handle(Happened.HEARD, 6.5)
    assert not is_silent(election)
    assert tick_until(election, 9.0) == []
    assert (10.0, Do.TELL_TO_LET_GO) in tick_until(election, 10.0)


def test_a_silent_owner_whose_lock_is_free_is_dead() -> None:
    election = following()
    tick_until(election, 4.0)
    assert election.handle(Happened.LOCKED, 4.0) == [Do.DETACH, Do.SERVE]


def test_signs_of_life_are_enough() -> None:
    election = following()
    for second in range(1, 50):
        assert tick_until(election, float(second)) == []
        election.handle(Happened.HEARD, second + 0.9)


def test_our_own_sleep_is_no_sign_of_the_owners_death() -> None:
    election = following()
    assert election.handle(Happened.TICK, 3600.0) == []
    assert election.silence == 1.5
    assert election.handle(Happened.TICK, 7200.0) == []
    election.handle(Happened.HEARD, 7200.1)
    assert election.silence == 0


def test_a_take_over_comes_not_before_its_time() -> None:
    """The owner looks at its lock whenever 1.5 heartbeats are over; a take-over has to come later than that."""
    rules = Rules(heartbeat=1.0, stopped_after=2.0, takes_over=True)
    for heard in (0.0, 0.3, 0.99):
        election = following(rules)
        election.handle(Happened.HEARD, heard)
        ((at, first), (_, second)) = tick_until(election, 10.0)
        assert (first, second) == (Do.TELL_TO_LET_GO, Do.TAKE_OVER)
        assert at - heard >= rules.stopped_after


def test_the_silence_of_an_owner_is_measured_by_its_own_heartbeat() -> None:
    hasty = Election(Rules(heartbeat=0.1, stopped_after=0.2, takes_over=True))
    hasty.owner_heartbeat = 1.0
    for happened in (Happened.JOIN, Happened.BUSY, Happened.ATTACHED):
        hasty.handle(happened, 0.0)
    ((at, _), (_, last)) = tick_until(hasty, 10.0)
    assert last is Do.TAKE_OVER
    assert at == pytest.approx(2.0, abs=0.11)


def test_of_those_who_take_over_one_wins_and_the_others_attach_to_it() -> None:
    rules = Rules(heartbeat=1.0, stopped_after=2.0, takes_over=True)
    winner, other = following(rules), following(rules)
    for election in (winner, other):
        tick_until(election, 2.0)
        assert election.phase is Phase.TAKING
    assert winner.handle(Happened.LOCKED, 2.0) == [Do.DETACH, Do.SERVE]
    assert other.handle(Happened.BUSY, 2.0) == [Do.DETACH, Do.TRY_LOCK]
    assert other.handle(Happened.BUSY, 2.0) == [Do.ATTACH]


def test_whoever_finds_a_stopped_owner_on_joining_waits_or_takes_over() -> None:
    for takes_over in (False, True):
        election = Election(Rules(stopped_after=3.5, attach_timeout=2.0, takes_over=takes_over))
        election.handle(Happened.JOIN, 0)
        done: list[Do] = []
        for now in (2.0, 4.1):
            election.handle(Happened.BUSY, now - 2)
            done += election.handle(Happened.SILENT, now)
            election.handle(Happened.TICK, now + LONGEST_DELAY)
        assert done == ([Do.TAKE_OVER] if takes_over else [])


def test_an_owner_that_is_told_to_let_go_leaves_the_lock_to_others_for_a_while() -> None:
    election = Election(RULES)
    election.handle(Happened.JOIN, 0)
    election.handle(Happened.LOCKED, 0)
    assert election.handle(Happened.TOLD, 1.0) == [Do.HAND_OVER]
    assert election.handle(Happened.TOLD, 1.0) == []
    assert election.handle(Happened.RELEASED, 2.0) == [Do.ATTACH]
    now = 2.0
    while True:
        election.handle(Happened.REFUSED, now)
        assert election.wake_at is not None
        now = election.wake_at
        (do,) = election.handle(Happened.TICK, now)
        if do is Do.TRY_LOCK:
            break
        assert do is Do.ATTACH
    assert now >= 2.3


@given(st.lists(st.tuples(st.sampled_from(Happened), st.floats(0, 5))), st.booleans())
def test_whatever_happens_it_never_serves_without_the_lock(
    story: list[tuple[Happened, float]], takes_over: bool
) -> None:
    election = Election(Rules(takes_over=takes_over))
    now = 0.0
    for happened, wait in story:
        now += wait
        before = election.phase
        done = election.handle(happened, now, random.Random(1).random())
        assert (Do.SERVE in done) == (before is not Phase.OWNING and election.phase is Phase.OWNING)
        if Do.SERVE in done:
            assert happened is Happened.LOCKED
        if Do.HAND_OVER in done:
            assert before is Phase.OWNING
        if election.phase is Phase.OUT:
            assert election.wake_at is None


@pytest.mark.parametrize(
    ("story", "done"),
    [
        ((), []),
        ((Happened.BUSY,), []),
        ((Happened.LOCKED,), []),
        ((Happened.BUSY, Happened.SILENT, Happened.TICK, Happened.BUSY, Happened.SILENT), [Do.DETACH]),
    ],
)
def test_a_step_that_is_hindered_is_tried_again_at_its_date_or_when_somebody_asks(
    story: tuple[Happened, ...], done: list[Do]
) -> None:
    for wakes in (Happened.TICK, Happened.JOIN):
        election = Election(Rules(1.0, 3.5, 2.0, takes_over=True))
        election.handle(Happened.JOIN, 0)
        for number, happened in enumerate(story):
            election.handle(happened, float(number))
        now = float(len(story))
        assert election.handle(Happened.HINDERED, now, delay=5.0) == done
        assert election.wake_at == now + 5
        assert election.handle(Happened.TICK, now + 4.9) == []
        assert election.handle(wakes, now + 5 if wakes is Happened.TICK else now + 1) == [Do.TRY_LOCK]
        assert election.handle(Happened.JOIN, now + 5) == []  # it's being looked at


def test_a_follower_is_hindered_by_nothing() -> None:
    election = following()
    assert election.handle(Happened.HINDERED, 1.0, delay=5.0) == []
    assert election.phase is Phase.FOLLOWING
    out = Election(RULES)
    assert out.handle(Happened.HINDERED, 1.0) == []
    assert out.phase is Phase.OUT
