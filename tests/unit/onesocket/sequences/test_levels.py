"""Levels of a book: exact numbers, sorted, and the checksums over them."""

import functools
import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onesocket.errors import InvalidOption
from onesocket.sequences import Book, BookState, Level, kraken_checksum
from tests.support.kraken_example import ASKS, BIDS, CHECKSUM


def test_the_checksum_is_the_one_that_kraken_documents() -> None:
    book = Book("BTC/USD", depth=10, checksum=kraken_checksum)
    assert book.snapshot(bids=BIDS, asks=ASKS, checksum=CHECKSUM) is BookState.SYNCED
    assert book.snapshot(bids=BIDS, asks=ASKS[1:], checksum=CHECKSUM) is BookState.MISMATCH


def test_the_checksum_knows_the_zeros_that_a_decoder_dropped() -> None:
    def shortened(levels: list[tuple[str, str]]) -> list[list[Decimal]]:
        return [[Decimal(str(float(text))) for text in pair] for pair in levels]

    plain = Book(checksum=kraken_checksum)
    assert plain.snapshot(bids=shortened(BIDS), asks=shortened(ASKS), checksum=CHECKSUM) is BookState.MISMATCH
    exact = Book(checksum=functools.partial(kraken_checksum, price_precision=1, qty_precision=8))
    assert exact.snapshot(bids=shortened(BIDS), asks=shortened(ASKS), checksum=CHECKSUM) is BookState.SYNCED


def test_tiny_amounts_have_no_exponent_in_the_checksum() -> None:
    written = Level(Decimal("0.00000005"), Decimal("0.00000304"))
    assert kraken_checksum([], [written]) == kraken_checksum([], [Level(Decimal(5), Decimal(304))])


def test_numbers_are_exact() -> None:
    book = Book()
    text = '{"bids": [[0.1, 0.3], [0.10, 0.30000000000000004], [0.2, 1]]}'
    message = json.loads(text, parse_float=Decimal)
    book.snapshot(bids=message["bids"], asks=[("0.3", 10**30)])
    assert book.bids() == [Level(Decimal("0.2"), Decimal(1)), Level(Decimal("0.1"), Decimal("0.30000000000000004"))]
    assert str(book.bids()[1].price) == "0.10"  # as it came last
    assert book.asks() == [Level(Decimal("0.3"), Decimal(10**30))]
    book.update(bids=[("0.100", "0.000")])
    assert book.bids() == [Level(Decimal("0.2"), Decimal(1))]


@pytest.mark.parametrize(
    "level",
    [
        (0.1, "1"),
        ("1", 1.0),
        ("1", "x"),
        ("NaN", "1"),
        ("1", "Infinity"),
        ("1", "-1"),
        ("1",),
        5,
        (True, 1),
        ("1E+101", 1),
    ],
)
def test_a_bad_level_leaves_the_book_as_it_was(level: Any) -> None:
    book = Book()
    book.snapshot(bids=[("1", "2")], asks=[], last=1)
    with pytest.raises(InvalidOption, match=r"a level is|a price or quantity|a quantity is"):
        book.update(bids=[("5", "6"), level], last=2)
    assert (book.number, book.bids()) == (1, [Level(Decimal(1), Decimal(2))])


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 3)), max_size=6), max_size=12),
    st.booleans(),
    st.integers(1, 12),
)
def test_a_side_is_sorted_and_keeps_the_best(
    updates: list[list[tuple[int, int]]], descending: bool, count: int
) -> None:
    book = Book()
    model: dict[int, int] = {}
    book.snapshot(bids=[], asks=[])
    for update in updates:
        book.update(bids=update) if descending else book.update(asks=update)
        model.update(update)
        best = sorted(
            (Level(Decimal(price), Decimal(size)) for price, size in model.items() if size), reverse=descending
        )
        read = book.bids if descending else book.asks
        assert read() == best
        assert read(count) == best[:count]
        assert read(0) == []
