"""A ledger of messages to the server: each reported fate, beside what arrived. Pure."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Final, NamedTuple

SENT: Final = "sent"
UNKNOWN: Final = "DeliveryUnknown"
RESEND_EVERY: Final = 3
"""Every third message is sent with `resend=True`."""


@dataclass
class SenderRecord:
    """One process."""

    fates: dict[int, str] = field(default_factory=dict[int, str])
    accepted: int | None = None
    """As it counted itself; None: it was killed, and nobody is left to whom fates could be told."""
    left: bool = False
    """It left in the midst of sending: what was on its way then is not sent again by anybody."""


@dataclass(frozen=True, slots=True)
class Balance:
    """What the books say together."""

    figures: Counter[str]
    wrong: list[str]


class Arrival(NamedTuple):
    """One message at the server."""

    place: int
    """In the order of all that arrived."""
    connection: int


class DeliveryLedger:
    """Messages are ``name number``; lines are numbered by the server."""

    def __init__(self) -> None:
        self.senders: dict[str, SenderRecord] = {}
        self.killed_connections: set[int] = set()
        """Their process was killed, or the server cut them off: what a kernel had may be lost with them."""
        self._arrived: dict[str, dict[int, list[Arrival]]] = {}
        self._places = 0
        self._strange: list[str] = []

    def sender(self, name: str) -> SenderRecord:
        """The page of one process."""
        return self.senders.setdefault(name, SenderRecord())

    def fate(self, name: str, number: int, fate: str) -> None:
        """A sender was told."""
        fates = self.sender(name).fates
        if number in fates:
            self._strange.append(f"{name} {number} has two fates: {fates[number]} and {fate}")
        fates[number] = fate

    def arrived(self, text: str, line: int) -> None:
        """The server received it. What follows a second space is padding."""
        name, number = (*text.split(" ", 2), "")[:2]
        if not number.isdigit():
            self._strange.append(f"the server received {text[:40]!r}, which nobody sent")
            return
        self._places += 1
        self._arrived.setdefault(name, {}).setdefault(int(number), []).append(Arrival(self._places, line))

    def balance(self) -> Balance:
        """Compare."""
        figures: Counter[str] = Counter()
        wrong = list(self._strange)
        for name, sender in self.senders.items():
            arrived = self._arrived.get(name, {})
            wrong += _order(name, arrived)
            if sender.accepted is not None:
                untold = [number for number in range(1, sender.accepted + 1) if number not in sender.fates]
                if untold:
                    wrong.append(f"{name} was never told what became of {len(untold)} messages, the first: {untold[0]}")
            for number in sorted({*sender.fates, *arrived}):
                problem = self._one(name, number, figures)
                if problem is not None:
                    wrong.append(problem)
        for name in self._arrived.keys() - self.senders.keys():
            wrong.append(f"messages of {name} arrived, who sent none")
        return Balance(figures, wrong)

    def _one(self, name: str, number: int, figures: Counter[str]) -> str | None:
        """Count one message; what is wrong with it."""
        arrived = self._arrived.get(name, {})
        sender = self.senders[name]
        fate, copies, named = sender.fates.get(number), len(arrived.get(number, ())), number % RESEND_EVERY == 0
        figures[fate or "told to nobody: its sender was killed"] += 1
        if copies > 1:
            if not named:
                return f"{name} {number} arrived {copies} times, and had no resend=True"
            figures["arrived more than once, with resend="] += 1
        if fate == SENT and not copies:
            if not self._lost_with_a_killed_line(number, arrived):
                return f"{name} {number} was sent, they said, and never arrived"
            figures["sent, and lost in the kernel with a connection that was cut off"] += 1
        elif fate == UNKNOWN:
            figures["DeliveryUnknown, and had arrived"] += bool(copies)
            if named and not sender.left:
                return f"{name} {number} had an id= and was not sent again, but reported as DeliveryUnknown"
        elif fate not in (None, SENT) and copies:
            return f"{name} {number} was not sent, they said ({fate}), and arrived"
        return None

    def _lost_with_a_killed_line(self, number: int, arrived: dict[int, list[Arrival]]) -> bool:
        """Whether it may have been among the last on the line of an owner that was killed."""
        before = max((other for other in arrived if other < number and other % RESEND_EVERY), default=None)
        after = min((other for other in arrived if other > number and other % RESEND_EVERY), default=None)
        first = 0 if before is None else arrived[before][0].connection
        last = max(self.killed_connections, default=0) + 1 if after is None else arrived[after][0].connection
        return any(first <= line < last for line in self.killed_connections)


def _order(name: str, arrived: dict[int, list[Arrival]]) -> list[str]:
    """The order of one task is kept, except that a message that is sent again (it has an id=) comes later."""
    places = [arrived[number][0].place for number in sorted(arrived) if number % RESEND_EVERY]
    return [] if places == sorted(places) else [f"messages of {name} arrived in another order than they were sent"]
