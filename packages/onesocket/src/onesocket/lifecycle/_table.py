"""The transition table: data that the machine walks, the tests check and the diagram is drawn from."""

from __future__ import annotations

import enum
from typing import Final

from .._record import record
from . import _events as events
from ._events import Event
from ._side_actions import Action, Guard, SideActions
from ._states import AfterClose, State


@record
class Rule:
    """One row of a transition: if its conditions hold, `do` these in order and go `to` that state (None: stay).

    `when` and `closing_to` are the conditions: a guard, and the present next step of CLOSING. `after_close` is the new
    next step.
    """

    do: tuple[Action, ...]
    to: State | None = None
    when: Guard | None = None
    closing_to: AfterClose | None = None
    after_close: AfterClose | None = None

    @property
    def is_conditional(self) -> bool:
        """True if there is a condition."""
        return self.when is not None or self.closing_to is not None


class NonTransition(enum.Enum):
    """The two ways in which a pair of state and event is *not* a transition, each on purpose."""

    IGNORE = "ignore"
    """The event can happen, and changes nothing."""
    ILLEGAL = "illegal"
    """The event can't happen: the shell would have a bug."""


Cell = tuple[Rule, ...] | NonTransition

IGNORE: Final = NonTransition.IGNORE
ILLEGAL: Final = NonTransition.ILLEGAL

_S = State
_A = SideActions


def make_rule(
    *do: Action,
    to: State | None = None,
    when: Guard | None = None,
    closing_to: AfterClose | None = None,
    after_close: AfterClose | None = None,
) -> Rule:
    return Rule(do, to, when, closing_to, after_close)


_rule = make_rule

_CONNECT = (
    _rule(_A.set_initiator, _A.add_opener, _A.wait_for_date, to=_S.BACKING_OFF, when=_A.waits_for_date),
    _rule(_A.refuse_early, when=_A.is_early),
    _rule(_A.set_initiator, _A.dial, _A.add_opener, to=_S.CONNECTING),
)
_CONNECT_SOONER = (
    _rule(_A.add_joiner, when=_A.waits_for_date),
    _rule(_A.refuse_early, when=_A.is_early),
    _rule(_A.dial, _A.add_opener, to=_S.CONNECTING),
)
_REFUSE_CLOSED = (_rule(_A.refuse_closed),)
_RETURN_AT_ONCE = (_rule(_A.return_at_once),)
_TO_CLOSED = (_rule(_A.cancel_timer, _A.return_at_once, to=_S.CLOSED),)
_TO_STOPPED = (_rule(_A.cancel_timer, _A.return_at_once, to=_S.STOPPED),)

# Events of a connection while there is none: its epoch is over, so they are stale and never reach the table.
_NO_CONNECTION: dict[type[Event], Cell] = {
    events.Opened: ILLEGAL,
    events.DeadlineExtended: ILLEGAL,
    events.ProtocolReady: ILLEGAL,
    events.ConnectionFailing: ILLEGAL,
    events.ConnectionGone: ILLEGAL,
    events.CallerCancelled: ILLEGAL,
}

# The side connection of a rotation, if there is one, has to end before the next attempt, too.
_AFTER_LOSS = (
    _rule(
        _A.mark_gone,
        _A.count_failure,
        _A.close_side,
        _A.take_over,
        to=_S.CLOSING,
        when=_A.retry_follows_side,
        after_close=AfterClose.BACK_OFF,
    ),
    _rule(
        _A.mark_gone,
        _A.count_failure,
        _A.close_side,
        _A.take_over,
        to=_S.CLOSING,
        when=_A.has_side,
        after_close=AfterClose.FAIL,
    ),
    _rule(
        _A.mark_gone,
        _A.count_failure,
        _A.reject_callers_of_attempt,
        _A.schedule_retry,
        to=_S.BACKING_OFF,
        when=_A.retry_helps,
    ),
    _rule(_A.mark_gone, _A.count_failure, _A.cancel_timer, _A.reject_callers, to=_S.FAILED),
)


def _failing(*do: Action) -> tuple[Rule, ...]:
    return (
        _rule(*do, to=_S.CLOSING, when=_A.retry_helps, after_close=AfterClose.BACK_OFF),
        _rule(*do, to=_S.CLOSING, after_close=AfterClose.FAIL),
    )


# A new attempt asked for while a close is under way: the attempt waits for the close, callers wait for the attempt.
_ATTEMPT_AFTER_CLOSE = (
    _rule(_A.refuse_closed, closing_to=AfterClose.CLOSE),
    _rule(_A.add_joiner, closing_to=AfterClose.NEW_ATTEMPT),
    _rule(_A.add_joiner, when=_A.waits_for_date, closing_to=AfterClose.BACK_OFF),
    _rule(
        _A.reject_callers,
        _A.set_initiator,
        _A.add_opener,
        when=_A.waits_for_date,
        after_close=AfterClose.BACK_OFF,
    ),
    _rule(_A.refuse_early, when=_A.is_early, closing_to=AfterClose.STOP, after_close=AfterClose.DISCONNECTED),
    _rule(_A.refuse_early, when=_A.is_early),
    _rule(
        _A.reject_callers_of_attempt,
        _A.set_initiator,
        _A.add_opener,
        closing_to=AfterClose.BACK_OFF,
        after_close=AfterClose.NEW_ATTEMPT,
    ),
    _rule(_A.reject_callers, _A.set_initiator, _A.add_opener, after_close=AfterClose.NEW_ATTEMPT),
)

