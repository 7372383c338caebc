"""Messages of this process that were accepted for sending and have no result yet. Pure.

Messages survive the owner: those that it never got are handed to the next one. Those that it got and reported no result
for are `DeliveryUnknown`; with `resend=True` they are sent again.
"""

from __future__ import annotations

import enum
import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from ...errors import DeliveryUnknown, MessageExpired, OnesocketError, OutboxFull
from ...lifecycle._outbox import OutboxLimits
from ...wire._handshake import Data

MAX_IN_FLIGHT: Final = 65_536
_OWNER_ENDED: Final = (
    "the process that held the connection ended while this message was on its way: it may or may not have arrived; "
    "send it again only if that does no harm, or send it with resend=True when that is so"
)


class EntryState(enum.Enum):
    """State of a message."""

    WAITING = "waiting"
    HANDED_OVER = "handed over"
    """The owner has it, and has not reported a result."""
    SETTLED = "settled"
    WITHDRAWN = "withdrawn"
    """Taken back by its sender, before it left this process."""


@dataclass(slots=True, eq=False, repr=False)
class OutboxEntry:
    """One message, and its result."""

    number: int
    data: Data
    due: float
    settled: Callable[[OutboxEntry], object]
    """Called once, when the result is known."""
    resend: bool
    state: EntryState = EntryState.WAITING
    error: OnesocketError | None = None
    """The error of a settled message; None: it was delivered."""
    earlier_unknown: DeliveryUnknown | None = None
    """The result of an earlier copy, which may have arrived; the message is being sent again."""

    def __repr__(self) -> str:
        return f"<OutboxEntry {self.number} {self.state.value}>"

    def settle(self, error: OnesocketError | None) -> None:
        """Record the result of this copy; if it failed, an earlier copy may have arrived all the same."""
        self.state = EntryState.SETTLED
        self.error = error if error is None or self.earlier_unknown is None else self.earlier_unknown
        self.settled(self)


class ProcessOutbox:
    """Queue of messages, first in, first out, bounded in number and age."""

    def __init__(self, limits: OutboxLimits) -> None:
        self._limits = limits
        self._entries: dict[int, OutboxEntry] = {}
        self._waiting: dict[int, OutboxEntry] = {}
        self._last = 0

    def __repr__(self) -> str:
        return f"<ProcessOutbox waiting={len(self._waiting)} handed_over={len(self._entries) - len(self._waiting)}>"

    def __len__(self) -> int:
        return len(self._entries)

    def accept(
        self, data: Data, now: float, *, resend: bool, settled: Callable[[OutboxEntry], object], room: bool
    ) -> OutboxEntry:
        """Accept a message. `room`: an owner takes it at once, so its result is soon known. Raises `OutboxFull`."""
        most = max(MAX_IN_FLIGHT, self._limits.messages) if room else self._limits.messages
        if len(self._entries) >= most:
            raise OutboxFull(
                f"{len(self._entries)} messages of this process wait for the connection already, which is the limit "
                "(outbox=); wait until it is back"
            )
        self._last += 1
        entry = OutboxEntry(self._last, data, now + self._limits.age, settled, resend)
        self._entries[entry.number] = self._waiting[entry.number] = entry
        return entry

    def hand_over(self) -> list[OutboxEntry]:
        """Return all waiting messages, to be handed to an owner now."""
        handed = list(self._waiting.values())
        self._waiting.clear()
        for entry in handed:
            entry.state = EntryState.HANDED_OVER
        return handed

    def settle(self, number: int, error: OnesocketError | None) -> bool:
        """Record the owner's result of a message. Returns False if the message is unknown, or settled already."""
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

    def withdraw(self, entry: OutboxEntry, text: str) -> bool:
        """Withdraw a cancelled sender's message: it is taken back if it never left this process, else unknown.

        A settled message keeps its result. Returns True if the owner has it, and has to be asked not to send it.
        """
        handed = entry.state is EntryState.HANDED_OVER
        if handed or (entry.state is EntryState.WAITING and entry.earlier_unknown is not None):
            self._pop(entry.number)
            entry.settle(DeliveryUnknown(text))
        elif entry.state is EntryState.WAITING:
            self._pop(entry.number)
            entry.state = EntryState.WITHDRAWN
        return handed

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

    def expire(self, now: float) -> None:
        """Settle the messages that have waited for too long."""
        late = list(itertools.takewhile(lambda entry: entry.due <= now, self._entries.values()))
        for entry in late:
            waiting = entry.state is EntryState.WAITING
            self._pop(entry.number)
            if waiting:
                text = f"this message waited {self._limits.age:g} s for the connection (outbox=) and was not sent"
                entry.settle(MessageExpired(text))
            else:
                entry.settle(
                    DeliveryUnknown(
                        f"the process that holds the connection has not said for {self._limits.age:g} s (outbox=) "
                        "whether it sent this message"
                    )
                )

    def next_due(self) -> float | None:
        """Time at which the oldest message expires; None: there is none."""
        first = next(iter(self._entries.values()), None)
        return None if first is None else first.due

    def reject(self, error: OnesocketError) -> None:
        """Settle all messages: no further one is sent."""
        for entry in list(self._entries.values()):
            unknown = entry.state is EntryState.HANDED_OVER
            self._pop(entry.number)
            entry.settle(DeliveryUnknown("this process let go of it while it was on its way") if unknown else error)

    def _pop(self, number: int) -> None:
        self._waiting.pop(number, None)
        self._entries.pop(number, None)
