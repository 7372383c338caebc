"""Order books of Kraken's symbols."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..sequences import Book, Level, kraken_checksum
from ._books import SymbolBooks
from ._kraken_messages import BookLevel, BookMessage, make_request


class Books(SymbolBooks):
    """The order books of symbols, from the messages of `book:<symbol>`, each checked by its checksum.

    After a hole, and for a reader that came late, `requests(book)` are the messages that ask the service for a new
    snapshot; the program sends them. All readers of the symbol get it.
    """

    def __init__(self, depth: int = 10, make: Callable[[str], Book] | None = None) -> None:
        """`depth`: as of the protocol. `make`: makes the book of a symbol.

        For wires that leave out trailing zeros, it gives `kraken_checksum` the precision of the symbol.
        """
        super().__init__(self._make_checked if make is None else make)
        self._depth = depth
        self._asked: set[str] = set()

    def _make_checked(self, symbol: str) -> Book:
        return Book(symbol, depth=self._depth, checksum=kraken_checksum)

    def _take(self, message: object) -> Book | None:
        if not isinstance(message, BookMessage):
            return None
        data = message.data[0]
        book = self._book_of(data.symbol)
        bids, asks = _pairs(data.bids), _pairs(data.asks)
        if message.type == "snapshot":
            self._asked.discard(data.symbol)
            book.snapshot(bids=bids, asks=asks, checksum=data.checksum)
        else:
            book.update(bids=bids, asks=asks, checksum=data.checksum)
        return book

    def reset(self) -> None:
        """Forget what is known of all books: snapshots follow."""
        super().reset()
        self._asked.clear()

    def requests(self, book: Book) -> list[dict[str, Any]]:
        """Return the messages that ask for a snapshot, once; none while the book is known, or until it comes."""
        symbol = str(book.key)
        if not book.snapshot_due() or symbol in self._asked:
            return []
        self._asked.add(symbol)
        return [make_request(method, "book", [symbol], depth=self._depth) for method in ("unsubscribe", "subscribe")]


def _pairs(levels: tuple[BookLevel, ...]) -> list[Level]:
    return [Level(level.price, level.qty) for level in levels]
