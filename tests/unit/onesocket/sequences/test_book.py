"""A book equals the service's, or says that it doesn't know."""

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onesocket.errors import BookUnknown, InvalidOption
from onesocket.sequences import Book, BookState, Level, SequenceGap, kraken_checksum

KEY = "BTCUSDT"


def rows(*levels: tuple[int, int]) -> list[Level]:
    return [Level(Decimal(price), Decimal(quantity)) for price, quantity in levels]


def test_binance_spot_as_documented() -> None:
    book = Book(KEY)
    assert book.update(bids=[("10", "1")], first=90, last=95) is BookState.EMPTY
    book.update(bids=[("10", "2")], asks=[("12", "0")], first=96, last=101)
    book.update(bids=[("11", "3")], first=102, last=103)
    assert book.snapshot_due()
    with pytest.raises(BookUnknown, match=r"'BTCUSDT' isn't known: its state is empty; ask for a snapshot"):
        book.bids()
    # The first event is older than the snapshot, the second one begins before it and ends after it.
    assert book.snapshot(bids=[("10", "9")], asks=[("12", "5"), ("13", "1")], last=98) is BookState.SYNCED
    assert (book.number, book.bids(1), book.asks()) == (103, rows((11, 3)), rows((13, 1)))
    assert not book.snapshot_due()
    assert book.update(bids=[("9", "0")], first=104, last=104) is BookState.SYNCED  # a level that isn't known
    assert book.update(first=106, last=107) is BookState.GAP
    assert book.gap == SequenceGap(KEY, 105, 105)
    with pytest.raises(BookUnknown, match="updates 105 to 105 are missing"):
        book.asks()


def test_binance_futures_as_documented() -> None:
    book = Book(KEY)
    book.update(bids=[("1", "1")], previous=80, last=90)
    book.update(bids=[("2", "2")], previous=90, last=100)
    assert book.snapshot(bids=[("1", "1"), ("2", "2")], asks=[], last=100) is BookState.SYNCED
    assert book.update(bids=[("1", "0")], previous=100, last=120) is BookState.SYNCED
    assert book.bids() == rows((2, 2))
    assert book.update(previous=130, last=140) is BookState.GAP
    # Numbers of a chain have holes, so the snapshot's number may be one that no event has.
    assert book.snapshot(bids=[("3", "3")], asks=[], last=135) is BookState.SYNCED
    assert (book.number, book.bids()) == (140, rows((3, 3)))


def test_a_snapshot_that_is_too_old_leaves_the_book_unknown_and_another_one_due() -> None:
    book = Book(KEY, patience=9)
    book.update(last=20, now=1)
    assert book.snapshot(bids=[("1", "1")], asks=[], last=10) is BookState.GAP
    assert (book.gap, book.snapshot_due(1)) == (SequenceGap(KEY, 11, 19), True)
    assert book.snapshot(bids=[("2", "2")], asks=[], last=9) is BookState.GAP  # late, and older still
    assert book.number == 10
    assert book.snapshot(bids=[("3", "3")], asks=[], last=19) is BookState.SYNCED
    assert book.number == 20
    assert book.snapshot(bids=[("4", "4")], asks=[], last=15) is BookState.SYNCED  # late: ignored
    assert book.bids() == rows((3, 3))


def test_a_snapshot_is_due_when_the_patience_with_a_hole_is_over() -> None:
    book = Book(KEY, patience=2)
    book.snapshot(bids=[], asks=[], last=1)
    book.update(last=3, now=10)
    book.update(last=4, now=11)
    assert (book.snapshot_due(11.9), book.snapshot_due(12)) == (False, True)
    assert book.update(bids=[("1", "1")], last=2, now=13) is BookState.SYNCED
    assert (book.number, book.snapshot_due(99)) == (4, False)
    book.update(last=6, now=20)
    assert (book.snapshot_due(21), book.snapshot_due(22)) == (False, True)


def test_the_buffer_is_bounded_and_a_dropped_update_is_not_forgotten() -> None:
    for limit in (0, 2):
        book = Book(KEY, limit=limit)
        for number in range(1, 6):
            book.update(last=number)
        assert repr(book) == f"<Book 'BTCUSDT' empty number=None waiting={limit}>"
        assert book.snapshot(bids=[], asks=[], last=0) is BookState.GAP
        assert book.gap == SequenceGap(KEY, 1, 5 - limit)
        assert book.snapshot(bids=[], asks=[], last=5 - limit) is BookState.SYNCED
        assert book.number == 5


def test_a_repeated_update_takes_no_place_in_the_buffer() -> None:
    book = Book(KEY, limit=2)
    for number in (7, 8, 8, 7, 8):
        book.update(last=number)
    assert book.snapshot(bids=[], asks=[], last=6) is BookState.SYNCED
    assert book.number == 8


