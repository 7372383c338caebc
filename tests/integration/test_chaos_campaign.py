"""``make chaos``: the short run, as its command."""

import asyncio
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from tests.campaigns.chaos import report
from tests.campaigns.chaos.__main__ import main, run_scenario
from tests.campaigns.chaos.findings import ChaosFindings
from tests.campaigns.chaos.harness import ChaosHarness
from tests.campaigns.chaos.scenarios import SCENARIOS, ChaosScenario
from tests.campaigns.chaos.size import QUICK, RunSize
from tests.campaigns.harness.worker_process import OrderRefused

ROOT = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="Unix only")


@pytest.mark.timeout(300)
def test_the_quick_campaign_holds() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "tests.campaigns.chaos", "--quick"],
        capture_output=True,
        text=True,
        timeout=290,
        check=False,
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"every promise held in {len(SCENARIOS)} scenarios" in done.stdout
    assert done.stderr == ""


async def run_chaos(scenario: ChaosScenario) -> ChaosFindings:
    return await run_scenario(scenario, QUICK, 1)


async def test_a_broken_promise_is_named_and_counts() -> None:
    async def two_sockets(findings: ChaosFindings, size: RunSize, chance: random.Random) -> None:
        async with ChaosHarness(findings) as harness:
            members = [
                *await harness.start(),
                *await harness.start(host={**harness.host, "directory": str(harness.base)}),
            ]
            harness.base.chmod(0o700)
            await harness.join(members)  # two directories: they don't find each other
            harness.check_sockets()

    findings = await run_chaos(ChaosScenario("x", "two directories", two_sockets, lambda _: 30.0))
    *kernel, server = findings.wrong
    assert server == "2 sockets at once, 1 allowed"
    assert [text.partition(":")[0] for text in kernel] == ["2 sockets at once in the kernel's table, 1 allowed"] * (
        sys.platform == "linux"
    )
    assert "BROKEN two directories" in report.table([findings])
    assert "broken in 1 of 1" in report.verdict([findings])


async def test_a_scenario_that_hangs_is_ended() -> None:
    async def hangs(findings: ChaosFindings, size: RunSize, chance: random.Random) -> None:
        async with ChaosHarness(findings) as harness:
            await harness.start()
            await asyncio.Event().wait()

    findings = await run_chaos(ChaosScenario("x", "hangs", hangs, lambda _: 3.0))
    assert findings.wrong
    assert "not done within 3 s" in findings.wrong[0]


async def test_what_a_process_complains_about_counts() -> None:
    async def fails(findings: ChaosFindings, size: RunSize, chance: random.Random) -> None:
        async with ChaosHarness(findings) as harness:
            (member,) = await harness.start()
            with pytest.raises(OrderRefused, match="AttributeError"):
                await member.do("no such order", within=5.0)

    findings = await run_chaos(ChaosScenario("x", "fails", fails, lambda _: 30.0))
    assert "no such order" in findings.wrong[0]


def test_the_summary_names_the_command_and_the_figures() -> None:
    findings = ChaosFindings("a scenario", seconds=1.5)
    findings.times("times", [0.01, 0.03])
    text = report.document([findings], "make chaos")
    assert text.startswith("`make chaos` on ")
    assert "a scenario (1.5 s)" in text
    assert "median 20 ms" in text


@pytest.mark.parametrize("option", ["--rounds", "--faults"])
def test_wrong_options_are_refused(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main([option, "0"])
    assert option in capsys.readouterr().err
