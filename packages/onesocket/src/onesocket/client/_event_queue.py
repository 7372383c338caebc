"""Queue of events in front of the machine."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ..lifecycle._effects import Effect
from ..lifecycle._events import Event
from ..lifecycle._machine import Machine
from ._affinity import Affinity
from ._failure_judge import FailureJudge


class EventQueue:
    """Passes events to one `Machine`, one after the other; the effects of each are performed before the next."""

    __slots__ = ("_affinity", "_busy", "_judge", "_perform", "_then", "_waiting", "machine")

    def __init__(
        self,
        machine: Machine,
        judge: FailureJudge,
        affinity: Affinity,
        perform: Callable[[Effect], object],
    ) -> None:
        """`affinity`: of the loop whose clock the machine reads; `perform`: performs one effect."""
        self.machine = machine
        self._judge = judge
        self._affinity = affinity
        self._perform = perform
        self._waiting: list[Event] = []  # a deque takes 0.7 KB, and there are few at a time
        self._busy = False
        self._then: Callable[[], object] | None = None

    def __repr__(self) -> str:
        return f"<EventQueue {self.machine.state.name} waiting={len(self._waiting)}>"

    def dispatch(self, event: Event) -> None:
        """Pass one event to the machine and perform its effects, after those of earlier events.

        In a forked child it does nothing: the connection is the parent's.
        """
        if self._affinity.is_inherited:
            return
        self._waiting.append(event)
        if not self._busy:
            self._drain()

    def _drain(self) -> None:
        self._busy = True
        try:
            while self._waiting:
                event = self._judge.judged(self._waiting.pop(0), self.machine)
                for effect in self.machine.handle(event, self._affinity.check().time()):
                    self._perform(effect)
                if self._then is not None:
                    then, self._then = self._then, None
                    then()
        finally:
            self._busy = False

    def then(self, call: Callable[[], object]) -> None:
        """Call it once all effects of the present event are performed, before the next event."""
        self._then = call

    def handle(self, call: Event) -> Sequence[Effect]:
        """Pass a call to the machine at once; returns its effects, to be performed by `perform_all`.

        Raises as `Affinity.check`.
        """
        return self.machine.handle(call, self._affinity.check().time())

    def perform_all(self, effects: list[Effect]) -> None:
        """Perform the effects of a call, and then pass the events that they have caused to the machine."""
        if not effects:
            return
        # Events that an effect causes at once wait: events are handled one after the other.
        was_busy, self._busy = self._busy, True
        try:
            for effect in effects:
                self._perform(effect)
        finally:
            self._busy = was_busy
        if not self._busy and self._waiting:
            self._drain()