def test_a_reset_forgets_the_updates_that_wait() -> None:
    book = Book(KEY)
    book.update(bids=[("9", "9")], last=7)
    book.reset()
    assert book.snapshot(bids=[], asks=[], last=6) is BookState.SYNCED
    assert (book.number, book.bids()) == (6, [])


def test_updates_without_numbers_wait_for_no_snapshot() -> None:
    book = Book(KEY, checksum=kraken_checksum)
    assert book.update(bids=[("9", "9")], checksum=1) is BookState.EMPTY
    assert book.snapshot(bids=[], asks=[]) is BookState.SYNCED
    assert book.update(bids=[("9", "9")]) is BookState.SYNCED
    assert book.bids() == rows((9, 9))


def test_levels_beyond_the_depth_are_dropped() -> None:
    book = Book(KEY, depth=2)
    prices = [(price, 1) for price in (3, 1, 2)]
    book.snapshot(bids=prices, asks=prices)
    assert (book.bids(), book.asks()) == (rows((3, 1), (2, 1)), rows((1, 1), (2, 1)))
    book.update(bids=[(4, 1)], asks=[(0, 1)])
    assert (book.bids(), book.asks()) == (rows((4, 1), (3, 1)), rows((0, 1), (1, 1)))


def test_a_snapshot_in_the_stream_needs_no_number() -> None:
    book = Book(KEY)
    book.update(bids=[("1", "1")], last=7)
    assert book.snapshot(bids=[("2", "2")], asks=[]) is BookState.SYNCED
    assert book.update(bids=[("3", "3")], last=3) is BookState.SYNCED
    assert (book.number, book.bids()) == (3, rows((3, 3), (2, 2)))
    assert book.update(last=5) is BookState.GAP
    book.reset()
    assert (book.state, book.number, book.gap, book.snapshot_due()) == (BookState.EMPTY, None, None, True)


def test_a_wrong_checksum_of_a_numbered_update_needs_a_newer_snapshot() -> None:
    book = Book(KEY, checksum=lambda bids, asks: len(bids) + len(asks))
    book.snapshot(bids=[("1", "1")], asks=[], last=1, checksum=1)
    book.update(last=3, checksum=1)
    assert book.update(bids=[("2", "1")], last=2, checksum=3) is BookState.MISMATCH
    assert book.snapshot_due()
    assert book.snapshot(bids=[("1", "1")], asks=[], last=1) is BookState.GAP
    assert book.snapshot(bids=[("1", "1")], asks=[], last=2) is BookState.SYNCED
    assert book.number == 3


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"depth": 0}, "depth="),
        ({"depth": "10"}, "depth="),
        ({"checksum_levels": 0}, "checksum_levels="),
        ({"checksum": 5}, "checksum="),
        ({"patience": -1}, "patience="),
        ({"limit": None}, "limit="),
    ],
)
def test_bad_options_are_refused(options: dict[str, Any], named: str) -> None:
    with pytest.raises(InvalidOption, match=named):
        Book(**options)


def test_bad_numbers_are_refused() -> None:
    book = Book()
    with pytest.raises(InvalidOption, match="come with last="):
        book.update(previous=4)
    with pytest.raises(InvalidOption, match="last="):
        book.snapshot(bids=[], asks=[], last="5")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType] - refused
    assert book.state is BookState.EMPTY


# --- against a model ------------------------------------------------------------------------------------------------

Sides = tuple[dict[int, int], dict[int, int]]


class NumberedVenue:
    """Model of a service.

    It has its book after each number, and its updates, each with the quantities at the end of its range.
    """

    def __init__(self, changes: list[tuple[int, int, int]], sizes: list[int], step: int) -> None:
        self.states: list[Sides] = [({}, {})]
        self.updates: list[tuple[int, int, Sides]] = []
        for side, price, quantity in changes:
            state: Sides = (dict(self.states[-1][0]), dict(self.states[-1][1]))
            state[side].pop(price, None)
            if quantity:
                state[side][price] = quantity
            self.states.append(state)
        first = 1
        for size in sizes:
            last = min(first + size - 1, len(changes))
            if first <= last:
                touched = changes[first - 1 : last]
                update: Sides = ({}, {})
                for side, price, _ in touched:
                    update[side][price] = self.states[last][side].get(price, 0)
                self.updates.append((first - 1, last, update))
            first = last + 1
        self.step = step
        """Numbers of a chain may have holes: all are multiples of this."""


def levels(side: dict[int, int], *, descending: bool) -> list[Level]:
    return rows(*sorted(side.items(), reverse=descending))


CHANGES = st.lists(st.tuples(st.integers(0, 1), st.integers(1, 6), st.integers(0, 3)), min_size=1, max_size=25)
STEPS = st.lists(st.tuples(st.sampled_from(["update"] * 5 + ["snapshot", "reset"]), st.integers(0, 25)), max_size=60)


