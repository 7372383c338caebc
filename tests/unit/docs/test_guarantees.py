"""docs/guarantees.md: what its table of checks names is there, and no scenario of the campaign is left out."""

import re
from pathlib import Path

from tests.campaigns.chaos.scenarios import SCENARIOS
from tests.campaigns.chaos_cluster.cluster_faults import ClusterFaults

ROOT = Path(__file__).resolve().parents[3]
PAGE = (ROOT / "docs" / "guarantees.md").read_text("utf-8")


def section(title: str) -> str:
    return PAGE.partition(f"## {title}\n")[2].partition("\n## ")[0]


def rows(title: str) -> list[list[str]]:
    return [line.split(" | ") for line in section(title).splitlines() if line.startswith("| ")][1:]


ROWS = rows("How each promise is checked")


def check_links(tests: str, promise: str) -> None:
    links = re.findall(r"\[(\w+)\]\(\.\./([\w/.]+)\)", tests)
    assert links, promise
    for name, path in links:
        assert Path(path).stem == name
        assert (ROOT / path).is_file(), path


def test_each_promise_has_a_scenario_and_a_test() -> None:
    names = {scenario.name for scenario in SCENARIOS}
    assert len(ROWS) > 10
    for promise, scenarios, tests in ROWS:
        named = set(re.findall(r"`([\w-]+)`", scenarios))
        assert named, promise
        assert named <= names, promise
        check_links(tests, promise)


def test_what_the_scenarios_check_is_promised() -> None:
    named = set(re.findall(r"`([\w-]+)`", " ".join(scenarios for _, scenarios, _ in ROWS)))
    assert {scenario.name for scenario in SCENARIOS} == named


def test_each_promise_between_hosts_has_a_test_and_names_faults_that_are_dealt() -> None:
    promises = rows("Between hosts")
    assert len(promises) == 8
    for promise, tests, _ in promises:
        check_links(tests, promise)
    assert set(re.findall(r'"(the [^"]+)"', section("Between hosts").replace("\n", " "))) <= ClusterFaults.faults.names
