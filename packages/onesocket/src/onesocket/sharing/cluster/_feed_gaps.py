"""Finds the records that a reader of the feed missed, by their dense numbers. Pure; every engine uses it."""

from __future__ import annotations

from collections.abc import Iterable

from ._coordinator import START, Position, Record, RecordKind


def with_gaps(after: Position, records: Iterable[Record]) -> list[Record]:
    """The records of a feed that follow `after`, with MISSED records where some are not held any more.

    `records` are in order; those up to `after` are dropped. After `START` (a reader of all that is held), the first
    record misses nothing.
    """
    found: list[Record] = []
    for each in records:
        if each.position <= after:
            continue
        missed = _missed(after, each)
        if missed != 0:
            found.append(Record(RecordKind.MISSED, before(each.position), missed=missed))
        found.append(each)
        after = each.position
    return found


def before(position: Position) -> Position:
    """The position just before one, for `follow`; that of number 0 is of the epoch before, after all of its records."""
    if position.number:
        return Position(position.epoch, position.number - 1)
    return Position(position.epoch - 1, 2**63 - 1)


def _missed(after: Position, each: Record) -> int | None:
    """Number of records between `after` and `each`; None: at least one, or that isn't known."""
    if after == START:
        return 0
    epoch, number = each.position
    if epoch == after.epoch:
        return number - after.number - 1
    if number != 0:
        return None  # the record with which the epoch began is gone, and with it what was before
    missed = each.previous.number - after.number
    # Negative: the engine has lost records that this reader has, and perhaps more.
    return missed if each.previous.epoch == after.epoch and missed >= 0 else None
