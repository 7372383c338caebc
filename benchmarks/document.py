"""The page in the documents: tables between markers, written from the JSON and never by hand."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from tools.markers import replace_marked

from .record import Record
from .tables import Table, all_tables

PAGE = Path("docs/performance.md")
FOLDER = Path("docs/performance")


def written(text: str, tables: Iterable[Table]) -> str:
    """`text` with each table between its markers. Raises ValueError when a table has no place."""
    for table in tables:
        text = replace_marked(text, f"bench {table.key}", table.markdown())
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
