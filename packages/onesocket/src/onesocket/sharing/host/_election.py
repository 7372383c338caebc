"""Election of the owner of a connection, as one process takes part in it. No I/O; time is an argument.

The lock decides, nothing else. A process that gets it owns the connection; all others attach to that one. The option
`own` decides which processes try to get it, and when.
"""

from __future__ import annotations

import enum
import math
from typing import Final

from .._host_options import HostOptions, Own

FIRST_DELAY: Final = 0.002
MAX_DELAY: Final = 0.1
_DELAY_GROWTH: Final = 1.25
"""A slow growth: a process that waits for a new owner waits for a quarter longer than needed at most."""
YIELD_DELAY: Final = 0.3
"""Seconds for which a process leaves the lock to others: it stepped down, or another one is to be the owner."""
_MAX_TICK: Final = 1.5
"""Heartbeats that one tick can count as silence: a late tick means that *this* process stood still."""
_MIN_MISSED_HEARTBEATS: Final = 2


class ElectionPhase(enum.Enum):
    """Phase of one process."""

    IDLE = "idle"
    LOOKING = "looking"
    ATTACHING = "attaching"
    FOLLOWING = "following"
    TAKING_OVER = "taking over"
    OWNING = "owning"
    YIELDING = "yielding"


class ElectionEvent(enum.Enum):
    """Events of the election."""

    JOIN = "join"
    LOCK_ACQUIRED = "lock acquired"
    LOCK_BUSY = "lock busy"
    ATTACHED = "attached"
    ATTACH_FAILED = "attach failed"
    """No process listens: the owner is not ready yet, or gone."""
    ATTACH_TIMED_OUT = "attach timed out"
    """A process listens, but doesn't answer."""
    HEARTBEAT = "heartbeat"
    OWNER_LOST = "owner lost"
    TICK = "tick"
    STEP_DOWN_REQUESTED = "step down requested"
    """This owner has to hand over: a process prefers to own, or the lock isn't its own any more."""
    HAND_OVER_REQUESTED = "hand-over requested"
    """A user asked this owner to hand over, whatever it prefers."""
    RELEASED = "released"
    ATTEMPT_FAILED = "attempt failed"
    """A step could not be done: no descriptor is free, the disk is full, the directory gone."""
    ROLE_FAILED = "role failed"
    """This process can't use another one's connection, though it is attached: it has no memory, or met a bug."""
    LEAVE = "leave"


class ElectionAction(enum.Enum):
    """Actions that the election asks for."""

    TRY_LOCK = "try lock"
    ATTACH = "attach"
    SERVE = "serve"
    REPORT_SILENCE = "report silence"
    CHECK_OWNER = "check owner"
    """Find out whether the silent owner is still the one that holds the lock, without taking it."""
    TAKE_OVER = "take over"
    DETACH = "detach"
    HAND_OVER = "hand over"


