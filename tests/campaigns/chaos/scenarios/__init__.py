"""The acts of the proof, in the order in which they are played."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from ..findings import ChaosFindings
from ..size import RunSize
from . import churn as coming_and_going
from . import concurrent_join as together
from . import foreign_peers as strangers
from . import forks
from . import owner_failures as campaign
from . import server_faults as unkind
from . import slow_readers as slow


@dataclass(frozen=True, slots=True)
class ChaosScenario:
    """One of them."""

    name: str
    title: str
    play: Callable[[ChaosFindings, RunSize, random.Random], Awaitable[None]]
    deadline: Callable[[RunSize], float]
    """Seconds that it may take at most."""


SCENARIOS: Final = (
    ChaosScenario("together", "8 processes x 4 threads x 8 tasks join at once", together.run, lambda _: 60.0),
    ChaosScenario(
        "campaign",
        "the owner is killed, stopped and continued, asked to leave; under load",
        campaign.run,
        lambda size: 90.0 + 1.4 * size.rounds * 3,
    ),
    ChaosScenario(
        "take-over",
        'the owner is stopped, on_stopped="take-over": the one case of two sockets',
        campaign.run_take_over,
        lambda size: 60.0 + size.rounds,
    ),
    ChaosScenario(
        "forks", "the owner forks in the midst of it, and is killed", forks.run, lambda size: 30.0 + 5 * size.forks
    ),
    ChaosScenario(
        "coming and going",
        "processes attach and detach all the time",
        coming_and_going.run,
        lambda size: 40.0 + 4 * size.seconds,
    ),
    ChaosScenario(
        "unkind",
        "the server greets at once, limits messages, answers late, reads nothing for a while",
        unkind.run,
        lambda size: 60.0 + 4.0 * size.blows,
    ),
    ChaosScenario("slow", "a process that is stopped, and one that doesn't read", slow.run, lambda _: 60.0),
    ChaosScenario("strangers", "another release, another user, and nonsense", strangers.run, lambda _: 60.0),
)
