"""Messages of this process that were accepted for sending and have no result yet. Pure.

Messages survive the owner: those that it never got are handed to the next one. Those that it got and reported no result
for are `DeliveryUnknown`; with `resend=True` they are sent again.
"""

from __future__ import annotations

import enum
import itertools
from typing import Final

from ...client._delivery import Delivery
from ...errors import DeliveryUnknown, MessageExpired, OnesocketError, OutboxFull
from ...lifecycle._outbox import OutboxLimits
from ...wire._handshake import Data
from ._ipc_frames import MAX_WAITING

MAX_IN_FLIGHT: Final = 65_536
_WINDOW: Final = 1_024
"""Messages beyond its limits that a process gives the owner: on a connection that takes them, all are soon sent."""
_WITHDRAWN: Final = "its sender was cancelled, and this message was not sent"
_RECALL_TIMEOUT: Final = 1.0
"""Seconds for the owner to say if it could withdraw a message."""
_OWNER_ENDED: Final = (
    "the process that held the connection ended while this message was on its way: it may or may not have arrived; "
    "send it again only if that does no harm, or send it with resend=True when that is so"
)


class EntryState(enum.Enum):
    """State of a message."""

    WAITING = "waiting"
    HANDED_OVER = "handed over"
    """The owner has it, and has not reported a result."""
    RECALLED = "recalled"
    """The owner has it, and is asked to withdraw it."""
    SETTLED = "settled"
    WITHDRAWN = "withdrawn"
    """Taken back by its sender, and not sent."""


class OutboxEntry(Delivery):
    """One message, and its result."""

    __slots__ = ("due", "if_unknown", "if_withdrawn", "number", "state")

    def __init__(self, number: int, data: Data, due: float, *, resend: bool) -> None:
        super().__init__(data, resend=resend)
        self.number = number
        self.due = due
        self.state = EntryState.WAITING
        self.if_withdrawn: OnesocketError | None = None
        """The error of a recalled message that was not sent; None: its sender was cancelled."""
        self.if_unknown = ""
        """The text for a recalled message that may have been sent."""

    def __repr__(self) -> str:
        return f"<OutboxEntry {self.number} {self.state.value}>"

    def settle(self, error: OnesocketError | None) -> None:
        """Record the result of this copy; if it failed, an earlier copy may have arrived all the same."""
        self.state = EntryState.SETTLED
        self.resolve(error)

    def end_recall(self, *, was_sent: bool | None) -> None:
        """Record what became of a recalled message; None: that is not known."""
        if was_sent is None:
            self.settle(DeliveryUnknown(self.if_unknown))
        elif was_sent:
            self.settle(None)
        elif self.if_withdrawn is not None or self.earlier_unknown is not None:
            self.settle(self.if_withdrawn or self.earlier_unknown)
        else:
            self.state = EntryState.WITHDRAWN
            self.resolve(MessageExpired(_WITHDRAWN))