class Election:
    """State machine of one process. `handle` returns actions, and `wake_at` is the time of the next `TICK`."""

    def __init__(self, options: HostOptions) -> None:
        self._options = options
        self.phase = ElectionPhase.IDLE
        self.wake_at: float | None = None
        self.own = Own(options.own)
        """As the option says; a process that failed to own, or was asked to hand over, does not prefer to until it
        owns again."""
        self.leaves_lock = False
        """True if another process is to be the next owner, and this one leaves the lock to it for a while."""
        self.silence = 0.0
        """Seconds without a sign of life of the owner, counted while this process was awake."""
        self.owner_heartbeat = 0.0
        """The owner's interval; its silence is measured by that one, too."""
        self._ticked_at = 0.0
        self._delay = FIRST_DELAY
        self._step_aside_until = -math.inf
        """Time until which this process attaches to the holder of the lock, and does not try to get it."""

    def __repr__(self) -> str:
        return f"<Election {self.phase.value} silence={self.silence:g}>"

    @property
    def is_owner_silent(self) -> bool:
        """True if the owner counts as stopped."""
        return self.silence >= max(self._options.stopped_after, _MIN_MISSED_HEARTBEATS * self.owner_heartbeat)

    def handle(  # noqa: C901, PLR0912 - a row each
        self, event: ElectionEvent, now: float, jitter: float = 0.5, *, delay: float = 0.0
    ) -> list[ElectionAction]:
        """Return the actions for an event, none if it is too late for the phase; `jitter` is a random number in [0, 1).

        `delay`: for `ATTEMPT_FAILED` and `ROLE_FAILED`, the seconds until the next try.
        """
        match self.phase, event:
            case ElectionPhase.FOLLOWING, ElectionEvent.HEARTBEAT:
                self.silence = 0.0
                self._ticked_at = now
                return []
            case ElectionPhase.IDLE, ElectionEvent.JOIN:
                return self._look(now)
            case _, ElectionEvent.LEAVE:
                self._enter(ElectionPhase.IDLE)
                return []
            case (
                ElectionPhase.LOOKING | ElectionPhase.ATTACHING | ElectionPhase.TAKING_OVER | ElectionPhase.OWNING,
                ElectionEvent.ATTEMPT_FAILED,
            ) | (ElectionPhase.FOLLOWING, ElectionEvent.ROLE_FAILED):
                return self._look_again(now + delay)
            case (
                ElectionPhase.LOOKING | ElectionPhase.TAKING_OVER | ElectionPhase.FOLLOWING,
                ElectionEvent.LOCK_ACQUIRED,
            ):
                self._enter(ElectionPhase.OWNING)
                self.own = Own(self._options.own)
                return [ElectionAction.DETACH, ElectionAction.SERVE]
            case ElectionPhase.LOOKING, ElectionEvent.LOCK_BUSY:
                return self._attach()
            case ElectionPhase.TAKING_OVER, ElectionEvent.LOCK_BUSY:
                self.silence = 0.0
                return [ElectionAction.DETACH, *self._look(now)]
            case ElectionPhase.ATTACHING, ElectionEvent.ATTACHED:
                self._enter(ElectionPhase.FOLLOWING)
                self.silence = 0.0
                self._delay, self._step_aside_until = FIRST_DELAY, -math.inf
                self._ticked_at, self.wake_at = now, now + self._options.heartbeat
                return []
            case ElectionPhase.ATTACHING, ElectionEvent.ATTACH_FAILED:
                self.silence = 0.0
                self._look_later(now, jitter)
                return []
            case ElectionPhase.ATTACHING, ElectionEvent.ATTACH_TIMED_OUT:
                self.silence += self._options.attach_timeout
                if self.is_owner_silent and self._options.takes_over:
                    self._enter(ElectionPhase.TAKING_OVER)
                    return [ElectionAction.TAKE_OVER]
                self._look_later(now, jitter)
                return []
            case ElectionPhase.LOOKING, ElectionEvent.JOIN | ElectionEvent.TICK if self.wake_at is not None:
                if event is ElectionEvent.TICK and now < self.wake_at:
                    return []  # only a caller is not kept waiting
                return self._look(now)
            case ElectionPhase.FOLLOWING, ElectionEvent.TICK:
                return self._follow(now)
            case ElectionPhase.FOLLOWING | ElectionPhase.TAKING_OVER, ElectionEvent.OWNER_LOST:
                if self.leaves_lock:
                    self.leaves_lock = False
                    self._step_aside_until = now + YIELD_DELAY * (1 + jitter)
                self.silence = 0.0
                self._delay = FIRST_DELAY
                return [ElectionAction.DETACH, *self._look(now)]
            case ElectionPhase.OWNING, ElectionEvent.STEP_DOWN_REQUESTED | ElectionEvent.HAND_OVER_REQUESTED:
                self._enter(ElectionPhase.YIELDING)
                if event is ElectionEvent.HAND_OVER_REQUESTED:
                    self.own = Own.ALLOW  # else the next owner would hand over to this process
                return [ElectionAction.HAND_OVER]
            case ElectionPhase.YIELDING, ElectionEvent.RELEASED:
                self.silence = 0.0
                self._delay = FIRST_DELAY
                self._step_aside_until = now + YIELD_DELAY * (1 + jitter)
                return self._look(now)
            case _:
                return []

    def _follow(self, now: float) -> list[ElectionAction]:
        if self.wake_at is None or now < self.wake_at:
            return []
        options = self._options
        self.silence += min(now - self._ticked_at, _MAX_TICK * options.heartbeat)
        self._ticked_at, self.wake_at = now, now + options.heartbeat
        if not self.is_owner_silent:
            return []
        if options.takes_over:
            self._enter(ElectionPhase.TAKING_OVER)
            return [ElectionAction.REPORT_SILENCE, ElectionAction.TAKE_OVER]
        # Perhaps it's dead, and a copy of its socket in a child hides its end from this process: the lock shows it.
        check = ElectionAction.CHECK_OWNER if self.own is Own.NEVER else ElectionAction.TRY_LOCK
        return [ElectionAction.REPORT_SILENCE, check]

    def _look(self, now: float) -> list[ElectionAction]:
        if self.own is Own.NEVER or now < self._step_aside_until:
            return self._attach()
        self._enter(ElectionPhase.LOOKING)
        return [ElectionAction.TRY_LOCK]

    def _attach(self) -> list[ElectionAction]:
        self._enter(ElectionPhase.ATTACHING)
        return [ElectionAction.ATTACH]

    def _look_again(self, at: float) -> list[ElectionAction]:
        """Look after a step that failed, from time `at` on."""
        detach = [ElectionAction.DETACH] if self.phase is ElectionPhase.TAKING_OVER else []
        if self.phase is ElectionPhase.OWNING and self.own is Own.PREFER:
            self.own = Own.ALLOW  # the next owner would hand over to it in vain
        self.silence = 0.0
        self._enter(ElectionPhase.LOOKING)
        self._delay, self.wake_at = FIRST_DELAY, at
        return detach

    def _look_later(self, now: float, jitter: float) -> None:
        self._enter(ElectionPhase.LOOKING)
        self.wake_at = now + self._delay * (0.5 + jitter)
        self._delay = min(_DELAY_GROWTH * self._delay, MAX_DELAY)

    def _enter(self, phase: ElectionPhase) -> None:
        self.phase = phase
        self.wake_at = None
