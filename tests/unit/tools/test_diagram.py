"""The drawings of the lifecycle are those of its table."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from onesocket.lifecycle import _events as events
from onesocket.lifecycle._actions import Actions
from onesocket.lifecycle._events import EVENTS
from onesocket.lifecycle._side_table import SIDE_TABLE
from onesocket.lifecycle._states import State
from onesocket.lifecycle._table import IGNORE, TABLE, Cell, Rule
from tools import diagram


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A copy of the page, where a test may do harm."""
    (tmp_path / "docs").mkdir()
    shutil.copy(diagram.ROOT / diagram.LIFECYCLE_PAGE, tmp_path / diagram.LIFECYCLE_PAGE)
    return tmp_path


def test_the_drawings_in_the_tree_are_current(capsys: pytest.CaptureFixture[str]) -> None:
    assert diagram.main(["--check"]) == 0, capsys.readouterr().err


def test_every_state_input_and_guard_has_its_words() -> None:
    rows = (*TABLE.values(), *SIDE_TABLE.values())
    rules = [rule for row in rows for cell in row.values() if isinstance(cell, tuple) for rule in cell]
    assert {(rule.closing_to, rule.when) for rule in rules} == {*diagram.CONDITIONS, (None, None)}
    assert set(diagram.NAMES) == {kind.__name__ for kind in EVENTS}
    for state in State:
        assert state.name in diagram.diagram()
        assert f"`{state.name}`" in diagram.state_table()


@pytest.mark.parametrize("cell", [IGNORE, (Rule((Actions.drop_caller,), State.FAILED),)])
def test_a_change_of_the_table_makes_the_drawings_stale(
    cell: Cell, tree: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert diagram.main(["--check"], tree) == 0
    monkeypatch.setitem(TABLE[State.CLOSING], events.TimerFired, cell)
    assert diagram.main(["--check"], tree) == 1
    said = capsys.readouterr().err
    assert "docs/lifecycle.md" in said
    assert "make diagram" in said
    assert diagram.main([], tree) == 0
    assert diagram.main(["--check"], tree) == 0


def test_a_change_that_changes_no_state_is_in_the_table_though_not_in_the_diagram(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = diagram.diagram(), diagram.state_table()
    monkeypatch.setitem(TABLE[State.CLOSING], events.TimerFired, IGNORE)
    assert diagram.diagram() == before[0]
    assert diagram.state_table() != before[1]


def test_every_document_with_markers_is_checked_and_drawn(tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tree / "OTHER.md").write_text("nothing to draw here\n", encoding="utf-8")
    readme = tree / "README.md"
    readme.write_text("before\n<!-- diagram:begin -->\nold\n<!-- diagram:end -->\nafter\n", encoding="utf-8")
    assert diagram.main(["--check"], tree) == 1
    assert capsys.readouterr().err.startswith("README.md: ")
    assert diagram.main([], tree) == 0
    assert diagram.main(["--check"], tree) == 0
    text = readme.read_text(encoding="utf-8")
    assert text.startswith("before\n")
    assert text.endswith("\nafter\n")
    assert "stateDiagram-v2" in text


@pytest.mark.parametrize("marker", ["diagram:begin", "diagram:end", "table:begin", "table:end"])
def test_the_page_must_keep_its_markers(marker: str, tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = tree / diagram.LIFECYCLE_PAGE
    page.write_text(page.read_text(encoding="utf-8").replace(f"<!-- {marker} -->", ""), encoding="utf-8")
    for arguments in (["--check"], []):
        assert diagram.main(arguments, tree) == 1
        assert marker in capsys.readouterr().err


def test_a_marker_elsewhere_needs_its_partner(tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tree / "README.md").write_text("<!-- table:begin -->\n", encoding="utf-8")
    assert diagram.main(["--check"], tree) == 1
    assert "no partner" in capsys.readouterr().err


def test_a_missing_page_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert diagram.main(["--check"], tmp_path) == 1
    assert "docs/lifecycle.md: missing" in capsys.readouterr().err
