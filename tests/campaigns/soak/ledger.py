"""Double entry: what each client did with each of its messages, beside what the server received."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Final

_SHOWN: Final = 20


class Fate(IntEnum):
    """What became of one message, as its sender knows it."""

    WAITING = 1
    SENT = 2
    """The kernel has it."""
    EXPIRED = 3
    UNKNOWN = 4
    """`DeliveryUnknown`: the line broke in the middle of it."""
    FULL = 5
    """`OutboxFull`: never accepted."""
    STOPPED = 6
    """`ManuallyDisconnected` or `ClientClosed`."""


NEVER_WRITTEN: Final = frozenset({Fate.EXPIRED, Fate.FULL, Fate.STOPPED})


class FateRecords:
    """The fates of one client's messages, numbered from 1; made once, so that keeping the books needs no memory."""

    def __init__(self, capacity: int) -> None:
        self.used = 0
        self._fates = bytearray(capacity + 1)

    @property
    def is_full(self) -> bool:
        """Whether there is no number left."""
        return self.used + 1 >= len(self._fates)

    def new(self) -> int:
        """The number of the next message."""
        self.used += 1
        self._fates[self.used] = Fate.WAITING
        return self.used

    def settle(self, number: int, fate: Fate) -> None:
        """Its fate is known. Raises RuntimeError if it was known before."""
        if self._fates[number] != Fate.WAITING:
            raise RuntimeError(f"message {number} has two fates: {Fate(self._fates[number]).name} and {fate.name}")
        self._fates[number] = fate

    def fate(self, number: int) -> Fate:
        """The fate of one message."""
        return Fate(self._fates[number])


@dataclass(slots=True)
class ConnectionRecord:
    """One WebSocket as the server saw it."""

    client: int
    first: int = 0
    last: int = 0
    """The numbers of the first and the last message that came over it; 0: none did."""
    cause: str = ""
    """The fault that struck it, if any."""
    clean: bool = False
    """CLOSE went both ways."""


@dataclass
class Tally:
    """The balance of all clients."""

    fates: Counter[Fate] = field(default_factory=Counter[Fate])
    arrived: int = 0
    unknown_arrived: int = 0
    lost: Counter[str] = field(default_factory=Counter[str])
    """Sent, but gone with a line that was broken: by the fault that broke it."""
    wrong: list[str] = field(default_factory=list[str])

    @property
    def accepted(self) -> int:
        """Messages that the clients took on."""
        return self.fates.total() - self.fates[Fate.FULL]

    def balance(
        self, client: int, pages: FateRecords, received: Sequence[int], lines: Sequence[ConnectionRecord]
    ) -> None:
        """Add one client; `received[n]` is how often message n arrived, `lines` are its lines, oldest first."""
        if len(received) - 1 > pages.used and any(received[pages.used + 1 :]):
            self.wrong.append(f"client {client}: messages arrived that it never sent")
        for number in range(1, pages.used + 1):
            fate = pages.fate(number)
            times = received[number] if number < len(received) else 0
            self.fates[fate] += 1
            self.arrived += times
            if times > 1:
                self.wrong.append(f"client {client}: message {number} arrived {times} times")
            if fate is Fate.WAITING:
                self.wrong.append(f"client {client}: message {number} has no fate")
            elif fate is Fate.UNKNOWN:
                self.unknown_arrived += bool(times)
            elif fate in NEVER_WRITTEN and times:
                self.wrong.append(f"client {client}: message {number} arrived, though it was {fate.name}")
            elif fate is Fate.SENT and not times:
                self._lost(client, number, lines)

    def _lost(self, client: int, number: int, lines: Sequence[ConnectionRecord]) -> None:
        cause = cause_of_loss(number, lines)
        if not cause:
            how = "no line was broken then" if cause is None else "nobody broke the line that may have taken it"
            self.wrong.append(f"client {client}: message {number} was sent and is lost, though {how}")
        else:
            self.lost[cause] += 1

    def complaints(self) -> list[str]:
        """What is wrong, not all of it if that's much."""
        more = len(self.wrong) - _SHOWN
        return [*self.wrong[:_SHOWN], *([f"... and {more} more"] if more > 0 else [])]


def cause_of_loss(number: int, lines: Sequence[ConnectionRecord]) -> str | None:
    """The fault that broke the line which took this message along; "": nobody broke it; None: there is no such line.

    Messages are written in the order of their numbers. So the line that took it is the last one over which an earlier
    message came, or one after that over which nothing came; and no later message can have come over it.
    """
    suspects: list[ConnectionRecord] = []
    for line in lines:
        if line.first and line.first <= number <= line.last:
            return None  # a hole in the middle of a line: TCP makes none
        if line.first > number:
            break
        if line.last:
            suspects = [line]
        else:
            suspects.append(line)
    broken = [line for line in suspects if not line.clean]
    return broken[0].cause if broken else None
