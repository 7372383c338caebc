"""Compares the fates of messages, as their senders report them, with the messages that arrived. No I/O."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

WAITING: Final = ""
SENT: Final = "sent"
"""The kernel has it; other fates are the names of the errors that the sender got."""
UNKNOWN: Final = "DeliveryUnknown"
CANCELLED: Final = "cancelled"
"""The sender stopped waiting, and was told nothing: the message may have arrived, once."""
FULL: Final = "OutboxFull"
NOT_ACCEPTED: Final = frozenset({FULL})
NO_FATE: Final = "without a fate: the sender was killed"


class SenderRecord:
    """The fates of one sender's messages, numbered from 1; one byte for each message."""

    def __init__(self, capacity: int = 0) -> None:
        self.used = 0
        """The highest number so far."""
        self.accepted: int | None = None
        """The number of accepted messages that the sender counted itself; None if it was killed."""
        self.left = False
        """The sender left, or gave up, while it sent: messages that were being sent are not sent again."""
        self._codes = bytearray(capacity + 1)  # made once: a soak measures how memory grows
        self._fates = [WAITING]

    @property
    def is_full(self) -> bool:
        """True if the capacity is used up."""
        return self.used + 1 >= len(self._codes)

    def new(self) -> int:
        """The number of the next message."""
        self.accepted = self.used = self.used + 1
        return self.used

    def settle(self, number: int, fate: str) -> None:
        """Record the fate of a message. Raises RuntimeError if it has one."""
        if number >= len(self._codes):
            self._codes.extend(bytes(number + 1000 - len(self._codes)))
        if self._codes[number]:
            raise RuntimeError(f"message {number} has two fates: {self.fate(number)} and {fate}")
        if fate not in self._fates:
            self._fates.append(fate)
        self._codes[number] = self._fates.index(fate)
        self.used = max(self.used, number)

    def had(self, fate: str) -> bool:
        """True if a message had this fate."""
        return fate in self._fates

    def fate(self, number: int) -> str:
        """The fate of a message; `WAITING` if it has none."""
        return self._fates[self._codes[number]] if number < len(self._codes) else WAITING


@dataclass(slots=True)
class ConnectionRecord:
    """One connection and one sender, as the server saw them."""

    first: int = 0
    last: int = 0
    """The numbers of the first and the last message of the sender that arrived on it; 0: none did."""
    cause: str = ""
    """The fault that was injected into it, if any."""
    clean: bool = False
    """True if nothing can be lost with it, as after CLOSE frames in both directions."""


@dataclass
class Tally:
    """The balance of all senders; every `resend_every`-th message was sent with ``resend=True`` (0: none was)."""

    resend_every: int = 0
    fates: Counter[str] = field(default_factory=Counter[str])
    arrived: int = 0
    unknown_arrived: int = 0
    cancelled_arrived: int = 0
    repeated: int = 0
    """Messages with ``resend=True`` that arrived more than once."""
    lost: Counter[str] = field(default_factory=Counter[str])
    """Messages that were sent and lost with a broken connection, by the fault that broke it."""
    wrong: list[str] = field(default_factory=list[str])

    @property
    def accepted(self) -> int:
        """The number of messages that the clients accepted."""
        return self.fates.total() - sum(self.fates[fate] for fate in NOT_ACCEPTED)

    def add(
        self, name: str, sender: SenderRecord, copies: Mapping[int, int], connections: Sequence[ConnectionRecord]
    ) -> None:
        """Add one sender: how often each message arrived, and its connections, the oldest first."""
        known = sender.used if sender.accepted is None else max(sender.accepted, sender.used)
        if sender.accepted is not None and any(number > known for number in copies):
            self.wrong.append(f"{name}: messages arrived that were never sent")
        for number in range(1, max([known, *copies]) + 1):
            self._add_message(name, sender, number, copies.get(number, 0), connections)

    def _add_message(
        self, name: str, sender: SenderRecord, number: int, times: int, connections: Sequence[ConnectionRecord]
    ) -> None:
        fate = sender.fate(number)
        is_resent = bool(self.resend_every) and number % self.resend_every == 0
        self.arrived += times
        if times > 1:
            self.repeated += is_resent
            if not is_resent:
                self.wrong.append(f"{name}: message {number} arrived {times} times")
        if fate == WAITING:
            if sender.accepted is not None:
                self.wrong.append(f"{name}: message {number} has no fate")
            self.fates[NO_FATE] += sender.accepted is not None or bool(times)
            return
        self.fates[fate] += 1
        if fate == UNKNOWN:
            self.unknown_arrived += bool(times)
            if is_resent and not sender.left:
                self.wrong.append(f"{name}: message {number} was sent with resend=True, and its fate is unknown")
        elif fate == CANCELLED:
            self.cancelled_arrived += bool(times)
        elif fate == SENT and not times:
            self._add_lost(name, number, connections)
        elif fate != SENT and times:
            self.wrong.append(f"{name}: message {number} arrived, though it was reported as {fate}")

    def _add_lost(self, name: str, number: int, connections: Sequence[ConnectionRecord]) -> None:
        cause = cause_of_loss(number, connections)
        if cause:
            self.lost[cause] += 1
        else:
            how = "no connection was broken then" if cause is None else "no fault broke the connection that had it"
            self.wrong.append(f"{name}: message {number} was sent and is lost, though {how}")


