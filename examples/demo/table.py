"""The layout of the table: fixed columns, so that each row can be written at once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from .measurement import Measurement
from .report import Row

StyledLine = list[tuple[str, str]]
"""Pieces of text, each with the name of its style."""

# Below this width some columns are left out; the rest fits into 80.
DEFAULT_WIDTH = 118
_SEPARATOR = " | "


@dataclass(frozen=True, slots=True)
class _Column:
    heads: tuple[str, str]
    width: int


_COUNTS = (
    _Column(("hand-", "shakes"), 6),
    _Column(("most", "open"), 4),
    _Column(("closed", "early"), 6),
    _Column(("", "hangs"), 5),
)
_TIME = _Column(("", "time"), 6)
_NO_CONNECTION = _Column(("not", "conn."), 5)
_CALLERS = _Column(("", "callers"), 7)
_PROMISES = _Column(("", "result"), 6)


class Table:
    """Turns rows into lines of text. `names` are those of all rows; `width` is that of the terminal."""

    def __init__(self, names: Iterable[str], width: int, *, dash: str = "-") -> None:
        self._name = _Column(("", "race"), max((*map(len, names), len("race"))))
        self._wide = width >= DEFAULT_WIDTH
        self._dash = dash
        self._groups: tuple[tuple[str, tuple[_Column, ...]], ...] = (
            ("", (self._name, _CALLERS) if self._wide else (self._name,)),
            ("onesocket", (*_COUNTS, _TIME) if self._wide else _COUNTS),
            ("check-then-connect", (*_COUNTS, _TIME, _NO_CONNECTION) if self._wide else _COUNTS),
            ("", (_PROMISES,)),
        )

    def header(self) -> Iterator[StyledLine]:
        """Yield the lines above the first row."""
        titles = [title.center(_width(columns)) for title, columns in self._groups]
        yield [(_SEPARATOR.join(titles).rstrip(), "bold")]
        for place in (0, 1):
            groups = [" ".join(self._head(column, place) for column in columns) for _, columns in self._groups]
            yield [(_SEPARATOR.join(groups).rstrip(), "bold")]
        rule = [self._dash * _width(columns) for _, columns in self._groups]
        yield [(f"{self._dash}+{self._dash}".join(rule), "dim")]

    def line(self, row: Row) -> StyledLine:
        """Return the line of a row."""
        first: StyledLine = [(row.scenario.name.ljust(self._name.width), "")]
        if self._wide:
            first.append((str(row.onesocket.callers).rjust(_CALLERS.width), "dim"))
        result = ("kept", "bold green") if row.ok else ("BROKEN", "bold red")
        onesocket, baseline = self._cells(row.onesocket, "green", "bold red"), self._cells(row.baseline, "", "yellow")
        if self._wide:
            text = str(row.baseline.without_connection)
            baseline.append((text.rjust(_NO_CONNECTION.width), "yellow" if row.baseline.without_connection else ""))
        return _join_cells([first, onesocket, baseline, [result]])

    def _cells(self, seen: Measurement, fine: str, bad: str) -> StyledLine:
        cells = [
            (seen.handshakes, seen.handshakes == 1),
            (seen.most_open, seen.most_open <= 1),
            (seen.premature_closes, seen.premature_closes == 0),
            (seen.hangs, seen.hangs == 0),
        ]
        line: StyledLine = [
            (str(value).rjust(column.width), fine if holds else bad)
            for column, (value, holds) in zip(_COUNTS, cells, strict=True)
        ]
        if self._wide:
            line.append((f"{seen.seconds:.2f}s".rjust(_TIME.width), "dim"))
        return line

    def _head(self, column: _Column, place: int) -> str:
        text = column.heads[place]
        return text.ljust(column.width) if column in (self._name, _PROMISES) else text.rjust(column.width)


def legend() -> Iterator[str]:
    """Yield the meaning of each column."""
    yield "handshakes: upgrade requests that reached the server; one is needed in every row."
    yield "most open: WebSockets open at once, as the server saw it; one is allowed."
    yield "closed early: TCP ended by the client before its upgrade request was answered."
    yield "hangs: callers that had not ended after open_timeout + close_timeout (2 s for check-then-connect)."
    yield "not conn.: calls that returned without an error and without a connection."


def _width(columns: Sequence[_Column]) -> int:
    return sum(column.width for column in columns) + len(columns) - 1


def _join_cells(groups: Sequence[StyledLine]) -> StyledLine:
    line: StyledLine = []
    for number, group in enumerate(groups):
        if number:
            line.append((_SEPARATOR, "dim"))
        for place, piece in enumerate(group):
            if place:
                line.append((" ", ""))
            line.append(piece)
    return line
