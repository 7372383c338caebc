"""Checks that every row of docs/where-it-began.md names tests that exist."""

import ast
import functools
import re
from pathlib import Path

TESTS = Path(__file__).resolve().parents[2]
DOCUMENT = TESTS.parent / "docs" / "where-it-began.md"


def rows() -> list[list[str]]:
    """Return the rows of all tables, without their heads."""
    tables = re.findall(r"^\|.*\n\|---.*\n((?:\|.*\n)+)", DOCUMENT.read_text(encoding="utf-8"), re.MULTILINE)
    return [[cell.strip() for cell in row.strip("|").split("|")] for table in tables for row in table.splitlines()]


@functools.cache
def names_in(path: Path) -> frozenset[str]:
    """Return the names of the test functions at the top of a file."""
    body = ast.parse(path.read_text(encoding="utf-8")).body
    functions = (node for node in body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))
    return frozenset(node.name for node in functions if node.name.startswith("test"))


def test_every_state_of_the_report_has_a_row() -> None:
    assert [row[0] for row in rows() if len(row) == 4] == ["Not Connected", "Connecting", "Connected", "Error"]


def test_every_row_names_tests_that_exist() -> None:
    assert len(rows()) == 13
    for *statement, proof in rows():
        assert all(statement)
        tests = re.findall(r"`([^`]+)`", proof)
        assert tests, f"no test proves {statement}"
        for test in tests:
            path, _, name = test.partition("::")
            assert (TESTS / path).is_file(), f"{test}: there is no such file"
            assert name in names_in(TESTS / path), f"{test}: there is no such test"
