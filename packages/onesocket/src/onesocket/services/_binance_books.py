"""Order books of Binance's symbols."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from ..sequences import Book
from ._binance_messages import Depth, DepthUpdate, StreamMessage
from ._books import SymbolBooks


class Books(SymbolBooks):
    """The order books of symbols, from the updates of `<symbol>@depth` streams and snapshots over HTTP.

    While `book.snapshot_due()`, the program fetches a snapshot of `book.key` from `/api/v3/depth` (in futures
    `/fapi/v1/depth`) by an HTTP client of its own, and hands it to `add_snapshot()`. Updates that came before are
    replayed.
    """

    def __init__(self, make: Callable[[str], Book] = Book) -> None:
        """`make`: makes the book of a symbol, for other options than those of ``Book(symbol)``."""
        super().__init__(make)

    def _take(self, message: object) -> Book | None:
        if not isinstance(message, StreamMessage) or message.channel != "depth":
            return None
        update: DepthUpdate = message.data
        book = self._book_of(update.symbol)
        first = update.first if update.previous is None else None
        book.update(bids=update.bids, asks=update.asks, first=first, previous=update.previous, last=update.last)
        return book

    def add_snapshot(self, symbol: str, snapshot: Depth | bytes | str | Mapping[str, Any]) -> Book:
        """Take a snapshot, as the body of the HTTP answer or decoded, and return the book."""
        if isinstance(snapshot, bytes | str):
            snapshot = msgspec.json.decode(snapshot, type=Depth)
        elif not isinstance(snapshot, Depth):
            snapshot = msgspec.convert(snapshot, Depth)
        book = self._book_of(symbol)
        book.snapshot(bids=snapshot.bids, asks=snapshot.asks, last=snapshot.last_update_id)
        return book
