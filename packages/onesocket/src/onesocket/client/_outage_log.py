"""Logs the outages of a connection: its loss, failed attempts, its recovery, and giving up."""

from __future__ import annotations

import enum
import logging
from collections.abc import Hashable
from typing import Final

from ..errors import (
    ConnectAborted,
    ManuallyDisconnected,
    OnesocketError,
    RetriesExhausted,
    SessionExpired,
    TokenFailed,
)
from ..lifecycle._states import State
from ._error_reporter import one_line
from ._status import Change

_log = logging.getLogger("onesocket")
_MIN_REPEAT_INTERVAL: Final = 5.0
_MAX_REPEAT_INTERVAL: Final = 600.0
"""Seconds until the same reason is logged again: as long as the outage has lasted, within these bounds."""
_INTENDED_ERRORS: Final = (ConnectAborted, ManuallyDisconnected, SessionExpired)
"""With these a provider ends a connection whose user signed out, or another one in."""
_STATES_WITHOUT_OUTAGE: Final = frozenset({State.DISCONNECTED, State.STOPPED, State.CLOSED})


class OutageStage(enum.Enum):
    """Progress of an outage."""

    NONE = "none"
    LOST = "lost"
    """The connection was up, and no attempt has failed since."""
    RETRYING = "retrying"
    FIRST = "first"
    """The first connect failed, and is retried."""
    GAVE_UP = "gave up"