class ProcessOutbox:
    """Queue of messages, first in, first out, bounded in number and age."""

    def __init__(self, limits: OutboxLimits) -> None:
        self._limits = limits
        self._entries: dict[int, OutboxEntry] = {}
        self._waiting: dict[int, OutboxEntry] = {}
        self._recalled: dict[int, OutboxEntry] = {}
        self._last = 0
        most = min(limits.messages, MAX_WAITING)
        self._window = most if most < limits.messages else most + _WINDOW

    def __repr__(self) -> str:
        return f"<ProcessOutbox waiting={len(self._waiting)} handed_over={len(self) - len(self._waiting)}>"

    def __len__(self) -> int:
        return len(self._entries) + len(self._recalled)

    def accept(self, data: Data, now: float, *, resend: bool, room: bool) -> OutboxEntry:
        """Accept a message. `room`: an owner takes it at once, so its result is soon known. Raises `OutboxFull`."""
        most = max(MAX_IN_FLIGHT, self._limits.messages) if room else self._limits.messages
        if len(self._entries) >= most:
            raise OutboxFull(
                f"{len(self._entries)} messages of this process wait for the connection already, which is the limit "
                "(outbox=); wait until it is back"
            )
        self._last += 1
        entry = OutboxEntry(self._last, data, now + self._limits.age, resend=resend)
        self._entries[entry.number] = self._waiting[entry.number] = entry
        return entry

    def hand_over(self, *, everything: bool = False) -> list[OutboxEntry]:
        """Return the waiting messages that an owner takes now, in order, or all."""
        waiting = self._waiting
        room = self._window - len(self) + len(waiting)
        is_all = everything or room >= len(waiting)
        handed = list(waiting.values() if is_all else itertools.islice(waiting.values(), max(0, room)))
        for entry in handed:
            entry.state = EntryState.HANDED_OVER
        if len(handed) == len(waiting):
            waiting.clear()
        else:
            for entry in handed:
                del waiting[entry.number]
        return handed

    @property
    def is_idle(self) -> bool:
        """True if there is at most one message."""
        return len(self._entries) <= 1 and not self._recalled

    @property
    def has_waiting(self) -> bool:
        """True if messages wait in this process."""
        return bool(self._waiting)

    def settle_sent(self, first: int, last: int) -> None:
        """Record that a run of messages was sent."""
        entries = self._entries
        for number in range(first, last + 1):
            entry = entries.get(number)
            if entry is not None and entry.state is EntryState.HANDED_OVER:
                del entries[number]
                entry.settle(None)
            elif number in self._recalled:
                self._recalled.pop(number).end_recall(was_sent=True)

    def settle(self, number: int, error: OnesocketError | None) -> bool:
        """Record the owner's result of a message. Returns False if the message is unknown, or settled already."""
        recalled = self._recalled.pop(number, None)
        if recalled is not None:
            # Every error but this one says that it was not sent.
            recalled.end_recall(was_sent=None if isinstance(error, DeliveryUnknown) else error is None)
            return True
        entry = self._entries.get(number)
        if entry is None or entry.state is not EntryState.HANDED_OVER:
            return False
        if entry.resend and isinstance(error, DeliveryUnknown):
            entry.state = EntryState.WAITING  # its sender allowed another copy
            entry.earlier_unknown = error
            self._waiting[number] = entry
            return True
        self._pop(number)
        entry.settle(error)
        return True

    def withdraw(self, entry: OutboxEntry, text: str, now: float) -> bool:
        """Withdraw a cancelled sender's message: it is taken back if it never left this process; else it is recalled.

        A settled message keeps its result; one that was recalled before is unknown. Returns True if the owner has it,
        and has to be asked to withdraw it.
        """
        match entry.state:
            case EntryState.HANDED_OVER:
                self._recall(entry, now, None, text)
                return True
            case EntryState.RECALLED:
                del self._recalled[entry.number]
                entry.settle(DeliveryUnknown(text))
            case EntryState.WAITING:
                self._pop(entry.number)
                entry.if_unknown = text
                entry.end_recall(was_sent=None if entry.earlier_unknown is not None else False)
            case _:
                pass
        return False

    def _recall(self, entry: OutboxEntry, now: float, if_withdrawn: OnesocketError | None, if_unknown: str) -> None:
        del self._entries[entry.number]
        self._recalled[entry.number] = entry
        entry.state = EntryState.RECALLED
        entry.due = now + _RECALL_TIMEOUT
        entry.if_withdrawn, entry.if_unknown = if_withdrawn, if_unknown

    def owner_gone(self, *, in_order: bool) -> None:
        """Settle messages that the owner had without a result: not sent if it left in order, otherwise unknown."""
        back: dict[int, OutboxEntry] = {}
        for entry in list(self._entries.values()):
            if entry.state is not EntryState.HANDED_OVER:
                continue
            unknown = DeliveryUnknown(_OWNER_ENDED)
            if in_order or entry.resend:
                entry.state = EntryState.WAITING
                entry.earlier_unknown = entry.earlier_unknown if in_order else unknown
                back[entry.number] = entry
            else:
                self._pop(entry.number)
                entry.settle(unknown)
        self._waiting = {**back, **self._waiting}
        for entry in self._take_recalled():
            entry.end_recall(was_sent=False if in_order else None)

    def _take_recalled(self) -> list[OutboxEntry]:
        recalled = list(self._recalled.values())
        self._recalled.clear()
        return recalled

    def expire(self, now: float) -> list[int]:
        """Settle the messages that have waited for too long; returns those that the owner has to be asked to withdraw.

        What it doesn't say in time is unknown.
        """
        for entry in list(itertools.takewhile(lambda entry: entry.due <= now, self._recalled.values())):
            del self._recalled[entry.number]
            entry.end_recall(was_sent=None)
        asked: list[int] = []
        late = list(itertools.takewhile(lambda entry: entry.due <= now, self._entries.values()))
        for entry in late:
            text = f"this message waited {self._limits.age:g} s for the connection (outbox=) and was not sent"
            expired = MessageExpired(text)
            if entry.state is EntryState.WAITING:
                self._pop(entry.number)
                entry.settle(expired)
            else:
                text = f"the process that holds the connection has not said for {self._limits.age:g} s (outbox=) "
                self._recall(entry, now, expired, text + "that it sent this message")
                asked.append(entry.number)
        return asked

    def next_due(self) -> float | None:
        """Time at which the oldest message expires; None: there is none."""
        firsts = (next(iter(entries.values()), None) for entries in (self._entries, self._recalled))
        return min((first.due for first in firsts if first is not None), default=None)

    def reject(self, error: OnesocketError) -> None:
        """Settle all messages: no further one is sent."""
        for entry in list(self._entries.values()):
            unknown = entry.state is EntryState.HANDED_OVER
            self._pop(entry.number)
            entry.settle(DeliveryUnknown("this process let go of it while it was on its way") if unknown else error)
        for entry in self._take_recalled():
            entry.end_recall(was_sent=None)

    def _pop(self, number: int) -> None:
        self._waiting.pop(number, None)
        self._entries.pop(number, None)
