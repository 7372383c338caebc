"""docs/guarantees.md: what its table of checks names is there, and no scenario of the campaign is left out."""

import re
from pathlib import Path

from tests.campaigns.chaos.scenarios import SCENARIOS

ROOT = Path(__file__).resolve().parents[3]
SECTION = (ROOT / "docs" / "guarantees.md").read_text("utf-8").partition("## How each promise is checked\n")[2]
ROWS = [line.split(" | ") for line in SECTION.partition("\n## ")[0].splitlines() if line.startswith("| ")][1:]


def test_each_promise_has_a_scenario_and_a_test() -> None:
    names = {scenario.name for scenario in SCENARIOS}
    assert len(ROWS) > 10
    for promise, scenarios, tests in ROWS:
        named = set(re.findall(r"`([\w-]+)`", scenarios))
        assert named, promise
        assert named <= names, promise
        links = re.findall(r"\[(\w+)\]\(\.\./([\w/.]+)\)", tests)
        assert links, promise
        for name, path in links:
            assert Path(path).stem == name
            assert (ROOT / path).is_file(), path


def test_what_the_scenarios_check_is_promised() -> None:
    named = set(re.findall(r"`([\w-]+)`", " ".join(scenarios for _, scenarios, _ in ROWS)))
    assert {scenario.name for scenario in SCENARIOS} == named
