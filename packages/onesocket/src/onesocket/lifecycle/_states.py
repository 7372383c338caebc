"""The states, and the transition table: data that the machine walks, the tests check and the diagram is drawn from."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Final

from . import _events as events
from ._events import Event


class State(enum.StrEnum):
    """Where the one connection stands."""

    DISCONNECTED = "disconnected"
    """Nothing open, nothing under way."""
    CONNECTING = "connecting"
    """Exactly one attempt in flight."""
    CONNECTED = "connected"
    """Open and logged in."""
    BACKING_OFF = "backing off"
    """The line was lost; the next attempt has a date."""
    CLOSING = "closing"
    """A close is under way, bounded, and where it leads is known."""
    FAILED = "failed"
    """The last attempt failed, or we gave up; `last_error` says why."""
    STOPPED = "stopped"
    """The owner said no: late components can't bring it back."""
    CLOSED = "closed"
    """`aclose()` was called; final."""


class AfterClose(enum.StrEnum):
    """Where CLOSING leads."""

    DISCONNECTED = "disconnected"
    NEW_ATTEMPT = "a new attempt"
    BACK_OFF = "backing off"
    FAIL = "failed"
    STOP = "stopped"
    CLOSE = "closed"


@dataclass(frozen=True, slots=True)
class Rule:
    """One row of a transition: if `when` holds, `do` these in order and go `to` (None: stay)."""

    do: tuple[str, ...]
    to: State | None = None
    when: str = "always"


class NonTransition(enum.Enum):
    """The two ways in which a pair of state and input is *not* a transition, each on purpose."""

    IGNORE = "ignore"
    """It can happen, and changes nothing."""
    ILLEGAL = "illegal"
    """It can't happen: the shell would have a bug."""


Cell = tuple[Rule, ...] | NonTransition

IGNORE: Final = NonTransition.IGNORE
ILLEGAL: Final = NonTransition.ILLEGAL

_S = State


def _rule(*do: str, to: State | None = None, when: str = "always") -> Rule:
    return Rule(do, to, when)


def _dial(*more: str) -> tuple[Rule, ...]:
    return (_rule("claim", "dial", "wait_as_opener", *more, to=_S.CONNECTING),)


_REFUSE_STOPPED = (_rule("refuse_stopped"),)
_REFUSE_CLOSED = (_rule("refuse_closed"),)
_ANSWER_DONE = (_rule("answer_done"),)
_TO_CLOSED = (_rule("clear_alarm", "answer_done", to=_S.CLOSED),)
_TO_STOPPED = (_rule("clear_alarm", "answer_done", to=_S.STOPPED),)

# What a line without a socket can't report: the epoch is over, so such an input is stale and never reaches the table.
_NO_CONNECTION: dict[type[Event], Cell] = {
    events.Opened: ILLEGAL,
    events.ProtocolReady: ILLEGAL,
    events.ConnectionFailing: ILLEGAL,
    events.ConnectionGone: ILLEGAL,
    events.CallerCancelled: ILLEGAL,
}

_AFTER_LOSS = (
    _rule("count_failure", "reject_callers", "schedule_retry", to=_S.BACKING_OFF, when="retry_helps"),
    _rule("count_failure", "clear_alarm", "reject_callers", to=_S.FAILED),
)
_FAILING = (
    _rule("count_failure", "lead_to_back_off", "hang_up", to=_S.CLOSING, when="retry_helps"),
    _rule("count_failure", "lead_to_fail", "hang_up", to=_S.CLOSING),
)

# A new attempt asked for while a close is under way: the attempt waits for the close, callers wait for the attempt.
_ATTEMPT_AFTER_CLOSE = (
    _rule("refuse_closed", when="leads_to_close"),
    _rule("wait_as_joiner", when="leads_to_attempt"),
    _rule("reject_callers", "claim", "lead_to_attempt", "wait_as_opener"),
)

