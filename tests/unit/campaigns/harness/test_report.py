from pathlib import Path

import pytest

from tests.campaigns.harness import report
from tests.campaigns.harness.report import aligned, markdown_table, shortened, write_document


def test_columns_are_aligned_to_the_left_and_then_to_the_right() -> None:
    assert aligned([["name", "count"], ["a", "10"]]) == "name  count\na        10"
    assert aligned([["name", "count"], ["a", "10"]], 2) == "name  count\na     10"


def test_a_markdown_table_has_a_rule_below_its_head() -> None:
    assert markdown_table(["a", ""], [["1", "2"]]) == "| a | |\n| --- | --- |\n| 1 | 2 |"
    assert markdown_table(["a", "b"], [["1", ""]], 1) == "| a | b |\n| --- | ---: |\n| 1 | |"


def test_a_long_list_is_shortened() -> None:
    assert shortened(["x"] * 20) == ["x"] * 20
    assert shortened(["x"] * 23) == [*["x"] * 20, "... and 3 more"]


def test_the_page_of_a_campaign_gets_its_summary(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(report, "ROOT", tmp_path)
    page = tmp_path / "docs" / "chaos.md"
    page.parent.mkdir()
    page.write_text("before\n<!-- chaos:begin -->\nold\n<!-- chaos:end -->\nafter\n", "utf-8")
    write_document("chaos", "new")
    assert page.read_text("utf-8") == "before\n<!-- chaos:begin -->\nnew\n<!-- chaos:end -->\nafter\n"
    assert capsys.readouterr().out == "written: docs/chaos.md\n"
    page.write_text("<!-- chaos-long:begin --><!-- chaos-long:end -->\n", "utf-8")
    write_document("chaos-long", "new", page="chaos")
    assert page.read_text("utf-8") == "<!-- chaos-long:begin -->\nnew\n<!-- chaos-long:end -->\n"


@pytest.mark.parametrize("name", ["chaos", "chaos-long", "compatibility", "conformance"])
def test_every_page_has_a_place_for_its_summary(name: str) -> None:
    text = (report.ROOT / "docs" / f"{name.removesuffix('-long')}.md").read_text("utf-8")
    assert text.count(f"<!-- {name}:begin -->") == text.count(f"<!-- {name}:end -->") == 1
