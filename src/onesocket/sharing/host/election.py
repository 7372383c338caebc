"""Who holds the connection: the part of one process. Pure; time is an argument.

The lock decides, nothing else. A process that gets it owns; one that doesn't attaches to whoever has it.
"""

from __future__ import annotations

import enum
import math
from dataclasses import dataclass
from typing import Final

FIRST_DELAY: Final = 0.002
LONGEST_DELAY: Final = 0.1
_GROWTH: Final = 1.25
"""Slow: then whoever waits for the new owner waits for a quarter longer than that takes."""
YIELD_DELAY: Final = 0.3
"""Seconds for which a process that was told to let go leaves the lock to others."""
# A tick that comes late says that *we* stood still, which proves nothing about the owner.
_LONGEST_TICK: Final = 1.5
_FEWEST_BEATS: Final = 2


class Phase(enum.Enum):
    """Where this process stands."""

    OUT = "out"
    LOOKING = "looking"
    ATTACHING = "attaching"
    FOLLOWING = "following"
    TAKING = "taking over"
    OWNING = "owning"
    YIELDING = "yielding"


class Happened(enum.Enum):
    """What can happen."""

    JOIN = "join"
    LOCKED = "locked"
    BUSY = "busy"
    ATTACHED = "attached"
    REFUSED = "refused"
    """Nobody listens: the owner is not ready yet, or gone."""
    SILENT = "silent"
    """Somebody listens, but doesn't answer."""
    HEARD = "heard"
    LOST = "lost"
    TICK = "tick"
    TOLD = "told"
    """We own, and are to let go: we were silent for too long, or the lock isn't ours any more."""
    RELEASED = "released"
    HINDERED = "hindered"
    """A step could not be done: no descriptor is free, the disk is full, the directory gone."""
    LEAVE = "leave"


class Do(enum.Enum):
    """What is to be done."""

    TRY_LOCK = "try lock"
    ATTACH = "attach"
    SERVE = "serve"
    TELL_TO_LET_GO = "tell to let go"
    TAKE_OVER = "take over"
    DETACH = "detach"
    HAND_OVER = "hand over"


@dataclass(frozen=True, slots=True)
class Rules:
    """What it goes by, in seconds."""

    heartbeat: float = 1.0
    stopped_after: float = 3.5
    attach_timeout: float = 2.0
    takes_over: bool = False


class Election:
    """The part of one process. `handle` returns what to do, and `wake_at` says when to send the next `TICK`."""

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self.phase = Phase.OUT
        self.wake_at: float | None = None
        self.silence = 0.0
        """Seconds for which the owner has said nothing, as far as we were awake to hear it."""
        self.owner_heartbeat = 0.0
        """The owner's own, which it tells: its silence is measured by that, too."""
        self._ticked = 0.0
        self._told = False
        self._delay = FIRST_DELAY
        self._yields_until = -math.inf
        """Until then this process attaches to whoever has the lock, and does not try to get it."""

    def __repr__(self) -> str:
        return f"<Election {self.phase.value} silence={self.silence:g}>"

    @property
    def is_owner_silent(self) -> bool:
        """Whether the owner counts as stopped."""
        return self.silence >= max(self._rules.stopped_after, _FEWEST_BEATS * self.owner_heartbeat)

    def handle(  # noqa: C901, PLR0912 - a row each
        self, happened: Happened, now: float, roll: float = 0.5, *, delay: float = 0.0
    ) -> list[Do]:
        """Return the actions for an event, none if it is too late for the phase; `roll` is a random number in [0, 1).

        `delay`: after `HINDERED`, the seconds until the next try.
        """
        match self.phase, happened:
            case Phase.FOLLOWING, Happened.HEARD:
                self._hear()
                self._ticked = now
                return []
            case Phase.OUT, Happened.JOIN:
                return self._look()
            case _, Happened.LEAVE:
                self._enter(Phase.OUT)
                return []
            case Phase.LOOKING, Happened.JOIN if self.wake_at is not None:
                return self._look() if now >= self._yields_until else self._attach()  # somebody wants it now
            case Phase.LOOKING | Phase.ATTACHING | Phase.TAKING | Phase.OWNING, Happened.HINDERED:
                detach = [Do.DETACH] if self.phase is Phase.TAKING else []
                self._hear()
                self._enter(Phase.LOOKING)
                self._delay, self.wake_at = FIRST_DELAY, now + delay
                return detach
            case Phase.LOOKING | Phase.TAKING | Phase.FOLLOWING, Happened.LOCKED:
                self._enter(Phase.OWNING)
                return [Do.DETACH, Do.SERVE]
            case Phase.LOOKING, Happened.BUSY:
                return self._attach()
            case Phase.TAKING, Happened.BUSY:
                self._hear()
                return [Do.DETACH, *self._look()]
            case Phase.ATTACHING, Happened.ATTACHED:
                self._enter(Phase.FOLLOWING)
                self._hear()
                self._delay = FIRST_DELAY
                self._ticked, self.wake_at = now, now + self._rules.heartbeat
                return []
            case Phase.ATTACHING, Happened.REFUSED:
                self._hear()
                self._look_later(now, roll)
                return []
            case Phase.ATTACHING, Happened.SILENT:
                self.silence += self._rules.attach_timeout
                if self.is_owner_silent and self._rules.takes_over:
                    self._enter(Phase.TAKING)
                    return [Do.TAKE_OVER]
                self._look_later(now, roll)
                return []
            case Phase.LOOKING, Happened.TICK if self.wake_at is not None and now >= self.wake_at:
                return self._look() if now >= self._yields_until else self._attach()
            case Phase.FOLLOWING, Happened.TICK:
                return self._follow(now)
            case Phase.FOLLOWING | Phase.TAKING, Happened.LOST:
                self._hear()
                self._delay = FIRST_DELAY
                return [Do.DETACH, *self._look()]
            case Phase.OWNING, Happened.TOLD:
                self._enter(Phase.YIELDING)
                return [Do.HAND_OVER]
            case Phase.YIELDING, Happened.RELEASED:
                self._hear()
                self._delay = FIRST_DELAY
                self._yields_until = now + YIELD_DELAY * (1 + roll)
                return self._attach()
            case _:
                return []

    def _follow(self, now: float) -> list[Do]:
        if self.wake_at is None or now < self.wake_at:
            return []
        rules = self._rules
        self.silence += min(now - self._ticked, _LONGEST_TICK * rules.heartbeat)
        self._ticked, self.wake_at = now, now + rules.heartbeat
        if not self.is_owner_silent:
            return []
        if rules.takes_over:
            self._enter(Phase.TAKING)
            return [Do.TELL_TO_LET_GO, Do.TAKE_OVER]
        # Perhaps it's dead, and a copy of its socket in some child keeps us from seeing its end: the lock knows.
        told, self._told = self._told, True
        return [Do.TRY_LOCK] if told else [Do.TELL_TO_LET_GO, Do.TRY_LOCK]

    def _look(self) -> list[Do]:
        self._enter(Phase.LOOKING)
        return [Do.TRY_LOCK]

    def _attach(self) -> list[Do]:
        self._enter(Phase.ATTACHING)
        return [Do.ATTACH]

    def _look_later(self, now: float, roll: float) -> None:
        self._enter(Phase.LOOKING)
        self.wake_at = now + self._delay * (0.5 + roll)
        self._delay = min(_GROWTH * self._delay, LONGEST_DELAY)

    def _hear(self) -> None:
        self.silence = 0.0
        self._told = False

    def _enter(self, phase: Phase) -> None:
        self.phase = phase
        self.wake_at = None
