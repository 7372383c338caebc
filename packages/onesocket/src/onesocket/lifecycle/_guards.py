"""The data of the machine, and the guards that rules of the transition table refer to."""

from __future__ import annotations

import enum
from typing import Final

from ..errors import OnesocketError, ServerBusy
from . import _events as events
from ._effects import Effect
from ._events import Event, TimerKind
from ._retry import ReconnectPolicy
from ._side_data import GHOST_SECONDS, SideData
from ._states import AfterClose, Side, State
from ._verdict import Verdict, verdict_of

MAX_TOKEN_REQUESTS: Final = 15
"""Requests to the token source after its token was refused; with the default delays they take one to three minutes."""


class Initiator(enum.StrEnum):
    """The party that an attempt runs for: decides the meaning of its failure and of its callers' cancellation."""

    CALLERS = "callers"
    """Waiting callers: the attempt is wound down with the last one; a failure is final."""
    DETACHED = "detached"
    """A call that does not wait (`connect_nowait`): no cancellation ends the attempt; a failure is final."""
    RETRYING = "retrying"
    """A call that does not wait, and has a first connect retried: a failure leads to the next attempt."""
    RESUME = "resume"
    """The resumption of an established connection: a failure leads to the next attempt."""


class Guards(SideData):
    """Plain data of one connection's lifecycle, and the guards, which read it."""

    inherits_outage = False
    """True while the connection is away since it was another process's: calls that wait through failures waited there,
    too, and don't cut the back-off short. In the class until it is set, as most connections never do (`SideData`)."""

    def __init__(
        self,
        *,
        open_timeout: float,
        close_timeout: float,
        reconnect: ReconnectPolicy | None,
        renews_token: bool = False,
        closes_first: bool = False,
        ghost_seconds: float = GHOST_SECONDS,
    ) -> None:
        super().__init__(closes_first=closes_first, ghost_seconds=ghost_seconds)
        self.open_timeout: Final = open_timeout
        self.close_timeout: Final = close_timeout
        self.reconnect: Final = reconnect
        self.renews_token: Final = renews_token
        """A source gives the tokens: one that was refused can be replaced."""
        self.state = State.DISCONNECTED
        self.epoch: int = 0
        """The epoch of the authoritative connection or attempt, or of the last one; 0 before the first attempt."""
        self.last_epoch: int = 0
        """The newest epoch that was given to an attempt, a successor's included."""
        self.live_epoch: int | None = None
        """The epoch of the authoritative connection whose socket or task still exists, if any."""
        self.opened = False
        """True once the upgrade of that epoch went through."""
        self.after_close: AfterClose | None = None
        """The next step after CLOSING; None in every other state."""
        self.initiator = Initiator.CALLERS
        self.waiting = 0
        """Callers that wait for an attempt's outcome."""
        self.retrying = 0
        """Those of them that wait through failures, until the connection is up."""
        self.failures = 0
        """Failures in a row since a connection last proved itself."""
        self.refusals = 0
        """Refusals of the token since one was accepted; a token that the source gave again counts as refused again."""
        self.not_before = 0.0
        """Time that the server named for the next attempt (`Retry-After`)."""
        self.has_place = False
        """The server counts the live connection: it was opened, and the peer has neither closed nor refused it."""
        self.ghost_until = 0.0
        """Time until which the server may still count the last connection, whose end it may not know of."""
        self.meets_ghost = False
        """The last attempt failed because of a limit on connections, within that time."""
        self.away_since = 0.0
        """Start of the back-off: the time of the first of these failures, plus the time up since then."""
        self.up_since = 0.0
        """Time at which a connection was last logged in."""
        self.timer: tuple[TimerKind, int] | None = None
        self.timer_at = 0.0
        """Time at which the timer fires, if it is set."""
        self.error: OnesocketError | None = None
        self.verdict = Verdict.RETRY
        """Reason for the loss of the connection or the failure of the attempt (None while all is well); its verdict."""
        self.stale: int = 0
        """Events of a past epoch or timer that were dropped."""
        self._event: Event = events.Connect()
        self._now = 0.0
        self._effects: list[Effect] = []
        """The event that is being handled, its time, and its effects so far."""

    @property
    def retry_at(self) -> float | None:
        """Time of the next attempt, while BACKING_OFF."""
        return self.timer_at if self.state is State.BACKING_OFF else None

    # --- guards -------------------------------------------------------------------------------------------------------

    def retry_helps(self) -> bool:
        """True if another attempt follows this failure."""
        if self.reconnect is None or self.reconnect.exhausted(self.failures + 1):
            return False
        return self._verdict() is not Verdict.FAIL and (self.is_resumed or self._is_ghost())

    def has_side(self) -> bool:
        """True if there is a side connection."""
        return self.side is not Side.NONE

    def retry_follows_side(self) -> bool:
        """True if another attempt follows this failure, once the side connection is gone."""
        return self.has_side() and self.retry_helps()

    def successor_follows(self) -> bool:
        """True if the successor that is being opened is the attempt that follows this failure."""
        return self.side is Side.OPENING and self.retry_helps()

    def is_second_refused(self) -> bool:
        """True if the server allows no second connection: the first is to be closed before the next is opened."""
        error = self.rotation_error
        if error is None and self.side is Side.OPENING:
            failure = self._failure()
            error = None if failure is None else failure.error
        is_limit = error is not None and is_connection_limit(error) and not error.retry_after
        is_idle = self.state is State.CONNECTED and self._now >= self.ghost_until
        return is_limit and is_idle and self.closes_first and self.reconnect is not None

    def is_last_caller(self) -> bool:
        """True if the attempt was for this caller alone."""
        return self.waiting == 1 and self.initiator is Initiator.CALLERS

    def is_last_retrying_caller(self) -> bool:
        """True if no other caller wants the attempt after the one that failed."""
        return (
            isinstance(self._event, events.CallerCancelled)
            and self._event.retries
            and self.retrying == 1
            and self.initiator is Initiator.CALLERS
            and not self.meets_ghost
        )

    def is_early(self) -> bool:
        """True if the server has named a later time for the next attempt."""
        earlier = self._earlier()
        return self._now < self.not_before or (earlier is not None and earlier.wait > 0)

    def names_date(self) -> bool:
        """True if the server has refused an attempt that was being closed, and named a later time for the next one."""
        return self._names_date() or self.is_early()  # early: the end of the side connection was awaited since then

    def is_awaited_until_date(self) -> bool:
        """True if it has, and the attempt that waits for the close is to be made then."""
        return self.names_date() and self.is_resumed

    def waits_for_date(self) -> bool:
        """True if it has, or another process backed off, and the call has the attempt made then."""
        earlier = self._earlier()
        if earlier is not None:
            return self.is_early() or earlier.back_off > 0
        backs_off = self.state is State.BACKING_OFF or self.after_close is AfterClose.BACK_OFF
        return (self.is_early() or (self.inherits_outage and backs_off)) and self._retries()

    @property
    def is_resumed(self) -> bool:
        """True if a failure of the present connection or attempt is followed by the next attempt, if that may help."""
        return (
            self.state is State.CONNECTED
            or self.initiator in (Initiator.RESUME, Initiator.RETRYING)
            or self.retrying > 0
        )

    def _retries(self) -> bool:
        """True if the call wants further attempts after one that fails."""
        if self.reconnect is None or not isinstance(self._event, events.CALLS):
            return False
        return self.reconnect.first if self._event.retry is None else self._event.retry

    def _names_date(self) -> bool:
        event = self._failure()
        return event is not None and bool(event.error.retry_after)

    def _earlier(self) -> events.EarlierConnection | None:
        """The connection of another process that the call resumes, if it does."""
        return self._event.resumes if isinstance(self._event, events.Connect) else None

    def _failure(self) -> events.ConnectionFailing | events.ConnectionGone | None:
        """The event, if it reports a failure with its error."""
        event = self._event
        return event if isinstance(event, events.FAILURES) else None

    def _verdict(self) -> Verdict:
        """The verdict on the present failure."""
        event = self._failure()
        if event is None:  # a missed deadline, which has no error yet, and may pass
            given = self._event.verdict if isinstance(self._event, events.TimerFired) else None
            return given or Verdict.RETRY
        if self._refuses_token(event):
            fails_again = self.refusals > 0 and event.is_fresh_token
            return Verdict.FAIL if fails_again or self.refusals >= MAX_TOKEN_REQUESTS else Verdict.NEW_TOKEN
        given = None if event.verdict is Verdict.NEW_TOKEN else event.verdict
        return given or verdict_of(event.error)

    def _refuses_token(self, event: events.ConnectionFailing | events.ConnectionGone) -> bool:
        """True if the peer refused a token, and a source may give another one."""
        verdict = event.verdict or verdict_of(event.error, renews_token=True)
        return self.renews_token and verdict is Verdict.NEW_TOKEN

    def _is_ghost(self) -> bool:
        """True if the present failure may be due to an earlier connection, which the server counts for a while."""
        event = self._failure()
        return event is not None and self._is_error_of_ghost(event.error, self._now)

    def _is_error_of_ghost(self, error: OnesocketError, now: float) -> bool:
        return is_connection_limit(error) and now < self.ghost_until

    def _leaves_place(self, epoch: int | None) -> bool:
        """True if the present event says that the server doesn't count this connection, which is to be closed now."""
        event = self._event
        if not isinstance(event, events.ConnectionFailing) or event.epoch != epoch:
            return False
        return event.by_peer or is_connection_limit(event.error)


def is_connection_limit(error: OnesocketError | None) -> bool:
    """True if the server has refused a connection as it counts too many."""
    return isinstance(error, ServerBusy) and error.is_connection_limit