TABLE: Final[dict[State, dict[type[Event], Cell]]] = {
    _S.DISCONNECTED: {
        events.Connect: _CONNECT,
        events.Reconnect: _CONNECT,
        events.Rotate: _CONNECT,
        events.Disconnect: _TO_STOPPED,
        events.Close: _TO_CLOSED,
        events.TimerFired: ILLEGAL,
        **_NO_CONNECTION,
    },
    _S.CONNECTING: {
        events.Connect: (_rule(_A.add_joiner),),
        events.Reconnect: (_rule(_A.add_joiner),),
        events.Rotate: (_rule(_A.add_joiner),),
        events.CallerCancelled: (
            _rule(
                _A.drop_caller,
                _A.close_connection,
                to=_S.CLOSING,
                when=_A.is_last_caller,
                after_close=AfterClose.DISCONNECTED,
            ),
            _rule(_A.drop_caller),
        ),
        events.Disconnect: (
            _rule(_A.abort_callers, _A.close_connection, _A.await_end, to=_S.CLOSING, after_close=AfterClose.STOP),
        ),
        events.Close: (
            _rule(_A.close_callers, _A.close_connection, _A.await_end, to=_S.CLOSING, after_close=AfterClose.CLOSE),
        ),
        events.Opened: (_rule(_A.mark_opened),),
        events.DeadlineExtended: (_rule(_A.extend_deadline),),
        events.ProtocolReady: (_rule(_A.mark_opened, _A.resolve_callers, _A.watch_stability, to=_S.CONNECTED),),
        events.ConnectionFailing: _failing(_A.count_failure, _A.close_connection),
        events.ConnectionGone: _AFTER_LOSS,
        events.TimerFired: _failing(_A.set_timeout_error, _A.count_failure, _A.abort),
    },
    _S.CONNECTED: {
        events.Connect: (_rule(_A.return_already_connected),),
        events.Reconnect: (
            _rule(_A.refuse_early, when=_A.is_early),
            _rule(
                _A.set_initiator,
                _A.close_connection,
                _A.close_side,
                _A.add_opener,
                to=_S.CLOSING,
                after_close=AfterClose.NEW_ATTEMPT,
            ),
        ),
        events.Rotate: (
            _rule(_A.add_joiner, when=_A.has_side),
            _rule(_A.refuse_early, when=_A.is_early),
            _rule(_A.dial_successor, _A.add_opener),
        ),
        # Of a rotation, which goes on without it.
        events.CallerCancelled: (_rule(_A.drop_caller),),
        events.Disconnect: (
            _rule(
                _A.abort_callers,
                _A.close_connection,
                _A.close_side,
                _A.await_end,
                to=_S.CLOSING,
                after_close=AfterClose.STOP,
            ),
        ),
        events.Close: (
            _rule(
                _A.close_callers,
                _A.close_connection,
                _A.close_side,
                _A.await_end,
                to=_S.CLOSING,
                after_close=AfterClose.CLOSE,
            ),
        ),
        events.Opened: ILLEGAL,
        # A protocol may log in again on the same socket (Discord resumes so after an invalid session).
        events.DeadlineExtended: IGNORE,
        events.ProtocolReady: IGNORE,
        events.ConnectionFailing: (
            _rule(_A.count_failure, _A.take_over, _A.close_side, to=_S.CONNECTING, when=_A.successor_follows),
            *_failing(_A.count_failure, _A.close_connection, _A.close_side),
        ),
        events.ConnectionGone: (
            _rule(_A.mark_gone, _A.count_failure, _A.take_over, to=_S.CONNECTING, when=_A.successor_follows),
            *_AFTER_LOSS,
        ),
        events.TimerFired: (_rule(_A.forget_failures),),
    },
    _S.BACKING_OFF: {
        events.Connect: _CONNECT_SOONER,
        events.Reconnect: _CONNECT_SOONER,
        events.Rotate: _CONNECT_SOONER,
        events.Disconnect: (_rule(_A.abort_callers, _A.cancel_timer, _A.return_at_once, to=_S.STOPPED),),
        events.Close: (_rule(_A.close_callers, _A.cancel_timer, _A.return_at_once, to=_S.CLOSED),),
        events.TimerFired: (_rule(_A.dial, to=_S.CONNECTING),),
        **_NO_CONNECTION,
        events.CallerCancelled: (
            _rule(_A.drop_caller, _A.cancel_timer, to=_S.DISCONNECTED, when=_A.is_last_caller),
            _rule(_A.drop_caller),
        ),
    },
    _S.CLOSING: {
        events.Connect: (_rule(_A.refuse_stopped, closing_to=AfterClose.STOP), *_ATTEMPT_AFTER_CLOSE),
        events.Reconnect: _ATTEMPT_AFTER_CLOSE,
        events.Rotate: (_rule(_A.refuse_stopped, closing_to=AfterClose.STOP), *_ATTEMPT_AFTER_CLOSE),
        events.CallerCancelled: (
            _rule(
                _A.drop_caller,
                when=_A.is_last_caller,
                closing_to=AfterClose.NEW_ATTEMPT,
                after_close=AfterClose.DISCONNECTED,
            ),
            _rule(
                _A.drop_caller,
                when=_A.is_last_caller,
                closing_to=AfterClose.BACK_OFF,
                after_close=AfterClose.DISCONNECTED,
            ),
            _rule(
                _A.drop_caller,
                when=_A.is_last_retrying_caller,
                closing_to=AfterClose.BACK_OFF,
                after_close=AfterClose.FAIL,
            ),
            _rule(_A.drop_caller),
        ),
        events.Disconnect: (
            _rule(_A.await_end, closing_to=AfterClose.CLOSE),
            _rule(_A.abort_callers, _A.await_end, after_close=AfterClose.STOP),
        ),
        events.Close: (_rule(_A.close_callers, _A.await_end, after_close=AfterClose.CLOSE),),
        events.Opened: (_rule(_A.mark_opened, _A.set_close_timeout),),
        # The login went on, or the peer failed, while the close was already under way.
        events.DeadlineExtended: IGNORE,
        events.ProtocolReady: IGNORE,
        events.ConnectionFailing: IGNORE,
        events.ConnectionGone: (
            _rule(_A.mark_gone, _A.take_over, when=_A.has_side),
            _rule(
                _A.mark_gone,
                _A.reject_callers_of_attempt,
                _A.wait_for_date,
                _A.release_closers,
                to=_S.BACKING_OFF,
                when=_A.is_awaited_until_date,
                closing_to=AfterClose.NEW_ATTEMPT,
            ),
            _rule(
                _A.mark_gone,
                _A.cancel_timer,
                _A.reject_callers,
                _A.release_closers,
                to=_S.FAILED,
                when=_A.names_date,
                closing_to=AfterClose.NEW_ATTEMPT,
            ),
            _rule(_A.mark_gone, _A.dial, _A.release_closers, to=_S.CONNECTING, closing_to=AfterClose.NEW_ATTEMPT),
            _rule(
                _A.mark_gone,
                _A.reject_callers_of_attempt,
                _A.schedule_retry,
                _A.release_closers,
                to=_S.BACKING_OFF,
                closing_to=AfterClose.BACK_OFF,
            ),
            _rule(
                _A.mark_gone,
                _A.cancel_timer,
                _A.reject_callers,
                _A.release_closers,
                to=_S.FAILED,
                closing_to=AfterClose.FAIL,
            ),
            _rule(_A.mark_gone, _A.cancel_timer, _A.release_closers, to=_S.STOPPED, closing_to=AfterClose.STOP),
            _rule(_A.mark_gone, _A.cancel_timer, _A.release_closers, to=_S.CLOSED, closing_to=AfterClose.CLOSE),
            _rule(_A.mark_gone, _A.cancel_timer, _A.release_closers, to=_S.DISCONNECTED),
        ),
        events.TimerFired: (_rule(_A.abort),),
    },
    _S.FAILED: {
        events.Connect: _CONNECT,
        events.Reconnect: _CONNECT,
        events.Rotate: _CONNECT,
        events.Disconnect: _TO_STOPPED,
        events.Close: _TO_CLOSED,
        events.TimerFired: ILLEGAL,
        **_NO_CONNECTION,
    },
    _S.STOPPED: {
        events.Connect: (_rule(_A.refuse_stopped),),
        events.Rotate: (_rule(_A.refuse_stopped),),
        # It lifts the disconnect() also where the attempt has to wait.
        events.Reconnect: (
            _CONNECT[0],
            _rule(_A.refuse_early, to=_S.DISCONNECTED, when=_A.is_early),
            _CONNECT[-1],
        ),
        events.Disconnect: _RETURN_AT_ONCE,
        events.Close: _TO_CLOSED,
        events.TimerFired: ILLEGAL,
        **_NO_CONNECTION,
    },
    _S.CLOSED: {
        events.Connect: _REFUSE_CLOSED,
        events.Reconnect: _REFUSE_CLOSED,
        events.Rotate: _REFUSE_CLOSED,
        events.Disconnect: _RETURN_AT_ONCE,
        events.Close: _RETURN_AT_ONCE,
        events.TimerFired: ILLEGAL,
        **_NO_CONNECTION,
    },
}
