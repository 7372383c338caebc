"""Sequence: numbered messages in order, each once, with a marker where some are missing."""

from __future__ import annotations

import math
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar

from ..errors import InvalidOption
from ._chain import Chain, link

M = TypeVar("M")


@dataclass(frozen=True, slots=True)
class SequenceGap:
    """Marker at a place where the numbers `first` to `last` of one key are missing."""

    key: Hashable
    first: int
    last: int


def check_patience(patience: float) -> float:
    """Return `patience` if it is a number of seconds from 0 on."""
    if type(patience) not in {int, float} or not 0 <= patience < math.inf:
        raise InvalidOption(f"patience= is a number of seconds from 0 on, not {patience!r}")
    return patience


class Sequence(Generic[M]):
    """Puts numbered messages of one key in order, leaves out repeats, and marks the places where numbers are missing.

    Sources of the rules:

    - Coinbase: numbers grow by exactly one for each product; a greater step means that a message was dropped, a smaller
      number can be ignored or is one that came late
      (https://docs.cdp.coinbase.com/exchange/websocket-feed/overview, "Sequence Numbers").
    - Messages with a range of numbers: see `Book`.

    Args:
        key: stands in each `SequenceGap`, for example a product.
        start: number of the first message; None: that of the first one that comes.
        patience: seconds for which a hole may be filled by late messages before it is told; 0: it is told at once.
        limit: number of messages that may wait for missing ones; when it is exceeded, the oldest hole is told.

    """

    __slots__ = ("_chain", "_since", "key", "patience")

    def __init__(
        self, key: Hashable = None, *, start: int | None = None, patience: float = 0.0, limit: int = 1_000
    ) -> None:
        self.key = key
        self.patience = check_patience(patience)
        self._chain: Chain[M] = Chain(limit)
        self.restart(start)

    def __repr__(self) -> str:
        return f"<Sequence {self.key!r} number={self.number} waiting={len(self._chain.waiting)}>"

    @property
    def number(self) -> int | None:
        """Last number that was delivered or told as missing; None before the first message."""
        return self._chain.known

    @property
    def gap(self) -> SequenceGap | None:
        """The hole that waits to be filled, None if there is none."""
        missing = self._chain.missing
        return missing and SequenceGap(self.key, *missing)

    @property
    def deadline(self) -> float | None:
        """Time at which the oldest hole is told by `expire()`, None if there is none."""
        return None if self._since is None else self._since + self.patience

    def restart(self, start: int | None = None) -> None:
        """Forget everything, as the service numbers anew, usually on a new connection; `start` as at first."""
        if start is not None and type(start) is not int:
            raise InvalidOption(f"start= is a number of type int, not {start!r}")
        self._chain.restart(None if start is None else start - 1)
        self._since: float | None = None

    def add(
        self, message: M, *, last: int, first: int | None = None, previous: int | None = None, now: float = 0.0
    ) -> list[M | SequenceGap]:
        """Take a message, and return those that are next: none, this one, or this one and others that waited for it.

        Args:
            message: any object; the sequence doesn't look into it.
            last: the number of the message, or the last one of its range.
            first: the first number of its range.
            previous: the number that the message follows, where the service names it.
            now: the current time in seconds; needed with `patience` only.

        """
        chain = self._chain
        new = link(message, last, first, previous, now)
        if chain.known is None:
            chain.restart(new.previous)
        ready: list[M | SequenceGap] = []
        if chain.fits(new):
            ready.append(message)
        if chain.waiting:
            if ready:
                self._follow(ready)
            elif self._since is None:
                self._since = now
            if chain.overflows:
                self._skip(ready)
            ready += self.expire(now)
        return ready

    def expire(self, now: float) -> list[M | SequenceGap]:
        """Return a marker for each hole that is older than `patience`, each with the messages that waited behind it."""
        ready: list[M | SequenceGap] = []
        while self._since is not None and self._since + self.patience <= now:
            self._skip(ready)
        return ready

    def _follow(self, ready: list[M | SequenceGap]) -> None:
        while (follower := self._chain.follower()) is not None:
            ready.append(follower.message)
        # All that waits came after the oldest hole did, so the first one of them tells its age.
        self._since = min((waiting.at for waiting in self._chain.waiting), default=None)

    def _skip(self, ready: list[M | SequenceGap]) -> None:
        """Give up the oldest hole."""
        if (gap := self.gap) is not None:
            ready.append(gap)
            self._chain.known = gap.last
            self._follow(ready)
