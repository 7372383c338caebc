"""Election of the owner of a connection, as one process takes part in it. No I/O; time is an argument.

The lock decides, nothing else. A process that gets it owns; one that doesn't attaches to whoever has it.
"""

from __future__ import annotations

import enum
import math
from dataclasses import dataclass
from typing import Final

FIRST_DELAY: Final = 0.002
MAX_DELAY: Final = 0.1
_DELAY_GROWTH: Final = 1.25
"""Slow: then whoever waits for the new owner waits for a quarter longer than that takes."""
YIELD_DELAY: Final = 0.3
"""Seconds for which a process that was told to let go leaves the lock to others."""
# A tick that comes late says that *we* stood still, which proves nothing about the owner.
_MAX_TICK: Final = 1.5
_MIN_MISSED_HEARTBEATS: Final = 2


class ElectionPhase(enum.Enum):
    """Where this process stands."""

    IDLE = "out"
    LOOKING = "looking"
    ATTACHING = "attaching"
    FOLLOWING = "following"
    TAKING_OVER = "taking over"
    OWNING = "owning"
    YIELDING = "yielding"


class ElectionEvent(enum.Enum):
    """Events of the election."""

    JOIN = "join"
    LOCK_ACQUIRED = "locked"
    LOCK_BUSY = "busy"
    ATTACHED = "attached"
    ATTACH_FAILED = "refused"
    """No process listens: the owner is not ready yet, or gone."""
    ATTACH_TIMED_OUT = "silent"
    """A process listens, but doesn't answer."""
    HEARTBEAT = "heard"
    OWNER_LOST = "lost"
    TICK = "tick"
    STEP_DOWN_REQUESTED = "told"
    """We own, and are to let go: we were silent for too long, or the lock isn't ours any more."""
    RELEASED = "released"
    ATTEMPT_FAILED = "hindered"
    """A step could not be done: no descriptor is free, the disk is full, the directory gone."""
    LEAVE = "leave"


class ElectionAction(enum.Enum):
    """Actions that the election asks for."""

    TRY_LOCK = "try lock"
    ATTACH = "attach"
    SERVE = "serve"
    REQUEST_STEP_DOWN = "tell to let go"
    TAKE_OVER = "take over"
    DETACH = "detach"
    HAND_OVER = "hand over"


@dataclass(frozen=True, slots=True)
class ElectionSettings:
    """Times of the election, in seconds."""

    heartbeat: float = 1.0
    stopped_after: float = 3.5
    attach_timeout: float = 2.0
    takes_over: bool = False


