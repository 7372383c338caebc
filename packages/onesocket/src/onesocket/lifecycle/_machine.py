"""The state machine: `handle(event, now) -> effects`, the only writer of the state.

Clock, randomness, input and output stay outside: they come in as events and go out as effects. The transitions are data
(`_table.TABLE`, and `_side_table.SIDE_TABLE` for the side connection of a rotation) made of guards and actions.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Hashable
from typing import Self

from ..errors import OnesocketError
from . import _effects as fx
from . import _events as events
from ._actions import IllegalEvent
from ._effects import Effect
from ._events import Event
from ._guards import Initiator, is_connection_limit
from ._peer_errors import MIN_UPTIME, as_established
from ._side_actions import SideActions
from ._side_table import SIDE_TABLE
from ._states import AfterClose, Side, State
from ._table import IGNORE, TABLE, NonTransition, Rule
from ._verdict import verdict_of


class Machine(SideActions):
    """One connection's lifecycle; `handle` is the only way to change it."""

    def copy(self) -> Self:
        """An independent machine in the same condition."""
        return copy.copy(self)  # the list of effects is made anew by each `handle`

    def state_key(self, now: float) -> Hashable:
        """All data that decides the effects of an event at `now` (mere counters are left out)."""
        return (
            self.state,
            self.live_epoch is not None,
            self.opened,
            self.after_close,
            self.initiator,
            self.waiting,
            self.failures,
            self.timer and self.timer[0],
            self.error and (type(self.error), verdict_of(self.error, renews_token=self.renews_token)),
            self.retrying,
            self.refusals,
            self.after_close is AfterClose.BACK_OFF and self.verdict,
            self.meets_ghost,
            self.has_place,
            self.side,
            self.side_opened,
            self.side_has_place,
            self.side_timer and self.side_timer[0],
            self.side is Side.CLOSING and self.rotation_error and _kind_of(self.rotation_error),
            now < self.not_before,
            self.inherits_outage,
            now < self.ghost_until,
        )

    def goes_on_after(self, error: OnesocketError, now: float) -> bool:
        """True if another attempt follows a failure with this error, unless the verdict on it is FAIL."""
        return self.reconnect is not None and (self.is_resumed or self._is_error_of_ghost(error, now))

    def handle(self, event: Event, now: float) -> tuple[Effect, ...]:
        """Take one event at `now` (seconds, any monotonic clock) and return the effects to perform, in order.

        Raises `IllegalEvent` for an event that can't happen in this state.
        """
        if self._is_stale(event):
            self.stale += 1
            return ()
        self._event, self._now, self._effects = self._with_error_as_established(event), now, []
        is_of_side = self.side is not Side.NONE and self._is_of_side(event)
        row = SIDE_TABLE[self.side] if is_of_side else TABLE[self.state]
        cell = row[type(event)]
        if not isinstance(cell, NonTransition):
            return self._follow(
                next(
                    rule
                    for rule in cell
                    if (rule.closing_to is None or rule.closing_to is self.after_close)
                    and (rule.when is None or rule.when(self))
                )
            )
        if cell is IGNORE:
            return ()
        raise IllegalEvent(f"{type(event).__name__} in {self.state.name}")

    def _is_stale(self, event: Event) -> bool:
        if isinstance(event, events.CONNECTION_EVENTS):
            return event.epoch not in (self.live_epoch, self.side_epoch)
        if isinstance(event, events.TimerFired):
            return (event.kind, event.epoch) not in (self.timer, self.side_timer)
        return False

    def _is_of_side(self, event: Event) -> bool:
        if isinstance(event, events.TimerFired):
            return (event.kind, event.epoch) == self.side_timer
        return isinstance(event, events.CONNECTION_EVENTS) and event.epoch == self.side_epoch

    def _with_error_as_established(self, event: Event) -> Event:
        """The same event; its error as it is meant for a connection that was up, if this one was."""
        if isinstance(event, events.FAILURES) and self.reconnect is not None:
            is_decided = event.verdict is not None or (self.renews_token and event.error.refuses_token)
            error = event.error if is_decided else as_established(event.error)
            if error is not event.error and (self.initiator is Initiator.RESUME or event.up_for >= MIN_UPTIME):
                return dataclasses.replace(event, error=error)
        return event

    def _follow(self, rule: Rule) -> tuple[Effect, ...]:
        for action in rule.do:
            action(self)
        if rule.after_close is not None:
            self.after_close = rule.after_close
        if rule.to is not None:
            old, self.state = self.state, rule.to
            if rule.to is not State.CLOSING:
                self.after_close = None
            cause = type(self._event).__name__
            self._effects.insert(0, fx.StateChanged(old, rule.to, self.epoch, cause, self.error))
        effects, self._effects = self._effects, []
        return tuple(effects)


def _kind_of(error: OnesocketError) -> Hashable:
    return type(error), bool(error.retry_after), is_connection_limit(error)
