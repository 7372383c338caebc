"""Tables for a terminal and for the documents."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from tools.markers import write_marked

ROOT: Final = Path(__file__).resolve().parents[3]
SHOWN: Final = 20


def aligned(rows: Sequence[Sequence[str]], left_columns: int = 1) -> str:
    """Rows as lines of text; all columns but the first `left_columns` are aligned to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if number < left_columns else cell.rjust(width)
            for number, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )


def markdown_table(head: Sequence[str], rows: Iterable[Sequence[str]], left_columns: int | None = None) -> str:
    """A Markdown table; all columns but the first `left_columns` (None: no column) are aligned to the right."""
    left = len(head) if left_columns is None else left_columns
    rule = ["---" if number < left else "---:" for number in range(len(head))]
    return "\n".join(f"| {' | '.join(row)} |".replace("|  |", "| |") for row in (head, rule, *rows))


def shortened(texts: Sequence[str]) -> list[str]:
    """The first texts, and the number of those that are left out."""
    more = len(texts) - SHOWN
    return [*texts[:SHOWN], *([f"... and {more} more"] if more > 0 else [])]


def write_document(name: str, content: str, page: str | None = None) -> None:
    """Put the summary of the campaign `name` between its markers on docs/`page`.md (default: docs/`name`.md)."""
    path = ROOT / "docs" / f"{page or name}.md"
    write_marked(path, name, content)
    print(f"written: {path.relative_to(ROOT)}")