class Election:
    """The part of one process. `handle` returns what to do, and `wake_at` says when to send the next `TICK`."""

    def __init__(self, rules: ElectionSettings) -> None:
        self._rules = rules
        self.phase = ElectionPhase.IDLE
        self.wake_at: float | None = None
        self.silence = 0.0
        """Seconds for which the owner has said nothing, as far as we were awake to hear it."""
        self.owner_heartbeat = 0.0
        """The owner's own, which it tells: its silence is measured by that, too."""
        self._ticked = 0.0
        self._told = False
        self._delay = FIRST_DELAY
        self._step_aside_until = -math.inf
        """Until then this process attaches to whoever has the lock, and does not try to get it."""

    def __repr__(self) -> str:
        return f"<Election {self.phase.value} silence={self.silence:g}>"

    @property
    def is_owner_silent(self) -> bool:
        """True if the owner counts as stopped."""
        return self.silence >= max(self._rules.stopped_after, _MIN_MISSED_HEARTBEATS * self.owner_heartbeat)

    def handle(  # noqa: C901, PLR0912 - a row each
        self, happened: ElectionEvent, now: float, roll: float = 0.5, *, delay: float = 0.0
    ) -> list[ElectionAction]:
        """Return the actions for an event, none if it is too late for the phase; `roll` is a random number in [0, 1).

        `delay`: after `HINDERED`, the seconds until the next try.
        """
        match self.phase, happened:
            case ElectionPhase.FOLLOWING, ElectionEvent.HEARTBEAT:
                self._hear()
                self._ticked = now
                return []
            case ElectionPhase.IDLE, ElectionEvent.JOIN:
                return self._look()
            case _, ElectionEvent.LEAVE:
                self._enter(ElectionPhase.IDLE)
                return []
            case ElectionPhase.LOOKING, ElectionEvent.JOIN if self.wake_at is not None:
                return self._look() if now >= self._step_aside_until else self._attach()  # somebody wants it now
            case (
                ElectionPhase.LOOKING | ElectionPhase.ATTACHING | ElectionPhase.TAKING_OVER | ElectionPhase.OWNING,
                ElectionEvent.ATTEMPT_FAILED,
            ):
                detach = [ElectionAction.DETACH] if self.phase is ElectionPhase.TAKING_OVER else []
                self._hear()
                self._enter(ElectionPhase.LOOKING)
                self._delay, self.wake_at = FIRST_DELAY, now + delay
                return detach
            case (
                ElectionPhase.LOOKING | ElectionPhase.TAKING_OVER | ElectionPhase.FOLLOWING,
                ElectionEvent.LOCK_ACQUIRED,
            ):
                self._enter(ElectionPhase.OWNING)
                return [ElectionAction.DETACH, ElectionAction.SERVE]
            case ElectionPhase.LOOKING, ElectionEvent.LOCK_BUSY:
                return self._attach()
            case ElectionPhase.TAKING_OVER, ElectionEvent.LOCK_BUSY:
                self._hear()
                return [ElectionAction.DETACH, *self._look()]
            case ElectionPhase.ATTACHING, ElectionEvent.ATTACHED:
                self._enter(ElectionPhase.FOLLOWING)
                self._hear()
                self._delay = FIRST_DELAY
                self._ticked, self.wake_at = now, now + self._rules.heartbeat
                return []
            case ElectionPhase.ATTACHING, ElectionEvent.ATTACH_FAILED:
                self._hear()
                self._look_later(now, roll)
                return []
            case ElectionPhase.ATTACHING, ElectionEvent.ATTACH_TIMED_OUT:
                self.silence += self._rules.attach_timeout
                if self.is_owner_silent and self._rules.takes_over:
                    self._enter(ElectionPhase.TAKING_OVER)
                    return [ElectionAction.TAKE_OVER]
                self._look_later(now, roll)
                return []
            case ElectionPhase.LOOKING, ElectionEvent.TICK if self.wake_at is not None and now >= self.wake_at:
                return self._look() if now >= self._step_aside_until else self._attach()
            case ElectionPhase.FOLLOWING, ElectionEvent.TICK:
                return self._follow(now)
            case ElectionPhase.FOLLOWING | ElectionPhase.TAKING_OVER, ElectionEvent.OWNER_LOST:
                self._hear()
                self._delay = FIRST_DELAY
                return [ElectionAction.DETACH, *self._look()]
            case ElectionPhase.OWNING, ElectionEvent.STEP_DOWN_REQUESTED:
                self._enter(ElectionPhase.YIELDING)
                return [ElectionAction.HAND_OVER]
            case ElectionPhase.YIELDING, ElectionEvent.RELEASED:
                self._hear()
                self._delay = FIRST_DELAY
                self._step_aside_until = now + YIELD_DELAY * (1 + roll)
                return self._attach()
            case _:
                return []

    def _follow(self, now: float) -> list[ElectionAction]:
        if self.wake_at is None or now < self.wake_at:
            return []
        rules = self._rules
        self.silence += min(now - self._ticked, _MAX_TICK * rules.heartbeat)
        self._ticked, self.wake_at = now, now + rules.heartbeat
        if not self.is_owner_silent:
            return []
        if rules.takes_over:
            self._enter(ElectionPhase.TAKING_OVER)
            return [ElectionAction.REQUEST_STEP_DOWN, ElectionAction.TAKE_OVER]
        # Perhaps it's dead, and a copy of its socket in some child keeps us from seeing its end: the lock knows.
        told, self._told = self._told, True
        return [ElectionAction.TRY_LOCK] if told else [ElectionAction.REQUEST_STEP_DOWN, ElectionAction.TRY_LOCK]

    def _look(self) -> list[ElectionAction]:
        self._enter(ElectionPhase.LOOKING)
        return [ElectionAction.TRY_LOCK]

    def _attach(self) -> list[ElectionAction]:
        self._enter(ElectionPhase.ATTACHING)
        return [ElectionAction.ATTACH]

    def _look_later(self, now: float, roll: float) -> None:
        self._enter(ElectionPhase.LOOKING)
        self.wake_at = now + self._delay * (0.5 + roll)
        self._delay = min(_DELAY_GROWTH * self._delay, MAX_DELAY)

    def _hear(self) -> None:
        self.silence = 0.0
        self._told = False

    def _enter(self, phase: ElectionPhase) -> None:
        self.phase = phase
        self.wake_at = None