@settings(max_examples=200, deadline=None)
@given(
    CHANGES,
    st.lists(st.integers(1, 3), min_size=25, max_size=25),
    STEPS,
    st.sampled_from([1, 7]),
    st.sampled_from([0, 2, 99]),
)
def test_the_book_equals_the_models_or_says_that_it_does_not_know(
    changes: list[tuple[int, int, int]], sizes: list[int], steps: list[tuple[str, int]], step: int, limit: int
) -> None:
    venue = NumberedVenue(changes, sizes, step)
    book = Book(KEY, limit=limit)
    came: set[int] = set()  # numbers of the model, not of the wire
    known: int | None = None
    for kind, index in steps:
        match kind:
            case "update":
                previous, last, (bids, asks) = venue.updates[index % len(venue.updates)]
                numbers = {"first": previous + 1} if step == 1 else {"previous": previous * step}
                book.update(bids=bids.items(), asks=asks.items(), last=last * step, **numbers)
                came.update(range(previous + 1, last + 1))
            case "snapshot":
                number = index % len(venue.states)
                state = venue.states[number]
                book.snapshot(bids=state[0].items(), asks=state[1].items(), last=number * step)
                known = number if known is None else max(known, number)
            case _:
                book.reset()
                came.clear()
                known = None
        while known is not None and known + 1 in came:
            known += 1
        is_known = known is not None and max(came, default=0) <= known
        if book.state is BookState.SYNCED:
            assert is_known
            assert known is not None
            assert book.number == known * step
            assert book.bids() == levels(venue.states[known][0], descending=True)
            assert book.asks() == levels(venue.states[known][1], descending=False)
            assert book.gap is None
            assert not book.snapshot_due()
        else:
            assert book.snapshot_due()
            for read in (book.bids, book.asks):
                with pytest.raises(BookUnknown):
                    read()
            assert not (is_known and limit == 99), "nothing is missing, so the book is known"
            if known is not None and limit == 99:
                assert book.gap is not None
                assert book.gap.first == known * step + 1
                assert book.gap.last == (min(number for number in came if number > known) - 1) * step
    # A snapshot of the newest state repairs every book.
    state = venue.states[-1]
    book.snapshot(bids=state[0].items(), asks=state[1].items(), last=(len(venue.states) - 1) * step)
    assert book.state is BookState.SYNCED
    assert book.bids() == levels(state[0], descending=True)


DEPTH = 3


def top(state: Sides) -> Sides:
    bids, asks = (sorted(state[side].items(), reverse=not side)[:DEPTH] for side in (0, 1))
    return dict(bids), dict(asks)


def difference(before: Sides, after: Sides) -> Sides:
    """Changes that lead from one view to the next; a level that falls out of the depth isn't told, as at Kraken."""
    changes: Sides = ({}, {})
    for side in (0, 1):
        changes[side].update({price: 0 for price in before[side] if price not in after[side]})
        changes[side].update({price: size for price, size in after[side].items() if before[side].get(price) != size})
    return changes


def checksum(state: Sides) -> int:
    book = Book()
    book.snapshot(bids=state[0].items(), asks=state[1].items())
    return kraken_checksum(book.bids(10), book.asks(10))


@settings(max_examples=200, deadline=None)
@given(CHANGES, st.lists(st.sampled_from(["next"] * 6 + ["lose", "repeat", "swap", "snapshot"]), max_size=40))
def test_a_book_with_checksums_equals_the_models_or_says_that_it_does_not_know(
    changes: list[tuple[int, int, int]], steps: list[str]
) -> None:
    venue = NumberedVenue(changes, [], 1)
    views = [top(state) for state in venue.states]
    sums = [checksum(view) for view in views]
    book = Book(KEY, depth=DEPTH, checksum=kraken_checksum)
    place = told = 0

    def take(number: int) -> None:
        change = difference(views[number - 1], views[number])
        for side in (0, 1):  # what only fell out of the depth is not told
            for price in [
                price for price, size in change[side].items() if not size and price in venue.states[number][side]
            ]:
                del change[side][price]
        book.update(bids=change[0].items(), asks=change[1].items(), checksum=sums[number])

    book.snapshot(bids=views[0][0].items(), asks=views[0][1].items(), checksum=sums[0])
    for kind in steps:
        match kind:
            case "snapshot":
                book.snapshot(bids=views[place][0].items(), asks=views[place][1].items(), checksum=sums[place])
                told = place
            case "repeat" if told:
                take(told)
            case "lose" if place + 1 < len(views):
                place += 1
                continue
            case "swap" if place + 2 < len(views):
                take(place + 2)
                take(place + 1)
                place, told = place + 2, place + 1
            case _ if place + 1 < len(views):
                place = told = place + 1
                take(place)
        if book.state is BookState.SYNCED:
            assert book.bids() == levels(views[told][0], descending=True)
            assert book.asks() == levels(views[told][1], descending=False)
        else:
            assert book.state is BookState.MISMATCH
            assert book.snapshot_due()
    book.snapshot(bids=[(Decimal(1), 1)], asks=[])
    assert book.state is BookState.SYNCED
