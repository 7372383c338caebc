"""Helpers without I/O for feeds that skip, repeat and reorder: numbered messages in order, and order books."""

from ..errors import BookUnknown
from ._book import Book, BookState, Checksum
from ._checksums import kraken_checksum
from ._levels import Amount, Level
from ._sequence import Sequence, SequenceGap

__all__ = [
    "Amount",
    "Book",
    "BookState",
    "BookUnknown",
    "Checksum",
    "Level",
    "Sequence",
    "SequenceGap",
    "kraken_checksum",
]
