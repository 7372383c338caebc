"""One machine and short words for what happens to it."""

from __future__ import annotations

from typing import Self, TypeVar

from onesocket.errors import ClosedByPeer, ConnectionReset, OnesocketError, ServerBusy
from onesocket.lifecycle import _events as events
from onesocket.lifecycle._effects import Effect
from onesocket.lifecycle._events import Event, TimerKind
from onesocket.lifecycle._machine import Machine
from onesocket.lifecycle._retry import ReconnectPolicy
from onesocket.lifecycle._side_data import GHOST_SECONDS
from onesocket.lifecycle._states import State
from onesocket.lifecycle._verdict import Verdict

E = TypeVar("E", bound=Effect)

OPEN_TIMEOUT = 10.0
CLOSE_TIMEOUT = 5.0
POLICY = ReconnectPolicy(initial=1, factor=2, cap=5, stable_after=10, busy_delay=30)

LOST = ConnectionReset("lost")
FATAL = ClosedByPeer("policy violation", code=1008, reason="", retryable=False)
BUSY = ServerBusy("no place")


class MachineDriver:
    """Each method is one input, of the newest epoch; `effects` are those of the last one."""

    def __init__(
        self,
        policy: ReconnectPolicy | None = POLICY,
        *,
        renews_token: bool = False,
        closes_first: bool = False,
        ghost_seconds: float = GHOST_SECONDS,
    ) -> None:
        self.machine = Machine(
            open_timeout=OPEN_TIMEOUT,
            close_timeout=CLOSE_TIMEOUT,
            reconnect=policy,
            renews_token=renews_token,
            closes_first=closes_first,
            ghost_seconds=ghost_seconds,
        )
        self.now = 100.0
        self.effects: tuple[Effect, ...] = ()

    @property
    def state(self) -> State:
        return self.machine.state

    def handle(self, event: Event) -> Self:
        self.effects = self.machine.handle(event, self.now)
        return self

    def all(self, kind: type[E]) -> list[E]:
        return [effect for effect in self.effects if isinstance(effect, kind)]

    def the(self, kind: type[E]) -> E:
        (only,) = self.all(kind)
        return only

    def has(self, kind: type[Effect]) -> bool:
        return len(self.all(kind)) == 1

    def connect(self, *, wait: bool = True, retry: bool | None = None) -> Self:
        return self.handle(events.Connect(wait=wait, retry=retry))

    def reconnect(self, *, wait: bool = True, retry: bool | None = None) -> Self:
        return self.handle(events.Reconnect(wait=wait, retry=retry))

    def rotate(self, *, wait: bool = True) -> Self:
        return self.handle(events.Rotate(wait=wait))

    @property
    def side_epoch(self) -> int:
        assert self.machine.side_epoch is not None
        return self.machine.side_epoch

    def side_opened(self) -> Self:
        return self.handle(events.Opened(self.side_epoch))

    def side_ready(self) -> Self:
        return self.handle(events.ProtocolReady(self.side_epoch))

    def side_failing(self, error: OnesocketError, code: int = 1000, *, dead: bool = False) -> Self:
        return self.handle(events.ConnectionFailing(self.side_epoch, error, code, "told", dead))

    def side_gone(self, error: OnesocketError = LOST) -> Self:
        return self.handle(events.ConnectionGone(self.side_epoch, error, 0.5))

    def cancelled(self, *, retries: bool = False) -> Self:
        return self.handle(events.CallerCancelled(retries))

    def disconnect(self) -> Self:
        return self.handle(events.Disconnect())

    def close(self) -> Self:
        return self.handle(events.Close())

    def opened(self) -> Self:
        return self.handle(events.Opened(self.machine.epoch))

    def ready(self) -> Self:
        return self.handle(events.ProtocolReady(self.machine.epoch))

    def failing(
        self,
        error: OnesocketError = LOST,
        code: int = 1000,
        *,
        dead: bool = False,
        up_for: float = 0.0,
        by_peer: bool = False,
    ) -> Self:
        return self.handle(events.ConnectionFailing(self.machine.epoch, error, code, "told", dead, up_for, by_peer))

    def closed_by_peer(self, error: OnesocketError) -> Self:
        return self.handle(events.ConnectionFailing(self.machine.epoch, error, by_peer=True)).ended(error)

    def ended(
        self,
        error: OnesocketError = LOST,
        jitter: float = 0.5,
        *,
        up_for: float = 0.0,
        verdict: Verdict | None = None,
        fresh: bool = True,
    ) -> Self:
        return self.handle(events.ConnectionGone(self.machine.epoch, error, jitter, up_for, verdict, fresh))

    def timer(self, kind: TimerKind, detail: str = "") -> Self:
        return self.handle(events.TimerFired(self.machine.epoch, kind, detail))

    def up(self) -> Self:
        """Connected."""
        return self.connect().opened().ready()

    def backing_off(self) -> Self:
        """An established connection was lost."""
        return self.up().ended()

    def resuming(self) -> Self:
        """... and the next attempt is under way."""
        return self.backing_off().timer(TimerKind.RETRY)
