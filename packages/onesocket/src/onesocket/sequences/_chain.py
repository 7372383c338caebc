"""Chain of numbered messages: those that follow each other, and those that wait for missing ones."""

from __future__ import annotations

import operator
from bisect import bisect_right
from typing import Generic, NamedTuple, TypeVar

from ..errors import InvalidOption

M = TypeVar("M")
_PREVIOUS = operator.itemgetter(0)


class Link(NamedTuple, Generic[M]):
    """A message that leads from the state after number `previous` to the state after number `last`."""

    previous: int
    last: int
    message: M
    at: float
    """Time at which the message came."""


def link(message: M, last: int, first: int | None, previous: int | None, at: float) -> Link[M]:
    """Make a link from the numbers of a message; by default it has one number, `last`."""
    for name, number in (("last", last), ("first", first), ("previous", previous)):
        if number is not None and type(number) is not int:
            raise InvalidOption(f"{name}= is a number of type int, not {number!r}")
    if previous is None:
        previous = (last if first is None else first) - 1
    if previous >= last:
        raise InvalidOption(f"a message up to number {last} can't follow number {previous}")
    return Link(previous, last, message, at)


class Chain(Generic[M]):
    """Orders links: one fits if it begins at or before `known` and ends after it; others wait, or are repeats.

    Args:
        limit: number of links that may wait; the owner of the chain takes care of one more (`overflows`).

    """

    __slots__ = ("known", "limit", "newest", "waiting")

    def __init__(self, limit: int) -> None:
        if type(limit) is not int or limit < 0:
            raise InvalidOption(f"limit= is a number of messages from 0 on, not {limit!r}")
        self.limit = limit
        self.waiting: list[Link[M]] = []
        """Links for which others are missing, by `previous`."""
        self.restart(None)

    def restart(self, known: int | None) -> None:
        """Forget everything, and go on after the number `known` (None: not known yet)."""
        self.known = known
        """Last number up to which nothing is missing."""
        self.newest = known
        """Greatest number that was seen, also in links that were dropped."""
        self.waiting.clear()

    def fits(self, new: Link[M]) -> bool:
        """Take note of `new`, and return True if it is the next one; if not, and if it is no repeat, it waits."""
        known = self.known
        if known is not None and new.last <= known:
            return False
        if self.newest is None or new.last > self.newest:
            self.newest = new.last
        if known is not None and new.previous <= known:
            self.known = new.last
            return True
        waiting = self.waiting
        index = bisect_right(waiting, new.previous, key=_PREVIOUS)
        if index and waiting[index - 1].last >= new.last:
            return False
        waiting.insert(index, new)
        return False

    def follower(self) -> Link[M] | None:
        """Return the link that waits and is next now, and remove it; None if there is none."""
        known = self.known
        while self.waiting and known is not None and self.waiting[0].previous <= known:
            oldest = self.waiting.pop(0)
            if oldest.last > known:
                self.known = oldest.last
                return oldest
        return None

    @property
    def overflows(self) -> bool:
        """True if more links wait than may."""
        return len(self.waiting) > self.limit

    @property
    def is_complete(self) -> bool:
        """True if no number is missing up to the newest."""
        return self.known is not None and (self.newest is None or self.newest <= self.known)

    @property
    def missing(self) -> tuple[int, int] | None:
        """First and last number of the oldest hole, None if there is none or nothing is known yet."""
        if self.known is None or self.newest is None or self.newest <= self.known:
            return None
        return self.known + 1, self.waiting[0].previous if self.waiting else self.newest
