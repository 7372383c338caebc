"""The scenarios of the chaos campaign, in the order in which they run."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from ..findings import ChaosFindings
from ..size import RunSize
from . import (
    all_kinds,
    bursts,
    churn,
    concurrent_join,
    foreign_peers,
    forks,
    main_loops,
    owner_failures,
    server_faults,
    slow_readers,
)


@dataclass(frozen=True, slots=True)
class ChaosScenario:
    """A scenario, its title and its deadline."""

    name: str
    title: str
    play: Callable[[ChaosFindings, RunSize, random.Random], Awaitable[None]]
    deadline: Callable[[RunSize], float]
    """Seconds that it may take at most."""


def _minute(_: RunSize) -> float:
    return 60.0


LONG_RUN: Final = "all-kinds"

SCENARIOS: Final = (
    ChaosScenario(
        "concurrent-join", "8 processes x 4 threads x 8 tasks join at once", concurrent_join.run, lambda _: 60.0
    ),
    ChaosScenario(
        "owner-failures",
        "the owner is killed, stopped and continued, asked to leave; under load",
        owner_failures.run,
        lambda size: 90.0 + 1.4 * size.rounds * 3,
    ),
    ChaosScenario(
        "take-over",
        'the owner is stopped, on_stopped="take-over": the one case of two sockets',
        owner_failures.run_take_over,
        lambda size: 60.0 + size.rounds,
    ),
    ChaosScenario(
        "main-loops",
        "the owner's event loop ends, is closed, stands still and is blocked; under load",
        main_loops.run,
        lambda size: 60.0 + 6.0 * main_loops.count(size),
    ),
    ChaosScenario(
        "forks", "the owner forks in the midst of it, and is killed", forks.run, lambda size: 30.0 + 5 * size.forks
    ),
    ChaosScenario(
        "churn",
        "processes attach and detach all the time",
        churn.run,
        lambda size: 40.0 + 4 * size.seconds,
    ),
    ChaosScenario(
        "server-faults",
        "the server greets with a backlog, limits messages, answers late, reads slowly or nothing",
        server_faults.run,
        lambda size: 60.0 + 4.0 * size.faults,
    ),
    ChaosScenario("slow-readers", "a process that is stopped, and one that doesn't read", slow_readers.run, _minute),
    ChaosScenario("bursts", "bursts of many messages, and of large ones", bursts.run, lambda _: 150.0),
    ChaosScenario(
        LONG_RUN,
        "processes of every kind are killed, stopped, dismissed and asked to hand over",
        all_kinds.run,
        lambda size: 120.0 + 2.0 * size.kinds,
    ),
    ChaosScenario(
        "foreign-peers", "another release, account and user, nonsense, and no descriptor", foreign_peers.run, _minute
    ),
)