class OutageLog:
    """Logs the outages of one connection, and keeps the reason for the last loss.

    A first connect that fails is raised and not logged, unless no caller waits for it, or it is retried. An attempt
    that fails is logged when its reason is new in this outage, or when the outage has lasted twice as long as at the
    last entry about it. What comes up and is lost again before it has proved itself goes on with its outage: a server
    that accepts and closes fills no log.
    """

    __slots__ = (
        "_again_at",
        "_began",
        "_began_with",
        "_failed",
        "_quiet",
        "_reasons",
        "_shown_url",
        "_since",
        "_stage",
        "_was_logged",
        "last_loss",
        "last_lost_at",
    )

    def __init__(self, shown_url: str) -> None:
        self.last_loss: OnesocketError | None = None
        self.last_lost_at: float | None = None
        """Unix time."""
        self._shown_url = shown_url
        self._stage = OutageStage.NONE
        self._since = 0.0
        """Time of the last loss."""
        self._began = 0.0
        """Time at which this outage began, which goes on if a connection since did not prove itself."""
        self._began_with = OutageStage.LOST
        """`FIRST`: with the failure of a first connect."""
        self._was_logged = False
        """True if the present loss, or an attempt since, was logged above DEBUG."""
        self._quiet = False
        """True if another part logs this outage."""
        self._failed = 0
        """Failures of this outage, the loss itself included: the number of the next attempt."""
        self._reasons: dict[Hashable, None] = {}
        self._again_at = 0.0

    def __repr__(self) -> str:
        return f"<OutageLog {self._stage.value} attempt={self._failed} last={self.last_loss!r}>"

    @property
    def is_logged(self) -> bool:
        """True while there is an outage that is logged here, and not by another part."""
        return self._stage is not OutageStage.NONE and not self._quiet

    @property
    def is_under_way(self) -> bool:
        """True while there is an outage: without one, only a change with an error is of interest."""
        return self._stage is not OutageStage.NONE

    def changed(
        self,
        change: Change,
        *,
        failures: int,
        retry_in: float | None,
        has_callers: bool,
        now: float,
        level: int = logging.WARNING,
    ) -> None:
        """The state changed, at `now` on any monotonic clock.

        `failures`: in a row; more than one at a loss says that the connection had not proved itself: that is no new
        outage. `has_callers`: a caller waits for the attempt, and gets its failure. `level`: for a loss and
        for attempts that fail; an outage that begins at DEBUG stays there, as another part logs it.
        """
        error = change.error
        if change.old is State.CONNECTED and error is not None:
            self._begin(change, error, now, failures, quiet=level <= logging.DEBUG)
        elif self._stage is OutageStage.NONE and change.new is State.BACKING_OFF and error is not None:
            self._start(OutageStage.FIRST, now, quiet=level <= logging.DEBUG)
            self._began, self._began_with, self._failed = now, OutageStage.FIRST, 1
            self._reasons.clear()
        is_outage = self._stage is not OutageStage.NONE
        if change.new is State.CONNECTED and is_outage:
            again = "" if self._stage is OutageStage.FIRST else " again"
            text = f"%s: connected{again} after %.1f s (epoch %d, attempt %d)"
            level = logging.INFO if self._was_logged else logging.DEBUG
            self._say(level, text, now - self._since, change.epoch, self._failed)
            self._stage = OutageStage.NONE
        elif change.new in _STATES_WITHOUT_OUTAGE:
            self._stage = OutageStage.NONE
        elif change.new is State.FAILED and error is not None:
            self._log_giving_up(error, now, has_callers=has_callers)
        elif error is not None and is_outage and self._is_failure(change):
            self._attempt_failed(error, retry_in, now, level)

    def _begin(self, change: Change, error: OnesocketError, now: float, failures: int, *, quiet: bool) -> None:
        cause = error.__cause__
        self.last_loss = cause if isinstance(error, RetriesExhausted) and isinstance(cause, OnesocketError) else error
        self.last_lost_at = change.at
        self._start(OutageStage.LOST, now, quiet=quiet)
        if failures <= 1:
            self._began, self._began_with, self._failed = now, OutageStage.LOST, 0
            self._reasons.clear()

    def _start(self, stage: OutageStage, now: float, *, quiet: bool) -> None:
        self._stage = stage
        self._since = now
        self._quiet = quiet
        self._was_logged = False

    def _is_failure(self, change: Change) -> bool:
        # A connection that another process held is lost without a close or a back-off of ours.
        return change.new is State.BACKING_OFF or (change.old is State.CONNECTED and change.new is State.CONNECTING)

    def _attempt_failed(self, error: OnesocketError, retry_in: float | None, now: float, level: int) -> None:
        is_of_first = self._began_with is OutageStage.FIRST
        again = " again" if self._failed and not is_of_first else ""
        failed = f"connection lost{again}" if self._stage is OutageStage.LOST else f"attempt {self._failed} failed"
        lasted = now - self._began
        began = "failure" if is_of_first else "loss"
        away = f" ({lasted:.0f} s since the first {began})" if self._failed > is_of_first else ""
        self._failed += 1
        if self._stage is OutageStage.LOST:
            self._stage = OutageStage.RETRYING
        when = "" if retry_in is None else f" in {retry_in:.1f} s" if retry_in else " at once"
        reason = _reason(error)
        if reason in self._reasons and now < self._again_at:
            level = logging.DEBUG
        else:
            self._reasons[reason] = None
            self._again_at = now + min(max(lasted, _MIN_REPEAT_INTERVAL), _MAX_REPEAT_INTERVAL)
        self._was_logged = self._was_logged or level > logging.DEBUG
        text = f"%s: {failed}: %s{away}; attempt {self._failed}{when}"
        self._say(level, text, one_line(str(error)), error=error)

    def _log_giving_up(self, error: OnesocketError, now: float, *, has_callers: bool) -> None:
        is_meant = isinstance(error, _INTENDED_ERRORS)
        if self._stage in (OutageStage.LOST, OutageStage.RETRYING):
            self._stage = OutageStage.GAVE_UP
            level = logging.INFO if is_meant else logging.ERROR
            refusal = " (the token is refused)" if error.refuses_token else ""
            text = (
                f"%s: connection lost for good, after an outage of %.1f s: %s{refusal}; connect() starts a new attempt"
            )
            self._say(level, text, now - self._since, one_line(str(error)), error=error)
        else:
            self._stage = OutageStage.NONE if self._stage is OutageStage.FIRST else self._stage
            level = logging.DEBUG if has_callers or is_meant else logging.ERROR
            self._say(level, "%s: connecting failed: %s", one_line(str(error)), error=error)

    def _say(self, level: int, text: str, *details: object, error: OnesocketError | None = None) -> None:
        theirs = None if error is None else _in_user_code(error)
        if self._quiet and self._stage is not OutageStage.NONE:
            level = logging.DEBUG
        elif theirs is not None and level > logging.DEBUG:
            level = logging.ERROR
        _log.log(level, text, self._shown_url, *details, exc_info=theirs)


def _reason(error: OnesocketError) -> Hashable:
    """Key that is equal for two errors with the same reason: their texts differ by numbers and addresses."""
    return type(error), getattr(error, "status", None), getattr(error, "code", None)


def _in_user_code(error: OnesocketError) -> OnesocketError | None:
    """The error with the traceback of the user's code that failed; None: no such code failed.

    The text of the user's own exception may hold a secret (a URL, a body): only its place and type are shown.
    """
    cause = error.__cause__
    is_theirs = isinstance(error, TokenFailed) or (
        type(error) is OnesocketError and not isinstance(cause, OnesocketError)
    )
    if cause is None or not is_theirs:
        return None
    shown = error.copy().with_traceback(cause.__traceback__)
    shown.__cause__ = None
    return shown
