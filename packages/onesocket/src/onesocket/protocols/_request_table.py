"""The requests of one connection that wait for answers, by their ids. Sans-IO; ids are made here and nowhere else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, Generic, TypeVar

from ..errors import UsageError
from ..wire._handshake import Data
from ._requests import RequestId

P = TypeVar("P")

_MOST_ABANDONED: Final = 4096
"""Ids whose late answers are known; beyond that, the oldest are forgotten, and their answers are ordinary messages."""


class RequestTable(Generic[P]):
    """Pending requests by id. An id is never used twice, so that a late answer can't reach another request."""

    __slots__ = ("_abandoned", "late", "newest_sent", "number", "pending")

    def __init__(self) -> None:
        self.pending: dict[RequestId, P] = {}
        self.late = 0
        """Answers that came after their request was abandoned."""
        self._abandoned: dict[RequestId, bool] = {}
        """Ids of the present connection whose answers have no reader any more, each with whether they count as late."""
        self.number = 0
        """The number of the newest id."""
        self.newest_sent = 0
        """The number of the newest id that was sent."""

    def __repr__(self) -> str:
        return f"<RequestTable pending={len(self.pending)} abandoned={len(self._abandoned)} late={self.late}>"

    @property
    def is_idle(self) -> bool:
        """True if no message can be an answer."""
        return not self.pending and not self._abandoned

    def new_id(self, make_id: Callable[[int], RequestId]) -> RequestId:
        """Return an id that no request has, nor had. Raises `UsageError` if `make_id` gives one again."""
        self.number += 1
        made = _checked_id(make_id(self.number))
        if made in self.pending or made in self._abandoned:
            raise UsageError(f"make_id of Requests returned {made!r} again: it needs another id for each number")
        return made

    def abandon(self, id_: RequestId, *, is_answered: bool = False) -> None:
        """Drop a request that was sent: its answers are dropped, and counted unless it had one already."""
        self.pending.pop(id_, None)
        self._abandoned[id_] = not is_answered
        if len(self._abandoned) > _MOST_ABANDONED:
            del self._abandoned[next(iter(self._abandoned))]

    def drop_late(self, id_: RequestId) -> bool:
        """Return whether this is the id of an abandoned request; its answer is counted."""
        counts = self._abandoned.get(id_)
        if counts is None:
            return False
        self.late += counts
        return True

    def begin(self) -> None:
        """Forget abandoned requests: no answer comes on a new connection."""
        self._abandoned.clear()


class NumberedFrame:
    """A frame with an id of a table: another one where a later id was sent before it, so that they increase."""

    __slots__ = ("_make", "_make_id", "data", "id", "number", "table")

    def __init__(
        self, table: RequestTable[Any], make_id: Callable[[int], RequestId], make: Callable[[RequestId], Data]
    ) -> None:
        self.table = table
        self._make_id = make_id
        self._make = make
        self._renew()

    def _renew(self) -> None:
        self.id = self.table.new_id(self._make_id)
        self.number = self.table.number
        self.data = self._make(self.id)

    def make_frame(self) -> Data:
        """Return the frame as it is to be sent now. Raises what the functions that make it raise."""
        if self.number < self.table.newest_sent or self.id in self.table.pending:
            self._renew()
        return self.data

    def on_sent(self) -> None:
        """Note that it is sent."""
        self.table.newest_sent = self.number


def _checked_id(made: object) -> RequestId:
    if not isinstance(made, (str, int)) or isinstance(made, bool):
        raise UsageError(f"make_id of Requests returned {made!r}, which is no id: it must be a str or an int")
    return made
