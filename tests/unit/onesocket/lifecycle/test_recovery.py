"""Time and number of attempts until a connection is back after its server is: the machine on virtual time."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from onesocket.errors import ClosedByPeer, ConnectionRefused, ConnectionReset, HandshakeRejected, OnesocketError
from onesocket.lifecycle._events import TimerKind
from onesocket.lifecycle._retry import ReconnectPolicy
from onesocket.lifecycle._states import State
from tests.unit.onesocket.lifecycle.machine_driver import MachineDriver

SEEDS = range(200)
ROUND_TRIP = 0.05
"""Seconds that an attempt takes, whatever comes of it."""


@dataclass
class RecoveryTime:
    """One outage, as one client saw it."""

    after: float
    """Seconds from the server's return until the client was back."""
    attempts: int


def refused(_chance: random.Random) -> OnesocketError:
    """The port is refused: no server listens."""
    return ConnectionRefused("refused")


def bad_gateway(_chance: random.Random) -> OnesocketError:
    """A proxy stands before it."""
    return HandshakeRejected("bad gateway", status=502, retryable=True)


def reset(_chance: random.Random) -> OnesocketError:
    """A balancer accepts, and closes."""
    return ConnectionReset("reset")


def mixed(chance: random.Random) -> OnesocketError:
    """A bit of each, as while containers are replaced."""
    return chance.choice([refused, bad_gateway, reset])(chance)


def outage(
    seed: int, seconds: float, why: Callable[[random.Random], OnesocketError], drive: MachineDriver
) -> RecoveryTime:
    """The server goes at `drive.now`, and comes back `seconds` later."""
    chance = random.Random(seed)
    back = drive.now + seconds
    first = drive.machine.epoch
    drive.failing(ClosedByPeer("restart", code=1012, reason="", retryable=True)).ended(jitter=chance.random())
    while True:
        assert drive.state is State.BACKING_OFF
        assert drive.machine.retry_at is not None
        drive.now = max(drive.now, drive.machine.retry_at)
        drive.timer(TimerKind.RETRY)
        drive.now += ROUND_TRIP
        if drive.now - ROUND_TRIP >= back:
            drive.opened().ready()
            return RecoveryTime(drive.now - back, drive.machine.epoch - first)
        drive.ended(why(chance), chance.random())


# By seconds away: the most attempts where nothing answers, and otherwise.
OUTAGES = {1: (5, 5), 7: (12, 12), 30: (25, 20), 300: (210, 30)}


def latest_recovery(away: float, why: Callable[[random.Random], OnesocketError]) -> float:
    """Seconds until it is back: the longest delay, and two attempts, the first of which came just too early."""
    policy = ReconnectPolicy()
    cap = policy.unreachable_cap if why is refused else policy.cap
    return min(cap, policy.initial + 0.4 * (away + ROUND_TRIP)) + 2 * ROUND_TRIP


@pytest.mark.parametrize("seconds", OUTAGES)
@pytest.mark.parametrize("why", [refused, bad_gateway, reset, mixed])
def test_it_is_back_within_a_share_of_the_time_away_and_without_many_attempts(
    seconds: int, why: Callable[[random.Random], OnesocketError]
) -> None:
    runs = [outage(seed, seconds, why, MachineDriver(ReconnectPolicy()).up()) for seed in SEEDS]
    worst, most = max(run.after for run in runs), max(run.attempts for run in runs)
    assert worst <= latest_recovery(seconds, why)
    cheap, others = OUTAGES[seconds]
    assert most <= (others if why in (bad_gateway, reset) else cheap)
    if seconds == 7:
        assert worst < 5


@pytest.mark.parametrize("why", [refused, bad_gateway, reset, mixed])
@pytest.mark.parametrize("up", [0.0, 2.0, 6.0, 9.9])
def test_a_second_restart_soon_after_the_first_is_bounded_too(
    why: Callable[[random.Random], OnesocketError], up: float
) -> None:
    for seed in SEEDS:
        drive = MachineDriver(ReconnectPolicy()).up()
        outage(seed, 7, why, drive)
        drive.now += up
        again = outage(seed + len(SEEDS), 7, why, drive)
        # What the first cost is made up for by the time up; until then both count as one outage.
        debt = max(0.0, 7 + latest_recovery(7, why) - up)
        assert again.after <= latest_recovery(7 + debt, why)


def test_many_clients_that_lose_one_server_do_not_come_back_at_once() -> None:
    for seconds in OUTAGES:
        arrivals = sorted(outage(seed, seconds, refused, MachineDriver(ReconnectPolicy()).up()).after for seed in SEEDS)
        busiest = max(
            sum(1 for other in arrivals[index:] if other < start + 0.1) for index, start in enumerate(arrivals)
        )
        assert busiest <= len(arrivals) * (0.3 if seconds == 1 else 0.1), "in the busiest tenth of a second"


def test_a_server_that_accepts_and_closes_is_not_hammered() -> None:
    for seed in SEEDS:
        chance = random.Random(seed)
        drive = MachineDriver(ReconnectPolicy()).up()
        dials: list[float] = []
        end = drive.now + 3_600
        while drive.now < end:
            drive.ended(jitter=chance.random())
            assert drive.machine.retry_at is not None
            drive.now = drive.machine.retry_at
            dials.append(drive.now)
            drive.timer(TimerKind.RETRY).opened().ready()
        start = end - 3_600
        assert sum(dial < start + 3 for dial in dials) <= 10
        assert sum(dial < start + 60 for dial in dials) <= 25
        assert len(dials) <= 160
