"""The order books of several symbols, kept from what a client's stream brings."""

from __future__ import annotations

import abc
from collections.abc import Callable, Iterator, Mapping

from ..client import Gap
from ..sequences import Book


class SymbolBooks(Mapping[str, Book], abc.ABC):
    """Keeps a `Book` for each symbol. No input or output: the program hands over messages, in the order they come."""

    def __init__(self, make: Callable[[str], Book]) -> None:
        self._make = make
        self._books: dict[str, Book] = {}

    def __getitem__(self, symbol: str) -> Book:
        return self._books[symbol]

    def __iter__(self) -> Iterator[str]:
        return iter(self._books)

    def __len__(self) -> int:
        return len(self._books)

    def take(self, message: object) -> Book | None:
        """Take a message, and return the book that it changed; None: it was about none.

        A `Gap` resets all books: their updates may be missing.
        """
        if isinstance(message, Gap):
            self.reset()
            return None
        return self._take(message)

    def reset(self) -> None:
        """Forget what is known of all books."""
        for book in self._books.values():
            book.reset()

    @abc.abstractmethod
    def _take(self, message: object) -> Book | None: ...

    def _book_of(self, symbol: str) -> Book:
        book = self._books.get(symbol)
        if book is None:
            book = self._books[symbol] = self._make(symbol)
        return book
