"""Checks of what a reader gets. No I/O."""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import Any, Final

from onesocket.sequences import Book, BookState, Sequence, SequenceGap
from onesocket.testing.services import Disorder

from .schedule import fate_of

_PATIENCE: Final = 3.0
_REMEMBERED: Final = 500

Report = Callable[[str], None]


class NumberCheck:
    """One key's messages: each number once and in order, those that the venue withheld excepted, or after a gap."""

    def __init__(self, key: str, seed: int, report: Report) -> None:
        self.key = key
        self.last = 0
        """Highest number that came."""
        self.received = 0
        self.holes = 0
        self._seed = seed
        self._report = report
        self._sequence: Sequence[int] = Sequence(key, patience=_PATIENCE)
        self._copies: Counter[int] = Counter()
        self._given = 0
        self._before_gap = 0

    def gap(self) -> None:
        """Messages may be missing here."""
        self._sequence.restart()
        self._before_gap = self.last

    def take(self, number: int, now: float) -> None:
        """Take a message."""
        self.received += 1
        self._copies[number] += 1
        fate = fate_of(self._seed, self.key, number)
        if self._copies[number] > (2 if fate is Disorder.REPEAT else 1):
            self._report(f"{self.key}: {number} came {self._copies[number]} times")
        if len(self._copies) > _REMEMBERED:
            del self._copies[min(self._copies)]
        if number <= self._before_gap:
            self._report(f"{self.key}: {number} came behind a gap that stands behind {self._before_gap}")
        self.last = max(self.last, number)
        self._pass_on(self._sequence.add(number, last=number, now=now))

    def expire(self, now: float) -> None:
        """Stop waiting for late messages."""
        self._pass_on(self._sequence.expire(now))

    def _pass_on(self, given: Iterable[int | SequenceGap]) -> None:
        for each in given:
            if isinstance(each, SequenceGap):
                lost = [n for n in range(each.first, each.last + 1) if not self._is_hole(n)]
                self.holes += each.last + 1 - each.first - len(lost)
                if lost:
                    self._report(f"{self.key}: {lost} didn't come, and no gap tells it")
            elif each <= self._given:
                self._report(f"{self.key}: Sequence gave {each} behind {self._given}")
            else:
                self._given = each

    def _is_hole(self, number: int) -> bool:
        return fate_of(self._seed, self.key, number) is Disorder.HOLE


class EnvelopeCheck:
    """Slack's envelopes: one may come again only as a repetition of the service."""

    def __init__(self, key: str, report: Report) -> None:
        self.key = key
        self.received = 0
        self.last = 0
        self.numbers = bytearray(1)
        """One byte for each number: 1 if it came."""
        self.gaps: list[float] = []
        """Times of gaps."""
        self._report = report

    def gap(self, now: float) -> None:
        """Messages may be missing here."""
        self.gaps.append(now)

    def take(self, number: int, retry: int) -> None:
        """Take an envelope."""
        self.received += 1
        self.last = max(self.last, number)
        if number >= len(self.numbers):
            self.numbers.extend(bytes(number + 1000 - len(self.numbers)))
        if self.numbers[number] and not retry:
            self._report(f"{self.key}: envelope {number} came twice, and not as a repetition")
        self.numbers[number] = 1


def digest(bids: Iterable[Iterable[Any]], asks: Iterable[Iterable[Any]]) -> int:
    """A number for the content of an order book."""
    sides = [[[str(Decimal(number).normalize()) for number in level] for level in side] for side in (bids, asks)]
    return zlib.crc32(repr(sides).encode())


def book_state(book: Book) -> tuple[int | None, int] | None:
    """Number and digest of a book; None if it isn't known."""
    return (book.number, digest(book.bids(), book.asks())) if book.state is BookState.SYNCED else None
