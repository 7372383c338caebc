"""The actions of the side connection: the one beside the authoritative connection, while a rotation lasts."""

from __future__ import annotations

from collections.abc import Callable

from . import _effects as fx
from . import _events as events
from ._actions import Actions, IllegalEvent, timeout_error
from ._events import TimerKind
from ._states import Side, State
from ._verdict import Verdict


class SideActions(Actions):
    """The actions of rotations, which change the data of the side connection, too."""

    def dial_successor(self) -> None:
        """Start the attempt of a successor, with a new epoch and its deadline."""
        self.last_epoch += 1
        self.side, self.side_epoch = Side.OPENING, self.last_epoch
        self.side_opened = self.side_has_place = False
        self.rotation_error = None
        self._set_side_timer(TimerKind.OPEN, self._now + self.open_timeout)
        self._effects.append(fx.DialSuccessor(self.last_epoch))

    def mark_side_opened(self) -> None:
        """The upgrade of the side connection went through."""
        self.side_opened = self.side_has_place = True

    def extend_side_deadline(self) -> None:
        """Move the deadline of the successor: it has to wait for a turn, or to catch up."""
        seconds = self._event.seconds if isinstance(self._event, events.DeadlineExtended) else 0.0
        self._set_side_timer(TimerKind.OPEN, self.side_timer_at + seconds)

    def note_refusal(self) -> None:
        """The successor failed: keep the reason, the date that the server named, and the refusal of a token."""
        failure = self._failure()
        if failure is None:
            detail = self._event.detail if isinstance(self._event, events.TimerFired) else ""
            self.rotation_error = timeout_error(self.open_timeout, detail)
            return
        self.rotation_error = failure.error
        self._note_date(failure.error)
        if self._verdict() is Verdict.NEW_TOKEN:
            self._effects.append(fx.ReportRefusedToken(failure.error))

    def close_side(self) -> None:
        """Close a side connection that is not being closed yet; abort it if its peer is known to be dead."""
        if self.side is not Side.OPENING:
            return
        self.side, epoch = Side.CLOSING, self._get_side_epoch()
        code, reason, failure = 1000, "", self._event
        if self._leaves_place(epoch):
            self.side_has_place = False
        if isinstance(failure, events.ConnectionFailing) and failure.epoch == epoch:
            if failure.dead:
                self.abort_side()
                return
            code, reason = failure.code, failure.reason
        if self.side_opened:
            self.set_side_close_timeout()
        self._effects.append(fx.CloseConnection(epoch, code, reason))

    def set_side_close_timeout(self) -> None:
        """Bound the close handshake of the side connection."""
        self._set_side_timer(TimerKind.CLOSE, self._now + self.close_timeout)

    def abort_side(self) -> None:
        """End the socket of the side connection now."""
        self.side = Side.CLOSING
        self._cancel_side_timer()
        code = self._event.code if isinstance(self._event, events.ConnectionFailing) else None
        self._effects.append(fx.Abort(self._get_side_epoch(), code))

    def mark_side_gone(self) -> None:
        """No socket and no task of the side connection is left."""
        if self.side_has_place:
            self._note_ghost()
        self._note_refusal_while_closing()
        self._forget_side()

    def take_over(self) -> None:
        """The side connection becomes the authoritative one; that one, unless it is gone, the side connection."""
        self.timer, self.timer_at = self.side_timer, self.side_timer_at
        before = self.live_epoch
        self.epoch = self.live_epoch = self._get_side_epoch()
        self.side_epoch = before
        self.opened, self.side_opened = self.side_opened, self.opened
        self.has_place, self.side_has_place = self.side_has_place, self.has_place
        if self.timer is None:
            self._effects.append(fx.CancelTimer())
        else:
            self._effects.append(fx.SetTimer(*self.timer, self.timer_at))
        self._cancel_side_timer()
        if self.side_epoch is None:
            self._forget_side()
        self._effects.append(fx.TakeOver(self.epoch))

    def settle_rotation(self) -> None:
        """The rotation is over: its callers get its result, unless they wait for another attempt by now."""
        if self.state is not State.CONNECTED:
            return
        if self.rotation_error is not None:
            self._reject(self.rotation_error)
        elif self.waiting:
            self.waiting = self.retrying = 0
            self._effects.append(fx.ResolveCallers())

    def _get_side_epoch(self) -> int:
        if self.side_epoch is None:
            raise IllegalEvent("there is no side connection")
        return self.side_epoch

    def _forget_side(self) -> None:
        if self.side_timer is not None:
            self._cancel_side_timer()
        self.side, self.side_epoch = Side.NONE, None
        self.side_opened = self.side_has_place = False

    def _set_side_timer(self, kind: TimerKind, at: float) -> None:
        self.side_timer, self.side_timer_at = (kind, self._get_side_epoch()), at
        self._effects.append(fx.SetTimer(*self.side_timer, at, is_side=True))

    def _cancel_side_timer(self) -> None:
        self.side_timer = None
        self._effects.append(fx.CancelTimer(is_side=True))


Action = Callable[[SideActions], None]
Guard = Callable[[SideActions], bool]
