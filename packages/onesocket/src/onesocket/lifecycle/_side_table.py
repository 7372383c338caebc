"""The transition table of the side connection of a rotation: its events, by its state."""

from __future__ import annotations

from typing import Final

from . import _events as events
from ._events import Event
from ._side_actions import SideActions
from ._states import AfterClose, Side, State
from ._table import IGNORE, ILLEGAL, Cell, make_rule

_A = SideActions
_rule = make_rule

# The first connection is closed before the second is opened.
_CLOSE_FIRST = _rule(
    _A.mark_side_gone,
    _A.close_connection,
    _A.resume_after_close,
    to=State.CLOSING,
    when=_A.is_second_refused,
    after_close=AfterClose.NEW_ATTEMPT,
)

SIDE_TABLE: Final[dict[Side, dict[type[Event], Cell]]] = {
    Side.NONE: {
        events.Opened: ILLEGAL,
        events.DeadlineExtended: ILLEGAL,
        events.ProtocolReady: ILLEGAL,
        events.ConnectionFailing: ILLEGAL,
        events.ConnectionGone: ILLEGAL,
        events.TimerFired: ILLEGAL,
    },
    Side.OPENING: {
        events.Opened: (_rule(_A.mark_side_opened),),
        events.DeadlineExtended: (_rule(_A.extend_side_deadline),),
        events.ProtocolReady: (_rule(_A.take_over, _A.close_side, _A.watch_stability),),
        events.ConnectionFailing: (_rule(_A.note_refusal, _A.close_side),),
        events.ConnectionGone: (
            _CLOSE_FIRST,
            _rule(_A.note_refusal, _A.mark_side_gone, _A.settle_rotation),
        ),
        events.TimerFired: (_rule(_A.note_refusal, _A.abort_side),),
    },
    Side.CLOSING: {
        events.Opened: (_rule(_A.mark_side_opened, _A.set_side_close_timeout),),
        events.DeadlineExtended: IGNORE,
        events.ProtocolReady: IGNORE,
        events.ConnectionFailing: IGNORE,
        events.ConnectionGone: (
            _CLOSE_FIRST,
            _rule(_A.mark_side_gone, _A.settle_rotation),
        ),
        events.TimerFired: (_rule(_A.abort_side),),
    },
}
