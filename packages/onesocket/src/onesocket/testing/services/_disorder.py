"""Disorder in the data that a fake venue sends."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from enum import StrEnum
from itertools import repeat
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ._session import VenueSession


class Disorder(StrEnum):
    """Fate of one message of data."""

    HOLE = "hole"
    """Not sent."""
    REPEAT = "repeat"
    """Sent twice."""
    LATE = "late"
    """Sent after the next message of data on its connection."""


DisorderPlan = Disorder | Iterable[Disorder | None] | Callable[["VenueSession[Any]", str], Disorder | None] | None
"""None, one `Disorder` for all data, one for each push to come, or a function of a session and a key."""


DisorderOf = Callable[["VenueSession[Any]", str], Disorder | None]
"""The disorder of one push, for a session and a key."""


class DisorderScript:
    """A plan of disorder that is being carried out."""

    def __init__(self, plan: DisorderPlan) -> None:
        self._of: DisorderOf | None = None
        self._script: Iterator[Disorder | None] = iter(())
        if plan is None or isinstance(plan, Disorder):
            self._script = repeat(plan)
        elif callable(plan):
            self._of = plan
        else:
            self._script = iter(plan)

    def next(self) -> DisorderOf:
        """Take the disorder of the next push."""
        if self._of is not None:
            return self._of
        disorder = next(self._script, None)
        return lambda _session, _key: disorder
