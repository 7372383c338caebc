"""The page in the documents: tables between markers, written from the JSON and never by hand."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from .record import Record
from .tables import Table, all_tables

PAGE = Path("docs/performance.md")
FOLDER = Path("docs/performance")


def written(text: str, tables: Iterable[Table]) -> str:
    """`text` with each table between its markers. Raises ValueError when a table has no place."""
    for table in tables:
        begin, end = f"<!-- bench {table.key}: begin -->", f"<!-- bench {table.key}: end -->"
        if text.count(begin) != 1 or text.count(end) != 1:
            raise ValueError(f"{PAGE} needs {begin} and {end} exactly once")
        before, _, rest = text.partition(begin)
        _, _, after = rest.partition(end)
        text = f"{before}{begin}\n{table.markdown()}\n{end}{after}"
    return text


def write_tables(root: Path, tables: Iterable[Table]) -> None:
    """Into the page."""
    page = root / PAGE
    page.write_text(written(page.read_text(encoding="utf-8"), tables), encoding="utf-8")


def write(root: Path, record: Record, drawn: dict[str, str]) -> None:
    """Tables into the page, charts beside it."""
    write_tables(root, all_tables(record))
    (root / FOLDER).mkdir(parents=True, exist_ok=True)
    for name, svg in drawn.items():
        (root / FOLDER / name).write_text(svg, encoding="utf-8")
