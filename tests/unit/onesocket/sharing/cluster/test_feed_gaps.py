"""Gaps in the feed, from the numbers of its records."""

import pytest

from onesocket.sharing.cluster._coordinator import START, Position, Record, RecordKind
from onesocket.sharing.cluster._feed_gaps import with_gaps


def batch(epoch: int, number: int) -> Record:
    return Record(RecordKind.BATCH, Position(epoch, number), b"x")


def began(epoch: int, previous: Position) -> Record:
    return Record(RecordKind.BEGAN, Position(epoch, 0), member="m", previous=previous)


def test_a_reader_that_has_all_up_to_the_next_record_misses_nothing() -> None:
    records = [batch(1, 3), batch(1, 4), began(2, Position(1, 4)), batch(2, 1)]
    assert with_gaps(Position(1, 2), records) == records
    assert with_gaps(Position(1, 3), records) == records[1:]


def test_a_reader_of_all_that_is_held_misses_nothing_before_its_first_record() -> None:
    assert with_gaps(START, [batch(4, 17)]) == [batch(4, 17)]


@pytest.mark.parametrize(
    ("after", "first", "missed"),
    [
        (Position(1, 2), batch(1, 7), 4),
        (Position(1, 2), began(2, Position(1, 7)), 5),
        (Position(1, 0), began(2, Position(1, 1)), 1),
        (Position(1, 2), batch(2, 1), None),
        (Position(1, 2), began(3, Position(2, 7)), None),
        (Position(1, 9), began(2, Position(1, 7)), None),
        (Position(1, 9), began(2, START), None),
    ],
    ids=["within", "end of the epoch", "all of it", "beginning unknown", "a whole epoch", "engine lost", "all lost"],
)
def test_missed_records_are_counted_where_their_number_is_known(
    after: Position, first: Record, missed: int | None
) -> None:
    marker, record = with_gaps(after, [first])
    assert (marker.kind, marker.missed, record) == (RecordKind.MISSED, missed, first)
    assert after < marker.position < first.position


def test_a_marker_stands_where_records_are_missing_in_the_middle() -> None:
    kinds = [each.kind for each in with_gaps(Position(1, 1), [batch(1, 2), batch(1, 4)])]
    assert kinds == [RecordKind.BATCH, RecordKind.MISSED, RecordKind.BATCH]
