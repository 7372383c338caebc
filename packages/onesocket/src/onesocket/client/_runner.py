"""Passes events to the machine and performs its effects; all decisions are the machine's."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from typing import Any

from ..errors import ClientClosed, ManuallyDisconnected, OnesocketError, ServerBusy
from ..lifecycle import _effects as fx
from ..lifecycle import _events as events
from ..lifecycle._effects import Effect, Outcome
from ..lifecycle._events import Event
from ..lifecycle._guards import Initiator
from ..lifecycle._machine import Machine
from ..lifecycle._states import AfterClose, State
from ..lifecycle._verdict import Verdict
from ..protocols._protocol import Ready
from ..wire._handshake import Handshake
from ._affinity import Affinity
from ._callers import Caller, Callers
from ._connect_reminder import connect_hint
from ._connection_attempt import ConnectionAttempt
from ._failure_judge import FailureJudge
from ._fan_out import FanOut
from ._gap import Gap, GapReason
from ._options import Options
from ._sender import Sender
from ._silence_watch import SilenceWatch
from ._status import Change
from ._token_requests import TokenRequests
from ._token_source import renews_token


class Runner:
    """The asyncio shell around one `Machine`."""

    def __init__(
        self,
        options: Options,
        *,
        on_change: Callable[[Change], None],
        affinity: Affinity,
        report: Callable[[BaseException, str], None],
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self.machine = Machine(
            open_timeout=options.open_timeout,
            close_timeout=options.close_timeout,
            reconnect=options.reconnect,
            renews_token=renews_token(options.token),
        )
        self.attempt: ConnectionAttempt | None = None
        self.is_shared = False
        """True for a shared connection, which `onesocket.sharing` closes: the client is no handle that is left open."""
        self.handshakes = 0
        self.on_opened: Callable[[int], None] | None = None
        """Called with the epoch of each upgrade that went through."""
        self.readied = 0
        self._has_predecessor = False
        """True if messages of an earlier connection may have been delivered: a gap stands before the next ones."""
        self._last_rtt: float | None = None
        self._last_url: str | None = None
        self.connected_at: float | None = None
        self.last_connected_at: float | None = None
        self._callers = Callers()
        self.outcomes = self._callers.outcomes
        self._options = options
        self._tokens = TokenRequests(options.token)
        self._judge = FailureJudge(options.reconnect, self._tokens, report, self.time)
        self._fan_out: FanOut
        self._sender: Sender
        self._silence: SilenceWatch | None
        self._on_change = on_change
        self._jitter = jitter
        self._timer: asyncio.TimerHandle | None = None
        self._queue: list[Event] = []  # a deque takes 0.7 KB, and there are few at a time
        self._busy = False
        self._ended_with_loop = False
        """True if the end of the event loop closed the connection, and not the owner."""
        self._affinity = affinity
        self.check_loop = affinity.check
        """Raises `WrongEventLoop` on any loop but ours, and `ForkedCopy` in a child."""

    def attach(self, fan_out: FanOut, sender: Sender, silence: SilenceWatch | None) -> None:
        """Complete the runner by the parts that are made with calls of it."""
        self._fan_out = fan_out
        self._sender = sender
        self._silence = silence

    def __repr__(self) -> str:
        machine = self.machine
        return f"<Runner {machine.state.name} epoch={machine.epoch} callers={self.callers} attempt={self.attempt!r}>"

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The loop that the client belongs to: the first that used it. Raises as `check_loop`."""
        return self._affinity.check()

    @property
    def is_left_open(self) -> bool:
        """The owner has neither closed nor disconnected a client that has, or was to have, a connection."""
        machine = self.machine
        is_up = machine.live_epoch is not None or machine.state is State.BACKING_OFF
        return not self.is_shared and not self._affinity.is_inherited and (self._ended_with_loop or is_up)

    @property
    def is_restoring(self) -> bool:
        """True while a connection is resumed that another process had: that is logged where it was lost."""
        return self.readied == 0 and self.machine.initiator is Initiator.RESUME

    def descriptors(self) -> list[int]:
        """The file descriptors of the connection; usable also while the loop isn't running."""
        # Connections keep these to themselves, rightly: this looks behind the back of one whose loop is dead.
        dialler: Any = getattr(getattr(self.attempt, "connection", None), "_dialler", None)
        fileno: Callable[[], int] | None = getattr(getattr(dialler, "_socket", None), "fileno", None)
        return [] if fileno is None or fileno() < 0 else [fileno()]

    def forked(self) -> None:
        """In a forked child: the connection is the parent's, so nothing more is done about it here."""
        if self.attempt is not None:
            self.attempt.disown()
            self.attempt = None
        self._cancel_timer()

    def time(self) -> float:
        """The loop's clock, from anywhere."""
        return self._affinity.loop.time() if self._affinity.loop is not None else 0.0

    @property
    def rtt(self) -> float | None:
        """The newest measured round trip of a PING, in seconds."""
        attempt = self.attempt  # read once: metrics are collected in any thread
        rtt = None if attempt is None else attempt.rtt
        return self._last_rtt if rtt is None else rtt

    @property
    def url(self) -> str | None:
        """The URL of the present attempt or connection, or of the last one, without its secrets; None: unknown."""
        attempt = self.attempt
        return self._last_url if attempt is None else attempt.url

    @property
    def handshake(self) -> Handshake | None:
        """The answer to the upgrade of the present connection; None: there is none yet, or no connection."""
        attempt = self.attempt
        return None if attempt is None else attempt.handshake

    @property
    def callers(self) -> int:
        """Number of `connect()` calls that wait."""
        return len(self._callers)

    def refusal(self) -> OnesocketError | None:
        """The error for a message that can't be accepted, as the owner has stopped the client; else None."""
        state, after_close = self.machine.state, self.machine.after_close
        if state is State.CLOSED or after_close is AfterClose.CLOSE:
            return ClientClosed()
        if state is State.STOPPED or after_close is AfterClose.STOP:
            return ManuallyDisconnected()
        return None

    def connect_hint(self) -> str:
        """Advice for a caller that waits for a connection that nothing will bring up; empty while something may."""
        return connect_hint(self.machine.state, self.machine.epoch, self.machine.error)

    # --- calls of the client ------------------------------------------------------------------------------------------

    async def request(self, call: events.Connect | events.Reconnect) -> Outcome:
        """Pass the call to the machine and wait for its outcome; its cancellation harms no other caller.

        Before the time that the server has named it waits, at most for `open_timeout`; then it raises `ServerBusy`.
        """
        retrying = self.machine.retrying
        try:
            answer, rest = self._ask(call)
        except ServerBusy as early:
            # Raised at once, it would let a program that calls in a loop spin, and starve all other tasks.
            await self._callers.wait_for_change(min(early.retry_after or 0.0, self._options.open_timeout))
            retrying = self.machine.retrying
            # A reconnect() has lifted an earlier disconnect(), and must not lift one that came meanwhile.
            answer, rest = self._ask(events.Connect(retry=call.retry))
        if not isinstance(answer, fx.AwaitOutcome):
            self._perform_all(rest)
            return self._answered(answer)
        # Added before the effects: they may resolve it at once.
        future = self._callers.add(Caller(answer.outcome, self.machine.retrying > retrying))
        self._perform_all(rest)
        try:
            return await future
        except asyncio.CancelledError:
            # Still waiting? Then the machine counts one caller less; otherwise the outcome was just about to arrive.
            caller = self._callers.remove(future)
            if caller is not None:
                self.dispatch(events.CallerCancelled(caller.retries))
            raise
        finally:
            del future  # it holds the error, whose traceback refers to this frame: no cycle is left

    def request_nowait(self, call: events.Connect | events.Reconnect) -> Outcome:
        """Pass the call to the machine and return the outcome so far."""
        answer, rest = self._ask(call)
        self._perform_all(rest)
        return self._answered(answer)

    async def request_close(self, call: events.Disconnect | events.Close) -> None:
        """Pass the call to the machine and wait until nothing is left of the connection."""
        answer, rest = self._ask(call)
        future = self._callers.add_closer() if isinstance(answer, fx.AwaitEnd) else None
        self._perform_all(rest)
        if future is not None:
            await future

    def _answered(self, answer: Effect) -> Outcome:
        if not isinstance(answer, fx.AwaitOutcome | fx.ReturnOutcome):
            raise TypeError(f"no answer to a call: {answer}")
        self.outcomes[answer.outcome] += 1
        return answer.outcome

    def _ask(self, call: Event) -> tuple[Effect, list[Effect]]:
        """Pass a call to the machine; returns its answer and the other effects. Raises the error that it answers."""
        answer: Effect | None = None
        effect: Effect | None = None
        rest: list[Effect] = []
        for effect in self.machine.handle(call, self.loop.time()):
            if isinstance(effect, fx.ReturnOutcome | fx.RaiseError | fx.AwaitOutcome | fx.ReturnAtOnce | fx.AwaitEnd):
                answer = effect
            else:
                rest.append(effect)
        if isinstance(answer, fx.RaiseError):
            self._perform_all(rest)
            try:
                raise answer.error
            finally:
                del answer, effect  # they hold the error, whose traceback refers to this frame: no cycle is left
        if answer is None:
            raise TypeError(f"{type(call).__name__} got no answer")
        return answer, rest

    # --- events -------------------------------------------------------------------------------------------------------

    def dispatch(self, event: Event) -> None:
        """Pass one event to the machine and perform its effects, after those of earlier events."""
        if self._affinity.is_inherited:
            return
        if isinstance(event, events.Opened):
            self.handshakes += 1
            if self.on_opened is not None:
                self.on_opened(event.epoch)
        self._queue.append(event)
        if not self._busy:
            self._drain()

    def _drain(self) -> None:
        self._busy = True
        try:
            while self._queue:
                event = self._judge.judged(self._queue.pop(0), self.machine)
                for effect in self.machine.handle(event, self.loop.time()):
                    self._perform(effect)
        finally:
            self._busy = False

    def _perform_all(self, effects: list[Effect]) -> None:
        if not effects:
            return
        # Events that an effect causes at once wait: events are handled one after the other.
        was_busy, self._busy = self._busy, True
        try:
            for effect in effects:
                self._perform(effect)
        finally:
            self._busy = was_busy
        if not self._busy and self._queue:
            self._drain()

    def _perform(self, effect: Effect) -> None:  # noqa: C901, PLR0912 - one case for each effect
        match effect:
            case fx.StateChanged():
                self._changed(effect)
            case fx.Dial(epoch):
                # Also an attempt that was given up may have brought messages: a greeting that came with the upgrade.
                self._has_predecessor = self.readied > 0 or self._fan_out.delivered > 0
                self._tokens.wants_another = self.machine.refusals > 0  # a new call begins a new count
                self.attempt = ConnectionAttempt(
                    epoch,
                    self._options,
                    self._fan_out,
                    self._sender,
                    self._silence,
                    tokens=self._tokens,
                    dispatch=self.dispatch,
                    on_ready=self._on_ready,
                    on_gone=self._on_gone,
                )
                self.attempt.start()
            case fx.CloseConnection(epoch, code, reason):
                if self.attempt is not None and self.attempt.epoch == epoch:
                    self.attempt.start_close(code, reason)
            case fx.Abort(epoch, code):
                if self.attempt is not None and self.attempt.epoch == epoch:
                    self.attempt.abort(code)
            case fx.ReportRefusedToken(error):
                self._tokens.refused(error)
            case fx.ResolveCallers():
                self._callers.resolve()
            case fx.RejectCallers(error, spares_retrying):
                self._callers.reject(error, spares_retrying=spares_retrying)
            case fx.ReleaseClosers():
                self._callers.release_closers()
            case fx.SetTimer(kind, epoch, at):
                self._cancel_timer()
                self._timer = self.loop.call_at(at, self._on_timer, kind, epoch, at)
            case fx.CancelTimer():
                self._cancel_timer()
            case fx.ReturnAtOnce() | fx.AwaitEnd():
                pass  # no caller waits: the event is the shell's own
            case _:
                raise TypeError(f"unexpected effect {effect}")

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _on_timer(self, kind: events.TimerKind, epoch: int, due: float) -> None:
        self._timer = None
        detail = self.attempt.phase_at(due) if self.attempt is not None else ""
        self.dispatch(events.TimerFired(epoch, kind, detail))

    @property
    def retry_in(self) -> float | None:
        """Seconds until the next attempt; None: none is due."""
        retry_at = self.machine.retry_at
        return None if retry_at is None else max(0.0, retry_at - self.time())

    def _changed(self, change: fx.StateChanged) -> None:
        after_close = self.machine.after_close
        if change.old is State.CONNECTED:
            self.connected_at = None
            # A sound connection that we close ourselves takes along what still waits for the socket.
            ours = after_close in (AfterClose.STOP, AfterClose.CLOSE, AfterClose.NEW_ATTEMPT)
            self._sender.connection_closing(drain=ours)
        refusal = self.refusal()
        if refusal is not None:
            self._sender.reject_waiting(refusal)
        if change.old is State.FAILED:
            self._fan_out.forget_failure()
        # The failure of a first connect is raised in its callers; readers made before go on waiting.
        if change.new is State.FAILED and change.error is not None and (self.readied or not self._callers):
            self._fan_out.fail(change.error)
        self._callers.on_change()
        self._on_change(Change(time.time(), change.old, change.new, change.epoch, change.cause, change.error))

    # --- reports of the attempt ---------------------------------------------------------------------------------------

    def _on_ready(self, attempt: ConnectionAttempt, ready: Ready) -> None:
        """The login went through."""
        if attempt.epoch != self.machine.live_epoch or self.machine.state is not State.CONNECTING:
            self.dispatch(events.ProtocolReady(attempt.epoch))
            return
        loss = self.machine.error
        self._tokens.accepted()
        self.connected_at = self.last_connected_at = time.time()
        self.dispatch(events.ProtocolReady(attempt.epoch))
        self.readied += 1
        self._fan_out.ready(attempt.epoch)
        if self._has_predecessor and not ready.resumed:
            with self._sender.prioritized():
                self._fan_out.announce(Gap(GapReason.RECONNECTED, attempt.epoch, error=loss))
        # A watcher that was told just now may have closed it already.
        if (
            attempt.connection is not None
            and self.machine.live_epoch == attempt.epoch
            and self.machine.after_close is None
        ):
            if self._fan_out.is_held:
                attempt.connection.pause_reading()
            self._sender.connection_ready(attempt.connection, ready.first)

    def _on_gone(self, attempt: ConnectionAttempt, error: OnesocketError, loop_ends: bool) -> None:  # noqa: FBT001 - an event
        """Nothing is left of the connection."""
        if self.attempt is attempt:
            self._last_rtt = self.rtt
            self._last_url = attempt.url
            self.attempt = None
            self._sender.connection_ended()
        if loop_ends:
            self._ended_with_loop = self.refusal() is None
            self.dispatch(events.Close())  # no further attempt
        verdict = Verdict.NEW_TOKEN if attempt.has_unchanged_token else None
        self.dispatch(events.ConnectionGone(attempt.epoch, error, self._jitter(), attempt.up_for, verdict))

    # --- back-pressure ------------------------------------------------------------------------------------------------

    def hold(self) -> None:
        """A subscriber with the rule `wait` is full: stop reading."""
        if self.machine.state is State.CONNECTED and self.attempt is not None and self.attempt.connection is not None:
            self.attempt.connection.pause_reading()

    def release(self) -> None:
        """No subscriber with the rule `wait` is full any more: read on."""
        if self.attempt is not None:
            self.attempt.resume_reading()

    def call_on_loop(self, call: Callable[..., object], *args: object) -> None:
        """Call `call` on the client's loop: at once if it runs in this thread, else soon; callable in any thread."""
        loop = self._affinity.loop
        try:
            here = loop is None or asyncio.get_running_loop() is loop
        except RuntimeError:
            here = False
        if here or loop is None or loop.is_closed():
            call(*args)
        else:
            loop.call_soon_threadsafe(call, *args)

    def call_soon(self, call: Callable[[], None]) -> None:
        """Call `call` in the next turn of the client's loop, even if the loop isn't running yet."""
        loop = self._affinity.loop if self._affinity.loop is not None else self.loop
        if not loop.is_closed():
            loop.call_soon(call)
