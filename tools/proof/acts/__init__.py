"""The acts of the proof, in the order in which they are played."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from ..findings import Findings
from ..size import Size
from . import campaign, coming_and_going, forks, slow, strangers, together, unkind


@dataclass(frozen=True, slots=True)
class Act:
    """One of them."""

    name: str
    title: str
    play: Callable[[Findings, Size, random.Random], Awaitable[None]]
    deadline: Callable[[Size], float]
    """Seconds that it may take at most."""


ACTS: Final = (
    Act("together", "8 processes x 4 threads x 8 tasks join at once", together.play, lambda _: 60.0),
    Act(
        "campaign",
        "the owner is killed, stopped and continued, asked to leave; under load",
        campaign.play,
        lambda size: 90.0 + 1.4 * size.rounds * 3,
    ),
    Act(
        "take-over",
        'the owner is stopped, on_stopped="take-over": the one case of two sockets',
        campaign.play_take_over,
        lambda size: 60.0 + size.rounds,
    ),
    Act("forks", "the owner forks in the midst of it, and is killed", forks.play, lambda size: 30.0 + 5 * size.forks),
    Act(
        "coming and going",
        "processes attach and detach all the time",
        coming_and_going.play,
        lambda size: 40.0 + 4 * size.seconds,
    ),
    Act(
        "unkind",
        "the server greets at once, limits messages, answers late, reads nothing for a while",
        unkind.play,
        lambda size: 60.0 + 4.0 * size.blows,
    ),
    Act("slow", "a process that is stopped, and one that doesn't read", slow.play, lambda _: 60.0),
    Act("strangers", "another release, another user, and nonsense", strangers.play, lambda _: 60.0),
)
