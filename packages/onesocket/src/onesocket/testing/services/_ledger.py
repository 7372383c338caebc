"""The ledger of a fake venue: everything that happened, in order."""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass
from enum import StrEnum


class VenueEvent(StrEnum):
    """Kind of an entry in a venue's ledger."""

    OPENED = "a connection was opened"
    SIGNED_IN = "an account took a place"
    REFUSED = "a request was refused"
    SUBSCRIBED = "a key was subscribed to"
    UNSUBSCRIBED = "a subscription was ended"
    REPEATED = "a key was subscribed to again, or unsubscribed from without a subscription"
    SENT = "data were sent"
    WITHHELD = "data were withheld: a hole in the sequence"
    ACKNOWLEDGED = "the client acknowledged data"
    UNANSWERED = "the client did not acknowledge data, after all retries"
    SNAPSHOT = "a snapshot was given"
    LIMIT_EXCEEDED = "the client exceeded a limit"
    ANNOUNCED = "the end of a connection was announced"
    ROTATED = "the venue ended a connection at the end of its lifetime"
    CLOSED = "a connection has ended"


@dataclass(frozen=True, slots=True)
class LedgerEntry:
    """One event at a venue.

    `at`: time of the event loop's clock in seconds. `connection`: number of the connection, as
    `FaultyConnection.number`; 0 for an event of none. `key`: the subscription, the account or the limit. `detail`: the
    text that was sent, or the reason.
    """

    at: float
    connection: int
    event: VenueEvent
    key: str = ""
    detail: str = ""


class VenueLedger:
    """The events of a venue, oldest first; beyond `limit` the oldest are dropped, and counted in `dropped`."""

    def __init__(self, limit: int = 100_000) -> None:
        self._entries: deque[LedgerEntry] = deque(maxlen=limit)
        self._subscribers: dict[str, set[int]] = {}
        self._signed_in: dict[str, set[int]] = {}
        self._open: set[int] = set()
        self.totals: Counter[VenueEvent] = Counter()
        """Number of events of each kind, those of dropped entries included."""
        self.most_open = 0
        """The most connections that were open at once."""
        self.most_signed_in: dict[str, int] = {}
        """For each account, the most connections that had a place at once."""
        self.dropped = 0

    def __repr__(self) -> str:
        totals = " ".join(f"{event.name.lower()}={count}" for event, count in self.totals.items())
        return f"<VenueLedger {totals or 'empty'} most_open={self.most_open} dropped={self.dropped}>"

    def note(self, entry: LedgerEntry) -> None:
        """Append an entry."""
        self.dropped += len(self._entries) == self._entries.maxlen
        self._entries.append(entry)
        self.totals[entry.event] += 1
        match entry.event:
            case VenueEvent.OPENED:
                self._open.add(entry.connection)
                self.most_open = max(self.most_open, len(self._open))
            case VenueEvent.SIGNED_IN:
                now = self._signed_in.setdefault(entry.key, set())
                now.add(entry.connection)
                self.most_signed_in[entry.key] = max(self.most_signed_in.get(entry.key, 0), len(now))
            case VenueEvent.SUBSCRIBED:
                self._subscribers.setdefault(entry.key, set()).add(entry.connection)
            case VenueEvent.UNSUBSCRIBED:
                self._drop_subscriber(entry.key, entry.connection)
            case VenueEvent.CLOSED:
                self._open.discard(entry.connection)
                for numbers in self._signed_in.values():
                    numbers.discard(entry.connection)
                for key in [key for key, numbers in self._subscribers.items() if entry.connection in numbers]:
                    self._drop_subscriber(key, entry.connection)
            case _:
                pass

    def _drop_subscriber(self, key: str, connection: int) -> None:
        numbers = self._subscribers.get(key, set())
        numbers.discard(connection)
        if not numbers:
            self._subscribers.pop(key, None)

    @property
    def entries(self) -> list[LedgerEntry]:
        """A copy of the entries, oldest first."""
        return list(self._entries)

    @property
    def subscribers(self) -> dict[str, frozenset[int]]:
        """For each key with a subscription, the connections that have it now."""
        return {key: frozenset(numbers) for key, numbers in self._subscribers.items()}

    def of(self, event: VenueEvent, *, key: str | None = None, connection: int | None = None) -> list[LedgerEntry]:
        """Return the entries of one kind, of one key or one connection if given."""
        return [
            entry
            for entry in self._entries
            if entry.event is event and key in {None, entry.key} and connection in {None, entry.connection}
        ]

    def sent(self, key: str | None = None, *, connection: int | None = None) -> list[str]:
        """Return the texts of the data that were sent, of one key or on one connection if given."""
        return [entry.detail for entry in self.of(VenueEvent.SENT, key=key, connection=connection)]
