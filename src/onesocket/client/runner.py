"""Performs the machine's effects and feeds it what happens. It decides nothing."""

from __future__ import annotations

import asyncio
import random
import time
from collections import deque
from collections.abc import Callable

from ..errors import ClientClosed, DecodeError, ManuallyDisconnected, OnesocketError
from ..lifecycle import effects as fx
from ..lifecycle import inputs
from ..lifecycle.effects import Effect, Outcome
from ..lifecycle.inputs import Input
from ..lifecycle.machine import Machine
from ..lifecycle.states import Destination, State
from ..protocols.base import Fail, Ready
from .affinity import Affinity
from .fanout import Fanout
from .gap import Gap, GapReason
from .link import Link
from .options import Options
from .outgoing import Outgoing
from .status import Change


class Runner:
    """The asyncio shell around one `Machine`."""

    def __init__(
        self,
        options: Options,
        *,
        fanout: Fanout,
        outgoing: Outgoing,
        on_change: Callable[[Change], None],
        home: Affinity,
        roll: Callable[[], float] = random.random,
    ) -> None:
        self.machine = Machine(
            open_timeout=options.open_timeout,
            close_timeout=options.close_timeout,
            reconnect=options.reconnect,
        )
        self.link: Link | None = None
        self.handshakes = 0
        self.readied = 0
        self.undecodable = 0
        self._follows_another = False
        """Whether messages of an earlier connection may have been delivered: a gap stands before the next ones."""
        self.rtt: float | None = None
        self.connected_at: float | None = None
        self.last_connected_at: float | None = None
        self.outcomes = dict.fromkeys(Outcome, 0)
        self._options = options
        self._fanout = fanout
        self._outgoing = outgoing
        self._on_change = on_change
        self._roll = roll
        self._callers: dict[asyncio.Future[Outcome], Outcome] = {}
        self._leavers: list[asyncio.Future[None]] = []
        self._alarm: asyncio.TimerHandle | None = None
        self._queue: deque[Input] = deque()
        self._busy = False
        self._home = home
        self.check_loop = home.check
        """Raises `WrongEventLoop` on any loop but ours, and `ForkedCopy` in a child."""

    def __repr__(self) -> str:
        return (
            f"<Runner {self.machine.state.name} epoch={self.machine.epoch} callers={self.callers} link={self.link!r}>"
        )

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The loop this client belongs to: the first that used it. Raises as `check_loop` does."""
        return self._home.check()

    def forked(self) -> None:
        """In a forked child: the connection is the parent's, so nothing more is done about it here."""
        if self.link is not None:
            self.link.disown()
            self.link = None
        self._clear_alarm()

    def time(self) -> float:
        """The loop's clock, from anywhere."""
        return self._home.loop.time() if self._home.loop is not None else 0.0

    @property
    def callers(self) -> int:
        """How many `connect()` calls are waiting."""
        return len(self._callers)

    def refusal(self) -> OnesocketError | None:
        """Why no message can be accepted, if the owner has stopped the client."""
        state, destination = self.machine.state, self.machine.destination
        if state is State.CLOSED or destination is Destination.CLOSE:
            return ClientClosed()
        if state is State.STOPPED or destination is Destination.STOP:
            return ManuallyDisconnected()
        return None

    def unasked_remedy(self) -> str:
        """Advice for a caller that waits for a connection that nothing will bring up; empty while something may."""
        match self.machine.state:
            case State.DISCONNECTED:
                never = (
                    "connect() was never called on this client" if self.machine.epoch == 0 else "it is not connected"
                )
                return f"{never}: messages wait until connect() is"
            case State.FAILED:
                return f"this client has failed ({self.machine.error}): messages wait until connect() is called again"
            case _:
                return ""

    # --- the public verbs -------------------------------------------------------------------------------------------

    async def want(self, wish: inputs.Connect | inputs.Reconnect) -> Outcome:
        """Feed the wish and wait for its outcome; the caller's cancellation hurts nobody else."""
        answer, rest = self._ask(wish)
        if not isinstance(answer, fx.Wait):
            self._perform_all(rest)
            return self._answered(answer)
        future: asyncio.Future[Outcome] = self.loop.create_future()
        self._callers[future] = answer.outcome  # before anything is done: it may come to its end at once
        self._perform_all(rest)
        try:
            return await future
        except asyncio.CancelledError:
            # Still waiting? Then the machine counts one caller less; otherwise the outcome was just about to arrive.
            if self._callers.pop(future, None) is not None:
                self.feed(inputs.Cancelled())
            raise

    def want_nowait(self, wish: inputs.Connect | inputs.Reconnect) -> Outcome:
        """Feed the wish and say what became of it so far."""
        answer, rest = self._ask(wish)
        self._perform_all(rest)
        return self._answered(answer)

    async def leave(self, wish: inputs.Disconnect | inputs.Close) -> None:
        """Feed the wish and wait until nothing is left of the line."""
        answer, rest = self._ask(wish)
        future: asyncio.Future[None] = self.loop.create_future()
        if isinstance(answer, fx.AwaitEnd):
            self._leavers.append(future)
        else:
            future.set_result(None)
        self._perform_all(rest)
        await future

    def _answered(self, answer: Effect) -> Outcome:
        if isinstance(answer, fx.Refuse):
            raise answer.error
        if not isinstance(answer, fx.Wait | fx.Answer):
            raise TypeError(f"no answer to a wish: {answer}")
        self.outcomes[answer.outcome] += 1
        return answer.outcome

    def _ask(self, wish: Input) -> tuple[Effect, list[Effect]]:
        """Feed a wish; what it means for the one who asked, and what else is to be done."""
        answer: Effect | None = None
        rest: list[Effect] = []
        for effect in self.machine.handle(wish, self.loop.time()):
            if isinstance(effect, fx.Answer | fx.Refuse | fx.Wait | fx.Done | fx.AwaitEnd):
                answer = effect
            else:
                rest.append(effect)
        if answer is None:
            raise TypeError(f"{type(wish).__name__} got no answer")
        return answer, rest

    # --- the one way in ---------------------------------------------------------------------------------------------

    def feed(self, happened: Input) -> None:
        """Give the machine one input and do what it says."""
        if self._home.is_inherited:
            return
        self._queue.append(happened)
        if not self._busy:
            self._drain()

    def _drain(self) -> None:
        self._busy = True
        try:
            while self._queue:
                for effect in self.machine.handle(self._queue.popleft(), self.loop.time()):
                    self._perform(effect)
        finally:
            self._busy = False

    def _perform_all(self, effects: list[Effect]) -> None:
        if not effects:
            return
        # What an effect brings about at once waits its turn: inputs are handled one after the other.
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
            case fx.Changed():
                self._changed(effect)
            case fx.Dial(epoch):
                # Also an attempt that was given up may have brought messages: a greeting that came with the upgrade.
                self._follows_another = self.readied > 0 or self._fanout.delivered > 0
                self.link = Link(epoch, self._options, self, self._fanout)
                self.link.start()
            case fx.HangUp(epoch, code, reason):
                if self.link is not None and self.link.epoch == epoch:
                    self.link.hang_up(code, reason)
            case fx.Abort(epoch, code):
                if self.link is not None and self.link.epoch == epoch:
                    self.link.abort(code)
            case fx.ResolveCallers():
                self._resolve_callers()
            case fx.RejectCallers(error):
                self._reject_callers(error)
            case fx.ReleaseLeavers():
                self._release_leavers()
            case fx.SetAlarm(kind, epoch, at):
                self._clear_alarm()
                self._alarm = self.loop.call_at(at, self._ring, kind, epoch)
            case fx.ClearAlarm():
                self._clear_alarm()
            case fx.Done() | fx.AwaitEnd():
                pass  # nobody waits: the wish was fed by the shell itself
            case _:
                raise TypeError(f"nobody asked for {effect}")

    def _resolve_callers(self) -> None:
        callers, self._callers = self._callers, {}
        for future, outcome in callers.items():
            if not future.done():
                self.outcomes[outcome] += 1
                future.set_result(outcome)

    def _reject_callers(self, error: OnesocketError) -> None:
        callers, self._callers = self._callers, {}
        for future in callers:
            if not future.done():
                future.set_exception(error.copy())

    def _release_leavers(self) -> None:
        leavers, self._leavers = self._leavers, []
        for future in leavers:
            if not future.done():
                future.set_result(None)

    def _clear_alarm(self) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None

    def _ring(self, kind: inputs.AlarmKind, epoch: int) -> None:
        self._alarm = None
        detail = self.link.phase if self.link is not None else ""
        self.feed(inputs.Alarm(epoch, kind, detail))

    def _changed(self, change: fx.Changed) -> None:
        destination = self.machine.destination
        if change.old is State.CONNECTED:
            self.connected_at = None
            # A sound line that we close ourselves takes along what still waits for the socket.
            ours = destination in (Destination.STOP, Destination.CLOSE, Destination.ATTEMPT)
            self._outgoing.line_closing(drain=ours)
        refusal = self.refusal()
        if refusal is not None:
            self._outgoing.reject_waiting(refusal)
        if change.new is State.FAILED and change.error is not None:
            self._fanout.fail(change.error)
        self._on_change(Change(time.time(), change.old, change.new, change.epoch, change.cause, change.error))

    # --- what the link tells ----------------------------------------------------------------------------------------

    def link_opened(self, link: Link) -> None:
        """The upgrade went through."""
        self.handshakes += 1
        self.feed(inputs.Opened(link.epoch))

    def link_ready(self, link: Link, ready: Ready) -> None:
        """The login went through."""
        if link.epoch != self.machine.line or self.machine.state is not State.CONNECTING:
            self.feed(inputs.Ready(link.epoch))
            return
        lost_why = self.machine.error
        self.connected_at = self.last_connected_at = time.time()
        self.feed(inputs.Ready(link.epoch))
        self.readied += 1
        self._fanout.ready(link.epoch)
        if self._follows_another and not ready.resumed:
            with self._outgoing.telling():
                self._fanout.announce(Gap(GapReason.RECONNECTED, link.epoch, error=lost_why))
        # Whoever was told just now may have closed it already.
        if link.line is not None and self.machine.line == link.epoch and self.machine.destination is None:
            if self._fanout.is_held:
                link.line.pause_reading()
            self._outgoing.line_ready(link.line, ready.first)

    def link_extended(self, link: Link, seconds: float) -> None:
        """The login waits for its turn: what the machine set as a deadline is told so much later."""
        alarm = inputs.AlarmKind.OPEN, link.epoch
        if self._alarm is not None and self.machine.alarm == alarm:
            at = self._alarm.when() + seconds
            self._alarm.cancel()
            self._alarm = self.loop.call_at(at, self._ring, *alarm)

    def link_failing(self, link: Link, failure: Fail) -> None:
        """The line can't go on."""
        self.feed(inputs.Failing(link.epoch, failure.error, failure.code, failure.reason, failure.dead, link.up_for))

    def link_ended(self, link: Link, error: OnesocketError, *, loop_ends: bool = False) -> None:
        """Nothing is left of the line."""
        if self.link is link:
            self.link = None
            self._outgoing.line_ended()
        if loop_ends:
            self.feed(inputs.Close())  # nothing shall be dialled any more
        self.feed(inputs.Ended(link.epoch, error, self._roll(), link.up_for))

    def link_writable(self, link: Link, now_writable: bool) -> None:  # noqa: FBT001 - an event
        """Whether all that was written is out."""
        if link is self.link:
            self._outgoing.writable(now_writable)

    def link_undecodable(self, link: Link, error: DecodeError) -> None:
        """A message that can't be read is not lost in silence."""
        self.undecodable += 1
        self._fanout.announce(Gap(GapReason.UNDECODABLE, link.epoch, 1, error))

    def link_rtt(self, seconds: float) -> None:
        """A PING was answered."""
        self.rtt = seconds

    # --- back-pressure ----------------------------------------------------------------------------------------------

    def hold(self) -> None:
        """A subscriber with the rule `wait` is full."""
        if self.machine.state is State.CONNECTED and self.link is not None and self.link.line is not None:
            self.link.line.pause_reading()

    def release(self) -> None:
        """It has caught up, or it went away."""
        if self.link is not None:
            self.link.resume_reading()

    def on_loop(self, call: Callable[..., object], *args: object) -> None:
        """Call this on the client's loop: at once if we are there, else soon. The collector runs in any thread."""
        loop = self._home.loop
        try:
            here = loop is None or asyncio.get_running_loop() is loop
        except RuntimeError:
            here = False
        if here or loop is None or loop.is_closed():
            call(*args)
        else:
            loop.call_soon_threadsafe(call, *args)

    def soon(self, call: Callable[[], None]) -> None:
        """Call this in the next turn of the client's loop, whether or not it runs at the moment."""
        loop = self._home.loop if self._home.loop is not None else self.loop
        if not loop.is_closed():
            loop.call_soon(call)
