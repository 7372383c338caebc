"""docs/observability/grafana.json can be imported, and asks for series and labels that are exported."""

import itertools
import json
import re
from pathlib import Path
from typing import Any

from onesocket.instruments._metrics import METRICS, SOURCE_ATTRIBUTES, label

DASHBOARD: dict[str, Any] = json.loads(
    (Path(__file__).resolve().parents[3] / "docs" / "observability" / "grafana.json").read_text(encoding="utf-8")
)
PANELS: list[dict[str, Any]] = DASHBOARD["panels"]
VARIABLES: list[dict[str, Any]] = DASHBOARD["templating"]["list"]
LABELS = {metric.series_name: {label(name) for name in (*SOURCE_ATTRIBUTES, *metric.attributes)} for metric in METRICS}
EXPRESSIONS = [target["expr"] for panel in PANELS for target in panel["targets"]]
SELECTOR = re.compile(r"(onesocket_\w+)\{([^}]*)\}")
MATCHER = re.compile(r'(\w+)(?:=|!=|=~|!~)"([^"]*)"')


def test_every_series_and_label_is_exported_and_every_series_is_shown() -> None:
    shown: set[str] = set()
    for expression in EXPRESSIONS:
        selectors = SELECTOR.findall(expression)
        names = set(re.findall(r"onesocket_client_\w+", expression))
        assert {name for name, _ in selectors} == names, expression
        for name, matchers in selectors:
            wanted = {matched for matched, _ in MATCHER.findall(matchers)}
            assert wanted <= LABELS[name], expression
            assert {"server_address", "onesocket_connection_name"} <= wanted, expression
            grouped = set(re.findall(r"\w+", "".join(re.findall(r"by \(([^)]*)\)", expression))))
            assert grouped <= LABELS[name], expression
        shown |= names
    assert shown == set(LABELS)


def test_counters_are_shown_as_rates_and_levels_as_they_are() -> None:
    for expression in EXPRESSIONS:
        for name, _ in SELECTOR.findall(expression):
            is_rate = re.search(rf"(rate|increase)\({name}\{{[^}}]*\}}\[[^\]]+\]\)", expression) is not None
            assert is_rate == name.endswith("_total"), expression


def test_legends_name_labels_that_the_expression_keeps() -> None:
    for target in itertools.chain.from_iterable(panel["targets"] for panel in PANELS):
        kept = set(re.findall(r"\w+", "".join(re.findall(r"by \(([^)]*)\)", target["expr"]))))
        assert set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"])) <= kept, target


def test_the_fields_that_grafana_needs_are_there() -> None:
    assert DASHBOARD["title"]
    assert DASHBOARD["schemaVersion"] >= 36
    assert "id" not in DASHBOARD  # that of another installation
    source = {"type": "prometheus", "uid": "${datasource}"}
    assert VARIABLES[0]["type"] == "datasource"
    assert VARIABLES[0]["query"] == "prometheus"
    for variable in VARIABLES[1:]:
        found = re.fullmatch(r"label_values\((\w+), (\w+)\)", variable["query"]["query"])
        assert found is not None
        assert found[2] in LABELS[found[1]]
        assert variable["datasource"] == source
    used = set(re.findall(r"\$\{?(\w+)", json.dumps(PANELS))) - {"__rate_interval"}
    assert used == {variable["name"] for variable in VARIABLES}
    assert len({panel["id"] for panel in PANELS}) == len({panel["title"] for panel in PANELS}) == len(PANELS)
    for panel in PANELS:
        assert panel["type"] in {"stat", "timeseries"}
        assert panel["datasource"] == source
        assert panel["targets"]
        assert all(target["datasource"] == source for target in panel["targets"])
        references = [target["refId"] for target in panel["targets"]]
        assert len(set(references)) == len(references)


def test_no_panel_covers_another() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in PANELS:
        at = panel["gridPos"]
        assert at["x"] + at["w"] <= 24
        cells = set(itertools.product(range(at["x"], at["x"] + at["w"]), range(at["y"], at["y"] + at["h"])))
        assert not taken & cells, panel["title"]
        taken |= cells
