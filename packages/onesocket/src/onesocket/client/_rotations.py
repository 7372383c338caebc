"""The rotations of one client: each is a successor that is subscribed and catches up, and an overlap of messages."""

from __future__ import annotations

import asyncio
import functools
import logging
from collections.abc import Callable
from typing import Any

from ..errors import OnesocketError
from ..lifecycle._events import Event
from ..protocols._protocol import Ready
from ..protocols._requests import RequestId
from ._connection_attempt import ConnectionAttempt
from ._error_reporter import one_line
from ._frame_receivers import Publisher
from ._in_flight import InFlight
from ._options import Options
from ._overlap import Overlap
from ._request_tracker import RequestTracker
from ._rotation_watch import RotationWatch
from ._sender import Sender
from ._silence_watch import SilenceWatch
from ._successor import Successor

_log = logging.getLogger("onesocket")


class Rotations:
    """Parts of the present rotation, for the runner, and the watch that starts rotations."""

    __slots__ = (
        "_asked",
        "_awaits_next",
        "_dispatch",
        "_drained",
        "_draining",
        "_linger",
        "_options",
        "_overlap",
        "_ready",
        "_report",
        "_requests",
        "_sender",
        "_silence",
        "_successor",
        "watch",
    )

    def __init__(
        self,
        options: Options,
        sender: Sender,
        *,
        silence: SilenceWatch | None,
        requests: RequestTracker | None,
        watch: RotationWatch,
        dispatch: Callable[[Event], None],
        report: Callable[[BaseException, str], None],
    ) -> None:
        self._options = options
        self._sender = sender
        self._silence = silence
        self.watch = watch
        self._dispatch = dispatch
        self._report = report
        self._overlap: Overlap | None = None
        self._successor: Successor | None = None
        self._ready: tuple[ConnectionAttempt, Ready] | None = None
        """The successor once it is logged in, until it is authoritative."""
        self._drained: ConnectionAttempt | None = None
        """The connection whose place a successor has taken, and ..."""
        self._draining: InFlight | None = None
        self._requests = requests
        self._asked: list[RequestId] = []
        """Requests that were sent on it."""
        """... the messages that it is still writing."""
        self._linger: asyncio.TimerHandle | None = None
        self._awaits_next = False
        """True if another rotation begins as soon as the predecessor is gone."""

    def __repr__(self) -> str:
        return f"<Rotations {self._successor!r} {self._overlap!r}>"

    def defer(self) -> bool:
        """Put a rotation off until the predecessor of the connection is gone; returns False if there is none."""
        self._awaits_next = self._drained is not None
        return self._awaits_next

    # --- until a successor takes over ---------------------------------------------------------------------------------

    def begin(self, present: ConnectionAttempt) -> tuple[Options, Publisher]:
        """Begin the overlap of messages; returns the options and the publisher of the successor."""
        options = self._options.for_successor()
        self._stop_lingering()
        self._overlap = overlap = self._make_overlap()
        present.set_publisher(overlap.old)
        return options, overlap.new

    def logged_in(self, attempt: ConnectionAttempt, ready: Ready, present: ConnectionAttempt) -> None:
        """Subscribe the successor, and let it catch up."""
        if attempt.connection is None:
            return
        self._ready = attempt, ready
        self._successor = successor = Successor(
            attempt.epoch,
            attempt.connection,
            first=ready.first,
            source=self._sender.fork_source(),
            pace=attempt.pace,
            overlap=self.watch.rotation.overlap,
            old=present,
            dispatch=self._dispatch,
        )
        self._sender.begin_replay(successor)
        successor.flush()

    def writable(self, now_writable: bool) -> None:  # noqa: FBT001 - an event
        """Note that the socket of the successor has taken all that was written, or takes no more for now."""
        if self._successor is not None:
            self._successor.writable(now_writable)

    # --- upon and after that ------------------------------------------------------------------------------------------

    def take_over(self, new: ConnectionAttempt, old: ConnectionAttempt | None) -> None:
        """Let the sender and the watch for silence serve the successor."""
        if self._successor is not None:
            self._successor.end()  # after a loss it is ready by its login
        if old is not None:
            self._drained, self._draining = old, self._sender.detach()
            old.step_down(self._draining)
            if self._requests is not None:
                self._asked = self._requests.sent_with(self._draining.deliveries)
        new.become_authoritative(self._sender, self._silence)
        if self._successor is not None and not self._successor.is_clear:
            self._sender.writable(False)  # noqa: FBT003 - an event
        self._sender.set_pace(new.pace)

    def get_ready(self, attempt: ConnectionAttempt) -> Ready | None:
        """The report of this attempt's login, if it was the successor then; None: it wasn't, or isn't logged in."""
        return self._ready[1] if self._ready is not None and self._ready[0] is attempt else None

    def attach(self, attempt: ConnectionAttempt) -> bool:
        """Let the sender send on the successor that has become authoritative; False: it was not subscribed as one."""
        successor, self._successor = self._successor, None
        was_subscribed = self.get_ready(attempt) is not None
        self._ready = None
        if successor is None or attempt.connection is None or not was_subscribed:
            return False
        self._sender.attach(attempt.connection, successor.source, successor.first)
        return True

    def switch(self, present: ConnectionAttempt, *, has_predecessor: bool, is_seamless: bool) -> None:
        """Deliver the messages of the successor from now on; `has_predecessor`: its predecessor is not gone yet."""
        self.watch.begin()
        if self._overlap is not None and not self._overlap.has_switched:
            self._overlap.switch(is_seamless=is_seamless)
            if not has_predecessor:
                self._begin_lingering(present, self._overlap)

    def gone(
        self, attempt: ConnectionAttempt, present: ConnectionAttempt | None, side: ConnectionAttempt | None
    ) -> None:
        """Nothing is left of an attempt; `present`: the authoritative one, `side`: the one beside it."""
        was_predecessor = attempt is self._drained
        if was_predecessor and self._draining is not None:
            self._draining.ended()
            self._drained = self._draining = None
            if self._requests is not None:
                self._requests.lose(self._asked)
                self._asked = []
            if self._awaits_next:
                self._awaits_next = False
                self.watch.rotate_after(0)
        if present is None:
            self.watch.stop()
            if side is None:
                self._stop_lingering()
                self._end_successor()
                self._overlap = None
        elif self._overlap is not None and present is not attempt:
            if self._overlap.has_switched:
                self._begin_lingering(present, self._overlap)
            elif not was_predecessor:  # else the present one is the successor, whose login goes on after a loss
                self._give_up(present)

    def failed(self, error: OnesocketError, shown_url: str) -> None:
        """Log that a rotation failed, and try again later."""
        _log.warning("%s: no rotation: %s; the connection stays", shown_url, one_line(str(error)))
        self.watch.failed()

    def _make_overlap(self) -> Overlap:
        return Overlap(
            self.watch.publisher,
            self.watch.rotation.identity,
            self._report,
            None if self._overlap is None else self._overlap.late,
            hear_answers=self._sender.hear_answers,
            take_answer=self._take_answer,
        )

    def _take_answer(self, message: Any) -> bool:
        """Take an answer to what was sent on the successor; returns True if nobody else wants it."""
        if self._successor is None:
            return False
        if self._requests is not None and self._requests.take(message):
            return True
        self._successor.received(message)
        return False

    def _give_up(self, present: ConnectionAttempt) -> None:
        """The successor is gone: the present connection goes on alone."""
        self._end_successor()
        self._overlap = self._make_overlap()
        present.set_publisher(self._overlap.old)
        self._begin_lingering(present, self._overlap)

    def _end_successor(self) -> None:
        successor, self._successor, self._ready = self._successor, None, None
        self._sender.end_replay()
        if successor is not None:
            successor.end()

    def _begin_lingering(self, present: ConnectionAttempt, overlap: Overlap) -> None:
        """The other one is gone: copies of its last messages may still come, a little later, and behind others."""
        self._stop_lingering()
        ends = functools.partial(self._end_overlap, present, overlap)
        self._linger = asyncio.get_running_loop().call_later(self.watch.rotation.overlap, present.probe, ends)

    def _end_overlap(self, present: ConnectionAttempt, overlap: Overlap) -> None:
        if not present.is_reading:  # messages may wait before the PONG
            self._begin_lingering(present, overlap)
        elif self._overlap is overlap:
            self._linger = self._overlap = None
            present.set_publisher(self.watch.publisher)

    def _stop_lingering(self) -> None:
        if self._linger is not None:
            self._linger.cancel()
            self._linger = None