TABLE: Final[dict[State, dict[type[Event], Cell]]] = {
    _S.DISCONNECTED: {
        events.Connect: _dial(),
        events.Reconnect: _dial(),
        events.Disconnect: _TO_STOPPED,
        events.Close: _TO_CLOSED,
        events.TimerFired: ILLEGAL,
        **_NO_CONNECTION,
    },
    _S.CONNECTING: {
        events.Connect: (_rule("wait_as_joiner"),),
        events.Reconnect: (_rule("wait_as_joiner"),),
        events.CallerCancelled: (
            _rule("drop_caller", "lead_to_rest", "hang_up", to=_S.CLOSING, when="last_claim"),
            _rule("drop_caller"),
        ),
        events.Disconnect: (_rule("abort_callers", "lead_to_stop", "hang_up", "await_end", to=_S.CLOSING),),
        events.Close: (_rule("close_callers", "lead_to_close", "hang_up", "await_end", to=_S.CLOSING),),
        events.Opened: (_rule("note_open"),),
        events.ProtocolReady: (_rule("note_open", "resolve_callers", "watch_stability", to=_S.CONNECTED),),
        events.ConnectionFailing: _FAILING,
        events.ConnectionGone: _AFTER_LOSS,
        events.TimerFired: (
            _rule(
                "blame_deadline",
                "count_failure",
                "lead_to_back_off",
                "abort",
                to=_S.CLOSING,
                when="retry_helps",
            ),
            _rule("blame_deadline", "count_failure", "lead_to_fail", "abort", to=_S.CLOSING),
        ),
    },
    _S.CONNECTED: {
        events.Connect: (_rule("answer_connected"),),
        events.Reconnect: (_rule("claim", "lead_to_attempt", "hang_up", "wait_as_opener", to=_S.CLOSING),),
        events.CallerCancelled: ILLEGAL,
        events.Disconnect: (_rule("lead_to_stop", "hang_up", "await_end", to=_S.CLOSING),),
        events.Close: (_rule("lead_to_close", "hang_up", "await_end", to=_S.CLOSING),),
        events.Opened: ILLEGAL,
        # A protocol may log in again on the same socket (Discord resumes so after an invalid session).
        events.ProtocolReady: IGNORE,
        events.ConnectionFailing: _FAILING,
        events.ConnectionGone: _AFTER_LOSS,
        events.TimerFired: (_rule("forget_failures"),),
    },
    _S.BACKING_OFF: {
        events.Connect: (_rule("dial", "wait_as_opener", to=_S.CONNECTING),),
        events.Reconnect: (_rule("dial", "wait_as_opener", to=_S.CONNECTING),),
        events.Disconnect: _TO_STOPPED,
        events.Close: _TO_CLOSED,
        events.TimerFired: (_rule("dial", to=_S.CONNECTING),),
        **_NO_CONNECTION,
    },
    _S.CLOSING: {
        events.Connect: (_rule("refuse_stopped", when="leads_to_stop"), *_ATTEMPT_AFTER_CLOSE),
        events.Reconnect: _ATTEMPT_AFTER_CLOSE,
        events.CallerCancelled: (
            _rule("drop_caller", "lead_to_rest", when="last_claim_on_next"),
            _rule("drop_caller"),
        ),
        events.Disconnect: (
            _rule("await_end", when="leads_to_close"),
            _rule("abort_callers", "lead_to_stop", "await_end"),
        ),
        events.Close: (_rule("close_callers", "lead_to_close", "await_end"),),
        events.Opened: (_rule("note_open", "bound_close"),),
        # The login went through, or the peer failed, while the close was already under way.
        events.ProtocolReady: IGNORE,
        events.ConnectionFailing: IGNORE,
        events.ConnectionGone: (
            _rule("dial", "release_leavers", to=_S.CONNECTING, when="leads_to_attempt"),
            _rule(
                "reject_callers",
                "schedule_retry",
                "release_leavers",
                to=_S.BACKING_OFF,
                when="leads_to_back_off",
            ),
            _rule("clear_alarm", "reject_callers", "release_leavers", to=_S.FAILED, when="leads_to_fail"),
            _rule("clear_alarm", "release_leavers", to=_S.STOPPED, when="leads_to_stop"),
            _rule("clear_alarm", "release_leavers", to=_S.CLOSED, when="leads_to_close"),
            _rule("clear_alarm", "release_leavers", to=_S.DISCONNECTED),
        ),
        events.TimerFired: (_rule("abort"),),
    },
    _S.FAILED: {
        events.Connect: _dial(),
        events.Reconnect: _dial(),
        events.Disconnect: _TO_STOPPED,
        events.Close: _TO_CLOSED,
        events.TimerFired: ILLEGAL,
        **_NO_CONNECTION,
    },
    _S.STOPPED: {
        events.Connect: _REFUSE_STOPPED,
        events.Reconnect: _dial(),
        events.Disconnect: _ANSWER_DONE,
        events.Close: _TO_CLOSED,
        events.TimerFired: ILLEGAL,
        **_NO_CONNECTION,
    },
    _S.CLOSED: {
        events.Connect: _REFUSE_CLOSED,
        events.Reconnect: _REFUSE_CLOSED,
        events.Disconnect: _ANSWER_DONE,
        events.Close: _ANSWER_DONE,
        events.TimerFired: ILLEGAL,
        **_NO_CONNECTION,
    },
}
