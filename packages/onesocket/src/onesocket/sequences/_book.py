"""Order book of one key, kept from snapshots and numbered updates."""

from __future__ import annotations

import enum
import math
from collections.abc import Callable, Hashable, Iterable
from typing import NamedTuple, TypeAlias

from ..errors import BookUnknown, InvalidOption
from ._chain import Chain, link
from ._levels import Amount, BookSide, Level, parse_levels
from ._sequence import SequenceGap, check_patience

Levels: TypeAlias = "Iterable[Iterable[Amount]]"
Checksum: TypeAlias = Callable[[list[Level], list[Level]], int]
"""Computes a service's checksum from the best bids and asks, each best first."""


class BookState(enum.StrEnum):
    """Knowledge that a `Book` has of the service's book."""

    EMPTY = "empty"
    """No snapshot came yet, or none since `reset()`."""
    SYNCED = "synced"
    """The book is the service's, as of `number`."""
    GAP = "gap"
    """Updates are missing (`gap`); later ones wait."""
    MISMATCH = "mismatch"
    """The checksum of the service is another one."""


class _Changes(NamedTuple):
    bids: list[Level]
    asks: list[Level]
    checksum: int | None


class Book:
    """Keeps the order book of one key: buffers updates, takes snapshots, replays, checks numbers and checksums.

    `update()` and `snapshot()` may be called in any order, with repeats and late ones: the numbers decide. While
    anything is missing, the levels can't be read (`BookUnknown`). A late update that closes the hole, or a snapshot
    that reaches over it, repairs the book; `snapshot_due()` tells when to ask for one. Quantities are absolute, and 0
    removes a level.

    An update is the next one if it begins at most one after the book's number, and ends after it. Services name the
    begin in three ways:

    - `first=` and `last=`: `U` and `u` in spot markets of Binance; the snapshot's `last` is `lastUpdateId`. Events up
      to `lastUpdateId` are dropped, the first one that counts has `U` ≤ `lastUpdateId` + 1 ≤ `u`, and each further one
      begins at the previous `u` + 1
      (https://github.com/binance/binance-spot-api-docs/blob/master/web-socket-streams.md, "How to manage a local
      order book correctly").
    - `previous=` and `last=`: `pu` and `u` in futures of Binance, whose numbers have holes; `pu` is the `u` of the
      event before (https://developers.binance.com/docs/derivatives/usds-margined-futures/websocket-market-streams,
      "How to manage a local order book correctly").
    - `last=` alone: numbers that grow by one for each product, as Coinbase's
      (https://docs.cdp.coinbase.com/exchange/websocket-feed/overview, "Sequence Numbers").

    Updates without numbers are taken in the order in which they come, and a checksum tells a loss. Kraken's books have
    one; they have `depth` levels on each side, and a level that falls out isn't told
    (https://docs.kraken.com/exchange/guides/websockets/book-checksum-v2). Where the numbers count the messages of a
    connection and not those of a product, a `Sequence` for the connection tells when to `reset()` its books.

    Args:
        key: stands in `gap` and in errors, for example a symbol.
        depth: number of levels of each side that the service keeps its subscribers informed of. Leave it out where all
            levels are sent: what is cut off here wouldn't come again.
        checksum: computes the service's checksum, for example `kraken_checksum`.
        checksum_levels: number of levels of each side that `checksum` gets.
        patience: seconds for which late updates may close a hole before a snapshot is due.
        limit: number of updates that may wait for missing ones or for a snapshot; the oldest are dropped first.

    """

    __slots__ = (
        "_asks",
        "_bids",
        "_chain",
        "_checksum",
        "_checksum_levels",
        "_depth",
        "_since",
        "_state",
        "key",
        "patience",
    )

    def __init__(
        self,
        key: Hashable = None,
        *,
        depth: int | None = None,
        checksum: Checksum | None = None,
        checksum_levels: int = 10,
        patience: float = 0.0,
        limit: int = 1_000,
    ) -> None:
        for name, number in (("depth", depth), ("checksum_levels", checksum_levels)):
            if number is not None and (type(number) is not int or number < 1):
                raise InvalidOption(f"{name}= is a number of levels from 1 on, not {number!r}")
        if checksum is not None and not callable(checksum):
            raise InvalidOption(f"checksum= is a function of bids and asks, such as kraken_checksum, not {checksum!r}")
        self.key = key
        self.patience = check_patience(patience)
        self._depth = depth
        self._checksum = checksum
        self._checksum_levels = checksum_levels
        self._bids = BookSide(descending=True)
        self._asks = BookSide(descending=False)
        self._chain: Chain[_Changes] = Chain(limit)
        self.reset()

    def __repr__(self) -> str:
        return f"<Book {self.key!r} {self._state} number={self.number} waiting={len(self._chain.waiting)}>"

    @property
    def state(self) -> BookState:
        """Knowledge of the service's book; the levels can be read while it is SYNCED."""
        return self._state

    @property
    def number(self) -> int | None:
        """Number of the last update that is in the book; None if it isn't known, or updates have none."""
        return self._chain.known

    @property
    def gap(self) -> SequenceGap | None:
        """The oldest missing numbers; None if none are, or if there is no snapshot yet."""
        missing = self._chain.missing
        return missing and SequenceGap(self.key, *missing)

    def snapshot_due(self, now: float = 0.0) -> bool:
        """Return True if a snapshot should be asked for: the book isn't known, and `patience` with a hole is over."""
        match self._state:
            case BookState.SYNCED:
                return False
            case BookState.GAP:
                return now >= self._since + self.patience
            case BookState.EMPTY | BookState.MISMATCH:
                return True

    def reset(self) -> None:
        """Forget everything, for example as the subscription begins anew, or the service numbers anew."""
        self._replace([], [])
        self._chain.restart(None)
        self._since = -math.inf
        self._state = BookState.EMPTY

    def update(
        self,
        *,
        bids: Levels = (),
        asks: Levels = (),
        last: int | None = None,
        first: int | None = None,
        previous: int | None = None,
        checksum: int | None = None,
        now: float = 0.0,
    ) -> BookState:
        """Take an update of the service, in the book or in the buffer, and return the state of the book.

        Args:
            bids: pairs of a price and its quantity.
            asks: pairs of a price and its quantity.
            last: number of the update, or the last one of its range.
            first: first number of its range.
            previous: number that the update follows, where the service names it.
            checksum: the service's checksum of the book after this update.
            now: current time in seconds; needed with `patience` only.

        """
        changes = _Changes(parse_levels(bids), parse_levels(asks), checksum)
        if last is None:
            if first is not None or previous is not None:
                raise InvalidOption("first= and previous= come with last=")
            if self._state is BookState.SYNCED:
                self._apply(changes)
            return self._state
        chain = self._chain
        new = link(changes, last, first, previous, now)
        if self._state is BookState.SYNCED and chain.known is None:
            chain.restart(new.previous)  # the snapshot had no number: it was sent right before this update
        if chain.fits(new) and self._apply(changes):
            self._replay()
        if chain.overflows:
            del chain.waiting[0]
        if self._state is BookState.SYNCED and not chain.is_complete:
            self._state = BookState.GAP
            self._since = now
        return self._state

    def snapshot(
        self, *, bids: Levels, asks: Levels, last: int | None = None, checksum: int | None = None
    ) -> BookState:
        """Take a snapshot, replay the updates that waited and are newer, and return the state of the book.

        A snapshot that is older than the book is ignored. One without a number stands at its place in the stream: what
        came before is forgotten.

        Args:
            bids: pairs of a price and its quantity.
            asks: pairs of a price and its quantity.
            last: number of the last update that it contains.
            checksum: the service's checksum of it.

        """
        changes = _Changes(parse_levels(bids), parse_levels(asks), checksum)
        chain = self._chain
        if last is None:
            chain.restart(None)
        elif type(last) is not int:
            raise InvalidOption(f"last= is a number of type int, not {last!r}")
        elif chain.known is not None and last <= chain.known:
            return self._state
        else:
            chain.known = last
        self._replace(changes.bids, changes.asks)
        if self._check(changes.checksum):
            self._replay()
        return self._state

    def bids(self, count: int | None = None) -> list[Level]:
        """Return the `count` best bids, highest price first; None: all that are known.

        Raises:
            BookUnknown: the book isn't SYNCED.

        """
        return self._known(self._bids).best(count)

    def asks(self, count: int | None = None) -> list[Level]:
        """Return the `count` best asks, lowest price first; None: all that are known.

        Raises:
            BookUnknown: the book isn't SYNCED.

        """
        return self._known(self._asks).best(count)

    def _known(self, side: BookSide) -> BookSide:
        if self._state is not BookState.SYNCED:
            gap = self.gap
            reason = f"updates {gap.first} to {gap.last} are missing" if gap else f"its state is {self._state}"
            raise BookUnknown(f"the book of {self.key!r} isn't known: {reason}; ask for a snapshot")
        return side

    def _replace(self, bids: list[Level], asks: list[Level]) -> None:
        self._bids.replace(bids)
        self._asks.replace(asks)

    def _apply(self, changes: _Changes) -> bool:
        self._bids.update(changes.bids)
        self._asks.update(changes.asks)
        return self._check(changes.checksum)

    def _check(self, checksum: int | None) -> bool:
        """Cut the book to its depth, and return True if the service's checksum is that of the book."""
        if self._depth is not None:
            self._bids.truncate(self._depth)
            self._asks.truncate(self._depth)
        if checksum is not None and self._checksum is not None:
            count = self._checksum_levels
            if self._checksum(self._bids.best(count), self._asks.best(count)) != checksum:
                self._chain.known = None
                self._state = BookState.MISMATCH
                return False
        return True

    def _replay(self) -> None:
        """Apply the updates that waited and are next now."""
        while (follower := self._chain.follower()) is not None:
            if not self._apply(follower.message):
                return
        self._state = BookState.SYNCED if self._chain.is_complete or self._chain.newest is None else BookState.GAP
