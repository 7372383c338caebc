"""The feed as a live table: one row for each key, with the fields of its newest message."""

from __future__ import annotations

import asyncio
import itertools
import sys
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final, cast

import msgspec
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from .._printable import printable
from ..client import Gap, State
from ..errors import SubscriptionRefused
from ._output import Output
from ._remarks import gap_text

_REDRAW_INTERVAL: Final = 0.1
_MAX_COLUMNS: Final = 8
_FRAME_LINES: Final = 6
"""Lines of the title, the frame and the names of the columns."""
_MIN_ROWS: Final = 3
_PADDING: Final = 3
"""Columns of the terminal beside a text: its frame and two spaces."""
_MAX_TEXT: Final = 40
"""Characters of one field."""
_SHOW_CURSOR: Final = "\x1b[?25h"


@dataclass(slots=True)
class _Row:
    messages: int = 0
    fields: Mapping[str, str] = field(default_factory=dict[str, str])


class FeedTable:
    """A `FeedView` for a terminal."""

    last_words = f"{_SHOW_CURSOR}onesocket: aborted\n"

    def __init__(
        self, name: str, keys: Sequence[Hashable], output: Output, key_of: Callable[[Any], Hashable], url: str
    ) -> None:
        self._name = name
        self._url = url
        self._output = output
        self._key_of = key_of
        self._rows: dict[Hashable, _Row] = {key: _Row() for key in keys}
        self._columns: dict[str, None] = {}
        self._refusals: list[str] = []
        self._gaps = 0
        self._state = State.DISCONNECTED
        self._is_due = False
        self._console = Console(file=sys.stdout)
        self._live = Live(
            console=self._console,
            auto_refresh=False,
            get_renderable=self.render,
            redirect_stdout=False,
            # Remarks stand above the table if they go to the same terminal.
            redirect_stderr=sys.stderr is not None and sys.stderr.isatty(),
        )

    def __repr__(self) -> str:
        return f"<FeedTable {self._name} rows={len(self._rows)}>"

    def open(self) -> None:
        """Draw the table for the first time."""
        self._live.start(refresh=True)

    def close(self) -> None:
        """Draw the table for the last time, and leave it there."""
        self._live.stop()

    async def message(self, message: Any) -> None:
        """Show the fields of a message in the row of its key."""
        key = self._key_of(message)
        row = self._rows.setdefault(type(message).__name__ if key is None else key, _Row())
        row.messages += 1
        row.fields = shown_fields(message)
        for name in row.fields:
            if len(self._columns) < _MAX_COLUMNS:
                self._columns.setdefault(name)
        self._redraw_soon()

    async def gap(self, gap: Gap) -> None:
        """Count a gap."""
        self._gaps += 1
        self._output.say(gap_text(gap))
        self._redraw_soon()

    async def refused(self, error: SubscriptionRefused) -> None:
        """Take the rows of refused keys out, and name them below the table."""
        for key in error.keys:
            self._rows.pop(key, None)
        keys = ", ".join(map(str, error.keys))
        self._refusals.append(printable(f"refused: {keys}: {error.reason}"))
        self._redraw_soon()

    def changed(self, state: State) -> None:
        """Show the state in the title."""
        self._state = state
        self._redraw_soon()

    def render(self) -> Group:
        """Return the table and the refusals as they are now."""
        title = f"{self._name} – {self._state.value} – {self._url} – gaps: {self._gaps}"
        room = max(_MIN_ROWS, self._console.height - _FRAME_LINES - len(self._refusals))
        rows = [
            [str(key), *(row.fields.get(name, "") for name in self._columns), str(row.messages)]
            for key, row in itertools.islice(self._rows.items(), room)
        ]
        names = ["key", *self._columns, "messages"]
        columns = fitting_columns([names, *rows], self._console.width)
        table = Table()
        for column in columns:
            is_count = column == len(names) - 1
            table.add_column(Text(printable(names[column])), no_wrap=True, justify="right" if is_count else "left")
        for row in rows:
            table.add_row(*(Text(printable(row[column])) for column in columns))
        left = len(self._rows) - len(rows)
        more = [Text(f"and {left} more keys, for which there is no room")] if left else []
        return Group(Text(printable(title), style="bold"), table, *more, *map(Text, self._refusals))

    def _redraw_soon(self) -> None:
        if not self._is_due:
            self._is_due = True
            asyncio.get_running_loop().call_later(_REDRAW_INTERVAL, self._redraw)

    def _redraw(self) -> None:
        self._is_due = False
        self._live.refresh()


def fitting_columns(rows: Sequence[Sequence[str]], width: int) -> list[int]:
    """Return the columns for which there is room: the first, the last, and from the left those between that fit."""
    first, *others, last = (max(map(len, column)) + _PADDING for column in zip(*rows, strict=True))
    room = width - 1 - first - last
    chosen = [0]
    for column, needed in enumerate(others, 1):
        if needed <= room:
            room -= needed
            chosen.append(column)
    return [*chosen, len(others) + 1]


def shown_fields(message: Any) -> dict[str, str]:
    """Return the fields of a message that are a text, a number or a bool, and not empty, as texts.

    Those of an object within it are among them, and of a list of objects those of the last one.
    """
    fields: dict[str, str] = {}
    for name, value in _members(message) or (("message", message),):
        inner = _last(value)
        if isinstance(inner, (msgspec.Struct, Mapping)):
            fields |= shown_fields(inner)
        elif isinstance(value, (str, int, float, Decimal)) and value != "":
            fields[str(name)] = str(value)[:_MAX_TEXT]
    return fields


def _last(value: object) -> object:
    if not isinstance(value, (list, tuple)):
        return value
    items = cast("Sequence[object]", value)
    return items[-1] if items else None


def _members(message: object) -> Sequence[tuple[str, Any]]:
    if isinstance(message, msgspec.Struct):
        return tuple(msgspec.structs.asdict(message).items())
    return tuple(cast("Mapping[str, Any]", message).items()) if isinstance(message, Mapping) else ()
