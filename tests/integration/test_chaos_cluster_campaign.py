"""``make chaos-cluster``: the short run on each engine, as its command."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.campaigns.chaos_cluster.__main__ import main

ROOT = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="Unix only")


def run_campaign(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "error", "-m", "tests.campaigns.chaos_cluster", "--quick", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=110, check=False, cwd=ROOT)  # noqa: S603


@pytest.mark.timeout(120)
@pytest.mark.parametrize("engine", ["redis"])
def test_the_quick_campaign_holds(engine: str) -> None:
    done = run_campaign("--engine", engine)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "every promise held in 1 scenarios" in done.stdout
    assert done.stderr == ""


@pytest.mark.timeout(120)
@pytest.mark.parametrize("engine", ["redis", "nats"])
def test_the_session_of_a_bot_goes_from_leader_to_leader(engine: str) -> None:
    done = run_campaign("--sessions", "--engine", engine, "--seed", "1")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "every promise held in 1 scenarios" in done.stdout
    assert done.stderr == ""


def test_wrong_options_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--faults", "0"])
    assert "--faults" in capsys.readouterr().err