def _is_ordered(sender: SenderRecord, arrivals: Sequence[tuple[int, int]]) -> bool:
    """Tell if messages (number, connection) arrived in the order of their numbers.

    What an owner had accepted before it was stopped may still go out on its old connection when it goes on, beside the
    next owner's: the sender was told that its delivery is unknown. On each connection the order holds, though.
    """
    newest = highest = 0
    last: dict[int, int] = {}
    for number, connection in arrivals:
        is_late = connection < newest and number < highest and sender.fate(number) == UNKNOWN
        if number < last.get(connection, 0) or not (is_late or (connection >= newest and number >= highest)):
            return False
        last[connection] = number
        newest, highest = max(newest, connection), max(highest, number)
    return True


def cause_of_loss(number: int, connections: Sequence[ConnectionRecord]) -> str | None:
    """The fault that broke the connection on which a message was lost.

    "": the connection was broken without a fault; None: there is no such connection.

    Messages are written in the order of their numbers. So the connection is the last one on which an earlier message
    arrived, or one after that on which nothing arrived; and no later message can have arrived on it.
    """
    suspects: list[ConnectionRecord] = []
    for connection in connections:
        if connection.first and connection.first <= number <= connection.last:
            return None  # a hole within a connection: TCP makes none
        if connection.first > number:
            break
        if connection.last:
            suspects = [connection]
        else:
            suspects.append(connection)
    broken = [connection for connection in suspects if not connection.clean]
    return broken[0].cause if broken else None


class DeliveryLedger:
    """Collects fates and arrivals of messages ``name number``; the server numbers its connections from 1."""

    def __init__(self, resend_every: int) -> None:
        self.senders: dict[str, SenderRecord] = {}
        self.broken_connections: set[int] = set()
        """Connections whose process was killed or which the server cut off: a kernel may lose messages with them."""
        self._arrivals: dict[str, list[tuple[int, int]]] = {}
        """Number and connection of each message of a sender, in the order of arrival."""
        self._resend_every = resend_every
        self._wrong: list[str] = []

    def sender(self, name: str) -> SenderRecord:
        """The record of one sender."""
        return self.senders.setdefault(name, SenderRecord())

    def fate(self, name: str, number: int, fate: str) -> None:
        """Record a fate that a sender reports."""
        try:
            self.sender(name).settle(number, fate)
        except RuntimeError as error:
            self._wrong.append(f"{name}: {error}")

    def arrived(self, text: str, connection: int) -> None:
        """Record a message that the server received; text after a second space is padding."""
        name, number = (*text.split(" ", 2), "")[:2]
        if number.isdigit():
            self._arrivals.setdefault(name, []).append((int(number), connection))
        else:
            self._wrong.append(f"the server received {text[:40]!r}, which no process sent")

    def balance(self) -> Tally:
        """Compare fates and arrivals."""
        tally = Tally(self._resend_every, wrong=list(self._wrong))
        for name, sender in self.senders.items():
            arrivals = self._arrivals.get(name, [])
            # A message that is sent again comes later: it says nothing of the order, and of no connection.
            once = [(number, connection) for number, connection in arrivals if number % self._resend_every]
            if not _is_ordered(sender, once):
                tally.wrong.append(f"{name}: messages arrived in another order than they were sent")
            tally.add(name, sender, Counter(number for number, _ in arrivals), self._connections(once))
        for name in self._arrivals.keys() - self.senders.keys():
            tally.wrong.append(f"{name}: messages arrived, and no process has this name")
        return tally

    def _connections(self, arrivals: Sequence[tuple[int, int]]) -> list[ConnectionRecord]:
        last = max([*self.broken_connections, *(connection for _, connection in arrivals)], default=0)
        records = {number: ConnectionRecord(clean=True) for number in range(1, last + 1)}
        for number in self.broken_connections:
            records[number] = ConnectionRecord(cause="the connection was cut off")
        for number, connection in arrivals:
            record = records[connection]
            record.first = record.first or number
            record.last = number
        return list(records.values())
