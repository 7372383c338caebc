"""Every requirement is answered by tests that exist."""

import ast
import functools
import re
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parents[2]
DOCUMENT = TESTS.parent / "docs" / "requirements.md"

# How many statements the repair report makes in each of its parts: none may be dropped in silence.
STATEMENTS = {
    "Title and problem": 5,
    "Root causes": 4,
    "Fix 1: state checks": 10,
    "Fix 2: cleanup": 4,
    "Fix 3: simplified logic, error handling": 6,
    "Fix 4: state management": 7,
    "Connection flow": 5,
    "Prevention mechanisms": 4,
    "Expected results": 5,
    "State table": 4,
    "Closing words": 2,
    "What check-then-connect leaves open": 4,
}


def sections() -> dict[str, list[list[str]]]:
    """The rows of each section's table, without its head."""
    parts = re.split(r"^## (.+)\n", DOCUMENT.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]
    return {
        title: [
            [cell.strip() for cell in line.strip("|").split("|")] for line in body.splitlines() if line.startswith("|")
        ][2:]
        for title, body in zip(parts[::2], parts[1::2], strict=True)
    }


@functools.cache
def names_in(path: Path) -> frozenset[str]:
    """Every test at the top of a file: functions, and classes made by a call (Hypothesis's `TestCase`) or written."""
    names: set[str] = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Assign):
            names.update(target.id for target in node.targets if isinstance(target, ast.Name))
    return frozenset(name for name in names if name.lower().startswith("test"))


def test_nothing_of_the_report_is_without_a_row() -> None:
    assert {title: len(rows) for title, rows in sections().items()} == STATEMENTS


@pytest.mark.parametrize("title", STATEMENTS)
def test_every_row_names_tests_that_exist(title: str) -> None:
    for row in sections()[title]:
        assert len(row) == 3, row
        statement, answer, proof = row
        assert statement
        assert answer
        tests = re.findall(r"`([^`]+)`", proof)
        assert tests, f"no test proves {statement!r}"
        for test in tests:
            path, _, name = test.partition("::")
            assert (TESTS / path).is_file(), f"{test}: there is no such file"
            assert name in names_in(TESTS / path), f"{test}: there is no such test"
