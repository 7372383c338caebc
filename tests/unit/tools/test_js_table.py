"""`make js-table`: the data of the lifecycle as a module of the JavaScript package."""

from pathlib import Path

import pytest

from onesocket.lifecycle import _events as events
from onesocket.lifecycle._states import State
from onesocket.lifecycle._table import IGNORE, TABLE
from tools import js_table


def test_the_module_of_the_package_is_current() -> None:
    assert js_table.main(["--check"]) == 0


def test_a_stale_module_is_an_error_until_it_is_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / js_table.MODULE).parent.mkdir(parents=True)
    assert js_table.main(["--check"], tmp_path) == 1
    assert "run: make js-table" in capsys.readouterr().err
    assert js_table.main([], tmp_path) == 0
    assert js_table.main(["--check"], tmp_path) == 0
    text = (tmp_path / js_table.MODULE).read_text("utf-8")
    (tmp_path / js_table.MODULE).write_text(text.replace("isEarly", "isLate"), "utf-8")
    assert js_table.main(["--check"], tmp_path) == 1


def test_a_changed_transition_changes_the_module() -> None:
    changed = {**TABLE, State.CONNECTED: {**TABLE[State.CONNECTED], events.Opened: IGNORE}}
    assert js_table.table_data(changed) != js_table.table_data(TABLE)


def test_a_pattern_keeps_its_flags() -> None:
    assert js_table.pattern_data("(?is)^a") == {"source": "^a", "flags": "is"}
    assert js_table.pattern_data("a") == {"source": "a", "flags": ""}
    assert js_table.pattern_data(None) is None
