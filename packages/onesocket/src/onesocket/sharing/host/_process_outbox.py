"""Messages of this process that were accepted for sending and whose fate isn't known yet. Pure.

They survive the owner: what it never got goes to the next one. What it got without a word of its fate is
`DeliveryUnknown`, unless its sender gave `resend=True`: then it's sent again.
"""

from __future__ import annotations

import enum
import itertools
from collections.abc import Callable
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
    """How far it is."""

    WAITING = "waiting"
    HANDED_OVER = "handed"
    """To the owner, who has said nothing yet."""
    SETTLED = "settled"
    WITHDRAWN = "withdrawn"
    """Taken back by its sender, before it left this process."""


class OutboxEntry:
    """One message. It keeps its result, whoever still waits for it; `settled` is called once, when that is known."""

    __slots__ = ("_settled", "data", "due", "earlier_unknown", "error", "number", "resend", "state")

    def __init__(
        self, number: int, data: Data, due: float, settled: Callable[[OutboxEntry], object], *, resend: bool
    ) -> None:
        self.number: Final = number
        self.data: Final = data
        self.due: Final = due
        self.resend: Final = resend
        self._settled: Final = settled
        self.state = EntryState.WAITING
        self.error: OnesocketError | None = None
        """Once it is settled: what kept it from being delivered; None: nothing."""
        self.earlier_unknown: DeliveryUnknown | None = None
        """It went out before, and may have arrived; it's being sent again."""

    def __repr__(self) -> str:
        return f"<Entry {self.number} {self.state.value}>"

    def settle(self, error: OnesocketError | None) -> None:
        """Record the result of this copy; that it was not sent says nothing of an earlier copy."""
        self.state = EntryState.SETTLED
        self.error = error if error is None or self.earlier_unknown is None else self.earlier_unknown
        self._settled(self)


class ProcessOutbox:
    """First in, first out; bounded in number and age."""

    def __init__(self, limits: OutboxLimits) -> None:
        self._limits = limits
        self._entries: dict[int, OutboxEntry] = {}
        self._waiting: dict[int, OutboxEntry] = {}
        self._last = 0

    def __repr__(self) -> str:
        return f"<Ledger waiting={len(self._waiting)} handed={len(self._entries) - len(self._waiting)}>"

    def __len__(self) -> int:
        return len(self._entries)

    def accept(
        self, data: Data, now: float, *, resend: bool, settled: Callable[[OutboxEntry], object], room: bool
    ) -> OutboxEntry:
        """Take a message in. `room`: an owner takes it at once, so its fate is soon known. Raises `OutboxFull`."""
        most = max(MAX_IN_FLIGHT, self._limits.messages) if room else self._limits.messages
        if len(self._entries) >= most:
            raise OutboxFull(
                f"{len(self._entries)} messages of this process wait for the connection already, which is the limit "
                "(outbox=); wait until it is back"
            )
        self._last += 1
        entry = OutboxEntry(self._last, data, now + self._limits.age, settled, resend=resend)
        self._entries[entry.number] = self._waiting[entry.number] = entry
        return entry

    def hand_over(self) -> list[OutboxEntry]:
        """Everything that waits, which is handed to an owner now."""
        handed = list(self._waiting.values())
        self._waiting.clear()
        for entry in handed:
            entry.state = EntryState.HANDED_OVER
        return handed

    def settle(self, number: int, error: OnesocketError | None) -> bool:
        """The owner says what became of it. False: not ours (any more)."""
        entry = self._entries.get(number)
        if entry is None or entry.state is not EntryState.HANDED_OVER:
            return False
        if entry.resend and isinstance(error, DeliveryUnknown):
            entry.state = EntryState.WAITING  # once more: its sender said that this does no harm
            entry.earlier_unknown = error
            self._waiting[number] = entry
            return True
        self._pop(number)
        entry.settle(error)
        return True

    def withdraw(self, entry: OutboxEntry, text: str) -> bool:
        """Withdraw a cancelled sender's message: taken back if it never left, else unknown, unless its result is there.

        True: it is in an owner's hands, who is to be told.
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
        """Settle what has waited for too long."""
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
        """When the oldest expires."""
        first = next(iter(self._entries.values()), None)
        return None if first is None else first.due

    def reject(self, error: OnesocketError) -> None:
        """Nothing is sent any more."""
        for entry in list(self._entries.values()):
            unknown = entry.state is EntryState.HANDED_OVER
            self._pop(entry.number)
            entry.settle(DeliveryUnknown("this process let go of it while it was on its way") if unknown else error)

    def _pop(self, number: int) -> None:
        self._waiting.pop(number, None)
        self._entries.pop(number, None)
